//! `CREATE TABLE`: columns, partitions, order, options; from a query, or like another table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use cenote_catalog::{NewTable, ObjectChange, Privilege, TableDef};
use cenote_table::{Staging, Written};
use cenote_vocab::{
    ErrorKind, Field, FieldId, FieldType, PartitionField, PartitionSpec, SchemaId, SortField, SortOrder,
    TableSchema,
};
use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableLikeKind, DataType, Expr, Ident, IndexColumn,
    ObjectName, PrimaryKeyConstraint, Statement as SqlStatement, TableConstraint,
};

use super::alter::KEY_NOTICE;
use super::column_type::field_type;
use super::default_value::write_default;
use super::drop::{depended_on, dependents};
use super::select::bind_parameters;
use super::{Answer, Guard, Prepared, insert, table_options};
use crate::Error;
use crate::lineage::column_edges;
use crate::parse::{TableClauses, folded, unsupported};
use crate::plan::{Binder, Resolver, is_deterministic, refuse_materialized, visible};
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
    let (schema, name) = resolver.creatable(&parts(&create.name), Privilege::Create)?;
    let taken = snapshot.names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name));
    if let Some(taken) = taken
        && !create.or_replace
    {
        if create.if_not_exists {
            let notice = format!("table \"{name}\" already exists, skipping");
            return Ok(Answer::done(command(create)).with_notice(notice));
        }
        return Err(Error::from(cenote_catalog::Error::TableExists(taken.full_name())));
    }
    if let Some(taken) = taken {
        session.require(Privilege::Drop, taken.object())?;
        refuse_materialized(taken)?;
        let readers = dependents(&snapshot.names, taken);
        if !readers.is_empty() {
            return Err(depended_on(session, taken, &readers).with_hint("drop the view first"));
        }
    }
    let like = match &create.like {
        Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) => {
            Some(resolver.writable(&parts(&like.name), Privilege::Select)?)
        }
        None => None,
    };

    let mut binder = session.binder(snapshot.clone());
    let plan = match query {
        Some(query) => {
            let planned = guard
                .run(async {
                    let plan = bind_parameters(binder.plan(query, sql, &path).await?, parameters, sql)?;
                    binder.optimized(plan, sql).await
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
    let target = Arc::new(definition(&table, SchemaId(0)));
    staged.dropped = taken.map(|taken| taken.id).into_iter().collect();
    staged.rows = Staged::of_rows(Staging::of_new(target.clone()), Written::default());
    if let Some(plan) = plan {
        let written = guard
            .run(async { insert::write(session, &binder, &target, &plan, sql).await?.of_new_table().await })
            .await?;
        rows = Some(written.rows());
        staged.columns = column_edges(&plan, &target);
        staged.deterministic = Some(is_deterministic(&plan));
        staged.rows = Staged::of_rows(Staging::of_new(target), written);
        staged.inputs = binder.inputs().clone();
    }
    staged.objects = session.identity().owning(vec![ObjectChange::CreateTable(Box::new(table))]);
    let txn = session.finish(staged, guard).await?;
    let answer = match rows {
        Some(rows) => Answer::wrote("SELECT", rows),
        None => Answer::done(command(create)),
    };
    let answer = if Key::of(create)?.enforced { answer.with_notice(KEY_NOTICE) } else { answer };
    Ok(answer.with_txn(txn))
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
        ("PRIMARY KEY behind the columns", create.primary_key.is_some()),
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
    let other = create.constraints.iter().find(|one| !matches!(one, TableConstraint::PrimaryKey(_)));
    other.map_or(Ok(()), |constraint| Err(unsupported(&format!("constraint {constraint}"))))
}

pub(super) async fn new_table(
    session: &Inner,
    create: &CreateTable,
    clauses: &TableClauses,
    (schema, name): (String, String),
    outputs: Option<&SchemaRef>,
    like: Option<&TableDef>,
) -> Result<NewTable, Error> {
    let mut properties = table_options::of_create(&create.table_options)?;
    let mut key = Key::of(create)?;
    let mut columns = match (outputs, like) {
        (Some(outputs), _) => of_query(outputs, &create.columns)?,
        (None, Some(like)) => like.schema.fields.clone(),
        (None, None) => declared(&create.columns, clauses)?,
    };
    check_columns(&columns)?;
    if let Some(like) = like
        && key.columns.is_empty()
    {
        key.columns = like.key().map(|field| field.name.clone()).collect();
    }
    for name in &key.columns {
        let column = columns.iter_mut().find(|field| field.name == *name);
        column.ok_or_else(|| no_column(&TableSchema::default(), name, "PRIMARY KEY"))?.required = true;
    }
    // rows written before a column was there are rows of another table
    columns.iter_mut().for_each(|field| field.initial_default = None);
    let places: Vec<FieldId> = columns.iter().map(|field| field.id).collect();
    let columns = cenote_catalog::first_schema(columns)?;
    let (mut spec, mut sort) = (partition_spec(clauses, &columns)?, sort_order(clauses, &columns)?);
    let mut comment = clauses.comment.clone();
    if let Some(like) = like {
        // the ids of the copy count anew
        let renumbered = |id: FieldId| {
            let at = places.iter().position(|place| *place == id);
            at.and_then(|at| columns.fields.get(at)).map_or(id, |field| field.id)
        };
        if spec.fields.is_empty() {
            let fields = like.spec.fields.iter().zip(PART_FIELD_FIRST..).map(|(part, part_field_id)| {
                PartitionField { part_field_id, source: renumbered(part.source), ..part.clone() }
            });
            spec = PartitionSpec { no: i32::from(!like.spec.fields.is_empty()), fields: fields.collect() };
        }
        if sort.fields.is_empty() {
            let fields = like.sort.fields.iter();
            let fields = fields.map(|field| SortField { source: renumbered(field.source), ..field.clone() });
            sort = SortOrder { no: i32::from(!like.sort.fields.is_empty()), fields: fields.collect() };
        }
        for (name, value) in like.properties.iter().filter(|(name, _)| *name != cenote_catalog::ASSET) {
            properties.entry(name.clone()).or_insert_with(|| value.clone());
        }
        comment = comment.or_else(|| like.comment.clone());
    }
    let key_fields =
        key.columns.iter().filter_map(|name| columns.field(name)).map(|field| field.id).collect();
    let time_field = time_field(&columns, &spec, &sort, &properties)?;
    check_tags(&columns, &properties)?;
    let lake = session.engine().lake();
    let scope = &session.identity().scope;
    let ids = (lake.catalog.reserve_table(scope).await?, lake.ids.uuid());
    let mut table = NewTable {
        spec,
        sort,
        time_field,
        key_fields,
        properties,
        comment,
        if_not_exists: create.if_not_exists,
        or_replace: create.or_replace,
        ..NewTable::plain(scope.tenant(), ids, (schema, name), columns)
    };
    table_options::default_dedup(&mut table, lake.options.dedup);
    cenote_table::check_dedup(&definition(&table, SchemaId(0)))?;
    Ok(table)
}

/// The primary key that a CREATE TABLE declares, at a column or for the table.
struct Key {
    columns: Vec<String>,
    /// Declared without NOT ENFORCED.
    enforced: bool,
}

impl Key {
    fn of(create: &CreateTable) -> Result<Self, Error> {
        let mut found: Option<Self> = None;
        let mut add = |columns, key: &PrimaryKeyConstraint| {
            let enforced = key.characteristics.as_ref().and_then(|said| said.enforced) != Some(false);
            match found.replace(Self { columns, enforced }) {
                None => Ok(()),
                Some(_) => {
                    Err(Error::new(ErrorKind::Invalid, "a table has one PRIMARY KEY").with_sqlstate("42P16"))
                }
            }
        };
        for column in &create.columns {
            for option in &column.options {
                if let ColumnOption::PrimaryKey(key) = &option.option {
                    add(vec![folded(&column.name)], key)?;
                }
            }
        }
        for constraint in &create.constraints {
            let TableConstraint::PrimaryKey(key) = constraint else { continue };
            let column = |column: &IndexColumn| match &column.column.expr {
                Expr::Identifier(name) => Ok(folded(name)),
                other => Err(unsupported(&format!("PRIMARY KEY ({other})"))),
            };
            add(key.columns.iter().map(column).collect::<Result<_, _>>()?, key)?;
        }
        Ok(found.unwrap_or(Self { columns: Vec::new(), enforced: false }))
    }
}

fn declared(columns: &[ColumnDef], clauses: &TableClauses) -> Result<Vec<Field>, Error> {
    if columns.is_empty() {
        return Err(
            Error::new(ErrorKind::Invalid, "a table needs at least one column").with_sqlstate("42601")
        );
    }
    columns.iter().map(|column| declared_field(column, clauses)).collect()
}

/// A column as it is written in CREATE TABLE. Ids are given later.
fn declared_field(column: &ColumnDef, clauses: &TableClauses) -> Result<Field, Error> {
    let name = folded(&column.name);
    let mut field = Field::new(FieldId(0), name.clone(), written_type(&name, &column.data_type, clauses)?);
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => field.required = true,
            ColumnOption::Comment(text) => field.comment = Some(text.clone()),
            ColumnOption::Default(value) => {
                field.write_default = write_default(&name, &field.field_type, value)?;
            }
            ColumnOption::PrimaryKey(_) => {} // of the table: see `Key`
            ColumnOption::Unique(_) => return Err(unsupported("UNIQUE")),
            ColumnOption::ForeignKey(_) => return Err(unsupported("REFERENCES")),
            ColumnOption::Check(_) => return Err(unsupported("CHECK")),
            other => return Err(unsupported(&format!("{other} of column \"{}\"", field.name))),
        }
    }
    Ok(field)
}

/// The type as it stands, or the one that a word stands for.
fn written_type(column: &str, data_type: &DataType, clauses: &TableClauses) -> Result<FieldType, Error> {
    if let DataType::Custom(word, arguments) = data_type
        && arguments.is_empty()
        && let Some(known) = clauses.type_of(&word.to_string())
    {
        return Ok(known.clone());
    }
    field_type(column, data_type)
}

/// Columns of a query's answer; the names may be given.
fn of_query(outputs: &SchemaRef, names: &[ColumnDef]) -> Result<Vec<Field>, Error> {
    if names.len() > outputs.fields().len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} column names are given for {} columns", names.len(), outputs.fields().len()),
        )
        .with_sqlstate("42601"));
    }
    let fields = outputs.fields().iter().enumerate().map(|(at, output)| {
        let given = names.get(at).map(|column| folded(&column.name));
        let name = given.unwrap_or_else(|| visible(output.name()).to_owned());
        Ok(Field::new(FieldId(0), name, cenote_datafile::field_type(output)?))
    });
    let fields = fields.collect::<Result<Vec<_>, Error>>()?;
    check_output_names(&fields)?;
    Ok(fields)
}

/// Fails if two columns of a query have one name: an answer may, a table or a view may not.
pub(crate) fn check_output_names(fields: &[Field]) -> Result<(), Error> {
    for (at, field) in fields.iter().enumerate() {
        if let Some(first) = fields[..at].iter().position(|earlier| earlier.name == field.name) {
            let text = format!(
                "columns {} and {} of the query are both named \"{}\"",
                first + 1,
                at + 1,
                field.name
            );
            return Err(Error::new(ErrorKind::Invalid, text)
                .with_sqlstate("42701")
                .with_hint("give one of them another name with AS"));
        }
    }
    Ok(())
}

fn check_columns(columns: &[Field]) -> Result<(), Error> {
    if columns.len() > COLUMNS_MAX {
        let text = format!("{} columns are more than columns_per_table_max ({COLUMNS_MAX})", columns.len());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54011"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for field in columns {
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
    columns.field(&name).ok_or_else(|| no_column(columns, &name, clause))
}

fn no_column(columns: &TableSchema, name: &str, clause: &str) -> Error {
    let error = Error::new(ErrorKind::Invalid, format!("column \"{name}\" in {clause} does not exist"))
        .with_sqlstate("42703");
    match cenote_vocab::nearest(name, columns.fields.iter().map(|field| field.name.as_str())) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
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
        if !item.transform.takes(&source.field_type) {
            return Err(Error::from(cenote_catalog::Error::Transform {
                transform: item.transform.to_string(),
                column: source.name.clone(),
                given: source.field_type.sql_name(),
            }));
        }
        fields.push(PartitionField { part_field_id, source: source.id, transform: item.transform });
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
