//! Rows and files that go: deletes, updates, retirements, replacements, rewrites.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_datafile::DeletionVector;
use cenote_vocab::{FileId, LIVE, TableId, Txn};

use super::arrive::SMALL_FILE_BYTES;
use super::reads::conflict;
use super::step::Step;
use super::world::{KnownFile, VectorVersion};
use super::writes::VectorRow;
use crate::conflict::{self as matrix, Act, Fate, Rule, ops};
use crate::{
    Clash, Content, DataFile, Error, NewFile, Op, ReadSet, Region, RetireKind, RewriteInput, RowChange,
    TableChange, TableDef, TableKind, VisibleVector,
};

impl Step<'_> {
    /// A change of a table that is gone: nothing to do for what only tidies up, an error for what brings or deletes rows.
    pub(super) fn change_missing_table(&mut self, change: &TableChange) -> Result<(), Error> {
        let tidying = |op: &Op| matches!(op, Op::Retire { kind: RetireKind::Expire, .. });
        if change.ops.iter().all(tidying) {
            return Ok(());
        }
        Err(Error::TableNotFound { name: change.table.to_string(), nearest: None })
    }

    pub(super) fn table_with_rows(&self, table: TableId) -> Result<Arc<TableDef>, Error> {
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

    pub(super) fn delete_rows(
        &mut self,
        change: &TableChange,
        file: FileId,
        positions: &DeletionVector,
        kind: RowChange,
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
        let (act, bit) = match kind {
            RowChange::Delete => (Act::DeleteRows, ops::DELETE_ROWS),
            RowChange::Update => (Act::UpdateRows, ops::UPDATE),
        };
        if !self.applies(&def, change, act, (file, &known), Some(positions))? {
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
            let bit = if kind == RowChange::Update { ops::RETIRE | ops::UPDATE } else { ops::RETIRE };
            return self.end_file(change, file, &known, bit);
        }
        let txn = self.txn;
        self.count_deleted(change, bit, deleted);
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
            if entry.versions.is_empty()
                && let Some(old) = &known.vector
            {
                // It was there at every base of the group.
                let vector = old.vector.clone();
                entry.versions.push(VectorVersion { begin: old.begin_txn, ops: 0, vector });
            }
            entry.versions.push(VectorVersion { begin: txn, ops: bit, vector: vector.clone() });
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
            if self.applies(&def, change, act, (*file, &known), None)? {
                self.end_file(change, *file, &known, bit)?;
            }
        }
        Ok(())
    }

    /// Exchanges what a region covers; nothing else may have touched it since the base.
    pub(super) fn replace(
        &mut self,
        change: &TableChange,
        filter: &Region,
        retire: &[FileId],
        append: &[NewFile],
    ) -> Result<(), Error> {
        let def = self.table_with_rows(change.table)?;
        self.check_floor(change, &def)?;
        if def.begin_txn > change.base && def.begin_txn < self.txn {
            return Err(conflict(&def, Clash::Altered, def.begin_txn, Vec::new()));
        }
        self.check_region(change, &def, filter)?;
        for file in retire {
            let known = self.known(change.table, *file)?.clone();
            if self.applies(&def, change, Act::Replace, (*file, &known), None)? {
                self.end_file(change, *file, &known, ops::REPLACE)?;
            }
        }
        self.add_files(&def, change, append, ops::REPLACE)
    }

    /// Puts the table back to a version that is still kept.
    pub(super) fn restore(
        &mut self,
        change: &TableChange,
        to: Txn,
        retire: &[FileId],
        files: &[Arc<DataFile>],
    ) -> Result<(), Error> {
        let def = self.table_with_rows(change.table)?;
        if change.read != ReadSet::All {
            return Err(Error::Invalid(format!(
                "{} is restored by what has not read all of it",
                def.full_name()
            )));
        }
        if let Some(work) = self.world.table(change.table)
            && to < work.state.history_floor
            && !work.tagged.contains(&to)
        {
            return Err(Error::SnapshotExpired(format!(
                "version {to} of {} is no longer kept",
                def.full_name()
            )));
        }
        for file in retire {
            let known = self.known(change.table, *file)?.clone();
            if self.applies(&def, change, Act::Replace, (*file, &known), None)? {
                self.end_file(change, *file, &known, ops::RESTORE)?;
            }
        }
        for file in files {
            self.bring_back(&def, change, file)?;
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
        if def.row_lineage() && !outputs.iter().all(|file| file.row_ids_stored) {
            // Turned on since the rewrite was planned: its rows would get new ids.
            self.committed.discarded.push(change.table);
            return Ok(());
        }
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
        self.add_files(&def, change, outputs, ops::REWRITE)
    }

    fn rewritable(&self, table: TableId, input: &RewriteInput) -> Option<KnownFile> {
        let known = self.known(table, input.file).ok()?;
        let seen = known.vector.as_ref().map(|visible| visible.begin_txn);
        let fate = match known.ended {
            Some(_) => Fate::Retired,
            None if seen != input.seen => Fate::MineDeleted,
            None => Fate::Same,
        };
        (matrix::rule(Act::Rewrite, fate) == Rule::Apply).then(|| known.clone())
    }

    pub(super) fn known(&self, table: TableId, file: FileId) -> Result<&KnownFile, Error> {
        let never = || Error::Invalid(format!("table {table} never had file {file}"));
        self.world.table(table).ok_or_else(never)?.file(table, file)
    }

    /// Whether to act on the file as it is now; `mine` are the rows that I want, `None`: all of them. `CommitConflict` if the
    /// change must be planned again.
    fn applies(
        &self,
        def: &TableDef,
        change: &TableChange,
        act: Act,
        (file, known): (FileId, &KnownFile),
        mine: Option<&DeletionVector>,
    ) -> Result<bool, Error> {
        match known.ended {
            Some((end, _)) if end <= change.base => {
                return Err(Error::Invalid(format!(
                    "file {file} of {} was gone at {end}, before base {}",
                    def.full_name(),
                    change.base
                )));
            }
            // Another op of this very commit took the last of its rows.
            Some((end, _)) if end == self.txn => return Ok(false),
            _ => {}
        }
        let fate = matrix::fate(known, (change.base, self.txn), mine);
        match matrix::rule(act, fate) {
            Rule::Apply => Ok(true),
            Rule::Skip | Rule::Discard => Ok(false),
            Rule::Rerun => {
                let with = known.ended.map(|(end, _)| end).or(known.last_change());
                let with = with.unwrap_or(self.world.head.txn);
                Err(conflict(def, Clash::of(fate), with, vec![file]))
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
        let is_inline = known.content != Content::Parquet;
        if is_inline {
            work.state.inline.files -= 1;
            work.state.inline.bytes -= count(known.bytes);
        }
        let counters = work.partition_mut(known.partition);
        counters.live_files -= 1;
        counters.live_rows -= count(known.rows);
        counters.live_bytes -= count(known.bytes);
        if !is_inline {
            counters.small_files -= i64::from(known.bytes < SMALL_FILE_BYTES);
            counters.count_level(known.level, -1, -count(known.bytes));
        }
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

fn deleted_of(known: &KnownFile) -> u64 {
    known.vector.as_ref().map_or(0, |visible| visible.vector.cardinality())
}

/// Counters in the database are signed.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
