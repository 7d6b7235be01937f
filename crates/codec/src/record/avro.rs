//! Avro records that name their schema in a registry.
//!
//! Each is read by the schema that it was written with; columns are found by name, in any case, and what the schema lacks is
//! NULL. So readers need not change when the schema does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{
    AVRO_NAME_METADATA_KEY, AvroSchema, Fingerprint, FingerprintAlgorithm, FingerprintStrategy,
    SCHEMA_METADATA_KEY, SchemaStore,
};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use bytes::Bytes;
use serde_json::Value;

use super::framed::framed;
use super::{AtBad, DecodedRecords, Rows, VALUE, batch, by_halves, fit, is_json, said};
use crate::Error;

/// Bytes of an UUID, which Avro has as a type of its own.
const UUID_BYTES: i32 = 16;

/// Takes records apart whose schemas it was told.
#[derive(Clone, Debug)]
pub struct AvroDecoder {
    columns: SchemaRef,
    unstructured: bool,
    schemas: BTreeMap<u32, AvroSchema>,
}

impl AvroDecoder {
    /// For records with these columns; `unstructured`: the whole record becomes JSON, in the column [`VALUE`].
    ///
    /// `Malformed` if there is another column then.
    pub fn new(columns: SchemaRef, unstructured: bool) -> Result<Self, Error> {
        let is_value = |field: &Field| field.name() == VALUE && *field.data_type() == DataType::Utf8;
        let fits = matches!(columns.fields().as_ref(), [field] if is_value(field));
        if unstructured && !fits {
            return Err(Error::Malformed(format!(
                "option 'avro.into_unstructured_json' has exactly one column, {VALUE} JSON"
            )));
        }
        Ok(Self { columns, unstructured, schemas: BTreeMap::new() })
    }

    /// True if the schema of this number was told.
    pub fn knows(&self, schema: u32) -> bool {
        self.schemas.contains_key(&schema)
    }

    /// Tells the schema of a number, as the registry has it.
    pub fn learn(&mut self, schema: u32, text: String) {
        self.schemas.insert(schema, AvroSchema::new(text));
    }

    /// Rows of records, each with the number of its schema before it.
    pub fn decode(&self, records: &[&[u8]], at_bad: AtBad) -> DecodedRecords {
        let mut decoded = DecodedRecords::default();
        let number = |record: &&[u8]| framed(record).ok().map(|(number, _)| number);
        let rows = |range: Range<usize>| self.rows(&records[range]).map(Rows::each);
        let mut start = 0;
        while let Some(first) = records.get(start) {
            let of = number(first);
            let same = records[start..].iter().take_while(|record| number(record) == of).count();
            if !by_halves(start..start + same, at_bad, &mut decoded, &rows) {
                break;
            }
            start += same;
        }
        decoded
    }

    /// Records of one schema.
    fn rows(&self, records: &[&[u8]]) -> Result<RecordBatch, String> {
        let Some(first) = records.first() else { return Err("no record".to_owned()) };
        let (number, _) = framed(first)?;
        let schema = self.schemas.get(&number);
        let schema = schema.ok_or_else(|| format!("the registry has no schema {number}"))?;
        // The bytes are anybody's, and the library may panic on some of them.
        let read = catch_unwind(AssertUnwindSafe(|| read(number, schema, records)));
        let read = read.unwrap_or_else(|_| Err("the decoder panicked".to_owned()))?;
        let columns = match self.unstructured {
            true => vec![texts(&(Arc::new(StructArray::from(read)) as ArrayRef))?],
            false => {
                let columns = self.columns.fields().iter().map(|field| column(&read, field));
                columns.collect::<Result<_, _>>()?
            }
        };
        batch(&self.columns, columns)
    }
}

/// Records in the columns of their schema.
fn read(number: u32, schema: &AvroSchema, records: &[&[u8]]) -> Result<RecordBatch, String> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(Fingerprint::Id(number), schema.clone()).map_err(said)?;
    let reader = ReaderBuilder::new().with_batch_size(records.len()).with_writer_schema_store(store);
    let mut decoder = reader.build_decoder().map_err(|error| format!("schema {number}: {}", said(error)))?;
    for record in records {
        let room = decoder.capacity();
        let taken = decoder.decode(record).map_err(|error| error.to_string())?;
        if decoder.capacity() + 1 != room {
            return Err("the record ends in its middle".to_owned());
        }
        if taken < record.len() {
            return Err(format!("{} bytes stand behind the record", record.len() - taken));
        }
    }
    decoder.flush().map_err(|error| error.to_string())?.ok_or_else(|| "no record".to_owned())
}

/// A declared column among those that were read.
fn column(read: &RecordBatch, field: &FieldRef) -> Result<ArrayRef, String> {
    let schema = read.schema();
    let names = || schema.fields().iter().map(|given| given.name());
    let at = names().position(|name| name == field.name());
    let at = at.or_else(|| names().position(|name| name.eq_ignore_ascii_case(field.name())));
    let Some(at) = at else { return Ok(new_null_array(field.data_type(), read.num_rows())) };
    let column = read.column(at);
    match (column.data_type(), field.data_type()) {
        (DataType::FixedSizeBinary(UUID_BYTES), DataType::Utf8) => Ok(uuids(column)),
        _ if is_json(field) => texts(column),
        _ => fit(column, field),
    }
}

/// UUIDs as texts.
fn uuids(column: &ArrayRef) -> ArrayRef {
    let bytes = column.as_fixed_size_binary();
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.len() * 36);
    for value in bytes {
        texts.append_option(value.map(|value| {
            let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
        }));
    }
    Arc::new(texts.finish())
}

/// Values as JSON.
fn texts(column: &ArrayRef) -> Result<ArrayRef, String> {
    let field = Arc::new(Field::new(VALUE, column.data_type().clone(), true));
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(&field, column, &options).map_err(said)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}

/// Makes records of rows with some columns.
#[derive(Clone, Debug)]
pub struct AvroEncoder {
    columns: Schema,
    schema: String,
}

impl AvroEncoder {
    /// For rows with these columns; `name` is the record's. `Malformed` for a column that Avro has no name or type for.
    pub fn new(columns: &Schema, name: &str) -> Result<Self, Error> {
        let malformed = |error| Error::Malformed(said(error));
        if let Some(field) = columns.fields().iter().find(|field| !is_name(field.name())) {
            return Err(Error::Malformed(format!("column {:?} is no name in Avro", field.name())));
        }
        let fields = columns.fields().iter().map(written).collect::<Vec<_>>();
        let named = [(AVRO_NAME_METADATA_KEY.to_owned(), name.to_owned())].into();
        let columns = Schema::new_with_metadata(fields, named);
        let schema = AvroSchema::try_from(&columns).map_err(malformed)?;
        let schema = with_defaults(&schema.json_string)?;
        let columns = columns.with_metadata([(SCHEMA_METADATA_KEY.to_owned(), schema.clone())].into());
        Ok(Self { columns, schema })
    }

    /// The schema, as a registry takes it.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// A record for each row, with the number of the schema before it.
    pub fn encode(&self, number: u32, rows: &RecordBatch) -> Result<Vec<Bytes>, Error> {
        let malformed = |text: String| Error::Malformed(text);
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let columns = rows.columns().iter().zip(self.columns.fields());
        let columns = columns
            .map(|(column, field)| cast_with_options(column, field.data_type(), &exact))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| malformed(said(error)))?;
        let rows = RecordBatch::try_new(Arc::new(self.columns.clone()), columns)
            .map_err(|error| malformed(said(error)))?;
        let writer = WriterBuilder::new(self.columns.clone())
            .with_fingerprint_strategy(FingerprintStrategy::Id(number));
        let mut encoder =
            writer.build_encoder::<AvroSoeFormat>().map_err(|error| malformed(error.to_string()))?;
        encoder.encode(&rows).map_err(|error| malformed(error.to_string()))?;
        Ok(encoder.flush().iter().collect())
    }
}

/// A field that may be NULL, in a type that every reader of Avro knows.
fn written(field: &FieldRef) -> Field {
    Field::new(field.name(), written_type(field.data_type()), true)
}

fn written_type(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(written(field));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        // an instant: what has no zone here is UTC
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DataType::List(element) | DataType::LargeList(element) => DataType::List(inner(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// A name as Avro allows it.
fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// The schema with NULL as the default of its fields, so that later ones may leave them out.
fn with_defaults(schema: &str) -> Result<String, Error> {
    let malformed = |error: serde_json::Error| Error::Malformed(error.to_string());
    let mut schema: Value = serde_json::from_str(schema).map_err(malformed)?;
    let fields = schema.get_mut("fields").and_then(Value::as_array_mut);
    for field in fields.into_iter().flatten() {
        if field["type"].get(0).is_some_and(|first| first == "null") {
            field["default"] = Value::Null;
        }
    }
    serde_json::to_string(&schema).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::util::pretty::pretty_format_batches;

    use super::*;

    fn rows() -> RecordBatch {
        let window = DataType::Struct(vec![Field::new("start", DataType::Int64, true)].into());
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("w", window, true),
        ]);
        let starts = StructArray::try_new(
            vec![Field::new("start", DataType::Int64, true)].into(),
            vec![Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef],
            None,
        );
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![7, -8])),
            Arc::new(StringArray::from(vec![Some("a"), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_767_225_600_000_000), None])),
            Arc::new(BooleanArray::from(vec![None, Some(true)])),
            Arc::new(starts.expect("fits")),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
    }

    fn decoder(columns: Schema, number: u32, schema: &str) -> AvroDecoder {
        let mut decoder = AvroDecoder::new(Arc::new(columns), false).expect("fits");
        decoder.learn(number, schema.to_owned());
        decoder
    }

    fn slices(records: &[Bytes]) -> Vec<&[u8]> {
        records.iter().map(|record| record.as_ref()).collect()
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let rows = rows();
        let encoder = AvroEncoder::new(&rows.schema(), "r").expect("fits");
        let records = encoder.encode(9, &rows).expect("encodes");
        let decoder = decoder(rows.schema().as_ref().clone(), 9, encoder.schema());
        let decoded = decoder.decode(&slices(&records), AtBad::GoOn);
        assert_eq!(decoded.bad, []);
        let read: Vec<RecordBatch> = decoded.batches.into_iter().map(|(_, batch)| batch).collect();
        let shown = |batches: &[RecordBatch]| pretty_format_batches(batches).expect("prints").to_string();
        assert_eq!(shown(&read), shown(&[rows]));
    }

    #[test]
    fn columns_are_found_by_name_in_the_schema_of_their_record() {
        let first = r#"{"type":"record","name":"r","fields":[{"name":"ID","type":"int"}]}"#;
        let second = r#"{"type":"record","name":"r","fields":[
            {"name":"gone","type":"string"},
            {"name":"id","type":"long"},
            {"name":"kind","type":{"type":"enum","name":"k","symbols":["x","y"]}}]}"#;
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("kind", DataType::Utf8, true),
        ]);
        let mut decoder = decoder(columns, 1, first);
        decoder.learn(2, second.to_owned());
        let records: [&[u8]; 3] = [b"\0\0\0\0\x01\x0a", b"\0\0\0\0\x02\x02z\x0c\x02", b"\0\0\0\0\x01\x0e"];
        let decoded = decoder.decode(&records, AtBad::GoOn);
        assert_eq!(decoded.bad, []);
        let rows: Vec<(usize, i64, Option<String>)> = decoded
            .batches
            .iter()
            .map(|(at, batch)| {
                let id = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0);
                let kind = batch.column(1).as_string::<i32>();
                (*at, id, kind.is_valid(0).then(|| kind.value(0).to_owned()))
            })
            .collect();
        assert_eq!(rows, [(0, 5, None), (1, 6, Some("y".to_owned())), (2, 7, None)]);
    }

    #[test]
    fn a_record_that_does_not_fit_is_told_apart_from_its_neighbours() {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"s","type":"string"}]}"#;
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("s", DataType::Utf8, true),
        ]);
        let decoder = decoder(columns, 1, schema);
        let records: [&[u8]; 6] = [
            b"\0\0\0\0\x01\x02\x02a",
            b"\0\0\0\0\x01\x02\x7fa",
            b"\0\0\0\0\x03\x02\x02a",
            b"{}",
            b"\0\0\0\0\x01\x04\x02bb",
            b"\0\0\0\0\x01\x06\x02c",
        ];
        let decoded = decoder.decode(&records, AtBad::GoOn);
        let rows: Vec<(usize, usize)> =
            decoded.batches.iter().map(|(at, batch)| (*at, batch.num_rows())).collect();
        assert_eq!(rows, [(0, 1), (5, 1)]);
        let reasons: Vec<(usize, bool)> = decoded
            .bad
            .iter()
            .map(|(at, reason)| {
                let expected = ["", "", "no schema 3", "begins with byte 123", "", ""][*at];
                (*at, reason.contains(expected))
            })
            .collect();
        assert_eq!(reasons, [(1, true), (2, true), (3, true), (4, true)], "{:?}", decoded.bad);
        assert_eq!(decoder.decode(&records, AtBad::Stop).bad.len(), 1);
    }

    #[test]
    fn a_whole_record_becomes_json() {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},
            {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
        let value = Schema::new(vec![Field::new(VALUE, DataType::Utf8, true)]);
        let mut decoder = AvroDecoder::new(Arc::new(value), true).expect("fits");
        decoder.learn(1, schema.to_owned());
        let decoded = decoder.decode(&[b"\0\0\0\0\x01\x02\x02\x02a\0"], AtBad::GoOn);
        let text = decoded.batches[0].1.column(0).as_string::<i32>().value(0).to_owned();
        assert_eq!(text, r#"{"id":1,"tags":["a"]}"#);
        let other = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        assert!(AvroDecoder::new(Arc::new(other), true).is_err());
    }

    const NESTED: &str = r#"{"type":"record","name":"r","fields":[{"name":"id","type":["null","long"]},
        {"name":"tags","type":{"type":"array","items":"string"}}, {"name":"m","type":{"type":"map","values":"double"}},
        {"name":"e","type":{"type":"enum","name":"k","symbols":["x","y"]}}, {"name":"b","type":"bytes"},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},
        {"name":"f","type":{"type":"fixed","name":"u","size":4}}, {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_record_or_bad(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
            let value = Schema::new(vec![Field::new(VALUE, DataType::Utf8, true)]);
            let mut decoder = AvroDecoder::new(Arc::new(value), true).expect("fits");
            decoder.learn(1, NESTED.to_owned());
            let record = [&[0, 0, 0, 0, 1][..], &bytes].concat();
            let decoded = decoder.decode(&[&record, &bytes], AtBad::GoOn);
            let rows: usize = decoded.batches.iter().map(|(_, batch)| batch.num_rows()).sum();
            proptest::prop_assert_eq!(rows + decoded.bad.len(), 2);
        }
    }

    #[test]
    fn a_schema_is_written_so_that_fields_may_go() {
        let columns = Schema::new(vec![Field::new("n", DataType::UInt64, false)]);
        let encoder = AvroEncoder::new(&columns, "orders").expect("fits");
        assert_eq!(
            serde_json::from_str::<Value>(encoder.schema()).expect("JSON"),
            serde_json::json!({"type": "record", "name": "orders", "fields": [{"name": "n", "type": ["null", "long"], "default": null}]})
        );
        let odd = Schema::new(vec![Field::new("a b", DataType::Int64, true)]);
        assert_eq!(
            AvroEncoder::new(&odd, "x").expect_err("no name").to_string(),
            "column \"a b\" is no name in Avro"
        );
    }
}
