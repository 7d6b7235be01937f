//! Intervals as ISO 8601.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType,
};

use super::cell::write_number;

/// An interval of any unit; the parts do not carry into each other.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) months: i64,
    pub(super) days: i64,
    pub(super) nanos: i64,
}

/// All values of a column of intervals.
pub(super) fn intervals(array: &ArrayRef, unit: IntervalUnit) -> Vec<Parts> {
    match unit {
        IntervalUnit::YearMonth => {
            let values = array.as_primitive::<IntervalYearMonthType>().values();
            values.iter().map(|months| Parts { months: i64::from(*months), days: 0, nanos: 0 }).collect()
        }
        IntervalUnit::DayTime => {
            let values = array.as_primitive::<IntervalDayTimeType>().values();
            let parts = |value: &IntervalDayTime| Parts {
                months: 0,
                days: i64::from(value.days),
                nanos: i64::from(value.milliseconds) * 1_000_000,
            };
            values.iter().map(parts).collect()
        }
        IntervalUnit::MonthDayNano => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            let parts = |value: &IntervalMonthDayNano| Parts {
                months: i64::from(value.months),
                days: i64::from(value.days),
                nanos: value.nanoseconds,
            };
            values.iter().map(parts).collect()
        }
    }
}

/// ISO 8601: `P1Y2M3DT4H5M6.5S`; each part has its own sign; zero is `PT0S`.
pub(super) fn write_interval(parts: Parts, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'P');
    let part = |number: i64, unit: u8, out: &mut Vec<u8>| {
        if number != 0 {
            write_number(number, out);
            out.push(unit);
        }
    };
    part(parts.months / 12, b'Y', out);
    part(parts.months % 12, b'M', out);
    part(parts.days, b'D', out);
    if parts.nanos != 0 {
        out.push(b'T');
        let seconds = parts.nanos / 1_000_000_000;
        part(seconds / 3600, b'H', out);
        part(seconds / 60 % 60, b'M', out);
        let (second, fraction) = (seconds % 60, parts.nanos % 1_000_000_000);
        if second != 0 || fraction != 0 {
            if parts.nanos < 0 {
                out.push(b'-');
            }
            write_number(second.abs(), out);
            if fraction != 0 {
                let digits = format!(".{:09}", fraction.abs());
                out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
            }
            out.push(b'S');
        }
    }
    if out.len() == start + 1 {
        out.extend_from_slice(b"T0S");
    }
}
