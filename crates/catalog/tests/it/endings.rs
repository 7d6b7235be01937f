//! How runs of assets end: what dead processes held, cancelled runs, and endings by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use cenote_catalog::{AssetSpec, Cancel, Category, ClaimedTask, Error, FlowChange, LetGo, TaskState};
use cenote_testkit::number_of;
use cenote_vocab::{Ids, Txn};
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::tasks::{TTL, asset, change, claim, create, end_with, failed, run, states, succeeded};

pub(crate) async fn what_dead_processes_held_is_given_back_three_times(fixture: Fixture) {
    if !fixture.durable {
        return;
    }
    fixture.catalog.take_active(TTL).await.expect("answered").expect("free");
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let made = run(&fixture, &[&a], &[]);
    create(&fixture, &made).await;
    let mut catalog = fixture.catalog.clone();
    for death in 1..=3 {
        let held = catalog.claim_task(&fixture.scope, fixture.ids.uuid(), 16).await.expect("answered");
        assert_eq!(held.expect("ready").attempt, 1, "a death is no attempt of its own");
        assert_eq!(catalog.sweep_tasks(&fixture.scope).await.expect("swept"), 0, "its own task goes on");
        let next = fixture.other("node-1").await;
        next.take_active(TTL).await.expect("answered").expect("the same holder");
        assert_eq!(next.sweep_tasks(&fixture.scope).await.expect("swept"), 1, "death {death}");
        catalog = next;
    }
    let ended = catalog.asset_run(&fixture.scope, made.id).await.expect("there");
    assert_eq!((ended.state.as_str(), ended.tasks[0].state.as_str()), ("FAILED", "FAILED"));
    assert_eq!(ended.tasks[0].error.as_deref(), Some("its process ended before it"));
    assert_eq!(told(&fixture, made.id).await, ["run.created", "task.finished", "run.finished"]);
}

/// Kinds of the events of a run.
async fn told(fixture: &Fixture, run: Uuid) -> Vec<String> {
    let page = fixture.catalog.events(&fixture.scope, Txn(0), 10_000).await.expect("kept");
    let of_run = |event: &cenote_catalog::Event| event.run == Some(run) || event.object_id == run.to_string();
    page.events.into_iter().filter(of_run).map(|event| event.kind).collect()
}

pub(crate) async fn a_run_that_is_cancelled_ends_with_what_is_given_back(fixture: Fixture) {
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let made = run(&fixture, &[&a], &[]);
    create(&fixture, &made).await;
    let task = claim(&fixture).await.expect("ready");
    let cancel = FlowChange::CancelRun { run: made.id, reason: "enough".into(), why: Cancel::Asked };
    change(&fixture, cancel).await.expect("open");
    let before = fixture.head().await;
    fixture.catalog.let_go(&fixture.scope, task.attempt_id, &LetGo::Stopped).await.expect("its own");
    let found = fixture.catalog.asset_run(&fixture.scope, made.id).await.expect("there");
    assert_eq!((found.state.as_str(), found.tasks[0].state.as_str()), ("CANCELLED", "CANCELLED"));
    assert_eq!(fixture.head().await, Txn(before.0 + 1), "the end of a run has a number");
    let (one, two) = (fixture.catalog.asset_run(&fixture.scope, made.id).await, fixture.head().await);
    let late = fixture.catalog.let_go(&fixture.scope, task.attempt_id, &LetGo::Stopped).await;
    assert!(matches!(late, Err(Error::TaskGone(_))), "{late:?}");
    assert_eq!(fixture.catalog.asset_run(&fixture.scope, made.id).await.expect("there"), one.expect("there"));
    assert_eq!(fixture.head().await, two, "nothing was told again");
    assert_eq!(told(&fixture, made.id).await, ["run.created", "run.cancelled", "run.finished"]);
}

/// Run, upstream and downstream.
type Edge = (Uuid, String, String);

/// Reads how edges were resolved: what was resolved before stays so. Answers all edges.
async fn resolve(fixture: &Fixture, resolved: &mut BTreeMap<Edge, String>) -> Vec<Edge> {
    let columns = ["run_id", "upstream", "downstream", "resolution"];
    let rows = fixture.catalog.system_rows(&fixture.scope, "flow.task_deps").await.expect("rows");
    let [runs, from, to, resolutions] =
        columns.map(|name| rows.column_by_name(name).expect("the column").as_string::<i32>());
    let mut edges = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let run = runs.value(row).parse().expect("an id");
        let edge: Edge = (run, from.value(row).to_owned(), to.value(row).to_owned());
        let now = resolutions.is_valid(row).then(|| resolutions.value(row).to_owned());
        let before = resolved.get(&edge).cloned();
        assert!(before.is_none() || before == now, "{edge:?} was {before:?} and is {now:?}");
        resolved.extend(now.map(|now| (edge.clone(), now)));
        edges.push(edge);
    }
    edges
}

/// Steps of the state machine by chance, also late and repeated ones: whatever is asked, only legal changes happen, each edge
/// is resolved once, and ends are ends.
pub(crate) async fn random_endings_make_only_legal_changes(fixture: Fixture) {
    let ids = Ids::seeded(77, fixture.clock.clone());
    let a = asset(&fixture, "a", &[], AssetSpec::default()).await;
    let b = asset(&fixture, "b", &[a.table], AssetSpec::default()).await;
    let c = asset(&fixture, "c", &[a.table, b.table], AssetSpec::default()).await;
    let mut seen: BTreeMap<(Uuid, String), TaskState> = BTreeMap::new();
    let (mut runs, mut ended): (Vec<Uuid>, Vec<Uuid>) = (Vec::new(), Vec::new());
    let mut attempts: Vec<ClaimedTask> = Vec::new();
    let mut met: BTreeSet<TaskState> = BTreeSet::new();
    let mut resolved: BTreeMap<Edge, String> = BTreeMap::new();
    let one_of = |count: usize| usize::try_from(ids.below(count as u64)).expect("few");
    let lives = usize::try_from(number_of("CENOTE_TASK_LIVES", 1)).expect("few");
    for step in 0.. {
        if step >= 400 && seen.len() >= lives {
            break;
        }
        match ids.below(8) {
            0 | 1 if runs.len() < 4 => {
                let made = run(&fixture, &[&a, &b, &c], &[(0, 1), (0, 2), (1, 2)]);
                create(&fixture, &made).await;
                runs.push(made.id);
            }
            0..=2 => attempts.extend(claim(&fixture).await),
            3 => {
                fixture.clock.advance(Duration::from_secs(1));
                fixture.catalog.wake_tasks(&fixture.scope, fixture.clock.now()).await.expect("woken");
            }
            4 if !runs.is_empty() && ids.below(6) == 0 => {
                let cancel = FlowChange::CancelRun {
                    run: runs[one_of(runs.len())],
                    reason: "chance".into(),
                    why: Cancel::Asked,
                };
                match change(&fixture, cancel).await {
                    Ok(()) | Err(Error::RunEnded(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            _ if !attempts.is_empty() => {
                // Attempts stay in the list: what old ones end is late, or repeated.
                let newest = attempts.len().saturating_sub(3);
                let from = if ids.below(4) == 0 { 0 } else { newest };
                let task = attempts[from + one_of(attempts.len() - from)].clone();
                let at = fixture.clock.now().plus(Duration::from_secs(1));
                let retry = LetGo::Retry { category: Category::Infrastructure, message: "x".into(), at };
                let answer = match ids.below(8) {
                    0 => fixture.catalog.let_go(&fixture.scope, task.attempt_id, &retry).await,
                    1 => fixture.catalog.let_go(&fixture.scope, task.attempt_id, &LetGo::Stopped).await,
                    2 => end_with(&fixture, &task, failed()).await,
                    _ => end_with(&fixture, &task, succeeded()).await,
                };
                match answer {
                    Ok(()) | Err(Error::TaskGone(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            _ => {}
        }
        let mut open = Vec::new();
        for run in runs {
            let now = states(&fixture, run).await;
            for (key, state) in &now {
                met.insert(*state);
                let before = seen.insert((run, key.clone()), *state);
                let legal = before.is_none_or(|from| from == *state || from.may_become(*state));
                assert!(legal, "step {step}: {key} went from {before:?} to {state:?}");
            }
            let done = now.values().all(|state| state.is_terminal());
            let found = fixture.catalog.asset_run(&fixture.scope, run).await.expect("there");
            let is_over = matches!(found.state.as_str(), "SUCCEEDED" | "FAILED" | "CANCELLED");
            assert_eq!(done, is_over, "step {step}: a run ends with its last task: {found:?}");
            if done { ended.push(run) } else { open.push(run) }
        }
        runs = open;
        // All of them at each step while they are few.
        if step % (1 + seen.len() / 100) == 0 {
            resolve(&fixture, &mut resolved).await;
        }
    }
    for run in &ended {
        for (key, state) in states(&fixture, *run).await {
            assert_eq!(seen[&(*run, key)], state, "an end stays");
        }
    }
    let edges = resolve(&fixture, &mut resolved).await;
    for (run, upstream, downstream) in edges.into_iter().filter(|(run, ..)| ended.contains(run)) {
        let resolution = resolved.get(&(run, upstream.clone(), downstream)).map(String::as_str);
        let (state, expected) = match seen[&(run, upstream)] {
            TaskState::Succeeded => (TaskState::Succeeded, "SUCCESS"),
            // What was cancelled before it began resolves nothing: what waits for it is cancelled as well.
            TaskState::Cancelled if resolution.is_none() => continue,
            state => (state, state.name()),
        };
        assert_eq!(resolution, Some(expected), "of a task that is {state:?}");
    }
    assert_eq!(met.len(), TaskState::ALL.len(), "chance met {met:?} in {} runs", ended.len());
}
