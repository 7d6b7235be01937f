//! Brings a database to the layout of this binary.

use std::collections::HashSet;

use cenote_vocab::{Ids, LIVE};

use super::{Database, Dialect, Failure, Transaction, event, tenant};
use crate::Error;
use crate::registry::{LAYOUT, META, TABLES, add_column, define, definitions};

/// The layout since which changes of objects are told.
const EVENTS_SINCE: i64 = 8;
/// The layout since which there is the role `operator`.
const OPERATOR_SINCE: i64 = 11;
/// What PostgreSQL processes that open one database at once wait for, each in turn.
const MIGRATION_LOCK: i64 = 0x6365_6e6f_7465;

/// Creates what an empty database lacks. `Layout` for one that is newer, or older if it may not be changed.
pub(crate) async fn migrate(database: &Database, change_older: bool) -> Result<(), Failure> {
    let mut transaction = lock(database).await?;
    for definition in define(transaction.dialect(), &META) {
        transaction.run(&definition).await?;
    }
    match fact(&mut transaction, "layout").await? {
        Some(text) => {
            let found = text.parse().map_err(|_| Error::Corrupt(format!("layout {text:?} is no number")))?;
            if found > LAYOUT || (found < LAYOUT && !change_older) {
                return Err(Error::Layout { found, known: LAYOUT }.into());
            }
            if found < LAYOUT {
                complete(&mut transaction).await?;
                count_levels(&mut transaction).await?;
                if found < EVENTS_SINCE {
                    event::begin(&mut transaction).await?;
                }
                if found < OPERATOR_SINCE {
                    tenant::begin_operator(&mut transaction).await?;
                }
                let statement = transaction
                    .statement("UPDATE cn_meta SET value = ? WHERE name = 'layout'")
                    .bind(LAYOUT.to_string());
                transaction.execute(statement).await?;
                tracing::info!(from = found, to = LAYOUT, "the catalog's layout was brought up to date");
            }
        }
        None => {
            for definition in definitions(transaction.dialect()) {
                transaction.run(&definition).await?;
            }
            transaction.insert(&META, &[vec!["layout".into(), LAYOUT.to_string().into()]]).await?;
        }
    }
    transaction.commit().await
}

/// Gives an older database the tables, columns and indexes that it lacks: a layout only ever adds.
async fn complete(transaction: &mut Transaction) -> Result<(), Failure> {
    let dialect = transaction.dialect();
    for table in TABLES {
        let known = columns(transaction, table.name).await?;
        let missing = table.columns.iter().filter(|column| !known.is_empty() && !known.contains(column.name));
        for column in missing {
            transaction.run(&add_column(dialect, table, column)).await?;
        }
        for definition in define(dialect, table) {
            transaction.run(&definition).await?;
        }
    }
    Ok(())
}

/// Names of the columns that a table has; none if there is no such table.
async fn columns(transaction: &mut Transaction, table: &str) -> Result<HashSet<String>, Failure> {
    let text = match transaction.dialect() {
        Dialect::Sqlite => "SELECT name FROM pragma_table_info(?)",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS text) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = ?"
        }
    };
    let statement = transaction.statement(text).bind(table);
    let mut names = HashSet::new();
    for mut row in transaction.query(statement).await? {
        names.insert(row.text()?);
    }
    Ok(names)
}

/// Layout 2 counts the files of each level per partition.
async fn count_levels(transaction: &mut Transaction) -> Result<(), Failure> {
    let of = |what: &str, level: &str| {
        format!(
            "(SELECT CAST(COALESCE({what}, 0) AS BIGINT) FROM cn_file f WHERE f.table_id = cn_partition.table_id \
             AND f.partition_id = cn_partition.partition_id AND f.end_txn = {LIVE} AND f.level {level} AND f.format <> 'inline')"
        )
    };
    let text = format!(
        "UPDATE cn_partition SET fresh_files = {}, fresh_bytes = {}, merged_files = {}, merged_bytes = {}",
        of("COUNT(*)", "<= 0"),
        of("SUM(f.size_bytes)", "<= 0"),
        of("COUNT(*)", "= 1"),
        of("SUM(f.size_bytes)", "= 1"),
    );
    transaction.run(&text).await
}

/// A transaction that no other process's migration or first start runs beside.
pub(crate) async fn lock(database: &Database) -> Result<Transaction, Failure> {
    let mut transaction = database.write().await?;
    if transaction.dialect() == Dialect::Postgres {
        let statement = transaction.statement("SELECT 1 FROM pg_advisory_xact_lock(?)").bind(MIGRATION_LOCK);
        transaction.query(statement).await?;
    }
    Ok(transaction)
}

/// A fact of `cn_meta`.
async fn fact(transaction: &mut Transaction, name: &str) -> Result<Option<String>, Failure> {
    let statement = transaction.statement("SELECT value FROM cn_meta WHERE name = ?").bind(name);
    Ok(transaction.row(statement).await?.map(|mut row| row.text()).transpose()?)
}

/// What verifiers of unknown users are derived from; made once per database.
pub(crate) async fn server_secret(database: &Database, ids: &Ids) -> Result<String, Failure> {
    let mut transaction = lock(database).await?;
    let name = "scram_secret";
    let secret = match fact(&mut transaction, name).await? {
        Some(secret) => secret,
        None => {
            let secret = hex::encode(ids.bytes::<32>());
            transaction.insert(&META, &[vec![name.into(), secret.as_str().into()]]).await?;
            secret
        }
    };
    transaction.commit().await?;
    Ok(secret)
}
