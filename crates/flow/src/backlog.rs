//! Partitions that may be worth a merge, found by counters: only what changed since the last look is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cenote_catalog::{Names, PartitionCounters, TableDef};
use cenote_table::{INLINE_AFTER, Lake, is_flush_due};
use cenote_vocab::{Ids, Micros, PartitionId, Scope, TableId, Txn};

use crate::Error;
use crate::backoff::retry_at;

/// While the newest changes are not cold yet, what has become cold is looked for this often.
const COLD_LOOK: Duration = Duration::from_secs(600);
/// A partition that another process works on is asked for again after this.
const BUSY_REST: Duration = Duration::from_secs(10);

/// A partition of a table.
pub(crate) type Place = (TableId, PartitionId);

/// What is done in a partition. A merge takes long at times, and rows that come meanwhile must not wait for it in the catalog:
/// so these are apart, and may run side by side as they have no file in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Inline batches become objects.
    Flush,
    /// Files become larger ones.
    Merge,
}

/// Work in a partition that may be due.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) place: Place,
    pub(crate) work: Work,
    /// The tuple in its spec.
    pub(crate) spec_no: i32,
    pub(crate) tuple: String,
    pub(crate) files: u64,
    /// Its newest change when it was found.
    pub(crate) last_txn: Txn,
    /// Not before this it is worth the work: a few inline batches wait for more. None: taken, and not found anew since.
    due: Option<Micros>,
    /// Not before this it is taken again after a failure, or while another process works on it.
    rest: Micros,
    failures: u32,
    taken: bool,
}

/// How the work on a candidate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// There was nothing to do, or it is done.
    Done,
    /// Another process works on it.
    Busy,
    /// It failed, or was ended.
    Failed,
}

/// What one catalog has to do, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    candidates: BTreeMap<(Place, Work), Candidate>,
    /// All changes up to here were looked at; …
    seen: Txn,
    /// … as what is cold, up to here.
    seen_cold: Txn,
    seen_ddl: Txn,
    /// When to look again even if nothing is committed.
    look_at: Option<Micros>,
}

/// What a look found, to be put into the backlog in one go.
pub(crate) struct Look {
    /// With the instant from which on each is worth the work.
    found: Vec<(PartitionCounters, Work, Micros)>,
    gone: Vec<(Place, Work)>,
    seen: Txn,
    seen_cold: Txn,
    seen_ddl: Txn,
    look_at: Option<Micros>,
}

impl Backlog {
    /// What must be known to look on from here.
    pub(crate) fn marks(&self) -> (Txn, Txn, Txn) {
        (self.seen, self.seen_cold, self.seen_ddl)
    }

    /// Puts in what a look found.
    pub(crate) fn note(&mut self, look: Look) {
        if look.seen_ddl > self.seen_ddl {
            // All were looked at again: what is not found any more is gone, or not to be merged.
            let found: BTreeSet<(Place, Work)> =
                look.found.iter().map(|(found, work, _)| ((found.table, found.id), *work)).collect();
            self.candidates.retain(|key, candidate| candidate.taken || found.contains(key));
        }
        for key in &look.gone {
            if self.candidates.get(key).is_some_and(|candidate| !candidate.taken) {
                self.candidates.remove(key);
            }
        }
        for (counters, work, due) in look.found {
            let place = (counters.table, counters.id);
            let candidate = self.candidates.entry((place, work)).or_insert_with(|| Candidate {
                place,
                work,
                spec_no: counters.spec_no,
                tuple: counters.tuple.clone(),
                files: 0,
                last_txn: Txn(0),
                due: None,
                rest: Micros(i64::MIN),
                failures: 0,
                taken: false,
            });
            candidate.files = match work {
                Work::Flush => counters.inline.files,
                Work::Merge => counters.live.files,
            };
            candidate.last_txn = counters.last_txn;
            candidate.due = Some(candidate.due.map_or(due, |known| known.min(due)));
        }
        self.seen = self.seen.max(look.seen);
        self.seen_cold = self.seen_cold.max(look.seen_cold);
        self.seen_ddl = self.seen_ddl.max(look.seen_ddl);
        self.look_at = look.look_at;
    }

    /// Takes at most `limit` candidates for this work that are due, those with the most files first.
    pub(crate) fn take(&mut self, now: Micros, work: Work, limit: usize) -> Vec<Candidate> {
        let mut due: Vec<&mut Candidate> = self
            .candidates
            .values_mut()
            .filter(|candidate| candidate.work == work && candidate.next().is_some_and(|next| next <= now))
            .collect();
        due.sort_by_key(|candidate| std::cmp::Reverse(candidate.files));
        due.truncate(limit);
        due.into_iter()
            .map(|candidate| {
                candidate.taken = true;
                candidate.due = None;
                candidate.clone()
            })
            .collect()
    }

    /// Gives a taken candidate back. What changed meanwhile is looked at again.
    pub(crate) fn settle(&mut self, taken: &Candidate, settled: Settled, now: Micros, ids: &Ids) {
        let key = (taken.place, taken.work);
        let Some(candidate) = self.candidates.get_mut(&key) else { return };
        candidate.taken = false;
        match settled {
            Settled::Done if candidate.due.is_none() => {
                self.candidates.remove(&key);
                return;
            }
            Settled::Done => candidate.failures = 0,
            Settled::Busy => candidate.rest = now.plus(BUSY_REST),
            Settled::Failed => {
                candidate.failures += 1;
                candidate.rest = retry_at(now, candidate.failures, ids);
            }
        }
        candidate.due = candidate.due.or(Some(now));
    }

    /// When something may become due after `now` if nothing is committed; `None`: never.
    pub(crate) fn next_due(&self, now: Micros) -> Option<Micros> {
        let next = self.candidates.values().filter_map(Candidate::next).chain(self.look_at);
        next.filter(|next| *next > now).min()
    }

    /// Live files of all partitions that may be worth a merge.
    pub(crate) fn files(&self) -> u64 {
        let merges = self.candidates.values().filter(|candidate| candidate.work == Work::Merge);
        merges.map(|candidate| candidate.files).sum()
    }
}

impl Candidate {
    /// When it may be taken; `None` while it is.
    fn next(&self) -> Option<Micros> {
        self.due.filter(|_| !self.taken).map(|due| due.max(self.rest))
    }
}

impl Look {
    /// Looks at the counters of what changed, and of what has become cold, since `(seen, seen cold, seen DDL)`.
    pub(crate) async fn at(
        lake: &Lake,
        scope: &Scope,
        now: Micros,
        (seen, seen_cold, seen_ddl): (Txn, Txn, Txn),
    ) -> Result<Self, Error> {
        let head = lake.catalog.head(scope).await?;
        let cold = lake.cold_before(scope).await?;
        let names = lake.catalog.names(scope, head.txn).await?;
        // Another definition or option may make anything due.
        let (seen, seen_cold) = if head.ddl_txn > seen_ddl { (Txn(0), Txn(0)) } else { (seen, seen_cold) };
        let mut sieve =
            Sieve { lake, names: &names, cold, now, found: BTreeMap::new(), gone: BTreeSet::new() };
        if head.txn > seen {
            lake.catalog.visit_partitions(scope, seen, head.txn, |counters| sieve.add(counters)).await?;
        }
        if let Some(cold) = cold.filter(|cold| *cold > seen_cold) {
            lake.catalog.visit_partitions(scope, seen_cold, cold, |counters| sieve.add(counters)).await?;
        }
        let warm = cold.is_none_or(|cold| cold < head.txn) && head.txn > Txn(0);
        Ok(Self {
            found: sieve.found.into_values().collect(),
            gone: sieve.gone.into_iter().collect(),
            seen: head.txn,
            seen_cold: cold.unwrap_or_default(),
            seen_ddl: head.ddl_txn,
            look_at: warm.then(|| now.plus(COLD_LOOK)),
        })
    }

    /// Candidates that are not anybody's yet, for a person who wants all of them looked at now.
    pub(crate) fn into_candidates(self) -> Vec<Candidate> {
        let mut backlog = Backlog::default();
        backlog.note(self);
        backlog.candidates.into_values().collect()
    }
}

/// Keeps what may be due.
struct Sieve<'a> {
    lake: &'a Lake,
    names: &'a Names,
    cold: Option<Txn>,
    now: Micros,
    found: BTreeMap<(Place, Work), (PartitionCounters, Work, Micros)>,
    gone: BTreeSet<(Place, Work)>,
}

impl Sieve<'_> {
    fn add(&mut self, counters: PartitionCounters) {
        let due = self.names.table_by_id(counters.table).map(|table| {
            self.due(table, &counters).unwrap_or_else(|error| {
                tracing::warn!(%error, table = table.full_name(), "table is not merged");
                [None, None]
            })
        });
        for (work, due) in [Work::Flush, Work::Merge].into_iter().zip(due.unwrap_or_default()) {
            let key = ((counters.table, counters.id), work);
            match due {
                Some(due) => drop(self.found.insert(key, (counters.clone(), work, due))),
                None => drop(self.gone.insert(key)),
            }
        }
    }

    /// From when on a flush and a merge are worth the work; `None` if there is nothing to do.
    fn due(
        &self,
        table: &TableDef,
        counters: &PartitionCounters,
    ) -> Result<[Option<Micros>; 2], cenote_table::Error> {
        if !self.lake.options.of(table)?.compaction_enabled {
            return Ok([None, None]);
        }
        let patience = if is_flush_due(counters.inline) { Duration::ZERO } else { INLINE_AFTER };
        let flush = (counters.inline.files > 0).then(|| self.now.plus(patience));
        let merge = self.lake.merge_may_be_due(table, counters, self.cold)?.then_some(self.now);
        Ok([flush, merge])
    }
}

#[cfg(test)]
mod tests {
    use cenote_catalog::LevelCounters;
    use cenote_vocab::Clock;

    use super::*;

    fn counters(id: i64, files: u64, txn: i64) -> PartitionCounters {
        PartitionCounters {
            table: TableId(1),
            id: PartitionId(id),
            spec_no: 1,
            tuple: format!("[{id}]"),
            live: LevelCounters { files, bytes: files },
            fresh: LevelCounters { files, bytes: files },
            merged: LevelCounters::default(),
            inline: LevelCounters::default(),
            deleted_rows: 0,
            last_txn: Txn(txn),
        }
    }

    fn look(found: Vec<PartitionCounters>, seen: i64) -> Look {
        let gone = Vec::new();
        let found = found.into_iter().map(|counters| (counters, Work::Merge, Micros(0))).collect();
        Look { found, gone, seen: Txn(seen), seen_cold: Txn(0), seen_ddl: Txn(1), look_at: None }
    }

    fn ids() -> Ids {
        Ids::seeded(1, Clock::manual(Micros(0)))
    }

    #[test]
    fn the_most_files_come_first_and_none_is_taken_twice() {
        let mut backlog = Backlog::default();
        backlog.note(look(vec![counters(1, 8, 5), counters(2, 40, 6), counters(3, 9, 7)], 7));
        let taken = backlog.take(Micros(0), Work::Merge, 2);
        assert_eq!(taken.iter().map(|one| one.files).collect::<Vec<_>>(), [40, 9]);
        assert_eq!(backlog.take(Micros(0), Work::Merge, 9).len(), 1);
        assert_eq!((backlog.take(Micros(0), Work::Merge, 9).len(), backlog.next_due(Micros(0))), (0, None));
    }

    #[test]
    fn what_changed_while_it_was_merged_is_looked_at_again() {
        let mut backlog = Backlog::default();
        backlog.note(look(vec![counters(1, 8, 5), counters(2, 8, 5)], 5));
        let taken = backlog.take(Micros(0), Work::Merge, 2);
        backlog.note(look(vec![counters(2, 9, 6)], 6));
        for one in &taken {
            backlog.settle(one, Settled::Done, Micros(0), &ids());
        }
        let again = backlog.take(Micros(0), Work::Merge, 2);
        assert_eq!(again.iter().map(|one| one.last_txn).collect::<Vec<_>>(), [Txn(6)]);
    }

    #[test]
    fn a_few_inline_batches_wait_for_more_and_many_do_not() {
        let waiting = |txn, due| Look {
            found: vec![(counters(1, 1, txn), Work::Flush, Micros(due))],
            ..look(Vec::new(), txn)
        };
        let mut backlog = Backlog::default();
        backlog.note(waiting(5, 60));
        backlog.note(waiting(6, 90));
        assert_eq!(
            (backlog.take(Micros(59), Work::Flush, 9).len(), backlog.next_due(Micros(59))),
            (0, Some(Micros(60)))
        );
        let taken = backlog.take(Micros(60), Work::Flush, 9);
        assert_eq!((taken.len(), backlog.next_due(Micros(60))), (1, None));
        // what comes while they are flushed waits anew
        backlog.note(waiting(7, 130));
        backlog.settle(&taken[0], Settled::Done, Micros(70), &ids());
        assert_eq!(
            (backlog.take(Micros(129), Work::Flush, 9).len(), backlog.next_due(Micros(129))),
            (0, Some(Micros(130)))
        );
        backlog.note(waiting(8, 75));
        assert_eq!(backlog.take(Micros(75), Work::Flush, 9).len(), 1, "so many that they are due at once");
    }

    #[test]
    fn what_failed_rests_longer_each_time() {
        let mut backlog = Backlog::default();
        backlog.note(look(vec![counters(1, 8, 5)], 5));
        let taken = backlog.take(Micros(0), Work::Merge, 1);
        backlog.settle(&taken[0], Settled::Failed, Micros(0), &ids());
        assert_eq!(backlog.take(Micros(0), Work::Merge, 1).len(), 0);
        let first = backlog.next_due(Micros(0)).expect("it rests");
        let taken = backlog.take(first, Work::Merge, 1);
        backlog.settle(&taken[0], Settled::Failed, first, &ids());
        let second = backlog.next_due(first).expect("it rests");
        assert!(second.since(first) > first.since(Micros(0)), "{first:?} {second:?}");
    }
}
