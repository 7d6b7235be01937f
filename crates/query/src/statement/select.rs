//! Reading: SELECT, VALUES, WITH, EXPLAIN.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use cenote_vocab::ErrorKind;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as AnyStatement;
use futures::{StreamExt, TryStreamExt, stream};
use sqlparser::ast::Statement as SqlStatement;

use super::{Answer, Guard, Prepared, changing, insert};
use crate::parse::{Parsed, TableClauses, unsupported};
use crate::plan::{Binder, Resolver, fault, visible_schema, visible_text};
use crate::scan::conform;
use crate::session::Inner;
use crate::{Error, change};

/// Plans that answer only questions about their types.
pub(crate) struct Described {
    /// Their parameters are those of the statement.
    pub(crate) plans: Vec<LogicalPlan>,
    pub(crate) columns: Option<SchemaRef>,
}

/// Plans a statement without touching rows; `None` for one that has neither parameters nor columns.
pub(crate) async fn describable(
    session: &Inner,
    parsed: &Parsed,
    sql: &str,
) -> Result<Option<Described>, Error> {
    let no_clauses = TableClauses::default();
    let (statement, clauses) = match parsed {
        Parsed::Sql { statement, clauses } => (statement.as_ref(), clauses),
        Parsed::CopyOut { statement, .. } => (statement.as_ref(), &no_clauses),
        Parsed::Command(_) => return Ok(None),
    };
    let mut binder = session.binder(Arc::new(session.described().await?));
    let path = session.search_path();
    let inner = match statement {
        AnyStatement::Statement(inner) => inner.as_ref(),
        AnyStatement::Explain(_) => {
            return described_query(session, &mut binder, statement, sql, &path).await.map(Some);
        }
        _ => return Ok(None),
    };
    match inner {
        SqlStatement::Query(_) => {
            described_query(session, &mut binder, statement, sql, &path).await.map(Some)
        }
        statement if let Some(verb) = changing(statement, clauses)? => {
            described_change(session, &mut binder, &verb, sql).await
        }
        SqlStatement::Insert(insert) => {
            let (table, plan) = insert::plan(session, &mut binder, insert, sql).await?;
            let Some(returning) = insert::returning(insert) else {
                return Ok(Some(Described { plans: vec![plan], columns: None }));
            };
            let answer = change::describe_returning(session, &mut binder, &table, &returning, sql).await?;
            let columns = Some(answer_columns(&binder, &answer, sql).await?);
            Ok(Some(Described { plans: vec![plan, answer], columns }))
        }
        SqlStatement::CreateTable(create) => {
            let Some(query) = &create.query else { return Ok(None) };
            let query = AnyStatement::Statement(Box::new(SqlStatement::Query(query.clone())));
            let plan = binder.plan(query, sql, &path).await?;
            Ok(Some(Described { plans: vec![plan], columns: None }))
        }
        _ => Ok(None),
    }
}

async fn described_change(
    session: &Inner,
    binder: &mut Binder<'_>,
    verb: &change::Verb<'_>,
    sql: &str,
) -> Result<Option<Described>, Error> {
    let plans = change::describe(session, binder, verb, sql).await?;
    let columns = match (&verb.returning, plans.last()) {
        (Some(_), Some(answer)) => Some(answer_columns(binder, answer, sql).await?),
        _ => None,
    };
    Ok(Some(Described { plans, columns }))
}

/// The columns of a plan as its answer will have them: the analyzer may change types.
async fn answer_columns(binder: &Binder<'_>, plan: &LogicalPlan, sql: &str) -> Result<SchemaRef, Error> {
    let has_parameters = !plan.get_parameter_types().map_err(|error| fault::of(error, sql))?.is_empty();
    if has_parameters {
        return Ok(visible_schema(plan.schema().inner()));
    }
    let plan = binder.optimized(plan.clone(), sql).await?;
    Ok(visible_schema(plan.schema().inner()))
}

async fn described_query(
    session: &Inner,
    binder: &mut Binder<'_>,
    statement: &AnyStatement,
    sql: &str,
    path: &[String],
) -> Result<Described, Error> {
    let plan = planned(session, binder, statement, sql, path).await?;
    let columns = Some(answer_columns(binder, &plan, sql).await?);
    Ok(Described { plans: vec![plan], columns })
}

/// The plan of a query, or of an EXPLAIN of a query or of a statement that writes: of that one, the query that finds its rows.
async fn planned(
    session: &Inner,
    binder: &mut Binder<'_>,
    statement: &AnyStatement,
    sql: &str,
    path: &[String],
) -> Result<LogicalPlan, Error> {
    if let AnyStatement::Explain(explain) = statement
        && let AnyStatement::Statement(inner) = explain.statement.as_ref()
        && !matches!(**inner, SqlStatement::Query(_))
    {
        let plan = match (changing(inner, &TableClauses::default())?, inner.as_ref()) {
            (Some(verb), _) => change::describe(session, binder, &verb, sql).await?.into_iter().next(),
            (None, SqlStatement::Insert(insert)) => Some(insert::plan(session, binder, insert, sql).await?.1),
            (None, _) => None,
        };
        // all rows of a table go without a look at them
        let found = plan.map_or_else(|| LogicalPlanBuilder::empty(false), LogicalPlanBuilder::from);
        let explained = found.explain(explain.options.verbose, false).and_then(LogicalPlanBuilder::build);
        return explained.map_err(|error| fault::of(error, sql));
    }
    binder.show_text_views();
    let plan = binder.plan(statement.clone(), sql, path).await?;
    only_reads(&plan)?;
    Ok(plan)
}

/// Begins to stream a query.
pub(crate) async fn select(
    session: &Inner,
    statement: &AnyStatement,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    guard.run(Box::pin(begin(session, statement, prepared, parameters, guard.promised))).await
}

/// The plan of a query, and how its scans would run or ran.
pub(crate) async fn explain(
    session: &Inner,
    statement: &AnyStatement,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    let mut answer =
        guard.run(Box::pin(begin(session, statement, prepared, parameters, guard.promised))).await?;
    let Some(notes) = answer.notes.clone() else { return Ok(answer) };
    let schema = answer.schema.clone();
    let scans = stream::once(async move {
        let notes = notes.all();
        let kinds = StringArray::from_iter_values(notes.iter().map(|_| "Scan"));
        let texts = StringArray::from_iter_values(notes.iter().map(|note| format!("{}: {note}", note.table)));
        RecordBatch::try_new(schema, vec![Arc::new(kinds), Arc::new(texts)])
            .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
    });
    answer.batches = answer.batches.map_ok(without_marks).chain(scans).boxed();
    answer.counts_rows = false;
    Ok(answer)
}

/// The text of a plan with the columns' visible names.
fn without_marks(batch: RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| match column.as_string_opt::<i32>() {
        Some(texts) => {
            Arc::new(texts.iter().map(|text| text.map(visible_text)).collect::<StringArray>()) as ArrayRef
        }
        None => column.clone(),
    });
    let columns = columns.collect();
    RecordBatch::try_new(batch.schema(), columns).expect("texts for texts")
}

async fn begin(
    session: &Inner,
    statement: &AnyStatement,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    promised: bool,
) -> Result<Answer, Error> {
    let sql = prepared.sql.as_str();
    let path = session.search_path();
    let snapshot = session
        .snapshot(false, |names| {
            Binder::pinned(statement, &Resolver { names, identity: session.identity(), search_path: &path })
        })
        .await?;
    let mut binder = session.binder(snapshot.clone());
    let plan = planned(session, &mut binder, statement, sql, &path).await?;
    let plan = bind_parameters(plan, parameters, sql)?;
    let physical = binder.physical(plan, sql).await?;
    let batches =
        session.engine().base().stream(binder.state(), physical).map_err(|error| fault::of(error, sql))?;
    let notes = binder.notes().clone();
    let (read, pruned) = notes.files();
    session.engine().metrics().scanned(read, pruned);

    let planned = visible_schema(&batches.schema());
    let schema = as_described(&planned, prepared, promised)?;
    let target = schema.clone();
    let batches = batches.map_err(fault::while_running).and_then(move |batch| {
        let fitted = if batch.schema() == target {
            Ok(batch)
        } else {
            conform(&batch, &target).map_err(fault::while_running)
        };
        std::future::ready(fitted)
    });
    Ok(Answer {
        schema,
        batches: batches.boxed(),
        counts_rows: true,
        reads: true,
        txn: Some(snapshot.txn),
        notes: Some(notes),
        pin: snapshot.pin(),
        ..Answer::done(&prepared.command)
    })
}

/// The columns that were described. If the tables changed so that the answer has others, those, unless the first were promised.
pub(super) fn as_described(
    planned: &SchemaRef,
    prepared: &Prepared,
    promised: bool,
) -> Result<SchemaRef, Error> {
    let Some(described) = &prepared.columns else { return Ok(planned.clone()) };
    let same_names = planned.fields().len() == described.fields().len()
        && planned.fields().iter().zip(described.fields()).all(|(planned, described)| {
            planned.name() == described.name()
                && arrow::compute::can_cast_types(planned.data_type(), described.data_type())
        });
    if !same_names && !promised {
        return Ok(planned.clone());
    }
    if !same_names {
        return Err(Error::new(ErrorKind::Unsupported, "cached plan must not change result type"));
    }
    // nullable as planned: parameters may have become literals
    let fields = planned.fields().iter().zip(described.fields()).map(|(planned, described)| {
        described.as_ref().clone().with_nullable(planned.is_nullable() || described.is_nullable())
    });
    Ok(Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())))
}

/// Puts values in the places of `$1`, `$2`, …
pub(crate) fn bind_parameters(
    plan: LogicalPlan,
    parameters: Vec<ScalarValue>,
    sql: &str,
) -> Result<LogicalPlan, Error> {
    let wanted = plan.get_parameter_types().map_err(|error| fault::of(error, sql))?.len();
    if wanted == 0 {
        return Ok(plan);
    }
    if parameters.is_empty() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("the statement has {wanted} parameters, none was given"),
        )
        .with_sqlstate("42P02"));
    }
    plan.replace_params_with_values(&ParamValues::from(parameters)).map_err(|error| fault::of(error, sql))
}

/// Refuses plans of the library that would act.
fn only_reads(plan: &LogicalPlan) -> Result<(), Error> {
    match plan {
        LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            Err(unsupported("this statement"))
        }
        _ => Ok(()),
    }
}
