//! Tags, `RESTORE`, `UNDROP`, `DROP PRODUCER`: what keeps old versions, and ways back to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use cenote_catalog::{Commit, NewTag, ObjectChange, Privilege, Reruns, TableDef};
use cenote_vocab::{ErrorKind, Fault, TableId, Txn};
use sqlparser::ast::Ident;

use super::maintain::everywhere;
use super::{Answer, Guard, Prepared};
use crate::Error;
use crate::parse::{At, History};
use crate::plan::{Resolver, constant_time};
use crate::session::Inner;
use crate::transaction::facts;

/// Runs a statement about versions.
pub(crate) async fn run(
    session: &Inner,
    statement: &History,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction(statement.command())?;
    let done = Answer::done(statement.command());
    let catalog = &session.engine().lake().catalog;
    let scope = &session.identity().scope;
    match statement {
        History::CreateTag { name, table, at, retain, or_replace } => {
            let table = kept(session, table.as_deref()).await?;
            let at = match at {
                Some(at) => Some(version(session, table.as_deref(), at).await?),
                None => None,
            };
            let tag = NewTag {
                table: table.map(|table| table.id),
                name: name.clone(),
                at,
                retain: *retain,
                or_replace: *or_replace,
                holder: session.identity().token.name.clone(),
            };
            Ok(done.with_txn(Some(catalog.create_tag(scope, tag).await?)))
        }
        History::DropTag { name, table, if_exists } => {
            let table = kept(session, table.as_deref()).await?.map(|table| table.id);
            match catalog.drop_tag(scope, table, name).await {
                Err(error) if *if_exists && error.kind() == ErrorKind::NotFound => {
                    Ok(done.with_notice(format!("{error}, skipping")))
                }
                dropped => dropped.map(|()| done).map_err(Error::from),
            }
        }
        History::Restore { table, to } => restore(session, table, to, prepared, guard).await,
        History::Undrop(name) => undrop(session, name, prepared, guard).await,
        History::DropProducer(name) => {
            everywhere(session, Privilege::Manage)?;
            if catalog.drop_producer(scope, name).await? {
                return Ok(done);
            }
            Err(Error::new(ErrorKind::NotFound, format!("producer '{name}' does not exist"))
                .with_sqlstate("42704"))
        }
    }
}

/// Columns of `SHOW TAGS`.
pub(super) fn tag_columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("tag"),
        text("table"),
        Field::new("version", DataType::Int64, true),
        text("created_by"),
        Field::new("expires_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

/// The tags of tables that the asker may read, and of the catalog.
pub(super) async fn tags(session: &Inner) -> Result<Vec<ArrayRef>, Error> {
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let identity = session.identity();
    let by_id: BTreeMap<TableId, &Arc<TableDef>> =
        snapshot.names.tables().map(|table| (table.id, table)).collect();
    let mut shown = Vec::new();
    for hold in session.engine().lake().catalog.holds(&identity.scope).await? {
        let Some(name) = hold.name.clone() else { continue };
        let table = match hold.table {
            None => None,
            Some(id) => match by_id.get(&id) {
                Some(table) if table.is_known_to(identity) => Some(table.full_name()),
                _ => continue,
            },
        };
        shown.push((name, table, hold));
    }
    let texts = |values: Vec<Option<String>>| Arc::new(StringArray::from(values)) as ArrayRef;
    Ok(vec![
        texts(shown.iter().map(|(name, ..)| Some(name.clone())).collect()),
        texts(shown.iter().map(|(_, table, _)| table.clone()).collect()),
        Arc::new(shown.iter().map(|(.., hold)| Some(hold.txn.0)).collect::<Int64Array>()),
        texts(shown.iter().map(|(.., hold)| Some(hold.holder.clone())).collect()),
        Arc::new(
            shown
                .iter()
                .map(|(.., hold)| hold.expires.map(|at| at.0))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    ])
}

/// The table that a tag is about; for the catalog the right to all of it.
async fn kept(session: &Inner, name: Option<&[Ident]>) -> Result<Option<Arc<TableDef>>, Error> {
    match name {
        Some(name) => table(session, name, Privilege::Alter).await.map(Some),
        None => everywhere(session, Privilege::Manage).map(|()| None),
    }
}

async fn table(session: &Inner, name: &[Ident], privilege: Privilege) -> Result<Arc<TableDef>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    resolver.writable(name, privilege)
}

/// The version that is meant, of a table or of the catalog.
async fn version(session: &Inner, table: Option<&TableDef>, at: &At) -> Result<Txn, Error> {
    let (catalog, scope) = (&session.engine().lake().catalog, &session.identity().scope);
    let txn = match at {
        At::Version(txn) => Txn(*txn),
        At::Tag(name) => catalog.tagged(scope, table.map(|table| table.id), name).await?,
        At::Time(expr) => {
            let state = session.engine().base().statement(session.now(), None);
            let at = constant_time(session.engine(), &state, expr, "").await?;
            catalog.txn_at(scope, at).await?
        }
    };
    if let Some(table) = table
        && txn <= catalog.head(scope).await?.txn
        && catalog.names(scope, txn).await?.table_by_id(table.id).is_none()
    {
        let text = format!("table {} does not exist at version {txn}", table.full_name());
        return Err(Error::new(ErrorKind::NotFound, text).with_sqlstate("42P01"));
    }
    Ok(txn)
}

/// Makes a table what it was: one commit that takes away what came since and brings back what went.
async fn restore(
    session: &Inner,
    name: &[Ident],
    to: &At,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let (lake, scope) = (session.engine().lake(), &session.identity().scope);
    let done = Answer::done("RESTORE TABLE");
    let mut reruns = Reruns::new(lake.ids.clone());
    table(session, name, Privilege::Alter).await?;
    loop {
        guard.check()?;
        let table = table(session, name, Privilege::Delete).await?;
        super::table_options::refuse_append_only(&table)?;
        let to = version(session, Some(&table), to).await?;
        session.engine().ingest().flush(scope, &table).await?;
        let Some(change) = lake.restore(scope, &table, to).await? else { return Ok(done) };
        let inputs = BTreeMap::from([(table.id, to)]);
        let sql = std::slice::from_ref(&prepared.sql);
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: scope.clone(),
            producers: session.client_producer().into_iter().collect(),
            facts: facts(session.caller(), "restore", sql, &inputs),
            tables: vec![change],
            objects: Vec::new(),
        };
        match lake.catalog.apply(commit).await {
            Ok(committed) => {
                session.idempotency_key_used()?;
                return Ok(done.with_txn(Some(committed.txn)));
            }
            Err(error) => guard.pause(&lake.clock, reruns.pause_after(error)?).await?,
        }
    }
}

/// Brings back the table of this name that was dropped last.
async fn undrop(
    session: &Inner,
    name: &[Ident],
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let path = session.search_path();
    let names = session.names().await?;
    let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
    let (schema, name) = resolver.creatable(name, Privilege::Create)?;
    let lake = session.engine().lake();
    guard.check()?;
    let sql = std::slice::from_ref(&prepared.sql);
    let commit = Commit {
        commit_id: lake.ids.uuid(),
        scope: session.identity().scope.clone(),
        producers: session.client_producer().into_iter().collect(),
        facts: facts(session.caller(), "undrop_table", sql, &BTreeMap::new()),
        tables: Vec::new(),
        objects: vec![ObjectChange::UndropTable { schema, name }],
    };
    let committed = lake.catalog.apply(commit).await?;
    session.idempotency_key_used()?;
    Ok(Answer::done("UNDROP TABLE").with_txn(Some(committed.txn)))
}
