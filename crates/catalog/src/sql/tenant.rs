//! Tenants: rows of `cn_catalog`, and the state in `cn_head`.

use cenote_vocab::{CatalogId, Micros, Scope, Txn};
use uuid::Uuid;

use super::{Database, Failure, Row, Transaction, head, object};
use crate::Error;
use crate::registry::{META, TABLES};
use crate::tenant::{NewTenant, OPERATING, Tenant, TenantChange, TenantState, insert, kept};

/// Catalog ids end here.
const CATALOG_MAX: i64 = 1 << 20;
/// The largest catalog id that was ever given, once tenants were forgotten.
const GIVEN: &str = "catalogs_given";
/// Objects of a catalog have ids from its own times this on.
const OBJECTS: i64 = 1 << 32;

/// All tenants by name.
pub(crate) async fn list(transaction: &mut Transaction) -> Result<Vec<Tenant>, Failure> {
    let statement = transaction.statement(
        "SELECT c.tenant, c.catalog_id, c.catalog_uuid, h.state, c.state_us, c.data_root, c.description, c.created_us, \
         c.changed_txn FROM cn_catalog c JOIN cn_head h ON h.catalog_id = c.catalog_id ORDER BY c.tenant",
    );
    let tenant = |row: &mut Row| -> Result<Tenant, Error> {
        let (name, catalog) = (row.text()?, CatalogId(row.int()?));
        Ok(Tenant {
            scope: Scope::from_authentication(&name, catalog),
            uuid: row.uuid()?,
            state: TenantState::of_stored(row.optional_text()?.as_deref())?,
            since: row.optional_int()?.map(Micros),
            storage_root: Some(row.text()?).filter(|root| !root.is_empty()),
            description: row.optional_text()?,
            created: Micros(row.int()?),
            changed: row.optional_int()?.map(Txn),
        })
    };
    let mut rows = transaction.query(statement).await?;
    Ok(rows.iter_mut().map(tenant).collect::<Result<_, _>>()?)
}

/// The state of a catalog's tenant; one that was forgotten was dropped.
pub(crate) async fn state(transaction: &mut Transaction, catalog: CatalogId) -> Result<TenantState, Failure> {
    let statement = transaction.statement("SELECT state FROM cn_head WHERE catalog_id = ?").bind(catalog.0);
    match transaction.row(statement).await? {
        Some(mut row) => Ok(TenantState::of_stored(row.optional_text()?.as_deref())?),
        None => Ok(TenantState::Dropped),
    }
}

/// Carries out what a commit of the operating tenant says of tenants.
pub(crate) async fn apply(
    transaction: &mut Transaction,
    change: &TenantChange,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    match change {
        TenantChange::Create(new) => create(transaction, new, (txn, now)).await,
        TenantChange::SetState { tenant, name, state } => {
            let catalog = other(transaction, *tenant, name).await?;
            head::lock(transaction, catalog).await?;
            set_state(transaction, catalog, *state, (txn, now)).await
        }
        TenantChange::Describe { tenant, name, description } => {
            let catalog = find(transaction, *tenant, name).await?;
            let statement = match description {
                Some(text) => transaction
                    .statement("UPDATE cn_catalog SET description = ?, changed_txn = ? WHERE catalog_id = ?")
                    .bind(text.as_str()),
                None => transaction.statement(
                    "UPDATE cn_catalog SET description = NULL, changed_txn = ? WHERE catalog_id = ?",
                ),
            };
            transaction.execute(statement.bind(txn).bind(catalog.0)).await?;
            Ok(())
        }
        TenantChange::Drop { tenant, name, cascade } => {
            let catalog = other(transaction, *tenant, name).await?;
            let row = head::lock(transaction, catalog).await?;
            if !cascade {
                let names = object::names(transaction, catalog, row.txn, row.ddl_txn).await?;
                let pipelines = count_pipelines(transaction, catalog).await?;
                if let Some(what) = kept(&names, pipelines) {
                    return Err(Error::TenantNotEmpty { tenant: name.clone(), what }.into());
                }
            }
            for text in [
                "DELETE FROM cn_token WHERE catalog_id = ?",
                "DELETE FROM cn_grant WHERE catalog_id = ?",
                "DELETE FROM cn_role_member WHERE catalog_id = ?",
                "DELETE FROM cn_role WHERE catalog_id = ?",
                "DELETE FROM cn_signing_key WHERE catalog_id = ?",
            ] {
                let statement = transaction.statement(text).bind(catalog.0);
                transaction.execute(statement).await?;
            }
            set_state(transaction, catalog, TenantState::Dropped, (txn, now)).await
        }
    }
}

async fn create(
    transaction: &mut Transaction,
    new: &NewTenant,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let tenants = list(transaction).await?;
    if let Some(other) = tenants.iter().find(|tenant| tenant.scope.tenant() == new.name) {
        return Err(match other.state {
            TenantState::Dropped => Error::TenantCollected(new.name.clone()),
            TenantState::Active | TenantState::Suspended => Error::TenantExists(new.name.clone()),
        }
        .into());
    }
    let there = tenants.iter().map(|tenant| tenant.scope.catalog().0).max().unwrap_or(0);
    let id = there.max(given(transaction).await?) + 1;
    if id >= CATALOG_MAX {
        let text = format!("the deployment has made all of its {CATALOG_MAX} tenants");
        return Err(Error::Limit(text).into());
    }
    insert(transaction, CatalogId(id), new, (txn, now)).await
}

async fn given(transaction: &mut Transaction) -> Result<i64, Failure> {
    let statement = transaction.statement("SELECT value FROM cn_meta WHERE name = ?").bind(GIVEN);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(0) };
    let text = row.text()?;
    Ok(text.parse().map_err(|_| Error::Corrupt(format!("{GIVEN} {text:?} is no number")))?)
}

/// The catalog of the tenant that was meant, if it is not the operating one.
async fn other(transaction: &mut Transaction, tenant: Uuid, name: &str) -> Result<CatalogId, Failure> {
    match find(transaction, tenant, name).await? {
        OPERATING => {
            let text = "the operating tenant can be neither suspended nor dropped";
            Err(Error::Invalid(text.to_owned()).into())
        }
        catalog => Ok(catalog),
    }
}

/// The catalog of the tenant that was meant.
async fn find(transaction: &mut Transaction, tenant: Uuid, name: &str) -> Result<CatalogId, Failure> {
    let statement =
        transaction.statement("SELECT catalog_id FROM cn_catalog WHERE catalog_uuid = ?").bind(tenant);
    let Some(mut row) = transaction.row(statement).await? else {
        return Err(Error::TenantNotFound(name.to_owned()).into());
    };
    Ok(CatalogId(row.int()?))
}

async fn count_pipelines(transaction: &mut Transaction, catalog: CatalogId) -> Result<usize, Failure> {
    let statement = transaction
        .statement("SELECT CAST(COUNT(*) AS BIGINT) FROM cn_pipeline WHERE catalog_id = ?")
        .bind(catalog.0);
    let count = transaction.row(statement).await?.map_or(Ok(0), |mut row| row.int())?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

async fn set_state(
    transaction: &mut Transaction,
    catalog: CatalogId,
    state: TenantState,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let statement = transaction
        .statement("UPDATE cn_head SET state = ? WHERE catalog_id = ?")
        .bind(state.word())
        .bind(catalog.0);
    transaction.execute(statement).await?;
    let statement = transaction
        .statement("UPDATE cn_catalog SET state_us = ?, changed_txn = ? WHERE catalog_id = ?")
        .bind(now.0)
        .bind(txn)
        .bind(catalog.0);
    transaction.execute(statement).await?;
    Ok(())
}

/// Removes all rows of a dropped tenant, table by table: what a crash leaves the next call removes. Its id is never given again.
pub(crate) async fn forget(database: &Database, catalog: CatalogId) -> Result<(), Failure> {
    let mut transaction = database.write().await?;
    let is_dropped = state(&mut transaction, catalog).await? == TenantState::Dropped;
    if !is_dropped {
        return Err(Error::Internal("only a tenant that was dropped is forgotten".to_owned()).into());
    }
    let known = given(&mut transaction).await?;
    let row = vec![GIVEN.into(), known.max(catalog.0).to_string().into()];
    transaction.upsert(&META, &["value"], &[row]).await?;
    let statement = transaction
        .statement("DELETE FROM cn_meta WHERE name = ?")
        .bind(format!("events_floor/{catalog}").as_str());
    transaction.execute(statement).await?;
    transaction.commit().await?;
    let is_place = |name: &str| ["cn_head", "cn_catalog"].contains(&name);
    for table in TABLES.iter().filter(|table| !is_place(table.name)) {
        let has = |name: &str| table.columns.iter().any(|column| column.name == name);
        let statement = if has("catalog_id") {
            let text = format!("DELETE FROM {} WHERE catalog_id = ?", table.name);
            database.statement(&text).bind(catalog.0)
        } else if has("table_id") {
            let text = format!("DELETE FROM {} WHERE table_id >= ? AND table_id < ?", table.name);
            database.statement(&text).bind(catalog.0 * OBJECTS).bind((catalog.0 + 1) * OBJECTS)
        } else {
            continue; // facts and leases are nobody's
        };
        let mut transaction = database.write().await?;
        transaction.execute(statement).await?;
        transaction.commit().await?;
    }
    // Last the rows by which it is found.
    let mut transaction = database.write().await?;
    for text in ["DELETE FROM cn_head WHERE catalog_id = ?", "DELETE FROM cn_catalog WHERE catalog_id = ?"] {
        let statement = transaction.statement(text).bind(catalog.0);
        transaction.execute(statement).await?;
    }
    transaction.commit().await
}

/// Databases of layouts before 11 know no role `operator`: the oldest token of an admin gets it. A role that people made under this
/// name keeps its members and grants under another.
pub(crate) async fn begin_operator(transaction: &mut Transaction) -> Result<(), Failure> {
    for text in [
        "UPDATE cn_role SET name = 'operator (made)' WHERE name = 'operator'",
        "UPDATE cn_role_member SET role = 'operator (made)' WHERE role = 'operator'",
        "UPDATE cn_role_member SET member = 'role:operator (made)' WHERE member = 'role:operator'",
        "UPDATE cn_grant SET principal = 'role:operator (made)' WHERE principal = 'role:operator'",
        "INSERT INTO cn_role_member (catalog_id, role, member, changed_txn) \
         SELECT h.catalog_id, 'operator', 'token:' || CAST(t.token_id AS TEXT), h.txn FROM cn_head h \
         JOIN cn_token t ON t.catalog_id = h.catalog_id WHERE h.catalog_id = 1 AND t.token_id = \
         (SELECT MIN(a.token_id) FROM cn_token a WHERE a.catalog_id = 1 AND a.enabled = 1 \
         AND a.expires_us IS NULL AND a.permissions LIKE '%admin%')",
    ] {
        transaction.run(text).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_says_whose_its_rows_are() {
        for table in TABLES.iter().filter(|table| !["cn_meta", "cn_leases"].contains(&table.name)) {
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            assert!(names.contains(&"catalog_id") || names.contains(&"table_id"), "{}", table.name);
        }
    }
}
