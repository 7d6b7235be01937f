//! An aggregate without windows whose states of a group add up: of each group its state and its result are held.
//!
//! ```text
//! rows of the epoch ─ partial ─► states ─┐
//! held states of the same groups ────────┴─ merge ─► new states ─ finish ─► results: those that were emitted go, these come
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::phases::Phases;
use super::updating::GroupedCut;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, Layout, Multiset};
use crate::streams::Streams;

/// The aggregate with the plans of its parts.
pub(crate) struct Grouped {
    pub(super) name: String,
    pub(super) fingerprint: String,
    groups: usize,
    phases: Phases,
    /// What the sums mean, where rows may be taken back: then the first sum is the number of a group's rows.
    meaning: Option<(Feed, Arc<dyn ExecutionPlan>)>,
    is_append: bool,
    states: Layout,
    results: Layout,
    output: Feed,
}

impl Grouped {
    pub(super) async fn plan(
        cut: GroupedCut,
        streams: &Streams,
        state: &SessionState,
    ) -> Result<Self, Error> {
        let phases = Phases::plan(&cut.input, cut.groups, &cut.functions, streams, state).await?;
        let meaning = match cut.meaning {
            None => None,
            Some(meaning) => {
                let plan = state.optimize(&meaning.plan)?;
                Some((meaning.sums, state.create_physical_plan(&plan).await?))
            }
        };
        let states = Layout::new(phases.states().clone(), cut.groups)?;
        let results = Layout::new(cut.output.columns(), cut.groups)?;
        Ok(Self {
            fingerprint: phases.fingerprint.clone(),
            name: cut.name,
            groups: cut.groups,
            phases,
            meaning,
            is_append: cut.is_append,
            states,
            results,
            output: cut.output,
        })
    }

    /// Feeds below it.
    pub(super) fn reads(&self) -> &BTreeSet<FeedId> {
        &self.phases.reads
    }

    /// The plan of its rows.
    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        self.phases.input()
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        vec![&self.states, &self.results]
    }

    /// True if it has a result without any row.
    pub(super) fn is_whole(&self) -> bool {
        self.groups == 0
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        is_first: bool,
    ) -> Result<Vec<Delta>, Error> {
        let [states, results] = held else { return Err(Error::Invalid("state of two tables".to_owned())) };
        let rows = self.phases.rows(executor, feeds).await?;
        if rows.is_empty() && !(is_first && self.is_whole()) {
            feeds.set(self.output.id, Vec::new());
            return Ok(vec![Delta::default(), Delta::default()]);
        }
        let touched = self.phases.partial(executor, rows).await?;
        let new = self.states.delta(&touched)?;
        let keys = self.states.keys(&new)?;
        let mut gone_states: Vec<&[u8]> = Vec::new();
        let mut gone_results: Vec<&[u8]> = Vec::new();
        for key in &keys {
            gone_states.extend(states.of_key(key).map(|(row, _)| row));
            gone_results.extend(results.of_key(key).map(|(row, _)| row));
        }
        let before = self.states.batch(gone_states.iter().copied())?;
        let parts = touched.into_iter().chain((before.num_rows() > 0).then_some(before)).collect();
        let mut merged = self.phases.merge(executor, parts).await?;
        if self.meaning.is_some() && self.groups > 0 {
            // Groups without rows are gone.
            merged = merged.iter().map(|batch| self.peopled(batch)).collect::<Result<_, _>>()?;
            merged.retain(|batch| batch.num_rows() > 0);
        }
        let mut finished = self.phases.finish(executor, merged.clone()).await?;
        if let Some((sums, plan)) = &self.meaning {
            finished = executor.over(plan, sums, finished).await?;
        }
        let delta_states = changed(self.states.delta(&merged)?, gone_states);
        let delta_results = changed(self.results.delta(&finished)?, gone_results);
        feeds.set(self.output.id, vec![self.emitted(&delta_results)?]);
        Ok(vec![delta_states, delta_results])
    }

    fn peopled(&self, states: &RecordBatch) -> Result<RecordBatch, Error> {
        let counts = states.column(self.groups).as_primitive::<Int64Type>();
        let kept = counts.iter().map(|count| Some(count != Some(0))).collect();
        Ok(filter_record_batch(states, &kept)?)
    }

    fn emitted(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        match self.is_append {
            true => self.results.batch(delta.iter().map(|(row, _)| row)),
            false => self.results.weighted_batch(delta),
        }
    }
}

/// What comes, less what was there.
fn changed(mut new: Delta, old: Vec<&[u8]>) -> Delta {
    old.into_iter().for_each(|row| new.add(row, -1));
    new
}
