use arrow::array::{Int32Array, Int64Array, MapArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use cenote_vocab::FieldId;

use super::*;
use crate::arrow_schema::arrow_field;

fn field(id: i32, name: &str, field_type: FieldType) -> Field {
    Field::new(FieldId(id), name, field_type)
}

fn shown(array: &ArrayRef) -> Vec<String> {
    (0..array.len()).map(|row| arrow::util::display::array_value_to_string(array, row).unwrap()).collect()
}

#[test]
fn fields_of_structs_in_lists_are_found_by_id() {
    let before = vec![field(3, "a", FieldType::Int32), field(4, "gone", FieldType::String)];
    let after = vec![field(5, "new", FieldType::Boolean), field(3, "renamed", FieldType::Int64)];
    let list =
        |fields| field(1, "l", FieldType::List(Box::new(field(2, "element", FieldType::Struct(fields)))));
    let (stored, wanted) = (arrow_field(&list(before.clone())), arrow_field(&list(after)));
    let DataType::List(element) = stored.data_type() else { panic!("a list") };
    let inner = StructArray::new(
        before.iter().map(arrow_field).collect(),
        vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(StringArray::from(vec!["x", "y", "z"]))],
        None,
    );
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
    let nulls = NullBuffer::from(vec![true, false, true]);
    let column: ArrayRef = Arc::new(ListArray::new(element.clone(), offsets, Arc::new(inner), Some(nulls)));
    let adapted = adapt(&column, &stored, &wanted).unwrap();
    assert_eq!(adapted.data_type(), wanted.data_type());
    assert_eq!(shown(&adapted), ["[{new: , renamed: 1}, {new: , renamed: 2}]", "", "[{new: , renamed: 3}]"]);
}

#[test]
fn values_of_maps_widen_whatever_keys_and_values_are_called() {
    let entries = StructArray::from(vec![
        (
            Arc::new(ArrowField::new("keys", DataType::Utf8, false)),
            Arc::new(StringArray::from(vec!["k"])) as ArrayRef,
        ),
        (
            Arc::new(ArrowField::new("values", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![7])) as ArrayRef,
        ),
    ]);
    let entry = Arc::new(ArrowField::new("entries", entries.data_type().clone(), false));
    let offsets = OffsetBuffer::new(vec![0, 1].into());
    let column: ArrayRef = Arc::new(MapArray::new(entry, offsets, entries, None, false));
    let stored = ArrowField::new("m", column.data_type().clone(), true);
    let (key, value) = (field(2, "key", FieldType::String).required(), field(3, "value", FieldType::Int64));
    let wanted = arrow_field(&field(1, "m", FieldType::Map { key: Box::new(key), value: Box::new(value) }));
    let adapted = adapt(&column, &stored, &wanted).unwrap();
    assert_eq!(adapted.data_type(), wanted.data_type());
    assert_eq!(adapted.as_map().values().as_ref(), &Int64Array::from(vec![7]) as &dyn Array);
}

#[test]
fn lists_of_a_fixed_length_have_it() {
    let element = || Box::new(field(2, "element", FieldType::Int32));
    let wanted = arrow_field(&field(1, "v", FieldType::FixedList(element(), 2)));
    let stored = arrow_field(&field(1, "v", FieldType::List(element())));
    let lists = |rows| -> ArrayRef {
        let list = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(rows);
        adapt(&(Arc::new(list) as ArrayRef), &stored, &stored).unwrap()
    };
    let column = lists(vec![Some(vec![Some(1), Some(2)]), None]);
    assert_eq!(shown(&adapt(&column, &stored, &wanted).unwrap()), ["[1, 2]", ""]);
    let error = adapt(&lists(vec![Some(vec![Some(1)])]), &stored, &wanted).unwrap_err();
    assert!(error.to_string().contains("a list of 1 elements, not 2"), "{error}");
}

#[test]
fn defaults_are_texts_of_their_type() {
    for (field_type, text, expected) in [
        (FieldType::Int64, "-5", "-5"),
        (FieldType::Boolean, "true", "true"),
        (FieldType::Date, "2024-02-29", "2024-02-29"),
        (FieldType::Binary, "\\x00ff", "00ff"),
        (FieldType::Decimal { precision: 50, scale: 2 }, "1.25", "1.25"),
        (FieldType::Timestamp(cenote_vocab::TimeUnit::Micro), "2024-01-01", "2024-01-01T00:00:00"),
    ] {
        let column = Field { initial_default: Some(text.into()), ..field(1, "c", field_type) };
        assert_eq!(shown(&absent(&column, 2).unwrap()), [expected, expected]);
    }
    assert!(literal(&FieldType::Int64, "x").is_err());
    assert!(literal(&FieldType::Uuid, "x").is_err());
    assert_eq!(absent(&field(1, "c", FieldType::Int64), 3).unwrap().null_count(), 3);
}
