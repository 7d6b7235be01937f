//! Rows of any of a table's schemas become files of its present one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::TableDef;
use cenote_datafile::{FIELD_ID_KEY, Level};
use cenote_table::{Lake, Written};
use cenote_vocab::Scope;

use crate::Error;

/// Writes the batches into files of `table`, sorted and cut; nothing is committed.
pub(crate) async fn write_table(
    lake: &Lake,
    scope: &Scope,
    table: &Arc<TableDef>,
    batches: Vec<RecordBatch>,
) -> Result<Written, Error> {
    let schema = cenote_datafile::arrow_schema(&table.schema);
    let mut writer = lake.writer(scope, Arc::clone(table), Level::Fresh);
    for batch in batches {
        writer.write(to_schema(&batch, &schema)?).await?;
    }
    Ok(writer.finish().await?)
}

/// The batch with exactly the columns of `schema`, found by field id: dropped ones go, missing ones are NULL, others are cast; a
/// value that fits its column no more becomes NULL, because rows that were acknowledged are not refused later.
pub(crate) fn to_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let of = |field: &FieldRef| field.metadata().get(FIELD_ID_KEY).cloned();
    let by_id: HashMap<String, &ArrayRef> = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .filter_map(|(field, column)| Some((of(field)?, column)))
        .collect();
    let column = |field: &FieldRef| match of(field).and_then(|id| by_id.get(&id).copied()) {
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => cast(column, field.data_type()),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options))
        .map_err(|error| Error::Table(error.into()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Float64Type;
    use cenote_vocab::{Field, FieldId, FieldType, TableSchema};

    use super::*;

    fn schema(no: i32, fields: &[(i32, &str, FieldType)]) -> SchemaRef {
        let fields = fields.iter().map(|(id, name, field_type)| Field {
            id: FieldId(*id),
            name: (*name).to_owned(),
            field_type: field_type.clone(),
            required: false,
            comment: None,
        });
        cenote_datafile::arrow_schema(&TableSchema { no, fields: fields.collect() })
    }

    #[test]
    fn columns_are_found_by_id_through_renames_widenings_and_additions() {
        let old = schema(1, &[(1, "n", FieldType::Int64), (2, "gone", FieldType::String)]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))];
        let batch = RecordBatch::try_new(old, columns).expect("batch");
        let new = schema(3, &[(3, "n", FieldType::String), (1, "renamed", FieldType::Double)]);
        let fitted = to_schema(&batch, &new).expect("fits");
        assert_eq!(fitted.schema(), new);
        assert_eq!(fitted.column(0).null_count(), 2);
        assert_eq!(fitted.column(1).as_primitive::<Float64Type>(), &Float64Array::from(vec![1.0, 2.0]));
    }
}
