//! Keyed writes: the newest row of a key takes the place of those before it.
//!
//! ```text
//! upserts, deletes ─ the last of each key ─► KeyedWrite ─ files that its zones touch ─ their keys ─ semi-join ─► places
//!                                               └ KeyedChange { DeleteRows + Append, read set: the zones }
//! ```
//! Invariant: at its base no row but those that a change takes away has one of its keys, and its read set lets no other commit
//! bring one: two that insert the same new key do not both succeed.

mod dedup;
mod find;
mod key;
mod read;
mod zones;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, Op, ReadSet, TableChange, TableDef};
use cenote_datafile::{Level, arrow_schema, with_row_ids};
use cenote_vocab::{Scope, Txn};

pub use key::{KeySet, RowKey, check_dedup};

use self::find::Places;
use self::zones::Zones;
use crate::fit::fit;
use crate::worker::on_worker;
use crate::{Error, Lake, Written};

/// Gathers upserts and deletes by key in order of arrival, in memory.
pub struct KeyedRows {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    schema: SchemaRef,
    key: RowKey,
    /// Batches that come; `None`: rows with these keys go.
    arrived: Vec<Option<RecordBatch>>,
    /// The columns of their keys.
    keys: Vec<Vec<ArrayRef>>,
    rows: u64,
}

/// The last that arrived of each key, ready to be planned at a base, and again at a later one.
#[derive(Clone)]
pub struct KeyedWrite(Arc<Newest>);

struct Newest {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    key: RowKey,
    /// Rows that are written.
    batches: Vec<RecordBatch>,
    /// Columns of the keys of the batches, one after the other, then of those that are deleted: a key's number is its place here.
    keys: Vec<Vec<ArrayRef>>,
    upserts: usize,
    zones: Zones,
}

/// A change of one table that was planned on a base, and its files.
pub struct KeyedChange {
    /// For `Commit::tables`; without ops there is nothing to commit.
    pub change: TableChange,
    /// The new rows, to be abandoned if no commit takes them.
    pub written: Written,
}

impl Lake {
    /// Begins a keyed write of `table`; `None` if its rows do not replace each other (option `dedup`).
    pub fn keyed_rows(&self, scope: &Scope, table: &Arc<TableDef>) -> Result<Option<KeyedRows>, Error> {
        let key = RowKey::of_dedup(table)?;
        Ok(key.map(|key| self.keyed_by(scope, table, key)))
    }

    /// The same by the table's key, also if its rows do not replace each other by themselves; `None` if it has no key.
    pub fn rows_by_key(&self, scope: &Scope, table: &Arc<TableDef>) -> Result<Option<KeyedRows>, Error> {
        let key = RowKey::of(table)?;
        Ok(key.map(|key| self.keyed_by(scope, table, key)))
    }

    fn keyed_by(&self, scope: &Scope, table: &Arc<TableDef>, key: RowKey) -> KeyedRows {
        KeyedRows {
            lake: self.clone(),
            scope: scope.clone(),
            table: Arc::clone(table),
            schema: arrow_schema(&table.schema),
            key,
            arrived: Vec::new(),
            keys: Vec::new(),
            rows: 0,
        }
    }
}

impl KeyedRows {
    /// Adds rows with the table's present columns. Errors as those of [`crate::TableWriter::write`].
    pub fn upsert(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let batch = fit(&self.table, &self.schema, batch, self.rows)?;
        self.rows += batch.num_rows() as u64;
        self.keys.push(self.key.columns(&batch));
        self.arrived.push(Some(batch));
        Ok(())
    }

    /// Deletes the rows that have the key of one of these, which have the table's columns.
    pub fn delete_rows(&mut self, batch: &RecordBatch) {
        let keys = self.key.columns(batch);
        self.delete(keys);
    }

    /// Deletes the rows with these keys: one array for each of [`RowKey::fields`], of its type.
    pub fn delete(&mut self, keys: Vec<ArrayRef>) {
        self.keys.push(keys);
        self.arrived.push(None);
    }

    /// Keeps the last of each key.
    pub async fn finish(self) -> Result<KeyedWrite, Error> {
        let newest = on_worker(move || async move { self.newest() }).await?;
        Ok(KeyedWrite(Arc::new(newest)))
    }

    fn newest(self) -> Result<Newest, Error> {
        let Self { lake, scope, table, key, arrived, keys, .. } = self;
        let masks = key.newest(&keys)?;
        let mut batches = Vec::new();
        let (mut upserted, mut deleted) = (Vec::new(), Vec::new());
        for ((rows, mut keys), kept) in arrived.into_iter().zip(keys).zip(masks) {
            let (count, all) = (kept.true_count(), kept.len());
            if count == 0 {
                continue;
            }
            if count < all {
                keys = keys.iter().map(|column| filter(column, &kept)).collect::<Result<_, _>>()?;
            }
            match rows {
                Some(rows) => {
                    batches.push(if count < all { filter_record_batch(&rows, &kept)? } else { rows });
                    upserted.push(keys);
                }
                None => deleted.push(keys),
            }
        }
        let keys: Vec<Vec<ArrayRef>> = upserted.into_iter().chain(deleted).collect();
        let zones = Zones::of(&table, &key, &keys)?;
        let upserts = batches.iter().map(RecordBatch::num_rows).sum();
        Ok(Newest { lake, scope, table, key, batches, keys, upserts, zones })
    }
}

impl KeyedWrite {
    /// Rows that are written, one of each key.
    pub fn rows(&self) -> u64 {
        self.0.upserts as u64
    }

    /// The rows in files of a table that has no other rows.
    pub async fn write_new(&self) -> Result<Written, Error> {
        self.0.write(&[]).await
    }

    /// Finds the rows that go, as of `base`, and writes those that come. Nothing is committed. The table's columns must be those
    /// of the base.
    pub async fn plan(&self, base: Txn) -> Result<KeyedChange, Error> {
        let newest = &self.0;
        let places = find::find(Arc::clone(newest), base).await?;
        let written = newest.write(&places.row_ids).await?;
        let files = written.clone().into_files();
        Ok(KeyedChange { change: newest.change(base, places, files), written })
    }
}

impl Newest {
    fn change(&self, base: Txn, places: Places, files: Vec<NewFile>) -> TableChange {
        let mut ops = places.ops;
        if !files.is_empty() {
            ops.push(Op::Append { files });
        }
        let region = self.zones.region();
        TableChange { table: self.table.id, base, read: ReadSet::Rows(region), ops }
    }

    /// The rows in files; those that were there before keep their ids, by number.
    async fn write(&self, row_ids: &[Option<i64>]) -> Result<Written, Error> {
        if row_ids.iter().all(Option::is_none) {
            let mut writer = self.lake.writer(&self.scope, Arc::clone(&self.table), Level::Fresh);
            for batch in &self.batches {
                writer.write(batch.clone()).await?;
            }
            return writer.finish().await;
        }
        let schema = arrow_schema(&with_row_ids(&self.table.schema));
        let mut writer = self.lake.changed_rows_writer(&self.scope, &self.table, Level::Fresh);
        let mut start = 0;
        for batch in &self.batches {
            let end = start + batch.num_rows();
            let hidden: [ArrayRef; 2] = [
                Arc::new(Int64Array::from(row_ids[start..end].to_vec())),
                Arc::new(Int64Array::new_null(batch.num_rows())),
            ];
            let columns = batch.columns().iter().cloned().chain(hidden).collect();
            writer.write(RecordBatch::try_new(Arc::clone(&schema), columns)?).await?;
            start = end;
        }
        writer.finish().await
    }
}
