//! Partitions of assets, in code *slices*: how an asset is cut, what a slice is called, which instants it holds.
//!
//! Slices have numbers: of time, periods since 1970 in the asset's zone; of a list, places in it. Everything else is
//! arithmetic on numbers. A key is `dimension=tag:value`, a range of them `dimension=tag:first..last`, both counted.
//! Invariant: `number` undoes `key`, and slices of time touch and never overlap.

mod calendar;
mod mapping;
mod set;
mod value;

use cenote_vocab::Micros;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Error;
pub use calendar::Period;
pub use mapping::{Mapped, Mapping, Sameness};
pub use set::{SliceRange, SliceSet};
pub use value::SliceValue;

/// The most values of a list.
const VALUES_MAX: usize = 1_000;
/// The most bytes of one of them.
const VALUE_BYTES_MAX: usize = 256;

/// How an asset is cut, as it is said and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Partitioning {
    /// By the period in which an instant of a row lies.
    Time {
        /// The column of the query with the instant.
        column: String,
        /// How long a period is.
        period: Period,
        /// The period that holds this is the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        /// The period that holds this is none of them, nor those after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<String>,
        /// Where days begin.
        zone: String,
    },
    /// By a value of a fixed list.
    Values {
        /// The column of the query with the value.
        column: String,
        /// The list.
        values: Vec<SliceValue>,
    },
}

impl Partitioning {
    /// The column of the query that says where a row belongs.
    pub fn column(&self) -> &str {
        match self {
            Self::Time { column, .. } | Self::Values { column, .. } => column,
        }
    }
}

/// How an asset is cut, understood.
#[derive(Clone, Debug)]
pub struct Slices {
    column: String,
    cut: Cut,
    /// The first and the last number, as far as there are any.
    bounds: (Option<i64>, Option<i64>),
}

#[derive(Clone, Debug)]
enum Cut {
    Time { period: Period, zone: TimeZone },
    Values(Vec<SliceValue>),
}

impl Slices {
    /// `Slice` says what cannot be understood.
    pub fn of(said: &Partitioning) -> Result<Self, Error> {
        match said {
            Partitioning::Time { column, period, start, end, zone } => {
                let known = TimeZone::get(zone)
                    .map_err(|_| wrong(format!("{zone:?} is no time zone of the IANA database")))?;
                let number = |text: &Option<String>| {
                    text.as_deref().map(|text| period.holding(text, &known)).transpose()
                };
                let bounds = (number(start)?, number(end)?.map(|end| end - 1));
                if let (Some(first), Some(last)) = bounds
                    && last < first
                {
                    return Err(wrong("END of the partitions is not after START".to_owned()));
                }
                Ok(Self { column: column.clone(), cut: Cut::Time { period: *period, zone: known }, bounds })
            }
            Partitioning::Values { column, values } => {
                if values.is_empty() || values.len() > VALUES_MAX {
                    return Err(wrong(format!(
                        "partitions have 1 to {VALUES_MAX} values, {} are given",
                        values.len()
                    )));
                }
                for (at, value) in values.iter().enumerate() {
                    if values[..at].contains(value) {
                        return Err(wrong(format!(
                            "value {} of the partitions is given twice",
                            value.plain()
                        )));
                    }
                    if value.plain().len() > VALUE_BYTES_MAX {
                        return Err(wrong(format!(
                            "a value of the partitions has more than {VALUE_BYTES_MAX} bytes"
                        )));
                    }
                }
                let last = i64::try_from(values.len() - 1).unwrap_or(i64::MAX);
                Ok(Self {
                    column: column.clone(),
                    cut: Cut::Values(values.clone()),
                    bounds: (Some(0), Some(last)),
                })
            }
        }
    }

    /// `day`, `region`: what stands before `=` in a key.
    pub fn dimension(&self) -> &str {
        match &self.cut {
            Cut::Time { period, .. } => period.name(),
            Cut::Values(_) => &self.column,
        }
    }

    /// The column of the query that says where a row belongs.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The periods of time; `None` for a list of values.
    pub fn period(&self) -> Option<Period> {
        match &self.cut {
            Cut::Time { period, .. } => Some(*period),
            Cut::Values(_) => None,
        }
    }

    /// The first and the last number, as far as there are any.
    pub fn bounds(&self) -> (Option<i64>, Option<i64>) {
        self.bounds
    }

    /// The value of a slice of a list.
    pub fn value(&self, number: i64) -> Option<&SliceValue> {
        match &self.cut {
            Cut::Values(values) => values.get(usize::try_from(number).ok()?),
            Cut::Time { .. } => None,
        }
    }

    /// The key of a slice.
    pub fn key(&self, number: i64) -> String {
        format!("{}={}", self.dimension(), self.tagged(number))
    }

    /// The text of a range: a key if it is one slice.
    pub fn text(&self, range: SliceRange) -> String {
        if range.first == range.last {
            return self.key(range.first);
        }
        let (first, last) = (self.tagged(range.first), self.tagged(range.last));
        // The tag is said again only where it is another: a list may mix texts, numbers and NULL.
        let tag = |tagged: &str| tagged.split(':').next().unwrap_or_default().to_owned();
        let last = match tag(&first) == tag(&last) {
            true => last.split_once(':').map_or(last.as_str(), |(_, value)| value),
            false => last.as_str(),
        };
        format!("{}..{last}", self.key(range.first))
    }

    fn tagged(&self, number: i64) -> String {
        match &self.cut {
            Cut::Time { period, zone } => period.tagged(number, zone),
            Cut::Values(_) => self.value(number).map_or_else(|| "n:".to_owned(), SliceValue::tagged),
        }
    }

    /// The slice of a key; the tag and the encoding may be left out. `Slice` names what is wrong with it.
    pub fn number(&self, key: &str) -> Result<i64, Error> {
        let Some((dimension, value)) = key.split_once('=') else {
            return Err(wrong(format!("partition {key:?} is not written {}", self.example())));
        };
        if dimension != self.dimension() {
            let text = format!(
                "partition {key:?} is of {dimension}, the asset's are of {}, such as {}",
                self.dimension(),
                self.example()
            );
            return Err(wrong(text));
        }
        let number = match &self.cut {
            Cut::Time { period, zone } => period.number(value, zone)?,
            Cut::Values(values) => {
                let found = values.iter().position(|known| known.tagged() == value);
                let found = found.or_else(|| values.iter().position(|known| known.plain() == value));
                let Some(found) = found else {
                    let known: Vec<String> = values.iter().map(SliceValue::plain).collect();
                    return Err(wrong(format!("partition {key:?} is none of {}", known.join(", "))));
                };
                i64::try_from(found).unwrap_or(i64::MAX)
            }
        };
        match self.bounds {
            (Some(first), _) if number < first => {
                Err(wrong(format!("partition {key:?} is before the first, {}", self.key(first))))
            }
            (_, Some(last)) if number > last => {
                Err(wrong(format!("partition {key:?} is after the last, {}", self.key(last))))
            }
            _ => Ok(number),
        }
    }

    /// What [`text`](Self::text) says.
    pub fn range(&self, text: &str) -> Result<SliceRange, Error> {
        let Some((first, last)) = text.split_once("..") else {
            return Ok(SliceRange::one(self.number(text)?));
        };
        let tagged = first.split_once('=').map_or(first, |(_, value)| value);
        let tag = tagged.split_once(':').map_or("", |(tag, _)| tag);
        let dimension = self.dimension();
        let last = match last.as_bytes().get(1) {
            Some(b':') => format!("{dimension}={last}"),
            _ => format!("{dimension}={tag}:{last}"),
        };
        let (first, last) = (self.number(first)?, self.number(&last)?);
        self.between(first, last)
    }

    /// The slices from one to another, both counted.
    pub fn between(&self, first: i64, last: i64) -> Result<SliceRange, Error> {
        match first <= last {
            true => Ok(SliceRange { first, last }),
            false => Err(wrong(format!("partition {} comes after {}", self.key(first), self.key(last)))),
        }
    }

    /// How a key is written.
    pub fn example(&self) -> String {
        match &self.cut {
            Cut::Time { period, .. } => format!("{}={}", period.name(), period.example()),
            Cut::Values(values) => format!("{}={}", self.column, values[0].plain()),
        }
    }

    /// The instants of slices of time: the first, and the first after them.
    pub fn instants(&self, range: SliceRange) -> Option<(Micros, Micros)> {
        let Cut::Time { period, zone } = &self.cut else { return None };
        Some((period.begin(range.first, zone)?, period.begin(range.last.checked_add(1)?, zone)?))
    }

    /// The days of slices of time, as `2026-01-01`: the first, and the first after them.
    pub fn days(&self, range: SliceRange) -> Option<(String, String)> {
        let Cut::Time { period, .. } = &self.cut else { return None };
        let day = |number| period.day(number).map(|day| day.to_string());
        Some((day(range.first)?, day(range.last.checked_add(1)?)?))
    }

    /// The slice of time that an instant lies in.
    pub fn at(&self, instant: Micros) -> Option<i64> {
        let Cut::Time { period, zone } = &self.cut else { return None };
        period.at(Timestamp::from_microsecond(instant.0).ok()?, zone)
    }

    /// The newest slice of time that has ended by an instant, within the bounds; of a list the last one.
    pub fn newest_ended(&self, now: Micros) -> Option<i64> {
        let ended = match &self.cut {
            Cut::Time { .. } => self.at(now)? - 1,
            Cut::Values(values) => i64::try_from(values.len()).ok()? - 1,
        };
        let newest = self.bounds.1.map_or(ended, |last| last.min(ended));
        (self.bounds.0.is_none_or(|first| first <= newest)).then_some(newest)
    }

    /// The newest slice of time that has begun by an instant, within the bounds; of a list the last one.
    pub fn newest_begun(&self, now: Micros) -> Option<i64> {
        let begun = self.at(now).or(self.bounds.1)?;
        Some(self.bounds.1.map_or(begun, |last| last.min(begun)))
    }
}

fn wrong(text: String) -> Error {
    Error::Slice(text)
}

#[cfg(test)]
mod tests;
