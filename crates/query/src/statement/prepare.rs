//! `PREPARE`, `EXECUTE`, `DEALLOCATE`: statements under a name of the session.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType as ArrowType;
use cenote_vocab::ErrorKind;
use datafusion::common::ScalarValue;
use sqlparser::ast::DataType;

use super::column_type::field_type;
use super::{Answer, Class, Guard, Prepared, describe};
use crate::Error;
use crate::parse::{self, Parsed};
use crate::plan::fault;
use crate::session::Inner;

/// Types a statement and keeps it.
pub(crate) async fn prepare(
    session: &Inner,
    name: &str,
    types: &[DataType],
    sql: &str,
) -> Result<Answer, Error> {
    let parsed = parse::parse(sql).map_err(Error::without_place)?;
    if !matches!(parsed, Parsed::Sql { .. }) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "only a query or a statement that writes can be prepared",
        )
        .with_sqlstate("42601"));
    }
    let declared = types
        .iter()
        .map(|written| Ok(Some(cenote_datafile::arrow_type(&field_type("a parameter", written)?))))
        .collect::<Result<Vec<_>, Error>>()?;
    let described = Box::pin(describe(session, sql, parsed, &declared));
    let prepared = described.await.map_err(Error::without_place)?;
    if !matches!(prepared.class, Class::Read | Class::Write) {
        return Err(Error::new(ErrorKind::Invalid, format!("{} cannot be prepared", prepared.command))
            .with_sqlstate("42601"));
    }
    session.statements().put(name, Arc::new(prepared))?;
    Ok(Answer::done("PREPARE"))
}

/// Runs a kept statement with constant values.
pub(crate) async fn execute(
    session: &Inner,
    name: &str,
    arguments: &[String],
    guard: &Guard,
) -> Result<Answer, Error> {
    let prepared = session.statements().get(name)?;
    if arguments.len() != prepared.parameters.len() {
        let text = format!(
            "prepared statement \"{name}\" has {} parameters, {} were given",
            prepared.parameters.len(),
            arguments.len()
        );
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
    }
    let values =
        if arguments.is_empty() { Vec::new() } else { values(session, &prepared, arguments).await? };
    Box::pin(super::run(session, &prepared, values, guard)).await.map_err(Error::without_place)
}

/// Forgets one statement, or all.
pub(crate) fn deallocate(session: &Inner, name: Option<&str>) -> Result<Answer, Error> {
    match name {
        Some(name) => {
            session.statements().remove(name)?;
            Ok(Answer::done("DEALLOCATE"))
        }
        None => {
            session.statements().clear();
            Ok(Answer::done("DEALLOCATE ALL"))
        }
    }
}

async fn values(
    session: &Inner,
    prepared: &Prepared,
    arguments: &[String],
) -> Result<Vec<ScalarValue>, Error> {
    let row = session.constants(arguments).await.map_err(Error::without_place)?;
    let cast = |(column, wanted): (&ArrayRef, &ArrowType)| {
        ScalarValue::try_from_array(column, 0)
            .and_then(|value| value.cast_to(wanted))
            .map_err(|error| fault::of(error, ""))
    };
    row.columns().iter().zip(&prepared.parameters).map(cast).collect()
}
