//! Types of SQL as columns store them.

use cenote_datafile::LIST_ELEMENT;
use cenote_vocab::{ErrorKind, Field, FieldId, FieldType, TimeUnit};
use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, TimezoneInfo};

use crate::Error;

/// Digits of DECIMAL without any given.
const DECIMAL_DIGITS: u8 = 38;

/// The stored type that a written type means.
pub(crate) fn field_type(column: &str, data_type: &DataType) -> Result<FieldType, Error> {
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => FieldType::Boolean,
        DataType::TinyInt(_) => FieldType::Int8,
        DataType::SmallInt(_) | DataType::Int2(_) | DataType::Int16 => FieldType::Int16,
        DataType::Int(_)
        | DataType::Integer(_)
        | DataType::Int4(_)
        | DataType::Int32
        | DataType::MediumInt(_) => FieldType::Int32,
        DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => FieldType::Int64,
        DataType::UTinyInt | DataType::TinyIntUnsigned(_) | DataType::UInt8 => FieldType::UInt8,
        DataType::USmallInt
        | DataType::SmallIntUnsigned(_)
        | DataType::Int2Unsigned(_)
        | DataType::UInt16 => FieldType::UInt16,
        DataType::IntUnsigned(_)
        | DataType::IntegerUnsigned(_)
        | DataType::Int4Unsigned(_)
        | DataType::UInt32 => FieldType::UInt32,
        DataType::UBigInt | DataType::BigIntUnsigned(_) | DataType::Int8Unsigned(_) | DataType::UInt64 => {
            FieldType::UInt64
        }
        DataType::Real | DataType::Float4 | DataType::Float32 => FieldType::Float,
        DataType::Float(ExactNumberInfo::Precision(digits)) if *digits <= 24 => FieldType::Float, // as in Postgres
        DataType::Float(_)
        | DataType::Float8
        | DataType::Float64
        | DataType::Double(_)
        | DataType::DoublePrecision => FieldType::Double,
        DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info) => decimal(column, info)?,
        DataType::Date | DataType::Date32 => FieldType::Date,
        DataType::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => FieldType::Time,
        DataType::Timestamp(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            FieldType::Timestamp(time_unit(column, *digits)?)
        }
        DataType::Timestamp(digits, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            FieldType::TimestampTz(time_unit(column, *digits)?)
        }
        DataType::TimestampNtz(digits) | DataType::Datetime(digits) => {
            FieldType::Timestamp(time_unit(column, *digits)?)
        }
        DataType::Text
        | DataType::String(_)
        | DataType::Varchar(_)
        | DataType::Nvarchar(_)
        | DataType::Char(_)
        | DataType::Character(_)
        | DataType::CharVarying(_)
        | DataType::CharacterVarying(_)
        | DataType::Clob(_) => FieldType::String,
        DataType::Bytea
        | DataType::Blob(_)
        | DataType::Binary(None)
        | DataType::Varbinary(_)
        | DataType::Bytes(_) => FieldType::Binary,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, length)) => {
            let element = Box::new(Field::new(FieldId(0), LIST_ELEMENT, field_type(column, element)?));
            match length {
                None => FieldType::List(element),
                Some(length) => match u32::try_from(*length) {
                    Ok(length @ 1..) => FieldType::FixedList(element, length),
                    _ => return Err(unknown(column, data_type)),
                },
            }
        }
        DataType::Uuid => FieldType::Uuid,
        DataType::JSON | DataType::JSONB => FieldType::Json,
        DataType::Custom(name, arguments) if arguments.is_empty() => {
            match name.to_string().to_lowercase().as_str() {
                "uinteger" | "uint" => FieldType::UInt32,
                "utinyint" => FieldType::UInt8,
                "usmallint" => FieldType::UInt16,
                "ubigint" => FieldType::UInt64,
                "timestamptz" => FieldType::TimestampTz(TimeUnit::Micro),
                _ => return Err(unknown(column, data_type)),
            }
        }
        _ => return Err(unknown(column, data_type)),
    })
}

fn unknown(column: &str, data_type: &DataType) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("column \"{column}\" has type {data_type}, which a table cannot store yet"),
    )
}

fn decimal(column: &str, info: &ExactNumberInfo) -> Result<FieldType, Error> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (u64::from(DECIMAL_DIGITS), 9),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=76), Ok(scale)) if scale <= precision => Ok(FieldType::Decimal { precision, scale }),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            format!("column \"{column}\": DECIMAL({precision},{scale}) needs 1 to 76 digits and a scale within them"),
        )
        .with_sqlstate("22023")),
    }
}

fn time_unit(column: &str, digits: Option<u64>) -> Result<TimeUnit, Error> {
    Ok(match digits {
        Some(0) => TimeUnit::Second,
        Some(3) => TimeUnit::Milli,
        None | Some(6) => TimeUnit::Micro,
        Some(9) => TimeUnit::Nano,
        Some(other) => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("column \"{column}\": TIMESTAMP({other}) is not one of 0, 3, 6, 9"),
            )
            .with_sqlstate("22023"));
        }
    })
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Fault;
    use sqlparser::ast::Statement;

    use super::*;
    use crate::parse::{Parsed, parse};
    use datafusion::sql::parser::Statement as AnyStatement;

    fn stored(text: &str) -> Result<String, Error> {
        let Parsed::Sql { statement, .. } = parse(&format!("CREATE TABLE t (c {text})"))? else {
            panic!("a statement")
        };
        let AnyStatement::Statement(statement) = *statement else { panic!("a statement") };
        let Statement::CreateTable(create) = *statement else { panic!("CREATE TABLE") };
        field_type("c", &create.columns[0].data_type).map(|stored| stored.to_string())
    }

    #[test]
    fn written_types_mean_stored_ones() {
        for (written, expected) in [
            ("INT", "int32"),
            ("BIGINT", "int64"),
            ("UTINYINT", "uint8"),
            ("UINTEGER", "uint32"),
            ("UBIGINT", "uint64"),
            ("FLOAT", "double"),
            ("REAL", "float"),
            ("DOUBLE", "double"),
            ("DOUBLE PRECISION", "double"),
            ("DECIMAL(10,2)", "decimal(10,2)"),
            ("VARCHAR(20)", "string"),
            ("STRING", "string"),
            ("TIMESTAMP", "timestamp(6)"),
            ("TIMESTAMP(3)", "timestamp(3)"),
            ("TIMESTAMPTZ", "timestamptz(6)"),
            ("TIMESTAMP(9) WITH TIME ZONE", "timestamptz(9)"),
            ("BYTEA", "binary"),
            ("JSONB", "json"),
            ("UUID", "uuid"),
            ("INT[]", "list"),
            ("INT[3]", "list<;3>"),
        ] {
            assert_eq!(
                stored(written).unwrap_or_else(|error| panic!("{written}: {error}")),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn what_cannot_be_stored_names_the_column() {
        assert_eq!(stored("INTERVAL").unwrap_err().sqlstate().0, "0A000");
        assert_eq!(stored("INT[0]").unwrap_err().sqlstate().0, "0A000");
        assert!(stored("DECIMAL(80,2)").unwrap_err().to_string().contains("\"c\""));
        assert_eq!(stored("TIMESTAMP(4)").unwrap_err().sqlstate().0, "22023");
    }
}
