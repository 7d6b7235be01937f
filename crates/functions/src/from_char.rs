//! `to_timestamp(text, format)` by Postgres's patterns: text as an instant.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use crate::Error;
use crate::pattern::{Field, Part};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The fields that were read; the rest is 0001-01-01 00:00:00.
#[derive(Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    half: Option<Half>,
    minute: u32,
    second: u32,
    nanosecond: u32,
    second_of_day: Option<u32>,
    before_christ: bool,
    offset_sign: i32,
    offset_hours: Option<i32>,
    offset_minutes: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

/// The local date and time that `text` says, with its offset if it says one; `None` if it does not fit.
///
/// `Format` for patterns that only make sense in writing.
pub(crate) fn read(
    parts: &[Part],
    text: &str,
    format: &str,
) -> Result<Option<(NaiveDateTime, Option<FixedOffset>)>, Error> {
    let mut fields = Fields::default();
    let mut rest = text;
    for (at, part) in parts.iter().enumerate() {
        let after = match part {
            Part::Text(text) => literal(rest, text),
            Part::Field { field, bare, ordinal, .. } => {
                // Digits stop at the pattern's width only where the next pattern follows at once.
                let crowded = !bare && matches!(parts.get(at + 1), Some(Part::Field { .. }));
                let after = fields.read(*field, rest.trim_start(), crowded, format)?;
                if ordinal.is_some() { after.map(|after| after.get(2..).unwrap_or_default()) } else { after }
            }
        };
        match after {
            Some(after) => rest = after,
            None => return Ok(None),
        }
    }
    if !rest.trim().is_empty() {
        return Ok(None);
    }
    Ok(fields.instant())
}

/// Skips a separator: any separator stands for any other, letters for themselves.
fn literal<'a>(mut rest: &'a str, text: &str) -> Option<&'a str> {
    for letter in text.chars() {
        let next = rest.chars().next();
        rest = match next {
            _ if letter.is_whitespace() => rest.trim_start(),
            Some(next) if next == letter || (!letter.is_alphanumeric() && !next.is_alphanumeric()) => {
                &rest[next.len_utf8()..]
            }
            _ => return None,
        };
    }
    Some(rest)
}

fn digits(text: &str, width_max: usize) -> Option<(u32, usize, &str)> {
    let length = text.bytes().take(width_max).take_while(u8::is_ascii_digit).count();
    Some((text[..length].parse().ok()?, length, &text[length..]))
}

/// The place of the word that `text` begins with, and what follows.
fn word<'a>(text: &'a str, words: &[&str], length: Option<usize>) -> Option<(usize, &'a str)> {
    words.iter().enumerate().find_map(|(at, word)| {
        let word = &word[..length.unwrap_or(word.len()).min(word.len())];
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| (at, &text[word.len()..]))
    })
}

/// No number of ours is longer.
const WIDTH_MAX: usize = 9;

impl Fields {
    fn read<'a>(
        &mut self,
        field: Field,
        text: &'a str,
        crowded: bool,
        format: &str,
    ) -> Result<Option<&'a str>, Error> {
        let number = |width: usize| digits(text, if crowded { width } else { WIDTH_MAX.min(width.max(2)) });
        let year = |width: usize| digits(text, if crowded || width < 4 { width } else { WIDTH_MAX });
        Ok(match field {
            Field::Year(width) => year(width.into()).map(|(value, length, rest)| {
                let value = value as i32;
                // Two digits mean the nearest year to 2020, as in Postgres.
                self.year = Some(match length {
                    2 if value < 70 => value + 2000,
                    2 => value + 1900,
                    _ => value,
                });
                rest
            }),
            Field::Month => number(2).map(|(value, _, rest)| {
                self.month = Some(value);
                rest
            }),
            Field::MonthName => word(text, &MONTHS, None).map(|(at, rest)| {
                self.month = Some(at as u32 + 1);
                rest
            }),
            Field::MonthShort => word(text, &MONTHS, Some(3)).map(|(at, rest)| {
                self.month = Some(at as u32 + 1);
                rest
            }),
            Field::Day => number(2).map(|(value, _, rest)| {
                self.day = Some(value);
                rest
            }),
            Field::DayOfYear => number(3).map(|(value, _, rest)| {
                self.day_of_year = Some(value);
                rest
            }),
            Field::Hour24 | Field::Hour12 => number(2).map(|(value, _, rest)| {
                self.hour = value;
                rest
            }),
            Field::Minute => number(2).map(|(value, _, rest)| {
                self.minute = value;
                rest
            }),
            Field::Second => number(2).map(|(value, _, rest)| {
                self.second = value;
                rest
            }),
            Field::SecondOfDay => number(5).map(|(value, _, rest)| {
                self.second_of_day = Some(value);
                rest
            }),
            Field::Fraction(width) => {
                digits(text, if crowded { width.into() } else { WIDTH_MAX }).map(|(value, length, rest)| {
                    self.nanosecond = value * 10_u32.pow(9 - length as u32);
                    rest
                })
            }
            Field::Meridiem | Field::MeridiemDots => {
                word(text, &["a.m.", "p.m.", "am", "pm"], None).map(|(at, rest)| {
                    self.half = Some(if at % 2 == 0 { Half::Morning } else { Half::Afternoon });
                    rest
                })
            }
            Field::Era | Field::EraDots => {
                word(text, &["a.d.", "b.c.", "ad", "bc"], None).map(|(at, rest)| {
                    self.before_christ = at % 2 == 1;
                    rest
                })
            }
            Field::OffsetHours => {
                let (sign, text) = match text.strip_prefix('-') {
                    Some(text) => (-1, text),
                    None => (1, text.strip_prefix('+').unwrap_or(text)),
                };
                digits(text, 2).map(|(value, _, rest)| {
                    self.offset_sign = sign;
                    self.offset_hours = Some(value as i32);
                    rest
                })
            }
            Field::OffsetMinutes => digits(text, 2).map(|(value, _, rest)| {
                self.offset_minutes = value as i32;
                rest
            }),
            other => {
                let problem = format!("has {other:?}, which can be written but not read");
                return Err(Error::Format { format: format.to_owned(), problem });
            }
        })
    }

    fn instant(&self) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
        let year = self.year.unwrap_or(1);
        let year = if self.before_christ { 1 - year } else { year };
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match self.half {
            None => self.hour,
            Some(_) if self.hour == 0 || self.hour > 12 => return None,
            Some(half) => self.hour % 12 + if half == Half::Afternoon { 12 } else { 0 },
        };
        let time = match self.second_of_day {
            Some(second) => NaiveTime::from_num_seconds_from_midnight_opt(second, self.nanosecond)?,
            None => NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanosecond)?,
        };
        let offset = match self.offset_hours {
            None => None,
            Some(hours) => {
                Some(FixedOffset::east_opt(self.offset_sign * (hours * 3600 + self.offset_minutes * 60))?)
            }
        };
        Some((date.and_time(time), offset))
    }
}

/// The instant, in UTC, of a local time: by its offset, else in `zone`.
pub(crate) fn utc<Z: TimeZone>(
    local: NaiveDateTime,
    offset: Option<FixedOffset>,
    zone: &Z,
) -> Option<NaiveDateTime> {
    match offset {
        Some(offset) => local.checked_sub_signed(TimeDelta::seconds(offset.local_minus_utc().into())),
        None => Some(zone.from_local_datetime(&local).earliest()?.naive_utc()),
    }
}
