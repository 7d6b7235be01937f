//! Statements: what each is, and how it runs. One module per verb.

mod alter;
mod answer;
pub(crate) mod asset;
mod asset_check;
mod asset_create;
pub(crate) mod asset_lookup;
mod asset_replay;
mod asset_rules;
mod asset_slice;
mod asset_task;
mod check;
mod column_type;
mod create_table;
mod default_value;
mod delete;
mod describe;
mod drop;
mod explain_pipeline;
mod grant;
mod history;
mod insert;
mod job;
mod keyed;
mod maintain;
mod materialized;
mod merge;
pub(crate) mod pipeline;
mod prepare;
mod prepared;
mod publish;
mod replace;
mod schemas;
mod select;
mod set;
mod show;
mod table_options;
mod tenant;
mod transact;
mod update;
mod upsert;
mod view;

pub use asset::plan_id;
pub use asset_replay::Replayed;
pub(crate) use asset_replay::{check_replay, replay};
pub use materialized::view_columns;
pub use prepared::{Class, Prepared};

pub(crate) use answer::{Answer, Guard, Returned, deadline, expired, timed_out};
pub(crate) use column_type::field_type as leaf_type;
pub(crate) use insert::{plan as insert_plan, source as insert_source};
pub(crate) use maintain::condition_on;
pub(crate) use prepared::{describe, undescribed};
pub(crate) use select::bind_parameters;
pub(crate) use show::table_batch;
pub(crate) use table_options::refuse_append_only;
pub(crate) use transact::failed;
pub(crate) use view::refuse_parameters;

use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{ObjectType, Statement as SqlStatement};

use crate::parse::{Command, Parsed, TableClauses, unsupported};
use crate::session::Inner;
use crate::{Error, change};

/// Runs a statement up to its answer: a write has committed (or is staged), a read begins to stream.
pub(crate) async fn run(
    session: &Inner,
    prepared: &Prepared,
    parameters: Vec<ScalarValue>,
    guard: &Guard,
) -> Result<Answer, Error> {
    match prepared.parsed() {
        Parsed::Command(command) => Box::pin(run_command(session, command, prepared, guard)).await,
        Parsed::CopyOut { statement, .. } => {
            select::select(session, statement, prepared, parameters, guard).await
        }
        Parsed::Sql { statement, clauses } => match statement.as_ref() {
            AnyStatement::Explain(_) => {
                select::explain(session, statement, prepared, parameters, guard).await
            }
            AnyStatement::Statement(inner) => match inner.as_ref() {
                SqlStatement::Query(_) => {
                    select::select(session, statement, prepared, parameters, guard).await
                }
                statement if let Some(verb) = changing(statement, clauses)? => {
                    Box::pin(change::run(session, &verb, prepared, parameters, guard)).await
                }
                SqlStatement::Insert(insert) => {
                    insert::insert(session, insert, prepared, parameters, guard).await
                }
                SqlStatement::Truncate(truncate) => {
                    Box::pin(delete::truncate(session, truncate, prepared, guard)).await
                }
                SqlStatement::CreateTable(create) => {
                    let made =
                        create_table::create_table(session, create, clauses, prepared, parameters, guard);
                    Box::pin(made).await
                }
                SqlStatement::CreateView(create) => view::create_view(session, create, prepared, guard).await,
                SqlStatement::CreateSchema { .. } | SqlStatement::CreateDatabase { .. } => {
                    schemas::create(session, inner, prepared, guard).await
                }
                SqlStatement::Drop { object_type: ObjectType::Table | ObjectType::View, .. } => {
                    drop::drop_tables(session, inner, prepared, guard).await
                }
                SqlStatement::Drop { object_type: ObjectType::Schema | ObjectType::Database, .. } => {
                    schemas::drop(session, inner, prepared, guard).await
                }
                other => Err(unsupported(&first_words(other))),
            },
            _ => Err(unsupported(&prepared.command)),
        },
    }
}

/// What a statement changes that takes rows away; `None` for another statement.
pub(crate) fn changing<'a>(
    statement: &'a SqlStatement,
    clauses: &'a TableClauses,
) -> Result<Option<change::Verb<'a>>, Error> {
    Ok(Some(match (statement, &clauses.replace) {
        (SqlStatement::Insert(insert), Some(predicate)) => replace::verb(insert, predicate)?,
        (SqlStatement::Insert(insert), None) => match &insert.on {
            Some(on) => upsert::verb(insert, on)?,
            None => return Ok(None),
        },
        (SqlStatement::Delete(delete), _) => delete::verb(delete)?,
        (SqlStatement::Update(update), _) => update::verb(update)?,
        (SqlStatement::Merge(merge), _) => merge::verb(merge)?,
        _ => return Ok(None),
    }))
}

async fn run_command(
    session: &Inner,
    command: &Command,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    match command {
        Command::Begin(characteristics) => transact::begin(session, *characteristics),
        Command::Commit => transact::commit(session).await,
        Command::Rollback => transact::rollback(session).await,
        Command::SetTransaction(characteristics) => transact::set_transaction(session, *characteristics),
        Command::SetCharacteristics(characteristics) => {
            transact::set_characteristics(session, *characteristics)
        }
        Command::Set { name, value, local } => set::set(session, name, value.as_deref(), *local),
        Command::Reset(name) => set::reset(session, name.as_deref()),
        Command::DiscardAll => set::discard_all(session),
        Command::Prepare { name, types, sql } => prepare::prepare(session, name, types, sql).await,
        Command::Execute { name, arguments } => prepare::execute(session, name, arguments, guard).await,
        Command::Deallocate(name) => prepare::deallocate(session, name.as_deref()),
        Command::Nothing(command) => Ok(Answer::done(command)),
        Command::Use(name) => set::use_schema(session, name).await,
        Command::Show(show) => show::show(session, show).await,
        Command::Describe(name) => describe::describe(session, name).await,
        Command::DescribeQuery(sql) => Box::pin(describe::describe_query(session, sql)).await,
        Command::Flush(target) => maintain::flush(session, target.as_deref()).await,
        Command::Optimize { target, mode, only, dry_run } => {
            maintain::optimize(session, target.as_deref(), *mode, only.as_deref(), *dry_run).await
        }
        Command::Dedup { target, dry_run } => keyed::dedup(session, target.as_deref(), *dry_run).await,
        Command::Vacuum { target, keep, orphans, force, dry_run } => {
            let options = cenote_table::VacuumOptions {
                keep: *keep,
                force: *force,
                orphans: *orphans,
                dry_run: *dry_run,
            };
            maintain::vacuum(session, target.as_deref(), options, guard).await
        }
        Command::Verify { target, deep } => maintain::verify(session, target.as_deref(), *deep, guard).await,
        Command::Kill(id) => maintain::kill(session, id),
        Command::Pipeline(statement) => Box::pin(pipeline::run(session, statement, guard)).await,
        Command::History(statement) => history::run(session, statement, prepared, guard).await,
        Command::Tenant(statement) => Box::pin(tenant::run(session, statement)).await,
        Command::Grant(statement) => Box::pin(grant::run(session, statement, prepared, guard)).await,
        Command::Asset(statement) => Box::pin(asset::run(session, statement, prepared, guard)).await,
        Command::RunJob { name, dry_run } => job::run(session, name, *dry_run).await,
        Command::PublishMetadata => publish::publish(session).await,
        Command::PauseJob { name, paused } => job::pause(session, name, *paused).await,
        Command::AlterTable(alter) => Box::pin(alter::alter_table(session, alter, prepared, guard)).await,
        Command::AlterSchema(alter) => schemas::alter(session, alter, prepared, guard).await,
        Command::Comment(comment) => Box::pin(alter::comment(session, comment, prepared)).await,
    }
}

/// The first two words of a statement, for messages.
fn first_words(statement: &SqlStatement) -> String {
    statement.to_string().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
