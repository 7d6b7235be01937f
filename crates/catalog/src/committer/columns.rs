//! Changes of a table's definition: those of ingest, those of options, and planned ones.

use std::sync::Arc;

use cenote_vocab::{Field, FieldId, FieldType, SortField, SortOrder, TableSchema, check_column, nearest};

use super::objects::{check_column_count, check_comments, check_options, set_options};
use super::reads::conflict;
use super::step::Step;
use crate::conflict::ops;
use crate::evolution::{Circumstances, Evolution, give_ids};
use crate::widening::{Widening, widening};
use crate::{Alter, Clash, Error, TableChange, TableDef, TableKind};

impl Step<'_> {
    pub(super) fn alter(&mut self, change: &TableChange, alter: &Alter) -> Result<(), Error> {
        let Some(old) = self.world.def(change.table).cloned() else {
            return Err(Error::TableNotFound { name: change.table.to_string(), nearest: None });
        };
        let of_view = matches!(alter, Alter::SetProperties(_) | Alter::Evolve(Evolution::SetComment(_)));
        if matches!(old.kind, TableKind::View { .. }) && !of_view {
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
            Alter::Evolve(evolution) => self.evolve(change, &mut def, evolution)?,
        }
        let bits = [
            (ops::SCHEMA, def.schema != old.schema || def.key_fields != old.key_fields),
            (ops::SPEC, def.spec != old.spec),
            (ops::SORT, def.sort != old.sort),
            (ops::OPTIONS, def.properties != old.properties || def.comment != old.comment),
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
            self.redefine(change.table, Some(def));
            self.tally(change.table, change.base, changed);
        }
        if let Some(def) = self.world.def(change.table) {
            self.committed.schemas.insert(change.table, (*def.schema).clone());
        }
        Ok(())
    }

    /// A planned change, on the definition that it was planned on.
    fn evolve(
        &mut self,
        change: &TableChange,
        def: &mut TableDef,
        evolution: &Evolution,
    ) -> Result<(), Error> {
        let planned_on = match self.before.get(&change.table) {
            Some(before) => before.as_ref().map_or(change.base, |before| before.begin_txn),
            None => def.begin_txn,
        };
        if planned_on > change.base {
            return Err(conflict(def, Clash::Altered, planned_on, Vec::new()));
        }
        let work = self.world.table_mut(change.table);
        let mut layouts = work.layouts.take().unwrap_or_default();
        layouts.specs.insert(def.spec.no, def.spec.clone());
        layouts.sort_no_max = layouts.sort_no_max.max(def.sort.no);
        let applied = evolution.apply(
            def,
            &mut Circumstances {
                base: change.base,
                next_field: &mut work.state.next_field,
                next_part_field: &mut work.state.next_part_field,
                layouts: &layouts,
                findings: work.findings.as_ref(),
            },
        );
        layouts.specs.insert(def.spec.no, def.spec.clone());
        layouts.sort_no_max = layouts.sort_no_max.max(def.sort.no);
        if evolution.needs_layouts() {
            work.layouts = Some(layouts);
        }
        applied?;
        check_comments(def)?;
        check_column_count(&def.full_name(), def.schema.all_fields().len())
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
            Widening::Within(range) => {
                let findings = self.world.table(change.table).and_then(|work| work.findings.as_ref());
                if !findings.is_some_and(|findings| findings.fit(column, &range)) {
                    return Err(Error::Invalid(format!(
                        "column {:?} of table {} has, or may have, values that {} cannot hold exactly (beyond ±2^53)",
                        field.name,
                        def.full_name(),
                        field_type.sql_name()
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
        let mut field = Field::new(FieldId(0), name.clone(), field_type.clone());
        give_ids(&mut field, next_field, 1)?;
        schema.fields.push(field);
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
        // the present order is the newest one: the next number is free
        def.sort = SortOrder { no: def.sort.no + 1, fields: tag_order(def, &names) };
    }
    def.properties.insert("tags".into(), names.join(","));
    check_options(&def.properties)
}

fn tag_order(def: &TableDef, tags: &[String]) -> Vec<SortField> {
    let tags = tags.iter().filter_map(|tag| def.schema.field(tag)).map(|field| field.id);
    let ascending = |source| SortField { source, descending: false, nulls_first: false };
    tags.chain(def.time_field).map(ascending).collect()
}
