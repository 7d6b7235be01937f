//! Files that come.

use std::sync::Arc;

use cenote_vocab::{FileId, TableSchema};

use super::new_file::{check_file, hash_128, tuple_text};
use super::reads::conflict;
use super::rows::count;
use super::step::Step;
use super::world::{Arrived, TableWork};
use super::writes::FileRow;
use crate::conflict::ops;
use crate::widening::note_file;
use crate::{Clash, Error, NewFile, TableChange, TableDef};

/// A file below this size is worth merging.
pub(super) const SMALL_FILE_BYTES: u64 = 128 << 20;

impl Step<'_> {
    pub(super) fn append(&mut self, change: &TableChange, files: &[NewFile]) -> Result<(), Error> {
        let def = self.table_with_rows(change.table)?;
        self.add_files(&def, change, files, ops::APPEND)
    }

    /// Gives ids to files and counts them; `bit`: as what they come.
    pub(super) fn add_files(
        &mut self,
        def: &Arc<TableDef>,
        change: &TableChange,
        files: &[NewFile],
        bit: i32,
    ) -> Result<(), Error> {
        for file in files {
            self.add_file(def, change, file, bit)?;
        }
        Ok(())
    }

    fn add_file(
        &mut self,
        def: &Arc<TableDef>,
        change: &TableChange,
        file: &NewFile,
        bit: i32,
    ) -> Result<(), Error> {
        check_file(def, file)?;
        let id = FileId(self.world.head.next_file);
        self.world.head.next_file += 1;
        let new_rows = bit != ops::REWRITE;
        let txn = self.txn;
        let tally = self.tally(change.table, change.base, bit);
        tally.data_change |= new_rows;
        tally.added_files += 1;
        tally.added_rows += count(file.rows);
        tally.added_bytes += count(file.bytes);
        let seq = tally.seq;
        let work = self.world.table_mut(change.table);
        let schema = work.schema(file.schema_no)?;
        if new_rows {
            check_nulls(def, &schema, file)?;
        }
        if let Some(fits) = &mut work.double_fits {
            note_file(fits, &schema, &file.statistics);
        }
        if new_rows {
            work.arrivals.push(Arc::new(Arrived {
                file: id,
                begin: txn,
                partition: file.partition_key(),
                statistics: file.statistics.clone(),
                schema: schema.clone(),
            }));
        }
        let (partition, row_id_start) = work.count_file(file);
        work.partition_mut(partition).last_txn = txn;
        self.writes.files.push(FileRow {
            table: change.table,
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
        Ok(())
    }
}

/// A column that became NOT NULL after the file was written must have no NULLs in it.
fn check_nulls(def: &TableDef, written: &TableSchema, file: &NewFile) -> Result<(), Error> {
    let required = def.schema.fields.iter().filter(|field| field.required);
    for field in required {
        let was_nullable = written.field_by_id(field.id).is_some_and(|written| !written.required);
        let nulls = file.statistics.column(field.id).is_none_or(|column| column.null_count > 0);
        if was_nullable && nulls {
            return Err(conflict(def, Clash::Altered, def.begin_txn, Vec::new()));
        }
    }
    Ok(())
}

impl TableWork {
    /// Counts a file that comes: its partition, and the id of its first row.
    fn count_file(&mut self, file: &NewFile) -> (cenote_vocab::PartitionId, i64) {
        let tuple = tuple_text(&file.partition);
        let partition = self.intern(file.spec_no, hash_128(tuple.as_bytes()), &tuple);
        let row_id_start = self.state.next_row_id;
        self.state.next_row_id += count(file.rows);
        self.state.live_files += 1;
        self.state.live_rows += count(file.rows);
        self.state.live_bytes += count(file.bytes);
        let counters = self.partition_mut(partition);
        counters.live_files += 1;
        counters.live_rows += count(file.rows);
        counters.live_bytes += count(file.bytes);
        counters.small_files += i64::from(file.bytes < SMALL_FILE_BYTES);
        counters.count_level(file.level, 1, count(file.bytes));
        if let Some((low, high)) = file.time_range {
            let (old_low, old_high) = counters.time_range.unwrap_or((low, high));
            counters.time_range = Some((old_low.min(low), old_high.max(high)));
            self.state.max_span = self.state.max_span.max(high.saturating_sub(low));
        }
        (partition, row_id_start)
    }

    /// The columns at a schema number.
    pub(super) fn schema(&self, no: i32) -> Result<Arc<TableSchema>, Error> {
        self.schemas
            .get(&no)
            .cloned()
            .ok_or_else(|| Error::Internal(format!("schema {no} of a file is not loaded")))
    }
}
