//! Rows of any of a table's schemas become a change of its present one: appended, or in the place of those with their keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::CastOptions;
use arrow::datatypes::FieldRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::{Op, ReadSet, TableChange, TableDef};
use cenote_datafile::{Level, absent, adapt_with, arrow_schema, field_id};
use cenote_table::{Form, KeyedChange, Lake};
use cenote_vocab::{FieldId, Scope, TableSchema, Txn};

use crate::Error;

/// Writes the batches, which are in order of arrival, into files of `table` as of `base`, sorted and cut, or one inline batch if
/// `form` allows it; nothing is committed.
pub(crate) async fn write_table(
    lake: &Lake,
    scope: &Scope,
    table: &Arc<TableDef>,
    base: Txn,
    batches: Vec<RecordBatch>,
    form: Form,
) -> Result<KeyedChange, Error> {
    if let Some(mut rows) = lake.keyed_rows(scope, table)? {
        for batch in batches {
            rows.upsert(to_schema(&batch, &table.schema)?)?;
        }
        return Ok(rows.finish().await?.plan(base).await?);
    }
    let mut writer = lake.writer(scope, Arc::clone(table), Level::Fresh).with_form(form);
    for batch in batches {
        writer.write(to_schema(&batch, &table.schema)?).await?;
    }
    let written = writer.finish().await?;
    let ops = vec![Op::Append { files: written.clone().into_files() }];
    Ok(KeyedChange { change: TableChange { table: table.id, base, read: ReadSet::None, ops }, written })
}

/// The batch with exactly the columns of `schema`, found by field id: dropped ones go, missing ones are their initial default,
/// others are cast; a value that fits its column no more becomes NULL, because rows that were acknowledged are not refused later.
pub(crate) fn to_schema(batch: &RecordBatch, schema: &TableSchema) -> Result<RecordBatch, Error> {
    let wanted = arrow_schema(schema);
    if batch.schema_ref() == &wanted {
        return Ok(batch.clone());
    }
    let given = batch.schema_ref().fields().iter().zip(batch.columns());
    let by_id: HashMap<FieldId, (&FieldRef, &ArrayRef)> =
        given.filter_map(|(field, column)| Some((field_id(field)?, (field, column)))).collect();
    let lenient = CastOptions { safe: true, ..CastOptions::default() };
    let column = |(field, arrow): (&cenote_vocab::Field, &FieldRef)| match by_id.get(&field.id) {
        None => absent(field, batch.num_rows()),
        Some((given, column)) => adapt_with(column, given, arrow, &lenient),
    };
    let columns = schema.fields.iter().zip(wanted.fields()).map(column).collect::<Result<_, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(wanted.clone(), columns, &options))
        .map_err(|error| Error::Table(error.into()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Float64Type;
    use cenote_vocab::{Field, FieldType};

    use super::*;

    fn schema(no: i32, fields: &[(i32, &str, FieldType)]) -> TableSchema {
        let fields =
            fields.iter().map(|(id, name, field_type)| Field::new(FieldId(*id), *name, field_type.clone()));
        TableSchema { no, fields: fields.collect() }
    }

    #[test]
    fn columns_are_found_by_id_through_renames_widenings_and_additions() {
        let old = schema(1, &[(1, "n", FieldType::Int64), (2, "gone", FieldType::String)]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))];
        let batch = RecordBatch::try_new(arrow_schema(&old), columns).expect("batch");
        let new = schema(3, &[(3, "n", FieldType::String), (1, "renamed", FieldType::Double)]);
        let fitted = to_schema(&batch, &new).expect("fits");
        assert_eq!(fitted.schema(), arrow_schema(&new));
        assert_eq!(fitted.column(0).null_count(), 2);
        assert_eq!(fitted.column(1).as_primitive::<Float64Type>(), &Float64Array::from(vec![1.0, 2.0]));
    }
}
