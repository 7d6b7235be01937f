//! What the catalog relations are made from: one session, one snapshot of names.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use cenote_catalog::{Identity, Names, Privilege, SchemaDef, TableDef};

/// One session's view of the server.
#[derive(Clone, Debug)]
pub(crate) struct PgFacts {
    /// The catalog that the session is in: what Postgres calls a database.
    pub(crate) database: String,
    /// Who asks.
    pub(crate) identity: Identity,
    /// Schemas of bare names, in order.
    pub(crate) search_path: Vec<String>,
    /// Everything that exists.
    pub(crate) names: Arc<Names>,
    /// Names and values of settings, as SHOW prints them.
    pub(crate) settings: Vec<(String, String)>,
    /// What the client was told as its process id; 0 where the protocol has none.
    pub(crate) backend_pid: i32,
    /// Bytes of tables in files, by OID; what is not in it has an unknown size.
    pub(crate) sizes: BTreeMap<u32, u64>,
    /// Made when it is first asked for.
    pub(crate) by_oid: OnceLock<HashMap<i64, Arc<TableDef>>>,
}

/// The OID of the schema `pg_catalog`.
pub(crate) const PG_CATALOG: u32 = 11;
/// The OID of the schema `information_schema`.
pub(crate) const INFORMATION_SCHEMA: u32 = 13_226;
/// The OID of the only database; its name is the catalog's.
pub(crate) const DATABASE: u32 = 5;
/// The OID of the role that owns everything.
pub(crate) const OWNER: u32 = 10;
/// Its name.
pub(crate) const OWNER_NAME: &str = "cenote";
/// The OID of any other asker's role: tokens have no OID of their own.
const ASKER: u32 = 16_383;

/// Constants of a Postgres server that drivers read as settings.
const PRESETS: [(&str, &str); 2] = [("block_size", "8192"), ("max_index_keys", "32")];

impl PgFacts {
    /// The asker's name.
    pub(crate) fn user(&self) -> &str {
        &self.identity.token.name
    }

    /// The OID of the asker's role.
    pub(crate) fn role(&self) -> u32 {
        if self.user() == OWNER_NAME { OWNER } else { ASKER }
    }

    /// True if the asker may do everything in the tenant.
    pub(crate) fn is_admin(&self) -> bool {
        self.identity.allows_everywhere(Privilege::Manage)
    }

    /// Schemas that the asker may know.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &SchemaDef> {
        self.names.schemas.values().map(|(schema, _)| schema).filter(|schema| self.knows(&schema.name, None))
    }

    /// True if there is such a schema, and the asker may know it.
    pub(crate) fn has_schema(&self, name: &str) -> bool {
        self.names.schemas.contains_key(name) && self.knows(name, None)
    }

    /// Tables and views that the asker may know.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        self.names.tables().filter(|table| self.knows(&table.schema_name, Some(&table.name)))
    }

    /// The table or view of this OID.
    pub(crate) fn table(&self, oid: i64) -> Option<&Arc<TableDef>> {
        let by_oid = || self.tables().map(|table| (i64::from(table.id.oid()), table.clone())).collect();
        self.by_oid.get_or_init(by_oid).get(&oid)
    }

    /// The table or view of this schema and name; without a schema by the search path.
    pub(crate) fn table_named(&self, schema: Option<&str>, name: &str) -> Option<&Arc<TableDef>> {
        let in_schema = |schema: &str| {
            let (_, tables) = self.names.schemas.get(schema)?;
            tables.get(name).filter(|table| self.knows(schema, Some(&table.name)))
        };
        match schema {
            Some(schema) => in_schema(self.meant(schema)),
            None => self.search_path.iter().find_map(|schema| in_schema(self.meant(schema))),
        }
    }

    /// The schema that a name means: `public` is another word for `default`, unless there is a schema of that name.
    pub(crate) fn meant<'a>(&self, schema: &'a str) -> &'a str {
        if schema == "public" && !self.names.schemas.contains_key(schema) { "default" } else { schema }
    }

    /// True if a bare name finds the table.
    pub(crate) fn is_visible(&self, table: &TableDef) -> bool {
        self.table_named(None, &table.name).is_some_and(|found| found.id == table.id)
    }

    /// Names and values of settings, with those that only drivers know.
    pub(crate) fn all_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.chain(PRESETS)
    }

    /// The value of a setting.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.all_settings().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn knows(&self, schema: &str, table: Option<&str>) -> bool {
        self.identity.allows(Privilege::Use, schema, table)
    }
}
