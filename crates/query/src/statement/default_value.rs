//! The value of a DEFAULT: a literal, `now()` or `uuid()`.

use arrow::array::Array;
use cenote_datafile::literal;
use cenote_vocab::{ErrorKind, FieldType, Micros, WriteDefault};
use sqlparser::ast::{Expr, UnaryOperator, Value};

use crate::Error;
use crate::parse::unsupported;

/// What rows get that are written without the column; `None` for NULL.
pub(crate) fn write_default(
    column: &str,
    field_type: &FieldType,
    expr: &Expr,
) -> Result<Option<WriteDefault>, Error> {
    if let Some(function) = function(expr) {
        let instant =
            matches!(field_type, FieldType::Timestamp(_) | FieldType::TimestampTz(_) | FieldType::Date);
        return match function.as_str() {
            "now" | "current_timestamp" | "localtimestamp" | "current_date" if instant => {
                Ok(Some(WriteDefault::Now))
            }
            "uuid" | "gen_random_uuid" if *field_type == FieldType::Uuid => Ok(Some(WriteDefault::Uuid)),
            "now" | "current_timestamp" | "localtimestamp" | "current_date" | "uuid" | "gen_random_uuid" => {
                Err(wrong(column, field_type, &expr.to_string()))
            }
            other => Err(unsupported(&format!("DEFAULT {other}() of column \"{column}\""))
                .with_hint("a default is a literal, now() or uuid()")),
        };
    }
    let Some(text) = text(column, expr)? else { return Ok(None) };
    if field_type.is_nested() {
        return Err(unsupported(&format!(
            "DEFAULT of column \"{column}\" of type {}",
            field_type.sql_name()
        )));
    }
    let json = *field_type != FieldType::Json || serde_json::from_str::<serde_json::Value>(&text).is_ok();
    match literal(field_type, &text) {
        Ok(value) if value.null_count() == 0 && json => Ok(Some(WriteDefault::Literal(text))),
        _ => Err(wrong(column, field_type, &text)),
    }
}

/// The value that rows have which were there before the column; `None` for NULL.
pub(crate) fn initial_default(
    field_type: &FieldType,
    default: Option<&WriteDefault>,
    now: Micros,
) -> Option<String> {
    match default? {
        WriteDefault::Literal(text) => Some(text.clone()),
        WriteDefault::Now => {
            let instant = now.rfc3339();
            let date = instant.split('T').next().unwrap_or_default().to_owned();
            Some(if *field_type == FieldType::Date { date } else { instant })
        }
        WriteDefault::Uuid => None,
    }
}

fn function(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) => Some(function.name.to_string().to_lowercase()),
        _ => None,
    }
}

fn text(column: &str, expr: &Expr) -> Result<Option<String>, Error> {
    Ok(match expr {
        Expr::Value(value) => match &value.value {
            Value::Null => None,
            Value::Number(digits, _) => Some(digits.to_string()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            other => return Err(no_literal(column, &other.to_string())),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match text(column, expr)? {
            Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                Some(format!("-{digits}"))
            }
            _ => return Err(no_literal(column, &expr.to_string())),
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) | Expr::Cast { expr, .. } => {
            text(column, expr)?
        }
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            other => return Err(no_literal(column, &other.to_string())),
        },
        other => return Err(no_literal(column, &other.to_string())),
    })
}

fn no_literal(column: &str, given: &str) -> Error {
    unsupported(&format!("DEFAULT {given} of column \"{column}\""))
        .with_hint("a default is a literal, now() or uuid()")
}

fn wrong(column: &str, field_type: &FieldType, given: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("DEFAULT {given} is no value of column \"{column}\" of type {}", field_type.sql_name()),
    )
    .with_sqlstate("42804")
}
