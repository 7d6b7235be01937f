//! `table_files('t' [, version])`, `table_file_stats('t' [, version])`: what the catalog knows of a table's files.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{DataFile, TableDef, tuple_text};
use cenote_datafile::{ColumnStatistics, Value, arrow_type};
use cenote_table::{Predicate, Scan, ScanFile};
use cenote_vocab::{Field as Column, LIVE, Txn};
use futures::stream::{self, StreamExt};

use super::{Context, Relation, RowStream};
use crate::Error;
use crate::scan::scalar;
use crate::statement::table_batch;

/// Files of one batch.
const PAGE: usize = 1_024;

/// The files that are visible at a version.
pub(super) fn files(context: &Context<'_>, table: &Arc<TableDef>, at: Txn) -> Relation {
    relation(context, table, at, ("table_files", file_columns()), file_batch)
}

/// One row per column of each file.
pub(super) fn statistics(context: &Context<'_>, table: &Arc<TableDef>, at: Txn) -> Relation {
    relation(context, table, at, ("table_file_stats", statistics_columns()), statistics_batch)
}

fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    at: Txn,
    (name, columns): (&str, SchemaRef),
    batch: fn(&[ScanFile]) -> Result<RecordBatch, Error>,
) -> Relation {
    let (lake, scope, table) = (context.engine.lake().clone(), context.scope().clone(), table.clone());
    Relation::new(format!("{name}({} at {at})", table.full_name()), columns, move |places, _| {
        let (lake, scope, table, places) = (lake.clone(), scope.clone(), table.clone(), places.to_vec());
        let scan = async move { lake.scan(&scope, &table, at, &Predicate::True).await };
        let pages = stream::once(scan).flat_map(move |scan| match scan {
            Ok(scan) => pages(scan, batch),
            Err(error) => stream::iter([Err(Error::from(error))]).boxed(),
        });
        let projected = pages.map(move |page| -> Result<RecordBatch, Error> {
            Ok(page?.project(&places).map_err(cenote_table::Error::from)?)
        });
        Ok(projected.boxed())
    })
}

fn pages(scan: Scan, batch: fn(&[ScanFile]) -> Result<RecordBatch, Error>) -> RowStream {
    let mut rest = scan.files;
    stream::iter(std::iter::from_fn(move || {
        let page: Vec<ScanFile> = rest.drain(..rest.len().min(PAGE)).collect();
        (!page.is_empty()).then(|| batch(&page))
    }))
    .boxed()
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn file_columns() -> SchemaRef {
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true);
    Arc::new(Schema::new(vec![
        number("file_id"),
        text("path"),
        number("row_count"),
        number("deleted_rows"),
        number("size_bytes"),
        number("schema_no"),
        number("spec_no"),
        text("partition"),
        number("sort_no"),
        number("level"),
        time("t_min"),
        time("t_max"),
        number("begin_txn"),
        number("end_txn"),
        number("seq"),
        number("row_id_start"),
    ]))
}

fn file_batch(files: &[ScanFile]) -> Result<RecordBatch, Error> {
    let numbers = |value: fn(&DataFile) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(files.iter().map(|file| value(&file.entry))))
    };
    let times = |value: fn(&DataFile) -> Option<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter(files.iter().map(|file| value(&file.entry))))
    };
    let paths = files.iter().map(|file| (!file.entry.file.is_inline()).then(|| file.path.to_string()));
    let partitions = files.iter().map(|file| tuple_text(&file.entry.file.partition));
    table_batch(
        file_columns(),
        vec![
            numbers(|file| Some(file.id.0)),
            Arc::new(StringArray::from_iter(paths)),
            numbers(|file| i64::try_from(file.file.rows).ok()),
            numbers(|file| i64::try_from(file.file.rows - file.live_rows()).ok()),
            numbers(|file| i64::try_from(file.file.bytes).ok()),
            numbers(|file| Some(file.file.schema_no.into())),
            numbers(|file| Some(file.file.spec_no.into())),
            Arc::new(StringArray::from_iter_values(partitions)),
            numbers(|file| Some(file.file.sort_no.into())),
            numbers(|file| Some(file.file.level.into())),
            times(|file| file.file.time_range.map(|range| range.0)),
            times(|file| file.file.time_range.map(|range| range.1)),
            numbers(|file| Some(file.begin_txn.0)),
            numbers(|file| (file.end_txn != LIVE).then_some(file.end_txn.0)),
            numbers(|file| Some(file.seq)),
            numbers(|file| Some(file.row_id_start)),
        ],
    )
}

fn statistics_columns() -> SchemaRef {
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    Arc::new(Schema::new(vec![
        number("file_id"),
        number("field_id"),
        text("column_name"),
        text("data_type"),
        number("value_count"),
        number("null_count"),
        number("nan_count"),
        text("min"),
        text("max"),
        flag("min_exact"),
        flag("max_exact"),
    ]))
}

/// The columns as they were when each file was written.
fn statistics_batch(files: &[ScanFile]) -> Result<RecordBatch, Error> {
    let rows: Vec<(&ScanFile, &Column, &ColumnStatistics)> = files
        .iter()
        .flat_map(|file| {
            file.schema
                .fields
                .iter()
                .filter_map(move |column| Some((file, column, file.entry.file.statistics.column(column.id)?)))
        })
        .collect();
    let numbers = |value: fn(&ColumnStatistics) -> Option<u64>| -> ArrayRef {
        let values =
            rows.iter().map(|(_, _, known)| value(known).and_then(|value| i64::try_from(value).ok()));
        Arc::new(Int64Array::from_iter(values))
    };
    let bounds = |value: fn(&ColumnStatistics) -> Option<&Value>| -> ArrayRef {
        let texts = rows.iter().map(|(_, column, known)| {
            scalar(value(known)?, &arrow_type(&column.field_type)).map(|value| value.to_string())
        });
        Arc::new(StringArray::from_iter(texts))
    };
    let flags = |value: fn(&ColumnStatistics) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, _, known)| Some(value(known))).collect::<BooleanArray>())
    };
    let types = rows.iter().map(|(_, column, _)| column.field_type.sql_name());
    table_batch(
        statistics_columns(),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(file, _, _)| file.entry.id.0))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, column, _)| column.id.0.into()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, column, _)| column.name.as_str()))),
            Arc::new(StringArray::from_iter_values(types)),
            numbers(|known| Some(known.value_count)),
            numbers(|known| Some(known.null_count)),
            numbers(|known| known.nan_count),
            bounds(|known| known.min.as_ref()),
            bounds(|known| known.max.as_ref()),
            flags(|known| known.min_exact),
            flags(|known| known.max_exact),
        ],
    )
}
