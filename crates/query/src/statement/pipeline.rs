//! Statements about pipelines. How they run is not known here: the node registers who runs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Field;
use cenote_catalog::{Desired, MATERIALIZED, Object, Pipeline, Privilege, authorize};
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::Ident;

use super::materialized::{self, IfTaken, Readers};
use super::{Answer, Guard, explain_pipeline};
use crate::Error;
use crate::parse::{PipelineChange, PipelineStatement, folded, literal, quote, unsupported};
use crate::pipeline::{Pausing, Pipelines, StateChoice};
use crate::plan::{Resolver, denied};
use crate::session::Inner;

/// Runs one of them.
pub(crate) async fn run(
    session: &Inner,
    statement: &PipelineStatement,
    guard: &Guard,
) -> Result<Answer, Error> {
    if let (PipelineStatement::Explain { what, format }, Some(columns)) =
        (statement, explain_pipeline::columns(statement))
    {
        return explain_pipeline::explain(session, (what, *format), columns, guard).await;
    }
    session.refuse_in_transaction_block(statement.command())?;
    session.check_writable()?;
    let pipelines = runner(session)?;
    let scope = &session.identity().scope;
    match statement {
        PipelineStatement::Explain { .. } => {}
        PipelineStatement::Create { name, or_replace, if_not_exists, options, script } => {
            let pipeline = new(session, name, options, script).await?;
            let taken = named(session, &pipeline).await?;
            match taken {
                Some(_) if *if_not_exists => {
                    let notice = format!("pipeline \"{}\" already exists, skipping", pipeline.name);
                    return Ok(Answer::done(statement.command()).with_notice(notice));
                }
                Some(taken) if *or_replace => {
                    let taken = of_no_view(own(session, taken)?)?;
                    may_write(session, &taken)?;
                    let Pipeline { search_path, script, options, .. } = pipeline;
                    let to = Pipeline { search_path, script, options, ..taken };
                    let name = to.full_name();
                    pipelines.alter(scope, to, StateChoice::Keep).await?;
                    session.audit_pipeline("alter_pipeline", &name).await;
                }
                Some(_) | None => {
                    let name = pipeline.full_name();
                    pipelines.create(session.identity(), pipeline).await?;
                    session.audit_pipeline("create_pipeline", &name).await;
                }
            }
        }
        PipelineStatement::Alter { name, change } => {
            let (to, state) = altered(session, own(session, find(session, name).await?)?, change).await?;
            let name = to.full_name();
            pipelines.alter(scope, to, state).await?;
            session.audit_pipeline("alter_pipeline", &name).await;
        }
        PipelineStatement::Restart { name, sinks } => {
            let pipeline = of_no_view(own(session, find(session, name).await?)?)?;
            let name = pipeline.full_name();
            pipelines.restart(session.identity(), pipeline, *sinks).await?;
            session.audit_pipeline("restart_pipeline", &name).await;
        }
        PipelineStatement::Drop { name, if_exists } => match find(session, name).await {
            Ok(pipeline) if pipeline.options.contains_key(MATERIALIZED) => {
                let text = format!("pipeline {} keeps a materialized view", pipeline.full_name());
                return Err(Error::new(ErrorKind::Invalid, text).with_hint("use DROP MATERIALIZED VIEW"));
            }
            Ok(pipeline) => {
                let name = pipeline.full_name();
                pipelines.remove(scope, own(session, pipeline)?).await?;
                session.audit_pipeline("drop_pipeline", &name).await;
            }
            Err(error) if *if_exists && cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => {
                return Ok(Answer::done(statement.command()).with_notice(format!("{error}, skipping")));
            }
            Err(error) => return Err(error),
        },
        PipelineStatement::Pause(name) => {
            let pipeline = authorized(session, find(session, name).await?, Privilege::Run)?;
            let name = pipeline.full_name();
            pipelines.pause(scope, pipeline, Pausing::AfterEpoch).await?;
            session.audit_pipeline("pause_pipeline", &name).await;
        }
        PipelineStatement::Resume(name) => {
            let pipeline = authorized(session, find(session, name).await?, Privilege::Run)?;
            let name = pipeline.full_name();
            pipelines.resume(scope, pipeline).await?;
            session.audit_pipeline("resume_pipeline", &name).await;
        }
        PipelineStatement::CreateView { name, or_replace, if_not_exists, options, query } => {
            let if_taken = match (or_replace, if_not_exists) {
                (true, _) => IfTaken::Replace,
                (_, true) => IfTaken::Skip,
                _ => IfTaken::Fail,
            };
            let notice = materialized::create(session, name, if_taken, options, query, guard).await?;
            return Ok(noticed(Answer::done(statement.command()), notice));
        }
        PipelineStatement::DropView { name, if_exists, cascade } => {
            let readers = if *cascade { Readers::Too } else { Readers::Keep };
            let notice = materialized::drop(session, name, *if_exists, readers).await?;
            return Ok(noticed(Answer::done(statement.command()), notice));
        }
        PipelineStatement::RefreshView { name, full } => {
            materialized::refresh(session, name, *full, guard).await?;
        }
    }
    Ok(Answer::done(statement.command()))
}

fn noticed(answer: Answer, notice: Option<String>) -> Answer {
    match notice {
        Some(notice) => answer.with_notice(notice),
        None => answer,
    }
}

/// The pipeline to be made: of the asker, in a schema where tables may be made.
pub(crate) async fn new(
    session: &Inner,
    name: &[Ident],
    options: &BTreeMap<String, String>,
    script: &str,
) -> Result<Pipeline, Error> {
    let names = session.names().await?;
    let search_path = session.search_path();
    let resolver = Resolver { names: &names, identity: session.identity(), search_path: &search_path };
    let (schema, name) = resolver.creatable(name, Privilege::Create)?;
    let mut pipeline = unnamed(session, script, options);
    (pipeline.schema, pipeline.name) = (schema, name);
    pipeline.desired = match options.get("desired").map(String::as_str) {
        None | Some("running") => Desired::Running,
        Some("paused") => Desired::Paused,
        Some(other) => {
            let message = format!("option desired is 'running' or 'paused', got '{other}'");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    };
    refuse_reserved(options)?;
    pipeline.options.remove("desired");
    Ok(pipeline)
}

/// A pipeline of the asker that has no name yet.
pub(crate) fn unnamed(session: &Inner, script: &str, options: &BTreeMap<String, String>) -> Pipeline {
    let search_path = session.search_path();
    Pipeline {
        id: session.engine().lake().ids.uuid(),
        schema: search_path.first().cloned().unwrap_or_default(),
        name: "explained".to_owned(),
        owner: session.identity().token.id,
        search_path,
        script: script.to_owned(),
        options: options.clone(),
        desired: Desired::Running,
        state: "created".to_owned(),
        error: None,
        reset: None,
        created: session.now(),
        version: 1,
    }
}

/// The pipeline as a change would make it, and what becomes of what it holds.
pub(crate) async fn altered(
    session: &Inner,
    pipeline: Pipeline,
    change: &PipelineChange,
) -> Result<(Pipeline, StateChoice), Error> {
    let mut to = of_no_view(pipeline)?;
    let mut choice = StateChoice::Keep;
    match change {
        PipelineChange::Set(options) => {
            if options.contains_key("desired") {
                let text = "option 'desired' cannot be set";
                return Err(
                    Error::new(ErrorKind::Invalid, text).with_hint("use PAUSE PIPELINE and RESUME PIPELINE")
                );
            }
            refuse_reserved(options)?;
            to.options.extend(options.clone());
        }
        PipelineChange::Reset(names) => to.options.retain(|name, _| !names.contains(name)),
        PipelineChange::Rename(name) => {
            let (names, search_path) = (session.names().await?, session.search_path());
            let resolver =
                Resolver { names: &names, identity: session.identity(), search_path: &search_path };
            let schema = Ident::with_quote('"', to.schema.as_str());
            (to.schema, to.name) = resolver.creatable(&[schema, name.clone()], Privilege::Create)?;
        }
        PipelineChange::Owner(name) => {
            may_write(session, &to)?;
            to.owner = token_of(session, &folded(name)).await?;
        }
        PipelineChange::As { script, state } => {
            may_write(session, &to)?;
            (to.script, to.search_path) = (script.clone(), session.search_path());
            choice = *state;
        }
    }
    Ok((to, choice))
}

/// The token of a name, by whose rights something may run from now on: the asker's own, or any for who may do everything.
async fn token_of(session: &Inner, name: &str) -> Result<i64, Error> {
    let identity = session.identity();
    if identity.token.name == name {
        return Ok(identity.token.id);
    }
    session.require(Privilege::Manage, Object::Tenant)?;
    let tokens = session.engine().lake().catalog.tokens(&identity.scope).await?;
    let found = tokens.iter().find(|token| token.name == name);
    found.map(|token| token.id).ok_or_else(|| {
        let text = format!("token \"{name}\" does not exist");
        Error::new(ErrorKind::NotFound, text).with_sqlstate("42704")
    })
}

/// The pipeline that has the name of one that is to be made.
pub(crate) async fn named(session: &Inner, pipeline: &Pipeline) -> Result<Option<Pipeline>, Error> {
    let all = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
    Ok(all.into_iter().find(|other| other.schema == pipeline.schema && other.name == pipeline.name))
}

/// A pipeline of a view changes with the view.
pub(crate) fn of_no_view(pipeline: Pipeline) -> Result<Pipeline, Error> {
    if !pipeline.options.contains_key(MATERIALIZED) {
        return Ok(pipeline);
    }
    let text = format!("pipeline {} keeps a materialized view", pipeline.full_name());
    Err(Error::new(ErrorKind::Invalid, text)
        .with_hint("use CREATE OR REPLACE MATERIALIZED VIEW and REFRESH MATERIALIZED VIEW … FULL"))
}

pub(crate) fn refuse_reserved(options: &BTreeMap<String, String>) -> Result<(), Error> {
    if options.contains_key(MATERIALIZED) {
        return Err(Error::new(ErrorKind::Invalid, format!("invalid option '{MATERIALIZED}'")));
    }
    Ok(())
}

/// Who runs pipelines.
pub(crate) fn runner(session: &Inner) -> Result<Arc<dyn Pipelines>, Error> {
    session.engine().pipelines().ok_or_else(|| unsupported("pipelines on a node that runs none"))
}

/// The pipeline of a name with or without its schema; without one, the first on the search path. One that the asker may not
/// know does not exist.
pub(crate) async fn find(session: &Inner, parts: &[Ident]) -> Result<Pipeline, Error> {
    let mut pipelines = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
    pipelines.retain(|pipeline| may(session, pipeline, Privilege::Use));
    let names: Vec<String> = parts.iter().map(folded).collect();
    let (schemas, name) = match names.as_slice() {
        [name] => (session.search_path(), name),
        [schema, name] => (vec![schema.clone()], name),
        [catalog, schema, name] if catalog == crate::plan::CATALOG => (vec![schema.clone()], name),
        _ => return Err(unsupported("a pipeline of another catalog")),
    };
    let found = schemas.iter().find_map(|schema| {
        pipelines.iter().find(|pipeline| pipeline.schema == *schema && pipeline.name == *name)
    });
    found.cloned().ok_or_else(|| {
        let nearest =
            nearest(name, pipelines.iter().map(|pipeline| pipeline.name.as_str())).map(str::to_owned);
        cenote_catalog::Error::PipelineNotFound { name: names.join("."), nearest }.into()
    })
}

/// A pipeline is steered by its owner, and by who was granted it; that of a view goes with the view.
pub(crate) fn own(session: &Inner, pipeline: Pipeline) -> Result<Pipeline, Error> {
    authorized(session, pipeline, Privilege::Manage)
}

/// `Denied` unless the asker may give it another script.
pub(crate) fn may_write(session: &Inner, pipeline: &Pipeline) -> Result<(), Error> {
    session.require_owner(pipeline.owner, &format!("script of pipeline {}", pipeline.full_name()))
}

/// The pipeline, if the asker may do this with it.
pub(crate) fn authorized(
    session: &Inner,
    pipeline: Pipeline,
    privilege: Privilege,
) -> Result<Pipeline, Error> {
    if may(session, &pipeline, privilege) {
        return Ok(pipeline);
    }
    Err(denied(privilege, &format!("pipeline {}", pipeline.full_name())))
}

/// True if the asker may do this with the pipeline; its owner may do everything.
pub(crate) fn may(session: &Inner, pipeline: &Pipeline, privilege: Privilege) -> bool {
    let identity = session.identity();
    let object = Object::Pipeline(&pipeline.schema, &pipeline.name);
    pipeline.owner == identity.token.id || authorize(identity, privilege, object)
}

/// Columns of `system.stream.pipelines` that people look at first.
const SHOWN: [&str; 8] = ["schema_name", "name", "desired", "state", "epoch", "txn", "committed_at", "error"];

/// Columns of `SHOW PIPELINES` and `SHOW PIPELINE`.
pub(crate) fn shown_columns() -> Vec<Field> {
    let table = cenote_catalog::system_tables().iter().find(|table| table.name == "stream.pipelines");
    let columns = table.map_or(&[][..], |table| table.columns);
    let column = |name: &&str| columns.iter().find(|column| column.name == *name);
    SHOWN
        .iter()
        .filter_map(column)
        .map(|column| Field::new(column.name, column.kind.data_type(), true))
        .collect()
}

/// `SHOW PIPELINES`: those whose name is wanted.
pub(crate) async fn shown(session: &Inner, wanted: impl Fn(&str) -> bool) -> Result<Vec<ArrayRef>, Error> {
    shown_if(session, |_, name| wanted(name)).await
}

/// `SHOW PIPELINE p`
pub(crate) async fn shown_one(session: &Inner, name: &[Ident]) -> Result<Vec<ArrayRef>, Error> {
    let pipeline = find(session, name).await?;
    shown_if(session, |schema, name| pipeline.schema == schema && pipeline.name == name).await
}

async fn shown_if(session: &Inner, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<ArrayRef>, Error> {
    let rows = crate::system::rows(&session.facts(), "stream", "pipelines").await?;
    let text = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>().clone());
    let (Some(schemas), Some(names)) = (text("schema_name"), text("name")) else { return Ok(Vec::new()) };
    let kept: BooleanArray =
        schemas.iter().zip(&names).map(|(schema, name)| Some(wanted(schema?, name?))).collect();
    let rows = filter_record_batch(&rows, &kept)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))?;
    Ok(SHOWN.iter().filter_map(|name| rows.column_by_name(name).map(Arc::clone)).collect())
}

/// `SHOW CREATE PIPELINE p`: its name, and the statement that would make it again.
pub(crate) async fn create_statement(session: &Inner, name: &[Ident]) -> Result<(String, String), Error> {
    let pipeline = own(session, find(session, name).await?)?;
    let mut text = format!("CREATE PIPELINE {}.{}", quote(&pipeline.schema), quote(&pipeline.name));
    if !pipeline.options.is_empty() {
        let options =
            pipeline.options.iter().map(|(name, value)| format!("{} = {}", quote(name), literal(value)));
        text.push_str(&format!(" WITH ({})", options.collect::<Vec<_>>().join(", ")));
    }
    text.push_str(&format!(" AS {}", dollars(&pipeline.script)));
    Ok((pipeline.name, text))
}

/// A script between dollar quotes that it does not hold.
fn dollars(script: &str) -> String {
    let mut quote = "$$".to_owned();
    while script.contains(&quote) {
        quote = format!("$x{}", &quote[1..]);
    }
    format!("{quote}{script}{quote}")
}
