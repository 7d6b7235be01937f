//! Stored state that is damaged: found, read from its copy and mended; without a whole copy the pipeline fails and names the files.

use cenote_stream::Limits;
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::{ErrorKind, Fault};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::world::{World, drain, epochs_of};

/// State beyond this is objects.
fn limits() -> Limits {
    Limits { inline_state_bytes: 100, ..epochs_of(500) }
}

/// Scripts whose operators hold runs, and tables.
const SCRIPTS: [&str; 2] = [
    "INSERT INTO out SELECT k, n FROM (SELECT tumble(INTERVAL '1 hour') AS w, k, count(*) AS n FROM src GROUP BY 1, 2)",
    "INSERT INTO out SELECT k, count(*) FROM src GROUP BY k",
];

/// A pipeline that has read 2,000 rows of as many keys.
async fn holding(script: &str) -> World {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT)",
        "CREATE TABLE out (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        &format!("CREATE PIPELINE p WITH (desired = 'paused', updating_ttl = off) AS {script}"),
        "INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 2000)",
    ] {
        world.client.rows(sql).await;
    }
    drain(&mut world.open("p", limits()).await.expect("opens")).await;
    world
}

async fn paths(world: &World, ending: &str) -> Vec<Path> {
    let all = world.node.objects().await.into_iter().filter(|path| path.ends_with(ending));
    all.map(|path| path.as_str().into()).collect()
}

/// Changes a byte in the middle of an object; answers what it was.
async fn flip(objects: &dyn ObjectStore, path: &Path) -> bytes::Bytes {
    let good = objects.get(path).await.expect("there").bytes().await.expect("read");
    let mut bytes = good.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    objects.put(path, bytes.into()).await.expect("damaged");
    good
}

/// The next epoch closes or counts on all that was held.
async fn goes_on(world: &World) {
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 1)").await;
    drain(&mut world.open("p", limits()).await.expect("opens")).await;
    let rows = world.client.rows("SELECT count(*), sum(n) BETWEEN 2000 AND 2001, min(n) FROM out").await;
    assert_eq!(rows, ["2000|true|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_found_and_the_copy_is_used_and_mends_it() {
    for script in SCRIPTS {
        let world = holding(script).await;
        let objects = world.node.lake.store.objects();
        let states = paths(&world, ".state").await;
        assert!(!states.is_empty() && states.len() == paths(&world, ".copy").await.len(), "{states:?}");
        for path in &states {
            let good = flip(objects.as_ref(), path).await;
            drop(world.open("p", limits()).await.expect("reads the copy"));
            let mended = objects.get(path).await.expect("there").bytes().await.expect("read");
            assert_eq!(mended, good, "{path}");
            objects.delete(path).await.expect("gone");
            drop(world.open("p", limits()).await.expect("reads the copy"));
            objects.get(path).await.expect("it is there again");
        }
        for path in paths(&world, ".copy").await {
            flip(objects.as_ref(), &path).await;
        }
        goes_on(&world).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_whose_state_is_damaged_for_good_fails_and_names_the_files() {
    for script in SCRIPTS {
        let world = holding(script).await;
        let objects = world.node.lake.store.objects();
        let mut good = Vec::new();
        for ending in [".state", ".copy"] {
            for path in paths(&world, ending).await {
                good.push((path.clone(), flip(objects.as_ref(), &path).await));
            }
        }
        let error = world.open("p", limits()).await.err().expect("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        world.client.rows("RESUME PIPELINE p").await;
        settles("the pipeline to fail", PATIENCE, async || world.pipeline("p").await.state == "failed").await;
        let why = world.pipeline("p").await.error.expect("why");
        let is_named = |path: &Path| why.contains(path.as_ref());
        assert!(good.iter().filter(|(path, _)| is_named(path)).count() >= 2, "{why}");
        world.client.rows("PAUSE PIPELINE p").await;
        for (path, bytes) in good {
            objects.put(&path, bytes.into()).await.expect("whole again");
        }
        goes_on(&world).await;
        world.stop().await;
    }
}
