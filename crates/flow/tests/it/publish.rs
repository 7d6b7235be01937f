//! Metadata is published after commits, not more often than the interval, and by hand at any time.

use std::time::Duration;

use cenote_flow::{Flow, FlowOptions};
use cenote_vocab::Txn;

use crate::world::{World, flow_with};

async fn look(world: &World, flow: &Flow) {
    flow.tick(world.clock.now()).await.unwrap();
    flow.idle().await;
}

async fn published(world: &World) -> Option<(i64, Txn)> {
    let newest = world.disk.lake.catalog.newest_publication(&world.disk.scope).await.unwrap();
    newest.map(|newest| (newest.manifest_id, newest.txn))
}

#[tokio::test]
async fn commits_are_published_once_per_interval_and_leave_no_runs() {
    let world = World::new().await;
    let flow = flow_with(&world.disk, FlowOptions::default());
    look(&world, &flow).await;
    let first = published(&world).await.expect("at the start");
    assert_eq!(first.0, 1);
    world.flush("cpu", 0).await;
    look(&world, &flow).await;
    assert_eq!(published(&world).await, Some(first), "half a minute has not passed");
    world.flush("cpu", 0).await;
    world.clock.advance(Duration::from_secs(31));
    look(&world, &flow).await;
    assert_eq!(published(&world).await, Some((2, world.head().await)));
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(31));
        look(&world, &flow).await;
    }
    assert_eq!(published(&world).await.map(|(id, _)| id), Some(2), "nothing changed");
    assert!(world.runs().await.iter().all(|run| !run.starts_with("publish")), "{:?}", world.runs().await);
}

#[tokio::test]
async fn an_interval_of_zero_publishes_only_what_is_asked_for() {
    let world = World::new().await;
    world.flush("cpu", 0).await;
    look(&world, &world.flow).await;
    assert_eq!(published(&world).await, None);
    let planned = world.flow.run_job(&world.disk.scope, "publish", "ann", true).await.unwrap();
    assert_eq!((planned[0].action, published(&world).await), ("publish", None));
    let done = world.flow.run_job(&world.disk.scope, "publish", "ann", false).await.unwrap();
    assert_eq!((done[0].action, done[0].reason.as_str()), ("publish", "manifest 1"));
    assert_eq!(published(&world).await, Some((1, world.head().await)));
    let again = world.flow.run_job(&world.disk.scope, "publish", "ann", false).await.unwrap();
    assert_eq!((again[0].action, again[0].reason.as_str()), ("none", "nothing changed"));
    assert_eq!(world.runs().await, ["publish SUCCEEDED person -"]);
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_pass_that_fails_rests_and_is_tried_again() {
    let world = World::new().await;
    let flow = flow_with(&world.disk, FlowOptions::default());
    fail::cfg("publish.commit", "return").unwrap();
    look(&world, &flow).await;
    assert_eq!(world.runs().await, ["publish FAILED commit -"]);
    look(&world, &flow).await;
    assert_eq!(world.runs().await.len(), 1, "no second try before its time");
    fail::remove("publish.commit");
    world.clock.advance(Duration::from_secs(40));
    look(&world, &flow).await;
    assert_eq!(published(&world).await.map(|(id, _)| id), Some(1));
}
