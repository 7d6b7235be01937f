//! An aggregate without windows whose states of a group add up: of each group its state and its result are held.
//!
//! ```text
//! rows of the epoch ─ partial ─► states ─┐
//! held states of the same groups ────────┴─ merge ─► new states ─ finish ─► results: those that were emitted go, these come
//! ```
//! A group that was quiet for too long goes with its result.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::forget::Forgetting;
use super::late::{LateColumns, TooLate};
use super::operator::{Advanced, Moment};
use super::phases::Phases;
use super::updating::GroupedCut;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, HeldRow, Layout, Multiset};
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
    forgetting: Option<Forgetting>,
    late: Option<LateColumns>,
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
        let forgetting = Forgetting::of(cut.forget, &states)?;
        Ok(Self {
            fingerprint: format!("{}{}", phases.fingerprint, Forgetting::fingerprint(forgetting.as_ref())),
            name: cut.name,
            groups: cut.groups,
            phases,
            meaning,
            is_append: cut.is_append,
            states,
            results,
            forgetting,
            late: cut.late,
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

    /// How long it holds something, as EXPLAIN says it.
    pub(super) fn how_long(&self) -> String {
        Forgetting::how_long(self.forgetting.as_ref())
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        let stamps = self.forgetting.as_ref().map(|forgetting| forgetting.idle.layout());
        [&self.states, &self.results].into_iter().chain(stamps).collect()
    }

    /// True if it has a result without any row.
    fn is_whole(&self) -> bool {
        self.groups == 0
    }

    /// True if it would do something without any rows.
    pub(super) fn is_due(&self, held: &[Multiset], moment: Moment) -> Result<bool, Error> {
        let is_over = match (&self.forgetting, held) {
            (Some(forgetting), [_, _, stamps]) => forgetting.idle.is_due(stamps, moment.watermark.1)?,
            _ => false,
        };
        Ok(is_over || (moment.is_first && self.is_whole()))
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        moment: Moment,
    ) -> Result<Advanced, Error> {
        let [states, results, stamps @ ..] = held else {
            return Err(Error::Invalid("state of two tables".to_owned()));
        };
        let mut rows = self.phases.rows(executor, feeds).await?;
        let mut late = TooLate::default();
        if let Some(forgetting) = &self.forgetting {
            (rows, late) = forgetting.on_time(rows, moment.watermark.0, self.late.as_ref())?;
        }
        let is_asked = !rows.is_empty() || (moment.is_first && self.is_whole());
        let touched = if is_asked { self.phases.partial(executor, rows).await? } else { Vec::new() };
        let keys = self.states.keys(&self.states.delta(&touched)?)?;
        let (mut gone_states, mut gone_results) = (Vec::new(), Vec::new());
        for key in &keys {
            gone_states.extend(states.of_key(key)?);
            gone_results.extend(results.of_key(key)?);
        }
        let before = self.states.batch(gone_states.iter().map(|(row, _)| row.as_ref()))?;
        // What was held came of earlier rows: functions of the order take states in it.
        let before = Some(before).filter(|before| before.num_rows() > 0);
        let parts: Vec<RecordBatch> = before.into_iter().chain(touched).collect();
        let mut merged = self.phases.merge(executor, parts).await?;
        let mut forgotten = 0;
        if self.meaning.is_some() && self.groups > 0 {
            // Groups without rows are gone.
            for batch in &mut merged {
                forgotten += self.people(batch)?;
            }
            merged.retain(|batch| batch.num_rows() > 0);
        }
        let mut finished = self.phases.finish(executor, merged.clone()).await?;
        if let Some((sums, plan)) = &self.meaning
            && !finished.is_empty()
        {
            finished = executor.over(plan, sums, finished).await?;
        }
        let merged = self.states.delta(&merged)?;
        let kept = self.states.keys(&merged)?;
        let mut delta_states = changed(merged, gone_states);
        let mut delta_results = changed(self.results.delta(&finished)?, gone_results);
        let mut emitted = None;
        let mut deltas = Vec::new();
        if let (Some(forgetting), [stamps]) = (&self.forgetting, stamps) {
            let (touched, kept) = (keys.into_iter().collect(), kept.into_iter().collect());
            let over = forgetting.over(stamps, &touched, moment.watermark.1)?;
            deltas.push(forgetting.stamps(stamps, &self.states, (&touched, &kept), (&over, moment))?);
            if !forgetting.takes_back() {
                emitted = Some(delta_results.clone());
            }
            for key in &over {
                delta_states.leave(states, key)?;
                delta_results.leave(results, key)?;
            }
        }
        feeds.set(self.output.id, vec![self.emitted(emitted.as_ref().unwrap_or(&delta_results))?]);
        deltas.splice(0..0, [delta_states, delta_results]);
        let (late, late_rows) = (late.count, late.rows);
        Ok(Advanced { deltas, late, late_rows, forgotten, ..Advanced::default() })
    }

    /// Leaves out groups without rows; answers how many rows too many were taken back of those that had been forgotten.
    fn people(&self, states: &mut RecordBatch) -> Result<u64, Error> {
        let counts = states.column(self.groups).as_primitive::<Int64Type>();
        let forgets = self.forgetting.is_some();
        let too_many = counts.values().iter().filter(|count| forgets && **count < 0);
        let too_many = too_many.map(|count| count.unsigned_abs()).sum();
        let kept = counts.values().iter().map(|count| Some(*count > 0 || (*count < 0 && !forgets)));
        let kept: BooleanArray = kept.collect();
        *states = filter_record_batch(states, &kept)?;
        Ok(too_many)
    }

    fn emitted(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        match self.is_append {
            true => self.results.batch(delta.iter().filter(|(_, weight)| *weight > 0).map(|(row, _)| row)),
            false => self.results.weighted_batch(delta),
        }
    }
}

/// What comes, less what was there.
fn changed(mut new: Delta, old: Vec<HeldRow<'_>>) -> Delta {
    old.iter().for_each(|(row, _)| new.add(row, -1));
    new
}
