//! Rows of assets and triggers; and how a commit changes them.

use std::collections::{BTreeMap, HashSet};

use cenote_vocab::{CatalogId, Micros, TableId, Txn};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Cell, Failure, Transaction, asset_run, check, recipe, task, task_end};
use crate::asset::{Asset, Trigger, TriggerKind};
use crate::committer::EventRow;
use crate::registry::{ASSET, ASSET_DEP, TICK, TRIGGER};
use crate::task::{FlowChange, Tick};
use crate::{AssetSpec, Error};

const COLUMNS: &str =
    "asset_id, table_id, owner, search_path, query, spec, code_id, paused, created_us, version";

/// Carries out what a commit says of assets and runs.
pub(crate) async fn apply(
    transaction: &mut Transaction,
    catalog: CatalogId,
    change: &FlowChange,
    (txn, now): (Txn, Micros),
) -> Result<Vec<EventRow>, Failure> {
    match change {
        FlowChange::PutAsset(asset) => put(transaction, catalog, asset, txn).await?,
        FlowChange::PauseAsset { asset, paused, next } => {
            pause(transaction, catalog, *asset, *paused, (txn, *next)).await?;
        }
        FlowChange::DropAsset(asset) => remove(transaction, catalog, *asset).await?,
        FlowChange::PutCheck(check) => check::put_check(transaction, catalog, check).await?,
        FlowChange::DropCheck(check) => {
            delete(transaction, catalog, ("cn_check", "check_id"), *check).await?;
        }
        FlowChange::CreateRun(new) => return task::create_run(transaction, catalog, new, now).await,
        FlowChange::Tick(fired) => tick(transaction, catalog, fired, None, now).await?,
        FlowChange::EndTask(end) => {
            return task_end::end_task(transaction, catalog, end, (txn, now)).await;
        }
        FlowChange::CancelRun { run, reason, why } => {
            return task_end::cancel_run(transaction, catalog, (*run, reason, *why), (txn, now)).await;
        }
        FlowChange::PauseRun { run, paused } => {
            task_end::pause_run(transaction, catalog, *run, *paused).await?;
        }
    }
    Ok(Vec::new())
}

/// All assets, by id.
pub(crate) async fn list(transaction: &mut Transaction, catalog: CatalogId) -> Result<Vec<Asset>, Failure> {
    let mut upstream: BTreeMap<Uuid, Vec<TableId>> = BTreeMap::new();
    let statement = transaction
        .statement("SELECT asset_id, upstream_id FROM cn_asset_dep WHERE catalog_id = ? ORDER BY upstream_id")
        .bind(catalog.0);
    for mut row in transaction.query(statement).await? {
        upstream.entry(row.uuid()?).or_default().push(TableId(row.int()?));
    }
    let text = format!("SELECT {COLUMNS} FROM cn_asset WHERE catalog_id = ? ORDER BY asset_id");
    let statement = transaction.statement(&text).bind(catalog.0);
    let mut assets = Vec::new();
    for mut row in transaction.query(statement).await? {
        let mut asset = read(&mut row)?;
        asset.upstream = upstream.remove(&asset.id).unwrap_or_default();
        assets.push(asset);
    }
    Ok(assets)
}

/// Ids of all assets.
pub(crate) async fn ids(transaction: &mut Transaction, catalog: CatalogId) -> Result<HashSet<Uuid>, Failure> {
    let text = "SELECT asset_id FROM cn_asset WHERE catalog_id = ?";
    let statement = transaction.statement(text).bind(catalog.0);
    let mut ids = HashSet::new();
    for mut row in transaction.query(statement).await? {
        ids.insert(row.uuid()?);
    }
    Ok(ids)
}

/// One asset.
pub(crate) async fn by_id(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<Option<Asset>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_asset WHERE catalog_id = ? AND asset_id = ?");
    let statement = transaction.statement(&text).bind(catalog.0).bind(id);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    let mut asset = read(&mut row)?;
    let statement = transaction
        .statement(
            "SELECT upstream_id FROM cn_asset_dep WHERE catalog_id = ? AND asset_id = ? ORDER BY upstream_id",
        )
        .bind(catalog.0)
        .bind(id);
    for mut row in transaction.query(statement).await? {
        asset.upstream.push(TableId(row.int()?));
    }
    Ok(Some(asset))
}

fn read(row: &mut super::Row) -> Result<Asset, Error> {
    let (id, table, owner) = (row.uuid()?, TableId(row.int()?), row.int()?);
    let (search_path, query, spec) = (row.text()?, row.text()?, row.text()?);
    let spec: AssetSpec = serde_json::from_str(&spec)
        .map_err(|error| Error::Corrupt(format!("asset {id} cannot be understood: {error}")))?;
    Ok(Asset {
        id,
        table,
        owner,
        search_path: lines(&search_path),
        query,
        code: row.array()?,
        spec,
        upstream: Vec::new(),
        paused: row.flag()?,
        created: Micros(row.int()?),
        version: row.int()?,
    })
}

pub(super) fn lines(text: &str) -> Vec<String> {
    text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

async fn put(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: &Asset,
    txn: Txn,
) -> Result<(), Failure> {
    let spec = serde_json::to_string(&asset.spec).map_err(|error| Error::Internal(error.to_string()))?;
    let known = by_id(transaction, catalog, asset.id).await?;
    if known.as_ref().map_or(0, |known| known.version) + 1 != asset.version {
        return Err(Error::AssetChanged(asset.id).into()); // or dropped: what is put would undo that
    }
    if known.is_some_and(|known| known.spec.is_cut_otherwise(&asset.spec)) {
        // What it has is told by keys that mean nothing any more.
        for table in ["cn_asset_partition", "cn_asset_input"] {
            delete(transaction, catalog, (table, "asset_id"), asset.id).await?;
        }
    }
    let row = vec![
        catalog.0.into(),
        asset.id.into(),
        asset.table.into(),
        "sql".into(),
        asset.owner.into(),
        asset.search_path.join("\n").into(),
        asset.query.as_str().into(),
        spec.into(),
        asset.code.into(),
        asset.paused.into(),
        asset.created.0.into(),
        asset.version.into(),
    ];
    let changing = ["owner", "search_path", "query", "spec", "code_id", "paused", "version"];
    transaction.upsert(&ASSET, &changing, &[row]).await?;
    delete(transaction, catalog, ("cn_asset_dep", "asset_id"), asset.id).await?;
    let rows: Vec<Vec<Cell>> = asset
        .upstream
        .iter()
        .map(|upstream| vec![catalog.0.into(), asset.id.into(), (*upstream).into()])
        .collect();
    transaction.insert(&ASSET_DEP, &rows).await?;
    if asset.spec.keep_runs == 0 {
        recipe::forget(transaction, catalog, asset.id).await?;
    }
    put_triggers(transaction, catalog, asset, txn).await
}

/// Triggers follow the recipe: one whose words are the same goes on where it was.
async fn put_triggers(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: &Asset,
    txn: Txn,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("SELECT trigger_id, kind, spec FROM cn_trigger WHERE catalog_id = ? AND asset_id = ?")
        .bind(catalog.0)
        .bind(asset.id);
    let mut known = BTreeMap::new();
    for mut row in transaction.query(statement).await? {
        let (id, kind, spec) = (row.uuid()?, row.text()?, row.text()?);
        known.insert((kind, spec), id);
    }
    let schedule = asset.spec.schedule.as_ref().map(|schedule| {
        (TriggerKind::Schedule, format!("{}\n{}\n{}", schedule.cron, schedule.zone, schedule.if_stale))
    });
    let eager = asset.spec.eager.then(|| (TriggerKind::Eager, String::new()));
    for (kind, spec) in schedule.into_iter().chain(eager) {
        if known.remove(&(kind.name().to_owned(), spec.clone())).is_some() {
            continue;
        }
        let id = trigger_id(asset.id, kind, txn);
        let row = vec![
            catalog.0.into(),
            id.into(),
            asset.id.into(),
            kind.name().into(),
            spec.into(),
            if asset.paused { "PAUSED" } else { "ACTIVE" }.into(),
            Some(txn).into(),
            Cell::Null,
            1_i64.into(),
        ];
        transaction.insert(&TRIGGER, &[row]).await?;
    }
    for trigger in known.into_values() {
        delete(transaction, catalog, ("cn_trigger", "trigger_id"), trigger).await?;
    }
    Ok(())
}

/// Of the asset, the kind and the commit that made it: an offer of the same commit again gives the same.
fn trigger_id(asset: Uuid, kind: TriggerKind, txn: Txn) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(asset.as_bytes());
    hash.update(kind.name());
    hash.update(txn.0.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn pause(
    transaction: &mut Transaction,
    catalog: CatalogId,
    asset: Uuid,
    paused: bool,
    (txn, next): (Txn, Option<Micros>),
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_asset SET paused = ?, version = version + 1 WHERE catalog_id = ? AND asset_id = ?",
        )
        .bind(paused)
        .bind(catalog.0)
        .bind(asset);
    if transaction.execute(statement).await? != 1 {
        return Err(Error::AssetNotFound { name: asset.to_string(), nearest: None }.into());
    }
    // What was due meanwhile is not made up for.
    let statement = transaction
        .statement(
            "UPDATE cn_trigger SET state = ?, cursor_txn = ?, next_us = ?, version = version + 1 \
             WHERE catalog_id = ? AND asset_id = ?",
        )
        .bind(if paused { "PAUSED" } else { "ACTIVE" })
        .bind(txn)
        .bind(next.map(|next| next.0))
        .bind(catalog.0)
        .bind(asset);
    transaction.execute(statement).await?;
    Ok(())
}

/// Removes an asset; its ended runs stay. `AssetBusy` while a task of it is open.
async fn remove(transaction: &mut Transaction, catalog: CatalogId, asset: Uuid) -> Result<(), Failure> {
    let open = asset_run::open_tasks(transaction, catalog).await?;
    if open.iter().any(|(busy, _)| *busy == asset) {
        return Err(Error::AssetBusy(asset).into());
    }
    for table in ["cn_asset_dep", "cn_asset_partition", "cn_asset_input", "cn_trigger", "cn_asset"] {
        delete(transaction, catalog, (table, "asset_id"), asset).await?;
    }
    recipe::forget(transaction, catalog, asset).await
}

async fn delete(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (table, column): (&str, &str),
    id: Uuid,
) -> Result<(), Failure> {
    let text = format!("DELETE FROM {table} WHERE catalog_id = ? AND {column} = ?");
    let statement = transaction.statement(&text).bind(catalog.0).bind(id);
    transaction.execute(statement).await?;
    Ok(())
}

/// All triggers.
pub(crate) async fn triggers(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<Trigger>, Failure> {
    let statement = transaction
        .statement(
            "SELECT trigger_id, asset_id, kind, state, cursor_txn, next_us, version FROM cn_trigger \
             WHERE catalog_id = ? ORDER BY trigger_id",
        )
        .bind(catalog.0);
    let mut triggers = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (id, asset, kind) = (row.uuid()?, row.uuid()?, row.text()?);
        let kind = [TriggerKind::Schedule, TriggerKind::Eager].into_iter().find(|known| known.name() == kind);
        triggers.push(Trigger {
            id,
            asset,
            kind: kind.ok_or_else(|| Error::Corrupt(format!("trigger {id} is of no known kind")))?,
            state: row.text()?,
            cursor: row.optional_int()?.map(Txn),
            next: row.optional_int()?.map(Micros),
            version: row.int()?,
        });
    }
    Ok(triggers)
}

/// Notes a firing, once, and moves the trigger on. `TriggerGone` if it was fired or changed meanwhile.
pub(crate) async fn tick(
    transaction: &mut Transaction,
    catalog: CatalogId,
    tick: &Tick,
    run: Option<Uuid>,
    now: Micros,
) -> Result<(), Failure> {
    let state = if tick.status == "FAILED" { "ERROR" } else { "ACTIVE" };
    let statement = transaction
        .statement(
            "UPDATE cn_trigger SET state = ?, next_us = ?, cursor_txn = COALESCE(?, cursor_txn), version = version + 1 \
             WHERE catalog_id = ? AND trigger_id = ? AND version = ? AND state <> 'PAUSED'",
        )
        .bind(state)
        .bind(tick.next.map(|next| next.0))
        .bind(tick.cursor)
        .bind(catalog.0)
        .bind(tick.trigger)
        .bind(tick.version);
    if transaction.execute(statement).await? != 1 {
        return Err(Error::TriggerGone(tick.trigger).into());
    }
    if tick.key.is_empty() {
        return Ok(()); // only its time was noted
    }
    let row = vec![
        catalog.0.into(),
        tick.trigger.into(),
        tick.key.as_str().into(),
        tick.scheduled.map(|at| at.0).into(),
        tick.status.into(),
        tick.reason.clone().into(),
        tick.conditions.clone().into(),
        run.into(),
        now.0.into(),
    ];
    transaction.insert_missing(&TICK, &[row]).await
}

/// Forgets ticks from before an instant.
pub(crate) async fn prune_ticks(
    transaction: &mut Transaction,
    catalog: CatalogId,
    before: Micros,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_tick WHERE catalog_id = ? AND at_us < ?")
        .bind(catalog.0)
        .bind(before.0);
    transaction.execute(statement).await?;
    Ok(())
}
