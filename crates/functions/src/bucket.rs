//! Where a bucket of time begins.

use arrow::array::timezone::Tz;
use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use chrono::{Datelike, NaiveDateTime};

use crate::{Error, instant};

/// How wide buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// Calendar months.
    Months(i64),
    /// A fixed time; a day is 24 hours.
    Nanos(i64),
}

impl Width {
    /// `Invalid` for a width that is not positive, or of months and days.
    pub(crate) fn new(interval: IntervalMonthDayNano) -> Result<Self, Error> {
        let invalid = |rule| Error::Width { width: spelled(interval), rule };
        let IntervalMonthDayNano { months, days, nanoseconds } = interval;
        if months != 0 && (days != 0 || nanoseconds != 0) {
            return Err(invalid("mixes months with days or time"));
        }
        let width = match months {
            0 => Self::Nanos(
                i64::from(days)
                    .checked_mul(DAY_NANOS)
                    .and_then(|nanos| nanos.checked_add(nanoseconds))
                    .ok_or_else(|| invalid("is longer than 292 years"))?,
            ),
            months => Self::Months(months.into()),
        };
        match width {
            Self::Months(count) | Self::Nanos(count) if count <= 0 => Err(invalid("is not positive")),
            width => Ok(width),
        }
    }
}

const DAY_NANOS: i64 = 86_400_000_000_000;

fn spelled(interval: IntervalMonthDayNano) -> String {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let parts = [(i64::from(months), "months"), (i64::from(days), "days"), (nanoseconds, "nanoseconds")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
}

/// Buckets of one width, from one origin, for instants of one unit.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) width: Width,
    /// Where one of them begins; in local time if there is a zone.
    pub(crate) origin: NaiveDateTime,
    /// Where clocks are read.
    pub(crate) zone: Option<Tz>,
    pub(crate) unit: TimeUnit,
}

impl Buckets {
    /// True if every bucket begins at a whole unit: else ask again in nanoseconds.
    pub(crate) fn fit_unit(&self) -> bool {
        let unit_nanos = 1_000_000_000 / instant::per_second(self.unit);
        let whole_width = match self.width {
            Width::Months(_) => true,
            Width::Nanos(nanos) => nanos % unit_nanos == 0,
        };
        whole_width && i64::from(self.origin.and_utc().timestamp_subsec_nanos()) % unit_nanos == 0
    }

    /// The start of the bucket of an instant, as a function to call for each; it answers `None` out of range.
    pub(crate) fn start(&self) -> Result<impl Fn(i64) -> Option<i64> + '_, Error> {
        let unit_nanos = 1_000_000_000 / instant::per_second(self.unit);
        let origin = instant::count(self.origin, self.unit)
            .ok_or_else(|| Error::Range { what: "origin", value: self.origin.to_string() })?;
        let floor = move |at: i64| match self.width {
            Width::Nanos(nanos) => {
                let width = nanos / unit_nanos;
                at.checked_sub(at.checked_sub(origin)?.rem_euclid(width))
            }
            Width::Months(months) => floor_months(at, months, self.origin, self.unit),
        };
        Ok(move |at: i64| match &self.zone {
            None => floor(at),
            Some(zone) => instant::instant(floor(instant::local(at, self.unit, zone)?)?, at, self.unit, zone),
        })
    }
}

fn floor_months(at: i64, width: i64, origin: NaiveDateTime, unit: TimeUnit) -> Option<i64> {
    let month = |date: NaiveDateTime| i64::from(date.year()) * 12 + i64::from(date.month0());
    let date = instant::calendar(at, unit)?;
    let months = (month(date) - month(origin)).div_euclid(width) * width;
    let start = instant::plus_months(origin, months)?;
    // In the origin's month, but earlier in it: the bucket before.
    let start = if start > date { instant::plus_months(origin, months - width)? } else { start };
    instant::count(start, unit)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn interval(months: i32, days: i32, nanoseconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano { months, days, nanoseconds }
    }

    #[test]
    fn widths_are_positive_and_of_one_kind() {
        assert_eq!(Width::new(interval(0, 1, 1)), Ok(Width::Nanos(DAY_NANOS + 1)));
        assert_eq!(Width::new(interval(13, 0, 0)), Ok(Width::Months(13)));
        for (months, days, nanos) in
            [(0, 0, 0), (0, -1, 0), (-1, 0, 0), (1, 1, 0), (1, 0, 1), (0, i32::MAX, 0)]
        {
            assert!(Width::new(interval(months, days, nanos)).is_err(), "{months} {days} {nanos}");
        }
    }

    #[test]
    fn every_instant_lies_in_the_bucket_it_is_given() {
        let origin =
            NaiveDate::from_ymd_opt(2000, 1, 31).expect("a date").and_hms_opt(12, 0, 0).expect("a time");
        for width in
            [Width::Months(1), Width::Months(5), Width::Nanos(7 * DAY_NANOS), Width::Nanos(1_000_000_000)]
        {
            let buckets = Buckets { width, origin, zone: None, unit: TimeUnit::Second };
            let start = buckets.start().expect("in range");
            let mut previous = i64::MIN;
            for step in -3000..3000_i64 {
                let at = step * 1_000_003;
                let bucket = start(at).expect("in range");
                assert!(bucket <= at && bucket >= previous, "{width:?} {at}");
                assert_eq!(start(bucket), Some(bucket), "{width:?} {at}: a start is its own bucket");
                previous = bucket;
            }
        }
    }
}
