//! TIMESTAMP counts microseconds, and so does a text or a date beside one. The engine would count both in nanoseconds, which
//! end in the year 2262.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::types::NativeType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator, TryCast};
use sqlparser::ast::{DataType as SqlType, TimezoneInfo};

/// `TIMESTAMP` and `TIMESTAMPTZ` without a precision.
#[derive(Debug)]
pub(super) struct Timestamps;

impl TypePlanner for Timestamps {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let SqlType::Timestamp(None, zone) = sql_type else { return Ok(None) };
        let zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone).then(|| Arc::from("UTC"));
        let field = arrow::datatypes::Field::new("", DataType::Timestamp(TimeUnit::Microsecond, zone), true);
        Ok(Some(Arc::new(field)))
    }
}

/// Comparisons of timestamps with constants and dates.
#[derive(Debug)]
pub(super) struct Times;

impl FunctionRewrite for Times {
    fn name(&self) -> &'static str {
        "compare_timestamps"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
                let (changed, left, right) = pair(*left, *right, schema);
                let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
                if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
            }
            Expr::Between(Between { expr, negated, low, high }) if is_time(&expr, schema) => {
                let low = binary(expr.as_ref().clone(), Operator::GtEq, *low, schema);
                let high = binary(*expr, Operator::LtEq, *high, schema);
                Transformed::yes(negate(binary(low, Operator::And, high, schema), negated))
            }
            Expr::InList(InList { expr, list, negated }) if is_time(&expr, schema) => {
                in_list(*expr, list, negated, schema)
            }
            other => Transformed::no(other),
        })
    }
}

/// Beside a unit that has no room for an item, the list becomes its comparisons.
fn in_list(expr: Expr, list: Vec<Expr>, negated: bool, schema: &DFSchema) -> Transformed<Expr> {
    let beside: Vec<(Expr, Expr)> = list
        .iter()
        .map(|item| {
            let (_, value, item) = pair(expr.clone(), item.clone(), schema);
            (value, item)
        })
        .collect();
    if beside.iter().all(|(value, _)| *value == expr) {
        let list = beside.into_iter().map(|(_, item)| item).collect();
        return Transformed::yes(Expr::InList(InList { expr: Box::new(expr), list, negated }));
    }
    let equal = |(value, item): (Expr, Expr)| value.eq(item);
    match beside.into_iter().map(equal).reduce(Expr::or) {
        Some(any) => Transformed::yes(negate(any, negated)),
        None => Transformed::no(Expr::InList(InList { expr: Box::new(expr), list, negated })),
    }
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn binary(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Expr {
    let (_, left, right) = if compares(op) { pair(left, right, schema) } else { (false, left, right) };
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_time(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)))
}

/// Both sides of a comparison in units that hold them, and whether any is another now.
fn pair(left: Expr, right: Expr, schema: &DFSchema) -> (bool, Expr, Expr) {
    if may_stand_beside(&right)
        && let Ok(DataType::Timestamp(unit, zone)) = left.get_type(schema)
    {
        let (changed, time, value) = beside((left, unit, zone), right, schema);
        return (changed, time, value);
    }
    if may_stand_beside(&left)
        && let Ok(DataType::Timestamp(unit, zone)) = right.get_type(schema)
    {
        let (changed, time, value) = beside((right, unit, zone), left, schema);
        return (changed, value, time);
    }
    (false, left, right)
}

/// Constants, and what may be a date: a quick look before types are asked for.
fn may_stand_beside(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..) | Expr::Cast(_) | Expr::TryCast(_) | Expr::Column(_))
}

type Time = (Expr, TimeUnit, Option<Arc<str>>);

fn beside((time, unit, zone): Time, value: Expr, schema: &DFSchema) -> (bool, Expr, Expr) {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
    let cast = |expr: Expr| Expr::Cast(Cast::new(Box::new(expr), micros.clone()));
    let Some(constant) = constant(&value) else {
        let date = matches!(value.get_type(schema), Ok(DataType::Date32 | DataType::Date64));
        let fits = unit != TimeUnit::Nanosecond;
        return if date && fits { (true, time, cast(value)) } else { (false, time, value) };
    };
    let given = constant.data_type();
    let text = NativeType::from(&given) == NativeType::String;
    if constant.is_null() || !(text || given.is_temporal()) {
        return (false, time, value);
    }
    let literal = |scalar: ScalarValue| Expr::Literal(scalar, None);
    if unit == TimeUnit::Nanosecond {
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, zone);
        return match (constant.cast_to(&nanos), constant.cast_to(&micros)) {
            (Ok(exact), _) if text => (true, time, literal(exact)),
            (Ok(_), _) | (_, Err(_)) => (false, time, value),
            // outside of what nanoseconds hold: no value of theirs is equal, whatever is cut off
            (Err(_), Ok(far)) => (true, cast(time), literal(far)),
        };
    }
    match (&given, &constant) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _), ScalarValue::TimestampNanosecond(Some(nanos), _))
            if nanos % 1_000 != 0 =>
        {
            (false, time, value)
        }
        _ => match constant.cast_to(&micros) {
            Ok(scalar) => (true, time, literal(scalar)),
            Err(_) => (false, time, value),
        },
    }
}

/// The value of a literal under casts.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        Expr::TryCast(TryCast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}
