//! `CREATE TABLE`: columns, partitions, order, options; from a query, or like another table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use cenote_catalog::{NewTable, ObjectChange, TableDef, TableKind};
use cenote_vocab::{
    ErrorKind, Field, FieldId, FieldType, PartitionField, PartitionSpec, Permission, SchemaId, SortField,
    SortOrder, TableSchema, Transform,
};
use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableLikeKind, Ident, ObjectName, Statement as SqlStatement,
    TableConstraint,
};

use super::column_type::field_type;
use super::select::bind_parameters;
use super::{Answer, Guard, Prepared, insert, table_options};
use crate::Error;
use crate::parse::{TableClauses, folded, unsupported};
use crate::plan::{Binder, Resolver, fault, visible};
use crate::session::Inner;
use crate::transaction::{Staged, definition, with_table};

/// First id of a partition field, as in Iceberg.
const PART_FIELD_FIRST: i32 = 1000;
/// Most fields of a partition spec or sort order.
const SPEC_FIELDS_MAX: usize = 16;
/// `columns_per_table_max`
const COLUMNS_MAX: usize = 2000;

/// Creates the table, with the rows of its query.
pub(crate) async fn create_table(
    session: &Inner,
    create: &CreateTable,
    clauses: &TableClauses,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    refuse(create)?;
    let sql = prepared.sql.as_str();
    let path = session.search_path();
    let query = create
        .query
        .as_ref()
        .map(|query| AnyStatement::Statement(Box::new(SqlStatement::Query(query.clone()))));
    let snapshot = session
        .snapshot(true, |names| match &query {
            Some(query) => {
                Binder::pinned(query, &Resolver { names, identity: session.identity(), search_path: &path })
            }
            None => Ok(Vec::new()),
        })
        .await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let (schema, name) = resolver.creatable(&parts(&create.name), Permission::Write)?;
    let taken = snapshot.names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name));
    if let Some(taken) = taken
        && !create.or_replace
    {
        if create.if_not_exists {
            let notice = format!("NOTICE: table \"{name}\" already exists, skipping");
            return Ok(Answer::done(command(create)).with_notice(notice));
        }
        return Err(Error::from(cenote_catalog::Error::TableExists(taken.full_name())));
    }
    let like = match &create.like {
        Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) => {
            Some(resolver.writable(&parts(&like.name), Permission::Read)?)
        }
        None => None,
    };

    let staged_tables = session.staged_tables();
    let mut binder = session.binder(snapshot.clone(), &staged_tables);
    let plan = match query {
        Some(query) => {
            let planned = guard
                .run(async {
                    let plan = bind_parameters(binder.plan(query, sql, &path).await?, parameters, sql)?;
                    binder.state().optimize(&plan).map_err(|error| fault::of(error, sql))
                })
                .await?;
            Some(planned)
        }
        None => None,
    };
    let outputs = plan.as_ref().map(|plan| plan.schema().inner().clone());
    let table =
        new_table(session, create, clauses, (schema, name), outputs.as_ref(), like.as_deref()).await?;

    let mut staged = Staged {
        names: Some(Arc::new(with_table(&snapshot.names, &table))),
        sql: vec![sql.to_owned()],
        operation: "create_table",
        ..Staged::default()
    };
    let mut rows = None;
    if let Some(plan) = plan {
        let target = Arc::new(definition(&table, SchemaId(0)));
        let written = guard.run(insert::write(session, &binder, &target, &plan, sql)).await?;
        rows = Some(written.rows());
        if written.rows() > 0 {
            staged.rows.push((target, written));
        }
        staged.inputs = binder.inputs().clone();
    }
    staged.objects.push(ObjectChange::CreateTable(Box::new(table)));
    let txn = session.finish(staged, guard).await?;
    Ok(match rows {
        Some(rows) => Answer::wrote("SELECT", rows),
        None => Answer::done(command(create)),
    }
    .with_txn(txn))
}

fn command(create: &CreateTable) -> &'static str {
    if create.query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" }
}

/// The parts of a name.
pub(crate) fn parts(name: &ObjectName) -> Vec<Ident> {
    name.0.iter().filter_map(|part| part.as_ident().cloned()).collect()
}

fn refuse(create: &CreateTable) -> Result<(), Error> {
    let refused = [
        ("CREATE TEMPORARY TABLE", create.temporary),
        ("CREATE EXTERNAL TABLE", create.external),
        ("CREATE TABLE … CLONE", create.clone.is_some()),
        ("ON COMMIT", create.on_commit.is_some()),
        ("INHERITS and PARTITION OF", create.inherits.is_some() || create.partition_of.is_some()),
        ("PRIMARY KEY", create.primary_key.is_some()),
        ("ORDER BY in CREATE TABLE (write SORTED BY)", create.order_by.is_some()),
        ("CLUSTER BY", create.cluster_by.is_some() || create.clustered_by.is_some()),
        ("LOCATION", create.location.is_some()),
        (
            "STORED AS",
            create.file_format.is_some()
                || create.hive_formats.as_ref().is_some_and(|formats| {
                    formats.storage.is_some() || formats.row_format.is_some() || formats.location.is_some()
                }),
        ),
        ("IF NOT EXISTS with OR REPLACE", create.if_not_exists && create.or_replace),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
        return Err(unsupported(what));
    }
    match create.constraints.first() {
        Some(TableConstraint::PrimaryKey(_)) => Err(unsupported("PRIMARY KEY")),
        Some(constraint) => Err(unsupported(&format!("constraint {constraint}"))),
        None => Ok(()),
    }
}

async fn new_table(
    session: &Inner,
    create: &CreateTable,
    clauses: &TableClauses,
    (schema, name): (String, String),
    outputs: Option<&SchemaRef>,
    like: Option<&TableDef>,
) -> Result<NewTable, Error> {
    let mut properties = table_options::of_create(&create.table_options)?;
    let columns = match (outputs, like) {
        (Some(outputs), _) => of_query(outputs, &create.columns)?,
        (None, Some(like)) => TableSchema { no: 1, fields: like.schema.fields.clone() },
        (None, None) => declared(&create.columns)?,
    };
    check_columns(&columns)?;
    let (mut spec, mut sort) = (partition_spec(clauses, &columns)?, sort_order(clauses, &columns)?);
    let mut comment = clauses.comment.clone();
    if let Some(like) = like {
        if spec.fields.is_empty() {
            spec = PartitionSpec {
                no: i32::from(!like.spec.fields.is_empty()),
                fields: like.spec.fields.clone(),
            };
        }
        if sort.fields.is_empty() {
            sort =
                SortOrder { no: i32::from(!like.sort.fields.is_empty()), fields: like.sort.fields.clone() };
        }
        for (name, value) in &like.properties {
            properties.entry(name.clone()).or_insert_with(|| value.clone());
        }
        comment = comment.or_else(|| like.comment.clone());
    }
    let time_field = time_field(&columns, &spec, &sort, &properties)?;
    check_tags(&columns, &properties)?;
    let lake = session.engine().lake();
    let uuid = lake.ids.uuid();
    let scope = &session.identity().scope;
    Ok(NewTable {
        id: lake.catalog.reserve_table(scope).await?,
        uuid,
        schema,
        name,
        kind: TableKind::Table,
        columns,
        spec,
        sort,
        time_field,
        location: cenote_store::table_location(scope.tenant(), uuid),
        properties,
        comment,
        if_not_exists: create.if_not_exists,
        or_replace: create.or_replace,
    })
}

fn declared(columns: &[ColumnDef]) -> Result<TableSchema, Error> {
    if columns.is_empty() {
        return Err(
            Error::new(ErrorKind::Invalid, "a table needs at least one column").with_sqlstate("42601")
        );
    }
    let fields = columns.iter().enumerate().map(|(at, column)| declared_field(column, field_id(at)));
    Ok(TableSchema { no: 1, fields: fields.collect::<Result<_, Error>>()? })
}

fn field_id(at: usize) -> FieldId {
    FieldId(i32::try_from(at + 1).unwrap_or(i32::MAX))
}

/// A column as it is written in CREATE and ALTER TABLE.
pub(crate) fn declared_field(column: &ColumnDef, id: FieldId) -> Result<Field, Error> {
    let name = folded(&column.name);
    let mut field =
        Field { id, field_type: field_type(&name, &column.data_type)?, name, required: false, comment: None };
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => field.required = true,
            ColumnOption::Comment(text) => field.comment = Some(text.clone()),
            ColumnOption::Default(_) => {
                return Err(unsupported(&format!("DEFAULT of column \"{}\"", field.name)));
            }
            ColumnOption::PrimaryKey(_) => return Err(unsupported("PRIMARY KEY")),
            ColumnOption::Unique(_) => return Err(unsupported("UNIQUE")),
            ColumnOption::ForeignKey(_) => return Err(unsupported("REFERENCES")),
            ColumnOption::Check(_) => return Err(unsupported("CHECK")),
            other => return Err(unsupported(&format!("{other} of column \"{}\"", field.name))),
        }
    }
    Ok(field)
}

/// Columns of a query's answer; the names may be given.
pub(crate) fn of_query(outputs: &SchemaRef, names: &[ColumnDef]) -> Result<TableSchema, Error> {
    if names.len() > outputs.fields().len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} column names are given for {} columns", names.len(), outputs.fields().len()),
        )
        .with_sqlstate("42601"));
    }
    let fields = outputs.fields().iter().enumerate().map(|(at, output)| {
        Ok(Field {
            id: field_id(at),
            name: names
                .get(at)
                .map_or_else(|| visible(output.name()).to_owned(), |column| folded(&column.name)),
            field_type: cenote_datafile::field_type(output)?,
            required: false,
            comment: None,
        })
    });
    Ok(TableSchema { no: 1, fields: fields.collect::<Result<_, Error>>()? })
}

fn check_columns(columns: &TableSchema) -> Result<(), Error> {
    if columns.fields.len() > COLUMNS_MAX {
        let text =
            format!("{} columns are more than columns_per_table_max ({COLUMNS_MAX})", columns.fields.len());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54011"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for field in &columns.fields {
        cenote_vocab::check_column(&field.name)?;
        if !seen.insert(field.name.as_str()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("column \"{}\" is declared more than once", field.name),
            )
            .with_sqlstate("42701"));
        }
    }
    Ok(())
}

fn named<'a>(columns: &'a TableSchema, ident: &Ident, clause: &str) -> Result<&'a Field, Error> {
    let name = folded(ident);
    columns.field(&name).ok_or_else(|| {
        let error = Error::new(ErrorKind::Invalid, format!("column \"{name}\" in {clause} does not exist"))
            .with_sqlstate("42703");
        match cenote_vocab::nearest(&name, columns.fields.iter().map(|field| field.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

fn too_many(clause: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{clause} takes at most {SPEC_FIELDS_MAX} columns"))
        .with_sqlstate("54011")
}

fn partition_spec(clauses: &TableClauses, columns: &TableSchema) -> Result<PartitionSpec, Error> {
    if clauses.partition.len() > SPEC_FIELDS_MAX {
        return Err(too_many("PARTITIONED BY"));
    }
    let mut fields = Vec::new();
    for (item, part_field_id) in clauses.partition.iter().zip(PART_FIELD_FIRST..) {
        let source = named(columns, &item.column, "PARTITIONED BY")?;
        let Some(transform) = &item.transform else {
            return Err(unsupported("partitioning by a column's value").with_hint("use day(c) or hour(c)"));
        };
        let known = transform.parse::<Transform>().map_err(|_| {
            unsupported(&format!("partition transform {transform}")).with_hint("use day(c) or hour(c)")
        })?;
        let fits = match source.field_type {
            FieldType::Timestamp(_) | FieldType::TimestampTz(_) => true,
            FieldType::Date => known == Transform::Day,
            _ => false,
        };
        if !fits {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "partition transform {known} does not take column \"{}\" of type {}",
                    source.name,
                    source.field_type.sql_name()
                ),
            )
            .with_sqlstate("22023"));
        }
        fields.push(PartitionField { part_field_id, source: source.id, transform: known });
    }
    Ok(PartitionSpec { no: i32::from(!fields.is_empty()), fields })
}

fn sort_order(clauses: &TableClauses, columns: &TableSchema) -> Result<SortOrder, Error> {
    if clauses.sort.len() > SPEC_FIELDS_MAX {
        return Err(too_many("SORTED BY"));
    }
    let fields = clauses.sort.iter().map(|item| {
        let source = named(columns, &item.column, "SORTED BY")?;
        Ok(SortField { source: source.id, descending: item.descending, nulls_first: item.nulls_first })
    });
    let fields = fields.collect::<Result<Vec<_>, Error>>()?;
    Ok(SortOrder { no: i32::from(!fields.is_empty()), fields })
}

/// Option `time_column`, else the first timestamp of the partition or the order, else `time`.
fn time_field(
    columns: &TableSchema,
    spec: &PartitionSpec,
    sort: &SortOrder,
    properties: &BTreeMap<String, String>,
) -> Result<Option<FieldId>, Error> {
    let is_time =
        |field: &&Field| matches!(field.field_type, FieldType::Timestamp(_) | FieldType::TimestampTz(_));
    if let Some(name) = properties.get("time_column") {
        return match columns.field(name).filter(is_time) {
            Some(field) => Ok(Some(field.id)),
            None => Err(Error::new(
                ErrorKind::Invalid,
                format!("option time_column = '{name}': there is no such timestamp column"),
            )
            .with_sqlstate("22023")),
        };
    }
    let sources =
        spec.fields.iter().map(|part| part.source).chain(sort.fields.iter().map(|part| part.source));
    let first = sources.filter_map(|id| columns.field_by_id(id)).find(is_time);
    Ok(first.or_else(|| columns.field("time").filter(is_time)).map(|field| field.id))
}

fn check_tags(columns: &TableSchema, properties: &BTreeMap<String, String>) -> Result<(), Error> {
    for tag in
        properties.get("tags").into_iter().flat_map(|tags| tags.split(',')).filter(|tag| !tag.is_empty())
    {
        if columns.field(tag).is_none_or(|field| field.field_type != FieldType::String) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("option tags: there is no VARCHAR column \"{tag}\""),
            )
            .with_sqlstate("22023"));
        }
    }
    Ok(())
}
