//! Changes of partitions, order and key: for new files only, so nothing is rewritten.

use std::collections::BTreeSet;

use cenote_vocab::{
    Field, FieldId, FieldType, PartitionField, PartitionSpec, SortField, SortOrder, Transform, nearest,
};

use super::{Circumstances, SortColumn};
use crate::{Error, TableDef};

/// The most columns of a key, a sort order, and a partition spec.
pub(crate) const LAYOUT_FIELDS_MAX: usize = 16;

pub(super) fn set_partition(
    def: &mut TableDef,
    parts: &[(String, Transform)],
    known: &mut Circumstances<'_>,
) -> Result<(), Error> {
    let mut fields: Vec<PartitionField> = Vec::with_capacity(parts.len());
    for (name, transform) in parts {
        let source = column(def, name)?.id;
        let part_field_id = known_part(known, source, *transform).unwrap_or_else(|| {
            *known.next_part_field += 1;
            *known.next_part_field - 1
        });
        fields.push(PartitionField { part_field_id, source, transform: *transform });
    }
    if fields == def.spec.fields {
        return Ok(());
    }
    let newest = known.layouts.specs.keys().copied().max().unwrap_or(0).max(def.spec.no);
    let no = if fields.is_empty() { 0 } else { newest + 1 };
    def.spec = PartitionSpec { no, fields };
    check_partition(def)
}

/// The id that this (source, transform) had in an earlier spec.
fn known_part(known: &Circumstances<'_>, source: FieldId, transform: Transform) -> Option<i32> {
    let fields = known.layouts.specs.values().flat_map(|spec| &spec.fields);
    fields
        .into_iter()
        .find(|field| (field.source, field.transform) == (source, transform))
        .map(|field| field.part_field_id)
}

/// `Invalid` if a spec cannot be one of the table.
pub(crate) fn check_partition(def: &TableDef) -> Result<(), Error> {
    check_count("PARTITIONED BY", def.spec.fields.len())?;
    let mut seen = BTreeSet::new();
    for part in &def.spec.fields {
        let source = source(def, part.source)?;
        if !part.transform.takes(&source.field_type) {
            return Err(Error::Transform {
                transform: part.transform.to_string(),
                column: source.name.clone(),
                given: source.field_type.sql_name(),
            });
        }
        if !seen.insert((part.source, part.transform.to_string())) {
            return Err(Error::Invalid(format!(
                "PARTITIONED BY names {} twice",
                part.transform.sql(&format!("{:?}", source.name))
            )));
        }
    }
    Ok(())
}

pub(super) fn set_sort(
    def: &mut TableDef,
    columns: &[SortColumn],
    known: &mut Circumstances<'_>,
) -> Result<(), Error> {
    let field = |wanted: &SortColumn| {
        Ok(SortField {
            source: column(def, &wanted.column)?.id,
            descending: wanted.descending,
            nulls_first: wanted.nulls_first,
        })
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, Error>>()?;
    if fields == def.sort.fields {
        return Ok(());
    }
    let no = if fields.is_empty() { 0 } else { known.layouts.sort_no_max.max(def.sort.no) + 1 };
    def.sort = SortOrder { no, fields };
    check_sort(def)
}

/// `Invalid` if an order cannot be one of the table.
pub(crate) fn check_sort(def: &TableDef) -> Result<(), Error> {
    check_count("SORTED BY", def.sort.fields.len())?;
    let mut seen = BTreeSet::new();
    for field in &def.sort.fields {
        check_plain("SORTED BY", source(def, field.source)?)?;
        if !seen.insert(field.source) {
            return Err(twice("SORTED BY", source(def, field.source)?));
        }
    }
    Ok(())
}

pub(super) fn set_key(def: &mut TableDef, columns: &[String]) -> Result<(), Error> {
    let ids = columns.iter().map(|name| Ok(column(def, name)?.id)).collect::<Result<Vec<_>, Error>>()?;
    if !ids.is_empty() && !def.key_fields.is_empty() && ids != def.key_fields {
        return Err(Error::Invalid(format!("table {} has a primary key already", def.full_name())));
    }
    def.key_fields = ids;
    check_key(def)
}

/// `Invalid` if a key cannot be one of the table.
pub(crate) fn check_key(def: &TableDef) -> Result<(), Error> {
    check_count("PRIMARY KEY", def.key_fields.len())?;
    let mut seen = BTreeSet::new();
    for id in &def.key_fields {
        let field = source(def, *id)?;
        check_plain("PRIMARY KEY", field)?;
        if matches!(field.field_type, FieldType::Float | FieldType::Double | FieldType::Json) {
            return Err(Error::Invalid(format!(
                "PRIMARY KEY does not take column {:?} of type {}",
                field.name,
                field.field_type.sql_name()
            )));
        }
        if !field.required {
            return Err(Error::Invalid(format!(
                "PRIMARY KEY does not take column {:?}, which is not NOT NULL",
                field.name
            )));
        }
        if !seen.insert(*id) {
            return Err(twice("PRIMARY KEY", field));
        }
    }
    Ok(())
}

fn check_count(clause: &str, count: usize) -> Result<(), Error> {
    if count <= LAYOUT_FIELDS_MAX {
        return Ok(());
    }
    Err(Error::Limit(format!("{clause} takes at most {LAYOUT_FIELDS_MAX} columns, {count} are given")))
}

fn check_plain(clause: &str, field: &Field) -> Result<(), Error> {
    if field.field_type.is_nested() {
        return Err(Error::Invalid(format!(
            "{clause} does not take column {:?} of type {}",
            field.name,
            field.field_type.sql_name()
        )));
    }
    Ok(())
}

fn twice(clause: &str, field: &Field) -> Error {
    Error::Invalid(format!("{clause} names column {:?} twice", field.name))
}

fn source(def: &TableDef, id: FieldId) -> Result<&Field, Error> {
    def.schema.field_by_id(id).ok_or_else(|| {
        Error::Invalid(format!(
            "partition, order, key or time of table {:?} name column id {id}, which it does not have",
            def.name
        ))
    })
}

fn column<'a>(def: &'a TableDef, name: &str) -> Result<&'a Field, Error> {
    def.schema.field(name).ok_or_else(|| {
        let columns = def.schema.fields.iter().map(|field| field.name.as_str());
        Error::ColumnNotFound {
            table: def.full_name(),
            column: name.to_owned(),
            nearest: nearest(name, columns).map(str::to_owned),
        }
    })
}
