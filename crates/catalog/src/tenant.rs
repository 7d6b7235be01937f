//! Tenants, each with its catalog `lake` and schema `default`.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, LIVE, SchemaId, Scope, Txn};

use crate::committer::{HeadRow, SchemaRow, Writes, next_txn, object_id};
use crate::inner::Inner;
use crate::sql::{Failure, Transaction, head, history, migrate, object};
use crate::{Error, Facts, SchemaDef};

/// The catalog of each tenant.
pub const CATALOG_NAME: &str = "lake";
/// The schema that a catalog starts with.
const SCHEMA_NAME: &str = "default";
/// Object numbers count from here.
const FIRST_OBJECT: i64 = 16_384;
/// Catalog ids end here.
const CATALOG_MAX: i64 = 1 << 20;

/// Tenant and catalog names: `[a-z0-9][a-z0-9_-]{0,62}`.
fn check_name(name: &str) -> Result<(), Error> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if first && name.len() <= 63 && name.chars().all(inner) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "tenant name {name:?} must have 1 to 63 of a-z, 0-9, _ and -, and start with a letter or digit"
    )))
}

/// Makes a tenant. `Invalid` if the name is taken.
pub(crate) async fn create(inner: &Inner, name: &str) -> Result<Scope, Error> {
    check_name(name)?;
    let mut transaction = migrate::lock(&inner.database).await?;
    let scopes = head::scopes(&mut transaction).await?;
    if scopes.iter().any(|scope| scope.tenant() == name) {
        return Err(Error::Invalid(format!("tenant \"{name}\" already exists")));
    }
    let scope = insert(inner, &mut transaction, &scopes, name).await?;
    transaction.commit().await?;
    Ok(scope)
}

/// Makes the first tenant if there is none.
pub(crate) async fn create_first(inner: &Inner) -> Result<(), Error> {
    let mut transaction = migrate::lock(&inner.database).await?;
    let scopes = head::scopes(&mut transaction).await?;
    if scopes.is_empty() {
        insert(inner, &mut transaction, &scopes, "default").await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn insert(
    inner: &Inner,
    transaction: &mut Transaction,
    others: &[Scope],
    name: &str,
) -> Result<Scope, Failure> {
    let id = others.iter().map(|scope| scope.catalog().0).max().unwrap_or(0) + 1;
    if id >= CATALOG_MAX {
        return Err(Error::Limit(format!("database has all of its {CATALOG_MAX} catalogs")).into());
    }
    let scope = Scope::from_authentication(name, CatalogId(id));
    let mut head = HeadRow {
        txn: Txn(0),
        committed: cenote_vocab::Micros(0),
        ddl_txn: Txn(1),
        next_object: FIRST_OBJECT + 1,
        next_file: 1,
    };
    let facts = Facts { operation: "create_catalog".into(), ..Facts::default() };
    let row = next_txn(&mut head, inner, facts);
    head::create(transaction, &scope, CATALOG_NAME, inner.ids.uuid(), &head).await?;
    let schema = SchemaRow {
        schema: SchemaDef {
            id: SchemaId(object_id(id, FIRST_OBJECT)),
            uuid: inner.ids.uuid(),
            name: SCHEMA_NAME.into(),
            properties: BTreeMap::new(),
        },
        begin: head.txn,
        end: LIVE,
    };
    let writes = Writes { schemas: vec![schema], ..Writes::default() };
    object::write(transaction, scope.catalog(), &writes).await?;
    history::insert(transaction, scope.catalog(), &[row], &[]).await?;
    Ok(scope)
}

/// All tenants' scopes, by tenant.
pub(crate) async fn scopes(inner: &Inner) -> Result<BTreeMap<String, Scope>, Error> {
    let mut transaction = inner.database.read().await?;
    let scopes = head::scopes(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(scopes.into_iter().map(|scope| (scope.tenant().to_owned(), scope)).collect())
}
