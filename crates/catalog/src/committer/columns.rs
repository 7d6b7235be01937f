//! Changes of columns and options.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_vocab::{Field, FieldId, FieldType, SortField, SortOrder, TableSchema, check_column, nearest};

use super::objects::{check_column_count, check_options};
use super::step::Step;
use crate::conflict::ops;
use crate::widening::{Widening, widening};
use crate::{Alter, Error, TableChange, TableDef, TableKind};

impl Step<'_> {
    pub(super) fn alter(&mut self, change: &TableChange, alter: &Alter) -> Result<(), Error> {
        let Some(old) = self.world.def(change.table).cloned() else {
            return Err(Error::TableNotFound { name: change.table.to_string(), nearest: None });
        };
        if matches!(
            (alter, &old.kind),
            (Alter::AddColumns { .. } | Alter::WidenColumn { .. }, TableKind::View { .. })
        ) {
            return Err(Error::Invalid(format!(
                "\"{}\" is a view: its columns come from its query",
                old.name
            )));
        }
        let mut def = (*old).clone();
        match alter {
            Alter::AddColumns { columns, tags, if_not_exists } => {
                let next = &mut self.world.table_mut(change.table).state.next_field;
                add_columns(&mut def, columns, *if_not_exists, next)?;
                add_tags(&mut def, tags)?;
            }
            Alter::WidenColumn { column, field_type } => self.widen(change, &mut def, *column, field_type)?,
            Alter::SetProperties(options) => {
                set_options(&mut def.properties, options);
                check_options(&def.properties)?;
            }
        }
        let bits = [
            (ops::SCHEMA, def.schema != old.schema),
            (ops::SORT, def.sort != old.sort),
            (ops::OPTIONS, def.properties != old.properties),
        ];
        let changed = bits.iter().filter(|(_, changed)| *changed).fold(0, |all, (bit, _)| all | bit);
        if changed != 0 {
            def.begin_txn = self.txn;
            if def.schema.fields != old.schema.fields {
                // One commit makes one schema number, however many changes it has.
                let before = self.before.get(&change.table).cloned().unwrap_or_else(|| Some(old.clone()));
                let no = before.map_or(old.schema.no, |before| before.schema.no + 1);
                def.schema = Arc::new(TableSchema { no, fields: def.schema.fields.clone() });
            }
            if def.sort.fields != old.sort.fields {
                let before = self.before.get(&change.table).cloned().unwrap_or_else(|| Some(old.clone()));
                def.sort.no = before.map_or(1, |before| before.sort.no + 1);
            }
            self.redefine(change.table, Some(def));
            self.tally(change.table, change.base, changed);
        }
        if let Some(def) = self.world.def(change.table) {
            self.committed.schemas.insert(change.table, (*def.schema).clone());
        }
        Ok(())
    }

    fn widen(
        &mut self,
        change: &TableChange,
        def: &mut TableDef,
        column: FieldId,
        field_type: &FieldType,
    ) -> Result<(), Error> {
        let Some(field) = def.schema.field_by_id(column).cloned() else {
            return Err(Error::ColumnNotFound {
                table: def.full_name(),
                column: column.to_string(),
                nearest: None,
            });
        };
        let conflict = || Error::ColumnConflict {
            table: def.full_name(),
            column: field.name.clone(),
            existing: field.field_type.to_string(),
            given: field_type.to_string(),
        };
        match widening(&field.field_type, field_type) {
            Widening::Never => return Err(conflict()),
            Widening::Always => {}
            Widening::WithinDouble => {
                if !self.fits_double(change, column) {
                    return Err(Error::Invalid(format!(
                        "column {:?} of table {} has, or may have, values that DOUBLE cannot hold exactly (beyond ±2^53)",
                        field.name,
                        def.full_name()
                    )));
                }
            }
        }
        let fields = def.schema.fields.iter().map(|old| match old.id == column {
            true => Field { field_type: field_type.clone(), ..old.clone() },
            false => old.clone(),
        });
        def.schema = Arc::new(TableSchema { no: def.schema.no, fields: fields.collect() });
        Ok(())
    }

    /// True if the statistics of every live file show that the column's values are within ±2^53.
    fn fits_double(&self, change: &TableChange, column: FieldId) -> bool {
        let fits = self.world.table(change.table).and_then(|work| work.double_fits.as_ref());
        fits.is_some_and(|fits| fits.get(&column).copied().unwrap_or(true))
    }
}

fn add_columns(
    def: &mut TableDef,
    columns: &[(String, FieldType)],
    if_not_exists: bool,
    next_field: &mut i32,
) -> Result<(), Error> {
    let mut schema = (*def.schema).clone();
    for (name, field_type) in columns {
        check_column(name)?;
        if let Some(existing) = schema.field(name) {
            if !if_not_exists {
                return Err(Error::ColumnExists { table: def.full_name(), column: name.clone() });
            }
            // A column of which only NULLs are known fits any type.
            if existing.field_type != *field_type && *field_type != FieldType::Unknown {
                return Err(Error::ColumnConflict {
                    table: def.full_name(),
                    column: name.clone(),
                    existing: existing.field_type.to_string(),
                    given: field_type.to_string(),
                });
            }
            continue;
        }
        let id = FieldId(*next_field);
        *next_field += 1;
        schema.fields.push(Field {
            id,
            name: name.clone(),
            field_type: field_type.clone(),
            required: false,
            comment: None,
        });
    }
    check_column_count(&def.full_name(), schema.fields.len())?;
    def.schema = Arc::new(schema);
    Ok(())
}

/// Appends to the option `tags`; the sort order follows if it is the one that ingest makes: tags, then time.
fn add_tags(def: &mut TableDef, tags: &[String]) -> Result<(), Error> {
    let listed = def.properties.get("tags").cloned().unwrap_or_default();
    let mut names: Vec<String> =
        listed.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let old_order = tag_order(def, &names);
    let before = names.len();
    for tag in tags {
        let Some(field) = def.schema.field(tag) else {
            let columns = def.schema.fields.iter().map(|field| field.name.as_str());
            return Err(Error::ColumnNotFound {
                table: def.full_name(),
                column: tag.clone(),
                nearest: nearest(tag, columns).map(str::to_owned),
            });
        };
        if field.field_type != FieldType::String {
            return Err(Error::ColumnConflict {
                table: def.full_name(),
                column: tag.clone(),
                existing: field.field_type.to_string(),
                given: format!("a tag, which is {}", FieldType::String),
            });
        }
        if tag.contains(',') {
            return Err(Error::Invalid(format!("column {tag:?} cannot be a tag: its name holds a comma")));
        }
        if !names.contains(tag) {
            names.push(tag.clone());
        }
    }
    if names.len() == before {
        return Ok(());
    }
    if def.sort.no > 0 && def.sort.fields == old_order {
        def.sort = SortOrder { no: def.sort.no, fields: tag_order(def, &names) };
    }
    def.properties.insert("tags".into(), names.join(","));
    check_options(&def.properties)
}

fn tag_order(def: &TableDef, tags: &[String]) -> Vec<SortField> {
    let tags = tags.iter().filter_map(|tag| def.schema.field(tag)).map(|field| field.id);
    let ascending = |source| SortField { source, descending: false, nulls_first: false };
    tags.chain(def.time_field).map(ascending).collect()
}

fn set_options(options: &mut BTreeMap<String, String>, changes: &BTreeMap<String, Option<String>>) {
    for (name, value) in changes {
        match value {
            Some(value) => options.insert(name.clone(), value.clone()),
            None => options.remove(name),
        };
    }
}
