//! The rows of one table in a record, and the columns that they have.
//!
//! Rows are one Arrow IPC record batch (encapsulated message, LZ4 buffers, no schema). A batch that lacks columns of its
//! schema is preceded by the ids of those it has: count u32, ids i32, zeros to 8; flag 1 says so.
//! A section of kind schemas: table id u64, schema number u32, lengths u32 of three texts and of the Arrow schema message,
//! then tenant, schema and table name and the message, zeros to 8.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message};
use arrow::ipc::{CompressionType, MetadataVersion, convert, reader, root_as_message};
use bytes::Bytes;
use cenote_datafile::FIELD_ID_KEY;
use cenote_vocab::TableId;

use super::record::{Header, SectionHeader, u32_at, u64_at};

const FLAG_COLUMNS: u32 = 1;
const PREFIX_BYTES: usize = 8;
const SHAPE_HEADER_BYTES: usize = 28;

/// The columns of a table at one schema number, ready to be written and read.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The table.
    pub(crate) table: TableId,
    /// Which of its schemas.
    pub(crate) schema_no: i32,
    /// Columns with field ids in their metadata.
    pub(crate) schema: SchemaRef,
    section: Bytes,
}

impl Shape {
    /// `names`: tenant, schema and table, for people who read a segment without the catalog.
    pub(crate) fn new(
        table: TableId,
        schema_no: i32,
        names: [&str; 3],
        schema: SchemaRef,
    ) -> Result<Self, ArrowError> {
        let options = write_options()?;
        let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &schema,
            &mut DictionaryTracker::new(true),
            &options,
        );
        let message = message.ipc_message;
        let mut section = Vec::with_capacity(SHAPE_HEADER_BYTES + message.len() + 64);
        section.extend_from_slice(&table.0.to_le_bytes());
        section.extend_from_slice(&schema_no.to_le_bytes());
        for length in names.iter().map(|name| name.len()).chain([message.len()]) {
            section.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        for name in names {
            section.extend_from_slice(name.as_bytes());
        }
        section.extend_from_slice(&message);
        section.resize(section.len().next_multiple_of(8), 0);
        Ok(Self { table, schema_no, schema, section: section.into() })
    }

    /// Its section of a record of kind schemas.
    pub(crate) fn section(&self) -> &[u8] {
        &self.section
    }
}

/// The shapes in a body of kind schemas; an error text if the body contradicts itself.
pub(crate) fn read_shapes(header: &Header, body: &Bytes) -> Result<Vec<Shape>, String> {
    let mut shapes = Vec::new();
    let mut at = 0;
    for index in 0..header.sections {
        let (shape, end) = read_shape(body, at).ok_or_else(|| format!("schema {index} is damaged"))?;
        shapes.push(shape);
        at = end;
    }
    if at == body.len() {
        Ok(shapes)
    } else {
        Err(format!("{} bytes after the last schema", body.len() - at))
    }
}

fn read_shape(body: &Bytes, at: usize) -> Option<(Shape, usize)> {
    let bytes = body.get(at..)?;
    let names: usize = [12, 16, 20]
        .into_iter()
        .map(|at| u32_at(bytes, at).map(|length| length as usize))
        .sum::<Option<_>>()?;
    let start = SHAPE_HEADER_BYTES.checked_add(names)?;
    let end = start.checked_add(u32_at(bytes, 24)? as usize)?;
    let schema = convert::try_schema_from_flatbuffer_bytes(bytes.get(start..end)?).ok()?;
    let end = at.checked_add(end.next_multiple_of(8))?;
    let shape = Shape {
        table: TableId(u64_at(bytes, 0)?.cast_signed()),
        schema_no: u32_at(bytes, 8)?.cast_signed(),
        schema: Arc::new(schema),
        section: (end <= body.len()).then(|| body.slice(at..end))?,
    };
    Some((shape, end))
}

/// Appends the batch, whose columns are some of the shape's; answers the section's flags.
pub(crate) fn encode_rows(batch: &RecordBatch, shape: &Schema, out: &mut Vec<u8>) -> Result<u32, ArrowError> {
    let mut flags = 0;
    if batch.num_columns() != shape.fields().len() {
        flags = FLAG_COLUMNS;
        out.extend_from_slice(&u32::try_from(batch.num_columns()).unwrap_or(u32::MAX).to_le_bytes());
        for field in batch.schema_ref().fields() {
            let id: i32 =
                field.metadata().get(FIELD_ID_KEY).and_then(|id| id.parse().ok()).ok_or_else(|| {
                    ArrowError::SchemaError(format!("column {:?} has no field id", field.name()))
                })?;
            out.extend_from_slice(&id.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let options = write_options()?;
    let (_, encoded) = IpcDataGenerator::default().encode(
        batch,
        &mut DictionaryTracker::new(true),
        &options,
        &mut Default::default(),
    )?;
    write_message(out, encoded, &options)?;
    Ok(flags)
}

/// Reads what [`encode_rows`] wrote.
pub(crate) fn decode_rows(
    section: &SectionHeader,
    payload: &Bytes,
    shape: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let damaged = |what: &str| ArrowError::IpcError(what.to_owned());
    let (schema, at) = match section.flags & FLAG_COLUMNS {
        0 => (shape.clone(), 0),
        _ => read_columns(payload, shape).ok_or_else(|| damaged("list of columns"))?,
    };
    let length = u32_at(payload, at + 4).ok_or_else(|| damaged("message is cut short"))? as usize;
    let start = at + PREFIX_BYTES;
    let end = start
        .checked_add(length)
        .filter(|end| *end <= payload.len())
        .ok_or_else(|| damaged("message length"))?;
    let message = root_as_message(&payload[start..end]).map_err(|error| damaged(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| damaged("message is not a record batch"))?;
    let body = Buffer::from(payload.slice(end..));
    let batch = reader::read_record_batch(&body, batch, schema, &HashMap::new(), None, &message.version())?;
    if batch.num_rows() == section.rows as usize { Ok(batch) } else { Err(damaged("number of rows")) }
}

fn read_columns(payload: &[u8], shape: &SchemaRef) -> Option<(SchemaRef, usize)> {
    let count = u32_at(payload, 0)? as usize;
    let end = count.checked_mul(4)?.checked_add(4)?;
    let ids = payload.get(4..end)?;
    let by_id: HashMap<i32, _> = shape
        .fields()
        .iter()
        .filter_map(|field| Some((field.metadata().get(FIELD_ID_KEY)?.parse().ok()?, field)))
        .collect();
    let fields: Option<Vec<_>> = ids
        .as_chunks::<4>()
        .0
        .iter()
        .map(|id| by_id.get(&i32::from_le_bytes(*id)).map(|field| Arc::clone(field)))
        .collect();
    Some((Arc::new(Schema::new(fields?)), end.next_multiple_of(8)))
}

fn write_options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use cenote_vocab::{Lsn, Micros};
    use proptest::prelude::*;

    use super::super::record::{Draft, Kind};
    use super::*;

    fn shape() -> SchemaRef {
        let field = |name: &str, data_type, id: i32| {
            Field::new(name, data_type, true)
                .with_metadata([(FIELD_ID_KEY.to_owned(), id.to_string())].into())
        };
        Arc::new(Schema::new(vec![
            field("n", DataType::Int64, 1),
            field("x", DataType::Float64, 5),
            field("s", DataType::Utf8, 9),
        ]))
    }

    proptest! {
        #[test]
        fn rows_read_back_with_all_columns_or_some(
            rows in proptest::collection::vec((proptest::option::of(any::<i64>()), proptest::option::of(-1e9f64..1e9), proptest::option::of(".{0,20}")), 0..300),
            columns in proptest::sample::subsequence(vec![0usize, 1, 2], 1..=3),
        ) {
            let shape = shape();
            let arrays: [ArrayRef; 3] = [
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>()),
            ];
            let batch = RecordBatch::try_new(shape.clone(), arrays.to_vec()).expect("batch").project(&columns).expect("columns");
            let mut payload = Vec::new();
            let flags = encode_rows(&batch, &shape, &mut payload).expect("encodes");
            prop_assert_eq!(payload.len() % 8, 0);
            let section = SectionHeader { table: TableId(1), schema_no: 1, rows: rows.len() as u32, time_range: None, flags };
            prop_assert_eq!(decode_rows(&section, &payload.into(), &shape).expect("decodes"), batch);
        }

        #[test]
        fn arbitrary_shapes_are_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut draft = Draft::new(Kind::Schemas, Micros(0));
            draft.shape(&body);
            draft.finish();
            let header = Header::decode(draft.place(Lsn(1), Lsn(0))[..48].try_into().expect("48")).expect("header");
            prop_assert!(read_shapes(&header, &body.into()).is_err());
        }
    }

    #[test]
    fn a_shape_reads_back() {
        let shape = Shape::new(TableId(7), 3, ["default", "db", "cpu"], shape()).expect("shape");
        let mut draft = Draft::new(Kind::Schemas, Micros(0));
        draft.shape(shape.section());
        draft.finish();
        let header =
            Header::decode(draft.place(Lsn(1), Lsn(0))[..48].try_into().expect("48")).expect("header");
        let read = read_shapes(&header, &Bytes::copy_from_slice(shape.section())).expect("reads");
        assert_eq!((read[0].table, read[0].schema_no, &read[0].schema), (TableId(7), 3, &shape.schema));
        assert_eq!(read[0].section(), shape.section());
    }
}
