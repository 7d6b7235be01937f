//! Lowers filters to the small predicate by which `table` leaves files out. What cannot be lowered is `True`:
//! the filter itself is always evaluated again.

use arrow::datatypes::{DataType, TimeUnit as ArrowUnit};
use cenote_catalog::TableDef;
use cenote_datafile::Value;
use cenote_table::{Comparison, Predicate};
use cenote_vocab::{Field, FieldType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator};

/// The predicate of all filters together.
pub(crate) fn lower_all(filters: &[Expr], table: &TableDef) -> Predicate {
    and(filters.iter().map(|filter| lower(filter, table)).collect())
}

fn lower(filter: &Expr, table: &TableDef) -> Predicate {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            and(vec![lower(left, table), lower(right, table)])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            or(vec![lower(left, table), lower(right, table)])
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            match (comparison(*op), literal(left), literal(right)) {
                (Some(comparison), None, Some(value)) => compare(left, comparison, value, table),
                (Some(comparison), Some(value), None) => compare(right, mirrored(comparison), value, table),
                _ => Predicate::True,
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) => match (literal(low), literal(high)) {
            (Some(low), Some(high)) => and(vec![
                compare(expr, Comparison::GreaterOrEqual, low, table),
                compare(expr, Comparison::LessOrEqual, high, table),
            ]),
            _ => Predicate::True,
        },
        Expr::InList(InList { expr, list, negated: false }) => or(list
            .iter()
            .map(|item| {
                literal(item).map_or(Predicate::True, |value| compare(expr, Comparison::Equal, value, table))
            })
            .collect()),
        Expr::IsNull(expr) => {
            column(expr, table).map_or(Predicate::True, |(field, _)| Predicate::IsNull(field.id))
        }
        Expr::IsNotNull(expr) => {
            column(expr, table).map_or(Predicate::True, |(field, _)| Predicate::IsNotNull(field.id))
        }
        _ => Predicate::True,
    }
}

fn and(parts: Vec<Predicate>) -> Predicate {
    let mut known: Vec<Predicate> = parts.into_iter().filter(|part| *part != Predicate::True).collect();
    match known.len() {
        0 => Predicate::True,
        1 => known.remove(0),
        _ => Predicate::And(known),
    }
}

fn or(parts: Vec<Predicate>) -> Predicate {
    if parts.contains(&Predicate::True) { Predicate::True } else { Predicate::Or(parts) }
}

fn comparison(operator: Operator) -> Option<Comparison> {
    Some(match operator {
        Operator::Eq => Comparison::Equal,
        Operator::NotEq => Comparison::NotEqual,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// `5 < x` is `x > 5`.
fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same @ (Comparison::Equal | Comparison::NotEqual) => same,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// A column, perhaps under a cast between timestamps (which keeps the order); the cast's type.
fn column<'a>(expr: &'a Expr, table: &'a TableDef) -> Option<(&'a Field, Option<&'a DataType>)> {
    match expr {
        Expr::Column(column) => Some((table.schema.field(&column.name)?, None)),
        Expr::Alias(alias) => column(&alias.expr, table),
        Expr::Cast(Cast { expr, field }) => {
            let (inner, None) = column(expr, table)? else { return None };
            let timestamps = matches!(inner.field_type, FieldType::Timestamp(_) | FieldType::TimestampTz(_))
                && matches!(field.data_type(), DataType::Timestamp(..));
            timestamps.then_some((inner, Some(field.data_type())))
        }
        _ => None,
    }
}

fn compare(expr: &Expr, comparison: Comparison, value: &ScalarValue, table: &TableDef) -> Predicate {
    let Some((field, cast)) = column(expr, table) else { return Predicate::True };
    let float = matches!(field.field_type, FieldType::Float | FieldType::Double);
    if float && matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual | Comparison::NotEqual)
    {
        return Predicate::True; // the engine orders NaN above every number, statistics leave it out
    }
    let value = match field.field_type {
        FieldType::Timestamp(unit) | FieldType::TimestampTz(unit) => {
            // a cast to a coarser unit makes equal what was not
            if let Some(DataType::Timestamp(cast, _)) = cast
                && per_second(*cast) < i128::from(10_i64.pow(u32::from(unit.digits())))
            {
                return Predicate::True;
            }
            timestamp(value, unit, comparison)
        }
        _ => plain(value, &field.field_type),
    };
    value.map_or(Predicate::True, |value| Predicate::Compare { field: field.id, comparison, value })
}

fn per_second(unit: ArrowUnit) -> i128 {
    match unit {
        ArrowUnit::Second => 1,
        ArrowUnit::Millisecond => 1_000,
        ArrowUnit::Microsecond => 1_000_000,
        ArrowUnit::Nanosecond => 1_000_000_000,
    }
}

/// The bound in the column's unit, rounded so that the comparison keeps its meaning; `None` where it cannot.
fn timestamp(value: &ScalarValue, unit: TimeUnit, comparison: Comparison) -> Option<Value> {
    let (value, given) = match value {
        ScalarValue::TimestampSecond(Some(value), _) => (*value, ArrowUnit::Second),
        ScalarValue::TimestampMillisecond(Some(value), _) => (*value, ArrowUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(Some(value), _) => (*value, ArrowUnit::Microsecond),
        ScalarValue::TimestampNanosecond(Some(value), _) => (*value, ArrowUnit::Nanosecond),
        _ => return None,
    };
    let wanted = i128::from(10_i64.pow(u32::from(unit.digits())));
    let scaled = i128::from(value).checked_mul(wanted)?;
    let (floor, exact) = (scaled.div_euclid(per_second(given)), scaled.rem_euclid(per_second(given)) == 0);
    Some(Value::Integer(match comparison {
        _ if exact => floor,
        Comparison::Greater | Comparison::LessOrEqual => floor,
        Comparison::GreaterOrEqual | Comparison::Less => floor + 1,
        Comparison::Equal | Comparison::NotEqual => return None,
    }))
}

fn plain(value: &ScalarValue, field_type: &FieldType) -> Option<Value> {
    let integer = match value {
        ScalarValue::Int8(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int16(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int32(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int64(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt8(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt16(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt32(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt64(Some(value)) => Some(i128::from(*value)),
        _ => None,
    };
    Some(match (field_type, value) {
        (
            FieldType::Int8
            | FieldType::Int16
            | FieldType::Int32
            | FieldType::Int64
            | FieldType::UInt8
            | FieldType::UInt16
            | FieldType::UInt32
            | FieldType::UInt64,
            _,
        ) => Value::Integer(integer?),
        (FieldType::Date, ScalarValue::Date32(Some(days))) => Value::Integer(i128::from(*days)),
        (FieldType::Time, ScalarValue::Time64Microsecond(Some(micros))) => {
            Value::Integer(i128::from(*micros))
        }
        (FieldType::Decimal { scale, precision }, ScalarValue::Decimal128(Some(value), _, given))
            if *precision <= 38 && i16::from(*given) == i16::from(*scale) =>
        {
            Value::Integer(*value)
        }
        (FieldType::Float, ScalarValue::Float32(Some(value))) if !value.is_nan() => {
            Value::Float(f64::from(*value))
        }
        (FieldType::Double, ScalarValue::Float64(Some(value))) if !value.is_nan() => Value::Float(*value),
        (FieldType::Boolean, ScalarValue::Boolean(Some(value))) => Value::Boolean(*value),
        (
            FieldType::String | FieldType::Json,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
        ) => Value::Text(text.clone()),
        (
            FieldType::Binary,
            ScalarValue::Binary(Some(bytes))
            | ScalarValue::LargeBinary(Some(bytes))
            | ScalarValue::BinaryView(Some(bytes)),
        ) => Value::Bytes(bytes.clone()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
