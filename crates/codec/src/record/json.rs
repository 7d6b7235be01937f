//! JSON records of a known schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;

use super::{fit, is_json, said};

/// How JSON says what it has no type for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// The whole record is one column of JSON.
    pub unstructured: bool,
    /// Points in time.
    pub timestamps: Timestamps,
    /// Decimals.
    pub decimals: Decimals,
}

/// How a point in time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// As text.
    #[default]
    Rfc3339,
    /// As a number of ms since 1970.
    UnixMillis,
}

/// How a decimal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decimals {
    /// As a number.
    #[default]
    Number,
    /// As text.
    String,
    /// As base64 of the unscaled number, big-endian, two's complement.
    Bytes,
}

/// Columns of records.
pub(super) fn columns(
    records: &[&[u8]],
    schema: &SchemaRef,
    options: &JsonOptions,
) -> Result<Vec<ArrayRef>, String> {
    if options.unstructured {
        let raw = |record: &&[u8]| {
            let raw: &RawValue = serde_json::from_slice(record).map_err(|error| error.to_string())?;
            Ok::<_, String>(Some(raw.get().to_owned()))
        };
        let texts: StringArray = records.iter().map(raw).collect::<Result<_, _>>()?;
        return Ok(vec![Arc::new(texts)]);
    }
    let mut raw = raw_columns(records, schema)?;
    let typed: Vec<Field> =
        schema.fields().iter().filter(|field| !is_json(field)).map(|field| wire(field, options)).collect();
    let mut typed = typed_columns(records, Schema::new(typed))?.into_iter();
    let column = |field: &Arc<Field>| match raw.remove(field.name().as_str()) {
        Some(column) => Ok(column),
        None => {
            let column = typed.next().ok_or("a column is missing")?;
            let column = match (field.data_type(), options.decimals) {
                (DataType::Decimal128(precision, scale), Decimals::Bytes) => {
                    unscaled(&column, *precision, *scale)
                        .map_err(|reason| format!("column {:?}: {reason}", field.name()))?
                }
                _ => column,
            };
            fit(&column, field)
        }
    };
    schema.fields().iter().map(column).collect()
}

/// Columns of JSON, each with its own text.
fn raw_columns<'s>(records: &[&[u8]], schema: &'s SchemaRef) -> Result<BTreeMap<&'s str, ArrayRef>, String> {
    let wanted: Vec<&str> =
        schema.fields().iter().filter(|field| is_json(field)).map(|field| field.name().as_str()).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut texts: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(records.len()); wanted.len()];
    for record in records {
        let object: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(record).map_err(|error| error.to_string())?;
        for (name, texts) in wanted.iter().zip(&mut texts) {
            texts.push(object.get(*name).map(|raw| raw.get()).filter(|text| *text != "null"));
        }
    }
    let column = |texts: Vec<Option<&str>>| Arc::new(StringArray::from(texts)) as ArrayRef;
    Ok(wanted.into_iter().zip(texts.into_iter().map(column)).collect())
}

/// The other columns, in their order. Each record is exactly one object.
fn typed_columns(records: &[&[u8]], schema: Schema) -> Result<Vec<ArrayRef>, String> {
    if schema.fields().is_empty() {
        return Ok(Vec::new());
    }
    let reader =
        ReaderBuilder::new(Arc::new(schema)).with_batch_size(records.len()).with_coerce_primitive(true);
    let mut decoder = reader.build_decoder().map_err(said)?;
    for (at, record) in records.iter().enumerate() {
        let record = record.trim_ascii();
        let read = decoder.decode(record).map_err(said)?;
        if decoder.has_partial_record() || decoder.len() <= at {
            return Err("the object ends in its middle".to_owned());
        }
        if decoder.len() > at + 1 || read < record.len() {
            return Err("more than one value in a record".to_owned());
        }
    }
    match decoder.flush().map_err(said)? {
        Some(batch) => Ok(batch.columns().to_vec()),
        None => Err("no record".to_owned()),
    }
}

/// The field as it is read, before it becomes what is declared. What is missing is NULL for now.
fn wire(field: &Field, options: &JsonOptions) -> Field {
    let data_type = match (field.data_type(), options.decimals) {
        (DataType::Decimal128(..), Decimals::Bytes) => DataType::Utf8,
        (other, _) => wire_type(other, options),
    };
    Field::new(field.name(), data_type, true)
}

fn wire_type(data_type: &DataType, options: &JsonOptions) -> DataType {
    let inner = |field: &Arc<Field>| {
        let inner = field.as_ref().clone();
        Arc::new(inner.with_data_type(wire_type(field.data_type(), options)))
    };
    match data_type {
        // a number is read as it stands, in the unit of the type
        DataType::Timestamp(_, zone) if options.timestamps == Timestamps::UnixMillis => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(element) => DataType::List(inner(element)),
        other => other.clone(),
    }
}

/// Decimals of base64 texts.
fn unscaled(texts: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef, String> {
    let number = |text: Option<&str>| -> Result<Option<i128>, String> {
        let Some(text) = text else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(text).map_err(|error| format!("no base64: {error}"))?;
        if bytes.is_empty() || bytes.len() > 16 {
            return Err(format!("{} bytes are no decimal", bytes.len()));
        }
        let negative = bytes[0] >= 0x80;
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(&bytes);
        Ok(Some(i128::from_be_bytes(wide)))
    };
    let numbers: Vec<Option<i128>> = texts.as_string::<i32>().iter().map(number).collect::<Result<_, _>>()?;
    let decimals = Decimal128Array::from(numbers).with_precision_and_scale(precision, scale).map_err(said)?;
    decimals.validate_decimal_precision(precision).map_err(said)?;
    debug_assert_eq!(decimals.len(), texts.len());
    Ok(Arc::new(decimals))
}
