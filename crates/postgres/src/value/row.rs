//! Rows of a batch become DataRow messages.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut as _, BytesMut};
use cenote_query::Session;
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;

use super::{array, float, instant, numeric};
use crate::error;

/// Encodes batches whose columns are `fields`.
pub(crate) struct RowEncoder {
    fields: Arc<Vec<FieldInfo>>,
    zone: Tz,
}

impl RowEncoder {
    /// Instants go out as text in the session's time zone.
    pub(crate) fn new(fields: Arc<Vec<FieldInfo>>, session: &Session) -> Self {
        Self { fields, zone: zone_of(session) }
    }

    /// The texts of the batch's rows, in order; NULL is `None`.
    pub(crate) fn texts(&self, batch: &RecordBatch) -> PgWireResult<Vec<Vec<Option<String>>>> {
        let columns = self.columns(batch)?;
        let row = |row| columns.iter().map(|column| column.text_or_null(row)).collect();
        (0..batch.num_rows()).map(row).collect()
    }

    fn columns(&self, batch: &RecordBatch) -> PgWireResult<Vec<ColumnEncoder>> {
        let column = |(column, field): (&ArrayRef, &FieldInfo)| {
            ColumnEncoder::of(column, field.datatype().clone(), field.format(), self.zone)
        };
        batch.columns().iter().zip(self.fields.iter()).map(column).collect()
    }

    /// The batch's rows, in order.
    pub(crate) fn rows(
        &self,
        batch: &RecordBatch,
    ) -> PgWireResult<impl Iterator<Item = PgWireResult<DataRow>> + use<>> {
        let columns = self.columns(batch)?;
        let count = i16::try_from(columns.len()).map_err(|_| {
            error::error("54011", format!("{} columns are more than the wire can carry", columns.len()))
        })?;
        let mut buffer = BytesMut::new();
        Ok((0..batch.num_rows()).map(move |row| {
            for column in &columns {
                column.write_sized(row, &mut buffer)?;
            }
            Ok(DataRow::new(buffer.split(), count))
        }))
    }
}

/// One column, cast to the one Arrow type that its Postgres type is written from.
pub(super) struct ColumnEncoder {
    column: ArrayRef,
    kind: Type,
    format: FieldFormat,
    zone: Tz,
}

impl ColumnEncoder {
    pub(super) fn of(column: &ArrayRef, kind: Type, format: FieldFormat, zone: Tz) -> PgWireResult<Self> {
        let target = match kind {
            Type::BOOL => DataType::Boolean,
            Type::INT2 => DataType::Int16,
            Type::INT4 => DataType::Int32,
            Type::INT8 => DataType::Int64,
            Type::FLOAT4 => DataType::Float32,
            Type::FLOAT8 => DataType::Float64,
            Type::TEXT => DataType::Utf8,
            Type::BYTEA if !matches!(column.data_type(), DataType::FixedSizeBinary(_)) => DataType::Binary,
            Type::DATE => DataType::Date32,
            Type::TIME => DataType::Time64(TimeUnit::Microsecond),
            Type::INTERVAL => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
            Type::JSONB if is_text(column.data_type()) => DataType::Utf8,
            _ => column.data_type().clone(),
        };
        let column = if *column.data_type() == target {
            column.clone()
        } else {
            cast(column, &target).map_err(|error| error::error("22000", error.to_string()))?
        };
        Ok(Self { column, kind, format, zone })
    }

    /// Length and value; −1 for NULL.
    pub(super) fn write_sized(&self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        if self.column.is_null(row) || *self.column.data_type() == DataType::Null {
            out.put_i32(-1);
            return Ok(());
        }
        let at = out.len();
        out.put_i32(0);
        match self.format {
            FieldFormat::Text => out.put_slice(self.text(row)?.as_bytes()),
            FieldFormat::Binary => self.write_binary(row, out)?,
        }
        let length = i32::try_from(out.len() - at - 4)
            .map_err(|_| error::error("54000", "a value is larger than the wire can carry"))?;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn text_or_null(&self, row: usize) -> PgWireResult<Option<String>> {
        let is_null = self.column.is_null(row) || *self.column.data_type() == DataType::Null;
        if is_null { Ok(None) } else { self.text(row).map(Some) }
    }

    /// The text form of a value that is not NULL.
    pub(super) fn text(&self, row: usize) -> PgWireResult<String> {
        let column = &self.column;
        Ok(match self.kind {
            Type::BOOL => if column.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
            Type::INT2 => column.as_primitive::<Int16Type>().value(row).to_string(),
            Type::INT4 => column.as_primitive::<Int32Type>().value(row).to_string(),
            Type::INT8 => column.as_primitive::<Int64Type>().value(row).to_string(),
            Type::FLOAT4 => float::text32(column.as_primitive::<Float32Type>().value(row)),
            Type::FLOAT8 => float::text64(column.as_primitive::<Float64Type>().value(row)),
            Type::TEXT => column.as_string::<i32>().value(row).to_owned(),
            Type::DATE => instant::date_text(column.as_primitive::<Date32Type>().value(row)),
            Type::TIME => instant::time_text(column.as_primitive::<Time64MicrosecondType>().value(row)),
            Type::TIMESTAMP => instant::timestamp_text(self.micros(row)),
            Type::TIMESTAMPTZ => instant::zoned_text(self.micros(row), self.zone),
            Type::INTERVAL => {
                let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
                instant::interval_text(value.months, value.days, value.nanoseconds / 1_000)
            }
            Type::BYTEA => format!("\\x{}", hex::encode(self.bytes(row))),
            Type::UUID => uuid::Uuid::from_slice(self.bytes(row))
                .map_err(|error| error::error("XX000", error.to_string()))?
                .to_string(),
            Type::JSONB => self.json(row)?,
            Type::NUMERIC => self.displayed(row)?,
            _ => array::text(column, row, self.zone)?,
        })
    }

    fn write_binary(&self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        let column = &self.column;
        match self.kind {
            Type::BOOL => out.put_u8(u8::from(column.as_boolean().value(row))),
            Type::INT2 => out.put_i16(column.as_primitive::<Int16Type>().value(row)),
            Type::INT4 => out.put_i32(column.as_primitive::<Int32Type>().value(row)),
            Type::INT8 => out.put_i64(column.as_primitive::<Int64Type>().value(row)),
            Type::FLOAT4 => out.put_f32(column.as_primitive::<Float32Type>().value(row)),
            Type::FLOAT8 => out.put_f64(column.as_primitive::<Float64Type>().value(row)),
            Type::DATE => out.put_i32(instant::binary_date(column.as_primitive::<Date32Type>().value(row))),
            Type::TIME => out.put_i64(column.as_primitive::<Time64MicrosecondType>().value(row)),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => out.put_i64(instant::binary_timestamp(self.micros(row))),
            Type::INTERVAL => {
                let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
                out.put_i64(value.nanoseconds / 1_000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Type::BYTEA | Type::UUID => out.put_slice(self.bytes(row)),
            Type::NUMERIC => numeric::write(&self.displayed(row)?, out),
            Type::JSONB => {
                out.put_u8(1); // the version of the binary form
                out.put_slice(self.json(row)?.as_bytes());
            }
            Type::TEXT => out.put_slice(column.as_string::<i32>().value(row).as_bytes()),
            _ => array::write_binary(column, row, self.zone, out)?,
        }
        Ok(())
    }

    fn bytes(&self, row: usize) -> &[u8] {
        match self.column.data_type() {
            DataType::FixedSizeBinary(_) => self.column.as_fixed_size_binary().value(row),
            _ => self.column.as_binary::<i32>().value(row),
        }
    }

    fn micros(&self, row: usize) -> i64 {
        let DataType::Timestamp(unit, _) = self.column.data_type() else { return 0 };
        let value = match unit {
            TimeUnit::Second => self.column.as_primitive::<TimestampSecondType>().value(row),
            TimeUnit::Millisecond => self.column.as_primitive::<TimestampMillisecondType>().value(row),
            TimeUnit::Microsecond => self.column.as_primitive::<TimestampMicrosecondType>().value(row),
            TimeUnit::Nanosecond => self.column.as_primitive::<TimestampNanosecondType>().value(row),
        };
        instant::micros(value, *unit)
    }

    fn displayed(&self, row: usize) -> PgWireResult<String> {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(&self.column, &options)
            .map_err(|error| error::error("XX000", error.to_string()))?;
        Ok(formatter.value(row).to_string())
    }

    fn json(&self, row: usize) -> PgWireResult<String> {
        if is_text(self.column.data_type()) {
            return Ok(self.column.as_string::<i32>().value(row).to_owned());
        }
        let failed = |error: arrow::error::ArrowError| error::error("XX000", error.to_string());
        let field = Arc::new(arrow::datatypes::Field::new("value", self.column.data_type().clone(), true));
        let options = EncoderOptions::default();
        let mut encoder = make_encoder(&field, &self.column, &options).map_err(failed)?;
        let mut out = Vec::new();
        encoder.encode(row, &mut out);
        String::from_utf8(out).map_err(|error| error::error("XX000", error.to_string()))
    }
}

/// The zone that the session set; UTC, if its name means nothing here.
fn zone_of(session: &Session) -> Tz {
    let named = session.setting("timezone").and_then(|name| name.parse().ok());
    named.unwrap_or_else(|| "UTC".parse().expect("a zone that always exists"))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;

    use super::*;
    use crate::value::postgres_type;

    fn both(column: ArrayRef) -> (Option<String>, Option<Vec<u8>>) {
        let kind = postgres_type(column.data_type());
        let zone: Tz = "UTC".parse().expect("a zone");
        let value = |format| {
            let mut out = BytesMut::new();
            let encoder = ColumnEncoder::of(&column, kind.clone(), format, zone).expect("a type of the wire");
            encoder.write_sized(0, &mut out).expect("a value of the wire");
            let length = i32::from_be_bytes(out[..4].try_into().expect("four bytes"));
            (length >= 0).then(|| out[4..].to_vec())
        };
        let text = value(FieldFormat::Text).map(|bytes| String::from_utf8(bytes).expect("text"));
        (text, value(FieldFormat::Binary))
    }

    #[test]
    fn scalars_go_out_in_text_and_binary() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(both(Arc::new(BooleanArray::from(vec![true]))), (text("t"), Some(vec![1])));
        assert_eq!(
            both(Arc::new(Int64Array::from(vec![-2]))),
            (text("-2"), Some((-2i64).to_be_bytes().to_vec()))
        );
        assert_eq!(
            both(Arc::new(Float64Array::from(vec![1.5]))),
            (text("1.5"), Some(1.5f64.to_be_bytes().to_vec()))
        );
        assert_eq!(both(Arc::new(StringArray::from(vec!["ü"]))), (text("ü"), Some("ü".as_bytes().to_vec())));
        assert_eq!(both(Arc::new(StringArray::from(vec![None::<&str>]))), (None, None));
        assert_eq!(
            both(Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"]))),
            (text("\\x00ff"), Some(vec![0, 255]))
        );
        assert_eq!(
            both(Arc::new(TimestampMicrosecondArray::from(vec![946_684_800_000_001]))),
            (text("2000-01-01 00:00:00.000001"), Some(1i64.to_be_bytes().to_vec()))
        );
        let decimal = Decimal128Array::from(vec![-1_050]).with_precision_and_scale(10, 2).expect("a decimal");
        assert_eq!(both(Arc::new(decimal)).0, text("-10.50"));
    }

    #[test]
    fn lists_are_arrays_and_structs_are_json() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])]);
        assert_eq!(both(Arc::new(list)).0.as_deref(), Some("{1,NULL}"));
        let field = Arc::new(Field::new("a", DataType::Int64, true));
        let structure = StructArray::from(vec![(field, Arc::new(Int64Array::from(vec![7])) as ArrayRef)]);
        assert_eq!(both(Arc::new(structure)).0.as_deref(), Some("{\"a\":7}"));
    }
}
