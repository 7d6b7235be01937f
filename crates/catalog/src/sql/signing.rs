//! Rows of `cn_signing_key`.

use cenote_vocab::{CatalogId, Micros, Scope};

use super::{Cell, Database, Failure, Transaction};
use crate::SigningKey;
use crate::registry::SIGNING_KEY;

/// The key that signs, if there is one.
pub(crate) async fn current(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Option<SigningKey>, Failure> {
    let text = "SELECT kid, secret FROM cn_signing_key WHERE catalog_id = ? AND retired_us IS NULL \
                ORDER BY created_us DESC, kid LIMIT 1";
    let Some(mut row) = transaction.row(transaction.statement(text).bind(catalog.0)).await? else {
        return Ok(None);
    };
    Ok(Some(SigningKey { kid: row.text()?, secret: row.array()? }))
}

/// The key of this id, if it signs or was retired after `since`, and whose it is.
pub(crate) async fn by_id(
    database: &Database,
    kid: &str,
    since: Micros,
) -> Result<Option<(Scope, SigningKey)>, Failure> {
    let text = "SELECT c.tenant, k.catalog_id, k.kid, k.secret FROM cn_signing_key k \
                JOIN cn_catalog c ON c.catalog_id = k.catalog_id \
                WHERE k.kid = ? AND (k.retired_us IS NULL OR k.retired_us > ?)";
    let statement = database.statement(text).bind(kid).bind(since.0);
    let Some(mut row) = database.row(statement).await? else { return Ok(None) };
    let (tenant, catalog) = (row.text()?, CatalogId(row.int()?));
    let key = SigningKey { kid: row.text()?, secret: row.array()? };
    Ok(Some((Scope::from_authentication(&tenant, catalog), key)))
}

/// Ends the key that signs, and forgets those that ended before `forget`.
pub(crate) async fn retire(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
    forget: Micros,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_signing_key WHERE catalog_id = ? AND retired_us <= ?")
        .bind(catalog.0)
        .bind(forget.0);
    transaction.execute(statement).await?;
    let statement = transaction
        .statement("UPDATE cn_signing_key SET retired_us = ? WHERE catalog_id = ? AND retired_us IS NULL")
        .bind(now.0)
        .bind(catalog.0);
    transaction.execute(statement).await?;
    Ok(())
}

/// Adds a key that signs.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    key: &SigningKey,
    now: Micros,
) -> Result<(), Failure> {
    let row = vec![key.kid.as_str().into(), catalog.0.into(), key.secret.into(), now.0.into(), Cell::Null];
    transaction.insert(&SIGNING_KEY, &[row]).await
}
