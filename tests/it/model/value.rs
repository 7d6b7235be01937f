//! Values of the oracle: how SQL spells them, and how the Postgres wire shows them.

use cenote_vocab::Micros;

use super::chance::Chance;

/// Times are whole seconds after this one, 2024-01-01 00:00:00, for at most [`DAYS`] days: one month, so that no calendar
/// is needed.
const BEGIN_US: i64 = 1_704_067_200_000_000;
const DAYS: i64 = 28;
pub(super) const DAY_SECONDS: i64 = 86_400;

/// How long ago a moment was that is so many seconds after the first.
pub(super) fn seconds_since(seconds: i64, now: Micros) -> i64 {
    (now.0 - BEGIN_US) / 1_000_000 - seconds
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Bigint,
    Real,
    Double,
    Text,
    Boolean,
    Date,
    Timestamp,
}

impl Type {
    pub(super) const ALL: [Self; 8] = [
        Self::Int,
        Self::Bigint,
        Self::Real,
        Self::Double,
        Self::Text,
        Self::Boolean,
        Self::Date,
        Self::Timestamp,
    ];

    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Bigint => "BIGINT",
            Self::Real => "REAL",
            Self::Double => "DOUBLE",
            Self::Text => "TEXT",
            Self::Boolean => "BOOLEAN",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
        }
    }

    /// What it may become without a look at the values.
    pub(super) fn wider(self) -> Option<Self> {
        match self {
            Self::Int => Some(Self::Bigint),
            Self::Real => Some(Self::Double),
            Self::Date => Some(Self::Timestamp),
            Self::Bigint | Self::Double | Self::Text | Self::Boolean | Self::Timestamp => None,
        }
    }

    /// True if line protocol has values of it.
    pub(super) fn in_line_protocol(self) -> bool {
        matches!(self, Self::Bigint | Self::Double | Self::Text | Self::Boolean)
    }

    /// A value that is not NULL, from few, so that conditions meet some.
    pub(super) fn value(self, chance: &Chance) -> Value {
        match self {
            Self::Int | Self::Bigint => Value::Whole(chance.within(-20, 100)),
            Self::Real | Self::Double => Value::Quarters(chance.within(-40, 400)),
            // Mostly short; sometimes so long that a few rows are more than an inline batch takes.
            Self::Text if chance.percent(4) => Value::Text("long".repeat(chance.below(500))),
            Self::Text => Value::Text(chance.pick(&["a", "b", "it's", "d e", "ü", ""]).to_string()),
            Self::Boolean => Value::Flag(chance.percent(50)),
            Self::Date => Value::Seconds(chance.within(0, DAYS) * DAY_SECONDS),
            Self::Timestamp => Value::Seconds(chance.within(0, DAYS * DAY_SECONDS)),
        }
    }

    /// A value, NULL in so many of a hundred cases.
    pub(super) fn value_or_null(self, nulls: usize, chance: &Chance) -> Value {
        if chance.percent(nulls) { Value::Null } else { self.value(chance) }
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Whole(i64),
    /// Exact in both float types.
    Quarters(i64),
    Text(String),
    Flag(bool),
    /// After the begin of 2024: a date is a whole number of days.
    Seconds(i64),
}

impl Value {
    /// A time of its own per key, so that rows lie in several partitions.
    pub(super) fn time_of(key: i64) -> Self {
        Self::Seconds((key * 2_711) % (DAYS / 4 * DAY_SECONDS))
    }

    /// An expression of this value.
    pub(super) fn expression(&self, of: Type) -> String {
        match self {
            // So that what was said stays short enough to read.
            Self::Text(text) if text.starts_with("long") => format!("repeat('long', {})", text.len() / 4),
            other => other.literal(of),
        }
    }

    /// A literal of the type.
    pub(super) fn literal(&self, of: Type) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Flag(flag) => flag.to_string(),
            Self::Seconds(_) => format!("{} '{}'", of.sql(), self.shown(of)),
            Self::Whole(_) | Self::Quarters(_) => self.shown(of),
        }
    }

    /// As the Postgres wire shows it.
    pub(super) fn shown(&self, of: Type) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Whole(number) => number.to_string(),
            Self::Quarters(quarters) => (*quarters as f64 / 4.0).to_string(),
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => if *flag { "t" } else { "f" }.to_owned(),
            Self::Seconds(seconds) => {
                let (day, rest) = (seconds / DAY_SECONDS + 1, seconds % DAY_SECONDS);
                if of == Type::Date {
                    format!("2024-01-{day:02}")
                } else {
                    format!("2024-01-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
                }
            }
        }
    }

    /// As a field of line protocol; `None` for NULL, which is a field that is not there.
    pub(super) fn field(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Whole(number) => Some(format!("{number}i")),
            Self::Quarters(quarters) => Some((*quarters as f64 / 4.0).to_string()),
            Self::Text(text) => Some(format!("\"{text}\"")),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Seconds(seconds) => Some((BEGIN_US + seconds * 1_000_000).to_string()),
        }
    }

    /// Where it lies among numbers and times of its type; `None` for others and NULL.
    pub(super) fn order(&self) -> Option<i64> {
        match self {
            Self::Whole(number) | Self::Quarters(number) | Self::Seconds(number) => Some(*number),
            Self::Null | Self::Text(_) | Self::Flag(_) => None,
        }
    }
}
