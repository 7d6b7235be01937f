//! State that its memory is too small for: the rest is on disk, and results are the same.

use cenote_stream::{Limits, Run, Step};
use cenote_testkit::{PATIENCE, settles};
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
async fn open_windows_of_ten_times_their_memory_give_the_same_results_within_it() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE hops (start TIMESTAMP, k BIGINT, n BIGINT, least BIGINT, most BIGINT, mean DOUBLE)",
        "CREATE TABLE visits (start TIMESTAMP, until TIMESTAMP, k BIGINT, n BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused', state_memory = '2MiB', watermark_delay = '1 hour') AS $$
         INSERT INTO hops SELECT w.start, k, n, least, most, mean FROM (
           SELECT hop(INTERVAL '20 seconds', INTERVAL '1 minute') AS w, k, count(*) AS n, min(v) AS least, max(v) AS most, avg(v) AS mean FROM src GROUP BY 1, 2);
         INSERT INTO visits SELECT w.start, w.end, k, n FROM (
           SELECT k, session(INTERVAL '5 seconds') AS w, count(*) AS n FROM src GROUP BY 1, 2) $$",
    ] {
        world.client.rows(sql).await;
    }
    for round in [1, 7, 13] {
        let rows = format!(
            "INSERT INTO src SELECT TIMESTAMP '2026-01-01' + (value * {round} % 600) * INTERVAL '1 second', value % 10000, value + {round} FROM range(0, 60000)"
        );
        world.client.rows(&rows).await;
        let mut run = world.open("p", limits()).await.expect("opens");
        assert!(run.held().1 <= MEMORY, "{} bytes are read back", run.held().1);
        assert!(drain_within(&mut run).await > 0, "nothing is on disk");
    }
    world.client.rows("ALTER PIPELINE p SET (state_memory = '60MiB')").await;
    let all = world.open("p", limits()).await.expect("opens with all in memory");
    assert_eq!(all.spilled(), 0);
    assert!(all.held().1 >= 10 * MEMORY, "{} bytes would be held", all.held().1);
    drop(all);
    world.client.rows("ALTER PIPELINE p SET (state_memory = '2MiB')").await;
    let mut run = world.open("p", limits()).await.expect("opens again");
    // A part of the windows close, then all but those of the last row.
    for end in ["2026-01-01 01:05:00", "2026-01-02"] {
        world.client.rows(&format!("INSERT INTO src VALUES (TIMESTAMP '{end}', -1, 0)")).await;
        drain_within(&mut run).await;
    }
    assert_eq!(run.counts().2, 0, "late rows");
    let ours = "SELECT * FROM src WHERE k >= 0";
    for (table, batch) in [
        (
            "SELECT * FROM hops WHERE k >= 0",
            format!(
                "WITH panes AS (SELECT date_bin(INTERVAL '20 seconds', time) AS s, k, v FROM ({ours}))
                 SELECT s, k, count(*), min(v), max(v), avg(v) FROM (
                   SELECT * FROM panes UNION ALL SELECT s - INTERVAL '20 seconds', k, v FROM panes
                   UNION ALL SELECT s - INTERVAL '40 seconds', k, v FROM panes) GROUP BY 1, 2"
            ),
        ),
        (
            "SELECT * FROM visits WHERE k >= 0",
            format!(
                "SELECT min(time), max(time) + INTERVAL '5 seconds', k, count(*) FROM (
                   SELECT k, time, sum(begins) OVER (PARTITION BY k ORDER BY time, v) AS number FROM (
                     SELECT k, v, time, CASE WHEN time <= lag(time) OVER (PARTITION BY k ORDER BY time, v) + INTERVAL '5 seconds' THEN 0 ELSE 1 END AS begins
                     FROM ({ours}))) GROUP BY k, number"
            ),
        ),
    ] {
        let got = world.client.digest(table).await;
        assert!(got.0 > 40_000, "{} rows of {table}", got.0);
        assert_eq!(got, world.client.digest(&batch).await, "{table}");
    }
    world.stop().await;
}

/// Two pipelines and a disk with room for the state of one, twice: while runs are merged.
async fn two_on_a_disk_for_one() -> World {
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
    world
}

/// How many sums are not there, or are others.
const DIFFER: &str =
    "SELECT count(*) FROM ((SELECT k, count(*) AS n FROM src GROUP BY k) EXCEPT (SELECT k, n FROM p_out))";

/// The other pipeline with its state, most of which is on disk.
async fn the_other(world: &World, limits: Limits) -> Run {
    let mut other = world.open("q", limits).await.expect("opens");
    while let Step::Committed(_) = other.step().await.expect("there is room for one") {}
    assert!(other.spilled() > 200 << 10, "{} bytes are on disk", other.spilled());
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_waits_for_room_on_disk_and_goes_on_by_itself() {
    let world = two_on_a_disk_for_one().await;
    let other = the_other(&world, epochs_of(5_000)).await;
    world.client.rows("RESUME PIPELINE p").await;
    settles("the pipeline to wait", PATIENCE, async || {
        let now = world.pipeline("p").await;
        assert_ne!(now.state, "failed", "{:?}", now.error);
        now.state == "recovering" && now.error.is_some_and(|error| error.contains("query.spill_max"))
    })
    .await;
    let errors = "SELECT DISTINCT domain, retries FROM system.stream.errors WHERE name = 'p'";
    assert_eq!(world.client.rows(errors).await, ["external|true"]);
    // What was committed before there was no room is there; what comes now waits.
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-01', -1, 0)").await;
    assert_eq!(world.client.rows("SELECT * FROM p_out WHERE k = -1").await.len(), 0);
    drop(other);
    settles("all sums", PATIENCE, async || world.client.rows(DIFFER).await == ["0"]).await;
    settles("the pipeline to run", PATIENCE, async || world.pipeline("p").await.state == "running").await;
    assert_eq!(world.pipeline("p").await.error, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_without_room_on_disk_changes_nothing() {
    let world = two_on_a_disk_for_one().await;
    let limits = epochs_of(5_000);
    let other = the_other(&world, limits).await;
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
    assert_eq!(world.client.rows(DIFFER).await, ["0"]);
    world.stop().await;
}
