//! Brings a database to the layout of this binary.

use cenote_vocab::Ids;

use super::{Database, Dialect, Failure, Transaction};
use crate::Error;
use crate::registry::{LAYOUT, META, define, definitions};

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
            let secret: String = ids.bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
            transaction.insert(&META, &[vec![name.into(), secret.as_str().into()]]).await?;
            secret
        }
    };
    transaction.commit().await?;
    Ok(secret)
}
