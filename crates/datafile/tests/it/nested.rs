//! Lists, structs and maps in files.

use arrow::array::{Array, AsArray, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Int64Type};
use cenote_datafile::{LIST_ELEMENT, Value, adapt, arrow_field};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::schema::types::Type;

use super::*;

/// `id`, `points LIST<STRUCT<x, tag UUID>>`, `counts MAP<text, int>`, `at STRUCT<when TIMESTAMP(3)>`
fn nested() -> TableSchema {
    let point = vec![field(4, "x", FieldType::Int32), field(5, "tag", FieldType::Uuid)];
    let element = field(3, LIST_ELEMENT, FieldType::Struct(point));
    let (key, value) = (field(7, "key", FieldType::String).required(), field(8, "value", FieldType::Int32));
    let at = vec![field(10, "when", FieldType::Timestamp(TimeUnit::Milli))];
    schema(vec![
        field(1, "id", FieldType::Int32),
        field(2, "points", FieldType::List(Box::new(element))),
        field(6, "counts", FieldType::Map { key: Box::new(key), value: Box::new(value) }),
        field(9, "at", FieldType::Struct(at)),
    ])
}

/// Three rows; the second is NULL but for its id.
fn batch(table: &TableSchema) -> RecordBatch {
    let schema = arrow_schema(table);
    let nulls = || Some(NullBuffer::from(vec![true, false, true]));
    let DataType::List(element) = schema.field(1).data_type() else { panic!("a list") };
    let DataType::Struct(point) = element.data_type() else { panic!("a struct") };
    let tags = FixedSizeBinaryArray::try_from_iter((0..3_u8).map(|tag| [tag; 16])).unwrap();
    let x: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, Some(-3)]));
    let points = StructArray::new(point.clone(), vec![x, Arc::new(tags)], None);
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
    let points = ListArray::new(element.clone(), offsets, Arc::new(points), nulls());

    let DataType::Map(entries, _) = schema.field(2).data_type() else { panic!("a map") };
    let DataType::Struct(entry) = entries.data_type() else { panic!("a struct") };
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let pairs = StructArray::new(entry.clone(), vec![keys, Arc::new(Int32Array::from(vec![1, 2]))], None);
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 2].into());
    let counts = MapArray::new(entries.clone(), offsets, pairs, nulls(), false);

    let DataType::Struct(at) = schema.field(3).data_type() else { panic!("a struct") };
    let when: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5, 99, 6]));
    let at = StructArray::new(at.clone(), vec![when], nulls());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(points), Arc::new(counts), Arc::new(at)];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Ids of a node and those below, without the repeated groups that lists and maps are made of.
fn ids(node: &Type, found: &mut Vec<i32>) {
    let info = node.get_basic_info();
    if info.has_id() {
        found.push(info.id());
    } else {
        assert!(["list", "key_value"].contains(&node.name()), "{} has no id", node.name());
    }
    if node.is_group() {
        node.get_fields().iter().for_each(|child| ids(child, found));
    }
}

#[tokio::test]
async fn nested_columns_come_back_with_an_id_on_every_node() {
    let store = Store::memory();
    let (table, rows) = (nested(), batch(&nested()));
    let sort = sorted_by(&[1]);
    let options = WriterOptions { sort, ..options(&table, Level::Merged) };
    let written = write(&store, options, std::slice::from_ref(&rows)).await.unwrap().unwrap();
    let bytes = store.read(&path()).await.unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let root = metadata.file_metadata().schema_descr().root_schema().clone();
    let mut found = Vec::new();
    root.get_fields().iter().for_each(|node| ids(node, &mut found));
    assert_eq!(found, (1..=10).collect::<Vec<_>>());

    let bounds = |id: i32| {
        let known = written.statistics.column(FieldId(id)).unwrap();
        (known.value_count, known.null_count, known.min.clone(), known.max.clone())
    };
    let integer = |value| Some(Value::Integer(value));
    assert_eq!(bounds(4), (3, 1, integer(-3), integer(7)), "elements of lists");
    assert_eq!(bounds(8), (2, 0, integer(1), integer(2)), "values of maps");
    assert_eq!(bounds(10), (3, 1, integer(5), integer(6)), "what a NULL struct holds is no value");
    assert!(written.statistics.column(FieldId(2)).is_none(), "a list itself has no bounds");
    let statistics = written.statistics.encode(&table);
    assert_eq!(cenote_datafile::FileStatistics::decode(&statistics, &table).unwrap(), written.statistics);

    let same = read(&store, &stored(&written), written.rows, &table, None).await.unwrap();
    assert_eq!(same, rows);

    // a renamed and widened field, a dropped one, a new one
    let point = vec![field(11, "new", FieldType::Boolean), field(4, "east", FieldType::Int64)];
    let element = field(3, LIST_ELEMENT, FieldType::Struct(point));
    let mut later = nested();
    later.fields[1].field_type = FieldType::List(Box::new(element));
    let evolved = read(&store, &stored(&written), written.rows, &later, None).await.unwrap();
    let points = evolved.column(1).as_list::<i32>();
    assert_eq!(points.data_type(), arrow_field(&later.fields[1]).data_type());
    let points = points.values().as_struct();
    assert_eq!(points.column(0).null_count(), 3);
    let east = Int64Array::from(vec![Some(7), None, Some(-3)]);
    assert_eq!(points.column(1).as_primitive::<Int64Type>(), &east);
    let (before, after) = (arrow_field(&table.fields[1]), arrow_field(&later.fields[1]));
    assert_eq!(
        &adapt(rows.column(1), &before, &after).unwrap(),
        evolved.column(1),
        "as the buffer adapts it"
    );
}
