//! Rows of roles, their members and grants.

use std::collections::BTreeSet;

use cenote_vocab::{CatalogId, LIVE, Micros, Txn};
use uuid::Uuid;

use super::{Cell, Failure, Row, Transaction, tenant};
use crate::Error;
use crate::access::{AccessBook, AccessChange, GrantChange, GrantKind, GrantTarget, Principal, Privilege};
use crate::access::{Granted, Membership, OPERATOR_ROLE, Privileges, Role};
use crate::registry::{GRANT, ROLE, ROLE_MEMBER};
use crate::tenant::OPERATING;

/// Carries out what a commit says of roles and grants.
pub(crate) async fn apply(
    transaction: &mut Transaction,
    catalog: CatalogId,
    change: &AccessChange,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    match change {
        AccessChange::CreateRole(name) => {
            let row = vec![catalog.0.into(), name.as_str().into(), now.0.into(), txn.into()];
            transaction.insert_missing(&ROLE, &[row]).await
        }
        AccessChange::DropRole(name) => drop_role(transaction, catalog, name).await,
        AccessChange::AddMember { role, member } => {
            check_role(transaction, catalog, role).await?;
            check_principal(transaction, catalog, member).await?;
            let row = vec![catalog.0.into(), role.as_str().into(), member.stored().into(), txn.into()];
            transaction.insert_missing(&ROLE_MEMBER, &[row]).await
        }
        AccessChange::RemoveMember { role, member } => {
            // What a claim gave goes too: until the next token says it again.
            let claimed = match member {
                Principal::Token(id) => Some(Principal::Claims(*id)),
                Principal::Claims(_) | Principal::Role(_) => None,
            };
            for member in std::iter::once(member).chain(&claimed) {
                let statement = transaction
                    .statement("DELETE FROM cn_role_member WHERE catalog_id = ? AND role = ? AND member = ?")
                    .bind(catalog.0)
                    .bind(role.as_str())
                    .bind(member.stored());
                transaction.execute(statement).await?;
            }
            Ok(())
        }
        AccessChange::Grant(grant) | AccessChange::Own(grant) => {
            check_principal(transaction, catalog, &grant.principal).await?;
            let row = |privilege: &Privilege| {
                let mut row = key(catalog, grant, *privilege);
                row.extend([grant.by.into(), now.0.into(), txn.into()]);
                row
            };
            let rows: Vec<Vec<Cell>> = grant.privileges.iter().map(row).collect();
            transaction.insert_missing(&GRANT, &rows).await
        }
        AccessChange::Revoke(grant) => {
            for privilege in &grant.privileges {
                let mut statement = transaction.statement(
                    "DELETE FROM cn_grant WHERE catalog_id = ? AND principal = ? AND privilege = ? AND object_kind = ? \
                     AND object_id = ? AND object_uuid = ? AND schema_pattern = ? AND name_pattern = ?",
                );
                for cell in key(catalog, grant, *privilege) {
                    statement = statement.bind(cell);
                }
                transaction.execute(statement).await?;
            }
            Ok(())
        }
    }
}

async fn check_principal(
    transaction: &mut Transaction,
    catalog: CatalogId,
    principal: &Principal,
) -> Result<(), Failure> {
    match principal {
        Principal::Role(name) => check_role(transaction, catalog, name).await,
        Principal::Token(_) | Principal::Claims(_) => Ok(()),
    }
}

/// `RoleNotFound` unless the role is there: it may have gone since it was looked for.
async fn check_role(transaction: &mut Transaction, catalog: CatalogId, name: &str) -> Result<(), Failure> {
    let is_there = match name {
        OPERATOR_ROLE => catalog == OPERATING,
        _ => Privileges::of_role(name).is_some() || made_roles(transaction, catalog).await?.contains(name),
    };
    if is_there { Ok(()) } else { Err(Error::RoleNotFound(name.to_owned()).into()) }
}

async fn made_roles(transaction: &mut Transaction, catalog: CatalogId) -> Result<BTreeSet<String>, Failure> {
    let statement = transaction.statement("SELECT name FROM cn_role WHERE catalog_id = ?").bind(catalog.0);
    let mut rows = transaction.query(statement).await?;
    Ok(rows.iter_mut().map(Row::text).collect::<Result<_, _>>()?)
}

/// The key of one row of `cn_grant`.
fn key(catalog: CatalogId, grant: &GrantChange, privilege: Privilege) -> Vec<Cell> {
    let (mut id, mut uuid, mut schema, mut name) = (0_i64, Uuid::nil(), "", "");
    let kind = match &grant.target {
        GrantTarget::Catalog => GrantKind::Catalog,
        // The committer has found the schema of the name.
        GrantTarget::Schema(_) => GrantKind::Schema,
        GrantTarget::SchemaOf(schema) => {
            id = schema.0;
            GrantKind::Schema
        }
        GrantTarget::Schemas(pattern) => {
            schema = pattern;
            GrantKind::Schema
        }
        GrantTarget::Table(table) | GrantTarget::Asset(table) => {
            id = table.0;
            let is_asset = matches!(grant.target, GrantTarget::Asset(_));
            if is_asset { GrantKind::Asset } else { GrantKind::Table }
        }
        GrantTarget::Tables(schemas, names) => {
            (schema, name) = (schemas, names);
            GrantKind::Table
        }
        GrantTarget::Pipeline(pipeline) => {
            uuid = *pipeline;
            GrantKind::Pipeline
        }
        GrantTarget::Pipelines(schemas, names) => {
            (schema, name) = (schemas, names);
            GrantKind::Pipeline
        }
        GrantTarget::Job(names) => {
            name = names;
            GrantKind::Job
        }
    };
    vec![
        catalog.0.into(),
        grant.principal.stored().into(),
        privilege.word().into(),
        kind.word().into(),
        id.into(),
        uuid.into(),
        schema.into(),
        name.into(),
    ]
}

async fn drop_role(transaction: &mut Transaction, catalog: CatalogId, name: &str) -> Result<(), Failure> {
    forget(transaction, catalog, &Principal::Role(name.to_owned())).await?;
    for text in [
        "DELETE FROM cn_role_member WHERE catalog_id = ? AND role = ?",
        "DELETE FROM cn_role WHERE catalog_id = ? AND name = ?",
    ] {
        let statement = transaction.statement(text).bind(catalog.0).bind(name);
        transaction.execute(statement).await?;
    }
    Ok(())
}

/// Ends all that was granted to a principal.
pub(crate) async fn forget(
    transaction: &mut Transaction,
    catalog: CatalogId,
    principal: &Principal,
) -> Result<(), Failure> {
    for text in [
        "DELETE FROM cn_grant WHERE catalog_id = ? AND principal = ?",
        "DELETE FROM cn_role_member WHERE catalog_id = ? AND member = ?",
    ] {
        let statement = transaction.statement(text).bind(catalog.0).bind(principal.stored());
        transaction.execute(statement).await?;
    }
    Ok(())
}

/// Gives a principal these roles and no others, of those that are there.
pub(crate) async fn set_roles(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (member, roles): (&Principal, &BTreeSet<String>),
    txn: Txn,
) -> Result<(), Failure> {
    forget(transaction, catalog, member).await?;
    let made = made_roles(transaction, catalog).await?;
    let is_there = |role: &&String| match role.as_str() {
        OPERATOR_ROLE => catalog == OPERATING,
        _ => Privileges::of_role(role).is_some() || made.contains(*role),
    };
    let row =
        |role: &String| vec![catalog.0.into(), role.as_str().into(), member.stored().into(), txn.into()];
    let rows: Vec<Vec<Cell>> = roles.iter().filter(is_there).map(row).collect();
    transaction.insert_missing(&ROLE_MEMBER, &rows).await
}

/// Ends all that was granted on an object that is gone for good.
pub(crate) async fn forget_object(
    transaction: &mut Transaction,
    catalog: CatalogId,
    kind: GrantKind,
    id: Cell,
) -> Result<(), Failure> {
    let column = if kind == GrantKind::Pipeline { "object_uuid" } else { "object_id" };
    let text = format!("DELETE FROM cn_grant WHERE catalog_id = ? AND object_kind = ? AND {column} = ?");
    let statement = transaction.statement(&text).bind(catalog.0).bind(kind.word()).bind(id);
    transaction.execute(statement).await?;
    Ok(())
}

/// Everything that is granted in a tenant, on what is there.
pub(crate) async fn book(transaction: &mut Transaction, catalog: CatalogId) -> Result<AccessBook, Failure> {
    let statement = transaction
        .statement("SELECT name, created_us, changed_txn FROM cn_role WHERE catalog_id = ? ORDER BY name")
        .bind(catalog.0);
    let role = |row: &mut Row| -> Result<Role, Error> {
        Ok(Role { name: row.text()?, created: Micros(row.int()?), changed: Txn(row.int()?) })
    };
    let roles = transaction.query(statement).await?.iter_mut().map(role).collect::<Result<_, _>>()?;
    let statement = transaction
        .statement(
            "SELECT role, member, changed_txn FROM cn_role_member WHERE catalog_id = ? ORDER BY role, member",
        )
        .bind(catalog.0);
    let member = |row: &mut Row| -> Result<Membership, Error> {
        let (role, member) = (row.text()?, Principal::of_stored(&row.text()?)?);
        Ok(Membership { role, member, changed: Txn(row.int()?) })
    };
    let members = transaction.query(statement).await?.iter_mut().map(member).collect::<Result<_, _>>()?;
    let text = format!(
        "SELECT g.principal, g.privilege, g.object_kind, g.schema_pattern, g.name_pattern, \
         g.granted_by, g.granted_us, g.changed_txn, \
         CAST(CASE WHEN g.object_id = 0 AND g.object_uuid = ? THEN 0 ELSE 1 END AS BIGINT), \
         COALESCE(o.name, s.name, p.schema_name), COALESCE(t.name, p.name) FROM cn_grant g \
         LEFT JOIN cn_table t ON t.table_id = g.object_id AND t.end_txn = {LIVE} AND g.object_kind IN ('table', 'asset') \
         LEFT JOIN cn_schema o ON o.schema_id = t.schema_id AND o.end_txn = {LIVE} \
         LEFT JOIN cn_schema s ON s.schema_id = g.object_id AND s.end_txn = {LIVE} AND g.object_kind = 'schema' \
         LEFT JOIN cn_pipeline p ON p.catalog_id = g.catalog_id AND p.pipeline_id = g.object_uuid \
         AND g.object_kind = 'pipeline' \
         WHERE g.catalog_id = ? ORDER BY g.principal, g.object_kind, g.object_id, g.schema_pattern, \
         g.name_pattern, g.privilege"
    );
    let statement = transaction.statement(&text).bind(Uuid::nil()).bind(catalog.0);
    let mut grants = Vec::new();
    for mut row in transaction.query(statement).await? {
        grants.extend(granted(&mut row)?);
    }
    let state = tenant::state(transaction, catalog).await?;
    Ok(AccessBook::new(roles, members, grants).of_tenant(state, catalog == OPERATING))
}

/// `None` for a grant on what was dropped.
fn granted(row: &mut Row) -> Result<Option<Granted>, Error> {
    let principal = Principal::of_stored(&row.text()?)?;
    let (privilege, kind) = (row.text()?, row.text()?);
    let privilege = Privilege::of_word(&privilege)
        .ok_or_else(|| Error::Corrupt(format!("privilege {privilege:?} of a grant")))?;
    let (schemas, names) = (row.text()?, row.text()?);
    let (by, at, changed) = (row.int()?, Micros(row.int()?), Txn(row.int()?));
    let is_one = row.flag()?;
    let (schema_now, name_now) = (row.optional_text()?, row.optional_text()?);
    let kind = match kind.as_str() {
        "catalog" => GrantKind::Catalog,
        "schema" => GrantKind::Schema,
        "table" => GrantKind::Table,
        "asset" => GrantKind::Asset,
        "pipeline" => GrantKind::Pipeline,
        "job" => GrantKind::Job,
        other => return Err(Error::Corrupt(format!("object {other:?} of a grant"))),
    };
    let (schema, name) = match (is_one, schema_now, name_now) {
        (false, ..) => (schemas, names),
        (true, Some(schema), Some(name)) => (schema, name),
        (true, Some(schema), None) if kind == GrantKind::Schema => (schema, String::new()),
        (true, ..) => return Ok(None),
    };
    let is_pattern = !is_one && kind != GrantKind::Catalog;
    Ok(Some(Granted { principal, privilege, kind, schema, name, is_pattern, by, at, changed }))
}
