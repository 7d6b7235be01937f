//! Changes of rows: files come, files go, rows of files are deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_datafile::DeletionVector;
use cenote_vocab::{FileId, LIVE, TableId, TableSchema, Txn};

use super::new_file::{check_file, hash_128, tuple_text};
use super::step::Step;
use super::world::{KnownFile, TableWork};
use super::writes::{FileRow, VectorRow};
use crate::conflict::{self, Act, Fate, Rule, ops};
use crate::widening::note_file;
use crate::{
    Error, NewFile, Op, ReadSet, RetireKind, RewriteInput, TableChange, TableDef, TableKind, VisibleVector,
};

/// A file below this size is worth merging.
const SMALL_FILE_BYTES: u64 = 128 << 20;

impl Step<'_> {
    /// A change of a table that is gone: nothing to do for what only tidies up, an error for what brings or deletes rows.
    pub(super) fn change_missing_table(&mut self, change: &TableChange) -> Result<(), Error> {
        let tidying = |op: &Op| matches!(op, Op::Retire { kind: RetireKind::Expire, .. });
        if change.ops.iter().all(tidying) {
            return Ok(());
        }
        Err(Error::TableNotFound { name: change.table.to_string(), nearest: None })
    }

    /// A change that read the whole table fails if rows changed since.
    pub(super) fn check_read_set(&self, change: &TableChange, def: &TableDef) -> Result<(), Error> {
        if change.read == ReadSet::None {
            return Ok(());
        }
        let last = self.world.table(change.table).and_then(|work| work.last_data_txn).unwrap_or_default();
        if last > change.base {
            return Err(conflict(def, last, "rows changed since they were read"));
        }
        self.check_floor(change, def)
    }

    fn check_floor(&self, change: &TableChange, def: &TableDef) -> Result<(), Error> {
        let floor = self.world.table(change.table).map_or(Txn(0), |work| work.state.history_floor);
        if change.base < floor {
            return Err(conflict(def, floor, "the snapshot that it was planned on is no longer kept"));
        }
        Ok(())
    }

    pub(super) fn append(&mut self, change: &TableChange, files: &[NewFile]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let def = self.table_with_rows(change.table)?;
        self.tally(change.table, change.base, ops::APPEND).data_change = true;
        self.add_files(&def, change.table, change.base, files)
    }

    fn table_with_rows(&self, table: TableId) -> Result<Arc<TableDef>, Error> {
        let def = self
            .world
            .def(table)
            .ok_or_else(|| Error::TableNotFound { name: table.to_string(), nearest: None })?;
        match def.kind {
            TableKind::Table => Ok(def.clone()),
            TableKind::View { .. } => {
                Err(Error::Invalid(format!("\"{}\" is a view: it has no rows of its own", def.name)))
            }
        }
    }

    fn add_files(
        &mut self,
        def: &Arc<TableDef>,
        table: TableId,
        base: Txn,
        files: &[NewFile],
    ) -> Result<(), Error> {
        for file in files {
            check_file(def, file)?;
            let id = FileId(self.world.head.next_file);
            self.world.head.next_file += 1;
            let seq = {
                let tally = self.tally(table, base, 0);
                tally.added_files += 1;
                tally.added_rows += count(file.rows);
                tally.added_bytes += count(file.bytes);
                tally.seq
            };
            let txn = self.txn;
            let work = self.world.table_mut(table);
            let schema = work.schema(file.schema_no)?;
            if let Some(fits) = &mut work.double_fits {
                note_file(fits, &schema, &file.statistics);
            }
            let tuple = tuple_text(&file.partition);
            let partition = work.intern(file.spec_no, hash_128(tuple.as_bytes()), &tuple);
            let row_id_start = work.state.next_row_id;
            work.state.next_row_id += count(file.rows);
            work.state.live_files += 1;
            work.state.live_rows += count(file.rows);
            work.state.live_bytes += count(file.bytes);
            let counters = work.partition_mut(partition);
            counters.live_files += 1;
            counters.live_rows += count(file.rows);
            counters.live_bytes += count(file.bytes);
            counters.small_files += i64::from(file.bytes < SMALL_FILE_BYTES);
            counters.last_txn = txn;
            if let Some((low, high)) = file.time_range {
                let (old_low, old_high) = counters.time_range.unwrap_or((low, high));
                counters.time_range = Some((old_low.min(low), old_high.max(high)));
                work.state.max_span = work.state.max_span.max(high.saturating_sub(low));
            }
            self.writes.files.push(FileRow {
                table,
                id,
                begin: txn,
                partition,
                row_id_start,
                seq,
                def: def.clone(),
                schema,
                file: Arc::new(file.clone()),
                origin: self.commit.facts.operation.clone(),
            });
        }
        Ok(())
    }

    pub(super) fn delete_rows(
        &mut self,
        change: &TableChange,
        file: FileId,
        positions: &DeletionVector,
    ) -> Result<(), Error> {
        let def = self.table_with_rows(change.table)?;
        self.check_floor(change, &def)?;
        let known = self.known(change.table, file)?.clone();
        if let Some(last) = positions.positions().last()
            && last >= known.rows
        {
            return Err(Error::Invalid(format!(
                "position {last} is beyond the {} rows of file {file}",
                known.rows
            )));
        }
        if !self.applies(&def, change, Act::DeleteRows, &known)? {
            return Ok(());
        }
        let old = known.vector.as_ref().map(|visible| visible.vector.as_ref());
        let merged = old.map_or_else(|| positions.clone(), |old| old.union(positions));
        let already = old.map_or(0, DeletionVector::cardinality);
        let deleted = merged.cardinality() - already;
        if deleted == 0 {
            return Ok(());
        }
        if merged.cardinality() == known.rows {
            return self.end_file(change, file, &known, ops::RETIRE);
        }
        let txn = self.txn;
        self.count_deleted(change, ops::DELETE_ROWS, deleted);
        self.end_vector(change.table, file, &known);
        let vector = Arc::new(merged);
        self.writes.vectors.retain(|row| (row.table, row.file, row.begin) != (change.table, file, txn));
        self.writes.vectors.push(VectorRow {
            table: change.table,
            file,
            begin: txn,
            end: LIVE,
            vector: vector.clone(),
        });
        let work = self.world.table_mut(change.table);
        work.state.deleted_rows += count(deleted);
        let counters = work.partition_mut(known.partition);
        counters.deleted_rows += count(deleted);
        counters.last_txn = txn;
        if let Some(entry) = work.files.get_mut(&file) {
            entry.vector = Some(VisibleVector { begin_txn: txn, vector });
        }
        Ok(())
    }

    pub(super) fn retire_files(
        &mut self,
        change: &TableChange,
        files: &[FileId],
        kind: RetireKind,
    ) -> Result<(), Error> {
        let def = self.table_with_rows(change.table)?;
        if kind == RetireKind::Delete {
            self.check_floor(change, &def)?;
        }
        let (act, bit) = match kind {
            RetireKind::Delete => (Act::RetireDelete, ops::RETIRE),
            RetireKind::Expire => (Act::RetireExpire, ops::EXPIRE),
        };
        for file in files {
            let known = match self.known(change.table, *file) {
                Ok(known) => known.clone(),
                // Below the floor a file may be gone for good.
                Err(_) if kind == RetireKind::Expire => continue,
                Err(error) => return Err(error),
            };
            if self.applies(&def, change, act, &known)? {
                self.end_file(change, *file, &known, bit)?;
            }
        }
        Ok(())
    }

    /// A rewrite stands alone on its table and is dropped if one of its inputs is not as it was.
    pub(super) fn rewrite(&mut self, change: &TableChange) -> Result<(), Error> {
        let [Op::Rewrite { inputs, outputs }] = change.ops.as_slice() else {
            return Err(Error::Invalid(format!(
                "rewrite of table {} stands beside other changes of it",
                change.table
            )));
        };
        let Some(def) = self.world.def(change.table).cloned() else {
            self.committed.discarded.push(change.table);
            return Ok(());
        };
        let distinct: BTreeSet<FileId> = inputs.iter().map(|input| input.file).collect();
        if distinct.len() != inputs.len() {
            return Err(Error::Invalid(format!("rewrite of {} names a file twice", def.full_name())));
        }
        let mut known_inputs = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(known) = self.rewritable(change.table, input) else {
                self.committed.discarded.push(change.table);
                return Ok(());
            };
            known_inputs.push((input.file, known));
        }
        let before: u64 = known_inputs.iter().map(|(_, known)| known.rows - deleted_of(known)).sum();
        let after: u64 = outputs.iter().map(|file| file.rows).sum();
        if before != after {
            return Err(Error::Invalid(format!(
                "rewrite of {before} rows of {} brings {after}",
                def.full_name()
            )));
        }
        for (file, known) in &known_inputs {
            self.end_file_silently(change, *file, known);
        }
        self.tally(change.table, change.base, ops::REWRITE);
        self.add_files(&def, change.table, change.base, outputs)
    }

    fn rewritable(&self, table: TableId, input: &RewriteInput) -> Option<KnownFile> {
        let known = self.known(table, input.file).ok()?;
        let seen = known.vector.as_ref().map(|visible| visible.begin_txn);
        let fate = match known.ended {
            Some((_, bits)) => conflict::fate_of_ended(bits),
            None if seen != input.seen => Fate::RowsDeleted,
            None => Fate::Same,
        };
        (conflict::rule(Act::Rewrite, fate) == Rule::Apply).then(|| known.clone())
    }

    fn known(&self, table: TableId, file: FileId) -> Result<&KnownFile, Error> {
        let never = || Error::Invalid(format!("table {table} never had file {file}"));
        self.world.table(table).ok_or_else(never)?.file(table, file)
    }

    /// Whether to act on the file as it is now. `CommitConflict` if the change must be planned again.
    fn applies(
        &self,
        def: &TableDef,
        change: &TableChange,
        act: Act,
        known: &KnownFile,
    ) -> Result<bool, Error> {
        let fate = match (&known.ended, &known.vector) {
            (Some((end, _)), _) if *end <= change.base => {
                return Err(Error::Invalid(format!(
                    "a file of {} was gone at {end}, before base {}",
                    def.full_name(),
                    change.base
                )));
            }
            (Some((_, bits)), _) => conflict::fate_of_ended(*bits),
            (None, Some(visible)) if visible.begin_txn > change.base => Fate::RowsDeleted,
            (None, _) => Fate::Same,
        };
        match conflict::rule(act, fate) {
            Rule::Apply => Ok(true),
            Rule::Skip | Rule::Discard => Ok(false),
            Rule::Rerun => {
                let with = known.ended.map_or(self.world.head.txn, |(end, _)| end);
                Err(conflict(def, with, "its files were rewritten since they were read"))
            }
        }
    }

    /// Ends a file whose rows are deleted.
    fn end_file(
        &mut self,
        change: &TableChange,
        file: FileId,
        known: &KnownFile,
        bit: i32,
    ) -> Result<(), Error> {
        self.count_deleted(change, bit, known.rows - deleted_of(known));
        self.end_file_silently(change, file, known);
        let txn = self.txn;
        if let Some(entry) = self.world.table_mut(change.table).files.get_mut(&file) {
            entry.ended = Some((txn, bit));
            entry.vector = None;
        }
        Ok(())
    }

    fn end_file_silently(&mut self, change: &TableChange, file: FileId, known: &KnownFile) {
        self.tally(change.table, change.base, 0).removed_files += 1;
        self.end_vector(change.table, file, known);
        let txn = self.txn;
        self.writes.file_ends.push((change.table, file, txn));
        let work = self.world.table_mut(change.table);
        let gone = count(deleted_of(known));
        work.state.live_files -= 1;
        work.state.live_rows -= count(known.rows);
        work.state.deleted_rows -= gone;
        work.state.live_bytes -= count(known.bytes);
        let counters = work.partition_mut(known.partition);
        counters.live_files -= 1;
        counters.live_rows -= count(known.rows);
        counters.live_bytes -= count(known.bytes);
        counters.small_files -= i64::from(known.bytes < SMALL_FILE_BYTES);
        counters.deleted_rows -= gone;
        counters.last_txn = txn;
        if let Some(entry) = work.files.get_mut(&file) {
            entry.ended = Some((txn, ops::REWRITE));
            entry.vector = None;
        }
    }

    /// Ends the file's vector, if it has one; one that this very commit made never was.
    fn end_vector(&mut self, table: TableId, file: FileId, known: &KnownFile) {
        let Some(visible) = &known.vector else { return };
        let txn = self.txn;
        if visible.begin_txn == txn {
            self.writes.vectors.retain(|row| (row.table, row.file, row.begin) != (table, file, txn));
        } else {
            self.writes.vector_ends.push((table, file, visible.begin_txn, txn));
        }
    }

    fn count_deleted(&mut self, change: &TableChange, bit: i32, rows: u64) {
        let tally = self.tally(change.table, change.base, bit);
        tally.data_change = true;
        tally.deleted_rows += count(rows);
        self.committed.deleted_rows += rows;
    }
}

impl TableWork {
    fn schema(&self, no: i32) -> Result<Arc<TableSchema>, Error> {
        self.schemas
            .get(&no)
            .cloned()
            .ok_or_else(|| Error::Internal(format!("schema {no} of a file is not loaded")))
    }
}

fn deleted_of(known: &KnownFile) -> u64 {
    known.vector.as_ref().map_or(0, |visible| visible.vector.cardinality())
}

fn conflict(def: &TableDef, with_txn: Txn, reason: &str) -> Error {
    Error::CommitConflict { table: def.full_name(), with_txn, reason: reason.into() }
}

/// Counters in the database are signed.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
