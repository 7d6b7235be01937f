//! What fails is written down and tried again later; the node goes on.

use std::time::Duration;

use crate::world::{World, flow_on};

#[tokio::test]
async fn a_merge_that_fails_rests_and_is_tried_again() {
    let world = World::new().await;
    world.settle().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    fail::cfg("compact.commit", "return").unwrap();
    world.settle().await;
    world.settle().await;
    assert_eq!(world.runs().await, ["compact FAILED commit cpu"], "no second try before its time");
    assert_eq!(world.texts(&["error"]).await, [["fail point compact.commit"]]);
    assert_eq!(world.files("cpu").await.len(), 8);
    fail::remove("compact.commit");
    world.clock.advance(Duration::from_secs(40));
    world.settle().await;
    assert_eq!(world.runs().await, ["compact FAILED commit cpu", "compact SUCCEEDED commit cpu"]);
    assert_eq!((world.files("cpu").await.len(), world.count("cpu").await), (1, 80));
}

#[tokio::test]
async fn a_scheduled_job_that_fails_rests_longer_each_time() {
    let world = World::new().await;
    world.flush("cpu", 40).await;
    world.set("cpu", "retention", "10d").await;
    fail::cfg("retention.commit", "return").unwrap();
    let retry = async || {
        world.flow.tick(world.clock.now()).await.unwrap();
        world.flow.idle().await;
        let job = world.disk.lake.catalog.job(&world.disk.scope, "retention").await.unwrap();
        (job.failures, job.next.expect("it rests"))
    };
    let (first, second) = (retry().await, {
        world.clock.advance(Duration::from_secs(40));
        retry().await
    });
    assert_eq!((first.0, second.0), (1, 2));
    assert!(second.1.since(world.clock.now()) >= Duration::from_secs(45), "{second:?}");
    fail::remove("retention.commit");
    world.clock.advance(Duration::from_secs(80));
    assert_eq!(retry().await.0, 0);
    assert_eq!(world.count("cpu").await, 0);
    let ends =
        ["retention FAILED schedule -", "retention FAILED schedule -", "retention SUCCEEDED schedule -"];
    assert_eq!(world.runs().await, ends);
}

#[tokio::test]
async fn a_panic_ends_its_run_and_nothing_else() {
    let world = World::new().await;
    world.settle().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    fail::cfg("compact.commit", "panic(a bug)").unwrap();
    world.settle().await;
    fail::remove("compact.commit");
    assert_eq!(world.runs().await, ["compact FAILED commit cpu"]);
    world.clock.advance(Duration::from_secs(40));
    world.settle().await;
    assert_eq!((world.files("cpu").await.len(), world.count("cpu").await), (1, 80));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_runs_and_the_next_start_does_it() {
    let world = World::new().await;
    world.settle().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    // The merge waits here until the stop is asked for.
    fail::cfg("compact.file", "pause").unwrap();
    world.flow.tick(world.clock.now()).await.unwrap();
    let flow = world.flow.clone();
    let stopping = async {
        tokio::join!(flow.stop(), async {
            tokio::task::yield_now().await;
            fail::remove("compact.file");
        });
    };
    stopping.await;
    let runs = world.runs().await;
    assert!(runs.iter().all(|run| run == "compact CANCELLED commit cpu"), "{runs:?}");
    let next = flow_on(&world.disk);
    crate::world::settle(&next, &world.clock).await;
    assert_eq!((world.files("cpu").await.len(), world.count("cpu").await), (1, 80));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_ends_early_and_says_by_whom() {
    let world = World::new().await;
    world.settle().await;
    for _ in 0..8 {
        world.flush("cpu", 0).await;
    }
    let cancel = async || world.flow.cancel_job(&world.disk.scope, "compact", "ann").await.unwrap();
    assert!(cancel().await.is_empty(), "nothing is open");
    // The merge waits here until it is asked to end.
    fail::cfg("compact.file", "pause").unwrap();
    world.flow.tick(world.clock.now()).await.unwrap();
    // By no clock: the thread that waits there may be the one that timers run on.
    while cancel().await.len() != 1 {
        tokio::task::yield_now().await;
    }
    fail::remove("compact.file");
    world.flow.idle().await;
    assert_eq!(world.runs().await, ["compact CANCELLED commit cpu"]);
    assert_eq!(world.texts(&["error"]).await, [["cancelled by ann"]]);
    assert_eq!(world.files("cpu").await.len(), 8);
    // It is not held: it begins again when it is due.
    world.clock.advance(Duration::from_secs(40));
    world.settle().await;
    assert_eq!((world.files("cpu").await.len(), world.count("cpu").await), (1, 80));
}
