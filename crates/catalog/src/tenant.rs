//! Tenants, each with its catalog `lake` and schema `default`. Whoever operates the deployment makes, suspends and drops them: as
//! commits of the tenant that was there first.

use std::collections::BTreeMap;

use cenote_vocab::{CatalogId, LIVE, Micros, SchemaId, Scope, Txn};
use uuid::Uuid;

use crate::committer::{HeadRow, SchemaRow, TxnRow, Writes, object_id};
use crate::inner::Inner;
use crate::sql::head::TenantFacts;
use crate::sql::{Failure, Transaction, head, history, migrate, object, tenant};
use crate::{Catalog, Commit, Committed, Error, Facts, Names, ObjectChange, SchemaDef, grants};

/// The catalog of each tenant.
pub const CATALOG_NAME: &str = "lake";
/// The tenant that operates the deployment: the first one, which is always there. The role `operator` is in no other.
pub const OPERATING_TENANT: &str = "default";
/// Its catalog.
pub(crate) const OPERATING: CatalogId = CatalogId(1);
/// The schema that a catalog starts with.
const SCHEMA_NAME: &str = "default";
/// Object numbers count from here.
const FIRST_OBJECT: i64 = 16_384;
/// The most bytes of a tenant's description, and of its storage root.
const TEXT_BYTES_MAX: usize = 1_000;

/// Whether a tenant may do anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TenantState {
    /// It may.
    #[default]
    Active,
    /// Its principals are let in nowhere and nothing of it runs; nothing of it is deleted either.
    Suspended,
    /// It is gone for good: its files wait for their collection.
    Dropped,
}

impl TenantState {
    /// `active`, …: as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Dropped => "dropped",
        }
    }

    /// NULL is what catalogs have from their beginning.
    pub(crate) fn of_stored(text: Option<&str>) -> Result<Self, Error> {
        let known = [Self::Active, Self::Suspended, Self::Dropped];
        match text {
            None => Ok(Self::Active),
            Some(text) => known
                .into_iter()
                .find(|state| state.word() == text)
                .ok_or_else(|| Error::Corrupt(format!("state {text:?} of a tenant"))),
        }
    }
}

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its name and catalog, for the node's own work.
    pub scope: Scope,
    /// Its own, never reused.
    pub uuid: Uuid,
    /// Whether it may do anything.
    pub state: TenantState,
    /// Since when, if it was changed ever.
    pub since: Option<Micros>,
    /// Where its files are; `None`: where those of the deployment are.
    pub storage_root: Option<String>,
    /// Free text of the operator.
    pub description: Option<String>,
    /// When it was made.
    pub created: Micros,
    /// By which transaction of the operating tenant it was changed last; `None`: never by one.
    pub changed: Option<Txn>,
}

/// What a new tenant should be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTenant {
    /// Minted by the caller.
    pub uuid: Uuid,
    /// Of its schema `default`.
    pub schema_uuid: Uuid,
    /// Of the first transaction of its catalog.
    pub commit_id: Uuid,
    /// Checked by [`check_tenant`].
    pub name: String,
    /// Where its files are; `None`: where those of the deployment are.
    pub storage_root: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// A change of tenants. What was named keeps its UUID, so that another that takes the name meanwhile is not changed.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantChange {
    /// `CREATE TENANT`
    Create(NewTenant),
    /// `ALTER TENANT … SUSPEND | RESUME`
    SetState {
        /// Which.
        tenant: Uuid,
        /// Its name.
        name: String,
        /// Active or suspended.
        state: TenantState,
    },
    /// `ALTER TENANT … SET (description = …)`
    Describe {
        /// Which.
        tenant: Uuid,
        /// Its name.
        name: String,
        /// `None` takes it away.
        description: Option<String>,
    },
    /// `DROP TENANT`
    Drop {
        /// Which.
        tenant: Uuid,
        /// Its name.
        name: String,
        /// With its objects.
        cascade: bool,
    },
}

impl TenantChange {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Create(new) => &new.name,
            Self::SetState { name, .. } | Self::Describe { name, .. } | Self::Drop { name, .. } => name,
        }
    }

    pub(crate) fn tenant(&self) -> Uuid {
        match self {
            Self::Create(new) => new.uuid,
            Self::SetState { tenant, .. } | Self::Describe { tenant, .. } | Self::Drop { tenant, .. } => {
                *tenant
            }
        }
    }

    /// What readers of events are told.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Self::Create(_) => "tenant.created",
            Self::SetState { state: TenantState::Suspended, .. } => "tenant.suspended",
            Self::SetState { .. } => "tenant.resumed",
            Self::Describe { .. } => "tenant.altered",
            Self::Drop { .. } => "tenant.dropped",
        }
    }
}

/// The name as it is stored, in small letters: `[a-z0-9][a-z0-9_-]{0,62}`.
pub fn check_tenant(name: &str) -> Result<String, Error> {
    let name = name.to_ascii_lowercase();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if first && name.len() <= 63 && name.chars().all(inner) {
        return Ok(name);
    }
    Err(Error::TenantName(format!(
        "tenant name {name:?} must have 1 to 63 of a-z, 0-9, _ and -, and start with a letter or digit"
    )))
}

/// Fails for a text of a tenant that cannot be stored.
pub fn check_tenant_text(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return Err(Error::Invalid(format!(
            "{what} of a tenant has at most {TEXT_BYTES_MAX} bytes and no NUL character"
        )));
    }
    Ok(())
}

impl Catalog {
    /// All tenants by name, those too that were dropped and whose files are still there.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, Error> {
        list(&self.inner).await
    }

    /// Scopes of the tenants that may do something, for work that the node does by itself.
    pub async fn working_scopes(&self) -> Result<Vec<Scope>, Error> {
        working(&self.inner).await
    }

    /// Changes tenants: a commit of the operating one.
    pub async fn change_tenant(&self, facts: Facts, change: TenantChange) -> Result<Committed, Error> {
        let scope = self.tenant(OPERATING_TENANT).await?;
        let scope = scope.ok_or_else(|| Error::Corrupt(format!("tenant {OPERATING_TENANT} is gone")))?;
        let commit = Commit {
            commit_id: self.inner.ids.uuid(),
            scope,
            producers: Vec::new(),
            facts,
            tables: Vec::new(),
            objects: vec![ObjectChange::Tenant(Box::new(change))],
        };
        self.apply(commit).await
    }

    /// Makes a tenant with its `lake` and schema `default`. `TenantExists` if the name is taken.
    pub async fn create_tenant(&self, name: &str) -> Result<Scope, Error> {
        let ids = &self.inner.ids;
        let name = check_tenant(name)?;
        let new = NewTenant {
            uuid: ids.uuid(),
            schema_uuid: ids.uuid(),
            commit_id: ids.uuid(),
            name: name.clone(),
            storage_root: None,
            description: None,
        };
        let facts = Facts { operation: "create_tenant".to_owned(), ..Facts::default() };
        self.change_tenant(facts, TenantChange::Create(new)).await?;
        self.tenant(&name).await?.ok_or(Error::TenantGone)
    }

    /// Whether the tenant may do anything, as old as rights may be: at once in the process that changed it, 30 s elsewhere.
    pub async fn tenant_state(&self, scope: &Scope) -> Result<TenantState, Error> {
        Ok(grants::fresh(&self.inner, scope.catalog()).await?.book().state)
    }

    /// Fails while the tenant may do nothing, or once it is gone.
    pub async fn check_tenant_works(&self, scope: &Scope) -> Result<(), Error> {
        works(self.tenant_state(scope).await?, scope)
    }

    /// Forgets a tenant that was dropped, once nothing of it is in the storage: all its rows go, and its name is free again.
    pub async fn forget_tenant(&self, scope: &Scope) -> Result<(), Error> {
        tenant::forget(&self.inner.database, scope.catalog()).await?;
        let catalog = scope.catalog();
        self.inner.memory(catalog).forget();
        grants::refresh(&self.inner, catalog).await;
        Ok(())
    }

    /// Tells of each change of tenants by this process.
    pub fn tenant_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.tenant_changes.subscribe()
    }
}

async fn list(inner: &Inner) -> Result<Vec<Tenant>, Error> {
    let mut transaction = inner.database.read().await?;
    let tenants = tenant::list(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(tenants)
}

/// See [`Catalog::working_scopes`].
pub(crate) async fn working(inner: &Inner) -> Result<Vec<Scope>, Error> {
    let working = |tenant: Tenant| (tenant.state == TenantState::Active).then_some(tenant.scope);
    Ok(list(inner).await?.into_iter().filter_map(working).collect())
}

/// The error of somebody of a tenant that may do nothing.
pub(crate) fn works(state: TenantState, scope: &Scope) -> Result<(), Error> {
    match state {
        TenantState::Active => Ok(()),
        TenantState::Suspended => Err(Error::TenantSuspended(scope.tenant().to_owned())),
        TenantState::Dropped => Err(Error::TenantGone),
    }
}

/// After a commit that changed tenants: what is remembered of their rights is read again, and who waits is told.
pub(crate) async fn changed(inner: &Inner, changes: &[Uuid]) {
    match list(inner).await {
        Ok(tenants) => {
            for tenant in tenants.iter().filter(|tenant| changes.contains(&tenant.uuid)) {
                grants::refresh(inner, tenant.scope.catalog()).await;
            }
        }
        // Of which it was is not known: all are read again when somebody asks next.
        Err(_) => inner.access.lock().values().for_each(|access| access.doubt()),
    }
    inner.tenant_changes.send_modify(|changes| *changes += 1);
}

/// Makes the first tenant if there is none.
pub(crate) async fn create_first(inner: &Inner) -> Result<(), Error> {
    let mut transaction = migrate::lock(&inner.database).await?;
    if head::scopes(&mut transaction).await?.is_empty() {
        let new = NewTenant {
            commit_id: inner.ids.uuid(),
            uuid: inner.ids.uuid(),
            schema_uuid: inner.ids.uuid(),
            name: OPERATING_TENANT.to_owned(),
            storage_root: None,
            description: None,
        };
        insert(&mut transaction, OPERATING, &new, (Txn(1), inner.clock.now())).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Writes a new tenant's catalog, as of a transaction of the operating tenant.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    new: &NewTenant,
    (changed, now): (Txn, Micros),
) -> Result<(), Failure> {
    let scope = Scope::from_authentication(&new.name, catalog);
    let head = HeadRow {
        txn: Txn(1),
        committed: now,
        ddl_txn: Txn(1),
        next_object: FIRST_OBJECT + 1,
        next_file: 1,
        state: TenantState::Active,
    };
    let about = TenantFacts {
        storage_root: new.storage_root.as_deref(),
        description: new.description.as_deref(),
        changed,
    };
    head::create(transaction, &scope, CATALOG_NAME, new.uuid, &head, about).await?;
    let schema = SchemaRow {
        schema: SchemaDef {
            id: SchemaId(object_id(catalog.0, FIRST_OBJECT)),
            uuid: new.schema_uuid,
            name: SCHEMA_NAME.into(),
            properties: BTreeMap::new(),
        },
        begin: head.txn,
        end: LIVE,
    };
    let writes = Writes { schemas: vec![schema], ..Writes::default() };
    object::write(transaction, catalog, &writes).await?;
    let facts = Facts { operation: "create_catalog".into(), ..Facts::default() };
    let row = TxnRow { txn: head.txn, committed: now, commit_id: new.commit_id, facts };
    history::insert(transaction, catalog, &[row], &[]).await
}

/// What a tenant has that `DROP TENANT` without CASCADE does not take away, in words; `None` if there is nothing.
pub(crate) fn kept(names: &Names, pipelines: usize) -> Option<String> {
    let tables = names.tables().count();
    let schemas = names.schemas.keys().filter(|name| *name != SCHEMA_NAME).count();
    let parts = [(schemas, "schemas"), (tables, "tables and views"), (pipelines, "pipelines")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// All tenants' scopes, by tenant; of those that were dropped none.
pub(crate) async fn scopes(inner: &Inner) -> Result<BTreeMap<String, Scope>, Error> {
    let mut transaction = inner.database.read().await?;
    let scopes = head::scopes(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(scopes.into_iter().map(|scope| (scope.tenant().to_owned(), scope)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_small_letters_digits_and_two_signs() {
        let (longest, longer) = ("x".repeat(63), "x".repeat(64));
        let longest = longest.as_str();
        for (given, stored) in [("Acme", "acme"), ("0", "0"), ("a-b_c", "a-b_c"), (longest, longest)] {
            assert_eq!(check_tenant(given).expect(given), stored);
        }
        for wrong in ["", "-a", "_a", "a.b", "a/b", "a%b", "../a", "a b", "ä", "a\u{7}", longer.as_str()] {
            assert!(matches!(check_tenant(wrong), Err(Error::TenantName(_))), "{wrong:?}");
        }
    }

    #[test]
    fn states_are_stored_as_words() {
        for state in [TenantState::Active, TenantState::Suspended, TenantState::Dropped] {
            assert_eq!(TenantState::of_stored(Some(state.word())).expect("its own word"), state);
        }
        assert_eq!(TenantState::of_stored(None).expect("as it was made"), TenantState::Active);
        assert!(TenantState::of_stored(Some("asleep")).is_err());
    }
}
