//! Assets: asked for by a person, by a schedule, by a change of what they read; each a run, planned and made in one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use cenote_catalog::{
    Asset, AssetRun, Caller, Cancel, ClaimedTask, Commit, Dependency, Facts, FlowChange, Identity,
    MaterializeRequest, NewAssetRun, NewTask, ObjectChange, Planned, Privilege, RerunKind, RerunSelection,
    RunOf, Schedule, SliceRange, TablesById, TaskFailure, TaskRecord, TaskState, TenantState, Tick, Wanted,
};
use cenote_vocab::{Micros, Scope, TableId, Txn};
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::flow::Inner;
use crate::plan::{EDGES_MAX, Node, Plan, Refusal, Selection, plan};
use crate::schedule::Cadence;
use crate::slices::Cut;
use crate::task::TASKS_MAX;
use crate::{Error, Flow};

/// The built-in catalog, as plans name it.
const WORKSPACE: &str = "lake";
/// Runs that a person asked for begin before others.
const PERSON_PRIORITY: i32 = 10;
/// Runs over a range of the past begin after others.
const RANGE_PRIORITY: i32 = -10;
/// Labels of a run.
const LABELS_MAX: usize = 128;
/// The most bytes of a name or value of a label.
const LABEL_BYTES_MAX: usize = 256;
/// Names of labels that begin so are ours.
const OWN_LABELS: &str = "cenote.";
/// The most bytes of a key that makes a second request the same.
const RUN_KEY_BYTES_MAX: usize = 256;

/// Does what a task of an asset is: registered when the node is composed, because it takes SQL.
pub trait AssetTasks: Send + Sync {
    /// Puts what is acknowledged by now into files of the next snapshot.
    fn settle<'a>(
        &'a self,
        scope: &'a Scope,
        tables: &'a [TableId],
    ) -> BoxFuture<'a, Result<(), TaskFailure>>;
    /// Does a task; answers the commit that has ended it. `stop` ends it early.
    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        task: &'a ClaimedTask,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Txn, TaskFailure>>;
}

/// The assets of a tenant as they are now.
pub(crate) struct Graph {
    pub(crate) names: Arc<TablesById>,
    pub(crate) assets: Vec<Asset>,
    /// Of those that are cut.
    pub(crate) cuts: BTreeMap<Uuid, Arc<Cut>>,
}

impl Graph {
    pub(crate) async fn load(inner: &Inner, scope: &Scope) -> Result<Self, Error> {
        let catalog = &inner.lake.catalog;
        let head = catalog.head(scope).await?.txn;
        let (names, assets) = (catalog.tables_by_id(scope, head).await?, catalog.assets(scope).await?);
        let (mut cuts, now) = (BTreeMap::new(), inner.lake.clock.now());
        for asset in &assets {
            if let Some(cut) = inner.cut(scope, asset, now).await? {
                cuts.insert(asset.id, Arc::new(cut));
            }
        }
        Ok(Self { names, assets, cuts })
    }

    /// Assets whose tables are there.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let node = |asset: &Asset| {
            let table = self.names.table_by_id(asset.table)?;
            Some(Node {
                id: asset.id,
                name: (table.schema_name.clone(), table.name.clone()),
                table: asset.table,
                upstream: asset.upstream.clone(),
                mappings: mappings(&asset.spec.depends),
                code: asset.code,
                priority: asset.spec.priority,
                cut: self.cuts.get(&asset.id).cloned(),
            })
        };
        self.assets.iter().filter_map(node).collect()
    }

    pub(crate) fn asset(&self, id: Uuid) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.id == id)
    }

    fn plan(&self, scope: &Scope, selection: &Selection) -> Result<Plan, Error> {
        plan((scope.tenant(), WORKSPACE), &self.nodes(), selection).map_err(|refusal| match refusal {
            Refusal::Unknown(ids) => {
                let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
                Error::Plan(format!("assets {} do not exist", ids.join(", ")))
            }
            Refusal::TooMany(count) => {
                let max = crate::plan::TASKS_MAX;
                Error::Plan(format!("the plan has {count} tasks, at most {max} are allowed"))
            }
            Refusal::TooManyEdges => {
                let text =
                    "in the plan more than {} pairs of tasks wait for each other: name fewer partitions";
                Error::Plan(text.replace("{}", &EDGES_MAX.to_string()))
            }
            Refusal::Cycle(keys) => Error::Plan(format!("{} depend on each other", keys.join(", "))),
        })
    }
}

impl Flow {
    /// Says who does tasks of assets; the first one stays, for as long as its owner keeps it.
    pub fn register_assets(&self, tasks: Weak<dyn AssetTasks>) {
        drop(self.inner.asset_tasks.set(tasks));
    }

    /// Fails if a schedule cannot be understood.
    pub fn check_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        Cadence::of(schedule).map(drop)
    }

    /// Plans a run, and makes it unless it is only asked what it would be. `Denied` if the principal may not run all of its tasks.
    pub async fn materialize(
        &self,
        identity: &Identity,
        asked: MaterializeRequest,
    ) -> Result<Planned, Error> {
        check_request(&asked)?;
        let scope = &identity.scope;
        let key = asked.key.clone().filter(|_| !asked.dry_run).map(|key| (key, request_hash(&asked)));
        // First of all: what could be planned then may not be any more.
        if let Some(key) = &key
            && let Some(known) = self.run_of_key(identity, key).await?
        {
            return Ok(known);
        }
        let graph = Graph::load(&self.inner, scope).await?;
        let selection = Selection {
            roots: self.inner.roots(scope, &graph, &asked).await?,
            upstream: asked.upstream,
            downstream: asked.downstream,
            chunk: asked.chunk,
            // What is reached along edges may add to what is given.
            as_given: matches!(asked.wanted, Wanted::Tasks(_)) && !asked.upstream && !asked.downstream,
        };
        let plan = graph.plan(scope, &selection)?;
        check_may_run(identity, (&graph.names, &graph.assets), plan.tasks.iter().map(|task| task.asset))?;
        if asked.dry_run {
            return Ok(planned(&plan, None, false));
        }
        let range = matches!(asked.wanted, Wanted::Range(..));
        let usual = if range { RANGE_PRIORITY } else { PERSON_PRIORITY };
        let run = NewAssetRun {
            key: key.clone(),
            actor: Some(identity.token.name.clone()),
            logical: asked.logical,
            parent: asked.parent.map(|(run, _)| run),
            rerun: asked.parent.map(|(_, kind)| kind),
            priority: asked.priority.unwrap_or(usual),
            concurrency: asked.concurrency,
            deadline: asked.timeout.map(|timeout| self.inner.lake.clock.now().plus(timeout)),
            labels: asked.labels.clone(),
            ..self.inner.new_run(&plan, "person", asked.assets.first().filter(|_| asked.assets.len() == 1))
        };
        let id = run.id;
        match self.create_run(identity, run).await? {
            Some(known) => Ok(known),
            None => Ok(planned(&plan, Some(id), true)),
        }
    }

    /// Makes a run and begins it. The run of its key, if the same was asked meanwhile.
    async fn create_run(&self, identity: &Identity, run: NewAssetRun) -> Result<Option<Planned>, Error> {
        let (scope, key) = (&identity.scope, run.key.clone());
        let change = FlowChange::CreateRun(Box::new(run));
        let actor = Some(identity.token.name.clone());
        match (self.inner.commit_flow(scope, "create_run", actor, change).await, &key) {
            (Ok(_), _) => {}
            (Err(error @ Error::Catalog(cenote_catalog::Error::RunKeyTaken { .. })), Some(key)) => {
                return self.run_of_key(identity, key).await?.ok_or(error).map(Some);
            }
            (Err(error), _) => return Err(error),
        }
        self.inner.begin_soon(scope);
        Ok(None)
    }

    /// The run that was asked for by a key, as it was planned. `RunKey` if something else was asked.
    async fn run_of_key(
        &self,
        identity: &Identity,
        (key, asked): &(String, [u8; 32]),
    ) -> Result<Option<Planned>, Error> {
        let (catalog, scope) = (&self.inner.lake.catalog, &identity.scope);
        let Some((run, known)) = catalog.run_of_key(scope, key).await? else { return Ok(None) };
        if known != *asked {
            return Err(Error::RunKey {
                key: key.clone(),
                run,
                known: hex::encode(known),
                asked: hex::encode(asked),
            });
        }
        let run = catalog.asset_run(scope, run).await?;
        let names = catalog.tables_by_id(scope, catalog.head(scope).await?.txn).await?;
        let assets = catalog.assets(scope).await?;
        check_may_run(identity, (&names, &assets), run.tasks.iter().map(|task| task.asset))?;
        Ok(Some(Planned {
            run: Some(run.id),
            created: false,
            fingerprint: run.fingerprint.unwrap_or_default(),
            tasks: run.tasks.into_iter().map(|task| (task.key, task.reason)).collect(),
        }))
    }

    /// Returns when a run is at its end.
    pub async fn wait_for_run(&self, scope: &Scope, run: Uuid) -> Result<AssetRun, Error> {
        let catalog = &self.inner.lake.catalog;
        loop {
            // Read before the state is: an end that comes after is seen.
            let seen = catalog.head(scope).await?.txn;
            let found = catalog.asset_run(scope, run).await?;
            if matches!(found.state.as_str(), "SUCCEEDED" | "FAILED" | "CANCELLED" | "TIMED_OUT") {
                return Ok(found);
            }
            catalog.changed(scope, seen).await;
        }
    }

    /// Ends a run: what has not begun does not begin, what runs ends early.
    pub async fn cancel_run(&self, scope: &Scope, run: Uuid, reason: &str) -> Result<(), Error> {
        let change = FlowChange::CancelRun { run, reason: reason.to_owned(), why: Cancel::Asked };
        self.inner.lake.catalog.asset_run(scope, run).await?;
        self.inner.commit_flow(scope, "cancel_run", None, change).await?;
        self.inner.stop_run(run);
        Ok(())
    }

    /// Lets no further task of a run begin, or lets them again.
    pub async fn pause_run(&self, scope: &Scope, run: Uuid, paused: bool) -> Result<(), Error> {
        self.inner.lake.catalog.asset_run(scope, run).await?;
        let operation = if paused { "pause_run" } else { "resume_run" };
        self.inner.commit_flow(scope, operation, None, FlowChange::PauseRun { run, paused }).await?;
        if !paused {
            self.inner.begin_soon(scope);
        }
        Ok(())
    }

    /// Makes a run of tasks of another that has ended: of those that did not succeed, or of those that are named. The same key is
    /// the same run.
    pub async fn rerun(
        &self,
        identity: &Identity,
        run: Uuid,
        selection: RerunSelection,
        key: Option<String>,
    ) -> Result<Planned, Error> {
        let old = self.inner.lake.catalog.asset_run(&identity.scope, run).await?;
        let (kind, named, upstream, downstream) = match selection {
            RerunSelection::FromFailure => (RerunKind::FromFailure, None, false, false),
            RerunSelection::Subset { tasks, upstream, downstream } => {
                (RerunKind::Subset, Some(named_tasks(&old, tasks)?), upstream, downstream)
            }
        };
        match old.state.as_str() {
            "FAILED" | "CANCELLED" | "TIMED_OUT" => {}
            "SUCCEEDED" if kind == RerunKind::Subset => {}
            state => return Err(Error::NotRerun { run, state: state.to_owned() }),
        }
        let succeeded = TaskState::Succeeded.name();
        let is_wanted = |task: &&TaskRecord| match &named {
            Some(named) => named.contains(&task.key),
            None => task.state != succeeded,
        };
        let mut open: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
        for task in old.tasks.iter().filter(is_wanted) {
            open.entry(task.asset).or_default().extend(task.partitions.clone());
        }
        let asked = MaterializeRequest {
            assets: open.keys().copied().collect(),
            wanted: Wanted::Tasks(open),
            upstream,
            downstream,
            concurrency: old.concurrency,
            labels: old.labels,
            priority: i32::try_from(old.priority).ok(),
            key,
            parent: Some((run, kind)),
            ..MaterializeRequest::default()
        };
        self.materialize(identity, asked).await
    }

    /// Makes a run that does what the tasks of another did, by the recipes of then, on what they read; the same key is the same
    /// run. That all of it is still there was looked at before.
    pub async fn replay(
        &self,
        identity: &Identity,
        run: Uuid,
        key: Option<String>,
    ) -> Result<Planned, Error> {
        check_request(&MaterializeRequest {
            key: key.clone(),
            parent: Some((run, RerunKind::Replay)),
            ..MaterializeRequest::default()
        })?;
        let (scope, catalog) = (&identity.scope, &self.inner.lake.catalog);
        let key = key.map(|key| {
            (key, Sha256::digest([b"replay".as_slice(), run.as_bytes().as_slice()].concat()).into())
        });
        if let Some(key) = &key
            && let Some(known) = self.run_of_key(identity, key).await?
        {
            return Ok(known);
        }
        let old = catalog.asset_run(scope, run).await?;
        let names = catalog.tables_by_id(scope, catalog.head(scope).await?.txn).await?;
        let assets = catalog.assets(scope).await?;
        check_may_run(identity, (&names, &assets), old.tasks.iter().map(|task| task.asset))?;
        let usual = i32::try_from(old.priority).unwrap_or(PERSON_PRIORITY);
        let tasks = old.tasks.iter().map(|task| NewTask {
            key: task.key.clone(),
            id: self.inner.lake.ids.uuid(),
            asset: task.asset,
            partitions: task.partitions.clone(),
            reason: "replayed".to_owned(),
            priority: i32::try_from(task.priority - old.priority).unwrap_or_default(),
            code: task.code.unwrap_or_default(),
        });
        let new = NewAssetRun {
            asset: old.asset,
            fingerprint: old.fingerprint.clone().unwrap_or_default(),
            key,
            actor: Some(identity.token.name.clone()),
            logical: Some(old.logical.unwrap_or(old.created)),
            parent: Some(run),
            rerun: Some(RerunKind::Replay),
            snapshot: old.snapshot,
            priority: usual,
            concurrency: old.concurrency,
            labels: old.labels.clone(),
            tasks: tasks.collect(),
            edges: catalog.asset_run_edges(scope, run).await?,
            ..self.inner.new_run(&Plan::default(), "person", None)
        };
        let planned = Planned {
            run: Some(new.id),
            created: true,
            fingerprint: new.fingerprint.clone(),
            tasks: new.tasks.iter().map(|task| (task.key.clone(), task.reason.clone())).collect(),
        };
        Ok(self.create_run(identity, new).await?.unwrap_or(planned))
    }
}

fn planned(plan: &Plan, run: Option<Uuid>, created: bool) -> Planned {
    Planned {
        run,
        created,
        fingerprint: plan.fingerprint.clone(),
        tasks: plan.tasks.iter().map(|task| (task.key.clone(), task.reason.clone())).collect(),
    }
}

/// The tasks of these keys; those that the run does not have are named together.
fn named_tasks(run: &AssetRun, keys: Vec<String>) -> Result<BTreeSet<String>, Error> {
    if keys.is_empty() {
        return Err(Error::Plan("no task is named".to_owned()));
    }
    let known = |key: &&String| run.tasks.iter().any(|task| task.key == **key);
    let unknown: Vec<&str> = keys.iter().filter(|key| !known(key)).map(String::as_str).collect();
    match unknown.is_empty() {
        true => Ok(keys.into_iter().collect()),
        false => Err(Error::Plan(format!("run {} has no tasks {}", run.id, unknown.join(", ")))),
    }
}

/// `Denied` unless the principal may run all of these assets. One that it may not know is not named.
fn check_may_run(
    identity: &Identity,
    (names, assets): (&TablesById, &[Asset]),
    wanted: impl Iterator<Item = Uuid>,
) -> Result<(), Error> {
    let wanted: BTreeSet<Uuid> = wanted.collect();
    for asset in assets.iter().filter(|asset| wanted.contains(&asset.id)) {
        let Some(table) = names.table_by_id(asset.table) else { continue };
        if !asset.allows(identity, Privilege::Run, table) {
            let known = table.is_known_to(identity).then(|| table.full_name());
            let object = known.unwrap_or_else(|| "an asset that is reached".to_owned());
            return Err(Error::Denied { privilege: Privilege::Run, object });
        }
    }
    Ok(())
}

/// What is wrong with a request in itself.
fn check_request(asked: &MaterializeRequest) -> Result<(), Error> {
    let wrong = |text: String| Err(Error::Plan(text));
    let is_key = |key: &String| (1..=RUN_KEY_BYTES_MAX).contains(&key.len()) && !key.contains('\0');
    if !asked.key.as_ref().is_none_or(is_key) {
        return wrong(format!("a run key has 1 to {RUN_KEY_BYTES_MAX} bytes, none of them NUL"));
    }
    if asked.chunk == Some(0) || asked.concurrency == Some(0) {
        return wrong("chunk and concurrency are at least 1".to_owned());
    }
    if asked.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return wrong("the timeout of a run is at least a second".to_owned());
    }
    if asked.labels.len() > LABELS_MAX {
        return wrong(format!("a run has at most {LABELS_MAX} labels, {} are given", asked.labels.len()));
    }
    for (name, value) in asked.labels.iter().filter(|_| asked.parent.is_none()) {
        if name.starts_with(OWN_LABELS) {
            return wrong(format!("labels that begin with {OWN_LABELS} are reserved: {name}"));
        }
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
            return wrong(format!(
                "names and values of labels have at most {LABEL_BYTES_MAX} bytes: {name:?}"
            ));
        }
    }
    Ok(())
}

fn mappings(depends: &[Dependency]) -> BTreeMap<TableId, cenote_catalog::Mapping> {
    depends.iter().map(|said| (TableId(said.table), said.mapping)).collect()
}

/// Of what was asked, whatever came of it.
fn request_hash(asked: &MaterializeRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for asset in asked.assets.iter().collect::<BTreeSet<_>>() {
        hash.update(asset.as_bytes());
    }
    hash.update([u8::from(asked.upstream), u8::from(asked.downstream)]);
    hash.update(asked.logical.map_or(i64::MIN, |at| at.0).to_be_bytes());
    // Requests of before there were these have the hashes that they had.
    if asked.wanted != Wanted::Nothing || asked.chunk.is_some() {
        hash.update(asked.wanted.canonical());
        hash.update(asked.chunk.unwrap_or(0).to_be_bytes());
    }
    if let Some((parent, kind)) = asked.parent {
        hash.update(parent);
        // The hash of the kind that there was first stays as it was.
        if kind != RerunKind::FromFailure {
            hash.update(kind.name());
        }
    }
    for (name, value) in &asked.labels {
        for text in [name, value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    hash.finalize().into()
}

impl Inner {
    pub(crate) fn asset_tasks(&self) -> Option<Arc<dyn AssetTasks>> {
        self.asset_tasks.get()?.upgrade()
    }

    /// A run of a plan.
    pub(crate) fn new_run(&self, plan: &Plan, cause: &'static str, asset: Option<&Uuid>) -> NewAssetRun {
        let tasks = plan.tasks.iter().map(|task| NewTask {
            key: task.key.clone(),
            id: self.lake.ids.uuid(),
            asset: task.asset,
            partitions: task.partitions.clone(),
            reason: task.reason.clone(),
            priority: task.priority,
            code: task.code,
        });
        let edges = plan
            .tasks
            .iter()
            .flat_map(|task| task.upstream.iter().map(|upstream| (upstream.clone(), task.key.clone())));
        NewAssetRun {
            id: self.lake.ids.uuid(),
            asset: asset.copied(),
            cause,
            actor: None,
            reason: None,
            fingerprint: plan.fingerprint.clone(),
            logical: None,
            parent: None,
            rerun: None,
            snapshot: None,
            priority: 0,
            concurrency: None,
            deadline: None,
            labels: BTreeMap::new(),
            key: None,
            tasks: tasks.collect(),
            edges: edges.collect(),
            tick: None,
        }
    }

    /// Makes a change of assets and runs, under a number of its own.
    pub(crate) async fn commit_flow(
        &self,
        scope: &Scope,
        operation: &str,
        actor: Option<String>,
        change: FlowChange,
    ) -> Result<Txn, Error> {
        let run = change.run();
        self.commit_together(scope, (operation, run), actor, vec![change]).await
    }

    /// Makes changes under one number: all of them, or none.
    pub(crate) async fn commit_together(
        &self,
        scope: &Scope,
        (operation, run): (&str, Option<Uuid>),
        actor: Option<String>,
        changes: Vec<FlowChange>,
    ) -> Result<Txn, Error> {
        let commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: scope.clone(),
            producers: Vec::new(),
            facts: Facts {
                operation: operation.to_owned(),
                caller: Caller { actor, ..Caller::default() },
                run: run.map(RunOf::Open),
                ..Facts::default()
            },
            tables: Vec::new(),
            objects: changes.into_iter().map(|change| ObjectChange::Flow(Box::new(change))).collect(),
        };
        Ok(self.lake.catalog.apply(commit).await?.txn)
    }

    /// Looks for runs that are due and tasks that are ready, and begins them; answers when to look again.
    pub(crate) async fn tick_assets(
        self: &Arc<Self>,
        scope: &Scope,
        now: Micros,
    ) -> Result<Option<Micros>, Error> {
        if self.asset_tasks().is_none() {
            return Ok(None);
        }
        let fired = self.fire(scope, now).await?;
        let catalog = &self.lake.catalog;
        let (mut ready, mut waiting) = catalog.task_pulse(scope).await?;
        if waiting.is_some_and(|at| at <= now) {
            catalog.wake_tasks(scope, now).await?;
            self.time_out(scope, now).await?;
            (ready, waiting) = catalog.task_pulse(scope).await?;
        }
        if ready {
            self.begin_ready(scope).await?;
        }
        Ok([fired, waiting].into_iter().flatten().min())
    }

    /// Begins the tasks that are ready, as far as there is room.
    pub(crate) async fn begin_ready(self: &Arc<Self>, scope: &Scope) -> Result<(), Error> {
        let Some(tasks) = self.asset_tasks() else { return Ok(()) };
        while !self.stop.is_cancelled() {
            if self.lake.catalog.tenant_state(scope).await? != TenantState::Active {
                break;
            }
            let claimed = self.lake.catalog.claim_task(scope, self.executor, TASKS_MAX).await?;
            let Some(task) = claimed else { break };
            fail::fail_point!("task.claimed");
            self.begin_task(scope, task, tasks.clone());
        }
        Ok(())
    }

    /// The same behind a commit: who asked for that is told that it was made, and does not wait for as many claims as there is room.
    fn begin_soon(self: &Arc<Self>, scope: &Scope) {
        let (inner, scope) = (Arc::clone(self), scope.clone());
        self.spawn(async move {
            if let Err(error) = inner.begin_ready(&scope).await {
                tracing::warn!(%error, "tasks that are ready are begun later");
            }
        });
    }

    /// Ends runs whose time is over.
    async fn time_out(&self, scope: &Scope, now: Micros) -> Result<(), Error> {
        for run in self.lake.catalog.overdue_runs(scope, now).await? {
            let reason = "it took longer than its timeout".to_owned();
            let change = FlowChange::CancelRun { run, reason, why: Cancel::TimedOut };
            match self.commit_flow(scope, "time_out_run", None, change).await {
                Ok(_) => self.stop_run(run),
                Err(Error::Catalog(cenote_catalog::Error::RunEnded(_))) => {} // it ended meanwhile
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The run of one asset for a firing of its trigger; `slices` of one that is cut.
    pub(crate) fn run_of_one(
        &self,
        scope: &Scope,
        graph: &Graph,
        (asset, slices): (&Asset, Vec<SliceRange>),
        (cause, tick): (&'static str, Tick),
    ) -> Result<NewAssetRun, Error> {
        let roots = BTreeMap::from([(asset.id, slices)]);
        let plan = graph.plan(scope, &Selection { roots, ..Selection::default() })?;
        Ok(NewAssetRun {
            logical: tick.scheduled,
            tick: Some(tick),
            ..self.new_run(&plan, cause, Some(&asset.id))
        })
    }

    /// What each table has changed last.
    pub(crate) async fn changes(
        &self,
        scope: &Scope,
        tables: impl Iterator<Item = TableId>,
    ) -> Result<BTreeMap<TableId, Txn>, Error> {
        let tables: Vec<TableId> = tables.collect::<BTreeSet<_>>().into_iter().collect();
        Ok(self.lake.catalog.rows_changed(scope, &tables).await?)
    }
}
