//! Merges small files into large ones; rows stay the same.

mod plan;
mod rewrite;
mod sorter;

use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{Commit, Facts, Input, NewFile, Op, ReadSet, RewriteInput, TableChange, TableDef};
use cenote_vocab::{Micros, Scope, Transform, Txn};

use self::plan::{Action, Job, PartitionPlan, Terms};
use crate::scan::{ScanFile, Schemas};
use crate::{Error, Lake};

/// A partition without new files for this long is cold.
const COLD_AFTER: Duration = Duration::from_secs(3600);

/// Which files are worth a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptimizeMode {
    /// By the thresholds of the table page, section 10.
    #[default]
    Due,
    /// Everything that is not one full file per partition, and every deletion vector.
    Full,
    /// Only files with deleted rows.
    Deletes,
}

/// What was done, or would be, in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizeOutcome {
    /// `schema.table`
    pub table: String,
    /// The tuple as text; empty if unpartitioned.
    pub partition: String,
    /// `merge`, `deletes`, `none`, `discarded`
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
    /// and deletes. One row per partition, also where there is nothing to do.
    ///
    /// A merge whose input changed meanwhile is `discarded`: nothing is lost, call again. After an error, what was committed
    /// before it stays.
    pub async fn optimize(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        mode: OptimizeMode,
        dry_run: bool,
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
            job_bytes: rewrite::job_bytes(self.memory.limit()),
            cold: self.cold_before(scope).await?,
        };
        let plans = terms.plan(self.catalog.files(scope, table, base, None).await?);
        let compaction = Compaction { lake: self, scope, table, base };
        let mut outcomes = Vec::with_capacity(plans.len().max(1));
        for plan in &plans {
            outcomes.push(compaction.run(plan, dry_run).await?);
        }
        if outcomes.is_empty() {
            outcomes.push(outcome(table, String::new(), "none", "no files".to_owned()));
        }
        Ok(outcomes)
    }

    /// The newest version older than [`COLD_AFTER`], if there is one.
    async fn cold_before(&self, scope: &Scope) -> Result<Option<Txn>, Error> {
        match self.catalog.txn_at(scope, self.clock.now().minus(COLD_AFTER)).await {
            Ok(txn) => Ok(Some(txn)),
            Err(cenote_catalog::Error::SnapshotExpired(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

/// One call of `OPTIMIZE` on one table.
struct Compaction<'a> {
    lake: &'a Lake,
    scope: &'a Scope,
    table: &'a Arc<TableDef>,
    base: Txn,
}

impl Compaction<'_> {
    async fn run(&self, plan: &PartitionPlan, dry_run: bool) -> Result<OptimizeOutcome, Error> {
        let partition = partition_text(self.table, plan);
        let mut row = outcome(self.table, partition, action(&plan.jobs), plan.reason.clone());
        let mut discarded = 0;
        for job in &plan.jobs {
            let committed = if dry_run { None } else { self.run_job(plan, job).await? };
            match committed {
                Some((txn, outputs)) => {
                    row.files_out += outputs.len() as u64;
                    row.bytes_out += outputs.iter().map(|file| file.bytes).sum::<u64>();
                    row.txn = Some(txn);
                }
                None if dry_run => {}
                None => {
                    discarded += 1;
                    continue;
                }
            }
            row.files_in += job.inputs.len() as u64;
            row.bytes_in += job.inputs.iter().map(|file| file.file.bytes).sum::<u64>();
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
        fail::fail_point!("compact.file", |_| Err(Error::Internal("fail point compact.file".to_owned())));
        let mut schemas = Schemas::of(self.table);
        let mut inputs = Vec::with_capacity(job.inputs.len());
        for file in &job.inputs {
            let schema = schemas.at(self.lake, self.scope, file.file.schema_no).await?;
            inputs.push(ScanFile::new(self.table, file.clone(), schema));
        }
        let place = (plan.spec_no, &plan.partition);
        let outputs = rewrite::rewrite(self.lake, self.table, place, job, inputs).await?;
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
            facts: Facts { operation: "compact".to_owned(), inputs: vec![read], ..Facts::default() },
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
    } else {
        "deletes"
    }
}

/// Dates and hours as people write them; plain numbers where the spec is not the present one.
fn partition_text(table: &TableDef, plan: &PartitionPlan) -> String {
    let units = plan.partition.iter().enumerate().map(|(at, unit)| {
        let transform = (plan.spec_no == table.spec.no).then(|| table.spec.fields.get(at)).flatten();
        match (unit, transform.map(|field| field.transform)) {
            (None, _) => "NULL".to_owned(),
            (Some(unit), None) => unit.to_string(),
            (Some(unit), Some(transform)) => unit_text(*unit, transform),
        }
    });
    units.collect::<Vec<_>>().join(", ")
}

fn unit_text(unit: i64, transform: Transform) -> String {
    let start = Micros(unit.saturating_mul(transform.unit_micros())).rfc3339();
    match (start.split_once('T'), transform) {
        (Some((date, _)), Transform::Day) => date.to_owned(),
        (Some((date, time)), Transform::Hour) => format!("{date}T{}", time.split(':').next().unwrap_or(time)),
        (None, _) => unit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_dates_and_hours() {
        assert_eq!(unit_text(19_844, Transform::Day), "2024-05-01");
        assert_eq!(unit_text(-1, Transform::Hour), "1969-12-31T23");
        assert_eq!(unit_text(i64::MAX, Transform::Hour), i64::MAX.to_string());
    }
}
