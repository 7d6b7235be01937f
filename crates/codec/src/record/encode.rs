//! Batches become records.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, StructArray, make_array};
use arrow::compute::cast;
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Decimals, JsonOptions, RecordFormat, Timestamps, debezium, is_json, said};
use crate::Error;

/// Adds a record for each row, each with a newline behind it. NULLs of JSON are left out.
pub fn encode(format: &RecordFormat, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    let malformed = |error: ArrowError| Error::Malformed(said(error));
    match format {
        RecordFormat::Json(options) if options.unstructured => lines(batch, out),
        RecordFormat::Json(options) => json(batch, options, out).map_err(malformed),
        RecordFormat::DebeziumJson(options) => debezium::encode(batch, options, out).map_err(malformed),
        RecordFormat::Csv => {
            let mut writer = WriterBuilder::new().with_header(false).build(out);
            writer.write(&plain(batch).map_err(malformed)?).map_err(malformed)
        }
        RecordFormat::RawString | RecordFormat::RawBytes => lines(batch, out),
    }
}

/// What stands before the first record of a file.
pub fn header(format: &RecordFormat, schema: &Schema) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    if *format == RecordFormat::Csv {
        let empty = RecordBatch::new_empty(Arc::new(schema.clone()));
        let mut writer = WriterBuilder::new().with_header(true).build(&mut out);
        writer.write(&empty).map_err(|error| Error::Malformed(said(error)))?;
    }
    Ok(out)
}

/// The only column, a line for each row; NULL is an empty line.
fn lines(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
    let column = match batch.columns() {
        [column] => cast(column, &DataType::Binary).map_err(|error| Error::Malformed(said(error)))?,
        columns => {
            return Err(Error::Malformed(format!(
                "{} columns for a raw record, which has one",
                columns.len()
            )));
        }
    };
    for value in column.as_binary::<i32>() {
        out.extend_from_slice(value.unwrap_or_default());
        out.push(b'\n');
    }
    Ok(())
}

pub(super) fn json(batch: &RecordBatch, options: &JsonOptions, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<(FieldRef, ArrayRef)> = columns
        .map(|(column, field)| {
            let column = shaped(column, options)?;
            let column = if is_json(field) { told(&column)? } else { column };
            Ok((Arc::new(Field::new(field.name(), column.data_type().clone(), true)), column))
        })
        .collect::<Result<_, ArrowError>>()?;
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = LineDelimitedWriter::new(out);
    writer.write(&batch)?;
    writer.finish()
}

/// JSON text, with `null` where there is none.
fn told(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8)?;
    let texts: StringArray =
        texts.as_string::<i32>().iter().map(|text| Some(text.unwrap_or("null"))).collect();
    Ok(Arc::new(texts))
}

/// Columns without zones, which CSV shows as they are.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| shaped(column, &JsonOptions::default()))
        .collect::<Result<_, _>>()?;
    let fields = columns.iter().zip(schema.fields());
    let fields = fields.map(|(column, field)| Field::new(field.name(), column.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
}

/// The column in the types that the writer shows as wanted; nested ones are looked into.
fn shaped(column: &ArrayRef, options: &JsonOptions) -> Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Timestamp(..) if options.timestamps == Timestamps::UnixMillis => {
            let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            Arc::new(
                millis
                    .as_primitive::<arrow::datatypes::TimestampMillisecondType>()
                    .reinterpret_cast::<Int64Type>(),
            )
        }
        DataType::Timestamp(unit, Some(_)) => cast(column, &DataType::Timestamp(*unit, None))?,
        DataType::Decimal128(..) | DataType::Decimal256(..) if options.decimals == Decimals::String => {
            cast(column, &DataType::Utf8)?
        }
        DataType::Decimal128(..) if options.decimals == Decimals::Bytes => base64_of(column),
        DataType::Struct(fields) => {
            let array = column.as_struct();
            let children: Vec<ArrayRef> =
                array.columns().iter().map(|child| shaped(child, options)).collect::<Result<_, _>>()?;
            let fields = fields.iter().zip(&children);
            let fields =
                fields.map(|(field, child)| Field::new(field.name(), child.data_type().clone(), true));
            let fields: Vec<Field> = fields.collect();
            Arc::new(StructArray::try_new(fields.into(), children, array.nulls().cloned())?)
        }
        _ => make_array(column.to_data()),
    })
}

/// The unscaled numbers, without bytes that only repeat the sign.
fn base64_of(column: &ArrayRef) -> ArrayRef {
    let decimals = column.as_primitive::<Decimal128Type>();
    let mut texts = StringBuilder::with_capacity(decimals.len(), decimals.len() * 8);
    for number in decimals {
        texts.append_option(number.map(|number| {
            let bytes = number.to_be_bytes();
            let is_spare = |at: usize| {
                (bytes[at] == 0 && bytes[at + 1] < 0x80) || (bytes[at] == 0xff && bytes[at + 1] >= 0x80)
            };
            let first = (0..15).find(|at| !is_spare(*at)).unwrap_or(15);
            BASE64_STANDARD.encode(&bytes[first..])
        }));
    }
    Arc::new(texts.finish())
}
