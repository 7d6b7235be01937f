//! SQL spellings of Arrow's types, as `types` of an answer shows them.

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};

/// The SQL type of each column.
pub(crate) fn sql_types(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| sql_type(field)).collect()
}

/// The SQL type of one column.
pub(crate) fn sql_type(field: &Field) -> String {
    match extension(field) {
        Some("arrow.uuid") => "UUID".into(),
        Some("arrow.json") => "JSON".into(),
        _ => of_data_type(field.data_type()),
    }
}

pub(super) fn extension(field: &Field) -> Option<&str> {
    field.metadata().get("ARROW:extension:name").map(String::as_str)
}

fn of_data_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINTEGER".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float16 | DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTEA".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let zone = if zone.is_some() { " WITH TIME ZONE" } else { "" };
            format!("TIMESTAMP({digits}){zone}")
        }
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano)
        | DataType::Duration(_) => "INTERVAL".into(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => format!("{}[]", sql_type(item)),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP({}, {})", sql_type(&fields[0]), sql_type(&fields[1]))
            }
            _ => "MAP".into(),
        },
        DataType::Dictionary(_, value) => of_data_type(value),
        DataType::RunEndEncoded(_, values) => sql_type(values),
        DataType::Union(..) => "UNION".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_types_name_their_parts() {
        let item = Field::new("item", DataType::Utf8View, true);
        let field = Field::new("tags", DataType::List(item.into()), true);
        assert_eq!(sql_type(&field), "VARCHAR[]");
        let zoned = Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true);
        assert_eq!(sql_type(&zoned), "TIMESTAMP(9) WITH TIME ZONE");
    }
}
