//! Which object a name means, for one identity: what it may not know does not exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{Identity, Names, Privilege, TableDef, TableKind};
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::Ident;

use super::state::{CATALOG, DEFAULT_SCHEMA, SYSTEM};
use crate::Error;
use crate::parse::folded;
use crate::system;

/// Schemas that the engine makes itself in every catalog.
const MADE_SCHEMAS: [&str; 2] = ["information_schema", "pg_catalog"];

/// Refuses to change a materialized view, or the table with its rows.
pub(crate) fn refuse_materialized(table: &TableDef) -> Result<(), Error> {
    if table.materialized().is_some() { Err(of_its_query(table)) } else { Ok(()) }
}

fn of_its_query(table: &TableDef) -> Error {
    let what = match table.kind {
        TableKind::Table => "holds the rows of a materialized view",
        TableKind::View { .. } => "is a materialized view",
    };
    let text = format!("\"{}\" {what}: only its query changes it", table.full_name());
    Error::new(ErrorKind::Invalid, text).with_sqlstate("42809")
}

/// What a name means.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A table or view of the lake.
    Table(Arc<TableDef>),
    /// `system.group.name`
    System { group: String, name: String },
    /// A table of `information_schema` or `pg_catalog`.
    Made { schema: String, name: String },
}

/// Looks names up as of one snapshot.
pub(crate) struct Resolver<'a> {
    pub(crate) names: &'a Names,
    pub(crate) identity: &'a Identity,
    pub(crate) search_path: &'a [String],
}

impl<'a> Resolver<'a> {
    /// The object; a table or view of the lake must allow `privilege`. What may not be known does not exist.
    pub(crate) fn find(&self, parts: &[Ident], privilege: Privilege) -> Result<Found, Error> {
        if let [.., schema, name] = parts
            && parts.len() <= 3
            && MADE_SCHEMAS.contains(&folded(schema).as_str())
        {
            return Ok(Found::Made { schema: folded(schema), name: folded(name) });
        }
        match parts {
            [name] => match self.on_path(name)? {
                Some(table) => self.authorised(table, privilege),
                None if folded(name).starts_with("pg_") => {
                    Ok(Found::Made { schema: "pg_catalog".into(), name: folded(name) })
                }
                None => Err(self.missing(parts)),
            },
            [schema, name] => {
                if let Some(schema) = self.schema(schema)? {
                    return match self.in_schema(schema, name)? {
                        Some(table) => self.authorised(table, privilege),
                        None => Err(self.missing(parts)),
                    };
                }
                match folded(schema).as_str() {
                    CATALOG => match self.in_schema(DEFAULT_SCHEMA, name)? {
                        Some(table) => self.authorised(table, privilege),
                        None => Err(self.missing(parts)),
                    },
                    SYSTEM => self.system(None, name, parts),
                    _ => Err(self.missing(parts)),
                }
            }
            [catalog, schema, name] => match folded(catalog).as_str() {
                CATALOG => {
                    let found = match self.schema(schema)? {
                        Some(schema) => self.in_schema(schema, name)?,
                        None => None,
                    };
                    match found {
                        Some(table) => self.authorised(table, privilege),
                        None => Err(self.missing(parts)),
                    }
                }
                SYSTEM => self.system(Some(schema), name, parts),
                other => Err(Error::new(ErrorKind::NotFound, format!("catalog \"{other}\" does not exist"))
                    .with_sqlstate("3D000")),
            },
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("name {} has more than three parts", written(parts)),
            )),
        }
    }

    /// The table of the lake; views and made tables cannot be written.
    pub(crate) fn writable(&self, parts: &[Ident], privilege: Privilege) -> Result<Arc<TableDef>, Error> {
        match self.find(parts, privilege)? {
            Found::Table(table) if table.materialized().is_some() => Err(of_its_query(&table)),
            Found::Table(table) if table.kind == TableKind::Table => Ok(table),
            Found::Table(table) => {
                Err(Error::new(ErrorKind::Invalid, format!("\"{}\" is a view", table.full_name()))
                    .with_sqlstate("42809"))
            }
            Found::System { .. } | Found::Made { .. } => {
                Err(Error::new(ErrorKind::Denied, format!("{} is read-only", written(parts)))
                    .with_sqlstate("42501"))
            }
        }
    }

    /// Schema and name of an object to be created; the schema must exist, and `privilege` be held in it.
    pub(crate) fn creatable(&self, parts: &[Ident], privilege: Privilege) -> Result<(String, String), Error> {
        let (schema, name) = match parts {
            [name] => (None, name),
            [schema, name] => (Some(schema), name),
            [catalog, schema, name] if folded(catalog) == CATALOG => (Some(schema), name),
            [catalog, ..] => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!("catalog \"{}\" is read-only", folded(catalog)),
                ));
            }
            [] => return Err(Error::new(ErrorKind::Invalid, "a name is missing")),
        };
        let found = match schema {
            Some(schema) => self.schema(schema)?,
            None => self.search_path.iter().find_map(|name| self.schema_named(name)),
        };
        let name = folded(name);
        let wanted = schema.map_or_else(|| self.search_path.join(", "), folded);
        let Some(schema) = found.filter(|schema| self.identity.allows(Privilege::Use, schema, None)) else {
            return Err(Error::new(ErrorKind::NotFound, format!("schema \"{wanted}\" does not exist"))
                .with_sqlstate("3F000"));
        };
        if !self.identity.allows(privilege, schema, Some(&name)) {
            return Err(denied(privilege, &format!("{schema}.{name}")));
        }
        cenote_vocab::check_table(&name)?;
        Ok((schema.to_owned(), name))
    }

    /// The schema of this name, by the rules of names, if the identity may know it.
    pub(crate) fn schema(&self, ident: &Ident) -> Result<Option<&'a str>, Error> {
        let exact = folded(ident);
        let is_known = |name: &str| self.identity.allows(Privilege::Use, name, None);
        if let Some(found) = self.schema_named(&exact).filter(|name| is_known(name)) {
            return Ok(Some(found));
        }
        if ident.quote_style.is_some() {
            return Ok(None);
        }
        one(
            "schema",
            &exact,
            self.names
                .schemas
                .keys()
                .map(String::as_str)
                .filter(|name| name.to_lowercase() == exact && is_known(name)),
        )
    }

    /// True if the identity may know the table.
    pub(crate) fn knows(&self, table: &TableDef) -> bool {
        table.is_known_to(self.identity)
    }

    fn schema_named(&self, name: &str) -> Option<&'a str> {
        let name = if name == "public" && !self.names.schemas.contains_key("public") {
            DEFAULT_SCHEMA
        } else {
            name
        };
        self.names.schemas.get_key_value(name).map(|(name, _)| name.as_str())
    }

    fn on_path(&self, name: &Ident) -> Result<Option<&'a Arc<TableDef>>, Error> {
        for schema in self.search_path.iter().filter_map(|schema| self.schema_named(schema)) {
            if let Some(table) = self.in_schema(schema, name)? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    fn in_schema(&self, schema: &str, name: &Ident) -> Result<Option<&'a Arc<TableDef>>, Error> {
        let Some((_, tables)) = self.names.schemas.get(schema) else { return Ok(None) };
        let exact = folded(name);
        if let Some(table) = tables.get(&exact).filter(|table| self.knows(table)) {
            return Ok(Some(table));
        }
        if name.quote_style.is_some() {
            return Ok(None);
        }
        let similar = tables.values().filter(|table| table.name.to_lowercase() == exact && self.knows(table));
        let found = one("table", &exact, similar.map(|table| table.name.as_str()))?;
        Ok(found.and_then(|name| tables.get(name)))
    }

    /// The table, which the identity knows.
    fn authorised(&self, table: &Arc<TableDef>, privilege: Privilege) -> Result<Found, Error> {
        match self.identity.allows(privilege, &table.schema_name, Some(&table.name)) {
            true => Ok(Found::Table(table.clone())),
            false => Err(denied(privilege, &table.full_name())),
        }
    }

    fn system(&self, group: Option<&Ident>, name: &Ident, parts: &[Ident]) -> Result<Found, Error> {
        let name = folded(name);
        let groups: BTreeMap<&str, Vec<&str>> = system::tables();
        let group = match group {
            Some(group) => Some(folded(group)),
            None if groups.get(system::RUNTIME).is_some_and(|names| names.contains(&name.as_str())) => {
                Some(system::RUNTIME.to_owned())
            }
            None => {
                let holding = groups
                    .iter()
                    .filter(|(_, names)| names.contains(&name.as_str()))
                    .map(|(group, _)| *group);
                one("system table", &name, holding)?.map(str::to_owned)
            }
        };
        match group {
            Some(group) if groups.get(group.as_str()).is_some_and(|names| names.contains(&name.as_str())) => {
                Ok(Found::System { group, name })
            }
            _ => Err(not_found(parts, nearest(&name, groups.values().flatten().copied()))),
        }
    }

    fn missing(&self, parts: &[Ident]) -> Error {
        let Some(name) = parts.last().map(folded) else { return not_found(parts, None) };
        let visible = || self.names.tables().filter(|table| self.knows(table));
        if let Some(elsewhere) = visible().find(|table| table.name == name) {
            return not_found(parts, None).with_hint(format!("there is \"{}\"", elsewhere.full_name()));
        }
        not_found(parts, nearest(&name, visible().map(|table| table.name.as_str())))
    }
}

/// A right is missing on an object that the asker may know.
pub(crate) fn denied(privilege: Privilege, object: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("permission denied: {privilege} required on {object}"))
}

fn not_found(parts: &[Ident], near: Option<&str>) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("table \"{}\" does not exist", written(parts)))
        .with_sqlstate("42P01");
    match near {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

fn written(parts: &[Ident]) -> String {
    parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
}

/// None, or exactly one.
fn one<'n>(
    object: &str,
    wanted: &str,
    mut found: impl Iterator<Item = &'n str>,
) -> Result<Option<&'n str>, Error> {
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(Error::new(
            ErrorKind::Invalid,
            format!("{object} name \"{wanted}\" is ambiguous: it may be \"{first}\" or \"{second}\""),
        )
        .with_hint("write the name in double quotes")),
        (first, _) => Ok(first),
    }
}
