//! `OPTIMIZE … DEDUP`: of each key all rows go but the newest.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use cenote_catalog::{Commit, Facts, Input, Op, ReadSet, Reruns, RowChange, RunOf, TableChange, TableDef};
use cenote_datafile::DeletionVector;
use cenote_vocab::{Scope, Txn};

use super::RowKey;
use super::read::KeyReader;
use crate::scan::ScanFile;
use crate::worker::on_worker;
use crate::{Error, Lake, OptimizeOutcome, Predicate};

/// Memory of one key with its place, about.
const KEY_BYTES: u64 = 160;
/// The part of the memory that keys may take.
const MEMORY_PARTS: u64 = 4;

/// Older rows of keys, by the file's place in the scan.
type Older = BTreeMap<usize, DeletionVector>;

impl Lake {
    /// Deletes all rows but the newest (by sequence number, then file, then position) of each key, from before the table's rows
    /// replaced each other. `NotKeyed` if they do not.
    pub async fn dedup(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        dry_run: bool,
    ) -> Result<OptimizeOutcome, Error> {
        Error::refuse_view(table)?;
        let mut reruns = Reruns::new(self.ids.clone());
        loop {
            match self.dedup_at_head(scope, table, dry_run).await {
                Err(Error::Catalog(error)) => self.clock.pause(reruns.pause_after(error)?).await,
                done => return done,
            }
        }
    }

    async fn dedup_at_head(
        &self,
        scope: &Scope,
        table: &TableDef,
        dry_run: bool,
    ) -> Result<OptimizeOutcome, Error> {
        let base = self.catalog.head(scope).await?.txn;
        let names = self.catalog.names(scope, base).await?;
        let table = names.table_by_id(table.id).cloned().ok_or_else(|| {
            let (name, nearest) = (table.full_name(), None);
            cenote_catalog::Error::TableNotFound { name, nearest }
        })?;
        let key = RowKey::of_dedup(&table)?.ok_or_else(|| Error::NotKeyed(table.full_name()))?;
        let files = self.scan(scope, &table, base, &Predicate::True).await?.files;
        let (lake, of, whose) = (self.clone(), Arc::clone(&table), scope.clone());
        let (files, older) = on_worker(move || async move {
            let older = lake.older_rows(&whose, &of, &key, &files).await?;
            Ok((files, older))
        })
        .await?;
        let rows: u64 = older.values().map(DeletionVector::cardinality).sum();
        if rows == 0 {
            return Ok(OptimizeOutcome::none(&table, "each key has one row"));
        }
        let touched = older.keys().map(|at| &files[*at].entry.file);
        let (files_in, bytes_in) =
            touched.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.bytes));
        let txn = match dry_run {
            true => None,
            false => Some(self.delete_older(scope, &table, base, &files, older).await?),
        };
        let reason = format!("{rows} older rows of keys");
        Ok(OptimizeOutcome {
            action: "dedup",
            files_in,
            bytes_in,
            txn,
            ..OptimizeOutcome::none(&table, &reason)
        })
    }

    /// In as many passes as the memory asks for, each with its part of the keys.
    async fn older_rows(
        &self,
        scope: &Scope,
        table: &TableDef,
        key: &RowKey,
        files: &[ScanFile],
    ) -> Result<Older, Error> {
        let rows: u64 = files.iter().map(|file| file.entry.live_rows()).sum();
        let bytes_max = (self.memory.limit() / MEMORY_PARTS).max(KEY_BYTES);
        let passes = (rows * KEY_BYTES).div_ceil(bytes_max).max(1);
        let _reservation = self.memory.reserve((rows * KEY_BYTES).min(bytes_max))?;
        let reader = KeyReader::new((self, scope), table, key);
        let hasher = RandomState::new();
        let mut older = Older::new();
        for pass in 0..passes {
            let mut newest: HashMap<Box<[u8]>, (i64, usize, u64)> = HashMap::new();
            for (at, file) in files.iter().enumerate() {
                let visit = |row: arrow::row::Row<'_>, place: super::read::Place| {
                    if passes > 1 && hasher.hash_one(row.data()) % passes != pass {
                        return;
                    }
                    let found = (place.seq, at, place.position);
                    let loser = match newest.entry(row.data().into()) {
                        Entry::Vacant(entry) => {
                            entry.insert(found);
                            return;
                        }
                        Entry::Occupied(mut entry) => {
                            let known = *entry.get();
                            entry.insert(known.max(found));
                            known.min(found)
                        }
                    };
                    older.entry(loser.1).or_default().insert(loser.2);
                };
                reader.each(file, None, visit).await?;
            }
        }
        Ok(older)
    }

    async fn delete_older(
        &self,
        scope: &Scope,
        table: &TableDef,
        base: Txn,
        files: &[ScanFile],
        older: Older,
    ) -> Result<Txn, Error> {
        let ops = older.into_iter().map(|(at, positions)| {
            let entry = &files[at].entry;
            let seen = entry.vector.as_ref().map(|visible| visible.begin_txn);
            Op::DeleteRows { file: entry.id, seen, positions, kind: RowChange::Delete }
        });
        let read = Input { node: table.id.to_string(), from: None, to: Some(base.to_string()) };
        let commit = Commit {
            commit_id: self.ids.uuid(),
            scope: scope.clone(),
            producers: Vec::new(),
            facts: Facts {
                operation: "dedup".to_owned(),
                inputs: vec![read],
                run: Some(RunOf::Query { id: self.ids.uuid(), started: self.clock.now() }),
                ..Facts::default()
            },
            tables: vec![TableChange { table: table.id, base, read: ReadSet::None, ops: ops.collect() }],
            objects: Vec::new(),
        };
        Ok(self.catalog.apply(commit).await?.txn)
    }
}
