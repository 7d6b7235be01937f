//! Rows for whoever looks on, and runs that do nothing but show them.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use cenote_catalog::Pipeline;
use cenote_connect::{SinkOptions, WEIGHT};
use cenote_query::ShownRows;
use cenote_vocab::{Epoch, Fence, Micros, Scope};

use super::state::empty;
use super::{Ran, Run, Services};
use crate::Error;
use crate::epoch::Step;
use crate::plan::PipelinePlan;

impl Run {
    /// A run that commits nothing: it shows what its plan gives to sinks outside of the lake.
    pub(crate) fn rehearsal(
        services: Services,
        scope: &Scope,
        pipeline: Pipeline,
        plan: PipelinePlan,
    ) -> Result<Self, Error> {
        let mut run = Self::fresh(services, (scope, pipeline, String::new()), plan, (Fence(0), Epoch(0)))?;
        run.held = run.plan.operators.iter().map(empty).collect();
        Ok(run)
    }

    /// An epoch of a rehearsal, if there is something to do.
    pub(crate) async fn rehearse(&mut self) -> Result<Step, Error> {
        if self.standing.finished {
            return Ok(Step::Finished);
        }
        let Some(mut cut) = Box::pin(self.cut()).await? else { return Ok(Step::Idle) };
        let Ran { sunk, advanced, .. } = Box::pin(self.run_within(&mut cut)).await?;
        let shown = sunk.iter().enumerate();
        let shown =
            shown.map(|(at, rows)| self.piece(at, rows, cut.standing.now)).collect::<Result<Vec<_>, _>>()?;
        self.show(shown.into_iter().flatten().collect());
        self.standing = cut.standing;
        for (held, advanced) in self.held.iter_mut().zip(advanced) {
            held.advance(advanced);
        }
        self.make_room()?;
        self.epoch = Epoch(self.epoch.0 + 1);
        self.is_behind = cut.is_full;
        Ok(Step::Committed(self.head))
    }

    /// What a rehearsal kept of others: the history of the tables that it read.
    pub(crate) async fn let_go(&self) -> Result<(), Error> {
        let catalog = &self.services.lake.catalog;
        for hold in catalog.holds(&self.scope).await? {
            if hold.holder == self.pipeline.producer() {
                catalog.release_hold(&self.scope, hold.id).await?;
            }
        }
        Ok(())
    }

    /// Takes the rows of the last epoch that are shown.
    pub(crate) fn take_shown(&mut self) -> Vec<ShownRows> {
        std::mem::take(&mut self.shown)
    }

    /// Rows of an epoch for sinks that show them.
    pub(super) fn shown_of(&self, sunk: &[Vec<RecordBatch>], now: i64) -> Result<Vec<ShownRows>, Error> {
        let mut shown = Vec::new();
        for (at, (output, rows)) in self.plan.sunk.iter().zip(sunk).enumerate() {
            if matches!(self.plan.sinks[output.sink].options, SinkOptions::Preview) {
                shown.extend(self.piece(at, rows, now)?);
            }
        }
        Ok(shown)
    }

    /// The rows of one output as they are shown.
    fn piece(&self, at: usize, rows: &[RecordBatch], now: i64) -> Result<Option<ShownRows>, Error> {
        let output = &self.plan.sunk[at];
        let rows = arrow::compute::concat_batches(&output.columns, rows)?;
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let first = self.shown_before.get(at).copied().unwrap_or(0);
        let (mut rows, mut weights) = (rows, None);
        if let Ok(weight) = output.columns.index_of(WEIGHT) {
            weights = Some(rows.column(weight).as_primitive::<Int64Type>().values().to_vec());
            rows = rows.project(&(0..weight).collect::<Vec<_>>())?;
        }
        Ok(Some(ShownRows { node: output.node.clone(), at: Micros(now), first, rows, weights }))
    }

    /// They are shown.
    pub(super) fn show(&mut self, shown: Vec<ShownRows>) {
        self.shown_before.resize(self.plan.sunk.len(), 0);
        for piece in &shown {
            let at = self.plan.sunk.iter().position(|output| output.node == piece.node);
            if let Some(before) = at.and_then(|at| self.shown_before.get_mut(at)) {
                *before += piece.rows.num_rows() as u64;
            }
        }
        self.shown = shown;
    }
}
