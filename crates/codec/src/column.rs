//! One growing column: typed by its first value, gaps filled late, taken back when its item turns out bad.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, NullArray,
    NullBufferBuilder, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Field;

use crate::Error;
use crate::value::{Kind, Value};

/// Doubles hold every integer up to here.
pub(crate) const EXACT_MAX: u64 = 1 << 53;

/// NULLs that the decoders add on their own in one request, where rows lack columns of other rows:
/// a small body could ask for terabytes of them otherwise.
pub(crate) const GAPS_MAX: u64 = 1 << 27;

/// How many gaps may still be filled in this request.
#[derive(Debug)]
pub(crate) struct Gaps(u64);

impl Default for Gaps {
    fn default() -> Self {
        Self(GAPS_MAX)
    }
}

impl Gaps {
    fn take(&mut self, count: usize, column: &str) -> Result<(), Error> {
        self.0 = self.0.checked_sub(count as u64).ok_or_else(|| Error::Limit {
            what: format!("number of cells that no row sent, at column {column:?},"),
            max: GAPS_MAX,
            limit: "gaps_per_request_max",
        })?;
        Ok(())
    }
}

/// Why a value does not fit its column.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("is {given}, values before it are {expected}")]
    Kind { expected: Kind, given: Kind },
    #[error("mixes doubles with an integer beyond ±2^53, which a double cannot hold")]
    Inexact,
    #[error("is binary that is not UTF-8, in a tag")]
    NotText,
}

#[derive(Debug)]
enum Values {
    Null,
    Bool(BooleanBufferBuilder),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Pieces),
    Binary(Pieces),
    Timestamp(Vec<i64>),
}

/// Texts or binaries, one after the other. Offsets wrap beyond 2 GiB, which [`Column::finish`] refuses.
#[derive(Debug)]
struct Pieces {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Pieces {
    fn empty(count: usize) -> Self {
        Self { offsets: vec![0; count + 1], bytes: Vec::new() }
    }

    #[inline]
    fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, count: usize) {
        self.offsets.truncate(count + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }
}

/// A column that grows by one value or one run at a time.
#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    values: Values,
    validity: NullBufferBuilder,
    /// Row of the first value; before it there are only NULLs.
    first_value: usize,
    /// Row of the first double in a column that began with integers.
    first_float: usize,
    /// Every value becomes text.
    textual: bool,
    tag: bool,
    /// Row that last had it as a tag, counted from 1.
    tag_row: usize,
    replaced_utf8: u64,
}

impl Column {
    /// An empty column whose first value decides its kind.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            values: Values::Null,
            validity: NullBufferBuilder::new(0),
            first_value: 0,
            first_float: 0,
            textual: false,
            tag: false,
            tag_row: 0,
            replaced_utf8: 0,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.validity.len()
    }

    pub(crate) fn replaced_utf8(&self) -> u64 {
        self.replaced_utf8
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.values {
            Values::Null => Kind::Null,
            Values::Bool(_) => Kind::Bool,
            Values::Int(_) => Kind::Int,
            Values::Float(_) => Kind::Float,
            Values::Text(_) => Kind::Text,
            Values::Binary(_) => Kind::Binary,
            Values::Timestamp(_) => Kind::Timestamp,
        }
    }

    /// From now on every value becomes text. An error if the column holds values that are not.
    pub(crate) fn make_textual(&mut self) -> Result<(), Misfit> {
        match self.kind() {
            Kind::Null | Kind::Text => {
                self.textual = true;
                Ok(())
            }
            expected => Err(Misfit::Kind { expected, given: Kind::Text }),
        }
    }

    /// True if the column was sent as a tag.
    #[inline]
    pub(crate) fn is_tag(&self) -> bool {
        self.tag
    }

    /// True if row number `row` has it as a tag.
    pub(crate) fn is_tag_of(&self, row: usize) -> bool {
        self.tag_row == row + 1
    }

    /// Notes that row number `row` has it as a tag: text from now on.
    pub(crate) fn make_tag(&mut self, row: usize) -> Result<(), Misfit> {
        if !self.tag {
            self.make_textual()?;
            self.tag = true;
        }
        self.tag_row = row + 1;
        Ok(())
    }

    /// Takes [`Column::make_tag`] back.
    pub(crate) fn unmake_tag(&mut self) {
        self.textual = false;
        self.tag = false;
    }

    /// Fixes the kind before the first value.
    pub(crate) fn begin(&mut self, kind: Kind) {
        let rows = self.len();
        self.first_value = rows;
        self.values = match kind {
            Kind::Null => Values::Null,
            Kind::Bool => {
                let mut bits = BooleanBufferBuilder::new(rows);
                bits.append_n(rows, false);
                Values::Bool(bits)
            }
            Kind::Int => Values::Int(vec![0; rows]),
            Kind::Float => Values::Float(vec![0.0; rows]),
            Kind::Text => Values::Text(Pieces::empty(rows)),
            Kind::Binary => Values::Binary(Pieces::empty(rows)),
            Kind::Timestamp => Values::Timestamp(vec![0; rows]),
        };
    }

    /// Fills with NULL up to `rows`.
    #[inline]
    pub(crate) fn pad_to(&mut self, rows: usize, gaps: &mut Gaps) -> Result<(), Error> {
        let missing = rows.saturating_sub(self.len());
        if missing > 0 {
            gaps.take(missing, &self.name)?;
            self.push_nulls(missing);
        }
        Ok(())
    }

    pub(crate) fn push_nulls(&mut self, count: usize) {
        self.validity.append_n_nulls(count);
        let rows = self.validity.len();
        match &mut self.values {
            Values::Null => {}
            Values::Bool(bits) => bits.append_n(count, false),
            Values::Int(values) | Values::Timestamp(values) => values.resize(rows, 0),
            Values::Float(values) => values.resize(rows, 0.0),
            Values::Text(pieces) | Values::Binary(pieces) => {
                let end = pieces.bytes.len() as i32;
                pieces.offsets.resize(rows + 1, end);
            }
        }
    }

    /// Adds one value. Integers and doubles mix to doubles; on error the column is as before.
    #[inline]
    pub(crate) fn push(&mut self, value: &Value<'_>) -> Result<(), Misfit> {
        match (&mut self.values, value) {
            (Values::Int(values), Value::Int(value)) => values.push(*value),
            (Values::Float(values), Value::Float(value)) => values.push(*value),
            (Values::Bool(bits), Value::Bool(value)) => bits.append(*value),
            (Values::Timestamp(values), Value::Timestamp(value)) => values.push(*value),
            (Values::Text(_), Value::Text(text)) => {
                self.push_lossy(text);
                return Ok(());
            }
            (Values::Binary(pieces), Value::Binary(bytes)) => {
                pieces.bytes.extend_from_slice(bytes);
                pieces.end();
            }
            _ => return self.push_other(value),
        }
        self.validity.append_non_null();
        Ok(())
    }

    #[cold]
    fn push_other(&mut self, value: &Value<'_>) -> Result<(), Misfit> {
        match (self.kind(), value) {
            (_, Value::Null) => self.push_nulls(1),
            (Kind::Null, _) if self.textual => {
                self.begin(Kind::Text);
                self.push(value)?;
            }
            (Kind::Text, Value::Binary(bytes)) if self.textual => {
                let text = str::from_utf8(bytes).map_err(|_| Misfit::NotText)?;
                self.push_text(text.as_bytes());
            }
            (Kind::Text, _) if self.textual => self.push_text(value.to_string().as_bytes()),
            (Kind::Null, _) => {
                self.begin(value.kind());
                self.push(value)?;
            }
            (Kind::Float, Value::Int(value)) => self.push(&Value::Float(exact(*value)?))?,
            (Kind::Int, Value::Float(_)) => {
                self.widen()?;
                self.push(value)?;
            }
            (expected, _) => return Err(Misfit::Kind { expected, given: value.kind() }),
        }
        Ok(())
    }

    /// Adds text that is UTF-8 already; the column is one of text, or empty so far.
    #[inline]
    pub(crate) fn push_text(&mut self, text: &[u8]) {
        self.push_text_with(|bytes| bytes.extend_from_slice(text));
    }

    /// As [`Column::push_text`]; `write` appends the text's bytes.
    #[inline]
    pub(crate) fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Values::Null = self.values {
            self.begin(Kind::Text);
        }
        if let Values::Text(pieces) = &mut self.values {
            write(&mut pieces.bytes);
            pieces.end();
            self.validity.append_non_null();
        }
    }

    fn push_lossy(&mut self, text: &[u8]) {
        match str::from_utf8(text) {
            Ok(text) => self.push_text(text.as_bytes()),
            Err(_) => {
                self.push_text(String::from_utf8_lossy(text).as_bytes());
                self.replaced_utf8 += 1;
            }
        }
    }

    /// Adds a run of texts; one look at all of it replaces a look at each when it is ASCII.
    pub(crate) fn extend_texts<'a>(
        &mut self,
        texts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<(), Misfit> {
        if let Values::Null = self.values {
            self.begin(Kind::Text);
        }
        let rows = self.len();
        let Values::Text(pieces) = &mut self.values else {
            return Err(Misfit::Kind { expected: self.kind(), given: Kind::Text });
        };
        let start = pieces.bytes.len();
        for text in texts.clone() {
            pieces.bytes.extend_from_slice(text);
            pieces.end();
        }
        if pieces.bytes[start..].is_ascii() {
            let count = pieces.offsets.len() - 1 - rows;
            self.validity.append_n_non_nulls(count);
        } else {
            pieces.truncate(rows);
            texts.for_each(|text| self.push_lossy(text));
        }
        Ok(())
    }

    /// Adds a run of integers.
    pub(crate) fn extend_integers(&mut self, run: impl ExactSizeIterator<Item = i64>) -> Result<(), Misfit> {
        if let Values::Null = self.values
            && !self.textual
        {
            self.begin(Kind::Int);
        }
        let Values::Int(values) = &mut self.values else {
            return run.into_iter().try_for_each(|value| self.push(&Value::Int(value)));
        };
        self.validity.append_n_non_nulls(run.len());
        values.extend(run);
        Ok(())
    }

    /// Adds a run of doubles.
    pub(crate) fn extend_floats(&mut self, run: impl ExactSizeIterator<Item = f64>) -> Result<(), Misfit> {
        match self.kind() {
            Kind::Null if !self.textual => self.begin(Kind::Float),
            Kind::Int => self.widen()?,
            _ => {}
        }
        let Values::Float(values) = &mut self.values else {
            return run.into_iter().try_for_each(|value| self.push(&Value::Float(value)));
        };
        self.validity.append_n_non_nulls(run.len());
        values.extend(run);
        Ok(())
    }

    /// Integers become doubles, if none is lost by it.
    fn widen(&mut self) -> Result<(), Misfit> {
        if let Values::Int(values) = &self.values {
            let floats = values.iter().map(|value| exact(*value)).collect::<Result<_, _>>()?;
            self.first_float = self.len();
            self.values = Values::Float(floats);
        }
        Ok(())
    }

    /// Takes back all rows from `rows` on, and the kind that they decided.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.tag_row = self.tag_row.min(rows);
        if rows >= self.len() {
            return;
        }
        self.validity.truncate(rows);
        if rows <= self.first_value {
            self.values = Values::Null;
        }
        match &mut self.values {
            Values::Null => {}
            Values::Bool(bits) => bits.truncate(rows),
            Values::Int(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float(values) => values.truncate(rows),
            Values::Text(pieces) | Values::Binary(pieces) => pieces.truncate(rows),
        }
        if let Values::Float(values) = &self.values
            && rows <= self.first_float
        {
            self.values = Values::Int(values.iter().map(|value| *value as i64).collect());
            self.first_float = 0;
        }
    }

    /// The column as Arrow's array. An error if its text is larger than Arrow's 32-bit offsets reach.
    pub(crate) fn finish(mut self) -> Result<(Field, ArrayRef), Error> {
        if self.textual && self.kind() == Kind::Null {
            self.begin(Kind::Text);
        }
        if let Values::Text(pieces) | Values::Binary(pieces) = &self.values
            && i32::try_from(pieces.bytes.len()).is_err()
        {
            return Err(Error::Limit {
                what: format!("bytes of column {:?} in one request", self.name),
                max: i32::MAX as u64,
                limit: "column_bytes_max",
            });
        }
        let rows = self.validity.len();
        let nulls = self.validity.build();
        let array: ArrayRef = match self.values {
            Values::Null => Arc::new(NullArray::new(rows)),
            Values::Bool(bits) => Arc::new(BooleanArray::new(bits.build(), nulls)),
            Values::Int(values) => Arc::new(Int64Array::new(scalars(values), nulls)),
            Values::Float(values) => Arc::new(Float64Array::new(scalars(values), nulls)),
            Values::Timestamp(values) => Arc::new(TimestampMicrosecondArray::new(scalars(values), nulls)),
            Values::Text(pieces) => {
                let (offsets, bytes) =
                    (OffsetBuffer::new(scalars(pieces.offsets)), Buffer::from(pieces.bytes));
                let array = StringArray::try_new(offsets, bytes, nulls);
                Arc::new(array.map_err(|error| Error::Malformed(format!("column {:?}: {error}", self.name)))?)
            }
            Values::Binary(pieces) => {
                let (offsets, bytes) =
                    (OffsetBuffer::new(scalars(pieces.offsets)), Buffer::from(pieces.bytes));
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
        };
        Ok((Field::new(self.name, array.data_type().clone(), true), array))
    }
}

/// Without the spare room of a vector that grew, which would stay in the buffer's memory.
fn scalars<T: arrow::datatypes::ArrowNativeType>(mut values: Vec<T>) -> ScalarBuffer<T> {
    values.shrink_to_fit();
    values.into()
}

fn exact(value: i64) -> Result<f64, Misfit> {
    if value.unsigned_abs() <= EXACT_MAX { Ok(value as f64) } else { Err(Misfit::Inexact) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{DataType, Float64Type, Int64Type};

    use super::*;

    fn column(values: &[Value<'_>]) -> Column {
        let mut column = Column::new("v".into());
        values.iter().for_each(|value| column.push(value).expect("fits"));
        column
    }

    #[test]
    fn integers_and_doubles_mix_and_come_apart_again() {
        let mut mixed = column(&[Value::Null, Value::Int(7), Value::Float(0.5), Value::Int(9)]);
        let array =
            column(&[Value::Null, Value::Int(7), Value::Float(0.5), Value::Int(9)]).finish().expect("fits").1;
        assert_eq!(
            array.as_primitive::<Float64Type>(),
            &Float64Array::from(vec![None, Some(7.0), Some(0.5), Some(9.0)])
        );
        mixed.truncate(2);
        let array = mixed.finish().expect("fits").1;
        assert_eq!(array.as_primitive::<Int64Type>(), &Int64Array::from(vec![None, Some(7)]));
    }

    #[test]
    fn an_integer_that_a_double_cannot_hold_never_mixes() {
        let big = i64::MAX;
        assert_eq!(column(&[Value::Int(big)]).push(&Value::Float(0.5)), Err(Misfit::Inexact));
        assert_eq!(column(&[Value::Float(0.5)]).push(&Value::Int(big)), Err(Misfit::Inexact));
    }

    #[test]
    fn other_kinds_do_not_mix_unless_all_is_text() {
        let error = column(&[Value::Bool(true)]).push(&Value::text("x")).expect_err("kinds differ");
        assert_eq!(error.to_string(), "is varchar, values before it are boolean");
        let mut tag = Column::new("t".into());
        tag.make_textual().expect("empty");
        for value in
            [Value::Int(1), Value::Float(2.5), Value::Bool(false), Value::Binary(b"b"), Value::Timestamp(0)]
        {
            tag.push(&value).expect("becomes text");
        }
        assert_eq!(tag.push(&Value::Binary(b"\xff")), Err(Misfit::NotText));
        let array = tag.finish().expect("text").1;
        let texts: Vec<_> = array.as_string::<i32>().iter().flatten().collect();
        assert_eq!(texts, ["1", "2.5", "false", "b", "1970-01-01T00:00:00Z"]);
    }

    #[test]
    fn a_kind_that_was_taken_back_is_forgotten() {
        let mut column = column(&[Value::Null, Value::text("x")]);
        column.truncate(1);
        assert_eq!(column.kind(), Kind::Null);
        column.push(&Value::Bool(true)).expect("first value");
        assert_eq!(column.finish().expect("fits").0.data_type(), &DataType::Boolean);
    }

    #[test]
    fn runs_of_text_replace_what_is_not_utf8() {
        let mut column = Column::new("v".into());
        column.extend_texts([&b"a"[..], b"\xff", "ü".as_bytes()].into_iter()).expect("text");
        column.extend_texts([&b"plain"[..]].into_iter()).expect("text");
        assert_eq!(column.replaced_utf8(), 1);
        let array = column.finish().expect("text").1;
        assert_eq!(
            array.as_string::<i32>().iter().flatten().collect::<Vec<_>>(),
            ["a", "\u{fffd}", "ü", "plain"]
        );
        assert_eq!(array.null_count(), 0);
    }

    #[test]
    fn gaps_are_bounded() {
        let mut gaps = Gaps(10);
        let mut column = Column::new("v".into());
        column.pad_to(8, &mut gaps).expect("8 of 10");
        let error = column.pad_to(11, &mut gaps).expect_err("3 of 2");
        assert!(error.to_string().contains("gaps_per_request_max"), "{error}");
    }
}
