//! Rows of `cn_token`.

use cenote_vocab::{CatalogId, Micros, Permissions, Scope, Txn};

use super::{Cell, Database, Failure, Row, Transaction};
use crate::credential::{Verifier, permissions_from_text, permissions_text};
use crate::registry::TOKEN;
use crate::{Error, Grant, Token};

const COLUMNS: &str = "t.token_id, t.token_uuid, t.name, t.description, t.permissions, t.grants, t.default_database, \
     t.created_us, t.expires_us, t.last_used_us, t.enabled";

/// A token with what proves it.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) token: Token,
    pub(crate) verifier: Verifier,
    pub(crate) changed: Txn,
}

fn decode(row: &mut Row) -> Result<Token, Error> {
    let (id, uuid, name, description) = (row.int()?, row.uuid()?, row.text()?, row.text()?);
    let permissions: Permissions = permissions_from_text(&row.text()?)?;
    let grants: Vec<Grant> = serde_json::from_str(&row.text()?)
        .map_err(|error| Error::Corrupt(format!("grants of token {id}: {error}")))?;
    Ok(Token {
        id,
        uuid,
        name,
        description,
        permissions,
        grants,
        default_database: row.optional_text()?,
        created: Micros(row.int()?),
        expires: row.optional_int()?.map(Micros),
        last_used: row.optional_int()?.map(Micros),
        enabled: row.flag()?,
    })
}

/// All tokens of a catalog's tenant.
pub(crate) async fn list(transaction: &mut Transaction, catalog: CatalogId) -> Result<Vec<Token>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_token t WHERE t.catalog_id = ? ORDER BY t.token_id");
    let statement = transaction.statement(&text).bind(catalog.0);
    let mut rows = transaction.query(statement).await?;
    Ok(rows.iter_mut().map(decode).collect::<Result<_, _>>()?)
}

/// The token that has a secret with this hash, and whose it is.
pub(crate) async fn by_hash(database: &Database, hash: &[u8; 32]) -> Result<Option<(Scope, Token)>, Failure> {
    let text = format!(
        "SELECT c.tenant, t.catalog_id, {COLUMNS} FROM cn_token t \
         JOIN cn_catalog c ON c.catalog_id = t.catalog_id WHERE t.secret_hash = ?"
    );
    let Some(mut row) = database.row(database.statement(&text).bind(*hash)).await? else { return Ok(None) };
    let (tenant, catalog) = (row.text()?, CatalogId(row.int()?));
    Ok(Some((Scope::from_authentication(&tenant, catalog), decode(&mut row)?)))
}

/// The token of this name, with what proves it to SCRAM, and whose it is.
pub(crate) async fn by_name(
    database: &Database,
    tenant: &str,
    name: &str,
) -> Result<Option<(Scope, Token, Verifier)>, Failure> {
    let text = format!(
        "SELECT c.tenant, t.catalog_id, t.secret_hash, t.scram_salt, t.scram_iterations, t.stored_key, t.server_key, \
         {COLUMNS} FROM cn_catalog c JOIN cn_token t ON t.catalog_id = c.catalog_id WHERE c.tenant = ? AND t.name = ?"
    );
    let statement = database.statement(&text).bind(tenant).bind(name);
    let Some(mut row) = database.row(statement).await? else { return Ok(None) };
    let (tenant, catalog) = (row.text()?, CatalogId(row.int()?));
    let verifier = Verifier {
        hash: row.array()?,
        salt: row.bytes()?,
        iterations: u32::try_from(row.int()?).map_err(|_| Error::Corrupt("iterations of a token".into()))?,
        stored_key: row.array()?,
        server_key: row.array()?,
    };
    Ok(Some((Scope::from_authentication(&tenant, catalog), decode(&mut row)?, verifier)))
}

/// The token of this id.
pub(crate) async fn by_id(
    database: &Database,
    catalog: CatalogId,
    id: i64,
) -> Result<Option<Token>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_token t WHERE t.catalog_id = ? AND t.token_id = ?");
    let row = database.row(database.statement(&text).bind(catalog.0).bind(id)).await?;
    Ok(row.map(|mut row| decode(&mut row)).transpose()?)
}

/// Adds a token.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    row: &TokenRow,
) -> Result<(), Failure> {
    let (token, verifier) = (&row.token, &row.verifier);
    let cells = vec![
        catalog.0.into(),
        token.id.into(),
        token.uuid.into(),
        token.name.as_str().into(),
        token.description.as_str().into(),
        verifier.hash.into(),
        verifier.salt.clone().into(),
        i64::from(verifier.iterations).into(),
        verifier.stored_key.into(),
        verifier.server_key.into(),
        permissions_text(token.permissions).into(),
        grants_text(token)?.into(),
        token.default_database.clone().into(),
        token.created.0.into(),
        token.expires.map(|expires| expires.0).into(),
        Cell::Null,
        token.enabled.into(),
        row.changed.into(),
    ];
    transaction.insert(&TOKEN, &[cells]).await
}

fn grants_text(token: &Token) -> Result<String, Error> {
    serde_json::to_string(&token.grants).map_err(|error| Error::Internal(error.to_string()))
}

/// Stores what may change of a token besides its secret.
pub(crate) async fn update(
    transaction: &mut Transaction,
    catalog: CatalogId,
    token: &Token,
    changed: Txn,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_token SET name = ?, description = ?, permissions = ?, grants = ?, expires_us = ?, enabled = ?, \
             changed_txn = ? WHERE catalog_id = ? AND token_id = ?",
        )
        .bind(token.name.as_str())
        .bind(token.description.as_str())
        .bind(permissions_text(token.permissions))
        .bind(grants_text(token)?)
        .bind(token.expires.map(|expires| expires.0))
        .bind(token.enabled)
        .bind(changed)
        .bind(catalog.0)
        .bind(token.id);
    transaction.execute(statement).await?;
    Ok(())
}

/// Stores another secret's hash and verifier.
pub(crate) async fn update_secret(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: i64,
    verifier: &Verifier,
    changed: Txn,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_token SET secret_hash = ?, scram_salt = ?, scram_iterations = ?, stored_key = ?, server_key = ?, \
             changed_txn = ? WHERE catalog_id = ? AND token_id = ?",
        )
        .bind(verifier.hash)
        .bind(verifier.salt.clone())
        .bind(i64::from(verifier.iterations))
        .bind(verifier.stored_key)
        .bind(verifier.server_key)
        .bind(changed)
        .bind(catalog.0)
        .bind(id);
    transaction.execute(statement).await?;
    Ok(())
}

/// Removes a token.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: i64,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_token WHERE catalog_id = ? AND token_id = ?")
        .bind(catalog.0)
        .bind(id);
    transaction.execute(statement).await?;
    Ok(())
}

/// True if there is a token of any tenant.
pub(crate) async fn any(database: &Database) -> Result<bool, Failure> {
    Ok(database.row(database.statement("SELECT 1 FROM cn_token LIMIT 1")).await?.is_some())
}

/// Notes when a token was used.
pub(crate) async fn touch(
    database: &Database,
    catalog: CatalogId,
    id: i64,
    now: Micros,
) -> Result<(), Failure> {
    let mut transaction = database.write().await?;
    let statement = transaction
        .statement("UPDATE cn_token SET last_used_us = ? WHERE catalog_id = ? AND token_id = ?")
        .bind(now.0)
        .bind(catalog.0)
        .bind(id);
    transaction.execute(statement).await?;
    transaction.commit().await
}
