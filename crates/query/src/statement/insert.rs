//! `INSERT INTO t [(columns)] VALUES … | SELECT …`: rows stream into files, one commit makes them visible.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Privilege, TableDef};
use cenote_table::{Dedup, Staging};
use cenote_vocab::{ErrorKind, Field, FieldType};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Projection, cast};
use datafusion::sql::parser::Statement as AnyStatement;
use futures::TryStreamExt;
use sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Insert, ObjectName, SelectItem,
    SetExpr, Statement as SqlStatement, TableObject, Values,
};

use super::create_table::parts;
use super::keyed::{Rows, Sink};
use super::select::bind_parameters;
use super::{Answer, Guard, Prepared, Returned, keyed, upsert};
use crate::Error;
use crate::change;
use crate::change::{ChangedRows, Returning, check_assignable, check_fields, last_part};
use crate::lineage::column_edges;
use crate::parse::{Parsed, parse, quoted, unsupported};
use crate::plan::{Binder, Resolver, column_of, fault, is_deterministic};
use crate::session::Inner;
use crate::transaction::Staged;

/// Writes the rows, and commits or stages them.
pub(crate) async fn insert(
    session: &Inner,
    insert: &Insert,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    if session.in_transaction() && replaces(session, insert).await? {
        let verb = upsert::replacing(insert)?;
        return Box::pin(change::run(session, &verb, prepared, parameters, guard)).await;
    }
    let sql = prepared.sql.as_str();
    let rows = guard
        .run(Box::pin(async {
            let path = session.search_path();
            let source = source(insert)?;
            let snapshot = session
                .snapshot(true, |names| {
                    let resolver = Resolver { names, identity: session.identity(), search_path: &path };
                    Binder::pinned(&source, &resolver)
                })
                .await?;
            let mut binder = session.binder(snapshot);
            let (table, plan) = plan(session, &mut binder, insert, sql).await?;
            let plan = bind_parameters(plan, parameters.clone(), sql)?;
            let known = (column_edges(&plan, &table), is_deterministic(&plan));
            let Some(returning) = returning(insert) else {
                let rows = write(session, &binder, &table, &plan, sql).await?;
                return Ok((table, rows, Vec::new(), (binder.inputs().clone(), known)));
            };
            let mut changed = ChangedRows::new(session, &table);
            let rows = write_and(session, &binder, &table, &plan, sql, |batch| changed.add(batch)).await?;
            match changed.answer(session, &mut binder, &table, &returning, (sql, parameters)).await {
                Ok(answer) => Ok((table, rows, answer, (binder.inputs().clone(), known))),
                Err(error) => {
                    rows.abandon(session, &table).await;
                    Err(error)
                }
            }
        }))
        .await;
    let (table, rows, answer, (inputs, (columns, deterministic))) = rows?;
    let returned = match Returned::of(&answer, prepared, guard) {
        Ok(returned) => returned,
        Err(error) => {
            rows.abandon(session, &table).await;
            return Err(error);
        }
    };
    let written = match rows {
        Rows::Files(written) => written,
        Rows::Keyed(rows) => {
            let txn = keyed::upsert(session, &table, &rows, &inputs, prepared, guard).await?;
            return Ok(Answer::wrote("INSERT", rows.rows()).with_rows(returned).with_txn(txn));
        }
    };
    let rows = written.rows();
    let staged = Staged {
        rows: Staged::of_rows(Staging::of(table), written),
        sql: vec![sql.to_owned()],
        operation: "insert",
        inputs,
        columns,
        deterministic: Some(deterministic),
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::wrote("INSERT", rows).with_rows(returned).with_txn(txn))
}

/// True if rows of the target replace each other.
async fn replaces(session: &Inner, insert: &Insert) -> Result<bool, Error> {
    let TableObject::TableName(name) = &insert.table else { return Ok(false) };
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let path = session.search_path();
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let table = resolver.writable(&parts(name), Privilege::Insert)?;
    Ok(Dedup::of(&table)? == Dedup::Last)
}

/// What the statement answers, if anything.
pub(crate) fn returning(insert: &Insert) -> Option<Returning<'_>> {
    let TableObject::TableName(name) = &insert.table else { return None };
    Some(Returning { items: insert.returning.as_deref()?, target: last_part(name)? })
}

/// The target and the plan of its rows, in the order and types of its columns.
pub(crate) async fn plan(
    session: &Inner,
    binder: &mut Binder<'_>,
    insert: &Insert,
    sql: &str,
) -> Result<(Arc<TableDef>, LogicalPlan), Error> {
    refuse(insert)?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(unsupported("INSERT INTO a function or a query"));
    };
    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let path = session.search_path();
    let table = {
        let names = binder.names();
        Resolver { names: &names, identity: session.identity(), search_path: &path }
            .writable(&parts, Privilege::Insert)?
    };
    let mut statement = Insert { returning: None, on: None, table_alias: None, ..insert.clone() };
    statement.table = TableObject::TableName(ObjectName::from(vec![
        quoted(crate::plan::CATALOG, name_span(&parts)),
        quoted(&table.schema_name, name_span(&parts)),
        quoted(&table.name, name_span(&parts)),
    ]));
    for column in &mut statement.columns {
        let [part] = column.0.as_slice() else {
            return Err(unsupported("a column name of several parts in INSERT"));
        };
        let Some(ident) = part.as_ident() else { return Err(unsupported("this column name")) };
        let field = column_of(&table, ident)?;
        *column = ObjectName::from(vec![quoted(&field.name, ident.span)]);
    }
    let given = match statement.source.as_deref().map(|source| source.body.as_ref()) {
        Some(SetExpr::Values(Values { rows, .. })) => rows.iter().map(|row| row.content.len()).min(),
        Some(_) if statement.columns.is_empty() => {
            let rows = binder.plan(source(&statement)?, sql, &path).await?;
            Some(rows.schema().fields().len())
        }
        _ => None,
    };
    pad_columns(&mut statement, &table, given)?;
    fill_values(&mut statement, &table)?;
    binder.register_target(&table).await?;
    let statement = AnyStatement::Statement(Box::new(SqlStatement::Insert(statement)));
    match binder.plan(statement, sql, &path).await? {
        LogicalPlan::Dml(dml) => {
            let rows = fitted(dml.input.as_ref().clone(), binder, sql)?;
            check_values(&rows)?;
            Ok((table, rows))
        }
        _ => Err(Error::new(ErrorKind::Internal, "internal error: INSERT was not planned as a write")),
    }
}

/// Streams the rows of a plan into files of the table, or together where later ones replace earlier ones.
pub(crate) async fn write(
    session: &Inner,
    binder: &Binder<'_>,
    table: &Arc<TableDef>,
    plan: &LogicalPlan,
    sql: &str,
) -> Result<Rows, Error> {
    write_and(session, binder, table, plan, sql, |_| Ok(())).await
}

/// The same, and shows each batch to `also`.
async fn write_and(
    session: &Inner,
    binder: &Binder<'_>,
    table: &Arc<TableDef>,
    plan: &LogicalPlan,
    sql: &str,
    mut also: impl FnMut(&RecordBatch) -> Result<(), Error> + Send,
) -> Result<Rows, Error> {
    let physical = binder.physical(plan.clone(), sql).await?;
    let mut batches =
        session.engine().base().stream(binder.state(), physical).map_err(|error| fault::of(error, sql))?;
    let mut sink = Sink::of(session, table)?;
    let work = async {
        while let Some(batch) = batches.try_next().await.map_err(fault::while_running)? {
            sink.take(&batch).await?;
            also(&batch)?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = work.await {
        sink.abandon().await;
        return Err(error);
    }
    let (read, pruned) = binder.notes().files();
    session.engine().metrics().scanned(read, pruned);
    sink.finish().await
}

/// The rows' query, for its names.
pub(crate) fn source(insert: &Insert) -> Result<AnyStatement, Error> {
    match &insert.source {
        Some(query) => Ok(AnyStatement::Statement(Box::new(SqlStatement::Query(query.clone())))),
        None => Err(unsupported("INSERT without VALUES or SELECT")),
    }
}

fn name_span(parts: &[Ident]) -> sqlparser::tokenizer::Span {
    parts.last().map_or_else(sqlparser::tokenizer::Span::empty, |ident| ident.span)
}

fn refuse(insert: &Insert) -> Result<(), Error> {
    let refused = [
        ("INSERT … OUTPUT", insert.output.is_some()),
        ("INSERT OVERWRITE and REPLACE INTO", insert.overwrite || insert.replace_into || insert.or.is_some()),
        ("INSERT IGNORE", insert.ignore),
        ("INSERT … PARTITION", insert.partitioned.is_some() || !insert.after_columns.is_empty()),
        ("INSERT … SET", !insert.assignments.is_empty()),
        ("an alias in INSERT", insert.insert_alias.is_some()),
        ("INSERT of several tables", insert.multi_table_insert_type.is_some()),
    ];
    match refused.iter().find(|(_, present)| *present) {
        Some((what, _)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

/// As in Postgres, rows may be shorter than the table, where no columns are named: those that follow are their default.
/// `given`: values of the shortest row.
fn pad_columns(insert: &mut Insert, table: &TableDef, given: Option<usize>) -> Result<(), Error> {
    let wanted = if insert.columns.is_empty() { table.schema.fields.len() } else { insert.columns.len() };
    match given {
        Some(given) if given > wanted => Err(Error::new(
            ErrorKind::Invalid,
            format!("INSERT has more expressions ({given}) than target columns ({wanted})"),
        )),
        Some(given) if given < wanted && !insert.columns.is_empty() => Err(Error::new(
            ErrorKind::Invalid,
            format!("INSERT has more target columns ({wanted}) than expressions ({given})"),
        )),
        Some(given) if given < wanted => {
            insert.columns = table.schema.fields[..given]
                .iter()
                .map(|field| ObjectName::from(vec![crate::plan::exact(&field.name)]))
                .collect();
            Ok(())
        }
        _ => Ok(()),
    }
}

/// In rows of VALUES the word DEFAULT is the column's default, and texts for a UUID are read as one.
fn fill_values(insert: &mut Insert, table: &TableDef) -> Result<(), Error> {
    let fields: Vec<&Field> = if insert.columns.is_empty() {
        table.schema.fields.iter().collect()
    } else {
        let name = |column: &ObjectName| column.0.last()?.as_ident().map(|ident| ident.value.clone());
        insert.columns.iter().filter_map(|column| table.schema.field(&name(column)?)).collect()
    };
    let Some(source) = &mut insert.source else { return Ok(()) };
    let SetExpr::Values(Values { rows, .. }) = source.body.as_mut() else { return Ok(()) };
    for (value, field) in rows.iter_mut().flat_map(|row| row.content.iter_mut().zip(&fields)) {
        let is_default = matches!(value, SqlExpr::Identifier(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
        if is_default {
            let text = field.write_default.as_ref().map_or_else(|| "NULL".to_owned(), ToString::to_string);
            *value = expression(&text)?;
        }
        if field.field_type == FieldType::Uuid {
            let mut call = expression("to_uuid(NULL)")?;
            let SqlExpr::Function(function) = &mut call else { continue };
            let FunctionArguments::List(list) = &mut function.args else { continue };
            let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(value.clone()));
            list.args = vec![argument];
            *value = call;
        }
    }
    Ok(())
}

/// The expression that a text of ours is.
fn expression(text: &str) -> Result<SqlExpr, Error> {
    let internal = || Error::new(ErrorKind::Internal, format!("internal error: {text} is no expression"));
    let Parsed::Sql { statement, .. } = parse(&format!("SELECT {text}"))? else { return Err(internal()) };
    let AnyStatement::Statement(statement) = *statement else { return Err(internal()) };
    let SqlStatement::Query(query) = *statement else { return Err(internal()) };
    let SetExpr::Select(select) = *query.body else { return Err(internal()) };
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(expr)) => Ok(expr),
        _ => Err(internal()),
    }
}

/// The rows in the types of the target's columns. The planner looked before both sides of a UNION or CASE had agreed on
/// theirs, so it may have left a cast out.
fn fitted(rows: LogicalPlan, binder: &Binder<'_>, sql: &str) -> Result<LogicalPlan, Error> {
    let LogicalPlan::Projection(projection) = rows else { return Ok(rows) };
    let failed = |error| fault::of(error, sql);
    // The type of a parameter is that of its value, which is not there yet.
    let has_parameters = !projection.input.get_parameter_names().map_err(failed)?.is_empty();
    if has_parameters || matches!(projection.input.as_ref(), LogicalPlan::Values(_)) {
        return Ok(LogicalPlan::Projection(projection));
    }
    let input = binder.coerced(projection.input.as_ref().clone(), sql)?;
    let mut exprs = Vec::with_capacity(projection.expr.len());
    for (expr, wanted) in projection.expr.iter().zip(projection.schema.fields()) {
        let is_wanted = expr.get_type(input.schema()).map_err(failed)? == *wanted.data_type();
        exprs.push(match expr {
            expr if is_wanted => expr.clone(),
            Expr::Alias(alias) => {
                cast(alias.expr.as_ref().clone(), wanted.data_type().clone()).alias(&alias.name)
            }
            other => cast(other.clone(), wanted.data_type().clone()).alias(wanted.name()),
        });
    }
    let rows = Projection::try_new(exprs, Arc::new(input)).map_err(failed)?;
    Ok(LogicalPlan::Projection(rows))
}

/// Values that no column takes by itself are refused: texts as numbers (but literals), structs with fields that it has not.
fn check_values(input: &LogicalPlan) -> Result<(), Error> {
    let LogicalPlan::Projection(projection) = input else { return Ok(()) };
    let written = match projection.input.as_ref() {
        LogicalPlan::Values(values) => Some(values),
        _ => None,
    };
    for (at, expr) in projection.expr.iter().enumerate() {
        let (column, value) = match expr {
            Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
            other => (other.schema_name().to_string(), other),
        };
        let wanted = expr.get_type(projection.input.schema()).map_err(|error| fault::of(error, ""))?;
        if let Some(values) = written {
            for value in values.values.iter().filter_map(|row| row.get(at)) {
                if let Expr::Cast(Cast { expr, .. }) = value
                    && let Ok(given) = expr.get_type(&DFSchema::empty())
                {
                    check_fields(&column, &given, &wanted)?;
                }
            }
            continue;
        }
        let Expr::Cast(Cast { expr: from, .. }) = value else { continue };
        let Ok(given) = from.get_type(projection.input.schema()) else { continue };
        check_assignable(&column, &given, &wanted)?;
    }
    Ok(())
}
