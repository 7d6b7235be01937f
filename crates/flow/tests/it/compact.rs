//! Small files become few by themselves, and no row is touched.

use std::time::Duration;

use cenote_catalog::{NewRun, RunEnd};
use cenote_datafile::{Level, RowSet};
use futures::TryStreamExt;

use crate::world::{HOUR, World, flow_on, settle};

#[tokio::test]
async fn forty_small_flushes_end_as_few_files_by_themselves() {
    let world = World::new().await;
    world.settle().await;
    for flushed in 1..=40 {
        world.flush("cpu", 0).await;
        world.flow.tick(world.clock.now()).await.unwrap();
        if flushed % 5 == 0 {
            world.flow.idle().await;
        }
    }
    world.settle().await;
    let files = world.files("cpu").await.len();
    assert!(files <= 8, "{files} files");
    assert_eq!(world.count("cpu").await, 400);

    // Once nothing is written for an hour, one file is left.
    world.clock.advance(2 * HOUR);
    world.flush("other", 0).await;
    world.clock.advance(2 * HOUR);
    world.settle().await;
    assert_eq!(world.files("cpu").await.len(), 1);
    assert_eq!(world.count("cpu").await, 400);
    let runs = world.runs().await;
    assert!(runs.iter().all(|run| run == "compact SUCCEEDED commit cpu"), "{runs:?}");
    let reasons = world.texts(&["reason", "subject", "error"]).await;
    assert!(reasons.iter().any(|run| run[0].contains("files of level 0")), "{reasons:?}");
    assert!(reasons.iter().all(|run| run[1].starts_with("default.cpu ") && run[2] == "-"), "{reasons:?}");
}

#[tokio::test]
async fn inline_batches_are_flushed_after_a_minute() {
    let world = World::new().await;
    world.settle().await;
    world.commit("cpu").await;
    world.settle().await;
    world.clock.advance(Duration::from_secs(50));
    world.commit("cpu").await;
    world.settle().await;
    assert_eq!((world.inline("cpu").await, world.files("cpu").await.len()), (2, 2));
    world.clock.advance(Duration::from_secs(10));
    world.settle().await;
    assert_eq!(
        (world.inline("cpu").await, world.files("cpu").await.len()),
        (0, 1),
        "the first is old enough"
    );
    assert_eq!(world.count("cpu").await, 20);
    assert_eq!(world.runs().await, ["compact SUCCEEDED commit cpu"]);

    // a process that finds batches of another waits its own minute, though nothing is committed meanwhile
    world.commit("cpu").await;
    let flow = flow_on(&world.disk);
    settle(&flow, &world.clock).await;
    assert_eq!(world.inline("cpu").await, 1);
    world.clock.advance(Duration::from_secs(60));
    settle(&flow, &world.clock).await;
    assert_eq!((world.inline("cpu").await, world.count("cpu").await), (0, 30));
}

#[tokio::test]
async fn many_inline_batches_are_flushed_at_once() {
    let world = World::new().await;
    world.commit("cpu").await;
    let (lake, scope, table) = (&world.disk.lake, &world.disk.scope, world.disk.table("cpu").await);
    let file = world.files("cpu").await.remove(0);
    let rows = lake.read_file(scope, &table, &file, RowSet::live(None), &table.schema).await.unwrap();
    let mut writer = lake.writer(scope, table.clone(), Level::Fresh);
    for batch in rows.try_collect::<Vec<_>>().await.unwrap() {
        writer.write(batch).await.unwrap();
    }
    let batch = writer.finish().await.unwrap().into_files().remove(0);
    world.append("cpu", vec![batch.clone(); 3_998]).await;
    world.settle().await;
    assert_eq!((world.inline("cpu").await, world.runs().await.len()), (3_999, 0));
    world.append("cpu", vec![batch]).await;
    world.settle().await;
    assert_eq!((world.inline("cpu").await, world.files("cpu").await.len()), (0, 1));
    assert_eq!(world.count("cpu").await, 40_000);
    assert_eq!(world.numbers("files_in").await, [4_000]);
}

#[tokio::test]
async fn a_paused_job_does_nothing_until_it_goes_on() {
    let world = World::new().await;
    world.settle().await;
    world.pause("compact", true).await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    world.settle().await;
    assert_eq!((world.files("cpu").await.len(), world.runs().await.len()), (8, 0));
    world.pause("compact", false).await;
    world.settle().await;
    assert_eq!(world.files("cpu").await.len(), 1);
    assert_eq!(world.runs().await, ["compact SUCCEEDED commit cpu"]);
}

#[tokio::test]
async fn a_table_can_be_left_out_and_taken_in_again() {
    let world = World::new().await;
    world.flush("cpu", 0).await;
    world.set("cpu", "compaction.enabled", "off").await;
    for _ in 0..9 {
        world.flush("cpu", 0).await;
    }
    world.settle().await;
    assert_eq!(world.files("cpu").await.len(), 10);
    world.set("cpu", "compaction.enabled", "on").await;
    world.settle().await;
    assert_eq!(world.files("cpu").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_flows_at_once_do_nothing_twice() {
    let world = World::new().await;
    world.settle().await;
    for day in 0..6 {
        for _ in 0..8 {
            world.flush("cpu", day).await;
        }
    }
    let other = flow_on(&world.disk);
    for _ in 0..12 {
        let (a, b) = tokio::join!(world.flow.tick(world.clock.now()), other.tick(world.clock.now()));
        a.unwrap();
        b.unwrap();
        tokio::join!(world.flow.idle(), other.idle());
        world.clock.advance(std::time::Duration::from_secs(15));
    }
    assert_eq!(world.files("cpu").await.len(), 6);
    assert_eq!(world.count("cpu").await, 480);
    assert_eq!(world.runs().await, ["compact SUCCEEDED commit cpu"; 6]);
    assert_eq!(world.numbers("files_in").await, [8; 6]);
}

#[tokio::test]
async fn a_run_that_its_process_left_behind_is_ended_and_its_work_is_done() {
    let world = World::new().await;
    world.settle().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    let (catalog, scope) = (&world.disk.lake.catalog, &world.disk.scope);
    let planned = world.flow.run_job(scope, "compact", "me", true).await.unwrap();
    let held = NewRun {
        id: world.disk.lake.ids.uuid(),
        job: catalog.job(scope, "compact").await.unwrap().id,
        subject: Some(format!("{} {}", planned[0].table, planned[0].partition)),
        table: None,
        cause: "commit",
        actor: None,
        reason: None,
        executor: world.disk.lake.ids.uuid(),
        running_max: 2,
    };
    catalog.claim_run(scope, &held).await.unwrap().expect("free");
    world.settle().await;
    assert_eq!(world.files("cpu").await.len(), 8, "somebody works on it");

    // The process is gone; the next one takes the lease.
    catalog.release_active().await.unwrap();
    catalog.take_active(HOUR).await.unwrap().expect("free");
    let next = flow_on(&world.disk);
    settle(&next, &world.clock).await;
    assert_eq!(world.files("cpu").await.len(), 1);
    assert_eq!(world.runs().await, ["compact FAILED commit -", "compact SUCCEEDED commit cpu"]);
    let late = catalog.end_run(scope, held.id, held.executor, Default::default(), &RunEnd::Succeeded).await;
    assert!(matches!(late, Err(cenote_catalog::Error::Fenced { .. })), "{late:?}");
}

#[tokio::test]
async fn what_a_person_asks_for_is_what_the_dry_run_said() {
    let world = World::new().await;
    world.settle().await;
    for day in 0..2 {
        for _ in 0..(8 + day) {
            world.flush("cpu", day).await;
        }
    }
    world.pause("compact", true).await;
    let scope = &world.disk.scope;
    let planned = world.flow.run_job(scope, "compact", "ann", true).await.unwrap();
    assert_eq!(world.files("cpu").await.len(), 17);
    assert_eq!(world.runs().await.len(), 0, "a dry run is no run");
    let done = world.flow.run_job(scope, "compact", "ann", false).await.unwrap();
    let shown = |outcomes: &[cenote_table::OptimizeOutcome]| {
        let row = |one: &cenote_table::OptimizeOutcome| (one.partition.clone(), one.action, one.files_in);
        outcomes.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(shown(&planned), shown(&done));
    assert_eq!(done.iter().map(|one| (one.files_in, one.files_out)).max(), Some((9, 1)));
    assert_eq!(world.runs().await, ["compact SUCCEEDED person cpu"; 2]);
    assert_eq!(world.texts(&["actor"]).await, [["ann"], ["ann"]]);
    assert_eq!(world.files("cpu").await.len(), 2);
    let unknown = world.flow.run_job(scope, "compct", "ann", false).await.expect_err("misspelled");
    assert_eq!(cenote_vocab::Fault::hint(&unknown).as_deref(), Some("did you mean \"compact\"?"));
}

#[tokio::test]
async fn a_flow_with_nothing_to_do_writes_nothing_and_sleeps() {
    let world = World::new().await;
    world.flush("cpu", 0).await;
    world.settle().await;
    let head = world.head().await;
    let due = world.flow.tick(world.clock.now()).await.unwrap().expect("expire looks now and then");
    assert!(due.since(world.clock.now()) >= std::time::Duration::from_secs(500), "{due:?}");
    for _ in 0..20 {
        world.clock.advance(std::time::Duration::from_secs(700));
        world.settle().await;
    }
    assert_eq!((world.head().await, world.runs().await.len()), (head, 0));
}
