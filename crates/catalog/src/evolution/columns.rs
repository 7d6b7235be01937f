//! Changes of columns, nested ones too.

use std::sync::Arc;

use cenote_vocab::{Field, FieldId, FieldType, TableSchema, check_column, nearest};

use super::{Circumstances, ColumnPath, Evolution, Place};
use crate::widening::{Widening, allowed, widening};
use crate::{Clash, Error, TableDef};

/// Fields in fields, the column itself counted.
const NESTING_MAX: usize = 32;

pub(super) fn change(
    def: &mut TableDef,
    change: &Evolution,
    known: &mut Circumstances<'_>,
) -> Result<(), Error> {
    let mut fields = def.schema.fields.clone();
    match change {
        Evolution::AddColumn { parent, column, place, if_not_exists } => {
            let new = Addition { parent, column, place, if_not_exists: *if_not_exists };
            new.apply(def, &mut fields, known)?;
        }
        Evolution::DropColumn { path, if_exists } => drop_column(def, &mut fields, path, *if_exists)?,
        Evolution::RenameColumn { path, name } => rename(def, &mut fields, path, name)?,
        Evolution::MoveColumn { path, place } => {
            let (neighbours, at) = neighbours(def, &mut fields, path)?;
            let moved = neighbours.remove(at);
            insert(def, neighbours, moved, place)?;
        }
        Evolution::SetType { path, field_type } => set_type(def, &mut fields, path, field_type, known)?,
        Evolution::SetNotNull(path) => set_not_null(def, &mut fields, path, known)?,
        Evolution::DropNotNull(path) => {
            let field = find(def, &mut fields, path)?;
            if def.key_fields.contains(&field.id) {
                return Err(needed(def, &field.name, "the primary key"));
            }
            field.required = false;
        }
        Evolution::SetDefault { path, default } => {
            find(def, &mut fields, path)?.write_default.clone_from(default);
        }
        Evolution::SetColumnComment { path, comment } => {
            find(def, &mut fields, path)?.comment.clone_from(comment);
        }
        Evolution::SetComment(_)
        | Evolution::SetPartition(_)
        | Evolution::SetSort(_)
        | Evolution::SetKey(_) => {} // no changes of columns
    }
    if fields != def.schema.fields {
        def.schema = Arc::new(TableSchema { no: def.schema.no, fields });
    }
    Ok(())
}

struct Addition<'a> {
    parent: &'a ColumnPath,
    column: &'a Field,
    place: &'a Place,
    if_not_exists: bool,
}

impl Addition<'_> {
    fn apply(
        &self,
        def: &TableDef,
        fields: &mut Vec<Field>,
        known: &mut Circumstances<'_>,
    ) -> Result<(), Error> {
        check_column(&self.column.name)?;
        let neighbours = match self.parent.is_empty() {
            true => fields,
            false => match &mut find(def, fields, self.parent)?.field_type {
                FieldType::Struct(inner) => inner,
                other => {
                    return Err(Error::Invalid(format!(
                        "column {:?} of table {} is {}: only a STRUCT takes new fields",
                        self.parent.join("."),
                        def.full_name(),
                        other.sql_name()
                    )));
                }
            },
        };
        if neighbours.iter().any(|field| field.name == self.column.name) {
            if self.if_not_exists {
                return Ok(());
            }
            return Err(Error::ColumnExists { table: def.full_name(), column: self.column.name.clone() });
        }
        if self.column.required && self.column.initial_default.is_none() {
            return Err(Error::NotNull(format!(
                "new column {:?} of table {} cannot be NOT NULL without a DEFAULT",
                self.column.name,
                def.full_name()
            )));
        }
        let mut column = self.column.clone();
        give_ids(&mut column, known.next_field, 1)?;
        insert(def, neighbours, column, self.place)
    }
}

/// The first schema of a table: columns get ids from 1 in their order, fields in them those behind.
///
/// `ColumnExists` if a name repeats within one struct, `Limit` if a column is nested too deep.
pub fn first_schema(mut fields: Vec<Field>) -> Result<TableSchema, Error> {
    let mut next = 1;
    for field in &mut fields {
        field.id = FieldId(next);
        next += 1;
    }
    for field in &mut fields {
        give_inner_ids(field, &mut next, 1)?;
    }
    Ok(TableSchema { no: 1, fields })
}

/// Ids for a new field and all that are in it. `Invalid` if names repeat, `Limit` if it is nested too deep.
pub(crate) fn give_ids(field: &mut Field, next: &mut i32, depth: usize) -> Result<(), Error> {
    field.id = FieldId(*next);
    *next += 1;
    give_inner_ids(field, next, depth)
}

fn give_inner_ids(field: &mut Field, next: &mut i32, depth: usize) -> Result<(), Error> {
    if depth > NESTING_MAX {
        return Err(Error::Limit(format!("column {:?} is nested deeper than {NESTING_MAX}", field.name)));
    }
    let mut names = std::collections::BTreeSet::new();
    let parent = field.name.clone();
    for child in field.field_type.children_mut() {
        check_column(&child.name)?;
        if !names.insert(child.name.clone()) {
            return Err(Error::ColumnExists { table: parent, column: child.name.clone() });
        }
        give_ids(child, next, depth + 1)?;
    }
    Ok(())
}

fn drop_column(
    def: &mut TableDef,
    fields: &mut Vec<Field>,
    path: &ColumnPath,
    if_exists: bool,
) -> Result<(), Error> {
    let (neighbours, at) = match neighbours(def, fields, path) {
        Ok(found) => found,
        Err(Error::ColumnNotFound { .. }) if if_exists => return Ok(()),
        Err(error) => return Err(error),
    };
    if neighbours.len() == 1 {
        return Err(Error::Invalid(format!(
            "column {:?} is the last of {}",
            path.join("."),
            if path.len() == 1 { format!("table {}", def.full_name()) } else { "its struct".to_owned() }
        )));
    }
    let id = neighbours[at].id;
    let user = [
        ("the partition spec", def.spec.fields.iter().any(|field| field.source == id)),
        ("the sort order", def.sort.fields.iter().any(|field| field.source == id)),
        ("the primary key", def.key_fields.contains(&id)),
    ];
    if let Some((user, _)) = user.iter().find(|(_, used)| *used) {
        return Err(needed(def, &path.join("."), user));
    }
    let gone = neighbours.remove(at);
    if def.time_field == Some(id) {
        def.time_field = None;
        def.properties.remove("time_column");
    }
    if path.len() == 1 {
        retag(def, &gone.name, None);
    }
    Ok(())
}

fn rename(def: &mut TableDef, fields: &mut Vec<Field>, path: &ColumnPath, name: &str) -> Result<(), Error> {
    check_column(name)?;
    let (neighbours, at) = neighbours(def, fields, path)?;
    let old = neighbours[at].name.clone();
    if old == name {
        return Ok(());
    }
    if neighbours.iter().any(|field| field.name == name) {
        return Err(Error::ColumnExists { table: def.full_name(), column: name.to_owned() });
    }
    neighbours[at].name = name.to_owned();
    if path.len() == 1 {
        retag(def, &old, Some(name));
        if def.properties.get("time_column") == Some(&old) {
            def.properties.insert("time_column".into(), name.to_owned());
        }
    }
    Ok(())
}

/// The option `tags` names columns: it follows them.
fn retag(def: &mut TableDef, old: &str, new: Option<&str>) {
    let Some(tags) = def.properties.get("tags") else { return };
    let renamed = tags.split(',').filter_map(|tag| if tag == old { new } else { Some(tag) });
    let renamed = renamed.collect::<Vec<_>>().join(",");
    match renamed.is_empty() {
        true => def.properties.remove("tags"),
        false => def.properties.insert("tags".into(), renamed),
    };
}

fn set_type(
    def: &TableDef,
    fields: &mut [Field],
    path: &ColumnPath,
    wanted: &FieldType,
    known: &Circumstances<'_>,
) -> Result<(), Error> {
    let field = find(def, fields, path)?;
    if field.field_type == *wanted {
        return Ok(());
    }
    let incompatible = |reason: Option<String>| Error::SchemaIncompatible {
        table: def.full_name(),
        column: path.join("."),
        from: field.field_type.sql_name(),
        to: wanted.sql_name(),
        reason: reason.unwrap_or_else(|| allowed(&field.field_type)),
    };
    match widening(&field.field_type, wanted) {
        Widening::Never => return Err(incompatible(None)),
        Widening::Always => {}
        Widening::Within(range) => {
            if !known.findings.is_some_and(|findings| findings.fit(field.id, &range)) {
                let reason =
                    format!("it has, or may have, values outside of {} to {}", range.start(), range.end());
                return Err(incompatible(Some(reason)));
            }
        }
    }
    let changed = def
        .spec
        .fields
        .iter()
        .find(|part| part.source == field.id && !part.transform.survives(&field.field_type, wanted));
    if let Some(part) = changed {
        let reason = format!(
            "the table is partitioned by {}, whose values would change",
            part.transform.sql(&format!("{:?}", field.name))
        );
        return Err(incompatible(Some(reason)));
    }
    field.field_type = wanted.clone();
    Ok(())
}

fn set_not_null(
    def: &TableDef,
    fields: &mut [Field],
    path: &ColumnPath,
    known: &Circumstances<'_>,
) -> Result<(), Error> {
    if path.len() > 1 {
        return Err(Error::Unsupported(format!("NOT NULL of nested column {:?}", path.join("."))));
    }
    let field = find(def, fields, path)?;
    if field.required {
        return Ok(());
    }
    // What was there at the base, the caller has looked at; what came after is judged by its statistics.
    let with_txn = known.findings.map_or(Some(known.base), |findings| findings.null_after(field, known.base));
    if let Some(with_txn) = with_txn {
        let (table, table_id, files) = (def.full_name(), def.id, Vec::new());
        return Err(Error::CommitConflict { table, table_id, clash: Clash::Appended, with_txn, files });
    }
    field.required = true;
    Ok(())
}

fn find<'a>(def: &TableDef, fields: &'a mut [Field], path: &[String]) -> Result<&'a mut Field, Error> {
    let missing = |names: Vec<&str>| {
        let name = path.join(".");
        let nearest = nearest(path.last().map_or("", String::as_str), names).map(str::to_owned);
        Error::ColumnNotFound { table: def.full_name(), column: name, nearest }
    };
    let [first, rest @ ..] = path else { return Err(missing(Vec::new())) };
    let Some(at) = fields.iter().position(|field| field.name == *first) else {
        return Err(missing(fields.iter().map(|field| field.name.as_str()).collect()));
    };
    let mut field = &mut fields[at];
    for name in rest {
        let at = field.field_type.children().iter().position(|child| child.name == *name);
        let Some(at) = at else {
            let names = field.field_type.children().into_iter().map(|child| child.name.as_str());
            return Err(missing(names.collect()));
        };
        field = field.field_type.children_mut().swap_remove(at);
    }
    Ok(field)
}

/// The fields among which a column is, and its place there. Elements, keys and values have no neighbours to be changed.
fn neighbours<'a>(
    def: &TableDef,
    fields: &'a mut Vec<Field>,
    path: &ColumnPath,
) -> Result<(&'a mut Vec<Field>, usize), Error> {
    let id = find(def, fields, path)?.id;
    let all = match path.split_last() {
        None | Some((_, [])) => fields,
        Some((_, parent)) => match &mut find(def, fields, parent)?.field_type {
            FieldType::Struct(inner) => inner,
            other => {
                return Err(Error::Invalid(format!(
                    "column {:?} of table {} is part of {} and stays where it is",
                    path.join("."),
                    def.full_name(),
                    other.sql_name()
                )));
            }
        },
    };
    let at = all.iter().position(|field| field.id == id).unwrap_or(0);
    Ok((all, at))
}

fn insert(def: &TableDef, neighbours: &mut Vec<Field>, field: Field, place: &Place) -> Result<(), Error> {
    let at = match place {
        Place::Last => neighbours.len(),
        Place::First => 0,
        Place::After(name) => {
            let found = neighbours.iter().position(|neighbour| neighbour.name == *name);
            found.map(|at| at + 1).ok_or_else(|| Error::ColumnNotFound {
                table: def.full_name(),
                column: name.clone(),
                nearest: nearest(name, neighbours.iter().map(|field| field.name.as_str())).map(str::to_owned),
            })?
        }
    };
    neighbours.insert(at, field);
    Ok(())
}

fn needed(def: &TableDef, column: &str, user: &str) -> Error {
    Error::Needed { table: def.full_name(), column: column.to_owned(), user: user.to_owned() }
}

#[cfg(test)]
mod tests;
