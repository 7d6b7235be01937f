//! The two schemas, as DataFusion looks them up: each relation is made when a statement names it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result;

use super::facts::PgFacts;
use super::relation::Columns;
use super::{information_schema as standard, objects, roles, server, system};

/// `pg_catalog` for one statement.
pub(crate) fn schema_provider(facts: Arc<PgFacts>) -> Arc<dyn SchemaProvider> {
    Arc::new(Made { facts, relations: RELATIONS, system: true })
}

/// `information_schema` for one statement.
pub(crate) fn information_schema(facts: Arc<PgFacts>) -> Arc<dyn SchemaProvider> {
    Arc::new(Made { facts, relations: standard::RELATIONS, system: false })
}

/// Name, columns and rows of a relation.
pub(crate) type Relation = (&'static str, fn() -> &'static Columns, fn(&PgFacts) -> Result<RecordBatch>);

/// Relations of `pg_catalog` that are made from facts.
const RELATIONS: &[Relation] = &[
    ("pg_attribute", || &objects::ATTRIBUTE, objects::attributes),
    ("pg_authid", || &roles::AUTHID, roles::authids),
    ("pg_class", || &objects::CLASS, objects::classes),
    ("pg_database", || &server::DATABASES, server::databases),
    ("pg_description", || &objects::DESCRIPTION, objects::descriptions),
    ("pg_extension", || &server::EXTENSIONS, server::extensions),
    ("pg_group", || &roles::GROUPS, |_| roles::GROUPS.batch(&[])),
    ("pg_namespace", || &objects::NAMESPACE, objects::namespaces),
    ("pg_roles", || &roles::ROLES, roles::roles),
    ("pg_settings", || &server::SETTINGS, server::settings),
    ("pg_shadow", || &roles::USERS, roles::users),
    ("pg_stat_activity", || &server::ACTIVITY, server::activity),
    ("pg_stat_all_tables", || &objects::STAT_TABLES, objects::statistics),
    ("pg_stat_database", || &server::STAT_DATABASE, server::database_statistics),
    ("pg_stat_user_tables", || &objects::STAT_TABLES, objects::statistics),
    ("pg_tables", || &objects::TABLES, objects::tables),
    ("pg_timezone_names", || &server::ZONES, server::zones),
    ("pg_user", || &roles::USERS, roles::users),
    ("pg_views", || &objects::VIEWS, objects::views),
];

/// Names and columns of the relations that are made here.
pub(crate) fn columns() -> impl Iterator<Item = (&'static str, SchemaRef)> {
    RELATIONS.iter().map(|(name, columns, _)| (*name, columns().schema()))
}

/// True if there is such a relation in `pg_catalog`.
pub(crate) fn is_relation(name: &str) -> bool {
    RELATIONS.iter().any(|(known, ..)| *known == name)
        || system::system().is_ok_and(|system| system.schema(name).is_some())
}

#[derive(Debug)]
struct Made {
    facts: Arc<PgFacts>,
    relations: &'static [Relation],
    /// True if what Postgres brings is here too.
    system: bool,
}

#[async_trait]
impl SchemaProvider for Made {
    fn table_names(&self) -> Vec<String> {
        let made = self.relations.iter().map(|(name, ..)| *name);
        let brought = system::system().ok().filter(|_| self.system);
        let mut names: Vec<_> =
            made.chain(brought.into_iter().flat_map(|system| system.names())).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((_, _, rows)) = self.relations.iter().find(|(known, ..)| *known == name) {
            let rows = rows(&self.facts)?;
            return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
        }
        if self.system { system::system()?.table(name) } else { Ok(None) }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.relations.iter().any(|(known, ..)| *known == name) || (self.system && is_relation(name))
    }
}
