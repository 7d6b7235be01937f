//! One value of a row, and the kinds of columns that values make.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat};

/// What a column of this crate's batches can hold. `Display` is the SQL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int,
    Float,
    Text,
    Binary,
    Timestamp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Int => "bigint",
            Self::Float => "double",
            Self::Text => "varchar",
            Self::Binary => "varbinary",
            Self::Timestamp => "timestamp",
        })
    }
}

/// A value as it came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Not yet known to be UTF-8.
    Text(Cow<'a, [u8]>),
    Binary(&'a [u8]),
    /// Microseconds since 1970.
    Timestamp(i64),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
            Self::Timestamp(_) => Kind::Timestamp,
        }
    }

    /// Bytes of text or binary.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// As a tag holds it: numbers by their shortest text, instants as RFC 3339.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => f.write_str(ryu::Buffer::new().format(*value)),
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Binary(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Timestamp(micros) => match DateTime::from_timestamp_micros(*micros) {
                Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                None => micros.fmt(f),
            },
        }
    }
}
