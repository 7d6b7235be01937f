//! Parts of an epoch: what runs its plans, and how far event time is when it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use cenote_query::Engine;
use cenote_vocab::{MemoryPool, Txn};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use futures::TryStreamExt;
use futures::future::try_join_all;

use crate::Error;
use crate::checkpoint::SourceState;
use crate::feed::{Feed, Feeds};
use crate::lookups::Lookups;
use crate::pieces::{Pieces, only_leaf};

/// What came of looking for input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// An epoch was committed.
    Committed(Txn),
    /// All sources have ended and everything is written.
    Finished,
}

/// Runs plans to their end.
pub(crate) struct Executor<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) state: &'a SessionState,
    pub(crate) lookups: &'a Lookups,
    pub(crate) pieces: Pieces,
    /// For what an epoch reads of state that is on disk.
    pub(crate) memory: &'a MemoryPool,
}

impl Executor<'_> {
    /// All rows of a plan over these feeds; empty batches are left out.
    pub(crate) async fn run(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        feeds: &Feeds,
    ) -> Result<Vec<RecordBatch>, Error> {
        let pieces = match only_leaf(plan) {
            Some(leaf) if self.pieces.of(feeds.rows_max()) > 1 => {
                self.pieces.of(self.rows(leaf, feeds).await?)
            }
            _ => 1,
        };
        if pieces == 1 {
            return Box::pin(self.run_piece(plan, feeds)).await;
        }
        let pieces = feeds.dealt(pieces);
        let ran = pieces.iter().map(|feeds| Box::pin(self.run_piece(plan, feeds)));
        let ran = Box::pin(try_join_all(ran)).await?;
        Ok(ran.into_iter().flatten().collect())
    }

    async fn run_piece(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        feeds: &Feeds,
    ) -> Result<Vec<RecordBatch>, Error> {
        // Some nodes keep what they saw, such as the rows that a join has loaded.
        let plan = reset_plan_states(plan.clone())?;
        let mut rows: Vec<RecordBatch> = self.engine.run_plan(self.task(feeds), plan)?.try_collect().await?;
        rows.retain(|batch| batch.num_rows() > 0);
        Ok(rows)
    }

    /// How many rows a leaf gives.
    async fn rows(&self, leaf: &Arc<dyn ExecutionPlan>, feeds: &Feeds) -> Result<usize, Error> {
        let batches: Vec<RecordBatch> = leaf.execute(0, Arc::new(self.task(feeds)))?.try_collect().await?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }

    /// What plans find their rows in. They know their functions, of which a task would have a copy of the names each time.
    fn task(&self, feeds: &Feeds) -> TaskContext {
        let mut config = self.state.config().clone();
        config.set_extension(Arc::new(feeds.clone()));
        let (scalar, higher, aggregate, window) =
            (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        let session = self.state.session_id().to_owned();
        TaskContext::new(
            None,
            session,
            config,
            scalar,
            higher,
            aggregate,
            window,
            self.state.runtime_env().clone(),
        )
    }
}

impl Executor<'_> {
    /// All rows of a plan that reads one feed.
    pub(crate) async fn over(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        feed: &Feed,
        rows: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let mut feeds = Feeds::default();
        feeds.set(feed.id, rows);
        self.run(plan, &feeds).await
    }
}

/// A watermark, before and after an epoch, as it is for rows that may come so much later than it says.
pub(crate) fn behind((before, now): (i64, i64), lag: i64) -> (i64, i64) {
    let behind = |at: i64| if at == i64::MAX { at } else { at.saturating_sub(lag) };
    (behind(before), behind(now))
}

/// Event time that is over: the least of the sources that may still bring something. It never falls.
///
/// How late rows may come is in what their source has seen. A source, or a part of it, without any row holds it, until it was silent for as
/// long as the source is waited for (`None`: for ever) since `since`, when the pipeline began to run; if nothing is left to wait for
/// but silence, it stays. All ended: everything is over.
pub(crate) fn watermark<'a>(
    before: i64,
    sources: impl Iterator<Item = (&'a SourceState, Option<Duration>)> + Clone,
    (now, since): (i64, i64),
) -> i64 {
    if sources.clone().all(|(source, _)| source.ended) {
        return i64::MAX;
    }
    let reached = |(source, idle): (&SourceState, Option<Duration>)| {
        source.reached(idle, (now, since)).unwrap_or(i64::MIN).min(source.floor.unwrap_or(i64::MAX))
    };
    let least = sources.filter(|(source, idle)| !source.ended && !is_idle(source, *idle, (now, since)));
    let least = least.map(reached).min();
    least.map_or(before, |least| least.max(before))
}

impl SourceState {
    /// When a row came last, of each of its parts.
    pub(crate) fn seen_parts(&self) -> impl Iterator<Item = i64> + '_ {
        let whole = self.partitions.is_empty().then_some(self.seen);
        whole.into_iter().chain(self.partitions.values().map(|partition| partition.seen))
    }

    /// Event time that is over: the least of its parts that are not silent.
    fn reached(&self, idle: Option<Duration>, times: (i64, i64)) -> Option<i64> {
        let live = self.partitions.values().filter(|partition| !is_silent(partition.seen, idle, times));
        live.map(|partition| partition.time_max).min().unwrap_or(self.time_max)
    }
}

/// True if a source was silent for as long as `idle` says since `since`, in all its parts.
pub(crate) fn is_idle(source: &SourceState, idle: Option<Duration>, times: (i64, i64)) -> bool {
    match source.partitions.is_empty() {
        true => is_silent(source.seen, idle, times),
        false => source.partitions.values().all(|partition| is_silent(partition.seen, idle, times)),
    }
}

fn is_silent(seen: i64, idle: Option<Duration>, (now, since): (i64, i64)) -> bool {
    let silent = u64::try_from(now.saturating_sub(seen.max(since))).unwrap_or(0);
    idle.is_some_and(|timeout| Duration::from_micros(silent) >= timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::PartitionState;

    const IDLE: Option<Duration> = Some(Duration::from_micros(100));

    fn source(time_max: Option<i64>, seen: i64) -> SourceState {
        SourceState { time_max, seen, ..SourceState::default() }
    }

    fn at(before: i64, sources: &[SourceState], now: i64) -> i64 {
        watermark(before, sources.iter().map(|source| (source, IDLE)), (now, 0))
    }

    #[test]
    fn the_slowest_source_holds_the_watermark_and_it_never_falls() {
        assert_eq!(at(i64::MIN, &[source(Some(40), 0), source(Some(20), 0)], 10), 20);
        assert_eq!(at(25, &[source(Some(40), 0), source(Some(20), 0)], 10), 25);
        assert_eq!(at(i64::MIN, &[source(Some(40), 0), source(None, 0)], 10), i64::MIN);
    }

    #[test]
    fn a_silent_source_lets_go_after_its_time_and_silence_alone_moves_nothing() {
        let sources = [source(Some(40), 150), source(None, 0)];
        assert_eq!(at(i64::MIN, &sources, 99), i64::MIN);
        assert_eq!(at(i64::MIN, &sources, 200), 40);
        assert_eq!(at(40, &sources, 500), 40);
        let restarted = watermark(i64::MIN, sources.iter().map(|source| (source, IDLE)), (500, 450));
        assert_eq!(restarted, i64::MIN, "a pause makes nobody idle");
        let patient = [(&sources[0], IDLE), (&sources[1], None)];
        assert_eq!(
            watermark(i64::MIN, patient.into_iter(), (500, 0)),
            i64::MIN,
            "one is waited for, for ever"
        );
    }

    fn parts(parts: &[(Option<i64>, i64)]) -> SourceState {
        let part = |(number, (time_max, seen)): (usize, &(Option<i64>, i64))| {
            (number.to_string(), PartitionState { time_max: *time_max, seen: *seen })
        };
        let time_max = parts.iter().filter_map(|(time_max, _)| *time_max).max();
        SourceState { partitions: parts.iter().enumerate().map(part).collect(), ..source(time_max, 0) }
    }

    #[test]
    fn the_slowest_part_of_a_source_holds_the_watermark_until_it_is_silent() {
        assert_eq!(at(i64::MIN, &[parts(&[(Some(40), 0), (Some(20), 0)])], 10), 20);
        assert_eq!(at(i64::MIN, &[parts(&[(Some(40), 150), (Some(20), 0)])], 200), 40);
        assert_eq!(at(i64::MIN, &[parts(&[(Some(40), 0), (None, 0)])], 10), i64::MIN);
        assert_eq!(at(30, &[parts(&[(Some(40), 0), (Some(20), 0)])], 500), 30, "all are silent");
        let two = [parts(&[(Some(40), 500), (Some(50), 500)]), parts(&[(Some(20), 0), (Some(30), 0)])];
        assert_eq!(at(i64::MIN, &two, 500), 40, "a source is silent when all its parts are");
    }

    #[test]
    fn unread_rows_of_the_start_hold_the_watermark() {
        let mut backfill = source(Some(90), 0);
        backfill.floor = Some(5);
        assert_eq!(at(i64::MIN, &[backfill], 10), 5);
    }

    #[test]
    fn at_the_end_of_all_sources_everything_is_over() {
        let mut ended = source(Some(40), 0);
        ended.ended = true;
        assert_eq!(at(7, &[ended.clone(), source(Some(20), 10)], 10), 20);
        assert_eq!(at(7, &[ended], 10), i64::MAX);
    }
}
