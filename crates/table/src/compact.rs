//! Merges small files into large ones; rows stay the same.

mod plan;
mod rewrite;
mod sorter;
mod spill;

use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{
    Commit, Facts, Input, NewFile, Op, PartitionCounters, ReadSet, RewriteInput, TableChange, TableDef,
};
use cenote_vocab::{Micros, PartitionValue, Scope, Transform, Txn};

pub use self::plan::is_flush_due;
use self::plan::{Action, Job, PartitionPlan, Terms};
use crate::scan::{ScanFile, Schemas};
use crate::transform::day_unit_start;
use crate::writer::keeping_row_ids;
use crate::{Error, Lake, Predicate, Progress};

/// A partition without new files for this long is cold.
pub const COLD_AFTER: Duration = Duration::from_secs(3600);

/// Inline batches of a table are flushed after this, or when [`is_flush_due`] says so.
pub const INLINE_AFTER: Duration = Duration::from_secs(60);
/// How often a flush of inline batches is tried while others delete their rows.
const FLUSH_ATTEMPTS_MAX: usize = 5;

const MICROS_PER_HOUR: i128 = 3_600_000_000;
/// Units beyond are no dates.
const UNIT_MIN: i128 = i64::MIN as i128;
const UNIT_MAX: i128 = i64::MAX as i128;

/// Which files are worth a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptimizeMode {
    /// By the thresholds of the table page, section 10.
    #[default]
    Due,
    /// As `Due`, but for inline batches.
    Merges,
    /// Everything that is not one full file per partition, and every deletion vector.
    Full,
    /// Only files with deleted rows.
    Deletes,
    /// Only inline batches.
    Inline,
}

/// What was done, or would be, in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizeOutcome {
    /// `schema.table`
    pub table: String,
    /// The tuple as text; empty if unpartitioned.
    pub partition: String,
    /// `merge`, `deletes`, `flush` (of inline batches), `expire`, `none`, `discarded`
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// Files read.
    pub files_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Files written (0 in a dry run).
    pub files_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// The commit; of several, the last.
    pub txn: Option<Txn>,
}

impl Lake {
    /// Compacts a table, partition by partition, each in its own commit (several if it is large) that commutes with appends
    /// and deletes: of all files, or of those alone that may hold rows for which `only` is true. One row per partition, also
    /// where there is nothing to do.
    ///
    /// A merge whose input changed meanwhile is `discarded`: nothing is lost, call again. After an error, what was committed
    /// before it stays.
    pub async fn optimize(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        mode: OptimizeMode,
        only: &Predicate,
        dry_run: bool,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        let (wanted, progress) = ((only, |_: &NewFile| true), Progress::default());
        let how = if dry_run { How::Dry } else { How::Asked };
        let outcomes = self.optimize_files(scope, table, mode, wanted, how, &progress).await?;
        if outcomes.is_empty() {
            return Ok(vec![OptimizeOutcome::none(table, "no files")]);
        }
        Ok(outcomes)
    }

    /// Moves the rows of the table's inline batches into objects; answers the last commit, `None` if there were none. Batches
    /// whose rows are deleted meanwhile stay for the next call if that happens again and again.
    pub async fn flush_inline(&self, scope: &Scope, table: &Arc<TableDef>) -> Result<Option<Txn>, Error> {
        let mut newest = None;
        for _ in 0..FLUSH_ATTEMPTS_MAX {
            if self.catalog.inline_counters(scope, table.id).await?.files == 0 {
                break;
            }
            let outcomes = self.optimize(scope, table, OptimizeMode::Inline, &Predicate::True, false).await?;
            newest = outcomes.iter().filter_map(|outcome| outcome.txn).chain(newest).max();
        }
        Ok(newest)
    }

    /// Compacts one partition: the one whose tuple reads so in its spec. `None` if it has no files. What an open
    /// transaction changes is left to it.
    pub async fn compact_partition(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        (spec_no, tuple): (i32, &str),
        mode: OptimizeMode,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Option<OptimizeOutcome>, Error> {
        let is_in = |file: &NewFile| file.spec_no == spec_no && file.tuple_text() == tuple;
        let (wanted, how) = ((&Predicate::True, is_in), if dry_run { How::Dry } else { How::ByItself });
        let outcomes = self.optimize_files(scope, table, mode, wanted, how, progress).await?;
        Ok(outcomes.into_iter().next())
    }

    /// One row per partition of those files.
    async fn optimize_files(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        mode: OptimizeMode,
        (only, wanted): (&Predicate, impl Fn(&NewFile) -> bool),
        how: How,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        Error::refuse_view(table)?;
        // The columns as of the very snapshot that is rewritten: with older ones, values of new columns would be lost.
        let base = self.catalog.head(scope).await?.txn;
        let names = self.catalog.names(scope, base).await?;
        let table = names.table_by_id(table.id).ok_or_else(|| {
            let (name, nearest) = (table.full_name(), None);
            cenote_catalog::Error::TableNotFound { name, nearest }
        })?;
        let terms = Terms {
            table,
            mode,
            target_bytes: self.options.of(table)?.target_file_bytes,
            cold: self.cold_before(scope).await?,
        };
        let files = self.scan(scope, table, base, only).await?.files.into_iter().map(|file| file.entry);
        let files: Vec<_> = files.filter(|file| wanted(&file.file)).collect();
        let written = if table.row_lineage() { Arc::new(keeping_row_ids(table)) } else { table.clone() };
        let compaction = Compaction { lake: self, scope, table, written, base, progress, how };
        let mut outcomes = Vec::new();
        for plan in terms.plan(files) {
            outcomes.push(compaction.run(&plan, how == How::Dry).await?);
        }
        Ok(outcomes)
    }

    /// False only if the counters of a partition of `table` prove that there is nothing to merge in it; `cold` as
    /// [`Lake::cold_before`] says.
    pub fn merge_may_be_due(
        &self,
        table: &TableDef,
        counters: &PartitionCounters,
        cold: Option<Txn>,
    ) -> Result<bool, Error> {
        let target_bytes = self.options.of(table)?.target_file_bytes;
        let is_cold = cold.is_some_and(|cold| counters.last_txn <= cold);
        Ok(plan::merge_may_be_due(counters, table.spec.no, target_bytes, is_cold))
    }

    /// The newest version that is old enough for the partitions it changed to be cold; `None` if all are young.
    pub async fn cold_before(&self, scope: &Scope) -> Result<Option<Txn>, Error> {
        match self.catalog.txn_at(scope, self.clock.now().minus(COLD_AFTER)).await {
            Ok(txn) => Ok(Some(txn)),
            Err(cenote_catalog::Error::SnapshotExpired(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl OptimizeOutcome {
    /// Nothing was to do in the table.
    pub(crate) fn none(table: &TableDef, reason: &str) -> Self {
        outcome(table, String::new(), "none", reason.to_owned())
    }
}

fn outcome(table: &TableDef, partition: String, action: &'static str, reason: String) -> OptimizeOutcome {
    OptimizeOutcome {
        table: table.full_name(),
        partition,
        action,
        reason,
        files_in: 0,
        bytes_in: 0,
        files_out: 0,
        bytes_out: 0,
        txn: None,
    }
}

/// For whom files are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// For nobody: only to say what would be done.
    Dry,
    /// For who asked.
    Asked,
    /// For the table's good: transactions go first.
    ByItself,
}

/// One call of `OPTIMIZE` on one table.
struct Compaction<'a> {
    lake: &'a Lake,
    scope: &'a Scope,
    table: &'a Arc<TableDef>,
    /// The table with the columns of new files.
    written: Arc<TableDef>,
    base: Txn,
    progress: &'a Progress,
    how: How,
}

impl Compaction<'_> {
    async fn run(&self, plan: &PartitionPlan, dry_run: bool) -> Result<OptimizeOutcome, Error> {
        let partition = partition_text(self.table, plan);
        let mut row = outcome(self.table, partition, action(&plan.jobs), plan.reason.clone());
        let mut discarded = 0;
        for job in &plan.jobs {
            let committed = if dry_run { None } else { self.run_job(plan, job).await? };
            let read = (job.inputs.len() as u64, job.inputs.iter().map(|file| file.file.bytes).sum::<u64>());
            match committed {
                Some((txn, outputs)) => {
                    let written = (outputs.len() as u64, outputs.iter().map(|file| file.bytes).sum::<u64>());
                    row.files_out += written.0;
                    row.bytes_out += written.1;
                    row.txn = Some(txn);
                    self.progress.add(read, written, Some(txn));
                }
                None if dry_run => {}
                None => {
                    discarded += 1;
                    continue;
                }
            }
            row.files_in += read.0;
            row.bytes_in += read.1;
        }
        if discarded > 0 {
            row.reason = format!("{}; inputs changed in {discarded} of {} jobs", row.reason, plan.jobs.len());
            if discarded == plan.jobs.len() {
                row.action = "discarded";
            }
        }
        Ok(row)
    }

    /// The commit and its new files; `None` if it was discarded because an input changed.
    async fn run_job(&self, plan: &PartitionPlan, job: &Job) -> Result<Option<(Txn, Vec<NewFile>)>, Error> {
        self.progress.check()?;
        fail::fail_point!("compact.file", |_| Err(Error::Internal("fail point compact.file".to_owned())));
        let mut schemas = Schemas::of(self.table);
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for file in &job.inputs {
            let schema = schemas.at(self.lake, self.scope, file.file.schema_no).await?;
            inputs.push(ScanFile::new(self.table, file.clone(), schema));
        }
        let place = (plan.spec_no, &plan.partition);
        let outputs =
            rewrite::rewrite((self.lake, self.scope), &self.written, place, job, inputs, self.progress)
                .await?;
        if self.how == How::ByItself && self.lake.changing.is(self.table.id, self.lake.clock.now()) {
            self.lake.delete_new(self.table, &outputs).await; // a transaction began meanwhile, which this would break
            return Ok(None);
        }
        let committed = self.commit(job, outputs.clone()).await;
        match committed {
            Ok(Some(txn)) => Ok(Some((txn, outputs))),
            Ok(None) | Err(Error::Catalog(cenote_catalog::Error::CommitConflict { .. })) => {
                self.lake.delete_new(self.table, &outputs).await;
                Ok(None)
            }
            // Perhaps committed: then these are the table's only copy.
            Err(error @ Error::Catalog(cenote_catalog::Error::OutcomeUnknown(_))) => Err(error),
            Err(error) => {
                self.lake.delete_new(self.table, &outputs).await;
                Err(error)
            }
        }
    }

    async fn commit(&self, job: &Job, outputs: Vec<NewFile>) -> Result<Option<Txn>, Error> {
        fail::fail_point!("compact.commit", |_| Err(Error::Internal("fail point compact.commit".to_owned())));
        let inputs = job.inputs.iter().map(|file| RewriteInput {
            file: file.id,
            seen: file.vector.as_ref().map(|visible| visible.begin_txn),
        });
        let read = Input { node: self.table.id.to_string(), from: None, to: Some(self.base.to_string()) };
        let commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: self.scope.clone(),
            producers: Vec::new(),
            facts: Facts {
                operation: "compact".to_owned(),
                inputs: vec![read],
                run: self.progress.run(),
                ..Facts::default()
            },
            tables: vec![TableChange {
                table: self.table.id,
                base: self.base,
                read: ReadSet::None,
                ops: vec![Op::Rewrite { inputs: inputs.collect(), outputs }],
            }],
            objects: Vec::new(),
        };
        let committed = self.lake.catalog.apply(commit).await?;
        Ok((!committed.discarded.contains(&self.table.id)).then_some(committed.txn))
    }
}

fn action(jobs: &[Job]) -> &'static str {
    if jobs.is_empty() {
        "none"
    } else if jobs.iter().any(|job| job.action == Action::Merge) {
        "merge"
    } else if jobs.iter().any(|job| job.action == Action::Deletes) {
        "deletes"
    } else {
        "flush"
    }
}

/// Dates and hours as people write them; plain values where the spec is not the present one.
fn partition_text(table: &TableDef, plan: &PartitionPlan) -> String {
    let values = plan.partition.iter().enumerate().map(|(at, value)| {
        let part = (plan.spec_no == table.spec.no).then(|| table.spec.fields.get(at)).flatten();
        let transform = part.map_or(Transform::Identity, |part| part.transform);
        value.as_ref().map_or_else(|| "NULL".to_owned(), |value| value_text(value, transform))
    });
    values.collect::<Vec<_>>().join(", ")
}

fn value_text(value: &PartitionValue, transform: Transform) -> String {
    match value {
        PartitionValue::Integer(unit) => unit_text(*unit, transform),
        PartitionValue::Boolean(value) => value.to_string(),
        PartitionValue::Text(text) => text.clone(),
        PartitionValue::Bytes(bytes) => hex::encode(bytes),
    }
}

fn unit_text(unit: i128, transform: Transform) -> String {
    let hours = match transform {
        Transform::Hour => unit,
        Transform::Year | Transform::Month | Transform::Day => {
            day_unit_start(unit.clamp(UNIT_MIN, UNIT_MAX), transform) * 24
        }
        _ => return unit.to_string(),
    };
    let micros = hours.saturating_mul(MICROS_PER_HOUR);
    let start = i64::try_from(micros).map(|micros| Micros(micros).rfc3339()).unwrap_or_default();
    // 2024-05-01T00:00:00Z
    let length = match transform {
        Transform::Year => 4,
        Transform::Month => 7,
        Transform::Day => 10,
        _ => 13,
    };
    match start.get(..length) {
        Some(text) if start.as_bytes().get(10) == Some(&b'T') => text.to_owned(),
        _ => unit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_dates_and_hours() {
        assert_eq!(unit_text(19_844, Transform::Day), "2024-05-01");
        assert_eq!(unit_text(-1, Transform::Hour), "1969-12-31T23");
        assert_eq!(unit_text(652, Transform::Month), "2024-05");
        assert_eq!(unit_text(54, Transform::Year), "2024");
        assert_eq!(unit_text(7, Transform::Bucket(16)), "7");
        assert_eq!(unit_text(UNIT_MAX, Transform::Hour), UNIT_MAX.to_string());
    }
}
