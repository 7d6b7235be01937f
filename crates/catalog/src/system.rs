//! Rows of `system.*`, limited to the asker's.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_vocab::Scope;

use crate::Error;
use crate::inner::Inner;
use crate::registry::{SystemColumn, SystemKind, SystemTable, system_tables};
use crate::sql::{Cell, Row, Statement};

/// Where queries ask for the asker's catalog, and for its tenant.
const CATALOG: &str = ":catalog";
const TENANT: &str = ":tenant";

/// All rows of a system table that the tenant may see. `TableNotFound` if there is no such table.
pub(crate) async fn rows(inner: &Inner, scope: &Scope, name: &str) -> Result<RecordBatch, Error> {
    let table = system_tables().iter().find(|table| table.name == name).ok_or_else(|| {
        let names = system_tables().iter().map(|table| table.name);
        let nearest = cenote_vocab::nearest(name, names).map(str::to_owned);
        Error::TableNotFound { name: format!("system.{name}"), nearest }
    })?;
    let statement = push_query(inner.database.statement(""), table, scope);
    let rows = inner.database.query(statement).await?;
    batch(table, rows)
}

/// Appends the table's query with the scope bound where it asks for it.
pub(crate) fn push_query(mut statement: Statement, table: &SystemTable, scope: &Scope) -> Statement {
    let mut rest = table.query;
    let place =
        |text: &str| [CATALOG, TENANT].into_iter().filter_map(|name| Some((text.find(name)?, name))).min();
    while let Some((at, name)) = place(rest) {
        statement.push(&rest[..at]);
        statement.push("?");
        statement =
            if name == CATALOG { statement.bind(scope.catalog().0) } else { statement.bind(scope.tenant()) };
        rest = &rest[at + name.len()..];
    }
    statement.push(rest);
    statement
}

/// The rows as Arrow has them.
pub(crate) fn batch(table: &SystemTable, rows: Vec<Row>) -> Result<RecordBatch, Error> {
    let count = rows.len();
    let mut columns: Vec<Vec<Cell>> = table.columns.iter().map(|_| Vec::with_capacity(count)).collect();
    for mut row in rows {
        for column in &mut columns {
            column.push(row.cell()?);
        }
    }
    let arrays = table.columns.iter().zip(columns).map(|(column, cells)| array(column, cells));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>, Error>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(table.schema(), arrays, &options)
        .map_err(|error| Error::Internal(error.to_string()))
}

fn array(column: &SystemColumn, cells: Vec<Cell>) -> Result<ArrayRef, Error> {
    let wrong = |cell: Cell| Error::Internal(format!("system column {} got {cell:?}", column.name));
    Ok(match column.kind {
        SystemKind::Integer => {
            let mut builder = Int64Builder::with_capacity(cells.len());
            for cell in cells {
                builder.append_option(integer(cell).map_err(wrong)?);
            }
            Arc::new(builder.finish())
        }
        SystemKind::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(cells.len());
            for cell in cells {
                builder.append_option(integer(cell).map_err(wrong)?.map(|flag| flag != 0));
            }
            Arc::new(builder.finish())
        }
        SystemKind::Time => {
            let mut builder = TimestampMicrosecondBuilder::with_capacity(cells.len());
            for cell in cells {
                builder.append_option(integer(cell).map_err(wrong)?);
            }
            Arc::new(builder.finish())
        }
        SystemKind::Text => {
            let mut builder = StringBuilder::with_capacity(cells.len(), cells.len() * 16);
            for cell in cells {
                match cell {
                    Cell::Null => builder.append_null(),
                    Cell::Text(text) => builder.append_value(text),
                    Cell::Uuid(uuid) => builder.append_value(uuid.to_string()),
                    Cell::Bytes(bytes) if bytes.len() == 32 => {
                        builder.append_value(hex::encode(bytes));
                    }
                    Cell::Bytes(bytes) => match uuid::Uuid::from_slice(&bytes) {
                        Ok(uuid) => builder.append_value(uuid.to_string()),
                        Err(_) => return Err(wrong(Cell::Bytes(bytes))),
                    },
                    other => return Err(wrong(other)),
                }
            }
            Arc::new(builder.finish())
        }
    })
}

fn integer(cell: Cell) -> Result<Option<i64>, Cell> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Int(value) => Ok(Some(value)),
        other => Err(other),
    }
}
