//! A table of the lake that is asked by its key, as it stood at one transaction.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_datafile::{RowSet, adapt};
use cenote_ingest::Ingest;
use cenote_table::{KeySet, Lake, Predicate, RowKey, ScanFile};
use cenote_vocab::{FileId, Scope, TableSchema, Txn};
use futures::TryStreamExt;

use crate::{Error, LakeSource};

/// The reader of one table.
pub struct LookupTable {
    lake: Lake,
    ingest: Ingest,
    scope: Scope,
    /// As it was planned.
    table: Arc<TableDef>,
    key: RowKey,
    schema: SchemaRef,
}

/// The files of a table at a transaction: where they are the same, its rows are.
pub struct LookupFiles(Vec<ScanFile>);

impl LookupFiles {
    /// Names the rows.
    pub fn content(&self) -> Vec<(FileId, u64)> {
        self.0.iter().map(|file| (file.entry.id, file.entry.live_rows())).collect()
    }
}

impl LookupTable {
    /// Of a table as it was planned. `Options` if nothing tells its rows apart.
    pub fn new((lake, ingest): (Lake, Ingest), scope: Scope, table: Arc<TableDef>) -> Result<Self, Error> {
        let key = RowKey::of(&table)?.filter(|_| !table.key_fields.is_empty());
        let key = key.ok_or_else(|| {
            Error::Options(format!("table {} has no PRIMARY KEY to look its rows up by", table.full_name()))
        })?;
        let schema = Arc::new(LakeSource::columns(&table));
        Ok(Self { lake, ingest, scope, table, key, schema })
    }

    /// Columns of its rows.
    pub fn columns(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Its name in the lake.
    pub fn name(&self) -> String {
        self.table.full_name()
    }

    /// What lineage calls it.
    pub fn node(&self) -> String {
        self.table.id.to_string()
    }

    /// Makes what is durable readable, before it is decided as of when rows are looked up.
    pub async fn settle(&self) -> Result<(), Error> {
        if self.ingest.buffered(self.table.id).0 > 0 {
            self.ingest.flush(&self.scope, &self.table).await?;
        }
        Ok(())
    }

    /// What the table is made of at a transaction. `Changed` if it is another by then.
    pub async fn files(&self, at: Txn) -> Result<LookupFiles, Error> {
        self.files_with(at, &Predicate::True).await
    }

    async fn files_with(&self, at: Txn, predicate: &Predicate) -> Result<LookupFiles, Error> {
        let names = self.lake.catalog.names(&self.scope, at).await?;
        let table = names.tables().find(|table| table.id == self.table.id);
        let changed = |reason: &str| Error::Changed { source_name: self.name(), reason: reason.to_owned() };
        let table = table.ok_or_else(|| changed("it was dropped"))?;
        if table.schema.fields != self.table.schema.fields || table.key_fields != self.table.key_fields {
            return Err(changed("its columns are others"));
        }
        Ok(LookupFiles(self.lake.scan(&self.scope, table, at, predicate).await?.files))
    }

    /// All rows; `None` if they take more memory than this.
    pub async fn all(
        &self,
        files: &LookupFiles,
        bytes_max: usize,
    ) -> Result<Option<Vec<RecordBatch>>, Error> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for file in &files.0 {
            let mut rows = self.open(file).await?;
            while let Some(batch) = rows.try_next().await? {
                let batch = self.fitted(&batch)?;
                bytes += batch.get_array_memory_size();
                if bytes > bytes_max {
                    return Ok(None);
                }
                batches.push(batch);
            }
        }
        Ok(Some(batches))
    }

    /// The rows with one of these keys, which are columns of the types of the table's key in its order.
    pub async fn of_keys(&self, at: Txn, keys: Vec<ArrayRef>) -> Result<Vec<RecordBatch>, Error> {
        let wanted = KeySet::new(vec![self.key.rows(&keys)?]);
        let predicate = self.key.predicate(&self.table, &[keys])?;
        let mut batches = Vec::new();
        for file in &self.files_with(at, &predicate).await?.0 {
            let mut rows = self.open(file).await?;
            while let Some(batch) = rows.try_next().await? {
                let batch = self.fitted(&batch)?;
                let found = wanted.contains(&self.key.rows(&self.key.columns(&batch))?);
                batches.push(filter_record_batch(&batch, &found)?);
            }
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(batches)
    }

    async fn open(
        &self,
        file: &ScanFile,
    ) -> Result<futures::stream::BoxStream<'static, Result<RecordBatch, cenote_table::Error>>, Error> {
        let live = RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let columns: Arc<TableSchema> = Arc::new(TableSchema::clone(&self.table.schema));
        Ok(self.lake.read_file(&self.scope, &self.table, &file.entry, live, &columns).await?)
    }

    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let given = batch.schema();
        let pairs = batch.columns().iter().zip(given.fields()).zip(self.schema.fields());
        let columns = pairs.map(|((column, given), wanted)| adapt(column, given, wanted));
        Ok(RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?)
    }
}
