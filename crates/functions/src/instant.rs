//! Instants of any unit as calendar dates, and local time in a zone.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Days, MappedLocalTime, Months, NaiveDateTime, Offset, TimeDelta, TimeZone};

use crate::Error;

/// Units in one second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The zone of this name or offset (`Europe/Paris`, `+02:00`).
pub(crate) fn zone(name: &str) -> Result<Tz, Error> {
    name.parse().map_err(|_| Error::Zone(name.to_owned()))
}

/// The calendar date and time of `count` units since 1970; `None` outside the calendar.
pub(crate) fn calendar(count: i64, unit: TimeUnit) -> Option<NaiveDateTime> {
    let per_second = per_second(unit);
    let nanos = count.rem_euclid(per_second) * (1_000_000_000 / per_second);
    Some(DateTime::from_timestamp(count.div_euclid(per_second), u32::try_from(nanos).ok()?)?.naive_utc())
}

/// Units since 1970 of a calendar date and time, rounded down; `None` if they do not fit.
pub(crate) fn count(at: NaiveDateTime, unit: TimeUnit) -> Option<i64> {
    let per_second = per_second(unit);
    let at = at.and_utc();
    let fraction = i64::from(at.timestamp_subsec_nanos()) / (1_000_000_000 / per_second);
    at.timestamp().checked_mul(per_second)?.checked_add(fraction)
}

/// What clocks in the zone show at an instant.
pub(crate) fn local(count: i64, unit: TimeUnit, zone: &Tz) -> Option<i64> {
    let offset = zone.offset_from_utc_datetime(&calendar(count, unit)?).fix().local_minus_utc();
    count.checked_add(i64::from(offset) * per_second(unit))
}

/// The latest instant, not after `limit`, at which clocks in the zone show `shown`; if they skip it, the instant of the skip.
pub(crate) fn instant(shown: i64, limit: i64, unit: TimeUnit, zone: &Tz) -> Option<i64> {
    let at = calendar(shown, unit)?;
    let before = |offset: i32| shown.checked_sub(i64::from(offset) * per_second(unit));
    match zone.offset_from_local_datetime(&at) {
        MappedLocalTime::Single(offset) => before(offset.fix().local_minus_utc()),
        MappedLocalTime::Ambiguous(first, second) => {
            let second = before(second.fix().local_minus_utc())?;
            if second <= limit { Some(second) } else { before(first.fix().local_minus_utc()) }
        }
        MappedLocalTime::None => skip(shown, unit, zone),
    }
}

/// The first instant of the day around `shown` whose local time is at or after it.
fn skip(shown: i64, unit: TimeUnit, zone: &Tz) -> Option<i64> {
    let day = 86_400 * per_second(unit);
    let (mut low, mut high) = (shown.checked_sub(day)?, shown.checked_add(day)?);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if local(middle, unit, zone)? >= shown { high = middle } else { low = middle }
    }
    Some(high)
}

/// `at` plus a number of months, on the last day of the month if it is shorter.
pub(crate) fn plus_months(at: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let distance = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { at.checked_sub_months(distance) } else { at.checked_add_months(distance) }
}

/// `at` plus an interval: months first, then days, then time.
pub(crate) fn plus(at: NaiveDateTime, months: i32, days: i32, nanos: i64) -> Option<NaiveDateTime> {
    let at = plus_months(at, months.into())?;
    let distance = Days::new(days.unsigned_abs().into());
    let at = if days < 0 { at.checked_sub_days(distance) } else { at.checked_add_days(distance) }?;
    at.checked_add_signed(TimeDelta::nanoseconds(nanos))
}
