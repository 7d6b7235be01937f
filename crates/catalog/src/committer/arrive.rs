//! Files that come.

use std::sync::Arc;

use cenote_vocab::{Field, FileId, LIVE, PartitionId, TableSchema, Txn};

use super::new_file::{check_file, hash_128};
use super::reads::conflict;
use super::rows::count;
use super::step::Step;
use super::world::{Arrived, TableWork};
use super::writes::{FileRow, Payload, VectorRow};
use crate::conflict::ops;
use crate::tuple::tuple_text;
use crate::widening::{Widening, fits, may_be_null, widening};
use crate::{Clash, Content, DataFile, Error, NewFile, TableChange, TableDef};

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
        let layouts = self.world.table(change.table).and_then(|work| work.layouts.as_ref());
        check_file(def, layouts, file)?;
        let schema = self.world.table_mut(change.table).schema(file.schema_no)?;
        if bit != ops::REWRITE {
            check_columns(def, &schema, file)?;
        }
        let mut file = file.clone();
        let payload = match &mut file.content {
            Content::Parquet => Payload::None,
            Content::Inline(payload) => payload.take().map_or(Payload::None, Payload::New),
        };
        self.place(def, change, Arrival { file: Arc::new(file), payload, row_id_start: None, bit })?;
        Ok(())
    }

    /// A file of an earlier version comes again, with the rows that were deleted from it then.
    pub(super) fn bring_back(
        &mut self,
        def: &Arc<TableDef>,
        change: &TableChange,
        file: &DataFile,
    ) -> Result<(), Error> {
        let schema = self.world.table_mut(change.table).schema(file.file.schema_no)?;
        if check_columns(def, &schema, &file.file).is_err() {
            return Err(Error::Invalid(format!(
                "table {} cannot be put back: a column has got a rule since that its rows of then break",
                def.full_name()
            )));
        }
        let payload = if file.file.is_inline() { Payload::Of(file.id) } else { Payload::None };
        let (row_id_start, bit) = (Some(file.row_id_start), ops::RESTORE);
        let arrival = Arrival { file: file.file.clone(), payload, row_id_start, bit };
        let (id, partition) = self.place(def, change, arrival)?;
        let Some(visible) = &file.vector else { return Ok(()) };
        let txn = self.txn;
        let deleted = count(visible.vector.cardinality());
        let vector = visible.vector.clone();
        self.writes.vectors.push(VectorRow { table: change.table, file: id, begin: txn, end: LIVE, vector });
        let work = self.world.table_mut(change.table);
        work.state.deleted_rows += deleted;
        work.partition_mut(partition).deleted_rows += deleted;
        Ok(())
    }

    /// Gives the file its id and counts it.
    fn place(
        &mut self,
        def: &Arc<TableDef>,
        change: &TableChange,
        Arrival { file, payload, row_id_start, bit }: Arrival,
    ) -> Result<(FileId, PartitionId), Error> {
        let id = FileId(self.world.head.next_file);
        self.world.head.next_file += 1;
        let (txn, new_rows) = (self.txn, bit != ops::REWRITE);
        let tally = self.tally(change.table, change.base, bit);
        tally.data_change |= new_rows;
        tally.added_files += 1;
        tally.added_rows += count(file.rows);
        tally.added_bytes += count(file.bytes);
        let seq = tally.seq;
        let work = self.world.table_mut(change.table);
        let schema = work.schema(file.schema_no)?;
        if let Some(findings) = &mut work.findings {
            findings.add(txn, schema.clone(), Arc::new(file.statistics.clone()));
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
        let partition = work.count_file(&file, txn);
        let row_id_start = row_id_start.unwrap_or_else(|| work.take_row_ids(file.rows));
        self.writes.files.push(FileRow {
            table: change.table,
            id,
            begin: txn,
            partition,
            row_id_start,
            seq,
            def: def.clone(),
            schema,
            file,
            payload,
            origin: self.commit.facts.operation.clone(),
        });
        Ok((id, partition))
    }
}

/// A file on its way into a table.
struct Arrival {
    file: Arc<NewFile>,
    payload: Payload,
    /// `None`: its rows get new ids.
    row_id_start: Option<i64>,
    /// As what it comes.
    bit: i32,
}

/// A column that became NOT NULL after the file was written must have no NULLs in it, one that was widened none but the values
/// that its new type holds.
fn check_columns(def: &TableDef, written: &TableSchema, file: &NewFile) -> Result<(), Error> {
    if written.no == def.schema.no {
        return Ok(());
    }
    let broken = |field: &Field| {
        let before = written.field_by_id(field.id).map(|before| &before.field_type);
        let beyond = match before.map(|before| widening(before, &field.field_type)) {
            Some(Widening::Within(range)) => {
                file.statistics.column(field.id).is_none_or(|known| !fits(known, &range))
            }
            _ => false,
        };
        beyond || (field.required && may_be_null(field, written, &file.statistics))
    };
    if def.schema.fields.iter().any(broken) {
        return Err(conflict(def, Clash::Altered, def.begin_txn, Vec::new()));
    }
    Ok(())
}

impl TableWork {
    /// The first of as many row ids.
    fn take_row_ids(&mut self, rows: u64) -> i64 {
        let start = self.state.next_row_id;
        self.state.next_row_id += count(rows);
        start
    }

    /// Counts a file that comes; answers its partition.
    fn count_file(&mut self, file: &NewFile, txn: Txn) -> PartitionId {
        let tuple = tuple_text(&file.partition);
        let partition = self.intern(file.spec_no, hash_128(tuple.as_bytes()), &tuple);
        self.state.live_files += 1;
        self.state.live_rows += count(file.rows);
        self.state.live_bytes += count(file.bytes);
        let counters = self.partition_mut(partition);
        counters.live_files += 1;
        counters.live_rows += count(file.rows);
        counters.live_bytes += count(file.bytes);
        counters.last_txn = txn;
        if file.is_inline() {
            self.state.inline.files += 1;
            self.state.inline.bytes += count(file.bytes);
        } else {
            counters.small_files += i64::from(file.bytes < SMALL_FILE_BYTES);
            counters.count_level(file.level, 1, count(file.bytes));
        }
        let counters = self.partition_mut(partition);
        if let Some((low, high)) = file.time_range {
            let (old_low, old_high) = counters.time_range.unwrap_or((low, high));
            counters.time_range = Some((old_low.min(low), old_high.max(high)));
            self.state.max_span = self.state.max_span.max(high.saturating_sub(low));
        }
        partition
    }

    /// The columns at a schema number.
    pub(super) fn schema(&self, no: i32) -> Result<Arc<TableSchema>, Error> {
        self.schemas
            .get(&no)
            .cloned()
            .ok_or_else(|| Error::Internal(format!("schema {no} of a file is not loaded")))
    }
}
