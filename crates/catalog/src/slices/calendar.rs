//! Periods of time in a zone: their numbers, their texts, where they begin.

use cenote_vocab::Micros;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit};
use serde::{Deserialize, Serialize};

use super::wrong;
use crate::Error;

const EPOCH: Date = date(1970, 1, 1);
const HOUR_S: i64 = 3_600;
/// Whether a zone's hours begin at full hours of UTC is told by how it was then: a shift of less than an hour moves none.
const HOURS_AS_OF: i64 = 946_684_800; // 2000-01-01

/// How long a slice of time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day of the zone: 23 to 25 hours.
    Day,
    /// From Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// `hour`, `day`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The period of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Hour => "2026-01-01T05:00:00Z",
            Self::Day => "2026-01-01",
            Self::Week => "2026-01-05",
            Self::Month => "2026-01",
            Self::Year => "2026",
        }
    }

    /// Tag and value of a key.
    pub(super) fn tagged(self, number: i64, zone: &TimeZone) -> String {
        if self == Self::Hour {
            let begin = self.begin(number, zone).and_then(|at| Timestamp::from_microsecond(at.0).ok());
            return begin.map_or_else(|| format!("t:{number}"), |begin| format!("t:{begin:.6}"));
        }
        let Some(day) = self.day(number) else { return format!("d:{number}") };
        match self {
            Self::Year => format!("d:{:04}", day.year()),
            Self::Month => format!("d:{:04}-{:02}", day.year(), day.month()),
            _ => format!("d:{day}"),
        }
    }

    /// The period of a value of a key, with or without its tag: it must be the period's very name.
    pub(super) fn number(self, value: &str, zone: &TimeZone) -> Result<i64, Error> {
        let tag = if self == Self::Hour { "t:" } else { "d:" };
        let plain = value.strip_prefix(tag).unwrap_or(value);
        let number = self.holding(plain, zone)?;
        let canonical = self.tagged(number, zone);
        let is_named = match self {
            Self::Hour => plain
                .parse::<Timestamp>()
                .is_ok_and(|at| self.begin(number, zone) == Some(Micros(at.as_microsecond()))),
            _ => canonical[tag.len()..] == *plain,
        };
        match is_named {
            true => Ok(number),
            false => Err(wrong(format!(
                "{value:?} names no {}: the one that holds it is {}",
                self.name(),
                &canonical[tag.len()..]
            ))),
        }
    }

    /// The period that holds a year, a month, a day or an instant.
    pub(super) fn holding(self, text: &str, zone: &TimeZone) -> Result<i64, Error> {
        let unknown =
            || wrong(format!("{text:?} is no time: one {} is written {}", self.name(), self.example()));
        let digits = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<i16>().ok());
        let day = match text.len() {
            4 => digits(0, 4).and_then(|year| Date::new(year, 1, 1).ok()),
            7 if text.as_bytes()[4] == b'-' => digits(0, 4)
                .zip(digits(5, 7).and_then(|month| i8::try_from(month).ok()))
                .and_then(|(year, month)| Date::new(year, month, 1).ok()),
            10 => text.parse::<Date>().ok(),
            _ => {
                let instant = text.parse::<Timestamp>().map_err(|_| unknown())?;
                return self.at(instant, zone).ok_or_else(unknown);
            }
        };
        let day = day.filter(|day| day.year() >= 1).ok_or_else(unknown)?;
        match self {
            Self::Hour => day.to_zoned(zone.clone()).ok().and_then(|begin| self.at(begin.timestamp(), zone)),
            _ => self.of_day(day),
        }
        .ok_or_else(unknown)
    }

    /// The period that an instant lies in.
    pub(super) fn at(self, instant: Timestamp, zone: &TimeZone) -> Option<i64> {
        match self {
            Self::Hour => Some((instant.as_second() + shift(zone)).div_euclid(HOUR_S)),
            _ => self.of_day(zone.to_datetime(instant).date()),
        }
    }

    fn of_day(self, day: Date) -> Option<i64> {
        let days = || day.since((Unit::Day, EPOCH)).ok().map(|span| i64::from(span.get_days()));
        let (year, month) = (i64::from(day.year()), i64::from(day.month()));
        Some(match self {
            Self::Hour => return None,
            Self::Day => days()?,
            Self::Week => (days()? + 3).div_euclid(7), // 1970-01-01 was a Thursday
            Self::Month => (year - 1970) * 12 + month - 1,
            Self::Year => year - 1970,
        })
    }

    /// The first day of a period; `None` for hours, and beyond the calendar.
    pub(super) fn day(self, number: i64) -> Option<Date> {
        let year = |number: i64| i16::try_from(number.checked_add(1970)?).ok();
        match self {
            Self::Hour => None,
            Self::Day => EPOCH.checked_add(i32::try_from(number).ok()?.try_days()?).ok(),
            Self::Week => {
                let days = number.checked_mul(7)?.checked_sub(3)?;
                EPOCH.checked_add(i32::try_from(days).ok()?.try_days()?).ok()
            }
            Self::Month => {
                Date::new(year(number.div_euclid(12))?, i8::try_from(number.rem_euclid(12) + 1).ok()?, 1).ok()
            }
            Self::Year => Date::new(year(number)?, 1, 1).ok(),
        }
    }

    /// The first instant of a period.
    pub(super) fn begin(self, number: i64, zone: &TimeZone) -> Option<Micros> {
        if self == Self::Hour {
            let seconds = number.checked_mul(HOUR_S)?.checked_sub(shift(zone))?;
            return Some(Micros(seconds.checked_mul(1_000_000)?));
        }
        let begin = self.day(number)?.to_zoned(zone.clone()).ok()?;
        Some(Micros(begin.timestamp().as_microsecond()))
    }
}

/// Seconds by which the hours of a zone begin before those of UTC.
fn shift(zone: &TimeZone) -> i64 {
    let as_of = Timestamp::from_second(HOURS_AS_OF).unwrap_or(Timestamp::UNIX_EPOCH);
    i64::from(zone.to_offset(as_of).seconds()).rem_euclid(HOUR_S)
}

/// Days as a span, if there are so many.
trait TryDays {
    fn try_days(self) -> Option<jiff::Span>;
}

impl TryDays for i32 {
    fn try_days(self) -> Option<jiff::Span> {
        // jiff's spans end with its calendar; `days` would panic beyond.
        (-7_304_484..=7_304_484).contains(&self).then(|| self.days())
    }
}
