//! Runs of assets: tasks are claimed and ended once, in legal steps only, and a success is one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::AsArray as _;
use cenote_catalog::{
    Asset, AssetSpec, Cancel, Category, Check, CheckResult, ClaimedTask, Code, ColumnEdge, ColumnKind,
    Commit, Direction, Error, Facts, FlowChange, Input, Kept, Made, NewAssetRun, NewTask, ObjectChange, Op,
    Partitioning, PartsOf, Period, ReadSet, Recipe, RerunKind, RunFilter, RunOf, Severity, StagedRows,
    TableChange, TaskEnd, TaskOutcome, TaskState, Tick, WHOLE, WalkRequest, WalkedEdge,
};
use cenote_vocab::{FieldId, TableId, Txn};
use uuid::Uuid;

use crate::fixture::{Fixture, producer};

pub(crate) const TTL: Duration = Duration::from_secs(600);

pub(crate) async fn change(fixture: &Fixture, change: FlowChange) -> Result<(), Error> {
    fixture.change_object(ObjectChange::Flow(Box::new(change))).await.map(drop)
}

/// An asset for each table, which reads those before it.
pub(crate) async fn asset(fixture: &Fixture, name: &str, upstream: &[TableId], spec: AssetSpec) -> Asset {
    let asset = Asset {
        id: fixture.ids.uuid(),
        table: fixture.create(name).await,
        owner: 0,
        search_path: vec!["default".into()],
        query: "SELECT 1".into(),
        code: [7; 32],
        spec,
        upstream: upstream.to_vec(),
        paused: false,
        created: fixture.clock.now(),
        version: 1,
    };
    change(fixture, FlowChange::PutAsset(Box::new(asset.clone()))).await.expect("put");
    asset
}

/// A run of a task for each asset, with these edges by number.
pub(crate) fn run(fixture: &Fixture, assets: &[&Asset], edges: &[(usize, usize)]) -> NewAssetRun {
    let key = |at: usize| format!("t{at}");
    NewAssetRun {
        id: fixture.ids.uuid(),
        asset: None,
        cause: "person",
        actor: Some("me".into()),
        reason: None,
        fingerprint: "f".into(),
        logical: None,
        parent: None,
        rerun: None,
        snapshot: None,
        priority: 0,
        concurrency: None,
        deadline: None,
        labels: BTreeMap::new(),
        key: None,
        tasks: assets
            .iter()
            .enumerate()
            .map(|(at, asset)| NewTask {
                key: key(at),
                id: fixture.ids.uuid(),
                asset: asset.id,
                partitions: None,
                reason: "selected".into(),
                priority: 0,
                code: [7; 32],
            })
            .collect(),
        edges: edges.iter().map(|(from, to)| (key(*from), key(*to))).collect(),
        tick: None,
    }
}

pub(crate) async fn create(fixture: &Fixture, run: &NewAssetRun) {
    change(fixture, FlowChange::CreateRun(Box::new(run.clone()))).await.expect("created");
}

pub(crate) async fn claim(fixture: &Fixture) -> Option<ClaimedTask> {
    fixture.catalog.claim_task(&fixture.scope, fixture.ids.uuid(), 16).await.expect("answered")
}

fn end(task: &ClaimedTask, outcome: TaskOutcome) -> TaskEnd {
    TaskEnd {
        run: task.run,
        key: task.key.clone(),
        task: task.task,
        attempt_id: task.attempt_id,
        asset: task.asset.id,
        parts: task.parts().expect("its parts"),
        outcome,
        checks: Vec::new(),
        staged: None,
    }
}

pub(crate) fn succeeded() -> TaskOutcome {
    TaskOutcome::Succeeded { rows: 3, code: [7; 32], inputs: BTreeMap::new(), made: None }
}

pub(crate) fn failed() -> TaskOutcome {
    TaskOutcome::Failed { category: Category::Configuration, message: "no such column".into() }
}

pub(crate) async fn end_with(
    fixture: &Fixture,
    task: &ClaimedTask,
    outcome: TaskOutcome,
) -> Result<(), Error> {
    change(fixture, FlowChange::EndTask(Box::new(end(task, outcome)))).await
}

/// State by task key.
pub(crate) async fn states(fixture: &Fixture, run: Uuid) -> BTreeMap<String, TaskState> {
    let run = fixture.catalog.asset_run(&fixture.scope, run).await.expect("there");
    let state = |name: &str| TaskState::of(name).expect("a state");
    run.tasks.iter().map(|task| (task.key.clone(), state(&task.state))).collect()
}

async fn texts(fixture: &Fixture, table: &str, column: &str) -> Vec<Option<String>> {
    let rows = fixture.catalog.system_rows(&fixture.scope, table).await.expect("rows");
    let column = rows.column_by_name(column).expect("the column").as_string::<i32>();
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

/// A row of every table about assets, their runs and lineage, with a marker in its texts.
pub(crate) async fn fill(fixture: &Fixture, marker: &str, raw: TableId) {
    let eager = AssetSpec { eager: true, ..AssetSpec::default() };
    let a = Asset { query: marker.into(), version: 2, ..asset(fixture, "made", &[raw], eager).await };
    change(fixture, FlowChange::PutAsset(Box::new(a.clone()))).await.expect("put");
    let b = asset(fixture, "made_too", &[a.table], AssetSpec::default()).await;
    let check = Check {
        id: fixture.ids.uuid(),
        table: a.table,
        name: marker.into(),
        severity: Severity::Error,
        rule: "ROW COUNT >= 1".into(),
        search_path: Vec::new(),
        created: fixture.clock.now(),
    };
    change(fixture, FlowChange::PutCheck(Box::new(check.clone()))).await.expect("put");
    let trigger = &fixture.catalog.triggers(&fixture.scope).await.expect("read")[0];
    let tick = Tick {
        trigger: trigger.id,
        version: trigger.version,
        key: "1".into(),
        scheduled: None,
        status: "TRIGGERED",
        reason: Some(marker.into()),
        conditions: None,
        next: None,
        cursor: None,
    };
    let made = NewAssetRun {
        tick: Some(tick),
        reason: Some(marker.into()),
        key: Some(("key".into(), [1; 32])),
        ..run(fixture, &[&a, &b], &[(0, 1)])
    };
    create(fixture, &made).await;
    let task = claim(fixture).await.expect("ready");
    let snapshot = fixture.catalog.fix_snapshot(&fixture.scope, task.run).await.expect("fixed");
    let outcome = TaskOutcome::Succeeded {
        rows: 5,
        code: [7; 32],
        inputs: BTreeMap::from([(raw, snapshot)]),
        made: None,
    };
    let result = CheckResult {
        check: check.id,
        name: marker.into(),
        passed: true,
        severity: Severity::Error,
        value: Some(marker.into()),
        message: None,
    };
    let ending = TaskEnd { checks: vec![result], ..end(&task, outcome) };
    fixture.catalog.apply(success(fixture, &task, (raw, snapshot), (marker, ending))).await.expect("applied");
}

/// The commit of five rows that ends a task.
fn success(
    fixture: &Fixture,
    task: &ClaimedTask,
    (raw, snapshot): (TableId, Txn),
    (text, ending): (&str, TaskEnd),
) -> Commit {
    let column = |table| (table, FieldId(1));
    let same =
        ColumnEdge { source: column(raw), target: column(task.asset.table), kind: ColumnKind::Identity };
    Commit {
        producers: vec![producer(&task.producer(), 1, None, None)],
        facts: Facts {
            operation: "asset".into(),
            inputs: vec![Input { node: raw.to_string(), from: None, to: Some(snapshot.to_string()) }],
            code: Some(Code {
                id: [7; 32],
                text: text.into(),
                columns: Some(vec![same]),
                deterministic: None,
            }),
            run: Some(RunOf::Open(task.run)),
            ..Facts::default()
        },
        tables: vec![TableChange {
            table: task.asset.table,
            base: snapshot,
            read: ReadSet::None,
            ops: vec![Op::Append { files: vec![fixture.file(5)] }],
        }],
        objects: vec![ObjectChange::Flow(Box::new(FlowChange::EndTask(Box::new(ending))))],
        ..fixture.commit()
    }
}

pub(crate) async fn a_task_is_claimed_once_and_ended_by_its_attempt_only(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let b = asset(&fixture, "b", &[a.table], AssetSpec::default()).await;
    let made = run(&fixture, &[&a, &b], &[(0, 1)]);
    create(&fixture, &made).await;
    let other = if fixture.durable { fixture.other("node-1").await } else { fixture.catalog.clone() };
    let (me, you) = (fixture.ids.uuid(), fixture.ids.uuid());
    let (first, second) = tokio::join!(
        fixture.catalog.claim_task(&fixture.scope, me, 16),
        other.claim_task(&fixture.scope, you, 16)
    );
    let mut claimed: Vec<ClaimedTask> =
        [first, second].into_iter().filter_map(|claimed| claimed.expect("answered")).collect();
    assert_eq!(claimed.len(), 1, "the other task is blocked");
    let task = claimed.remove(0);
    assert_eq!((task.key.as_str(), task.attempt, task.asset.id), ("t0", 1, a.id));
    let fixed = fixture.catalog.fix_snapshot(&fixture.scope, task.run).await.expect("fixed");
    fixture.append(a.table, 1).await;
    assert_eq!(other.fix_snapshot(&fixture.scope, task.run).await.expect("fixed"), fixed, "it stays");
    let stale = ClaimedTask { attempt_id: fixture.ids.uuid(), ..task.clone() };
    let refused = end_with(&fixture, &stale, succeeded()).await;
    assert!(matches!(refused, Err(Error::TaskGone(_))), "{refused:?}");
    end_with(&fixture, &task, succeeded()).await.expect("ended");
    let again = end_with(&fixture, &task, failed()).await;
    assert!(matches!(again, Err(Error::TaskGone(_))), "{again:?}");
    let next = claim(&fixture).await.expect("ready by now");
    assert_eq!((next.key.as_str(), next.snapshot), ("t1", Some(fixed)));
    assert_eq!(next.outputs.keys().copied().collect::<Vec<_>>(), [a.table], "what the run made is known");
    end_with(&fixture, &next, succeeded()).await.expect("ended");
    let ended = fixture.catalog.asset_run(&fixture.scope, made.id).await.expect("there");
    assert_eq!(ended.state, "SUCCEEDED");
    assert!(fixture.catalog.holds(&fixture.scope).await.expect("read").is_empty(), "the snapshot is let go");
    // While one attempt works on an asset, no other does.
    let (one, two) = (run(&fixture, &[&a], &[]), run(&fixture, &[&a], &[]));
    create(&fixture, &one).await;
    create(&fixture, &two).await;
    let busy = claim(&fixture).await.expect("one");
    assert!(claim(&fixture).await.is_none(), "the asset is busy");
    end_with(&fixture, &busy, succeeded()).await.expect("ended");
    assert!(claim(&fixture).await.is_some());
}

pub(crate) async fn what_follows_a_failure_is_skipped_and_its_cause_named(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let b = asset(&fixture, "b", &[a.table], AssetSpec::default()).await;
    let c = asset(&fixture, "c", &[a.table], AssetSpec::default()).await;
    let d = asset(&fixture, "d", &[b.table, c.table], AssetSpec::default()).await;
    let made = run(&fixture, &[&a, &b, &c, &d], &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    create(&fixture, &made).await;
    end_with(&fixture, &claim(&fixture).await.expect("a"), succeeded()).await.expect("ended");
    let b_task = claim(&fixture).await.expect("b");
    let c_task = claim(&fixture).await.expect("c");
    assert_eq!((b_task.asset.id, c_task.asset.id), (b.id, c.id));
    end_with(&fixture, &b_task, failed()).await.expect("ended");
    let found = fixture.catalog.asset_run(&fixture.scope, made.id).await.expect("there");
    assert_eq!(found.state, "RUNNING", "another task runs");
    let skipped = found.tasks.iter().find(|task| task.key == "t3").expect("d");
    assert_eq!(skipped.skipped_by, Some(("t1".to_owned(), "FAILED".to_owned())));
    end_with(&fixture, &c_task, succeeded()).await.expect("ended");
    let found = fixture.catalog.asset_run(&fixture.scope, made.id).await.expect("there");
    assert_eq!(found.state, "FAILED");
    assert_eq!(texts(&fixture, "flow.runs", "error").await, [Some("no such column".to_owned())]);
    let cancelled =
        change(&fixture, FlowChange::CancelRun { run: made.id, reason: "late".into(), why: Cancel::Asked })
            .await;
    assert!(matches!(cancelled, Err(Error::RunEnded(_))), "{cancelled:?}");

    let again = run(&fixture, &[&a, &b], &[(0, 1)]);
    create(&fixture, &again).await;
    let running = claim(&fixture).await.expect("a");
    change(&fixture, FlowChange::CancelRun { run: again.id, reason: "enough".into(), why: Cancel::Asked })
        .await
        .expect("open");
    assert_eq!(states(&fixture, again.id).await["t1"], TaskState::Cancelled);
    assert!(claim(&fixture).await.is_none());
    end_with(&fixture, &running, TaskOutcome::Cancelled("enough".into())).await.expect("ended");
    let ended = fixture.catalog.asset_run(&fixture.scope, again.id).await.expect("there");
    assert_eq!(ended.state, "CANCELLED");
}

pub(crate) async fn a_success_is_one_commit_with_its_rows_lineage_and_results(fixture: Fixture) {
    let raw = fixture.create("raw").await;
    fixture.append(raw, 5).await;
    let a = asset(&fixture, "a", &[raw], AssetSpec::default()).await;
    let made = run(&fixture, &[&a], &[]);
    create(&fixture, &made).await;
    let task = claim(&fixture).await.expect("ready");
    let snapshot = fixture.catalog.fix_snapshot(&fixture.scope, task.run).await.expect("fixed");
    let inputs = BTreeMap::from([(raw, snapshot)]);
    let outcome = TaskOutcome::Succeeded { rows: 5, code: [7; 32], inputs, made: None };
    let result = CheckResult {
        check: fixture.ids.uuid(),
        name: "c".into(),
        passed: true,
        severity: Severity::Error,
        value: Some("0".into()),
        message: None,
    };
    let ending = TaskEnd { checks: vec![result], ..end(&task, outcome) };
    let commit = |attempt_id: Uuid| {
        let ending = TaskEnd { attempt_id, ..ending.clone() };
        success(&fixture, &task, (raw, snapshot), ("SELECT 1", ending))
    };
    let before = fixture.head().await;
    let late = fixture.catalog.apply(commit(fixture.ids.uuid())).await;
    assert!(matches!(late, Err(Error::TaskGone(_))), "{late:?}");
    assert_eq!((fixture.head().await, fixture.live_rows(a.table).await), (before, 0), "all or nothing");
    let committed = fixture.catalog.apply(commit(task.attempt_id)).await.expect("applied");
    let repeated = fixture.catalog.apply(commit(task.attempt_id)).await.expect("known");
    assert!(repeated.superseded && repeated.txn == committed.txn);
    assert_eq!(fixture.live_rows(a.table).await, 5);
    let parts = fixture.catalog.asset_partitions(&fixture.scope, PartsOf::All).await.expect("read");
    let success = parts[0].success.as_ref().expect("a success");
    assert_eq!((parts[0].key.as_str(), success.txn, success.run), (WHOLE, committed.txn, task.run));
    assert_eq!(success.inputs, BTreeMap::from([(raw, snapshot)]));
    let asked = WalkRequest {
        at: committed.txn,
        directions: vec![Direction::Upstream, Direction::Downstream],
        depth: 9,
        nodes_max: 9,
    };
    let walk = fixture.catalog.walk_lineage(&fixture.scope, &a.table.to_string(), asked).await.expect("read");
    let [WalkedEdge { edge, .. }] = walk.edges.as_slice() else { panic!("{walk:?}") };
    assert_eq!((&*edge.source, &*edge.target), (raw.to_string().as_str(), a.table.to_string().as_str()));
    assert_eq!((edge.commits, edge.rows_written, edge.run), (1, 5, Some(task.run)));
    assert_eq!(texts(&fixture, "flow.check_results", "value").await, [Some("0".to_owned())]);
    assert_eq!(texts(&fixture, "flow.assets", "status").await, [Some("fresh".to_owned())]);
    fixture.append(raw, 1).await;
    assert_eq!(texts(&fixture, "flow.assets", "status").await, [Some("stale".to_owned())]);
}

pub(crate) async fn a_trigger_fires_once_however_many_try(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec { eager: true, ..AssetSpec::default() }).await;
    let triggers = fixture.catalog.triggers(&fixture.scope).await.expect("read");
    let [trigger] = triggers.as_slice() else { panic!("{triggers:?}") };
    let fire = |version: i64| {
        let tick = Tick {
            trigger: trigger.id,
            version,
            key: "7".into(),
            scheduled: Some(fixture.clock.now()),
            status: "TRIGGERED",
            reason: None,
            conditions: None,
            next: None,
            cursor: None,
        };
        NewAssetRun { tick: Some(tick), ..run(&fixture, &[&a], &[]) }
    };
    let other = if fixture.durable { fixture.other("node-1").await } else { fixture.catalog.clone() };
    let commit = || Commit {
        objects: vec![ObjectChange::Flow(Box::new(FlowChange::CreateRun(Box::new(fire(trigger.version)))))],
        ..fixture.commit()
    };
    let (one, two) = tokio::join!(fixture.catalog.apply(commit()), other.apply(commit()));
    let done = [&one, &two].iter().filter(|fired| fired.is_ok()).count();
    assert_eq!(done, 1, "{one:?} {two:?}");
    assert_eq!(texts(&fixture, "flow.ticks", "status").await, [Some("TRIGGERED".to_owned())]);
    assert_eq!(texts(&fixture, "flow.runs", "state").await.len(), 1);
    change(&fixture, FlowChange::PauseAsset { asset: a.id, paused: true, next: None }).await.expect("held");
    let held = change(&fixture, FlowChange::CreateRun(Box::new(fire(trigger.version + 2)))).await;
    assert!(matches!(held, Err(Error::TriggerGone(_))), "{held:?}");
    // The same recipe put again keeps its trigger, and one that goes takes it along.
    let again = Asset { version: 3, ..a.clone() };
    change(&fixture, FlowChange::PutAsset(Box::new(again))).await.expect("put");
    assert_eq!(fixture.catalog.triggers(&fixture.scope).await.expect("read")[0].id, trigger.id);
    let busy = change(&fixture, FlowChange::DropAsset(a.id)).await;
    assert!(matches!(busy, Err(Error::AssetBusy(_))), "{busy:?}");
    let open = claim(&fixture).await.expect("ready");
    end_with(&fixture, &open, succeeded()).await.expect("ended");
    change(&fixture, FlowChange::DropAsset(a.id)).await.expect("dropped");
    assert!(fixture.catalog.triggers(&fixture.scope).await.expect("read").is_empty());
}

pub(crate) async fn an_asset_is_changed_as_it_was_read_and_runs_need_theirs(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let put = |version: i64, priority: i32| {
        let spec = AssetSpec { priority, ..AssetSpec::default() };
        FlowChange::PutAsset(Box::new(Asset { version, spec, ..a.clone() }))
    };
    change(&fixture, put(2, 5)).await.expect("put");
    let late = change(&fixture, put(2, 6)).await;
    assert!(matches!(late, Err(Error::AssetChanged(_))), "{late:?}");
    let stored = fixture.catalog.assets(&fixture.scope).await.expect("read");
    assert_eq!(stored.iter().map(|asset| asset.spec.priority).collect::<Vec<_>>(), [5]);
    let planned = run(&fixture, &[&a], &[]);
    change(&fixture, FlowChange::DropAsset(a.id)).await.expect("dropped");
    let late = change(&fixture, put(3, 7)).await;
    assert!(matches!(late, Err(Error::AssetChanged(_))), "{late:?}");
    let gone = change(&fixture, FlowChange::CreateRun(Box::new(planned))).await;
    assert!(matches!(gone, Err(Error::AssetNotFound { .. })), "{gone:?}");
    let b = asset(&fixture, "b", &[], AssetSpec::default()).await;
    create(&fixture, &run(&fixture, &[&b], &[])).await;
    assert_eq!(claim(&fixture).await.expect("nothing is in its way").asset.id, b.id);
}

fn by_day(start: &str) -> AssetSpec {
    let partition = Partitioning::Time {
        column: "ts".into(),
        period: Period::Day,
        start: Some(start.into()),
        end: None,
        zone: "UTC".into(),
    };
    AssetSpec { partition: Some(partition), ..AssetSpec::default() }
}

pub(crate) async fn parts_of_an_asset_are_rows_of_the_commit_that_makes_them(fixture: Fixture) {
    let raw = fixture.create("raw").await;
    let a = asset(&fixture, "a", &[raw], by_day("2024-01-01")).await;
    let of = |text: &str| {
        let mut made = run(&fixture, &[&a], &[]);
        made.tasks[0].partitions = Some(text.into());
        made
    };
    let read = |txn: Txn| TaskOutcome::Succeeded {
        rows: 9,
        code: [7; 32],
        inputs: BTreeMap::from([(raw, txn)]),
        made: None,
    };
    let parts = async || {
        let parts =
            fixture.catalog.asset_partitions(&fixture.scope, PartsOf::Asset(a.id)).await.expect("read");
        let shown = |part: cenote_catalog::AssetPartition| {
            let read = part.success.map(|success| (success.run, success.inputs.get(&raw).copied()));
            (part.key, read, part.last.1)
        };
        parts.into_iter().map(shown).collect::<Vec<_>>()
    };
    let month = of("day=d:2024-01-30..2024-02-01");
    create(&fixture, &month).await;
    let task = claim(&fixture).await.expect("ready");
    assert_eq!(task.partitions.as_deref(), Some("day=d:2024-01-30..2024-02-01"));
    end_with(&fixture, &task, read(Txn(5))).await.expect("ended");
    let days = ["day=d:2024-01-30", "day=d:2024-01-31", "day=d:2024-02-01"];
    let success = Some((month.id, Some(Txn(5))));
    assert_eq!(parts().await, days.map(|day| (day.to_owned(), success, "SUCCEEDED".to_owned())));
    assert_eq!(texts(&fixture, "flow.asset_partitions", "partition_key").await.len(), 3);
    // A failure forgets no success, and a success of one day none of another.
    create(&fixture, &of("day=d:2024-01-31")).await;
    end_with(&fixture, &claim(&fixture).await.expect("ready"), failed()).await.expect("ended");
    assert_eq!(parts().await[1], (days[1].to_owned(), success, "FAILED".to_owned()));
    let again = of("day=d:2024-01-31");
    create(&fixture, &again).await;
    end_with(&fixture, &claim(&fixture).await.expect("ready"), read(Txn(8))).await.expect("ended");
    let states: Vec<_> = parts().await.into_iter().map(|(_, success, _)| success).collect();
    assert_eq!(states, [success, Some((again.id, Some(Txn(8)))), success]);
    // Other bounds keep what is known; another cut forgets it, and tasks of before are of no use.
    let longer = Asset { spec: by_day("2023-01-01"), version: 2, ..a.clone() };
    change(&fixture, FlowChange::PutAsset(Box::new(longer))).await.expect("put");
    assert_eq!(parts().await.len(), 3);
    create(&fixture, &of("day=d:2024-01-31")).await;
    let whole = Asset { spec: AssetSpec::default(), version: 3, ..a.clone() };
    change(&fixture, FlowChange::PutAsset(Box::new(whole))).await.expect("put");
    assert_eq!(parts().await.len(), 0);
    let task = claim(&fixture).await.expect("ready");
    assert!(matches!(task.parts(), Err(Error::Slice(_))));
}

pub(crate) async fn a_run_is_held_goes_on_and_has_its_time_and_its_width(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let b = asset(&fixture, "b", &[], AssetSpec::default()).await;
    let narrow = NewAssetRun { concurrency: Some(1), ..run(&fixture, &[&a, &b], &[]) };
    create(&fixture, &narrow).await;
    let first = claim(&fixture).await.expect("one");
    assert!(claim(&fixture).await.is_none(), "one at a time");
    let held = FlowChange::PauseRun { run: narrow.id, paused: true };
    change(&fixture, held.clone()).await.expect("held");
    end_with(&fixture, &first, succeeded()).await.expect("what runs ends");
    assert!(claim(&fixture).await.is_none(), "and no other begins");
    assert_eq!(fixture.catalog.asset_run(&fixture.scope, narrow.id).await.expect("there").state, "PAUSED");
    change(&fixture, FlowChange::PauseRun { run: narrow.id, paused: false }).await.expect("goes on");
    end_with(&fixture, &claim(&fixture).await.expect("the other"), succeeded()).await.expect("ended");
    let late = change(&fixture, held).await;
    assert!(matches!(late, Err(Error::RunEnded(_))), "{late:?}");

    let now = fixture.clock.now();
    let timed = |run: NewAssetRun| NewAssetRun { deadline: Some(now.plus(TTL)), ..run };
    let (slow, cancelled) = (timed(run(&fixture, &[&a], &[])), timed(run(&fixture, &[&b], &[])));
    create(&fixture, &slow).await;
    create(&fixture, &cancelled).await;
    assert_eq!(fixture.catalog.task_pulse(&fixture.scope).await.expect("read"), (true, Some(now.plus(TTL))));
    let cancel = |run: Uuid, why: Cancel| FlowChange::CancelRun { run, reason: "over".into(), why };
    change(&fixture, cancel(cancelled.id, Cancel::Asked)).await.expect("open");
    fixture.clock.advance(TTL);
    assert_eq!(
        fixture.catalog.overdue_runs(&fixture.scope, fixture.clock.now()).await.expect("read"),
        [slow.id]
    );
    change(&fixture, cancel(slow.id, Cancel::TimedOut)).await.expect("open");
    for (id, state) in [(slow.id, "TIMED_OUT"), (cancelled.id, "CANCELLED"), (narrow.id, "SUCCEEDED")] {
        assert_eq!(fixture.catalog.asset_run(&fixture.scope, id).await.expect("there").state, state);
    }
    // Newest first, page by page, each once.
    let mut wanted = RunFilter { limit: 2, ..RunFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = fixture.catalog.asset_runs(&fixture.scope, &wanted).await.expect("read");
        let Some((last, _)) = page.last() else { break };
        wanted.after = Some((last.created, last.id));
        seen.extend(page.iter().map(|(run, counts)| (run.id, counts.values().sum::<i64>())));
    }
    seen.sort();
    let mut all = [(slow.id, 1), (cancelled.id, 1), (narrow.id, 2)];
    all.sort();
    assert_eq!(seen, all);
    let of_b = RunFilter { asset: Some(b.id), limit: 9, ..RunFilter::default() };
    assert_eq!(fixture.catalog.asset_runs(&fixture.scope, &of_b).await.expect("read").len(), 2);
}

pub(crate) async fn what_a_task_did_is_known_as_long_as_its_run(fixture: Fixture) {
    let (catalog, scope) = (fixture.catalog.clone(), fixture.scope.clone());
    let raw = fixture.create("raw").await;
    let a = asset(&fixture, "a", &[raw], AssetSpec::default()).await;
    let first = run(&fixture, &[&a], &[]);
    create(&fixture, &first).await;
    let task = claim(&fixture).await.expect("ready");
    assert_eq!(catalog.recorded_task(&scope, first.id, "t0").await.expect("read"), None, "it has not ended");
    let snapshot = catalog.fix_snapshot(&scope, task.run).await.expect("fixed");
    let kept = Kept { runs: 1, versions: BTreeSet::from([(raw, snapshot)]), before: Some(a.table) };
    let made = Made { recipe: Recipe::of(&task.asset).expect("a recipe"), output_hash: [9; 16], kept };
    let inputs = BTreeMap::from([(raw, snapshot)]);
    let outcome = TaskOutcome::Succeeded { rows: 5, code: a.code, inputs: inputs.clone(), made: Some(made) };
    let ending = end(&task, outcome);
    let committed =
        catalog.apply(success(&fixture, &task, (raw, snapshot), ("x", ending))).await.expect("applied");
    let kept = async || {
        let holds = catalog.holds(&scope).await.expect("read");
        let tags = holds.into_iter().filter(|hold| hold.name.is_some());
        tags.map(|tag| (tag.table, tag.txn, tag.holder)).collect::<BTreeSet<_>>()
    };
    let holder = format!("asset/{}", a.id);
    let wanted = [(raw, snapshot), (a.table, Txn(committed.txn.0 - 1))];
    let wanted = wanted.map(|(table, txn)| (Some(table), txn, holder.clone()));
    assert_eq!(kept().await, BTreeSet::from(wanted));
    // Another recipe since, which keeps nothing.
    let newer = Asset { query: "SELECT 2".into(), version: 2, ..a.clone() };
    change(&fixture, FlowChange::PutAsset(Box::new(newer))).await.expect("put");
    assert_eq!(kept().await, BTreeSet::new());
    let known = catalog.recorded_task(&scope, first.id, "t0").await.expect("read").expect("it succeeded");
    assert_eq!((known.asset.query.as_str(), known.asset.table), ("SELECT 1", a.table));
    assert_eq!((known.snapshot, known.output, known.rows), (snapshot, committed.txn, 5));
    assert_eq!((known.inputs, known.output_hash, known.started), (inputs, [9; 16], task.started));

    let before = catalog.asset_run(&scope, first.id).await.expect("there");
    assert_eq!(catalog.asset_run_before(&scope, &before).await.expect("read"), None);
    fixture.clock.advance(Duration::from_secs(60));
    let again = NewAssetRun {
        parent: Some(first.id),
        rerun: Some(RerunKind::Replay),
        snapshot: Some(snapshot),
        logical: before.logical.or(Some(before.created)),
        ..run(&fixture, &[&a], &[])
    };
    create(&fixture, &again).await;
    // As long as one repeats it, it stays.
    let later = fixture.clock.now().plus(TTL);
    assert_eq!(catalog.prune_runs(&scope, later, 100).await.expect("pruned"), 0);
    let task = claim(&fixture).await.expect("ready");
    assert_eq!(
        (task.asset.query.as_str(), task.snapshot, task.started),
        ("SELECT 1", Some(snapshot), known.started)
    );
    assert_eq!((task.outputs.is_empty(), task.logical), (true, known.logical));
    end_with(&fixture, &task, failed()).await.expect("ended");
    let ended = catalog.asset_run(&scope, again.id).await.expect("there");
    assert_eq!((ended.rerun, ended.parent), (Some(RerunKind::Replay), Some(first.id)));
    let found = catalog.asset_run_before(&scope, &ended).await.expect("read").expect("the first");
    assert_eq!(found.id, first.id);
    let attempts = catalog.failed_attempts(&scope, again.id).await.expect("read");
    let told: Vec<_> =
        attempts.iter().map(|(key, attempt)| (key.as_str(), attempt.outcome.as_str())).collect();
    assert_eq!(told, [("t0", "FAILED")]);
    fixture.clock.advance(TTL);
    assert_eq!(catalog.prune_runs(&scope, fixture.clock.now(), 100).await.expect("pruned"), 2);
    assert_eq!(catalog.recorded_task(&scope, first.id, "t0").await.expect("read"), None);
}

pub(crate) async fn rows_that_a_check_refused_stay_for_a_day_and_then_are_collected(fixture: Fixture) {
    let (catalog, scope) = (fixture.catalog.clone(), fixture.scope.clone());
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let names = catalog.names(&scope, fixture.head().await).await.expect("names");
    let table = names.table_by_id(a.table).expect("its table").clone();
    let made = run(&fixture, &[&a], &[]);
    create(&fixture, &made).await;
    let task = claim(&fixture).await.expect("ready");
    let file = fixture.file(5);
    let path = cenote_store::object_path(&table.location, &file.path).to_string();
    let staged = StagedRows { table: table.id, location: table.location.clone(), files: vec![file] };
    let ending = TaskEnd { staged: Some(staged), ..end(&task, failed()) };
    change(&fixture, FlowChange::EndTask(Box::new(ending))).await.expect("ended");
    let kept = async |run: Uuid| catalog.staged_rows(&scope, &table, run).await.expect("read").files;
    let files = kept(made.id).await;
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [5]);
    assert!(kept(fixture.ids.uuid()).await.is_empty());
    assert!(catalog.is_referenced(&scope, &path).await.expect("read"), "it is no orphan");
    fixture.clock.advance(Duration::from_secs(24 * 3600 - 1));
    catalog.expire_staged(&scope).await.expect("looked");
    assert_eq!(kept(made.id).await.len(), 1);
    fixture.clock.advance(Duration::from_secs(2));
    assert!(kept(made.id).await.is_empty(), "it is over, whether it was collected or not");
    catalog.expire_staged(&scope).await.expect("collected");
    assert!(!catalog.is_referenced(&scope, &path).await.expect("read"));
    let due: Vec<String> = catalog
        .trash_due(&scope, fixture.clock.now())
        .await
        .expect("read")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(due, [path]);
}
