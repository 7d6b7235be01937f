//! What an epoch reads, and whether there is anything to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::record_batch::RecordBatch;
use cenote_connect::{BadRow, Pulled, RowPlaces, Wanted};
use cenote_vocab::{Micros, Txn};

use super::sift::Taken;
use super::{Cut, Run};
use crate::Error;
use crate::checkpoint::{PartitionState, SourceState, Standing};
use crate::epoch::watermark;
use crate::feed::Feeds;
use crate::intake::{Intake, intake, places};
use crate::options::BadData;
use crate::plan::Moment;

impl Run {
    /// Reads what is there. `None` if it would change nothing.
    pub(super) async fn cut(&mut self) -> Result<Option<Cut>, Error> {
        let now = self.services.lake.clock.now().max(Micros(self.standing.now));
        let mut standing = Standing { now: now.0, ..self.standing.clone() };
        let mut feeds = Feeds::default();
        let (mut rows, mut ended, mut is_full) = (0, false, false);
        let rows_max = (self.services.limits.epoch_rows / self.sources.len().max(1)).max(1);
        let (pulled, head) = self.pull(rows_max, now).await?;
        if !self.lookups.is_empty() {
            self.lookups.look_at(head);
            standing.looked_up = Some(head.0);
        }
        self.plan.now.store(now.0, Ordering::SeqCst);
        for (reader, pulled) in &pulled {
            self.sources[*reader].available.clone_from(&pulled.available);
        }
        let executor = self.executor();
        let (mut bad, mut all_taken, mut starts) = (Vec::new(), Vec::new(), false);
        let (mut latest, mut behind) = (i64::MIN, Vec::new());
        for (at, pulled) in pulled {
            let reader = &self.sources[at];
            let Some(state) = standing.sources.get_mut(&reader.name) else { continue };
            let planned = &self.plan.sources[reader.planned];
            let delay = self.plan.options.watermark_delay;
            let intake = intake(&executor, planned, &pulled, (now, delay)).await?;
            let unusable = intake.bad.len() as u64;
            standing.rows_bad += unusable;
            match self.bad_data(planned) {
                BadData::Drop => {}
                BadData::Table => {
                    bad.extend(intake.bad.iter().map(|row| (planned.name.clone(), row.clone())))
                }
                BadData::Fail => refuse(&planned.name, &intake.bad)?,
            }
            let good: u64 = intake.batches.iter().map(|batch| batch.num_rows() as u64).sum();
            let taken = good + unusable;
            rows += taken;
            ended |= pulled.ended;
            latest = latest.max(intake.latest.unwrap_or(i64::MIN));
            let has_more = taken >= rows_max as u64;
            is_full |= has_more;
            behind.push((at, pulled.available.as_ref().map_or(has_more, |available| available.rows > 0)));
            standing.rows_skipped += pulled.skipped;
            starts |= pulled.starts;
            note(state, &pulled, &intake, taken, now);
            let of_source = Taken {
                planned: reader.planned,
                batches: places(&pulled)
                    .into_iter()
                    .zip(pulled.batches.iter().map(RecordBatch::num_rows))
                    .collect(),
                left_out: intake.bad[pulled.bad.len()..].iter().map(|row| row.place.clone()).collect(),
            };
            all_taken.push(of_source);
            feeds.set(reader.feed, intake.batches);
        }
        for (at, is_behind) in behind {
            let since = &mut self.sources[at].behind_since;
            *since = is_behind.then(|| since.unwrap_or(now));
        }
        let newest = Some(latest).filter(|latest| *latest > i64::MIN);
        standing.rows_in += rows;
        standing.watermark =
            watermark(self.standing.watermark, self.with_idle(&standing), (now.0, self.since));
        standing.finished = standing.sources.values().all(|source| source.ended);
        let watermark = (self.standing.watermark, standing.watermark);
        let seen = standing.sources.values().filter_map(|source| source.time_max).max();
        let over = Some(standing.watermark).filter(|watermark| *watermark < i64::MAX);
        let latest = latest.max(seen.max(over).unwrap_or(i64::MIN));
        standing.is_unshown |= rows > 0;
        let shows_early = standing.is_unshown && self.is_early(now);
        if shows_early {
            (standing.shown_early, standing.is_unshown) = (Some(now.0), false);
        }
        let moment = Moment { watermark, is_first: self.is_first(), latest, shows_early, room: self.room() };
        let is_news = rows > 0 || ended || starts || standing.rows_skipped > self.standing.rows_skipped;
        let is_due = shows_early
            || self.is_crowded()
            || self.is_due(moment)?
            || self.is_writer_due(now)
            || self.is_commit_due(&standing, now);
        if !is_news && !is_due {
            // Nothing was there between the old positions and the new.
            self.standing.sources = standing.sources;
            return Ok(None);
        }
        Ok(Some(Cut { feeds, standing, rows, moment, is_full, bad, taken: all_taken, newest }))
    }

    /// What the sources give, by their place, and the transaction up to which tables are read; tables whose changes are read all at one transaction.
    async fn pull(&mut self, rows_max: usize, now: Micros) -> Result<(Vec<(usize, Pulled)>, Txn), Error> {
        self.lookups.settle().await?;
        for reader in &mut self.sources {
            reader.source.settle().await?;
        }
        let head = self.services.lake.catalog.head(&self.scope).await?.txn;
        self.head = head;
        let mut all: Vec<(usize, Pulled)> = Vec::new();
        for (at, reader) in self.sources.iter_mut().enumerate() {
            let state = self.standing.sources.get(&reader.name).filter(|state| !state.ended);
            let Some(state) = state else { continue };
            let wanted = Wanted { rows_max, now, upto: head };
            all.push((at, reader.source.read(&state.position, wanted).await?));
        }
        let least = all.iter().filter_map(|(_, pulled)| pulled.reached).min();
        for (at, pulled) in &mut all {
            let (Some(reached), Some(least)) = (pulled.reached, least) else { continue };
            let reader = &mut self.sources[*at];
            let Some(state) = self.standing.sources.get(&reader.name) else { continue };
            if reached > least {
                let wanted = Wanted { rows_max: usize::MAX, now, upto: least };
                *pulled = reader.source.read(&state.position, wanted).await?;
            }
        }
        Ok((all, head))
    }

    /// True if open windows may be shown again.
    fn is_early(&self, now: Micros) -> bool {
        self.plan.options.early_emit.is_some_and(|interval| {
            self.standing.shown_early.is_none_or(|shown| now.since(Micros(shown)) >= interval)
        })
    }

    fn is_due(&self, moment: Moment) -> Result<bool, Error> {
        for (operator, held) in self.plan.operators.iter().zip(&self.held) {
            if operator.is_due(held, moment)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if a sink has something to complete though no row came.
    fn is_writer_due(&self, now: Micros) -> bool {
        self.writers.iter().any(|writer| self.due(writer).is_some_and(|due| due <= now))
    }

    /// History before the committed positions is kept for this pipeline: it should not lag behind for nothing.
    fn is_commit_due(&self, standing: &Standing, now: Micros) -> bool {
        now.since(self.committed.at) >= self.services.limits.idle_commit
            && standing.sources.iter().any(|(name, state)| {
                self.standing.sources.get(name).is_none_or(|before| before.position != state.position)
            })
    }
}

/// Fails at the first row that cannot be used.
pub(super) fn refuse(source: &str, bad: &[BadRow]) -> Result<(), Error> {
    match bad.first() {
        None => Ok(()),
        Some(row) => Err(Error::BadRow {
            source_name: source.to_owned(),
            partition: row.place.partition.to_string(),
            offset: row.place.offset,
            reason: row.reason.clone(),
        }),
    }
}

/// Where a source stands after what it gave.
fn note(state: &mut SourceState, pulled: &Pulled, intake: &Intake, rows: u64, now: Micros) {
    state.position.clone_from(&pulled.position);
    state.time_max = intake.over.values().copied().max().max(state.time_max);
    state.ended = pulled.ended;
    state.floor = pulled.floor.map(|floor| floor.0);
    if rows > 0 || pulled.is_away {
        state.seen = now.0;
    }
    let of_good = pulled.places.iter().map(RowPlaces::partition);
    let with_rows: BTreeSet<&Arc<str>> =
        of_good.chain(pulled.bad.iter().map(|row| &row.place.partition)).collect();
    for name in &pulled.partitions {
        let fresh = PartitionState { time_max: None, seen: now.0 };
        let partition = state.partitions.entry(name.to_string()).or_insert(fresh);
        partition.time_max = intake.over.get(name).copied().max(partition.time_max);
        if with_rows.contains(name) || pulled.is_away {
            partition.seen = now.0;
        }
    }
}
