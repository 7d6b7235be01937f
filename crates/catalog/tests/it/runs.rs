//! Jobs and their runs: claims meet in the database, and every run ends once.

use std::time::Duration;

use cenote_catalog::{Error, NewRun, PipelineStart, RunCounts, RunEnd, RunFilter};
use cenote_vocab::Txn;
use uuid::Uuid;

use crate::fixture::Fixture;

pub(crate) async fn job(fixture: &Fixture) -> Uuid {
    fixture.catalog.create_built_in_jobs(&fixture.scope, &["compact"]).await.expect("made");
    fixture.catalog.job(&fixture.scope, "compact").await.expect("there").id
}

pub(crate) fn run(fixture: &Fixture, job: Uuid, subject: &str) -> NewRun {
    NewRun {
        id: fixture.ids.uuid(),
        job,
        subject: Some(subject.to_owned()),
        table: None,
        cause: "commit",
        actor: None,
        reason: Some("8 files".to_owned()),
        executor: fixture.ids.uuid(),
        running_max: 2,
    }
}

/// Texts of a column of `flow.runs`.
async fn shown(fixture: &Fixture, column: &str) -> Vec<Option<String>> {
    use arrow::array::AsArray as _;
    let rows = fixture.catalog.system_rows(&fixture.scope, "flow.runs").await.expect("rows");
    let column = rows.column_by_name(column).expect("the column").as_string::<i32>();
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

pub(crate) async fn one_subject_is_worked_on_once_and_by_so_many_at_most(fixture: Fixture) {
    let job = job(&fixture).await;
    let other = if fixture.durable { fixture.other("node-1").await } else { fixture.catalog.clone() };
    let (a, b) = (run(&fixture, job, "cpu"), run(&fixture, job, "cpu"));
    let (first, second) =
        tokio::join!(fixture.catalog.claim_run(&fixture.scope, &a), other.claim_run(&fixture.scope, &b));
    let got = [first.expect("answered").is_some(), second.expect("answered").is_some()];
    assert_eq!(got.iter().filter(|got| **got).count(), 1, "{got:?}");
    assert!(
        fixture
            .catalog
            .claim_run(&fixture.scope, &run(&fixture, job, "mem"))
            .await
            .expect("answered")
            .is_some()
    );
    assert!(
        fixture
            .catalog
            .claim_run(&fixture.scope, &run(&fixture, job, "disk"))
            .await
            .expect("answered")
            .is_none()
    );
    let unknown = run(&fixture, fixture.ids.uuid(), "cpu");
    let error = fixture.catalog.claim_run(&fixture.scope, &unknown).await.expect_err("no such job");
    assert!(matches!(error, Error::JobNotFound { .. }), "{error}");
}

pub(crate) async fn a_run_is_ended_once_and_by_who_claimed_it(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let job = job(&fixture).await;
    let new = run(&fixture, job, "cpu");
    catalog.claim_run(scope, &new).await.expect("answered").expect("free");
    let counts = RunCounts { files_in: 8, bytes_in: 800, files_out: 1, bytes_out: 700, txn: Some(Txn(7)) };
    catalog.note_run(scope, new.id, new.executor, counts).await.expect("open");
    let stranger = fixture.ids.uuid();
    let refused = catalog.end_run(scope, new.id, stranger, counts, &RunEnd::Succeeded).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    let failed = RunEnd::Failed("disk full".to_owned());
    catalog.end_run(scope, new.id, new.executor, counts, &failed).await.expect("ended");
    let again = catalog.end_run(scope, new.id, new.executor, counts, &RunEnd::Succeeded).await;
    assert!(matches!(again, Err(Error::Fenced { .. })), "{again:?}");
    assert!(matches!(catalog.note_run(scope, new.id, new.executor, counts).await, Err(Error::Fenced { .. })));
    assert_eq!(shown(&fixture, "state").await, [Some("FAILED".to_owned())]);
    assert_eq!(shown(&fixture, "error").await, [Some("disk full".to_owned())]);

    fixture.clock.advance(Duration::from_secs(1));
    let quiet = run(&fixture, job, "cpu");
    catalog.claim_run(scope, &quiet).await.expect("answered").expect("free again");
    let nothing = RunCounts::default();
    catalog.end_run(scope, quiet.id, quiet.executor, nothing, &RunEnd::Nothing).await.expect("ended");
    let done = run(&fixture, job, "cpu");
    catalog.claim_run(scope, &done).await.expect("answered").expect("free again");
    catalog.end_run(scope, done.id, done.executor, counts, &RunEnd::Succeeded).await.expect("ended");
    assert_eq!(shown(&fixture, "state").await, [Some("FAILED".to_owned()), Some("SUCCEEDED".to_owned())]);
    assert_eq!(shown(&fixture, "error").await[1], None);
}

pub(crate) async fn what_a_dead_process_held_is_swept_by_the_next(fixture: Fixture) {
    let ttl = Duration::from_secs(600);
    fixture.catalog.take_active(ttl).await.expect("answered").expect("free");
    let job = job(&fixture).await;
    let (held, scope) = (run(&fixture, job, "cpu"), fixture.scope.clone());
    fixture.catalog.claim_run(&scope, &held).await.expect("answered").expect("free");
    assert_eq!(fixture.catalog.sweep_runs(&scope, "own").await.expect("swept"), 0, "its own run goes on");
    let (next, old) = if fixture.durable {
        (fixture.other("node-1").await, fixture.catalog.clone())
    } else {
        return;
    };
    next.take_active(ttl).await.expect("answered").expect("the same holder");
    assert_eq!(next.sweep_runs(&scope, "its process ended").await.expect("swept"), 1);
    fixture.clock.advance(Duration::from_secs(1));
    let again = run(&fixture, job, "cpu");
    next.claim_run(&scope, &again).await.expect("answered").expect("free again");
    // The old process wakes up: it changes nothing.
    let late = old.end_run(&scope, held.id, held.executor, RunCounts::default(), &RunEnd::Succeeded).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let late = old.claim_run(&scope, &run(&fixture, job, "mem")).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    assert_eq!(shown(&fixture, "state").await, [Some("FAILED".to_owned()), Some("RUNNING".to_owned())]);
    assert_eq!(shown(&fixture, "error").await[0].as_deref(), Some("its process ended"));
}

pub(crate) async fn jobs_are_made_once_and_held_still_by_hand(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let id = job(&fixture).await;
    assert_eq!(job(&fixture).await, id, "made once");
    let at = fixture.clock.now();
    let next = at.plus(Duration::from_secs(60));
    catalog.note_job_checked(scope, id, at, Some(next), 3).await.expect("noted");
    let noted = catalog.job(scope, "compact").await.expect("there");
    assert_eq!((noted.checked, noted.next, noted.failures, noted.paused), (Some(at), Some(next), 3, false));
    let paused = catalog.set_job_paused(scope, "compact", true).await.expect("there");
    assert!(paused.paused && paused.version == noted.version + 1);
    tokio::time::timeout(crate::fixture::PATIENCE, catalog.job_changed(scope)).await.expect("rung");
    let same = catalog.set_job_paused(scope, "compact", true).await.expect("there");
    assert_eq!(same.version, paused.version);
    let resumed = catalog.set_job_paused(scope, "compact", false).await.expect("there");
    assert_eq!((resumed.paused, resumed.next, resumed.failures), (false, None, 0));
    match catalog.set_job_paused(scope, "compct", true).await {
        Err(Error::JobNotFound { nearest, .. }) => assert_eq!(nearest.as_deref(), Some("compact")),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn ended_runs_are_forgotten_in_time(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let job = job(&fixture).await;
    let mut open = None;
    for subject in ["a", "b", "c"] {
        let new = run(&fixture, job, subject);
        catalog.claim_run(scope, &new).await.expect("answered").expect("free");
        if subject == "c" {
            open = Some(new.id.to_string());
        } else {
            let counts = RunCounts::default();
            catalog.end_run(scope, new.id, new.executor, counts, &RunEnd::Succeeded).await.expect("ended");
        }
        fixture.clock.advance(Duration::from_secs(60));
    }
    let now = fixture.clock.now();
    assert_eq!(
        catalog.prune_runs(scope, now.minus(Duration::from_secs(150)), 10).await.expect("answered"),
        1
    );
    assert_eq!(catalog.prune_runs(scope, now, 10).await.expect("answered"), 1);
    assert_eq!(shown(&fixture, "run_id").await, [open]);
}

pub(crate) async fn a_start_of_a_pipeline_is_a_run_that_the_next_start_ends(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let pipeline = fixture.ids.uuid();
    let start = || PipelineStart {
        id: fixture.ids.uuid(),
        pipeline,
        name: "default.copy".to_owned(),
        cause: "person",
        executor: fixture.ids.uuid(),
    };
    let (first, second) = (start(), start());
    catalog.begin_pipeline_run(scope, &first).await.expect("begun");
    fixture.clock.advance(Duration::from_secs(1));
    catalog.begin_pipeline_run(scope, &second).await.expect("begun");
    let of = ("pipeline", Some(pipeline));
    let all = RunFilter { limit: 9, ..RunFilter::default() };
    let runs = catalog.runs(scope, of, &all).await.expect("read");
    assert_eq!(
        runs.iter().map(|run| (run.id, run.state.as_str())).collect::<Vec<_>>(),
        [(second.id, "RUNNING"), (first.id, "CANCELLED")]
    );
    assert_eq!(runs[1].error.as_deref(), Some("the pipeline was started anew"));
    let counts = RunCounts { txn: Some(Txn(7)), ..RunCounts::default() };
    let late = catalog.end_run(scope, first.id, first.executor, counts, &RunEnd::Succeeded).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    catalog.end_run(scope, second.id, second.executor, counts, &RunEnd::Succeeded).await.expect("ended");
    let ended = catalog.run(scope, second.id).await.expect("there");
    assert_eq!(
        (ended.state.as_str(), ended.counts, ended.subject.as_deref()),
        ("SUCCEEDED", counts, Some("default.copy"))
    );
    let failed = RunFilter { state: Some("FAILED".to_owned()), ..all.clone() };
    assert_eq!(catalog.runs(scope, of, &failed).await.expect("read"), []);
    let behind = RunFilter { after: Some((ended.started, ended.id)), ..all };
    assert_eq!(catalog.runs(scope, of, &behind).await.expect("read"), [runs[1].clone()]);
    let unknown = catalog.run(scope, pipeline).await.expect_err("no run");
    assert!(matches!(unknown, Error::RunNotFound(_)), "{unknown}");
}
