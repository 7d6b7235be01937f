//! `CREATE CHECK`, `DROP CHECK`.

use std::sync::Arc;

use cenote_catalog::{Check, Error as CatalogError, FlowChange, Privilege, Severity, TableDef};
use sqlparser::ast::Ident;

use super::asset::{Steering, flow};
use super::{Answer, check};
use crate::Error;
use crate::parse::{CheckRule, folded, quote};
use crate::plan::{Resolver, Snapshot};

impl Steering<'_> {
    pub(super) async fn create_check(
        &self,
        table: &[Ident],
        (name, or_replace, severity, rule): (&Ident, bool, Severity, &CheckRule),
    ) -> Result<Answer, Error> {
        let (lake, scope) = (self.session.engine().lake(), &self.session.identity().scope);
        let table = self.table(table).await?;
        self.may_write(&table, rule).await?;
        let name = folded(name);
        cenote_vocab::check_column(&name).map_err(CatalogError::from)?;
        let known = lake.catalog.checks(scope, Some(table.id)).await?;
        let known = known.into_iter().find(|check| check.name == name);
        if known.is_some() && !or_replace {
            return Err(CatalogError::CheckExists(name).into());
        }
        let target = format!("{}.{}", quote(&table.schema_name), quote(&table.name));
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let path = self.session.search_path();
        for query in check::rule_queries(rule, &target, Some(snapshot.txn)) {
            self.planned(&snapshot, &query, &path).await?; // what it names is there
        }
        let check = Check {
            id: known.map_or_else(|| lake.ids.uuid(), |known| known.id),
            table: table.id,
            name,
            severity,
            rule: rule.to_string(),
            search_path: path,
            created: self.session.now(),
        };
        let objects = vec![flow(FlowChange::PutCheck(Box::new(check)))];
        let txn = self.commit("create_check", Vec::new(), objects).await?;
        Ok(Answer::done("CREATE CHECK").with_txn(Some(txn)))
    }

    pub(super) async fn drop_check(
        &self,
        name: &Ident,
        table: &[Ident],
        if_exists: bool,
    ) -> Result<Answer, Error> {
        let (lake, scope) = (self.session.engine().lake(), &self.session.identity().scope);
        let table = self.table(table).await?;
        let name = folded(name);
        let known = lake.catalog.checks(scope, Some(table.id)).await?;
        let done = Answer::done("DROP CHECK");
        match known.into_iter().find(|check| check.name == name) {
            Some(check) => {
                let objects = vec![flow(FlowChange::DropCheck(check.id))];
                let txn = self.commit("drop_check", Vec::new(), objects).await?;
                Ok(done.with_txn(Some(txn)))
            }
            None if if_exists => Ok(done.with_notice(format!("check \"{name}\" does not exist, skipping"))),
            None => Err(CatalogError::CheckNotFound(name).into()),
        }
    }

    /// A query reads by the rights of the asset's owner: of a table that may become an asset, by those of whoever makes it one.
    async fn may_write(&self, table: &TableDef, rule: &CheckRule) -> Result<(), Error> {
        let CheckRule::Query(_) = rule else { return Ok(()) };
        let session = self.session;
        let assets = session.engine().lake().catalog.assets(&session.identity().scope).await?;
        match assets.iter().find(|asset| asset.table == table.id) {
            Some(asset) => {
                session.require_owner(asset.owner, &format!("query of a check of {}", table.full_name()))
            }
            None => session.require(Privilege::Manage, table.object()),
        }
    }

    async fn table(&self, name: &[Ident]) -> Result<Arc<TableDef>, Error> {
        let (names, path) = (self.session.names().await?, self.session.search_path());
        let resolver = Resolver { names: &names, identity: self.session.identity(), search_path: &path };
        resolver.writable(name, Privilege::Alter)
    }
}
