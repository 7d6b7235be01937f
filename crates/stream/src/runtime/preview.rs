//! Looking on: what a pipeline shows, and scripts that run for a while only to be looked at.

use std::time::Duration;

use cenote_catalog::{Identity, Pipeline};
use cenote_query::{PipelineGraph, Preview, Shown, ShownRows};
use cenote_vocab::ErrorKind;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Streams, outward};
use crate::plan::{self, Purpose};
use crate::{Error, Run, Step};

/// Scripts that a node previews at a time (`previews_max`).
pub(super) const PREVIEWS_MAX: usize = 16;
/// Pieces that wait for a slow reader; older ones are lost to it.
pub(super) const PIECES_MAX: usize = 64;
/// How long a preview runs.
const PREVIEW: Duration = Duration::from_secs(60);
/// Rows of an epoch of a preview: people read them.
const PREVIEW_ROWS: usize = 1_000;
/// Pieces of a preview that are made before one is taken.
const AHEAD: usize = 4;

impl Streams {
    /// What a pipeline shows from now on.
    pub(super) fn output_of(&self, id: Uuid) -> Option<BoxStream<'static, Shown>> {
        let running = self.inner.running.lock();
        let running = running.get(&id)?;
        let shows = |graph: &PipelineGraph| graph.nodes.iter().any(|node| node.operator == "sink<preview>");
        if !shows(&running.progress.borrow().graph) {
            return None;
        }
        let pieces = running.shown.upgrade()?.subscribe();
        let shown = stream::unfold(pieces, |mut pieces| async move {
            match pieces.recv().await {
                Ok(rows) => Some((Shown::Rows(rows), pieces)),
                Err(RecvError::Lagged(lost)) => Some((Shown::Lost(lost), pieces)),
                Err(RecvError::Closed) => None,
            }
        });
        Some(shown.boxed())
    }

    pub(super) async fn preview_now(&self, identity: &Identity, script: Pipeline) -> Result<Preview, Error> {
        let Ok(place) = self.inner.previews.clone().try_acquire_owned() else {
            let text = format!("as many previews run as may at a time (previews_max is {PREVIEWS_MAX})");
            return Err(cenote_query::Error::new(ErrorKind::Exhausted, text).into());
        };
        let mut services = self.inner.services.clone();
        services.limits.epoch_rows = PREVIEW_ROWS;
        let plan = plan::plan(&services.engine, identity.clone(), &script, &services.reach, Purpose::Preview);
        let plan = Box::pin(plan).await?;
        let graph = PipelineGraph::clone(&plan.graph);
        let name = script.full_name();
        let run = Run::rehearsal(services.clone(), &identity.scope, script, plan)?;
        let (pieces, taken) = mpsc::channel(AHEAD);
        let stop = self.inner.stop.child_token();
        self.inner.tasks.spawn(async move {
            let mut run = run;
            let over = services.lake.clock.pause(PREVIEW);
            tokio::select! {
                () = rehearse(&mut run, &pieces) => {}
                () = pieces.closed() => {}
                () = over => {}
                () = stop.cancelled() => {}
            }
            if let Err(error) = run.let_go().await {
                tracing::info!(%error, name, "history that a preview held stays until its time is over");
            }
            drop(place);
        });
        let rows = stream::unfold(taken, |mut taken| async move { Some((taken.recv().await?, taken)) });
        Ok(Preview { graph, rows: rows.boxed() })
    }
}

type Pieces = mpsc::Sender<Result<ShownRows, cenote_query::Error>>;

/// Runs until all sources have ended, something fails, or nobody takes the rows.
async fn rehearse(run: &mut Run, pieces: &Pieces) {
    loop {
        let step = run.rehearse().await;
        for rows in run.take_shown() {
            if pieces.send(Ok(rows)).await.is_err() {
                return;
            }
        }
        match step {
            Ok(Step::Committed(_)) => {}
            Ok(Step::Idle) => run.wait().await,
            Ok(Step::Finished) => return,
            Err(error) => {
                if let Err(error) = outward::<()>(Err(error)) {
                    drop(pieces.send(Err(error)).await);
                }
                return;
            }
        }
    }
}
