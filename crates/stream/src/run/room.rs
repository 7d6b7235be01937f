//! Memory for what operators hold; what there is none for goes to disk.

use std::cmp::Reverse;

use arrow::record_batch::RecordBatch;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{Cut, Ran, Run};
use crate::Error;
use crate::checkpoint::Held;
use crate::multiset::{Delta, Multiset};
use crate::plan::Advanced;

/// Open windows may have one part in so many of the memory.
const OPEN: u64 = 4;
/// Where there is no room, one part in so many of what tables have in memory stays there.
const STAYS: u64 = 4;

impl Run {
    /// What the epoch gives, with memory for what is held then: open windows that find none become rows of tables, which go to disk.
    pub(super) async fn run_within(&mut self, cut: &mut Cut) -> Result<Ran, Error> {
        let ran = Box::pin(self.run_without_bad(cut)).await?;
        match self.make_room_for(&ran.advanced) {
            Err(Error::StateMemory { .. }) if cut.moment.room > 0 => {}
            outcome => return outcome.map(|()| ran),
        }
        drop(ran);
        cut.moment.room = 0;
        let ran = Box::pin(self.run(cut)).await?;
        self.make_room_for(&ran.advanced)?;
        Ok(ran)
    }

    /// Bytes of open windows that an operator may keep in memory as they are.
    pub(super) fn room(&self) -> u64 {
        let limits = self.services.limits;
        let operators = self.plan.operators.iter().filter(|operator| operator.runs_schema().is_some());
        let most = self.plan.options.state_memory.unwrap_or(u64::MAX).min(limits.state_bytes) / OPEN;
        limits.open_bytes.min(most / (operators.count() as u64).max(1))
    }

    /// Sees to it that there is memory for what is held. `StateMemory` if not even for what cannot go to disk.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        if self.is_within(self.held_bytes()) && self.reserve(self.held_bytes()).is_ok() {
            return Ok(());
        }
        self.spill(STAYS)?;
        if self.reserve(self.held_bytes()).is_ok() {
            return Ok(());
        }
        self.spill(u64::MAX)?;
        self.reserve(self.held_bytes())
    }

    /// The same of what is read back. Open windows that had memory before and find none now are let pass: there is an epoch at once
    /// that makes rows of them.
    pub(super) fn make_room_at_start(&mut self) -> Result<(), Error> {
        match self.make_room() {
            Err(Error::StateMemory { .. }) if self.parkable_bytes() > 0 => {
                self.reserve(self.held_bytes() - self.parkable_bytes())
            }
            outcome => outcome,
        }
    }

    /// True if open windows are in memory that was not there for them.
    pub(super) fn is_crowded(&self) -> bool {
        self.reservation.bytes() < self.held_bytes()
    }

    /// Memory of open windows that may become rows.
    fn parkable_bytes(&self) -> u64 {
        let held = self.plan.operators.iter().zip(&self.held);
        let parkable = held.filter(|(operator, _)| operator.may_park());
        memory(parkable.map(|(_, held)| (&held.runs[..], &[][..], &[][..])))
    }

    /// The same before an epoch that changes it so. The change itself is bounded by the rows of the epoch, and goes to disk after it.
    pub(super) fn make_room_for(&mut self, advanced: &[Advanced]) -> Result<(), Error> {
        let held = self.held.iter().zip(advanced);
        let after = memory(held.map(|(held, then)| (&then.runs[..], &held.tables[..], &then.deltas[..])));
        if self.is_within(after) && self.reserve(after).is_ok() {
            return Ok(());
        }
        self.spill(u64::MAX)?;
        let held = self.held.iter().zip(advanced);
        self.reserve(memory(held.map(|(held, then)| (&then.runs[..], &held.tables[..], &[][..]))))
    }

    fn is_within(&self, bytes: u64) -> bool {
        bytes <= self.services.limits.state_bytes
    }

    fn held_bytes(&self) -> u64 {
        memory(self.held.iter().map(|held| (&held.runs[..], &held.tables[..], &[][..])))
    }

    /// Moves what tables have in memory to disk, the largest ones first, until one part in so many is left.
    fn spill(&mut self, parts: u64) -> Result<(), Error> {
        let disk = self.plan.state.runtime_env().disk_manager.clone();
        let mut tables: Vec<&mut Multiset> = self.held.iter_mut().flat_map(|held| &mut held.tables).collect();
        tables.sort_by_key(|table| Reverse(table.bytes()));
        let mut left: u64 = tables.iter().map(|table| table.bytes()).sum();
        let stays = (left / parts).min(self.services.limits.state_bytes / parts);
        aside(|| {
            for table in tables {
                if left <= stays {
                    break;
                }
                let before = table.bytes();
                table.spill(&disk)?;
                left = left.saturating_sub(before);
            }
            Ok(())
        })
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), Error> {
        let reserved = self.reservation.bytes();
        if bytes < reserved {
            self.reservation.shrink(reserved - bytes);
            return Ok(());
        }
        let grown = self.reservation.try_grow(bytes - reserved);
        grown.map_err(|source| Error::StateMemory {
            pipeline: self.pipeline.full_name(),
            operator: self.largest().unwrap_or("its operators").to_owned(),
            source,
        })
    }

    /// The operator that holds most in memory.
    fn largest(&self) -> Option<&str> {
        let bytes = |held: &Held| memory(std::iter::once((&held.runs[..], &held.tables[..], &[][..])));
        let operators = self.plan.operators.iter().zip(&self.held);
        operators.max_by_key(|(_, held)| bytes(held)).map(|(operator, _)| operator.name())
    }
}

/// Does what compresses, and waits for the disk, where it holds up none of the tasks that this thread runs.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Bytes of runs, and of tables after a change of them.
pub(super) fn memory<'a>(
    operators: impl Iterator<Item = (&'a [RecordBatch], &'a [Multiset], &'a [Delta])>,
) -> u64 {
    let bytes = operators.map(|(runs, tables, deltas)| {
        let runs: u64 = runs.iter().map(|run| run.get_array_memory_size() as u64).sum();
        let tables: u64 = tables
            .iter()
            .enumerate()
            .map(|(at, table)| deltas.get(at).map_or(table.bytes(), |delta| table.bytes_with(delta)))
            .sum();
        runs + tables
    });
    bytes.sum()
}
