//! Arrow IPC stream, in types that every Arrow reader knows: views become plain, dictionaries their values.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::{Encoder, Summary};

/// Most rows of one record batch of a stream.
const BATCH_ROWS_MAX: usize = 65_536;

/// Codec of the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Zstd,
    Lz4,
}

/// What the client can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpcOptions {
    /// Keep dictionaries.
    pub(crate) dictionaries: bool,
    /// Decimals become Int64 (scale 0, up to 18 digits) or Float64, as Arc's clients expect.
    pub(crate) plain_decimals: bool,
    /// Compress buffers.
    pub(crate) compression: Option<Compression>,
}

/// An IPC stream.
pub(crate) struct IpcEncoder {
    options: IpcOptions,
    writer: Option<(SchemaRef, StreamWriter<Vec<u8>>)>,
}

impl IpcEncoder {
    pub(crate) fn new(options: IpcOptions) -> Self {
        Self { options, writer: None }
    }

    fn writer(&mut self) -> Result<&mut (SchemaRef, StreamWriter<Vec<u8>>), ArrowError> {
        self.writer.as_mut().ok_or_else(|| ArrowError::IpcError("the stream has no schema yet".into()))
    }
}

impl Encoder for IpcEncoder {
    fn media_type(&self) -> &'static str {
        "application/vnd.apache.arrow.stream"
    }

    fn begin(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let fields: Vec<Field> =
            schema.fields().iter().map(|field| plain_field(field, self.options)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let compression = self.options.compression.map(|compression| match compression {
            Compression::Zstd => CompressionType::ZSTD,
            Compression::Lz4 => CompressionType::LZ4_FRAME,
        });
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options)?;
        out.append(writer.get_mut());
        self.writer = Some((schema, writer));
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let (schema, writer) = self.writer()?;
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast(column, field.data_type()),
        });
        // a batch without columns has rows all the same
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect::<Result<_, _>>()?;
        let plain = RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?;
        for start in (0..plain.num_rows()).step_by(BATCH_ROWS_MAX) {
            writer.write(&plain.slice(start, BATCH_ROWS_MAX.min(plain.num_rows() - start)))?;
        }
        out.append(writer.get_mut());
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let (_, writer) = self.writer()?;
        writer.finish()?;
        out.append(writer.get_mut());
        Ok(())
    }
}

fn plain_field(field: &Field, options: IpcOptions) -> Field {
    field.clone().with_data_type(plain_type(field.data_type(), options))
}

fn plain_type(data_type: &DataType, options: IpcOptions) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(plain_field(field, options));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) if !options.dictionaries => plain_type(value, options),
        DataType::Decimal128(precision, 0) | DataType::Decimal256(precision, 0)
            if options.plain_decimals && *precision <= 18 =>
        {
            DataType::Int64
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) if options.plain_decimals => DataType::Float64,
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Decimal128Array, DictionaryArray, StringViewArray};
    use arrow::datatypes::{Float64Type, Int32Type};
    use arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch() -> RecordBatch {
        let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let decimals =
            Decimal128Array::from(vec![150, 25, -5]).with_precision_and_scale(10, 2).expect("decimals");
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "view",
                Arc::new(StringViewArray::from(vec![Some("x"), None, Some("a text longer than a view")])),
            ),
            ("tag", Arc::new(dictionary)),
            ("price", Arc::new(decimals)),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    fn round_trip(options: IpcOptions) -> RecordBatch {
        let (batch, mut out) = (batch(), Vec::new());
        let mut encoder = IpcEncoder::new(options);
        encoder.begin(&batch.schema(), &mut out).expect("begin");
        encoder.batch(&batch, &mut out).expect("batch");
        encoder.end(&Summary::default(), &mut out).expect("end");
        let mut reader = StreamReader::try_new(out.as_slice(), None).expect("a stream");
        let read = reader.next().expect("one batch").expect("readable");
        assert!(reader.next().is_none());
        read
    }

    #[test]
    fn views_and_dictionaries_arrive_as_plain_text() {
        let read = round_trip(IpcOptions { compression: Some(Compression::Lz4), ..IpcOptions::default() });
        assert_eq!(read.column(0).as_string::<i32>().value(2), "a text longer than a view");
        assert_eq!(read.column(1).as_string::<i32>().value(1), "b");
        assert_eq!(*read.column(2).data_type(), DataType::Decimal128(10, 2));
    }

    #[test]
    fn arc_clients_read_decimals_as_doubles_and_may_keep_dictionaries() {
        let options =
            IpcOptions { dictionaries: true, plain_decimals: true, compression: Some(Compression::Zstd) };
        let read = round_trip(options);
        assert!(matches!(read.column(1).data_type(), DataType::Dictionary(..)));
        assert_eq!(read.column(2).as_primitive::<Float64Type>().values(), &[1.5, 0.25, -0.05]);
    }
}
