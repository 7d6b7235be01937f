//! `CREATE TENANT`, `ALTER TENANT`, `DROP TENANT`, `SHOW TENANTS`: for who operates the deployment. Each is a commit of its own.

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use cenote_catalog::{
    Catalog, Facts, NewTenant, Object, Privilege, Tenant, TenantChange, TenantState, check_tenant,
    check_tenant_text,
};
use cenote_vocab::{ErrorKind, Fault};

use super::Answer;
use crate::Error;
use crate::parse::{TenantAlter, TenantStatement};
use crate::session::Inner;
use crate::system;

/// Columns of `system.access.tenants` that people look at first.
const SHOWN: [&str; 6] = ["name", "state", "state_since", "storage_root", "description", "created_at"];

/// Columns of `SHOW TENANTS`.
pub(crate) fn shown_columns() -> Vec<Field> {
    let all = system::tenant_columns();
    SHOWN.iter().filter_map(|name| all.field_with_name(name).ok().cloned()).collect()
}

/// `SHOW TENANTS`
pub(crate) async fn shown(session: &Inner) -> Result<Vec<ArrayRef>, Error> {
    let rows = system::rows(&session.facts(), "access", "tenants").await?;
    Ok(SHOWN.iter().filter_map(|name| rows.column_by_name(name).cloned()).collect())
}

/// Runs one of them.
pub(crate) async fn run(session: &Inner, statement: &TenantStatement) -> Result<Answer, Error> {
    session.refuse_in_transaction(statement.command())?;
    session.check_writable()?;
    session.require(Privilege::Manage, Object::Deployment)?;
    let catalog = &session.engine().lake().catalog;
    let done = Answer::done(statement.command());
    let (change, operation) = match statement {
        TenantStatement::Create { name, if_not_exists, storage_root, description } => {
            let asked = (name.as_str(), storage_root.as_deref(), description.as_deref());
            return match create(session, asked).await {
                Err(error) if *if_not_exists && error.sqlstate().0 == "42710" => {
                    Ok(done.with_notice(format!("{error}, skipping")))
                }
                other => other,
            };
        }
        TenantStatement::Alter { name, change } => {
            let found = find(catalog, name).await?;
            let (tenant, name) = (found.uuid, found.scope.tenant().to_owned());
            match change {
                TenantAlter::Describe(text) => {
                    check_tenant_text("the description", text)?;
                    let description = Some(text.clone()).filter(|text| !text.is_empty());
                    (TenantChange::Describe { tenant, name, description }, "alter_tenant")
                }
                TenantAlter::Suspend | TenantAlter::Resume => {
                    let (state, operation) = match change {
                        TenantAlter::Suspend => (TenantState::Suspended, "suspend_tenant"),
                        _ => (TenantState::Active, "resume_tenant"),
                    };
                    if found.state == state {
                        let text = format!("tenant \"{name}\" is {} already, skipping", state.word());
                        return Ok(done.with_notice(text));
                    }
                    (TenantChange::SetState { tenant, name, state }, operation)
                }
            }
        }
        TenantStatement::Drop { name, if_exists, cascade } => match find(catalog, name).await {
            Err(error) if *if_exists && error.kind() == ErrorKind::NotFound => {
                return Ok(done.with_notice(format!("{error}, skipping")));
            }
            found => {
                let found = found?;
                let (tenant, name) = (found.uuid, found.scope.tenant().to_owned());
                (TenantChange::Drop { tenant, name, cascade: *cascade }, "drop_tenant")
            }
        },
    };
    let committed = catalog.change_tenant(facts(session, operation), change).await?;
    Ok(done.with_txn(Some(committed.txn)))
}

async fn create(
    session: &Inner,
    (name, storage_root, description): (&str, Option<&str>, Option<&str>),
) -> Result<Answer, Error> {
    let name = check_tenant(name)?;
    for (what, text) in [("the description", description), ("the storage root", storage_root)] {
        text.map_or(Ok(()), |text| check_tenant_text(what, text))?;
    }
    let engine = session.engine();
    let (catalog, store, ids) = (&engine.lake().catalog, &engine.lake().store, &engine.lake().ids);
    if let Some(root) = storage_root {
        store.check_root(root).map_err(|error| Error::of(&error))?;
    }
    let _alone = engine.alone_with_tenants().await;
    // One that was dropped still has its name, and its root.
    if let Some(other) = catalog.tenants().await?.iter().find(|tenant| tenant.scope.tenant() == name) {
        return Err(match other.state {
            TenantState::Dropped => cenote_catalog::Error::TenantCollected(name),
            TenantState::Active | TenantState::Suspended => cenote_catalog::Error::TenantExists(name),
        }
        .into());
    }
    // Before it is there: not one of its objects comes to another place.
    match storage_root {
        Some(root) => store.mount(&name, root).map_err(|error| Error::of(&error))?,
        None => store.unmount(&name),
    }
    let new = NewTenant {
        uuid: ids.uuid(),
        schema_uuid: ids.uuid(),
        commit_id: ids.uuid(),
        name,
        storage_root: storage_root.map(str::to_owned),
        description: description.filter(|text| !text.is_empty()).map(str::to_owned),
    };
    let made = catalog.change_tenant(facts(session, "create_tenant"), TenantChange::Create(new)).await?;
    Ok(Answer::done("CREATE TENANT").with_txn(Some(made.txn)))
}

/// Names of tenants are none of the readers' of the operating tenant's history: the audit has them.
fn facts(session: &Inner, operation: &str) -> Facts {
    Facts { operation: operation.to_owned(), caller: session.caller(), ..Facts::default() }
}

/// The tenant of a name; one that was dropped is not there any more.
async fn find(catalog: &Catalog, name: &str) -> Result<Tenant, Error> {
    let wanted = check_tenant(name)?;
    let found = catalog.tenants().await?.into_iter().find(|tenant| tenant.scope.tenant() == wanted);
    let found = found.filter(|tenant| tenant.state != TenantState::Dropped);
    found.ok_or_else(|| cenote_catalog::Error::TenantNotFound(wanted).into())
}
