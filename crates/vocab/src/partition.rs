//! How rows are kept apart: partition specs, their transforms and the values that they make.

use std::fmt;
use std::str::FromStr;

use crate::{FieldId, FieldType, UnknownType};

/// The most buckets, and the longest truncation.
const WIDTH_MAX: u32 = i32::MAX as u32;

/// How a partition value is made from a column (as in Iceberg's specification, "Partition Transforms"). Its `Display` is the text
/// that the catalog stores; `FromStr` reads it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// the value itself
    Identity,
    /// whole years since 1970, floor
    Year,
    /// whole months since 1970-01, floor
    Month,
    /// whole days since 1970-01-01, floor
    Day,
    /// whole hours since 1970-01-01T00, floor
    Hour,
    /// one of so many buckets, by hash
    Bucket(u32),
    /// numbers floored to a multiple, texts and bytes cut to a length
    Truncate(u32),
}

impl Transform {
    /// True if it makes values of such a column.
    pub fn takes(self, field_type: &FieldType) -> bool {
        use FieldType as T;
        let integer = field_type.is_integer();
        match self {
            Self::Identity => match field_type {
                T::Float | T::Double | T::Json | T::Unknown => false,
                T::Decimal { .. } => field_type.is_decimal128(),
                other => !other.is_nested(),
            },
            Self::Year | Self::Month | Self::Day => {
                matches!(field_type, T::Date | T::Timestamp(_) | T::TimestampTz(_))
            }
            Self::Hour => matches!(field_type, T::Timestamp(_) | T::TimestampTz(_)),
            Self::Bucket(_) => {
                let hashed = matches!(
                    field_type,
                    T::Date | T::Time | T::Timestamp(_) | T::TimestampTz(_) | T::String | T::Uuid | T::Binary
                );
                integer || hashed || field_type.is_decimal128()
            }
            Self::Truncate(_) => {
                integer || matches!(field_type, T::String | T::Binary) || field_type.is_decimal128()
            }
        }
    }

    /// True if the values that it made of a column stay what they are when that is widened.
    pub fn survives(self, from: &FieldType, to: &FieldType) -> bool {
        use FieldType as T;
        match self {
            Self::Year | Self::Month | Self::Day | Self::Hour => self.takes(to),
            _ if matches!(from, T::Date | T::Timestamp(_) | T::TimestampTz(_)) => from == to,
            _ => self.takes(to),
        }
    }

    /// The SQL spelling on a column.
    pub fn sql(self, column: &str) -> String {
        match self {
            Self::Identity => column.to_owned(),
            Self::Bucket(count) => format!("bucket({count}, {column})"),
            Self::Truncate(width) => format!("truncate({width}, {column})"),
            unit => format!("{unit}({column})"),
        }
    }

    /// By the word and number of a SQL text; `None` if there is no such transform.
    pub fn of_sql(word: &str, width: Option<u32>) -> Option<Self> {
        let width = width.filter(|width| (1..=WIDTH_MAX).contains(width));
        match (word, width) {
            ("bucket", Some(count)) => Some(Self::Bucket(count)),
            ("truncate", Some(width)) => Some(Self::Truncate(width)),
            (word, None) => word.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Year => f.write_str("year"),
            Self::Month => f.write_str("month"),
            Self::Day => f.write_str("day"),
            Self::Hour => f.write_str("hour"),
            Self::Bucket(count) => write!(f, "bucket[{count}]"),
            Self::Truncate(width) => write!(f, "truncate[{width}]"),
        }
    }
}

impl FromStr for Transform {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let unknown = || UnknownType(text.to_owned());
        if let Some((word, rest)) = text.split_once('[') {
            let width = rest.strip_suffix(']').and_then(|width| width.parse().ok()).ok_or_else(unknown)?;
            return Self::of_sql(word, Some(width)).ok_or_else(unknown);
        }
        match text {
            "identity" => Ok(Self::Identity),
            "year" | "years" => Ok(Self::Year),
            "month" | "months" => Ok(Self::Month),
            "day" | "days" => Ok(Self::Day),
            "hour" | "hours" => Ok(Self::Hour),
            _ => Err(unknown()),
        }
    }
}

/// One part of a partition tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionField {
    /// From 1000; the same (source, transform) keeps its id.
    pub part_field_id: i32,
    /// The column that it is made from.
    pub source: FieldId,
    /// How.
    pub transform: Transform,
}

/// How a table is partitioned. `no` 0 and no fields: unpartitioned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Number of the spec in its table.
    pub no: i32,
    /// Parts of the tuple, in order.
    pub fields: Vec<PartitionField>,
}

/// One value of a partition tuple; NULL is the `None` around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionValue {
    /// Of a boolean column itself.
    Boolean(bool),
    /// Units since 1970, a bucket, or a number: dates in days, times and timestamps in the column's unit, decimals unscaled.
    Integer(i128),
    /// Of a text column.
    Text(String),
    /// Of bytes, or a UUID.
    Bytes(Vec<u8>),
}

impl From<i64> for PartitionValue {
    fn from(value: i64) -> Self {
        Self::Integer(value.into())
    }
}

/// The values of all parts of a spec; empty if it has none.
pub type Tuple = Vec<Option<PartitionValue>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transform_text_reads_back() {
        use Transform::*;
        for transform in [Identity, Year, Month, Day, Hour, Bucket(16), Truncate(1)] {
            assert_eq!(transform.to_string().parse(), Ok(transform));
        }
        for wrong in ["bucket", "bucket[0]", "bucket[-1]", "truncate[99999999999]", "day[1]", "week"] {
            assert!(wrong.parse::<Transform>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_transform_takes_only_columns_that_it_can_make_values_of() {
        assert!(Transform::Bucket(4).takes(&FieldType::Uuid));
        for (transform, refused) in [
            (Transform::Identity, FieldType::Double),
            (Transform::Identity, FieldType::Json),
            (Transform::Hour, FieldType::Date),
            (Transform::Day, FieldType::String),
            (Transform::Bucket(4), FieldType::Boolean),
            (Transform::Truncate(4), FieldType::Date),
        ] {
            assert!(!transform.takes(&refused), "{transform} of {refused}");
        }
    }
}
