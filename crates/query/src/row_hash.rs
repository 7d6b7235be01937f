//! A mark of rows in whatever order, by which two runs of one task are compared.
//!
//! ```text
//! cell ─ xxh3-128, seeded by its column ─┐ sum per row ─ xxh3-128 ─► row ─┐ sum ─► mark
//! ```
//! Columns of floating point are left out, and so are NULLs: a column that was added later changes nothing. It says that rows
//! differ, not who is to be believed: a mark is no signature.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, OffsetSizeTrait};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use cenote_vocab::TableSchema;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// Rows of which each has a mark of its own, so that those that differ can be counted.
const COMPARED_ROWS_MAX: usize = 1_000_000;

/// What becomes of rows that are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are written.
    Written,
    /// They go nowhere; each is remembered by its mark, as far as there is room.
    Compared,
}

/// Marks rows as they pass.
#[derive(Debug)]
pub(crate) struct RowHash {
    fate: Fate,
    sum: u128,
    rows: u64,
    /// Of each row; empty if there were too many.
    marks: Vec<u128>,
}

impl RowHash {
    pub(crate) fn new(fate: Fate) -> Self {
        Self { fate, sum: 0, rows: 0, marks: Vec::new() }
    }

    /// True if the rows are only compared.
    pub(crate) fn is_dry(&self) -> bool {
        self.fate == Fate::Compared
    }

    /// Adds rows whose columns begin with those of a table.
    pub(crate) fn add(&mut self, schema: &TableSchema, columns: &[ArrayRef], rows: usize) {
        let marks = marks(schema, columns, rows);
        self.sum = marks.iter().fold(self.sum, |sum, mark| sum.wrapping_add(*mark));
        self.rows += rows as u64;
        if self.fate == Fate::Compared && self.rows <= COMPARED_ROWS_MAX as u64 {
            self.marks.extend(marks);
        }
    }

    /// The same with a batch.
    pub(crate) fn add_batch(&mut self, schema: &TableSchema, batch: &RecordBatch) {
        self.add(schema, batch.columns(), batch.num_rows());
    }

    /// How many rows there were.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The mark of all of them.
    pub(crate) fn mark(&self) -> [u8; 16] {
        self.sum.to_be_bytes()
    }

    /// How many rows differ from those of another, a changed one counted once; `None` if there were too many to tell.
    pub(crate) fn differing(&self, other: &Self) -> Option<u64> {
        let all = |hash: &Self| hash.marks.len() as u64 == hash.rows;
        if !all(self) || !all(other) {
            return None;
        }
        let mut counts: HashMap<u128, i64> = HashMap::with_capacity(self.marks.len());
        self.marks.iter().for_each(|mark| *counts.entry(*mark).or_default() += 1);
        other.marks.iter().for_each(|mark| *counts.entry(*mark).or_default() -= 1);
        let only = |sign: i64| counts.values().map(|count| (count * sign).max(0)).sum::<i64>();
        Some(only(1).max(only(-1)).unsigned_abs())
    }
}

/// The mark of each row.
fn marks(schema: &TableSchema, columns: &[ArrayRef], rows: usize) -> Vec<u128> {
    let mut sums = vec![0; rows];
    for (field, column) in schema.fields.iter().zip(columns) {
        add_cells(column.as_ref(), u64::from(field.id.0.unsigned_abs()), &mut sums);
    }
    sums.iter().map(|sum| xxh3_128(&sum.to_le_bytes())).collect()
}

/// True for values that come out a little different each time, and what holds nothing else.
fn is_left_out(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            is_left_out(element.data_type())
        }
        _ => false,
    }
}

/// Adds to each row the hash of its cell; nothing of a NULL.
fn add_cells(array: &dyn Array, seed: u64, rows: &mut [u128]) {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal128, Decimal256, FixedSizeBinary, FixedSizeList,
        Int8, Int16, Int32, Int64, LargeBinary, LargeList, LargeUtf8, List, Map, Struct, Time32, Time64,
        Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    if is_left_out(array.data_type()) {
        return;
    }
    match array.data_type() {
        Boolean => {
            let values: &BooleanArray = array.as_boolean();
            each(array, rows, |at| xxh3_128_with_seed(&[u8::from(values.value(at))], seed));
        }
        Int8 => add_numbers::<Int8Type>(array, seed, rows),
        Int16 => add_numbers::<Int16Type>(array, seed, rows),
        Int32 => add_numbers::<Int32Type>(array, seed, rows),
        Int64 => add_numbers::<Int64Type>(array, seed, rows),
        UInt8 => add_numbers::<UInt8Type>(array, seed, rows),
        UInt16 => add_numbers::<UInt16Type>(array, seed, rows),
        UInt32 => add_numbers::<UInt32Type>(array, seed, rows),
        UInt64 => add_numbers::<UInt64Type>(array, seed, rows),
        Date32 => add_numbers::<Date32Type>(array, seed, rows),
        Date64 => add_numbers::<Date64Type>(array, seed, rows),
        Time32(TimeUnit::Second) => add_numbers::<Time32SecondType>(array, seed, rows),
        Time32(_) => add_numbers::<Time32MillisecondType>(array, seed, rows),
        Time64(TimeUnit::Microsecond) => add_numbers::<Time64MicrosecondType>(array, seed, rows),
        Time64(_) => add_numbers::<Time64NanosecondType>(array, seed, rows),
        Timestamp(TimeUnit::Second, _) => add_numbers::<TimestampSecondType>(array, seed, rows),
        Timestamp(TimeUnit::Millisecond, _) => add_numbers::<TimestampMillisecondType>(array, seed, rows),
        Timestamp(TimeUnit::Microsecond, _) => add_numbers::<TimestampMicrosecondType>(array, seed, rows),
        Timestamp(TimeUnit::Nanosecond, _) => add_numbers::<TimestampNanosecondType>(array, seed, rows),
        Decimal128(..) => add_numbers::<Decimal128Type>(array, seed, rows),
        Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>();
            each(array, rows, |at| xxh3_128_with_seed(&values.value(at).to_le_bytes(), seed));
        }
        Utf8 => {
            let values = array.as_string::<i32>();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at).as_bytes(), seed));
        }
        LargeUtf8 => {
            let values = array.as_string::<i64>();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at).as_bytes(), seed));
        }
        Utf8View => {
            let values = array.as_string_view();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at).as_bytes(), seed));
        }
        Binary => {
            let values = array.as_binary::<i32>();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at), seed));
        }
        LargeBinary => {
            let values = array.as_binary::<i64>();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at), seed));
        }
        BinaryView => {
            let values = array.as_binary_view();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at), seed));
        }
        FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            each(array, rows, |at| xxh3_128_with_seed(values.value(at), seed));
        }
        Struct(_) => {
            let mut inner = vec![0; array.len()];
            for (place, column) in (1..).zip(array.as_struct().columns()) {
                add_cells(column.as_ref(), place, &mut inner);
            }
            each(array, rows, |at| xxh3_128_with_seed(&inner[at].to_le_bytes(), seed));
        }
        List(_) => {
            let lists = array.as_list::<i32>();
            add_lists::<i32>(array, lists.values(), lists.offsets(), seed, rows);
        }
        LargeList(_) => {
            let lists = array.as_list::<i64>();
            add_lists::<i64>(array, lists.values(), lists.offsets(), seed, rows);
        }
        Map(..) => {
            let maps = array.as_map();
            let entries: ArrayRef = Arc::new(maps.entries().clone());
            add_lists::<i32>(array, &entries, maps.offsets(), seed, rows);
        }
        FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            let elements = elements(array.as_fixed_size_list().values());
            each(array, rows, |at| list(&elements[at * length..(at + 1) * length], seed));
        }
        // No column of a table has another type.
        _ => {}
    }
}

/// As wide as the widest: a column that became wider has the marks that it had.
fn add_numbers<T: ArrowPrimitiveType>(array: &dyn Array, seed: u64, rows: &mut [u128])
where
    T::Native: Into<i128>,
{
    let values = array.as_primitive::<T>();
    each(array, rows, |at| {
        let number: i128 = values.value(at).into();
        xxh3_128_with_seed(&number.to_le_bytes(), seed)
    });
}

fn add_lists<O: OffsetSizeTrait>(
    array: &dyn Array,
    values: &ArrayRef,
    offsets: &[O],
    seed: u64,
    rows: &mut [u128],
) {
    let elements = elements(values);
    each(array, rows, |at| list(&elements[offsets[at].as_usize()..offsets[at + 1].as_usize()], seed));
}

/// The hash of each element; 0 of a NULL.
fn elements(values: &ArrayRef) -> Vec<u128> {
    let mut elements = vec![0; values.len()];
    add_cells(values.as_ref(), 0, &mut elements);
    elements
}

/// The hash of elements in their order.
fn list(elements: &[u128], seed: u64) -> u128 {
    let bytes: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
    xxh3_128_with_seed(&bytes, seed)
}

fn each(array: &dyn Array, rows: &mut [u128], hash: impl Fn(usize) -> u128) {
    for (at, row) in rows.iter_mut().enumerate() {
        if array.is_valid(at) {
            *row = row.wrapping_add(hash(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Field as ArrowField;
    use cenote_vocab::{Field, FieldId, FieldType};

    use super::*;

    fn schema(types: &[FieldType]) -> TableSchema {
        let fields = (1..)
            .zip(types)
            .map(|(id, field_type)| Field::new(FieldId(id), format!("c{id}"), field_type.clone()));
        TableSchema { no: 1, fields: fields.collect() }
    }

    fn hash(schema: &TableSchema, batches: &[Vec<ArrayRef>]) -> RowHash {
        let mut hash = RowHash::new(Fate::Compared);
        for columns in batches {
            hash.add(schema, columns, columns[0].len());
        }
        hash
    }

    fn ints(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn order_batches_floats_and_new_columns_change_nothing() {
        let two = schema(&[FieldType::Int64, FieldType::String]);
        let mark = hash(&two, &[vec![ints(&[1, 2, 2]), texts(&[Some("a"), None, None])]]).mark();
        let cut = [vec![ints(&[2]), texts(&[None])], vec![ints(&[2, 1]), texts(&[None, Some("a")])]];
        assert_eq!(hash(&two, &cut).mark(), mark);
        let four = schema(&[FieldType::Int64, FieldType::String, FieldType::Double, FieldType::Int32]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3]));
        let none: ArrayRef = Arc::new(Int32Array::from(vec![None, None, None]));
        let more = vec![ints(&[1, 2, 2]), texts(&[Some("a"), None, None]), floats, none];
        assert_eq!(hash(&four, &[more]).mark(), mark);
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 2]));
        assert_eq!(hash(&two, &[vec![narrow, texts(&[Some("a"), None, None])]]).mark(), mark);
    }

    #[test]
    fn what_differs_is_counted_and_a_changed_row_once() {
        let two = schema(&[FieldType::Int64, FieldType::Int64]);
        let of = |a: &[i64], b: &[i64]| hash(&two, &[vec![ints(a), ints(b)]]);
        let rows = of(&[1, 2, 3], &[4, 5, 6]);
        assert_eq!(rows.differing(&of(&[3, 1, 2], &[6, 4, 5])), Some(0));
        assert_eq!(rows.differing(&of(&[1, 2, 3], &[4, 5, 7])), Some(1));
        assert_eq!(rows.differing(&of(&[1, 2], &[4, 5])), Some(1));
        assert_eq!(rows.differing(&of(&[1, 1, 2, 3], &[4, 4, 5, 6])), Some(1), "one twice");
        // Values that changed places, between rows and between columns.
        assert_ne!(rows.mark(), of(&[1, 2, 3], &[5, 4, 6]).mark());
        assert_ne!(rows.mark(), of(&[4, 2, 3], &[1, 5, 6]).mark());
        assert_ne!(of(&[], &[]).mark(), rows.mark());
    }

    #[test]
    fn lists_and_structs_are_told_apart_by_what_is_in_them() {
        let list_type = FieldType::List(Box::new(Field::new(FieldId(2), "element", FieldType::Int64)));
        let lists = schema(&[list_type]);
        let of = |rows: Vec<Option<Vec<Option<i64>>>>| {
            let array = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
            hash(&lists, &[vec![Arc::new(array) as ArrayRef]]).mark()
        };
        let one = of(vec![Some(vec![Some(1), Some(2)]), None]);
        assert_ne!(one, of(vec![Some(vec![Some(2), Some(1)]), None]), "order counts");
        assert_ne!(one, of(vec![Some(vec![Some(1)]), Some(vec![Some(2)])]));
        assert_ne!(of(vec![Some(vec![])]), of(vec![None]));
        assert_ne!(of(vec![Some(vec![None])]), of(vec![Some(vec![])]));

        let float = Field::new(FieldId(3), "f", FieldType::Double);
        let number = Field::new(FieldId(2), "n", FieldType::Int64);
        let structs = schema(&[FieldType::Struct(vec![number, float])]);
        let of = |n: i64, f: f64| {
            let array = StructArray::from(vec![
                (Arc::new(ArrowField::new("n", DataType::Int64, true)), ints(&[n])),
                (
                    Arc::new(ArrowField::new("f", DataType::Float64, true)),
                    Arc::new(Float64Array::from(vec![f])) as ArrayRef,
                ),
            ]);
            hash(&structs, &[vec![Arc::new(array) as ArrayRef]]).mark()
        };
        assert_eq!(of(1, 0.1), of(1, 0.2));
        assert_ne!(of(1, 0.1), of(2, 0.1));
    }
}
