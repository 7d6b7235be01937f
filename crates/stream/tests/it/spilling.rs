//! State that its memory is too small for: the rest is on disk, and results are the same.

use cenote_stream::{Limits, Run, Step};
use cenote_vocab::{ErrorKind, Fault};

use crate::world::{World, epochs_of};

const MEMORY: u64 = 2 << 20;

/// Small parts, so that there are many.
fn limits() -> Limits {
    Limits { inline_state_bytes: 10 << 10, full_block_bytes: 100 << 10, ..epochs_of(20_000) }
}

/// Runs epochs until there is nothing to do, each within the memory; answers the most that was on disk.
async fn drain_within(run: &mut Run) -> u64 {
    let mut most = 0;
    while let Step::Committed(_) = run.step().await.expect("an epoch") {
        let (_, held) = run.held();
        assert!(held <= MEMORY, "{held} bytes are held");
        most = most.max(run.spilled());
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_ten_times_its_memory_gives_the_same_results_within_it() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE names (k BIGINT, name TEXT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE TABLE sums (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE TABLE named (k BIGINT, name TEXT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "INSERT INTO names SELECT value * 3, 'a name of ' || (value * 3)::TEXT FROM range(0, 20000)",
        "CREATE PIPELINE p WITH (desired = 'paused', state_memory = '2MiB') AS $$
         CREATE VIEW added AS SELECT k, count(*) AS n, sum(v) AS total FROM src GROUP BY k;
         INSERT INTO sums SELECT k, n, total FROM added;
         INSERT INTO named SELECT added.k, name, total FROM added JOIN names ON added.k = names.k $$",
    ] {
        world.client.rows(sql).await;
    }
    // Each key comes three times, in another order each time.
    for round in [1, 7, 13] {
        let rows = format!(
            "INSERT INTO src SELECT TIMESTAMP '2026-01-01', (value * {round}) % 60000, value + {round} FROM range(0, 60000)"
        );
        world.client.rows(&rows).await;
        let mut run = world.open("p", limits()).await.expect("opens");
        assert!(run.held().1 <= MEMORY, "{} bytes are read back", run.held().1);
        drain_within(&mut run).await;
        world.client.rows("DELETE FROM names WHERE k % 7 = 3").await;
        world.client.rows("UPDATE names SET name = name || '!' WHERE k % 5 = 1").await;
        assert!(drain_within(&mut run).await > 0, "nothing is on disk");
    }
    world.client.rows("ALTER PIPELINE p SET (state_memory = '60MiB')").await;
    let all = world.open("p", limits()).await.expect("opens with all in memory");
    assert_eq!(all.spilled(), 0);
    assert!(all.held().1 >= 10 * MEMORY, "{} bytes would be held", all.held().1);
    for (table, batch) in [
        ("sums", "SELECT k, count(*), sum(v) FROM src GROUP BY k"),
        (
            "named",
            "SELECT a.k, name, total FROM (SELECT k, sum(v) AS total FROM src GROUP BY k) a JOIN names ON a.k = names.k",
        ),
    ] {
        let differ = |one: &str, other: &str| format!("SELECT count(*) FROM ({one} EXCEPT {other})");
        let rows = format!("SELECT * FROM {table}");
        assert_eq!(world.client.rows(&differ(&rows, batch)).await, ["0"], "{table} has other rows");
        assert_eq!(world.client.rows(&differ(batch, &rows)).await, ["0"], "{table} lacks rows");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_is_waited_for() {
    // Enough for the state of one, twice: while runs are merged.
    let world = World::with_disk(700 << 10).await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)").await;
    for name in ["p", "q"] {
        for sql in [
            format!("CREATE TABLE {name}_out (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)"),
            format!(
                "CREATE PIPELINE {name} WITH (desired = 'paused', state_memory = '1MB') AS INSERT INTO {name}_out SELECT k, count(*) FROM src GROUP BY k"
            ),
        ] {
            world.client.rows(&sql).await;
        }
    }
    // Numbers that do not compress.
    world
        .client
        .rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', (value * 1103515245 + 12345) % 2147483647, value FROM range(0, 40000)")
        .await;
    let limits = epochs_of(5_000);
    let mut other = world.open("q", limits).await.expect("opens");
    while let Step::Committed(_) = other.step().await.expect("there is room for one") {}
    assert!(other.spilled() > 200 << 10, "{} bytes are on disk", other.spilled());
    let mut run = world.open("p", limits).await.expect("opens");
    let error = loop {
        match run.step().await {
            Ok(Step::Committed(_)) => {}
            Ok(_) => panic!("there is room for two: {} and {}", other.spilled(), run.spilled()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("query.spill_max"), "{error}");
    // What both have on disk goes with them.
    drop((other, run));
    let mut run = world.open("p", limits).await.expect("there is room again");
    while let Step::Committed(_) = run.step().await.expect("an epoch") {}
    let differ = "SELECT count(*) FROM ((SELECT k, count(*) AS n FROM src GROUP BY k) EXCEPT (SELECT k, n FROM p_out))";
    assert_eq!(world.client.rows(differ).await, ["0"]);
    world.stop().await;
}
