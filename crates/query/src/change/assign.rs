//! Whether an expression may become the value of a column, and how.

use arrow::datatypes::{DataType, Field};
use cenote_vocab::ErrorKind;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::Error;
use crate::plan::fault;

/// The expression as a value of the column: a parameter takes the column's type, other values are cast.
pub(super) fn assign(expr: Expr, input: &DFSchema, column: &Field, sql: &str) -> Result<Expr, Error> {
    let expr = match expr {
        Expr::Placeholder(mut placeholder) => {
            placeholder.field = placeholder.field.or_else(|| Some(column.clone().with_nullable(true).into()));
            Expr::Placeholder(placeholder)
        }
        other => other,
    };
    let given = expr.get_type(input).map_err(|error| fault::of(error, sql))?;
    if !matches!(expr, Expr::Literal(..)) {
        check_assignable(column.name(), &given, column.data_type())?;
    }
    expr.cast_to(column.data_type(), input).map_err(|error| fault::of(error, sql))
}

/// A column of texts does not become numbers by itself; literals do.
pub(crate) fn check_assignable(column: &str, given: &DataType, wanted: &DataType) -> Result<(), Error> {
    let text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if text && wanted.is_numeric() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("column \"{column}\" is of type {wanted} but expression is of type text"),
        )
        .with_sqlstate("42804")
        .with_hint("cast the expression, such as CAST(x AS BIGINT)"));
    }
    Ok(())
}
