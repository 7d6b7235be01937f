//! Rows of `cn_catalog` and `cn_head`.

use cenote_vocab::{CatalogId, Micros, Scope, Txn};
use uuid::Uuid;

use super::{Cell, Database, Failure, Row, Transaction};
use crate::committer::HeadRow;
use crate::registry::{CATALOG, HEAD};
use crate::{Error, TenantState};

const COLUMNS: &str = "txn, committed_us, ddl_txn, next_object, next_file, state";

/// The head row, locked until the transaction ends: every change of a catalog starts with this. `TenantGone` once its tenant was
/// dropped.
pub(crate) async fn lock(transaction: &mut Transaction, catalog: CatalogId) -> Result<HeadRow, Failure> {
    let text =
        format!("SELECT {COLUMNS} FROM cn_head WHERE catalog_id = ?{}", transaction.dialect().for_update());
    let statement = transaction.statement(&text).bind(catalog.0);
    let row = transaction.row(statement).await?;
    let row = decode(row, catalog)?;
    match row.state {
        TenantState::Dropped => Err(Error::TenantGone.into()),
        TenantState::Active | TenantState::Suspended => Ok(row),
    }
}

/// The head row as it is now.
pub(crate) async fn read(database: &Database, catalog: CatalogId) -> Result<HeadRow, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_head WHERE catalog_id = ?");
    let row = database.row(database.statement(&text).bind(catalog.0)).await?;
    Ok(decode(row, catalog)?)
}

/// The head row as a transaction sees it.
pub(crate) async fn read_in(transaction: &mut Transaction, catalog: CatalogId) -> Result<HeadRow, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_head WHERE catalog_id = ?");
    let row = transaction.row(transaction.statement(&text).bind(catalog.0)).await?;
    Ok(decode(row, catalog)?)
}

fn decode(row: Option<Row>, catalog: CatalogId) -> Result<HeadRow, Error> {
    let mut row = row.ok_or_else(|| Error::Corrupt(format!("catalog {catalog} has no head")))?;
    Ok(HeadRow {
        txn: Txn(row.int()?),
        committed: Micros(row.int()?),
        ddl_txn: Txn(row.int()?),
        next_object: row.int()?,
        next_file: row.int()?,
        state: TenantState::of_stored(row.optional_text()?.as_deref())?,
    })
}

/// Stores the head row, which this transaction has locked.
pub(crate) async fn write(
    transaction: &mut Transaction,
    catalog: CatalogId,
    head: &HeadRow,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_head SET txn = ?, committed_us = ?, ddl_txn = ?, next_object = ?, next_file = ? \
             WHERE catalog_id = ?",
        )
        .bind(head.txn)
        .bind(head.committed.0)
        .bind(head.ddl_txn)
        .bind(head.next_object)
        .bind(head.next_file)
        .bind(catalog.0);
    match transaction.execute(statement).await? {
        1 => Ok(()),
        rows => Err(Failure::Inconsistent(format!("head of catalog {catalog} has {rows} rows"))),
    }
}

/// All catalogs whose tenants were not dropped: tenant and id.
pub(crate) async fn scopes(transaction: &mut Transaction) -> Result<Vec<Scope>, Failure> {
    let statement = transaction
        .statement(
            "SELECT c.tenant, c.catalog_id FROM cn_catalog c JOIN cn_head h ON h.catalog_id = c.catalog_id \
             WHERE h.state IS NULL OR h.state <> ? ORDER BY c.catalog_id",
        )
        .bind(TenantState::Dropped.word());
    let mut scopes = Vec::new();
    for mut row in transaction.query(statement).await? {
        let tenant = row.text()?;
        scopes.push(Scope::from_authentication(&tenant, CatalogId(row.int()?)));
    }
    Ok(scopes)
}

/// What is said of a new tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantFacts<'a> {
    pub(crate) storage_root: Option<&'a str>,
    pub(crate) description: Option<&'a str>,
    /// By which transaction of the operating tenant.
    pub(crate) changed: Txn,
}

/// Adds a catalog and its head row.
pub(crate) async fn create(
    transaction: &mut Transaction,
    scope: &Scope,
    name: &str,
    uuid: Uuid,
    head: &HeadRow,
    about: TenantFacts<'_>,
) -> Result<(), Failure> {
    let catalog = scope.catalog().0;
    let row = vec![
        catalog.into(),
        scope.tenant().into(),
        name.into(),
        uuid.into(),
        about.storage_root.unwrap_or("").into(),
        "{}".into(),
        head.committed.0.into(),
        about.description.map(str::to_owned).into(),
        Cell::Null,
        about.changed.into(),
    ];
    transaction.insert(&CATALOG, &[row]).await?;
    let row = vec![
        catalog.into(),
        head.txn.into(),
        head.committed.0.into(),
        head.ddl_txn.into(),
        head.next_object.into(),
        head.next_file.into(),
        Cell::Null,
    ];
    transaction.insert(&HEAD, &[row]).await
}
