//! Expiry, retention and orphans come by their time.

use cenote_flow::FlowOptions;
use cenote_vocab::Txn;
use futures::TryStreamExt as _;

use crate::world::{DAY, HOUR, World, flow_with, quiet, settle};

async fn objects(world: &World) -> usize {
    let root = object_store::path::Path::from(world.disk.scope.tenant());
    world.disk.lake.store.list(&root).try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test]
async fn old_versions_and_their_files_go_by_themselves() {
    let world = World::new().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    world.settle().await;
    assert_eq!((objects(&world).await, world.files("cpu").await.len()), (9, 1));
    let table = world.disk.table("cpu").await;
    let early = Txn(world.head().await.0 - 1);
    let read_early = || world.disk.lake.catalog.files(&world.disk.scope, &table, early, None);
    assert_eq!(read_early().await.unwrap().len(), 8);

    world.clock.advance(25 * HOUR);
    world.settle().await;
    assert!(read_early().await.is_err(), "older than history_keep");
    assert_eq!(objects(&world).await, 9, "readers may have begun before");
    world.clock.advance(25 * HOUR);
    world.settle().await;
    assert_eq!(objects(&world).await, 1);
    assert_eq!(world.count("cpu").await, 80);
    let runs = world.runs().await;
    assert_eq!(
        runs,
        ["compact SUCCEEDED commit cpu", "expire SUCCEEDED schedule -", "expire SUCCEEDED schedule -"]
    );
    assert_eq!(world.numbers("files_in").await, [8, 8, 8]);
}

#[tokio::test]
async fn rows_past_their_retention_go_and_the_dry_run_says_so_before() {
    let world = World::new().await;
    for days in [40, 20, 1] {
        world.flush("cpu", days).await;
        world.flush("mem", days).await;
    }
    world.set("cpu", "retention", "10d").await;
    let scope = &world.disk.scope;
    world.flow.tick(world.clock.now()).await.unwrap();
    world.flow.idle().await;
    assert_eq!((world.count("cpu").await, world.count("mem").await), (10, 30));
    assert_eq!(world.runs().await, ["retention SUCCEEDED schedule -"]);
    assert_eq!(world.numbers("files_in").await, [2]);

    world.set("mem", "retention", "30d").await;
    let planned = world.flow.run_job(scope, "retention", "ann", true).await.unwrap();
    assert_eq!(world.count("mem").await, 30);
    let done = world.flow.run_job(scope, "retention", "ann", false).await.unwrap();
    let numbers = |outcomes: &[cenote_table::OptimizeOutcome]| {
        let row = |one: &cenote_table::OptimizeOutcome| {
            (one.table.clone(), one.action, one.files_in, one.bytes_in, one.reason.clone())
        };
        outcomes.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&planned), numbers(&done));
    assert_eq!(
        done.iter().map(|one| (one.action, one.files_in)).collect::<Vec<_>>(),
        [("none", 0), ("expire", 1)]
    );
    assert_eq!(world.count("mem").await, 20);

    world.clock.advance(30 * DAY);
    world.settle().await;
    assert_eq!((world.count("cpu").await, world.count("mem").await), (0, 0));
}

#[tokio::test]
async fn a_table_whose_option_is_nonsense_does_not_stop_the_others() {
    let world = World::new().await;
    for table in ["cpu", "mem"] {
        world.flush(table, 40).await;
    }
    world.set("cpu", "retention", "soon").await;
    world.set("mem", "retention", "10d").await;
    world.settle().await;
    assert_eq!((world.count("cpu").await, world.count("mem").await), (10, 0));
}

#[tokio::test]
async fn retention_can_be_switched_off_and_held() {
    let world = World::new().await;
    world.flush("cpu", 40).await;
    world.set("cpu", "retention", "10d").await;
    let off = flow_with(&world.disk, FlowOptions { retention_enabled: false, ..quiet() });
    settle(&off, &world.clock).await;
    assert_eq!(world.count("cpu").await, 10);
    world.pause("retention", true).await;
    world.settle().await;
    assert_eq!(world.count("cpu").await, 10);
    world.pause("retention", false).await;
    world.settle().await;
    assert_eq!(world.count("cpu").await, 0);
}

#[tokio::test]
async fn objects_that_nothing_names_go_after_their_grace() {
    let world = World::new().await;
    world.flush("cpu", 0).await;
    let location = world.disk.table("cpu").await.location.clone();
    let path = object_store::path::Path::from(format!("{location}/data/lost.parquet"));
    world.disk.lake.store.put(&path, bytes::Bytes::from_static(b"lost")).await.unwrap();
    world.settle().await;
    assert_eq!(objects(&world).await, 2, "an upload may still be under way");
    world.clock.advance(25 * HOUR);
    world.settle().await;
    assert_eq!(objects(&world).await, 1);
    assert_eq!(world.count("cpu").await, 10);
    assert_eq!(world.runs().await, ["orphans SUCCEEDED schedule -"]);
}

#[tokio::test]
async fn ended_runs_are_forgotten_after_their_time() {
    let world = World::new().await;
    world.flush("cpu", 40).await;
    world.set("cpu", "retention", "10d").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    world.clock.advance(91 * DAY);
    world.pause("expire", true).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 0);
}
