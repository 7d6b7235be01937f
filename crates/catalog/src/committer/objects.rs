//! Changes of what exists: schemas, tables, views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_vocab::{FieldId, SchemaId, TableId, check_column, check_database, check_table};

use super::step::Step;
use super::world::TableState;
use crate::conflict::ops;
use crate::evolution::{check_key, check_partition, check_sort};
use crate::tenant::OPERATING;
use crate::{
    AccessChange, Error, Expected, FlowChange, GrantTarget, NewTable, ObjectChange, SchemaDef, TableDef,
    TableKind,
};

/// The most columns of a table.
pub(crate) const COLUMNS_PER_TABLE_MAX: usize = 2_000;
/// The most options of a table, and the most bytes of their names and values.
pub(crate) const OPTIONS_PER_TABLE_MAX: usize = 1_000;
const OPTION_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a comment.
const COMMENT_BYTES_MAX: usize = 64 << 10;
/// Object numbers end here: the high bit belongs to attached and temporary objects.
const OBJECT_MAX: i64 = 1 << 31;
/// Fields of partition specs count from here.
const FIRST_PARTITION_FIELD: i32 = 1000;

impl Step<'_> {
    pub(super) fn change_object(&mut self, change: &ObjectChange) -> Result<(), Error> {
        match change {
            ObjectChange::Expect(expected) => self.expect(expected),
            ObjectChange::CreateSchema { name, if_not_exists } => self.create_schema(name, *if_not_exists),
            ObjectChange::SetSchemaOptions { name, options } => self.set_schema_options(name, options),
            ObjectChange::DropSchema { name, cascade, if_exists } => {
                self.drop_schema(name, *cascade, *if_exists)
            }
            ObjectChange::CreateTable(new) => self.create_table(new),
            ObjectChange::DropTable { schema, name, if_exists, view } => {
                self.drop_table(schema, name, *if_exists, *view)
            }
            ObjectChange::UndropTable { schema, name } => self.undrop_table(schema, name),
            ObjectChange::RenameTable { table, schema, name } => {
                self.rename_table(*table, schema.as_deref(), name)
            }
            ObjectChange::Flow(change) => {
                self.writes.flow.push((self.txn, change.as_ref().clone()));
                Ok(())
            }
            ObjectChange::Access(change) => {
                let change = self.settled(change.as_ref().clone())?;
                self.writes.access.extend(change.map(|change| (self.txn, change)));
                Ok(())
            }
            ObjectChange::Tenant(change) => {
                if self.commit.scope.catalog() != OPERATING {
                    return Err(Error::Internal("tenants are changed by the operating tenant".to_owned()));
                }
                self.writes.tenants.push((self.txn, change.as_ref().clone()));
                Ok(())
            }
        }
    }

    fn expect(&self, expected: &Expected) -> Result<(), Error> {
        let names = &self.world.names;
        let (is_so, object) = match expected {
            Expected::Table { schema, name, begin } => {
                let same = names.table(schema, name).is_ok_and(|table| table.begin_txn == *begin);
                (same, format!("{schema}.{name}"))
            }
            Expected::Schema(seen) => {
                let same = names.schema(&seen.name).is_ok_and(|(schema, _)| schema == seen);
                (same, format!("schema {}", seen.name))
            }
        };
        if is_so { Ok(()) } else { Err(Error::Changed(object)) }
    }

    /// The change with the schema that its name means; `None` if it gives somebody what this commit did not make.
    fn settled(&self, mut change: AccessChange) -> Result<Option<AccessChange>, Error> {
        if let AccessChange::Own(grant) = &change {
            let is_made = match &grant.target {
                GrantTarget::Table(table) | GrantTarget::Asset(table) => !self.not_created.contains(table),
                GrantTarget::Schema(name) => {
                    self.committed.created_schemas.iter().any(|(made, _)| made == name)
                }
                _ => true,
            };
            if !is_made {
                return Ok(None);
            }
        }
        if let AccessChange::Grant(grant) = &change {
            self.check_granted(&grant.target)?;
        }
        if let AccessChange::Grant(grant) | AccessChange::Own(grant) | AccessChange::Revoke(grant) =
            &mut change
            && let GrantTarget::Schema(name) = &grant.target
        {
            grant.target = GrantTarget::SchemaOf(self.world.names.schema(name)?.0.id);
        }
        Ok(Some(change))
    }

    /// Fails for a grant on something that was resolved and is gone by now.
    fn check_granted(&self, target: &GrantTarget) -> Result<(), Error> {
        let names = &self.world.names;
        match target {
            GrantTarget::SchemaOf(id) if !names.schemas.values().any(|(schema, _)| schema.id == *id) => {
                Err(Error::SchemaNotFound { name: id.to_string(), nearest: None })
            }
            GrantTarget::Table(id) | GrantTarget::Asset(id) if names.table_by_id(*id).is_none() => {
                Err(Error::TableNotFound { name: id.to_string(), nearest: None })
            }
            _ => Ok(()),
        }
    }

    fn create_schema(&mut self, name: &str, if_not_exists: bool) -> Result<(), Error> {
        check_database(name)?;
        if self.world.names.schemas.contains_key(name) {
            return if if_not_exists { Ok(()) } else { Err(Error::SchemaExists(name.to_owned())) };
        }
        let id = SchemaId(self.next_object()?);
        // One commit may create several: each gets a UUID of its own, derived from the commit's.
        let uuid = uuid::Uuid::from_u128(self.commit.commit_id.as_u128().wrapping_add(u128::from(id.oid())));
        let schema = SchemaDef { id, uuid, name: name.to_owned(), properties: BTreeMap::new() };
        Arc::make_mut(&mut self.world.names).schemas.insert(name.to_owned(), (schema, BTreeMap::new()));
        self.schemas_touched.insert(id);
        self.committed.created_schemas.push((name.to_owned(), id));
        Ok(())
    }

    fn set_schema_options(
        &mut self,
        name: &str,
        options: &BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        self.world.names.schema(name)?;
        if let Some((schema, _)) = Arc::make_mut(&mut self.world.names).schemas.get_mut(name) {
            set_options(&mut schema.properties, options);
            check_options(&schema.properties)?;
            self.schemas_touched.insert(schema.id);
        }
        Ok(())
    }

    fn next_object(&mut self) -> Result<i64, Error> {
        let n = self.world.head.next_object;
        if n >= OBJECT_MAX {
            return Err(Error::Limit(format!("catalog has given out all of its {OBJECT_MAX} object ids")));
        }
        self.world.head.next_object += 1;
        Ok(object_id(self.commit.scope.catalog().0, n))
    }

    fn drop_schema(&mut self, name: &str, cascade: bool, if_exists: bool) -> Result<(), Error> {
        let (schema, tables) = match self.world.names.schema(name) {
            Ok((schema, tables)) => (schema.id, tables.values().map(|table| table.id).collect::<Vec<_>>()),
            Err(Error::SchemaNotFound { .. }) if if_exists => return Ok(()),
            Err(error) => return Err(error),
        };
        if !tables.is_empty() && !cascade {
            return Err(Error::SchemaNotEmpty { name: name.to_owned(), tables: tables.len() });
        }
        for table in tables {
            self.drop_by_id(table)?;
        }
        Arc::make_mut(&mut self.world.names).schemas.remove(name);
        self.schemas_touched.insert(schema);
        Ok(())
    }

    fn create_table(&mut self, new: &NewTable) -> Result<(), Error> {
        self.check_new(new)?;
        let (schema, tables) = self.world.names.schema(&new.schema)?;
        let schema_id = schema.id;
        if let Some(old) = tables.get(&new.name).cloned() {
            if new.if_not_exists {
                self.not_created.insert(new.id);
                return Ok(());
            }
            if !new.or_replace || is_view(&old) != matches!(new.kind, TableKind::View { .. }) {
                return Err(Error::TableExists(new.name.clone()));
            }
            self.drop_by_id(old.id)?;
        }
        let def = TableDef {
            id: new.id,
            uuid: new.uuid,
            schema_id,
            schema_name: new.schema.clone(),
            name: new.name.clone(),
            kind: new.kind.clone(),
            schema: Arc::new(new.columns.clone()),
            spec: new.spec.clone(),
            sort: new.sort.clone(),
            time_field: new.time_field,
            key_fields: new.key_fields.clone(),
            location: new.location.clone(),
            properties: new.properties.clone(),
            comment: new.comment.clone(),
            begin_txn: self.txn,
        };
        check_partition(&def)?;
        check_sort(&def)?;
        check_key(&def)?;
        check_comments(&def)?;
        let last_field = new.columns.all_fields().iter().map(|(field, _)| field.id.0).max().unwrap_or(0);
        let last_part = new.spec.fields.iter().map(|field| field.part_field_id + 1).max();
        let base = self.world.head.txn;
        self.world.table_mut(new.id).state = TableState {
            next_field: last_field + 1,
            next_part_field: last_part.unwrap_or(FIRST_PARTITION_FIELD),
            ..TableState::default()
        };
        self.redefine(new.id, Some(def));
        self.tally(new.id, base, ops::CREATE);
        self.committed.created_tables.push(new.id);
        self.committed.schemas.insert(new.id, new.columns.clone());
        Ok(())
    }

    fn check_new(&self, new: &NewTable) -> Result<(), Error> {
        check_table(&new.name)?;
        let scope = &self.commit.scope;
        let invalid = |reason: String| Err(Error::Invalid(format!("table {:?}: {reason}", new.name)));
        if new.if_not_exists && new.or_replace {
            return invalid("IF NOT EXISTS and OR REPLACE exclude each other".into());
        }
        let reserved =
            new.id.catalog() == scope.catalog() && i64::from(new.id.oid()) < self.world.head.next_object;
        if !reserved
            || self.world.table(new.id).is_some_and(|work| work.def.is_some() || work.state.table_seq > 0)
        {
            return invalid(format!("id {} is not reserved for it", new.id));
        }
        if matches!(new.kind, TableKind::Table) && !new.location.starts_with(&format!("{}/", scope.tenant()))
        {
            return invalid(format!("location {:?} is not the tenant's", new.location));
        }
        if new.columns.no != 1 || new.columns.fields.is_empty() {
            return invalid("it needs columns, and its first schema has number 1".into());
        }
        let fields = new.columns.all_fields();
        check_column_count(&new.name, fields.len())?;
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for (field, parent) in fields {
            check_column(&field.name)?;
            if !names.insert((parent, &field.name)) {
                return Err(Error::ColumnExists { table: new.name.clone(), column: field.name.clone() });
            }
            if field.id < FieldId(1) || !ids.insert(field.id) {
                return invalid(format!("column {:?} needs an id of its own, from 1", field.name));
            }
        }
        let numbered = |no: i32, empty: bool| no == i32::from(!empty);
        if !numbered(new.spec.no, new.spec.fields.is_empty())
            || !numbered(new.sort.no, new.sort.fields.is_empty())
        {
            return invalid("partition spec and sort order have number 1, or 0 if they are empty".into());
        }
        if let Some(time) = new.time_field
            && new.columns.field_by_id(time).is_none()
        {
            return invalid(format!("time column id {time} is none of its columns"));
        }
        check_options(&new.properties)
    }

    fn drop_table(&mut self, schema: &str, name: &str, if_exists: bool, view: bool) -> Result<(), Error> {
        let def = match self.world.names.table(schema, name) {
            Ok(def) => def.clone(),
            Err(Error::TableNotFound { .. } | Error::SchemaNotFound { .. }) if if_exists => return Ok(()),
            Err(error) => return Err(error),
        };
        match (view, is_view(&def)) {
            (true, false) => return Err(Error::Invalid(format!("\"{name}\" is not a view"))),
            (false, true) => return Err(Error::Invalid(format!("\"{name}\" is not a table"))),
            _ => {}
        }
        self.drop_by_id(def.id)
    }

    fn drop_by_id(&mut self, table: TableId) -> Result<(), Error> {
        if self.world.table(table).is_none() {
            return Err(Error::Internal(format!("table {table} is to be dropped and not loaded")));
        }
        let base = self.world.head.txn;
        let schema_no = self.world.def(table).map_or(0, |def| def.schema.no);
        let (def, objects) = (self.world.def(table), &self.commit.objects);
        if let Some(def) = def
            && let Some(id) = def.properties.get(crate::ASSET)
        {
            let goes = |change: &ObjectChange| {
                matches!(change, ObjectChange::Flow(change)
                    if matches!(change.as_ref(), FlowChange::DropAsset(asset) if asset.to_string() == *id))
            };
            if !objects.iter().any(goes) {
                return Err(Error::IsAsset(def.full_name()));
            }
        }
        self.redefine(table, None);
        self.tally(table, base, ops::DROP).schema_no = schema_no;
        Ok(())
    }

    fn undrop_table(&mut self, schema: &str, name: &str) -> Result<(), Error> {
        let (found, tables) = self.world.names.schema(schema)?;
        if tables.contains_key(name) {
            return Err(Error::TableExists(name.to_owned()));
        }
        let schema_id = found.id; // its schema may have been dropped with it and made again
        let dropped = self.world.dropped.get(&(schema.to_owned(), name.to_owned())).cloned();
        let Some(def) = dropped.filter(|def| self.world.def(def.id).is_none()) else {
            return Err(Error::TableNotFound { name: format!("{schema}.{name}"), nearest: None });
        };
        let (table, base) = (def.id, self.world.head.txn);
        let mut properties = def.properties.clone();
        properties.remove(crate::ASSET); // its recipe is gone
        let back = TableDef { schema_id, begin_txn: self.txn, properties, ..(*def).clone() };
        self.redefine(table, Some(back));
        self.undropped.insert(table);
        self.tally(table, base, ops::CREATE | ops::RESTORE);
        self.committed.created_tables.push(table);
        self.committed.schemas.insert(table, (*def.schema).clone());
        Ok(())
    }

    fn rename_table(&mut self, table: TableId, schema: Option<&str>, name: &str) -> Result<(), Error> {
        check_table(name)?;
        let Some(def) = self.world.def(table).cloned() else {
            return Err(Error::TableNotFound { name: table.to_string(), nearest: None });
        };
        let (schema, tables) = self.world.names.schema(schema.unwrap_or(&def.schema_name))?;
        if (schema.id, name) == (def.schema_id, def.name.as_str()) {
            return Ok(());
        }
        if tables.contains_key(name) {
            return Err(Error::TableExists(name.to_owned()));
        }
        let base = self.world.head.txn;
        let renamed = TableDef {
            schema_id: schema.id,
            schema_name: schema.name.clone(),
            name: name.to_owned(),
            begin_txn: self.txn,
            ..(*def).clone()
        };
        self.redefine(table, Some(renamed));
        self.tally(table, base, ops::RENAME);
        Ok(())
    }
}

/// The id of object number `n` of a catalog.
pub(crate) fn object_id(catalog: i64, n: i64) -> i64 {
    (catalog << 32) | n
}

fn is_view(def: &TableDef) -> bool {
    matches!(def.kind, TableKind::View { .. })
}

pub(super) fn check_column_count(table: &str, columns: usize) -> Result<(), Error> {
    if columns > COLUMNS_PER_TABLE_MAX {
        return Err(Error::Limit(format!(
            "table {table:?} would have {columns} columns, columns_per_table_max is {COLUMNS_PER_TABLE_MAX}"
        )));
    }
    Ok(())
}

pub(super) fn set_options(
    options: &mut BTreeMap<String, String>,
    changes: &BTreeMap<String, Option<String>>,
) {
    for (name, value) in changes {
        match value {
            Some(value) => options.insert(name.clone(), value.clone()),
            None => options.remove(name),
        };
    }
}

pub(super) fn check_options(options: &BTreeMap<String, String>) -> Result<(), Error> {
    let bytes: usize = options.iter().map(|(name, value)| name.len() + value.len()).sum();
    if options.len() > OPTIONS_PER_TABLE_MAX || bytes > OPTION_BYTES_MAX {
        return Err(Error::Limit(format!(
            "{} options of {bytes} bytes, at most {OPTIONS_PER_TABLE_MAX} of {OPTION_BYTES_MAX} bytes are allowed",
            options.len()
        )));
    }
    Ok(())
}

/// Comments of a table and its columns.
pub(super) fn check_comments(def: &TableDef) -> Result<(), Error> {
    check_comment(def.comment.as_deref())?;
    def.schema.all_fields().iter().try_for_each(|(field, _)| check_comment(field.comment.as_deref()))
}

fn check_comment(comment: Option<&str>) -> Result<(), Error> {
    match comment {
        Some(comment) if comment.contains('\0') => {
            Err(Error::Invalid("comment holds a NUL character".into()))
        }
        Some(comment) if comment.len() > COMMENT_BYTES_MAX => Err(Error::Limit(format!(
            "comment of {} bytes, at most {COMMENT_BYTES_MAX} are allowed",
            comment.len()
        ))),
        _ => Ok(()),
    }
}
