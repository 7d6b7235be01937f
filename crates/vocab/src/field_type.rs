//! The type of a stored column, and its text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Field;

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

/// Digits that a DECIMAL of 128 bits holds.
const DECIMAL128_DIGITS: u8 = 38;

/// The type of a stored column. Its `Display` is the text that the catalog stores, and [`FieldType::stored`] reads it back: the
/// children of a nested type are fields of their own, with ids, beside it.
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
    /// any number of elements
    List(Box<Field>),
    /// exactly so many elements
    FixedList(Box<Field>, u32),
    /// named fields
    Struct(Vec<Field>),
    /// values by key
    Map {
        /// never NULL
        key: Box<Field>,
        /// of each key
        value: Box<Field>,
    },
}

impl FieldType {
    /// True for whole numbers of any width.
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            Self::Int8
                | Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::UInt8
                | Self::UInt16
                | Self::UInt32
                | Self::UInt64
        )
    }

    /// True for a DECIMAL whose unscaled value has at most 128 bits.
    pub fn is_decimal128(&self) -> bool {
        matches!(self, Self::Decimal { precision, .. } if *precision <= DECIMAL128_DIGITS)
    }

    /// True if it has fields of its own.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::List(_) | Self::FixedList(..) | Self::Struct(_) | Self::Map { .. })
    }

    /// Fields of its own, in order: the element, the named fields, key and value.
    pub fn children(&self) -> Vec<&Field> {
        match self {
            Self::List(element) | Self::FixedList(element, _) => vec![element],
            Self::Struct(fields) => fields.iter().collect(),
            Self::Map { key, value } => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// As [`Self::children`], to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Field> {
        match self {
            Self::List(element) | Self::FixedList(element, _) => vec![element],
            Self::Struct(fields) => fields.iter_mut().collect(),
            Self::Map { key, value } => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// The type of a stored text whose fields are these. `UnknownType` if they do not go together.
    pub fn stored(text: &str, children: Vec<Field>) -> Result<Self, UnknownType> {
        let unknown = || UnknownType(text.to_owned());
        let count = children.len();
        let mut children = children.into_iter();
        let one = |child: Option<Field>, wanted: usize| child.filter(|_| count == wanted).map(Box::new);
        if text == "struct" && count > 0 {
            return Ok(Self::Struct(children.collect()));
        }
        if text == "map" {
            let (key, value) = (one(children.next(), 2), one(children.next(), 2));
            let (Some(key), Some(value)) = (key, value) else { return Err(unknown()) };
            return Ok(Self::Map { key, value });
        }
        if text == "list" {
            return one(children.next(), 1).map(Self::List).ok_or_else(unknown);
        }
        if let Some(length) = text.strip_prefix("list<;").and_then(|rest| rest.strip_suffix('>')) {
            let length = length.parse().ok().filter(|length| *length > 0).ok_or_else(unknown)?;
            return one(children.next(), 1)
                .map(|element| Self::FixedList(element, length))
                .ok_or_else(unknown);
        }
        if count > 0 { Err(unknown()) } else { text.parse() }
    }

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
            Self::List(element) => format!("{}[]", element.field_type.sql_name()),
            Self::FixedList(element, length) => format!("{}[{length}]", element.field_type.sql_name()),
            Self::Struct(fields) => {
                let field = |field: &Field| {
                    let name = field.name.replace('"', "\"\"");
                    let required = if field.required { " NOT NULL" } else { "" };
                    format!("\"{name}\" {}{required}", field.field_type.sql_name())
                };
                format!("STRUCT({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            Self::Map { key, value } => {
                format!("MAP({}, {})", key.field_type.sql_name(), value.field_type.sql_name())
            }
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
            Self::List(_) => f.write_str("list"),
            Self::FixedList(_, length) => write!(f, "list<;{length}>"),
            Self::Struct(_) => f.write_str("struct"),
            Self::Map { .. } => f.write_str("map"),
        }
    }
}

/// A text of the catalog that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown type, transform or default {0:?}")]
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
    fn nested_types_read_back_with_their_fields() {
        let field = |id| Field::new(crate::FieldId(id), format!("f{id}"), FieldType::Int32);
        let types = [
            FieldType::List(Box::new(field(1))),
            FieldType::FixedList(Box::new(field(1)), 3),
            FieldType::Struct(vec![field(1), field(2).required()]),
            FieldType::Map { key: Box::new(field(1).required()), value: Box::new(field(2)) },
        ];
        for field_type in types {
            let children = field_type.children().into_iter().cloned().collect();
            assert_eq!(FieldType::stored(&field_type.to_string(), children), Ok(field_type));
        }
        assert!(FieldType::stored("map", vec![field(1)]).is_err());
        assert!(FieldType::stored("int64", vec![field(1)]).is_err());
        let nested = FieldType::List(Box::new(Field::new(
            crate::FieldId(1),
            "element",
            FieldType::Struct(vec![field(2).required()]),
        )));
        assert_eq!(nested.sql_name(), "STRUCT(\"f2\" INTEGER NOT NULL)[]");
    }
}
