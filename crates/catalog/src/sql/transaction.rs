//! A transaction of the database, and the one place where text becomes a sqlx query.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Column, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, TypeInfo, ValueRef,
};
use uuid::Uuid;

use super::statement::Argument;
use super::{Cell, Dialect, Failure, Kind, Row, Statement};
use crate::registry::Table;

/// A running transaction; dropping it rolls it back.
pub(crate) struct Transaction {
    open: Open,
    statements: u32,
}

enum Open {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    pub(super) fn sqlite(transaction: sqlx::Transaction<'static, Sqlite>) -> Self {
        Self { open: Open::Sqlite(transaction), statements: 0 }
    }

    pub(super) fn postgres(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Self { open: Open::Postgres(transaction), statements: 0 }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.open {
            Open::Sqlite(_) => Dialect::Sqlite,
            Open::Postgres(_) => Dialect::Postgres,
        }
    }

    /// How many it has sent so far, without those that begin and end it.
    pub(crate) fn statements(&self) -> u32 {
        self.statements
    }

    /// A statement in this transaction's dialect.
    pub(crate) fn statement(&self, text: &str) -> Statement {
        Statement::new(self.dialect(), text)
    }

    /// Runs a statement and answers how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, Failure> {
        self.statements += 1;
        match &mut self.open {
            Open::Sqlite(transaction) => {
                let (text, arguments) = statement.into_parts();
                Ok(bind_sqlite(text, arguments).execute(&mut **transaction).await?.rows_affected())
            }
            Open::Postgres(transaction) => {
                let (text, arguments) = statement.into_parts();
                Ok(bind_postgres(text, arguments).execute(&mut **transaction).await?.rows_affected())
            }
        }
    }

    /// Runs a statement and answers its rows.
    pub(crate) async fn query(&mut self, statement: Statement) -> Result<Vec<Row>, Failure> {
        self.statements += 1;
        match &mut self.open {
            Open::Sqlite(transaction) => query_sqlite(transaction, statement).await,
            Open::Postgres(transaction) => query_postgres(transaction, statement).await,
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn row(&mut self, statement: Statement) -> Result<Option<Row>, Failure> {
        Ok(self.query(statement).await?.into_iter().next())
    }

    /// Runs a text without arguments, such as a definition.
    pub(crate) async fn run(&mut self, text: &str) -> Result<(), Failure> {
        let statement = self.statement(text);
        self.execute(statement).await?;
        Ok(())
    }

    /// Runs `text`, which reads the rows as `v`, in as many statements as their number needs; answers the rows changed.
    pub(crate) async fn execute_with(
        &mut self,
        columns: &[(&str, Kind)],
        rows: &[Vec<Cell>],
        text: &str,
    ) -> Result<u64, Failure> {
        let mut changed = 0;
        for part in rows.chunks(self.dialect().rows_max(columns.len())) {
            changed += self.execute(Statement::with_rows(self.dialect(), columns, part, text)).await?;
        }
        Ok(changed)
    }

    /// Rows of `text`, which reads the given rows as `v`.
    pub(crate) async fn query_with(
        &mut self,
        columns: &[(&str, Kind)],
        rows: &[Vec<Cell>],
        text: &str,
    ) -> Result<Vec<Row>, Failure> {
        let mut answer = Vec::new();
        for part in rows.chunks(self.dialect().rows_max(columns.len())) {
            answer.extend(self.query(Statement::with_rows(self.dialect(), columns, part, text)).await?);
        }
        Ok(answer)
    }

    /// Inserts whole rows, columns in the order of the declaration.
    pub(crate) async fn insert(&mut self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Failure> {
        self.insert_then(table, rows, "").await
    }

    /// Inserts whole rows; where the key exists, `columns` get the new values and the others stay.
    pub(crate) async fn upsert(
        &mut self,
        table: &Table,
        columns: &[&str],
        rows: &[Vec<Cell>],
    ) -> Result<(), Failure> {
        let sets: Vec<String> =
            columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let tail = format!(" ON CONFLICT ({}) DO UPDATE SET {}", table.primary.join(", "), sets.join(", "));
        self.insert_then(table, rows, &tail).await
    }

    /// Inserts whole rows; those whose key exists are left as they are.
    pub(crate) async fn insert_missing(&mut self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Failure> {
        let tail = format!(" ON CONFLICT ({}) DO NOTHING", table.primary.join(", "));
        self.insert_then(table, rows, &tail).await
    }

    /// Inserts whole rows with more text behind them, such as `ON CONFLICT …`.
    pub(crate) async fn insert_then(
        &mut self,
        table: &Table,
        rows: &[Vec<Cell>],
        tail: &str,
    ) -> Result<(), Failure> {
        let kinds: Vec<Kind> = table.columns.iter().map(|column| column.word.kind()).collect();
        let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        for part in rows.chunks(self.dialect().rows_max(kinds.len())) {
            let mut statement =
                self.statement(&format!("INSERT INTO {} ({}) ", table.name, names.join(", ")));
            statement.push_rows(&kinds, part);
            statement.push(tail);
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Makes it durable and visible. `Unknown` if the connection broke meanwhile.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let done = match self.open {
            Open::Sqlite(transaction) => transaction.commit().await,
            Open::Postgres(transaction) => transaction.commit().await,
        };
        done.map_err(|error| match Failure::from(error) {
            Failure::Gone(reason) => Failure::Unknown(reason),
            other => other,
        })
    }

    /// Undoes everything.
    pub(crate) async fn rollback(self) -> Result<(), Failure> {
        match self.open {
            Open::Sqlite(transaction) => transaction.rollback().await?,
            Open::Postgres(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }
}

type Query<'q, D> = sqlx::query::Query<'q, D, <D as sqlx::Database>::Arguments>;

/// Rows of a statement that runs by itself or in a transaction.
pub(super) async fn query_sqlite(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Vec<Row>, Failure> {
    let (text, arguments) = statement.into_parts();
    let rows = bind_sqlite(text, arguments).fetch_all(connection).await?;
    rows.iter().map(read_sqlite).collect()
}

/// Rows of a statement that runs by itself or in a transaction.
pub(super) async fn query_postgres(
    connection: &mut PgConnection,
    statement: Statement,
) -> Result<Vec<Row>, Failure> {
    let (text, arguments) = statement.into_parts();
    let rows = bind_postgres(text, arguments).fetch_all(connection).await?;
    rows.iter().map(read_postgres).collect()
}

fn bind_sqlite(text: String, arguments: Vec<Argument>) -> Query<'static, Sqlite> {
    let mut query = sqlx::query(AssertSqlSafe(text));
    for argument in arguments {
        let Argument::One(cell) = argument else { continue }; // columns are made for PostgreSQL only
        query = match cell {
            Cell::Null => query.bind(None::<i64>),
            Cell::Int(value) => query.bind(value),
            Cell::Text(value) => query.bind(value),
            Cell::Bytes(value) => query.bind(value),
            Cell::Uuid(value) => query.bind(value.as_bytes().to_vec()),
        };
    }
    query
}

fn bind_postgres(text: String, arguments: Vec<Argument>) -> Query<'static, Postgres> {
    let mut query = sqlx::query(AssertSqlSafe(text));
    for argument in arguments {
        query = match argument {
            Argument::One(Cell::Null) => query.bind(None::<i64>),
            Argument::One(Cell::Int(value)) => query.bind(value),
            Argument::One(Cell::Text(value)) => query.bind(value),
            Argument::One(Cell::Bytes(value)) => query.bind(value),
            Argument::One(Cell::Uuid(value)) => query.bind(value),
            Argument::Column(Kind::Int, cells) => query.bind(column(cells, |cell| match cell {
                Cell::Int(value) => Some(value),
                _ => None,
            })),
            Argument::Column(Kind::Text, cells) => query.bind(column(cells, |cell| match cell {
                Cell::Text(value) => Some(value),
                _ => None,
            })),
            Argument::Column(Kind::Bytes, cells) => query.bind(column(cells, |cell| match cell {
                Cell::Bytes(value) => Some(value),
                _ => None,
            })),
            Argument::Column(Kind::Uuid, cells) => query.bind(column(cells, |cell| match cell {
                Cell::Uuid(value) => Some(value),
                _ => None,
            })),
        };
    }
    query
}

fn column<T>(cells: Vec<Cell>, read: impl Fn(Cell) -> Option<T>) -> Vec<Option<T>> {
    cells.into_iter().map(read).collect()
}

fn read_sqlite(row: &SqliteRow) -> Result<Row, Failure> {
    let mut cells = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            cells.push(Cell::Null);
            continue;
        }
        let kind = value.type_info();
        cells.push(match kind.name() {
            "TEXT" => Cell::Text(row.try_get(at)?),
            "BLOB" => Cell::Bytes(row.try_get(at)?),
            _ => Cell::Int(row.try_get(at)?),
        });
    }
    Ok(Row::new(cells))
}

fn read_postgres(row: &PgRow) -> Result<Row, Failure> {
    let mut cells = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        if row.try_get_raw(at)?.is_null() {
            cells.push(Cell::Null);
            continue;
        }
        cells.push(match column.type_info().name() {
            "INT8" => Cell::Int(row.try_get(at)?),
            "INT4" => Cell::Int(i64::from(row.try_get::<i32, _>(at)?)),
            "INT2" => Cell::Int(i64::from(row.try_get::<i16, _>(at)?)),
            "BOOL" => Cell::Int(i64::from(row.try_get::<bool, _>(at)?)),
            "BYTEA" => Cell::Bytes(row.try_get(at)?),
            "UUID" => Cell::Uuid(row.try_get::<Uuid, _>(at)?),
            _ => Cell::Text(row.try_get(at)?),
        });
    }
    Ok(Row::new(cells))
}
