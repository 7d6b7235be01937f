//! Assets and their runs as objects, for protocols that steer them so. Rights and rules are those of the statements.

use std::collections::BTreeMap;

use cenote_catalog::{
    Asset, AssetExplanation, AssetRun, Check, CheckRecord, MaterializeRequest, Object, PartitionStatus,
    Planned, Privilege, RerunSelection, RunExplanation, RunFilter, authorize,
};
use cenote_vocab::{ErrorKind, Micros, TableId};
use sqlparser::ast::Ident;
use uuid::Uuid;

use super::Session;
use crate::Error;
use crate::parse::object_name;
use crate::statement::asset::run_id;
use crate::statement::asset_lookup::{find, find_run, select};
use crate::statement::{Replayed, check_replay, replay};

/// The most bytes of why a run is cancelled.
const REASON_BYTES_MAX: usize = 4_096;

/// An asset, and what is known of it.
#[derive(Clone, Debug)]
pub struct AssetView {
    /// The recipe.
    pub asset: Asset,
    /// Schema and name of its table.
    pub name: (String, String),
    /// By whose rights it runs.
    pub owner: Option<String>,
    /// `missing`, `running`, `failed`, `stale`, `fresh`
    pub status: &'static str,
    /// Tables that it depends on and the asker may know of: name, whether an asset makes it, and the mapping of partitions.
    pub upstream: Vec<Upstream>,
}

/// A table that an asset depends on.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The table.
    pub table: TableId,
    /// Schema and name.
    pub name: (String, String),
    /// Which of its partitions belong to which: `identity`, `all`, …
    pub mapping: String,
}

impl AssetView {
    /// `schema.name`
    pub fn key(&self) -> String {
        format!("{}.{}", self.name.0, self.name.1)
    }
}

/// A name of one or two parts, as paths have it: `schema.name`, with quotes where a part has a point.
fn named(key: &str) -> Result<Vec<Ident>, Error> {
    let plain = |part: &str| !part.is_empty() && !part.contains(['.', '"']);
    match key.split_once('.') {
        // As it is: no folding of letters.
        Some((schema, name)) if plain(schema) && plain(name) => {
            Ok(vec![Ident::with_quote('"', schema), Ident::with_quote('"', name)])
        }
        _ => object_name(key),
    }
}

impl Session {
    /// Plans a run of assets, and begins it unless it is only asked what it would be.
    pub async fn materialize(
        &self,
        selection: &[String],
        asked: MaterializeRequest,
    ) -> Result<Planned, Error> {
        let session = self.inner();
        let names: Vec<Vec<Ident>> = selection.iter().map(|key| named(key)).collect::<Result<_, _>>()?;
        if names.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "selection names no asset").with_sqlstate("22023"));
        }
        let asked = MaterializeRequest { assets: select(session, &names).await?, ..asked };
        session.engine().assets()?.materialize(session.identity(), asked).await
    }

    /// A page of runs of assets, newest first, with how many tasks of each state they have.
    pub async fn runs(
        &self,
        asset: Option<&str>,
        wanted: RunFilter,
    ) -> Result<Vec<(AssetRun, BTreeMap<String, i64>)>, Error> {
        let session = self.inner();
        let asset = match asset {
            Some(key) => Some(find(session, &named(key)?, Privilege::Use).await?.0.id),
            None => {
                session.require(Privilege::ReadMetadata, Object::Tenant)?;
                None
            }
        };
        let wanted = RunFilter { asset, ..wanted };
        Ok(session.engine().lake().catalog.asset_runs(&session.identity().scope, &wanted).await?)
    }

    /// A run with its tasks, for who may read what there is, and for who may run all that it makes: to that one the texts of
    /// errors are not shown, which may hold values.
    pub async fn run(&self, id: &str) -> Result<AssetRun, Error> {
        let (session, id) = (self.inner(), run_id(id)?);
        let identity = session.identity();
        if authorize(identity, Privilege::ReadMetadata, Object::Tenant) {
            return Ok(session.engine().lake().catalog.asset_run(&identity.scope, id).await?);
        }
        let mut run = find_run(session, id, Privilege::Run).await?;
        run.error = None;
        run.tasks.iter_mut().for_each(|task| task.error = None);
        Ok(run)
    }

    /// Ends a run early.
    pub async fn cancel_run(&self, id: &str, reason: Option<&str>) -> Result<(), Error> {
        let session = self.inner();
        let run = find_run(session, run_id(id)?, Privilege::Run).await?;
        if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            let text = format!("a reason has at most {REASON_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("22023"));
        }
        let actor = &session.identity().token.name;
        let reason = reason.map_or_else(|| format!("cancelled by {actor}"), str::to_owned);
        session.engine().assets()?.cancel(&session.identity().scope, run.id, &reason).await
    }

    /// Lets no further task of a run begin, or lets them again.
    pub async fn pause_run(&self, id: &str, paused: bool) -> Result<(), Error> {
        let session = self.inner();
        let run = find_run(session, run_id(id)?, Privilege::Run).await?;
        session.engine().assets()?.pause(&session.identity().scope, run.id, paused).await
    }

    /// Begins a run of tasks of another; the same key is the same run.
    pub async fn rerun(
        &self,
        id: &str,
        selection: RerunSelection,
        key: Option<String>,
    ) -> Result<Planned, Error> {
        let session = self.inner();
        let run = find_run(session, run_id(id)?, Privilege::Run).await?;
        session.engine().assets()?.rerun(session.identity(), run.id, selection, key).await
    }

    /// Does what the tasks of a run did again, by the recipes and on the snapshots of then, and compares; writes nothing.
    pub async fn replay(&self, id: &str) -> Result<Vec<Replayed>, Error> {
        let session = self.inner();
        session.require(Privilege::Manage, Object::Tenant)?;
        replay(session, run_id(id)?).await
    }

    /// The same, and the rows are published again, by a run; the same key is the same run.
    pub async fn replay_and_commit(&self, id: &str, key: Option<String>) -> Result<Planned, Error> {
        let session = self.inner();
        session.require(Privilege::Manage, Object::Tenant)?;
        let run = run_id(id)?;
        check_replay(session, run).await?;
        session.engine().assets()?.replay(session.identity(), run, key).await
    }

    /// Why a run is as it is.
    pub async fn explain_run(&self, id: &str) -> Result<RunExplanation, Error> {
        let session = self.inner();
        session.require(Privilege::ReadMetadata, Object::Tenant)?;
        session.engine().assets()?.explain_run(&session.identity().scope, run_id(id)?).await
    }

    /// The assets that the asker may know of, by name.
    pub async fn assets(&self) -> Result<Vec<AssetView>, Error> {
        let session = self.inner();
        let assets = session.engine().lake().catalog.assets(&session.identity().scope).await?;
        let mut views = self.views(assets, None).await?;
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// One of them. `NotFound` with the nearest name if there is none.
    pub async fn asset(&self, key: &str) -> Result<AssetView, Error> {
        let (asset, _) = find(self.inner(), &named(key)?, Privilege::Use).await?;
        let of = Some(asset.id);
        self.views(vec![asset], of).await?.pop().ok_or_else(|| {
            cenote_catalog::Error::AssetNotFound { name: key.to_owned(), nearest: None }.into()
        })
    }

    /// What is known of these assets, as far as the asker may know of them. `of`: the one that they are.
    async fn views(&self, assets: Vec<Asset>, of: Option<Uuid>) -> Result<Vec<AssetView>, Error> {
        let session = self.inner();
        let (catalog, scope) = (&session.engine().lake().catalog, &session.identity().scope);
        let names = catalog.tables_by_id(scope, catalog.head(scope).await?.txn).await?;
        let states: BTreeMap<Uuid, &'static str> =
            session.engine().assets()?.states(scope, of).await?.into_iter().collect();
        let known = |table: TableId| {
            let table = names.table_by_id(table).filter(|table| table.is_known_to(session.identity()))?;
            Some((table.schema_name.clone(), table.name.clone()))
        };
        let owners: BTreeMap<i64, String> =
            catalog.tokens(scope).await?.into_iter().map(|token| (token.id, token.name)).collect();
        let mut views = Vec::with_capacity(assets.len());
        for asset in assets {
            let Some(name) = known(asset.table) else { continue };
            let upstream = asset.upstream.iter().filter_map(|table| {
                let mapping = asset.spec.mapping(*table).text();
                Some(Upstream { table: *table, name: known(*table)?, mapping })
            });
            views.push(AssetView {
                upstream: upstream.collect(),
                name,
                owner: owners.get(&asset.owner).cloned(),
                status: states.get(&asset.id).copied().unwrap_or("missing"),
                asset,
            });
        }
        Ok(views)
    }

    /// Why an asset is as it is, or one partition of it.
    pub async fn explain_asset(&self, key: &str, partition: Option<&str>) -> Result<AssetExplanation, Error> {
        let session = self.inner();
        let (asset, _) = find(session, &named(key)?, Privilege::Select).await?;
        session.engine().assets()?.explain_asset(session.identity(), asset.id, partition).await
    }

    /// Every partition of an asset that is there or was ever tried, in order; and when that was so.
    pub async fn asset_partitions(&self, key: &str) -> Result<(Vec<PartitionStatus>, Micros), Error> {
        let session = self.inner();
        let (asset, _) = find(session, &named(key)?, Privilege::Select).await?;
        session.engine().assets()?.partitions(&session.identity().scope, asset.id).await
    }

    /// The checks of tables that the asker may know of: each with schema and name of its table.
    pub async fn checks(&self) -> Result<Vec<(Check, (String, String))>, Error> {
        let session = self.inner();
        let names = session.names().await?;
        let checks = session.engine().lake().catalog.checks(&session.identity().scope, None).await?;
        let known = checks.into_iter().filter_map(|check| {
            let table =
                names.table_by_id(check.table).filter(|table| table.is_known_to(session.identity()))?;
            Some((check, (table.schema_name.clone(), table.name.clone())))
        });
        let mut checks: Vec<_> = known.collect();
        checks.sort_by(|a, b| (&a.1, &a.0.name).cmp(&(&b.1, &b.0.name)));
        Ok(checks)
    }

    /// A page of what a check said of its table, newest first, behind the result of a time and an attempt. `Denied` unless the asker
    /// may read the table: what is said may hold values.
    pub async fn check_results(
        &self,
        check: &Check,
        page: (Option<(Micros, Uuid)>, u32),
    ) -> Result<Vec<CheckRecord>, Error> {
        let session = self.inner();
        let names = session.names().await?;
        if let Some(table) = names.table_by_id(check.table) {
            session.require(Privilege::Select, table.object())?;
        }
        let (catalog, scope) = (&session.engine().lake().catalog, &session.identity().scope);
        Ok(catalog.check_results(scope, check.id, page).await?)
    }
}
