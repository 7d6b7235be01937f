//! The background loop: it only waits; the work is [`Flow::tick`].

use std::time::Duration;

use cenote_vocab::{Micros, Scope, Txn};
use futures::future::select_all;

use crate::Flow;

/// After a failed look for work, which is a failed catalog, the next comes after this.
const RETRY: Duration = Duration::from_secs(10);
/// Commits that come so soon after a look wait for each other: many small ones make one look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Flow {
    /// Ticks until the node stops.
    pub(crate) async fn run(self) {
        loop {
            let ticked = self.tick(self.inner.lake.clock.now()).await;
            let pause = if ticked.is_ok() { LOOK_INTERVAL } else { RETRY };
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let due = match ticked {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "looking for work failed");
                    continue;
                }
            };
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                () = self.until(due) => {}
                () = self.inner.bell.notified() => {}
                () = self.news() => {}
            }
        }
    }

    async fn until(&self, due: Option<Micros>) {
        match due {
            Some(due) => tokio::time::sleep(due.since(self.inner.lake.clock.now())).await,
            None => std::future::pending().await,
        }
    }

    /// Ends when something was committed since the last tick, or a job changed by hand.
    async fn news(&self) {
        let heads: Vec<(Scope, Txn)> = self.inner.heads.lock().values().cloned().collect();
        if heads.is_empty() {
            return std::future::pending().await;
        }
        let catalog = &self.inner.lake.catalog;
        let each = heads.iter().map(|(scope, txn)| {
            Box::pin(async move {
                tokio::select! {
                    _ = catalog.changed(scope, *txn) => {}
                    () = catalog.job_changed(scope) => {}
                }
            })
        });
        select_all(each).await;
    }
}
