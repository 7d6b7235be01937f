//! Column types as Postgres knows them: OID, modifier, names (query page, 2.3).

use cenote_vocab::{FieldType, TimeUnit};

/// The OID of the type that a column has on the Postgres wire.
pub(crate) fn oid(of: &FieldType) -> u32 {
    match of {
        FieldType::Boolean => 16,
        FieldType::Binary => 17,
        FieldType::Int64 | FieldType::UInt32 => 20,
        FieldType::Int8 | FieldType::Int16 | FieldType::UInt8 => 21,
        FieldType::Int32 | FieldType::UInt16 => 23,
        FieldType::String | FieldType::Unknown => 25,
        FieldType::Float => 700,
        FieldType::Double => 701,
        FieldType::Date => 1082,
        FieldType::Time => 1083,
        FieldType::Timestamp(_) => 1114,
        FieldType::TimestampTz(_) => 1184,
        FieldType::UInt64 | FieldType::Decimal { .. } => 1700,
        FieldType::Uuid => 2950,
        FieldType::Json | FieldType::Struct(_) | FieldType::Map { .. } => 3802,
        FieldType::List(element) | FieldType::FixedList(element, _) => array_oid(oid(&element.field_type)),
    }
}

/// The OID of arrays of a type.
fn array_oid(element: u32) -> u32 {
    match element {
        16 => 1000,
        17 => 1001,
        20 => 1016,
        21 => 1005,
        23 => 1007,
        25 => 1009,
        700 => 1021,
        701 => 1022,
        1082 => 1182,
        1083 => 1183,
        1114 => 1115,
        1184 => 1185,
        1700 => 1231,
        2950 => 2951,
        _ => 3807, // of jsonb, which arrays of arrays are too
    }
}

/// The modifier: digits of a number or of a second's fraction; -1 for none, and for nanoseconds, which Postgres has not.
pub(crate) fn modifier(of: &FieldType) -> i32 {
    match of {
        FieldType::Decimal { precision, scale } => (i32::from(*precision) << 16 | i32::from(*scale)) + 4,
        FieldType::UInt64 => (20 << 16) + 4,
        FieldType::Timestamp(unit) | FieldType::TimestampTz(unit) => match unit {
            TimeUnit::Second => 0,
            TimeUnit::Milli => 3,
            TimeUnit::Micro | TimeUnit::Nano => -1,
        },
        _ => -1,
    }
}

/// Bytes of a value; -1 if they vary.
pub(crate) fn length(of: &FieldType) -> i64 {
    match oid(of) {
        16 => 1,
        21 => 2,
        23 | 700 | 1082 => 4,
        20 | 701 | 1083 | 1114 | 1184 => 8,
        2950 => 16,
        _ => -1,
    }
}

/// The name of a type by OID, with its modifier, as `format_type` writes it; `None` for a type that nobody knows.
pub(crate) fn format(oid: i64, modifier: i64) -> Option<String> {
    let plain = match oid {
        16 => "boolean",
        17 => "bytea",
        18 => "\"char\"",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        700 => "real",
        701 => "double precision",
        1042 if modifier > 4 => return Some(format!("character({})", modifier - 4)),
        1042 => "character",
        1043 if modifier > 4 => return Some(format!("character varying({})", modifier - 4)),
        1043 => "character varying",
        1083 => "time without time zone",
        1266 => "time with time zone",
        1114 if modifier >= 0 => return Some(format!("timestamp({modifier}) without time zone")),
        1114 => "timestamp without time zone",
        1184 if modifier >= 0 => return Some(format!("timestamp({modifier}) with time zone")),
        1184 => "timestamp with time zone",
        1560 => "bit",
        1562 => "bit varying",
        1700 if modifier >= 4 => {
            let digits = modifier - 4;
            return Some(format!("numeric({},{})", digits >> 16 & 0xffff, digits & 0xffff));
        }
        _ => return super::system::type_name(oid),
    };
    Some(plain.to_owned())
}

/// Names in `information_schema.columns`: of the standard, and of Postgres.
pub(crate) fn names(of: &FieldType) -> (&'static str, &'static str) {
    match oid(of) {
        16 => ("boolean", "bool"),
        17 => ("bytea", "bytea"),
        20 => ("bigint", "int8"),
        21 => ("smallint", "int2"),
        23 => ("integer", "int4"),
        700 => ("real", "float4"),
        701 => ("double precision", "float8"),
        1082 => ("date", "date"),
        1083 => ("time without time zone", "time"),
        1114 => ("timestamp without time zone", "timestamp"),
        1184 => ("timestamp with time zone", "timestamptz"),
        1700 => ("numeric", "numeric"),
        2950 => ("uuid", "uuid"),
        3802 => ("jsonb", "jsonb"),
        _ => ("text", "text"),
    }
}

/// Digits of a number, their base, and those after the point; nothing for what is no number.
pub(crate) fn number(of: &FieldType) -> Option<(i64, i64, Option<i64>)> {
    Some(match of {
        FieldType::Decimal { precision, scale } => ((*precision).into(), 10, Some((*scale).into())),
        FieldType::UInt64 => (20, 10, Some(0)),
        other => match oid(other) {
            21 => (16, 2, Some(0)),
            23 => (32, 2, Some(0)),
            20 => (64, 2, Some(0)),
            700 => (24, 2, None),
            701 => (53, 2, None),
            _ => return None,
        },
    })
}

/// Digits of a second's fraction; nothing for what is no time.
pub(crate) fn fraction(of: &FieldType) -> Option<i64> {
    match of {
        FieldType::Date => Some(0),
        FieldType::Time => Some(6),
        FieldType::Timestamp(unit) | FieldType::TimestampTz(unit) => Some(match unit {
            TimeUnit::Second => 0,
            TimeUnit::Milli => 3,
            TimeUnit::Micro | TimeUnit::Nano => 6,
        }),
        _ => None,
    }
}
