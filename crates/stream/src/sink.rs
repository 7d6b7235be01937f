//! What an epoch writes into tables of the lake: rows that are added, and rows that take the place of those with their key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use cenote_catalog::{NewFile, Op, ReadSet, RetireKind, TableChange, TableDef};
use cenote_datafile::{Level, adapt, arrow_schema};
use cenote_ingest::Ingest;
use cenote_table::{KeyedChange, KeyedRows, KeyedWrite, Lake, Written};
use cenote_vocab::{ErrorKind, Scope, TableId, Txn};

use crate::Error;
use crate::multiset::Layout;
use crate::plan::{Output, Writes};

/// The rows of an epoch, committed nowhere.
pub(crate) struct Sinks {
    appended: Vec<(Arc<TableDef>, Written)>,
    keyed: Vec<(Arc<TableDef>, KeyedWrite)>,
    /// All rows of these go.
    emptied: Vec<Arc<TableDef>>,
}

/// The same as changes of what was there at some transaction.
pub(crate) struct Planned {
    base: Txn,
    appended: BTreeMap<TableId, Vec<NewFile>>,
    keyed: Vec<(Arc<TableDef>, KeyedChange)>,
    emptied: Vec<TableChange>,
}

impl Sinks {
    /// No rows; those that are in these tables go.
    pub(crate) fn emptying(tables: Vec<Arc<TableDef>>) -> Self {
        Self { appended: Vec::new(), keyed: Vec::new(), emptied: tables }
    }

    /// Rows that are added become files; those by key are gathered. `kept` rows are added to tables of their own.
    pub(crate) async fn write(
        lake: &Lake,
        scope: &Scope,
        outputs: &[Output],
        rows: Vec<Vec<RecordBatch>>,
        kept: Vec<(Arc<TableDef>, RecordBatch)>,
    ) -> Result<Self, Error> {
        let mut sinks = Self::emptying(Vec::new());
        for (table, rows) in kept {
            match append(lake, scope, &table, vec![rows]).await {
                Ok(written) => sinks.appended.push((table, written)),
                Err(error) => {
                    sinks.abandon(lake).await;
                    return Err(error);
                }
            }
        }
        let mut gathered: BTreeMap<TableId, (Arc<TableDef>, KeyedRows)> = BTreeMap::new();
        for (output, rows) in outputs.iter().zip(rows) {
            if rows.is_empty() {
                continue;
            }
            let taken = match output.writes {
                Writes::Appends => append(lake, scope, &output.target, rows).await.map(|written| {
                    sinks.appended.push((output.target.clone(), written));
                }),
                Writes::Upserts | Writes::Changes | Writes::View { .. } => {
                    gather(lake, scope, output, &rows, &mut gathered)
                }
            };
            if let Err(error) = taken {
                sinks.abandon(lake).await;
                return Err(error);
            }
        }
        for (table, rows) in gathered.into_values() {
            sinks.keyed.push((table, rows.finish().await?));
        }
        Ok(sinks)
    }

    /// True if what is written depends on what is there: others may be first.
    pub(crate) fn may_conflict(&self) -> bool {
        !self.keyed.is_empty() || !self.emptied.is_empty()
    }

    /// Finds the rows whose place others take. What was acknowledged before is flushed, so that it does not come after.
    pub(crate) async fn plan(&self, lake: &Lake, ingest: &Ingest, scope: &Scope) -> Result<Planned, Error> {
        for table in self.keyed.iter().map(|(table, _)| table).chain(&self.emptied) {
            ingest.flush(scope, table).await?;
        }
        let base = lake.catalog.head(scope).await?.txn;
        let mut planned = Planned { base, appended: BTreeMap::new(), keyed: Vec::new(), emptied: Vec::new() };
        for table in &self.emptied {
            let files = lake.numbers(scope, None, table, base).await?;
            let files: Vec<_> = files.into_iter().map(|file| file.id).collect();
            let ops = match files.is_empty() {
                true => Vec::new(),
                false => vec![Op::Retire { files, kind: RetireKind::Delete }],
            };
            planned.emptied.push(TableChange { table: table.id, base, read: ReadSet::None, ops });
        }
        for (table, written) in &self.appended {
            planned.appended.entry(table.id).or_default().extend(written.clone().into_files());
        }
        if !self.keyed.is_empty() {
            let names = lake.catalog.names(scope, base).await?;
            let is_same =
                |table: &TableDef| names.table_by_id(table.id).is_some_and(|now| now.schema == table.schema);
            if let Some((table, _)) = self.keyed.iter().find(|(table, _)| !is_same(table)) {
                let text = format!("table {} was altered while a pipeline writes it", table.full_name());
                return Err(cenote_query::Error::new(ErrorKind::Conflict, text).into());
            }
        }
        for (table, write) in &self.keyed {
            planned.keyed.push((table.clone(), write.plan(base).await?));
        }
        Ok(planned)
    }

    /// Deletes the files of rows that were added. Best effort: what stays is an orphan.
    pub(crate) async fn abandon(&self, lake: &Lake) {
        for (table, written) in &self.appended {
            lake.abandon(table, written.clone()).await;
        }
    }
}

impl Planned {
    /// For the commit.
    pub(crate) fn changes(&self) -> Vec<TableChange> {
        let appended = self.appended.iter().map(|(table, files)| TableChange {
            table: *table,
            base: self.base,
            read: ReadSet::None,
            ops: vec![Op::Append { files: files.clone() }],
        });
        let keyed = self.keyed.iter().map(|(_, keyed)| &keyed.change).chain(&self.emptied);
        appended.chain(keyed.filter(|change| !change.ops.is_empty()).cloned()).collect()
    }

    /// Deletes the files of rows by key. Best effort: what stays is an orphan.
    pub(crate) async fn abandon(self, lake: &Lake) {
        for (table, keyed) in self.keyed {
            lake.abandon(&table, keyed.written).await;
        }
    }
}

async fn append(
    lake: &Lake,
    scope: &Scope,
    table: &Arc<TableDef>,
    rows: Vec<RecordBatch>,
) -> Result<Written, Error> {
    let mut writer = lake.writer(scope, table.clone(), Level::Fresh);
    for batch in rows {
        let written = match fit(&batch, table) {
            Ok(batch) => writer.write(batch).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            writer.abandon().await;
            return Err(error);
        }
    }
    Ok(writer.finish().await?)
}

/// What goes is deleted before what comes is written; what does both has not changed.
fn gather(
    lake: &Lake,
    scope: &Scope,
    output: &Output,
    rows: &[RecordBatch],
    gathered: &mut BTreeMap<TableId, (Arc<TableDef>, KeyedRows)>,
) -> Result<(), Error> {
    let table = &output.target;
    let (_, keyed) = match gathered.entry(table.id) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => {
            let Some(rows) = lake.rows_by_key(scope, table)? else {
                return Err(Error::Invalid(format!("table {} has no key", table.full_name())));
            };
            entry.insert((table.clone(), rows))
        }
    };
    if output.writes == Writes::Upserts {
        for batch in rows {
            keyed.upsert(fit(batch, table)?)?;
        }
        return Ok(());
    }
    let Some(first) = rows.first() else { return Ok(()) };
    let with_key: Vec<RecordBatch>;
    let (first, rows) = match output.writes {
        Writes::View { keys } => {
            with_key = rows.iter().map(|batch| key_column(batch, keys)).collect::<Result<_, _>>()?;
            (&with_key[0], &with_key[..])
        }
        _ => (first, rows),
    };
    let columns: Vec<usize> = (0..first.num_columns() - 1).collect();
    let layout = Layout::new(Arc::new(first.schema().project(&columns)?), 0)?;
    let delta = layout.weighted_delta(rows)?;
    if delta.is_empty() {
        return Ok(());
    }
    let batch = layout.weighted_batch(&delta)?;
    let weights = batch.column(columns.len()).as_primitive::<Int64Type>();
    let (gone, come): (Vec<u64>, Vec<u64>) =
        (0..weights.len() as u64).partition(|at| usize::try_from(*at).is_ok_and(|at| weights.value(at) < 0));
    let rows = fit(&batch.project(&columns)?, table)?;
    if !gone.is_empty() {
        keyed.delete_rows(&take_record_batch(&rows, &UInt64Array::from(gone))?);
    }
    if !come.is_empty() {
        keyed.upsert(take_record_batch(&rows, &UInt64Array::from(come))?)?;
    }
    Ok(())
}

/// The columns before the weight that tell rows apart as one, of bytes.
fn key_column(batch: &RecordBatch, keys: usize) -> Result<RecordBatch, Error> {
    let (shown, weight) = (batch.num_columns() - keys - 1, batch.num_columns() - 1);
    let columns = &batch.columns()[shown..weight];
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let key = RowConverter::new(fields)?.convert_columns(columns)?.try_into_binary()?;
    let schema = batch.schema();
    let field = Field::new("_key", DataType::Binary, false);
    let fields = schema.fields()[..shown].iter().map(|field| field.as_ref().clone());
    let fields: Vec<Field> = fields.chain([field, schema.field(weight).clone()]).collect();
    let mut all = batch.columns()[..shown].to_vec();
    all.extend([Arc::new(key) as ArrayRef, batch.column(weight).clone()]);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), all)?)
}

/// The rows in the columns of their table. NULLs where none may be are the writer's to refuse: it names column and row.
fn fit(batch: &RecordBatch, table: &TableDef) -> Result<RecordBatch, Error> {
    let wanted = arrow_schema(&table.schema);
    let given = batch.schema();
    let columns = batch.columns().iter().zip(given.fields()).zip(wanted.fields());
    let columns = columns.map(|((column, given), wanted)| adapt(column, given, wanted));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = wanted.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
