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

/// A column of texts does not become numbers by itself (literals do), and a struct loses no field.
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
    check_fields(column, given, wanted)
}

/// A struct has no field that the column lacks: a cast would lose it without a word.
pub(crate) fn check_fields(column: &str, given: &DataType, wanted: &DataType) -> Result<(), Error> {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    match (given, wanted) {
        (Struct(given), Struct(wanted)) => {
            for field in given {
                let Some((_, known)) = wanted.find(field.name()) else {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("column \"{column}\" has no field \"{}\", which the value has", field.name()),
                    )
                    .with_sqlstate("42804"));
                };
                check_fields(&format!("{column}.{}", field.name()), field.data_type(), known.data_type())?;
            }
            Ok(())
        }
        (
            List(given) | LargeList(given) | FixedSizeList(given, _),
            List(wanted) | LargeList(wanted) | FixedSizeList(wanted, _),
        ) => check_fields(column, given.data_type(), wanted.data_type()),
        (Map(given, _), Map(wanted, _)) => check_entries(column, given.data_type(), wanted.data_type()),
        _ => Ok(()),
    }
}

/// Keys and values of a map, whatever they are called.
fn check_entries(column: &str, given: &DataType, wanted: &DataType) -> Result<(), Error> {
    let (DataType::Struct(given), DataType::Struct(wanted)) = (given, wanted) else { return Ok(()) };
    let mut entries = given.iter().zip(wanted);
    entries.try_for_each(|(given, wanted)| check_fields(column, given.data_type(), wanted.data_type()))
}
