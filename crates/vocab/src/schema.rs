//! The shape of a table: fields with ids, partition spec, sort order. Arrow's view of it is made in `datafile`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FieldId;

/// The precision of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeUnit {
    /// `TIMESTAMP(0)`
    Second,
    /// `TIMESTAMP(3)`
    Milli,
    /// `TIMESTAMP(6)`, the default.
    Micro,
    /// `TIMESTAMP(9)`
    Nano,
}

impl TimeUnit {
    /// Digits after the second: 0, 3, 6 or 9.
    pub fn digits(self) -> u8 {
        match self {
            Self::Second => 0,
            Self::Milli => 3,
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }

    fn from_digits(digits: &str) -> Option<Self> {
        Some(match digits {
            "0" => Self::Second,
            "3" => Self::Milli,
            "6" => Self::Micro,
            "9" => Self::Nano,
            _ => return None,
        })
    }
}

/// The type of a stored column. Its `Display` is the text that the catalog stores; `FromStr` reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// true, false
    Boolean,
    /// signed, 8 bit
    Int8,
    /// signed, 16 bit
    Int16,
    /// signed, 32 bit
    Int32,
    /// signed, 64 bit
    Int64,
    /// unsigned, 8 bit
    UInt8,
    /// unsigned, 16 bit
    UInt16,
    /// unsigned, 32 bit
    UInt32,
    /// unsigned, 64 bit
    UInt64,
    /// IEEE 754, 32 bit
    Float,
    /// IEEE 754, 64 bit
    Double,
    /// exact number
    Decimal {
        /// digits in all, 1 to 76
        precision: u8,
        /// digits after the point
        scale: u8,
    },
    /// days since 1970-01-01
    Date,
    /// microseconds since midnight
    Time,
    /// instant without a zone, always UTC
    Timestamp(TimeUnit),
    /// instant with a zone; kept in UTC
    TimestampTz(TimeUnit),
    /// UTF-8 text
    String,
    /// bytes
    Binary,
    /// 16 bytes
    Uuid,
    /// text that is JSON
    Json,
    /// only NULLs have been seen; the first value decides
    Unknown,
}

impl FieldType {
    /// The SQL spelling, as `DESCRIBE` shows it.
    pub fn sql_name(&self) -> String {
        match self {
            Self::Boolean => "BOOLEAN".into(),
            Self::Int8 => "TINYINT".into(),
            Self::Int16 => "SMALLINT".into(),
            Self::Int32 => "INTEGER".into(),
            Self::Int64 => "BIGINT".into(),
            Self::UInt8 => "UTINYINT".into(),
            Self::UInt16 => "USMALLINT".into(),
            Self::UInt32 => "UINTEGER".into(),
            Self::UInt64 => "UBIGINT".into(),
            Self::Float => "REAL".into(),
            Self::Double => "DOUBLE".into(),
            Self::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Self::Date => "DATE".into(),
            Self::Time => "TIME".into(),
            Self::Timestamp(unit) => format!("TIMESTAMP({})", unit.digits()),
            Self::TimestampTz(unit) => format!("TIMESTAMP({}) WITH TIME ZONE", unit.digits()),
            Self::String => "VARCHAR".into(),
            Self::Binary => "BYTEA".into(),
            Self::Uuid => "UUID".into(),
            Self::Json => "JSON".into(),
            Self::Unknown => "UNKNOWN".into(),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int8 => f.write_str("int8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::UInt8 => f.write_str("uint8"),
            Self::UInt16 => f.write_str("uint16"),
            Self::UInt32 => f.write_str("uint32"),
            Self::UInt64 => f.write_str("uint64"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp(unit) => write!(f, "timestamp({})", unit.digits()),
            Self::TimestampTz(unit) => write!(f, "timestamptz({})", unit.digits()),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// A type text that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column type {0:?}")]
pub struct UnknownType(pub String);

impl FromStr for FieldType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let unknown = || UnknownType(text.to_owned());
        let (word, arguments) = match text.split_once('(') {
            Some((word, rest)) => (word, rest.strip_suffix(')').ok_or_else(unknown)?),
            None => (text, ""),
        };
        Ok(match (word, arguments) {
            ("boolean", "") => Self::Boolean,
            ("int8", "") => Self::Int8,
            ("int16", "") => Self::Int16,
            ("int32", "") => Self::Int32,
            ("int64", "") => Self::Int64,
            ("uint8", "") => Self::UInt8,
            ("uint16", "") => Self::UInt16,
            ("uint32", "") => Self::UInt32,
            ("uint64", "") => Self::UInt64,
            ("float", "") => Self::Float,
            ("double", "") => Self::Double,
            ("decimal", arguments) => {
                let (precision, scale) = arguments.split_once(',').ok_or_else(unknown)?;
                let (precision, scale) =
                    (precision.parse().map_err(|_| unknown())?, scale.parse().map_err(|_| unknown())?);
                if precision == 0 || precision > 76 || scale > precision {
                    return Err(unknown());
                }
                Self::Decimal { precision, scale }
            }
            ("date", "") => Self::Date,
            ("time", "") => Self::Time,
            ("timestamp", digits) => Self::Timestamp(TimeUnit::from_digits(digits).ok_or_else(unknown)?),
            ("timestamptz", digits) => Self::TimestampTz(TimeUnit::from_digits(digits).ok_or_else(unknown)?),
            ("string", "") => Self::String,
            ("binary", "") => Self::Binary,
            ("uuid", "") => Self::Uuid,
            ("json", "") => Self::Json,
            ("unknown", "") => Self::Unknown,
            _ => return Err(unknown()),
        })
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Stays the same through renames; never reused.
    pub id: FieldId,
    /// Unique in its table, byte for byte.
    pub name: String,
    /// The type of its values.
    pub field_type: FieldType,
    /// True for `NOT NULL`.
    pub required: bool,
    /// `COMMENT`
    pub comment: Option<String>,
}

/// The columns of a table at one schema number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// Counts from 1; each change of the columns makes the next.
    pub no: i32,
    /// In the order that `SELECT *` shows.
    pub fields: Vec<Field>,
}

impl TableSchema {
    /// The field of exactly this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of this id.
    pub fn field_by_id(&self, id: FieldId) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }
}

/// How a partition value is made from a column (as in Iceberg's specification, "Partition Transforms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// whole days since 1970-01-01, floor
    Day,
    /// whole hours since 1970-01-01T00, floor
    Hour,
}

impl Transform {
    /// Microseconds of one unit.
    pub fn unit_micros(self) -> i64 {
        match self {
            Self::Day => 86_400_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    /// The unit that holds the instant `micros` since 1970.
    pub fn apply(self, micros: i64) -> i64 {
        micros.div_euclid(self.unit_micros())
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Hour => "hour",
        })
    }
}

impl FromStr for Transform {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        match text {
            "day" | "days" => Ok(Self::Day),
            "hour" | "hours" => Ok(Self::Hour),
            _ => Err(UnknownType(text.to_owned())),
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

/// One column of a sort order; ascending, NULLs last, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortField {
    /// The column.
    pub source: FieldId,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

/// The order of rows inside a table's files. `no` 0 and no fields: unsorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortOrder {
    /// Number of the order in its table.
    pub no: i32,
    /// Columns, most significant first.
    pub fields: Vec<SortField>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_text_reads_back() {
        let types = [
            FieldType::Boolean,
            FieldType::UInt64,
            FieldType::Decimal { precision: 76, scale: 3 },
            FieldType::Timestamp(TimeUnit::Micro),
            FieldType::TimestampTz(TimeUnit::Nano),
            FieldType::Json,
            FieldType::Unknown,
        ];
        for field_type in types {
            assert_eq!(field_type.to_string().parse(), Ok(field_type));
        }
        assert!("decimal(0,0)".parse::<FieldType>().is_err());
        assert!("timestamp(4)".parse::<FieldType>().is_err());
        assert!("int64(".parse::<FieldType>().is_err());
    }

    #[test]
    fn times_before_1970_floor_into_their_unit() {
        assert_eq!(Transform::Day.apply(-1), -1);
        assert_eq!(Transform::Hour.apply(3_600_000_000), 1);
    }
}
