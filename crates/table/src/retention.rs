//! Rows that are too old go, whole files at a time: known from the catalog's rows alone, no file is opened.

use cenote_catalog::{Commit, Facts, FileEntry, Op, ReadSet, RetireKind, RunOf, TableChange, TableDef};
use cenote_vocab::{FileId, Micros, Scope, Txn};

use crate::{Error, Lake, OptimizeOutcome, Progress};

/// Files that one commit retires.
const FILES_PER_COMMIT: usize = 5_000;

impl Lake {
    /// Retires the files of a table whose newest row is older than the option `retention` of the table or its schema; one row, also where there is
    /// nothing to do. A file with one younger row stays whole, and so does one whose times are not known.
    pub async fn expire_rows(
        &self,
        scope: &Scope,
        table: &TableDef,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<OptimizeOutcome, Error> {
        Error::refuse_view(table)?;
        let base = self.catalog.head(scope).await?.txn;
        let names = self.catalog.names(scope, base).await?;
        let Some(keep) = self.options.within(&names, table)?.retention else {
            return Ok(OptimizeOutcome::none(table, "rows stay for ever"));
        };
        let before = self.clock.now().minus(keep);
        let old = too_old(self.catalog.visible_files(scope, table, base, None).await?.files, before);
        if old.is_empty() {
            let reason = format!("no file ends before {}", before.rfc3339());
            return Ok(OptimizeOutcome::none(table, &reason));
        }
        let mut outcome = OptimizeOutcome {
            action: "expire",
            reason: format!("all rows are from before {}", before.rfc3339()),
            files_in: old.len() as u64,
            bytes_in: bytes(&old),
            ..OptimizeOutcome::none(table, "")
        };
        if !dry_run {
            for part in old.chunks(FILES_PER_COMMIT) {
                progress.check()?;
                let files = part.iter().map(|file| file.id).collect();
                let txn = self.retire(scope, table, base, (files, progress.run())).await?;
                outcome.txn = Some(txn);
                progress.add((part.len() as u64, bytes(part)), (0, 0), Some(txn));
            }
        }
        Ok(outcome)
    }

    async fn retire(
        &self,
        scope: &Scope,
        table: &TableDef,
        base: Txn,
        (files, run): (Vec<FileId>, Option<RunOf>),
    ) -> Result<Txn, Error> {
        fail::fail_point!("retention.commit", |_| Err(Error::Internal(
            "fail point retention.commit".to_owned()
        )));
        let commit = Commit {
            commit_id: self.ids.uuid(),
            scope: scope.clone(),
            producers: Vec::new(),
            facts: Facts { operation: "retention".to_owned(), run, ..Facts::default() },
            tables: vec![TableChange {
                table: table.id,
                base,
                read: ReadSet::None,
                ops: vec![Op::Retire { files, kind: RetireKind::Expire }],
            }],
            objects: Vec::new(),
        };
        Ok(self.catalog.apply(commit).await?.txn)
    }
}

/// The files whose newest row is older than `before`.
fn too_old(mut files: Vec<FileEntry>, before: Micros) -> Vec<FileEntry> {
    files.retain(|file| file.time_range.is_some_and(|(_, newest)| newest < before.0));
    files
}

fn bytes(files: &[FileEntry]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}
