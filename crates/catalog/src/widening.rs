//! Which types a column may be widened to, and what the files say about it. Pure; no database.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cenote_datafile::{ColumnStatistics, FileStatistics, Value};
use cenote_vocab::{Field, FieldId, FieldType, TableSchema, TimeUnit, Txn};

/// Whether every value of one type is a value of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Widening {
    /// Every value fits.
    Always,
    /// Values within these bounds fit: the statistics of all files must show it.
    Within(RangeInclusive<i128>),
    /// Some values do not fit.
    Never,
}

/// 2^53: up to here every whole number is a DOUBLE.
const DOUBLE_EXACT_MAX: i128 = 1 << 53;

/// How `from` widens to `to`.
pub(crate) fn widening(from: &FieldType, to: &FieldType) -> Widening {
    use FieldType::*;
    if from == to || *from == Unknown {
        return Widening::Always;
    }
    if let (Some((from_signed, from_bits)), Some((to_signed, to_bits))) = (integer(from), integer(to)) {
        let fits = match (from_signed, to_signed) {
            (true, false) => false,
            _ => from_bits < to_bits,
        };
        return if fits { Widening::Always } else { Widening::Never };
    }
    match (from, to) {
        (Float, Double) => Widening::Always,
        (Date, Timestamp(unit)) => Widening::Within(instants(86_400, *unit)),
        (Timestamp(TimeUnit::Micro), Timestamp(TimeUnit::Nano))
        | (TimestampTz(TimeUnit::Micro), TimestampTz(TimeUnit::Nano)) => {
            Widening::Within(i128::from(i64::MIN) / 1_000..=i128::from(i64::MAX) / 1_000)
        }
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Double) => Widening::Always,
        (Int64 | UInt64, Double) => Widening::Within(-DOUBLE_EXACT_MAX..=DOUBLE_EXACT_MAX),
        (Decimal { precision: old, scale: a }, Decimal { precision: new, scale: b })
            if a == b && old < new =>
        {
            Widening::Always
        }
        _ => Widening::Never,
    }
}

/// Counts of so many seconds that are timestamps, in memory and in files, which keep at least microseconds.
fn instants(seconds: i128, unit: TimeUnit) -> RangeInclusive<i128> {
    let length = seconds * 10_i128.pow(u32::from(unit.digits().max(6)));
    i128::from(i64::MIN) / length..=i128::from(i64::MAX) / length
}

/// What a column of this type may become, for people.
pub(crate) fn allowed(from: &FieldType) -> String {
    use FieldType::*;
    let to = match from {
        Int8 => "SMALLINT, INTEGER, BIGINT, DOUBLE",
        Int16 => "INTEGER, BIGINT, DOUBLE",
        Int32 => "BIGINT, DOUBLE",
        Int64 | UInt64 => "DOUBLE, if all values are within ±2^53",
        UInt8 => "SMALLINT, INTEGER, BIGINT, USMALLINT, UINTEGER, UBIGINT, DOUBLE",
        UInt16 => "INTEGER, BIGINT, UINTEGER, UBIGINT, DOUBLE",
        UInt32 => "BIGINT, UBIGINT, DOUBLE",
        Float => "DOUBLE",
        Decimal { .. } => "DECIMAL of more digits and the same scale",
        Date => "TIMESTAMP",
        Timestamp(TimeUnit::Micro) => "TIMESTAMP(9)",
        TimestampTz(TimeUnit::Micro) => "TIMESTAMP(9) WITH TIME ZONE",
        _ => return "this type cannot be widened".to_owned(),
    };
    format!("it may become {to}")
}

/// What is known of the values in the live files of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    files: Vec<(Txn, Arc<TableSchema>, Arc<FileStatistics>)>,
}

impl Findings {
    /// Adds a file: when it came, its columns, its statistics.
    pub(crate) fn add(&mut self, begin: Txn, schema: Arc<TableSchema>, statistics: Arc<FileStatistics>) {
        self.files.push((begin, schema, statistics));
    }

    /// True if all values of a column are known to be in the range. What is not known does not fit.
    pub(crate) fn fit(&self, id: FieldId, range: &RangeInclusive<i128>) -> bool {
        self.files.iter().all(|(_, schema, statistics)| {
            !has(schema, id) || statistics.column(id).is_some_and(|known| fits(known, range))
        })
    }

    /// A transaction after `base` that brought rows which are, or may be, NULL in a column that was not required.
    pub(crate) fn null_after(&self, field: &Field, base: Txn) -> Option<Txn> {
        let later = self.files.iter().filter(|(begin, _, _)| *begin > base);
        later
            .filter(|(_, schema, statistics)| may_be_null(field, schema, statistics))
            .map(|(begin, _, _)| *begin)
            .max()
    }
}

/// True unless it is known that no row of a file is NULL in the column.
pub(crate) fn may_be_null(field: &Field, written: &TableSchema, statistics: &FileStatistics) -> bool {
    match written.field_by_id(field.id) {
        None => field.initial_default.is_none(),
        Some(written) if written.required => false,
        Some(_) => statistics.column(field.id).is_none_or(|known| known.null_count > 0),
    }
}

/// True if all values are known to be in the range.
pub(crate) fn fits(known: &ColumnStatistics, range: &RangeInclusive<i128>) -> bool {
    let inside = |bound: &Option<Value>| match bound {
        Some(Value::Integer(value)) => range.contains(value),
        _ => false,
    };
    known.null_count == known.value_count || (inside(&known.min) && inside(&known.max))
}

fn has(schema: &TableSchema, id: FieldId) -> bool {
    schema.field_by_id(id).is_some() || schema.all_fields().iter().any(|(field, _)| field.id == id)
}

/// Signed?, bits
fn integer(field_type: &FieldType) -> Option<(bool, u8)> {
    Some(match field_type {
        FieldType::Int8 => (true, 8),
        FieldType::Int16 => (true, 16),
        FieldType::Int32 => (true, 32),
        FieldType::Int64 => (true, 64),
        FieldType::UInt8 => (false, 8),
        FieldType::UInt16 => (false, 16),
        FieldType::UInt32 => (false, 32),
        FieldType::UInt64 => (false, 64),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_to_what_holds_them_all() {
        use FieldType::*;
        let exact = Widening::Within(-DOUBLE_EXACT_MAX..=DOUBLE_EXACT_MAX);
        let nanos = Widening::Within(-9_223_372_036_854_775..=9_223_372_036_854_775);
        for (from, to, wanted) in [
            (Int8, Int64, Widening::Always),
            (UInt32, Int64, Widening::Always),
            (UInt32, Int32, Widening::Never),
            (Int8, UInt64, Widening::Never),
            (Int64, Int32, Widening::Never),
            (Int64, Double, exact),
            (Int32, Double, Widening::Always),
            (Double, Int64, Widening::Never),
            (Unknown, String, Widening::Always),
            (String, Unknown, Widening::Never),
            (Decimal { precision: 9, scale: 2 }, Decimal { precision: 20, scale: 2 }, Widening::Always),
            (Decimal { precision: 9, scale: 2 }, Decimal { precision: 20, scale: 3 }, Widening::Never),
            (Date, Timestamp(TimeUnit::Nano), Widening::Within(-106_751..=106_751)),
            (Date, TimestampTz(TimeUnit::Micro), Widening::Never),
            (Timestamp(TimeUnit::Micro), Timestamp(TimeUnit::Nano), nanos),
            (Timestamp(TimeUnit::Micro), TimestampTz(TimeUnit::Nano), Widening::Never),
        ] {
            assert_eq!(widening(&from, &to), wanted, "{from} to {to}");
        }
    }
}
