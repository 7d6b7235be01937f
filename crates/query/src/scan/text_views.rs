//! Texts as views while a query runs: a view is a text's length and beginning, and where the rest of it is, so filters, groups
//! and joins move and compare texts without copying them. Answers have plain texts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};

/// The columns with texts as views. What is inside of other columns stays as it is.
pub(super) fn text_views(schema: &SchemaRef) -> SchemaRef {
    let view = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => field.clone(),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(view).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The bounds of a column of [`text_views`].
pub(super) fn statistics_of_views(known: ColumnStatistics) -> ColumnStatistics {
    let view = |bound: Precision<ScalarValue>| {
        bound.map(|value| match value {
            ScalarValue::Utf8(text) => ScalarValue::Utf8View(text),
            other => other,
        })
    };
    ColumnStatistics { min_value: view(known.min_value), max_value: view(known.max_value), ..known }
}

/// The columns with plain values, at any depth.
pub(crate) fn without_views(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| plain(field.data_type()) == *field.data_type()) {
        return schema.clone();
    }
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The type of the same values without views.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(element) => DataType::List(plain_field(element)),
        DataType::LargeList(element) => DataType::LargeList(plain_field(element)),
        DataType::FixedSizeList(element, length) => DataType::FixedSizeList(plain_field(element), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(plain(value))),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(plain(field.data_type())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_go_in_at_the_top_and_out_everywhere() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let element = Arc::new(field("item", DataType::Utf8));
        let given: SchemaRef = Arc::new(Schema::new(vec![
            field("a", DataType::Utf8),
            field("b", DataType::Int64),
            field("c", DataType::List(element)),
        ]));
        let viewed = text_views(&given);
        let types: Vec<_> = viewed.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types[..2], [DataType::Utf8View, DataType::Int64]);
        assert_eq!(types[2], *given.field(2).data_type());
        assert_eq!(without_views(&viewed), given);
        let nested = Arc::new(field("item", DataType::Utf8View));
        assert_eq!(plain(&DataType::List(nested)), *given.field(2).data_type());
    }
}
