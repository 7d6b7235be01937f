//! Decides which files are worth a merge, from the catalog's knowledge alone. Pure, so that a dry run is the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{DataFile, LevelCounters, PartitionCounters, TableDef};
use cenote_datafile::Level;
use cenote_vocab::{Tuple, Txn};

use super::OptimizeMode;

/// A job reads at most this many files …
const JOB_FILES_MAX: usize = 2_000;
/// … and bytes, unless one file alone is larger.
const JOB_BYTES_MAX: u64 = 1 << 30;
/// Inline batches are small: all of a table fit into one job, but for those that come faster than they are flushed.
const FLUSH_FILES_MAX: usize = 8_000;
/// Inline batches of a table that are worth a flush at once, by number and by bytes.
const INLINE_FILES: u64 = 4_000;
const INLINE_BYTES: u64 = 32 << 20;
/// Fresh files of a partition that are worth a merge, by number and by bytes.
const FRESH_FILES: usize = 8;
const FRESH_BYTES: u64 = 64 << 20;
/// Merged once, files grow to this.
const MERGED_FILE_BYTES: u64 = 128 << 20;
/// Files merged once that are worth a second merge.
const MERGED_FILES: usize = 4;
/// A file with this share of its rows deleted is written anew, …
const DELETED_PERCENT: u64 = 20;
/// … or with a vector of this many bytes.
const VECTOR_BYTES_MAX: usize = 1 << 20;

/// What there is to do in one partition.
#[derive(Debug)]
pub(super) struct PartitionPlan {
    pub(super) spec_no: i32,
    pub(super) partition: Tuple,
    pub(super) jobs: Vec<Job>,
    /// Why, or why not.
    pub(super) reason: String,
}

/// Files that one commit replaces.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) action: Action,
    pub(super) inputs: Vec<Arc<DataFile>>,
    pub(super) level: Level,
    /// A new file of this size is complete.
    pub(super) target_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Merge,
    Deletes,
    /// Inline batches become objects.
    Flush,
}

/// By what to plan.
pub(super) struct Terms<'a> {
    pub(super) table: &'a TableDef,
    pub(super) mode: OptimizeMode,
    /// `target_file_size`
    pub(super) target_bytes: u64,
    /// A partition without files after this is cold.
    pub(super) cold: Option<Txn>,
}

impl Terms<'_> {
    /// One plan per partition that has files, in order of spec and tuple.
    pub(super) fn plan(&self, files: Vec<Arc<DataFile>>) -> Vec<PartitionPlan> {
        let mut groups: BTreeMap<(i32, Tuple), Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in files {
            groups.entry((file.file.spec_no, file.file.partition.clone())).or_default().push(file);
        }
        let plan = |((spec_no, partition), mut files): ((i32, Tuple), Vec<Arc<DataFile>>)| {
            // Neighbours in time first: files that do not overlap merge without comparing rows.
            files.sort_by_key(|file| (file.file.time_range, file.id));
            let (jobs, reason) = match self.mode {
                OptimizeMode::Due => self.due(spec_no, files),
                OptimizeMode::Merges => {
                    files.retain(|file| !file.file.is_inline());
                    self.merges(spec_no, files)
                }
                OptimizeMode::Full => self.full(spec_no, files),
                OptimizeMode::Deletes => self.deletes(files, |file| file.vector.is_some()),
                OptimizeMode::Inline => self.flush(&mut files),
            };
            PartitionPlan { spec_no, partition, jobs, reason }
        };
        groups.into_iter().map(plan).collect()
    }

    fn due(&self, spec_no: i32, files: Vec<Arc<DataFile>>) -> (Vec<Job>, String) {
        let mut left = files;
        let (flushes, flushed) = self.flush(&mut left);
        if flushes.is_empty() {
            return self.merges(spec_no, left);
        }
        if left.is_empty() {
            return (flushes, flushed);
        }
        let (merges, merged) = self.merges(spec_no, left);
        (flushes.into_iter().chain(merges).collect(), format!("{flushed}; {merged}"))
    }

    fn merges(&self, spec_no: i32, files: Vec<Arc<DataFile>>) -> (Vec<Job>, String) {
        let mut left = files;
        let (mut jobs, mut reasons) = (Vec::new(), Vec::new());
        let cold = self.cold.is_some_and(|cold| left.iter().all(|file| file.begin_txn <= cold));
        if spec_no != self.table.spec.no {
            let split = format!("{} to split by partition", count(left.len(), "file"));
            if cold {
                reasons.push(split);
                jobs.extend(self.jobs(Action::Merge, left, Level::Full, self.target_bytes));
            } else {
                reasons.push(format!("{split}, not cold yet"));
            }
            return (jobs, reasons.join("; "));
        }

        let mut fresh = take(&mut left, |file| file.file.level <= Level::Fresh as i32);
        let fresh_files = fresh.len();
        let is_small = |file: &DataFile| file.file.level <= Level::Merged as i32;
        let small_bytes = bytes(&fresh) + bytes_of(&left, is_small);
        if bytes(&fresh) >= FRESH_BYTES && small_bytes >= self.target_bytes {
            // So many that they fill a file: no need to merge them twice.
            fresh.extend(take(&mut left, is_small));
            fresh.sort_by_key(|file| (file.file.time_range, file.id));
            reasons.push(format!(
                "{} of levels 0 and 1, {} bytes",
                count(fresh.len(), "file"),
                bytes(&fresh)
            ));
            jobs.extend(self.jobs(Action::Merge, fresh, Level::Full, self.target_bytes));
        } else if fresh.len() >= FRESH_FILES || bytes(&fresh) >= FRESH_BYTES {
            reasons.push(format!("{} of level 0, {} bytes", count(fresh.len(), "file"), bytes(&fresh)));
            jobs.extend(self.jobs(
                Action::Merge,
                fresh,
                Level::Merged,
                MERGED_FILE_BYTES.min(self.target_bytes),
            ));
        } else {
            left.extend(fresh);
        }
        let merged = take(&mut left, |file| file.file.level == Level::Merged as i32);
        if merged.len() >= MERGED_FILES || (!merged.is_empty() && bytes(&merged) >= self.target_bytes) {
            reasons.push(format!("{} of level 1, {} bytes", count(merged.len(), "file"), bytes(&merged)));
            jobs.extend(self.jobs(Action::Merge, merged, Level::Full, self.target_bytes));
        } else {
            left.extend(merged);
        }
        if cold {
            let small = take(&mut left, |file| file.file.bytes < self.target_bytes / 2);
            // A full file that finds no company within one job would be written again as it is, for ever.
            let (merges, alone): (Vec<Job>, Vec<Job>) = self
                .jobs(Action::Merge, small, Level::Full, self.target_bytes)
                .into_iter()
                .partition(|job| job.inputs.len() > 1);
            left.extend(alone.into_iter().flat_map(|job| job.inputs));
            if !merges.is_empty() {
                let files = merges.iter().map(|job| job.inputs.len()).sum();
                reasons.push(format!("cold, {} below half of the target size", count(files, "file")));
                jobs.extend(merges);
            }
        }
        let (deletes, reason) = self.deletes(left, is_worn);
        if !deletes.is_empty() {
            jobs.extend(deletes);
            reasons.push(reason);
        }
        if jobs.is_empty() {
            reasons.push(format!("{fresh_files} of {FRESH_FILES} files"));
        }
        (jobs, reasons.join("; "))
    }

    /// Takes the inline batches out of `files`.
    fn flush(&self, files: &mut Vec<Arc<DataFile>>) -> (Vec<Job>, String) {
        let inline = take(files, |file| file.file.is_inline());
        if inline.is_empty() {
            return (Vec::new(), "no inline files".to_owned());
        }
        let reason = format!("{}, {} bytes", count(inline.len(), "inline file"), bytes(&inline));
        let target_bytes = MERGED_FILE_BYTES.min(self.target_bytes);
        (self.jobs(Action::Flush, inline, Level::Fresh, target_bytes), reason)
    }

    fn full(&self, spec_no: i32, files: Vec<Arc<DataFile>>) -> (Vec<Job>, String) {
        let mut left = files;
        let is_outdated = |file: &DataFile| {
            file.file.is_inline()
                || spec_no != self.table.spec.no
                || file.file.sort_no != self.table.sort.no
                || file.vector.is_some()
        };
        // What a merge before this one made full is not read again.
        let work = take(&mut left, |file| {
            let is_full = file.file.level >= Level::Full as i32 && file.file.bytes >= self.target_bytes / 2;
            is_outdated(file) || !is_full
        });
        let outdated = work.iter().filter(|file| is_outdated(file)).count();
        if outdated == 0 && work.len() < 2 {
            return (Vec::new(), format!("{}, nothing to merge", count(left.len() + work.len(), "file")));
        }
        let reason = match outdated {
            0 => count(work.len(), "file"),
            _ => format!(
                "{}, {outdated} inline, with deleted rows or not in the present partitions and sort order",
                count(work.len(), "file")
            ),
        };
        (self.jobs(Action::Merge, work, Level::Full, self.target_bytes), reason)
    }

    fn deletes(
        &self,
        mut files: Vec<Arc<DataFile>>,
        is_due: impl Fn(&DataFile) -> bool,
    ) -> (Vec<Job>, String) {
        let due = take(&mut files, is_due);
        if due.is_empty() {
            return (Vec::new(), "no file with enough deleted rows".to_owned());
        }
        let reason = format!("{} with deleted rows", count(due.len(), "file"));
        // A file keeps its level, so that the thresholds go on to count it; what is written anew is not fresh, though.
        let mut by_level: BTreeMap<i32, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in due {
            by_level.entry(file.file.level).or_default().push(file);
        }
        let jobs = by_level.into_iter().flat_map(|(level, files)| {
            let (level, target) = match level {
                ..=1 => (Level::Merged, MERGED_FILE_BYTES.min(self.target_bytes)),
                _ => (Level::Full, self.target_bytes),
            };
            self.jobs(Action::Deletes, files, level, target)
        });
        (jobs.collect(), reason)
    }

    /// Cuts a list of files into jobs.
    fn jobs(&self, action: Action, files: Vec<Arc<DataFile>>, level: Level, target_bytes: u64) -> Vec<Job> {
        let files_max = if action == Action::Flush { FLUSH_FILES_MAX } else { JOB_FILES_MAX };
        let mut jobs: Vec<Job> = Vec::new();
        let mut room = (0, 0);
        for file in files {
            match jobs.last_mut() {
                Some(job) if room.0 > 0 && file.file.bytes <= room.1 => job.inputs.push(file.clone()),
                _ => {
                    jobs.push(Job { action, inputs: vec![file.clone()], level, target_bytes });
                    room = (files_max, JOB_BYTES_MAX);
                }
            }
            room = (room.0 - 1, room.1.saturating_sub(file.file.bytes));
        }
        jobs
    }
}

/// False only if the counters of a partition prove that [`Terms::plan`] finds nothing to merge in it. `spec_no`: the table's.
pub(crate) fn merge_may_be_due(
    counters: &PartitionCounters,
    spec_no: i32,
    target_bytes: u64,
    is_cold: bool,
) -> bool {
    let (fresh, merged) = (counters.fresh, counters.merged);
    fresh.files >= FRESH_FILES as u64
        || fresh.bytes >= FRESH_BYTES
        || merged.files >= MERGED_FILES as u64
        || (merged.files > 0 && merged.bytes >= target_bytes)
        || counters.deleted_rows > 0
        || (is_cold && (counters.live.files > 1 || counters.spec_no != spec_no))
}

/// True if the inline batches are worth a flush at once, not only after [`super::INLINE_AFTER`].
pub fn is_flush_due(inline: LevelCounters) -> bool {
    inline.files >= INLINE_FILES || inline.bytes >= INLINE_BYTES
}

fn is_worn(file: &DataFile) -> bool {
    file.vector.as_ref().is_some_and(|visible| {
        visible.vector.cardinality() * 100 >= file.file.rows * DELETED_PERCENT
            || visible.vector.encode().len() > VECTOR_BYTES_MAX
    })
}

fn take(files: &mut Vec<Arc<DataFile>>, wanted: impl Fn(&DataFile) -> bool) -> Vec<Arc<DataFile>> {
    files.extract_if(.., |file| wanted(file)).collect()
}

fn bytes(files: &[Arc<DataFile>]) -> u64 {
    bytes_of(files, |_| true)
}

fn bytes_of(files: &[Arc<DataFile>], wanted: impl Fn(&DataFile) -> bool) -> u64 {
    files.iter().filter(|file| wanted(file)).map(|file| file.file.bytes).sum()
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
