//! Which types a column may be widened to. Pure; no database.

use std::collections::HashMap;

use cenote_datafile::{FileStatistics, Value};
use cenote_vocab::{FieldId, FieldType, TableSchema};

/// Whether every value of one type is a value of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Widening {
    /// Every value fits.
    Always,
    /// Whole numbers within ±2^53 fit: the statistics of all files must show it.
    WithinDouble,
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
        (Float, Double) | (Date, Timestamp(_)) => Widening::Always,
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Double) => Widening::Always,
        (Int64 | UInt64, Double) => Widening::WithinDouble,
        (Decimal { precision: old, scale: a }, Decimal { precision: new, scale: b })
            if a == b && old < new =>
        {
            Widening::Always
        }
        _ => Widening::Never,
    }
}

/// By column of whole numbers: whether DOUBLE holds every value that is known to be in files.
pub(crate) type DoubleFits = HashMap<FieldId, bool>;

/// Adds what the statistics of a file, written with `schema`, say. What is not known does not fit.
pub(crate) fn note_file(fits: &mut DoubleFits, schema: &TableSchema, statistics: &FileStatistics) {
    for field in &schema.fields {
        if integer(&field.field_type).is_none() {
            continue;
        }
        let known = statistics.column(field.id).is_some_and(|column| {
            let whole = |bound: &Option<Value>| match bound {
                Some(Value::Integer(value)) => value.abs() <= DOUBLE_EXACT_MAX,
                _ => false,
            };
            column.null_count == column.value_count || (whole(&column.min) && whole(&column.max))
        });
        *fits.entry(field.id).or_insert(true) &= known;
    }
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
    fn integers_widen_to_what_holds_them_all() {
        use FieldType::*;
        for (from, to, wanted) in [
            (Int8, Int64, Widening::Always),
            (UInt32, Int64, Widening::Always),
            (UInt32, Int32, Widening::Never),
            (Int8, UInt64, Widening::Never),
            (Int64, Int32, Widening::Never),
            (Int64, Double, Widening::WithinDouble),
            (Int32, Double, Widening::Always),
            (Double, Int64, Widening::Never),
            (Unknown, String, Widening::Always),
            (String, Unknown, Widening::Never),
            (Decimal { precision: 9, scale: 2 }, Decimal { precision: 20, scale: 2 }, Widening::Always),
            (Decimal { precision: 9, scale: 2 }, Decimal { precision: 20, scale: 3 }, Widening::Never),
        ] {
            assert_eq!(widening(&from, &to), wanted, "{from} to {to}");
        }
    }
}
