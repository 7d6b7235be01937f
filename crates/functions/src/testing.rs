//! Tests only: one SQL expression through a bare session with all functions.

use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

pub(crate) fn context() -> SessionContext {
    let context = SessionContext::new();
    {
        let state = context.state_ref();
        let mut state = state.write();
        crate::register(&mut *state).expect("names that can be registered");
        state.config_mut().options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    }
    context
}

async fn column(sql: &str) -> Result<ArrayRef> {
    let batches = context().sql(sql).await?.collect().await?;
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches)?;
    Ok(batch.column(0).clone())
}

/// The rows of a query's first column as text, NULL as the empty one.
pub(crate) async fn rows(sql: &str) -> Vec<String> {
    let column = column(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    (0..column.len()).map(|row| array_value_to_string(&column, row).expect("a value that prints")).collect()
}

/// The value of an expression.
pub(crate) async fn value(expression: &str) -> String {
    rows(&format!("SELECT {expression}")).await.into_iter().next().expect("one row")
}

/// Why an expression has no value.
pub(crate) async fn error(expression: &str) -> String {
    match column(&format!("SELECT {expression}")).await {
        Err(error) => error.to_string(),
        Ok(value) => panic!("{expression} is {value:?}"),
    }
}
