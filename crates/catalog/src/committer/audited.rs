//! What the audit says of a commit that changes objects or grants: written in its own transaction.

use std::collections::BTreeSet;

use cenote_vocab::{Micros, Txn};

use super::step::Step;
use crate::{AccessChange, AuditEntry, AuditRow, FlowChange, GrantChange, ObjectChange, Op, Privilege};

impl Step<'_> {
    /// True if the commit changes rights, tenants, or recipes and checks.
    pub(super) fn is_audited(&self) -> bool {
        let is_recipe = |(_, change): &(Txn, FlowChange)| said_of_flow(change).is_some();
        !self.writes.access.is_empty()
            || !self.writes.tenants.is_empty()
            || self.writes.flow.iter().any(is_recipe)
    }

    /// Who changed what: one row per commit, with the commit's id.
    pub(super) fn audited(&self, at: Micros) -> AuditRow {
        let facts = &self.commit.facts;
        let altered =
            self.commit.tables.iter().filter(|change| change.ops.iter().any(|op| matches!(op, Op::Alter(_))));
        let altered = altered.filter_map(|change| self.world.def(change.table)).map(|def| def.full_name());
        let said = self.commit.objects.iter().filter_map(|change| self.said(change));
        let objects: BTreeSet<String> = altered.chain(said).collect();
        let grants = |change: &ObjectChange| match change {
            ObjectChange::Access(change) => !matches!(change.as_ref(), AccessChange::Own(_)),
            _ => false,
        };
        let action = if self.commit.objects.iter().any(grants) { "grant" } else { "ddl" };
        let object = objects.into_iter().collect::<Vec<_>>().join(", ");
        let entry =
            AuditEntry::done(facts.caller.clone(), action, object).with_detail(Some(&facts.operation));
        AuditRow { id: self.commit.commit_id, at, times: 1, entry }
    }

    fn said(&self, change: &ObjectChange) -> Option<String> {
        Some(match change {
            ObjectChange::Expect(_) => return None,
            ObjectChange::CreateSchema { name, .. }
            | ObjectChange::SetSchemaOptions { name, .. }
            | ObjectChange::DropSchema { name, .. } => format!("schema {name}"),
            ObjectChange::CreateTable(new) => format!("{}.{}", new.schema, new.name),
            ObjectChange::DropTable { schema, name, .. } | ObjectChange::UndropTable { schema, name } => {
                format!("{schema}.{name}")
            }
            ObjectChange::RenameTable { table, .. } => self.world.def(*table)?.full_name(),
            ObjectChange::Flow(change) => said_of_flow(change)?,
            ObjectChange::Tenant(change) => format!("tenant {}", change.name()),
            ObjectChange::Access(change) => match change.as_ref() {
                AccessChange::CreateRole(name) | AccessChange::DropRole(name) => format!("role {name}"),
                AccessChange::AddMember { role, member } => format!("role {role} to {member}"),
                AccessChange::RemoveMember { role, member } => format!("role {role} from {member}"),
                AccessChange::Grant(grant) => self.granted(grant, "to"),
                AccessChange::Revoke(grant) => self.granted(grant, "from"),
                AccessChange::Own(_) => return None,
            },
        })
    }

    fn granted(&self, grant: &GrantChange, to: &str) -> String {
        use crate::GrantTarget::{
            Asset, Catalog, Job, Pipeline, Pipelines, Schema, SchemaOf, Schemas, Table, Tables,
        };
        let words: Vec<&str> =
            grant.privileges.iter().map(|privilege: &Privilege| privilege.word()).collect();
        let on = match &grant.target {
            Catalog => "catalog".to_owned(),
            Schema(name) | Schemas(name) => format!("schema {name}"),
            SchemaOf(id) => format!("schema {id}"),
            Table(id) | Asset(id) => {
                let def = self.world.names.table_by_id(*id);
                def.map_or_else(|| format!("table {id}"), |def| def.full_name())
            }
            Tables(schema, name) => format!("tables {schema}.{name}"),
            Pipeline(id) => format!("pipeline {id}"),
            Pipelines(schema, name) => format!("pipelines {schema}.{name}"),
            Job(name) => format!("job {name}"),
        };
        format!("{} on {on} {to} {}", words.join(", "), grant.principal)
    }
}

/// A recipe or a check that is changed; runs and their tasks are no acts of administration.
fn said_of_flow(change: &FlowChange) -> Option<String> {
    Some(match change {
        FlowChange::PutAsset(asset) => format!("asset {}", asset.id),
        FlowChange::PauseAsset { asset, .. } | FlowChange::DropAsset(asset) => format!("asset {asset}"),
        FlowChange::PutCheck(check) => format!("check {}", check.name),
        FlowChange::DropCheck(check) => format!("check {check}"),
        FlowChange::CreateRun(_)
        | FlowChange::Tick(_)
        | FlowChange::EndTask(_)
        | FlowChange::CancelRun { .. }
        | FlowChange::PauseRun { .. } => return None,
    })
}
