//! `CREATE MATERIALIZED VIEW`, `REFRESH`, `DROP`. How its rows are kept is not known here: who runs pipelines does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use cenote_catalog::{Desired, Names, Pipeline, Privilege, TableDef, TableKind, authorize};
use cenote_vocab::{ErrorKind, Field, FieldId, FieldType, TableSchema};
use sqlparser::ast::Ident;

use super::Guard;
use super::create_table::check_output_names;
use super::drop::{depended_on, dependents};
use crate::Error;
use crate::parse::unsupported;
use crate::pipeline::NewView;
use crate::plan::{Found, Resolver, denied, visible};
use crate::session::Inner;

/// How a view is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfTaken {
    /// The name must be free.
    Fail,
    /// What has the name stays.
    Skip,
    /// The view of this name goes.
    Replace,
}

/// What becomes of views that read one which goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// It stays while there are some.
    Keep,
    /// They go, too.
    Too,
}

/// Makes one, of the asker.
pub(crate) async fn create(
    session: &Inner,
    name: &[Ident],
    if_taken: IfTaken,
    options: &BTreeMap<String, String>,
    sql: &str,
    guard: &Guard,
) -> Result<Option<String>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let (schema, name) = resolver.creatable(name, Privilege::Create)?;
    let taken = snapshot.names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name)).cloned();
    let replaces = match (taken, if_taken) {
        (None, _) => None,
        (Some(_), IfTaken::Skip) => {
            return Ok(Some(format!("materialized view \"{name}\" already exists, skipping")));
        }
        (Some(taken), IfTaken::Replace) => {
            let taken = own(session, materialized(taken)?).await?;
            refuse_if_read(session, &taken).await?;
            Some(taken)
        }
        (Some(taken), IfTaken::Fail) => {
            return Err(cenote_catalog::Error::TableExists(taken.full_name()).into());
        }
    };
    let (wait, options) = view_options(options)?;
    let lake = session.engine().lake();
    let pipeline = Pipeline {
        id: lake.ids.uuid(),
        schema,
        name,
        owner: session.identity().token.id,
        search_path: path,
        script: sql.to_owned(),
        options,
        desired: Desired::Running,
        state: "created".to_owned(),
        error: None,
        reset: None,
        created: session.now(),
        version: 1,
    };
    let view = NewView { pipeline, replaces, wait, caller: session.caller() };
    guard.run(Box::pin(async { runner(session)?.create_view(session.identity(), view).await })).await?;
    Ok(None)
}

/// Waits until the view has everything that was there when it was asked; `full`: builds it anew, and those that read its rows.
pub(crate) async fn refresh(session: &Inner, name: &[Ident], full: bool, guard: &Guard) -> Result<(), Error> {
    let view = find(session, name, Privilege::Select).await?;
    let pipelines = runner(session)?;
    let scope = &session.identity().scope;
    if !full {
        return guard.run(Box::pin(async { pipelines.refresh_view(scope, &view).await })).await;
    }
    let mut all = Vec::new();
    for view in with_readers(&*session.names().await?, &view) {
        all.push(own(session, view).await?);
    }
    for old in all {
        let Some(pipeline) = pipeline_of(session, &old).await? else {
            return Err(lost(&old));
        };
        let mut anew = pipeline.clone();
        anew.id = session.engine().lake().ids.uuid();
        (anew.name, anew.created) = (old.name.clone(), session.now());
        // Its owner's token may be gone: who builds it answers for it from now on.
        anew.owner = session.identity().token.id;
        let view = NewView { pipeline: anew, replaces: Some(old), wait: true, caller: session.caller() };
        guard.run(Box::pin(async { pipelines.create_view(session.identity(), view).await })).await?;
    }
    Ok(())
}

/// A view and those that read its rows, each behind all that it reads.
fn with_readers(names: &Names, view: &Arc<TableDef>) -> Vec<Arc<TableDef>> {
    let mut all = vec![view.clone()];
    let mut at = 0;
    while let Some(view) = all.get(at).cloned() {
        at += 1;
        for reader in dependents(names, &view) {
            // One that is known reads this one, too: it comes later.
            if let Some(known) = all.iter().position(|known| known.id == reader.id) {
                all.remove(known);
                at -= usize::from(known < at);
            }
            all.push(reader);
        }
    }
    all
}

/// Drops it; answers a notice if there is none and that is well.
pub(crate) async fn drop(
    session: &Inner,
    name: &[Ident],
    if_exists: bool,
    readers: Readers,
) -> Result<Option<String>, Error> {
    match find(session, name, Privilege::Drop).await {
        Ok(view) if readers == Readers::Too => {
            drop_cascading(session, &[view]).await?;
            Ok(None)
        }
        Ok(view) => {
            let view = own(session, view).await?;
            refuse_if_read(session, &view).await?;
            runner(session)?.drop_view(session.identity(), &view, session.caller()).await?;
            Ok(None)
        }
        Err(error) if if_exists && cenote_vocab::Fault::kind(&error) == ErrorKind::NotFound => {
            Ok(Some(format!("{error}, skipping")))
        }
        Err(error) => Err(error),
    }
}

/// Drops views that read what is dropped, and those that read them: all, or none if one may not be dropped.
pub(crate) async fn drop_cascading(session: &Inner, views: &[Arc<TableDef>]) -> Result<(), Error> {
    if views.is_empty() {
        return Ok(());
    }
    session.refuse_in_transaction("DROP … CASCADE of a materialized view")?;
    let names = session.names().await?;
    let mut all: Vec<Arc<TableDef>> = Vec::new();
    let mut next = views.to_vec();
    while let Some(view) = next.pop() {
        if all.iter().all(|known| known.id != view.id) {
            next.extend(dependents(&names, &view));
            all.push(own(session, view).await?);
        }
    }
    // those that read others first
    while !all.is_empty() {
        let is_read = |view: &Arc<TableDef>| {
            dependents(&names, view).iter().any(|reader| all.iter().any(|other| other.id == reader.id))
        };
        let at = all.iter().position(|view| !is_read(view)).unwrap_or(0);
        let view = all.swap_remove(at);
        runner(session)?.drop_view(session.identity(), &view, session.caller()).await?;
    }
    Ok(())
}

/// What a view has is gone with it: those that read it must go first.
async fn refuse_if_read(session: &Inner, view: &TableDef) -> Result<(), Error> {
    let readers = dependents(&*session.names().await?, view);
    match readers.is_empty() {
        true => Ok(()),
        false => Err(depended_on(session, view, &readers)
            .with_hint("DROP MATERIALIZED VIEW … CASCADE drops them, too")),
    }
}

/// Columns of `SHOW MATERIALIZED VIEWS`.
pub(crate) fn shown_columns() -> Vec<arrow::datatypes::Field> {
    let text = |name: &str| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true);
    let as_of = arrow::datatypes::Field::new("as_of", arrow::datatypes::DataType::Int64, true);
    let bounded = arrow::datatypes::Field::new("bounded", arrow::datatypes::DataType::Boolean, true);
    vec![text("schema_name"), text("name"), text("state"), as_of, text("query"), text("error"), bounded]
}

/// The views that the asker may read and whose name is wanted.
pub(crate) async fn shown(session: &Inner, wanted: impl Fn(&str) -> bool) -> Result<Vec<ArrayRef>, Error> {
    let (names, identity) = (session.names().await?, session.identity());
    let pipelines = session.engine().lake().catalog.pipelines(&identity.scope).await?;
    let runner = session.engine().pipelines();
    let mut rows: Vec<(&TableDef, &Pipeline)> = Vec::new();
    for view in names.tables().filter(|table| table.kind != TableKind::Table && wanted(&table.name)) {
        if !identity.allows(Privilege::Select, &view.schema_name, Some(&view.name)) {
            continue;
        }
        let is_its = |pipeline: &&Pipeline| view.materialized() == Some(pipeline.id.to_string().as_str());
        rows.extend(pipelines.iter().find(is_its).map(|pipeline| (view.as_ref(), pipeline)));
    }
    let texts = |of: fn(&TableDef, &Pipeline) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|(view, pipeline)| of(view, pipeline)).collect::<StringArray>())
    };
    let as_of = |pipeline: &Pipeline| runner.as_ref().and_then(|runner| runner.reached(pipeline));
    let as_of: Int64Array = rows.iter().map(|(_, pipeline)| as_of(pipeline).map(|txn| txn.0)).collect();
    Ok(vec![
        texts(|view, _| Some(view.schema_name.clone())),
        texts(|view, _| Some(view.name.clone())),
        texts(|_, pipeline| Some(pipeline.state.clone())),
        Arc::new(as_of),
        texts(|_, pipeline| Some(pipeline.script.clone())),
        texts(|_, pipeline| pipeline.error.clone()),
        // Rows that come after the watermark are not in it.
        Arc::new(BooleanArray::from_iter(
            rows.iter().map(|(_, pipeline)| Some(pipeline.options.contains_key("watermark"))),
        )),
    ])
}

fn runner(session: &Inner) -> Result<Arc<dyn crate::Pipelines>, Error> {
    session.engine().pipelines().ok_or_else(|| unsupported("materialized views on a node that runs none"))
}

async fn find(session: &Inner, name: &[Ident], privilege: Privilege) -> Result<Arc<TableDef>, Error> {
    let (names, path) = (session.names().await?, session.search_path());
    let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
    match resolver.find(name, privilege)? {
        Found::Table(table) => materialized(table),
        Found::System { .. } | Found::Made { .. } => {
            Err(Error::new(ErrorKind::Denied, "system tables are read-only"))
        }
    }
}

/// The view, unless it is something else.
fn materialized(table: Arc<TableDef>) -> Result<Arc<TableDef>, Error> {
    if table.kind != TableKind::Table && table.materialized().is_some() {
        return Ok(table);
    }
    let text = format!("\"{}\" is not a materialized view", table.full_name());
    Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42809"))
}

async fn pipeline_of(session: &Inner, view: &TableDef) -> Result<Option<Pipeline>, Error> {
    let all = session.engine().lake().catalog.pipelines(&session.identity().scope).await?;
    Ok(all.into_iter().find(|pipeline| view.materialized() == Some(pipeline.id.to_string().as_str())))
}

fn lost(view: &TableDef) -> Error {
    Error::new(ErrorKind::Corrupt, format!("materialized view {} has lost its pipeline", view.full_name()))
}

/// A view is steered by its owner, and by admins.
async fn own(session: &Inner, view: Arc<TableDef>) -> Result<Arc<TableDef>, Error> {
    let identity = session.identity();
    let owner = pipeline_of(session, &view).await?.map(|pipeline| pipeline.owner);
    if owner.is_none_or(|owner| owner == identity.token.id)
        || authorize(identity, Privilege::Manage, view.object())
    {
        return Ok(view);
    }
    let name = if view.is_known_to(identity) { view.full_name() } else { "that reads it".to_owned() };
    Err(denied(Privilege::Manage, &format!("materialized view {name}")))
}

/// Whether to wait for the first rows, and the options of the pipeline.
fn view_options(options: &BTreeMap<String, String>) -> Result<(bool, BTreeMap<String, String>), Error> {
    let (mut wait, mut others) = (false, BTreeMap::new());
    for (name, value) in options {
        match (name.as_str(), value.to_lowercase().as_str()) {
            ("wait", "true" | "on") => wait = true,
            ("wait", "false" | "off") => wait = false,
            ("wait", _) => {
                let text = format!("option 'wait' is true or false, got '{value}'");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("22023"));
            }
            ("watermark" | "restarts_max", _) => {
                others.insert(name.clone(), value.clone());
            }
            _ => {
                let text = format!(
                    "invalid option '{name}' of a materialized view; supported are wait, watermark, restarts_max"
                );
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("22023"));
            }
        }
    }
    Ok((wait, others))
}

/// The columns of a materialized view whose query answers these: all of types that a table stores.
pub fn view_columns(outputs: &arrow::datatypes::Schema) -> Result<TableSchema, Error> {
    let mut fields: Vec<Field> = Vec::new();
    for (at, output) in outputs.fields().iter().enumerate() {
        let name = visible(output.name()).to_owned();
        let field_type = cenote_datafile::field_type(output).map_err(cenote_table::Error::from)?;
        if field_type == FieldType::Unknown {
            let text = format!("column \"{name}\" of a materialized view has no type");
            return Err(Error::new(ErrorKind::Invalid, text).with_hint("cast it"));
        }
        fields.push(Field::new(FieldId(i32::try_from(at + 1).unwrap_or(i32::MAX)), name, field_type));
    }
    check_output_names(&fields)?;
    Ok(cenote_catalog::first_schema(fields)?)
}
