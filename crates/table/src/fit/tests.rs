use arrow::array::{DictionaryArray, Int64Array, StringArray, StringViewArray};
use arrow::datatypes::{Field as ArrowField, Int32Type, Schema};
use cenote_vocab::FieldType;

use super::*;
use crate::sample;

fn table() -> TableDef {
    let mut table = sample::table([("host", FieldType::String), ("n", FieldType::Int64)]);
    Arc::make_mut(&mut table.schema).fields[0].required = true;
    table
}

fn fitted(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Error> {
    let fields =
        columns.iter().map(|(name, column)| ArrowField::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect());
    let table = table();
    fit(&table, &cenote_datafile::arrow_schema(&table.schema), batch.unwrap(), 100)
}

#[test]
fn other_encodings_are_unwrapped() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let plain = fitted(vec![("host", Arc::new(StringArray::from(vec!["a", "b"]))), ("n", numbers.clone())]);
    let plain = plain.expect("the table's own types");
    let dictionary: DictionaryArray<Int32Type> = ["a", "b"].into_iter().collect();
    let encodings: [ArrayRef; 2] = [Arc::new(dictionary), Arc::new(StringViewArray::from(vec!["a", "b"]))];
    for encoded in encodings {
        assert_eq!(fitted(vec![("host", encoded), ("n", numbers.clone())]).expect("same values"), plain);
    }
}

#[test]
fn what_is_not_the_tables_is_named() {
    let hosts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let wrong_type = fitted(vec![("host", hosts.clone()), ("n", hosts.clone())]).expect_err("text");
    assert_eq!(wrong_type.to_string(), "column \"n\" of table default.t is Int64, got Utf8");
    let wrong_order = fitted(vec![("n", numbers.clone()), ("host", hosts.clone())]).expect_err("order");
    assert_eq!(wrong_order.to_string(), "table default.t has column \"host\" where \"n\" was given");
    let missing = fitted(vec![("host", hosts)]).expect_err("one column");
    assert_eq!(missing.to_string(), "table default.t has 2 columns, got 1");
}

#[test]
fn a_null_in_a_required_column_is_named_by_its_row_in_the_whole_input() {
    let hosts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    match fitted(vec![("host", hosts), ("n", numbers)]) {
        Err(Error::NullValue { column, row, .. }) => assert_eq!((column.as_str(), row), ("host", 101)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slice_counts_only_its_own_rows() {
    let rows = 100_000;
    let hosts: ArrayRef = Arc::new(StringArray::from(vec!["host"; rows]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
    let all = fitted(vec![("host", hosts), ("n", numbers)]).expect("fits");
    assert!(memory_bytes(&all.slice(5, 10)) * 1_000 < memory_bytes(&all));
}
