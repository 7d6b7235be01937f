//! Assets begun by schedules and by changes, by a clock that the tests move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use cenote_catalog::{
    Asset, AssetRun, AssetSpec, Category, ClaimedTask, Commit, Facts, FlowChange, ObjectChange, PartsOf,
    RunFilter, RunOf, Schedule, TaskEnd, TaskFailure, TaskOutcome,
};
use cenote_flow::{AssetTasks, Flow};
use cenote_table::Lake;
use cenote_testkit::number_of;
use cenote_vocab::{Micros, Scope, TableId, Txn};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{DAY, HOUR, World, flow_on, settle};

/// Ends each task in a commit of its own, as if it had made rows of what its run reads; or waits until it is told to end.
struct Worker {
    lake: Lake,
    is_endless: bool,
    /// Times that the runs were about, in the order in which they ended.
    done: Mutex<Vec<Micros>>,
}

impl AssetTasks for Worker {
    fn settle<'a>(
        &'a self,
        _scope: &'a Scope,
        _tables: &'a [TableId],
    ) -> BoxFuture<'a, Result<(), TaskFailure>> {
        async { Ok(()) }.boxed()
    }

    fn run<'a>(
        &'a self,
        scope: &'a Scope,
        task: &'a ClaimedTask,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Txn, TaskFailure>> {
        async move {
            if self.is_endless {
                stop.cancelled().await;
                let (category, message) = (Category::Infrastructure, "told to end".to_owned());
                return Err(TaskFailure { category, message, checks: Vec::new(), staged: None });
            }
            let snapshot = task.snapshot.expect("fixed by now");
            let inputs = task.asset.upstream.iter().map(|table| (*table, snapshot)).collect();
            let end = TaskEnd {
                run: task.run,
                key: task.key.clone(),
                task: task.task,
                attempt_id: task.attempt_id,
                asset: task.asset.id,
                parts: task.parts().expect("its parts"),
                outcome: TaskOutcome::Succeeded { rows: 1, code: task.asset.code, inputs, made: None },
                checks: Vec::new(),
                staged: None,
            };
            let change = FlowChange::EndTask(Box::new(end));
            let commit = commit(&self.lake, scope, Some(task.run), change);
            let committed = self.lake.catalog.apply(commit).await.expect("ended");
            self.done.lock().push(task.logical);
            Ok(committed.txn)
        }
        .boxed()
    }
}

fn commit(lake: &Lake, scope: &Scope, run: Option<Uuid>, change: FlowChange) -> Commit {
    Commit {
        commit_id: lake.ids.uuid(),
        scope: scope.clone(),
        producers: Vec::new(),
        facts: Facts { operation: "test".to_owned(), run: run.map(RunOf::Open), ..Facts::default() },
        tables: Vec::new(),
        objects: vec![ObjectChange::Flow(Box::new(change))],
    }
}

/// A loop with who does its tasks.
fn working(world: &World) -> (Flow, Arc<Worker>) {
    with_worker(world, false)
}

fn with_worker(world: &World, is_endless: bool) -> (Flow, Arc<Worker>) {
    let worker = Arc::new(Worker { lake: world.disk.lake.clone(), is_endless, done: Mutex::default() });
    let (flow, tasks): (_, Arc<dyn AssetTasks>) = (flow_on(&world.disk), worker.clone());
    flow.register_assets(Arc::downgrade(&tasks));
    (flow, worker)
}

/// An asset on a table of its own, which reads `upstream`.
async fn asset(world: &World, name: &str, upstream: &[TableId], spec: AssetSpec) -> Asset {
    world.commit(name).await;
    let asset = Asset {
        id: world.disk.lake.ids.uuid(),
        table: world.disk.table(name).await.id,
        owner: 0,
        search_path: vec!["default".to_owned()],
        query: "SELECT 1".to_owned(),
        code: [7; 32],
        spec,
        upstream: upstream.to_vec(),
        paused: false,
        created: world.clock.now(),
        version: 1,
    };
    let put = FlowChange::PutAsset(Box::new(asset.clone()));
    world.disk.lake.catalog.apply(commit(&world.disk.lake, &world.disk.scope, None, put)).await.unwrap();
    asset
}

fn scheduled(cron: &str) -> AssetSpec {
    let schedule = Schedule { cron: cron.to_owned(), zone: "UTC".to_owned(), if_stale: false };
    AssetSpec { schedule: Some(schedule), ..AssetSpec::default() }
}

/// Key (the second that was due), status, reason and run of all ticks, by key.
async fn ticks(world: &World) -> Vec<(i64, String, String, String)> {
    let rows = world.disk.lake.catalog.system_rows(&world.disk.scope, "flow.ticks").await.unwrap();
    let cell = |name: &str, row: usize| {
        let column = rows.column_by_name(name).expect("the column").as_string::<i32>();
        if column.is_valid(row) { column.value(row).to_owned() } else { "-".to_owned() }
    };
    let tick = |row: usize| {
        let key = cell("tick_key", row).parse().expect("a second");
        (key, cell("status", row), cell("reason", row), cell("run_id", row))
    };
    let mut ticks: Vec<_> = (0..rows.num_rows()).map(tick).collect();
    ticks.sort();
    ticks
}

async fn runs(world: &World) -> Vec<AssetRun> {
    let filter = RunFilter { limit: 5_000, ..RunFilter::default() };
    let page = world.disk.lake.catalog.asset_runs(&world.disk.scope, &filter).await.unwrap();
    page.into_iter().map(|(run, _)| run).collect()
}

/// Moves the clock to half an hour after the next time that is due.
async fn move_behind(world: &World, flow: &Flow) {
    let scope = &world.disk.scope;
    settle(flow, &world.clock).await;
    let triggers = world.disk.lake.catalog.triggers(scope).await.unwrap();
    let due = triggers.iter().filter_map(|trigger| trigger.next).min().expect("scheduled");
    world.clock.advance(due.since(world.clock.now()) + HOUR / 2);
    settle(flow, &world.clock).await;
}

/// What became of the ticks since the first, in their order; that each second was due once is shown by the keys.
async fn after_being_down(
    cron: &str,
    every: Duration,
    down: Duration,
) -> (Vec<(String, String)>, Vec<Micros>) {
    let world = World::new().await;
    let (flow, _worker) = working(&world);
    asset(&world, "report", &[], scheduled(cron)).await;
    move_behind(&world, &flow).await;
    let first = ticks(&world).await;
    assert_eq!((first.len(), first[0].1.as_str()), (1, "TRIGGERED"), "{first:?}");
    drop(flow);

    world.clock.advance(down);
    let (flow, worker) = working(&world);
    settle(&flow, &world.clock).await;
    let all = ticks(&world).await;
    let every = i64::try_from(every.as_secs()).unwrap();
    let keys: Vec<i64> = all.iter().map(|tick| tick.0).collect();
    let expected: Vec<i64> = (0..).zip(&keys).map(|(n, _)| keys[0] + n * every).collect();
    assert_eq!(keys, expected, "none is lost");
    let begun: BTreeSet<&str> =
        all.iter().filter(|tick| tick.1 == "TRIGGERED").map(|tick| tick.3.as_str()).collect();
    let runs = runs(&world).await;
    assert!(runs.iter().all(|run| run.state == "SUCCEEDED" && begun.contains(run.id.to_string().as_str())));
    assert_eq!(runs.len(), begun.len(), "one run of each");
    let told = all.into_iter().skip(1).map(|(_, status, reason, _)| (status, reason)).collect();
    (told, worker.done.lock().clone())
}

fn told(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn after_three_days_a_daily_schedule_runs_its_last_day_and_notes_the_others() {
    let (ticks, done) = after_being_down("0 6 * * *", DAY, 3 * DAY).await;
    let late = told("SKIPPED", "catchup_limit");
    assert_eq!(ticks, [late.clone(), late, told("TRIGGERED", "-")]);
    assert_eq!(done.len(), 1);
}

#[tokio::test]
async fn after_thirty_hours_an_hourly_schedule_runs_its_newest_ten_in_order() {
    let (ticks, done) = after_being_down("0 * * * *", HOUR, 30 * HOUR).await;
    let mut expected = vec![told("SKIPPED", "catchup_limit"); 20];
    expected.extend(vec![told("TRIGGERED", "-"); 10]);
    assert_eq!(ticks, expected);
    assert_eq!(done.len(), 10);
    assert!(done.is_sorted_by(|one, next| next.since(*one) == HOUR), "{done:?}");
}

#[tokio::test]
async fn of_two_loops_at_once_each_tick_is_fired_by_one() {
    let schedules = number_of("CENOTE_SCHEDULES", 50);
    let world = World::new().await;
    let ((one, first), (two, second)) = (working(&world), working(&world));
    for n in 0..schedules {
        asset(&world, &format!("report_{n}"), &[], scheduled("0 * * * *")).await;
    }
    one.tick(world.clock.now()).await.unwrap();
    for hour in 1..=2 {
        world.clock.advance(HOUR);
        let now = world.clock.now();
        let (left, right) = tokio::join!(one.tick(now), two.tick(now));
        left.unwrap();
        right.unwrap();
        for flow in [&one, &two] {
            settle(flow, &world.clock).await;
        }
        let ticks = ticks(&world).await;
        let of_keys = ticks.iter().fold(BTreeMap::new(), |mut counts, tick| {
            *counts.entry(tick.0).or_insert(0) += 1;
            counts
        });
        assert_eq!(of_keys.into_values().collect::<Vec<u64>>(), vec![schedules; hour], "each is due once");
        let begun: BTreeSet<&String> = ticks.iter().map(|tick| &tick.3).collect();
        let runs = runs(&world).await;
        assert_eq!((begun.len(), runs.len()), (ticks.len(), ticks.len()), "a run of each");
        assert!(runs.iter().all(|run| run.state == "SUCCEEDED"));
        assert_eq!(first.done.lock().len() + second.done.lock().len(), ticks.len(), "each was done once");
    }
}

#[tokio::test]
async fn a_burst_of_changes_makes_a_run_a_second_and_the_last_has_read_all() {
    let commits = u32::try_from(number_of("CENOTE_BURST_COMMITS", 200)).expect("few");
    let world = World::new().await;
    world.commit("raw").await;
    let raw = world.disk.table("raw").await.id;
    let (flow, _worker) = working(&world);
    let eager = AssetSpec { eager: true, ..AssetSpec::default() };
    let sum = asset(&world, "sum", &[raw], eager).await;
    settle(&flow, &world.clock).await;
    world.clock.advance(HOUR);
    let before = runs(&world).await.len();
    for _ in 0..commits {
        world.commit("raw").await;
        flow.tick(world.clock.now()).await.unwrap();
        flow.idle().await;
        world.clock.advance(Duration::from_secs(10) / commits);
    }
    world.clock.advance(Duration::from_secs(1));
    settle(&flow, &world.clock).await;
    let (catalog, scope) = (&world.disk.lake.catalog, &world.disk.scope);
    let mut made: Vec<Micros> = runs(&world).await.iter().map(|run| run.created).collect();
    made.truncate(made.len() - before); // the newest come first
    assert!((9..=11).contains(&made.len()), "{} runs", made.len());
    let apart = made.windows(2).map(|pair| pair[0].since(pair[1]));
    assert!(apart.min().expect("several") > Duration::from_millis(990), "{made:?}");
    let changed = catalog.rows_changed(scope, &[raw]).await.unwrap()[&raw];
    let parts = catalog.asset_partitions(scope, PartsOf::All).await.unwrap();
    let part = parts.iter().find(|part| part.asset == sum.id).expect("it was made");
    let read = part.success.as_ref().expect("made").inputs[&raw];
    assert!(read >= changed, "{read} was read, {changed} is the last change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_was_claimed_when_its_run_was_cancelled_ends_with_it() {
    let world = World::new().await;
    let (flow, _worker) = with_worker(&world, true);
    asset(&world, "made", &[], scheduled("0 * * * *")).await;
    flow.tick(world.clock.now()).await.unwrap();
    world.clock.advance(HOUR);
    // Who waits there gives its worker away, and with it what is to be done by that.
    let (gate, opened) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (claimed, may_begin) = (gate.clone(), opened.clone());
    let wait = move || {
        tokio::task::block_in_place(|| {
            claimed.wait();
            may_begin.wait();
        });
    };
    fail::cfg_callback("task.claimed", wait).unwrap();
    let (ticking, now) = (flow.clone(), world.clock.now());
    let ticking = tokio_util::task::TaskTracker::new().spawn(async move { ticking.tick(now).await });
    let (catalog, scope) = (&world.disk.lake.catalog, &world.disk.scope);
    tokio::task::block_in_place(|| gate.wait());
    let run = runs(&world).await.first().expect("it was begun").id;
    flow.cancel_run(scope, run, "asked").await.unwrap();
    tokio::task::block_in_place(|| opened.wait());
    ticking.await.unwrap().unwrap();
    flow.idle().await;
    assert_eq!(catalog.asset_run(scope, run).await.unwrap().state, "CANCELLED");
}
