//! Open windows for which there is no room: rows of tables, and the answers that windows in memory give.

use cenote_stream::{Limits, Run, Step};
use cenote_vocab::{ErrorKind, Fault};

use crate::views::Chance;
use crate::world::{World, drain, epochs_of};

/// Each row is a piece of its own; so many bytes of open windows stay as they are.
fn pieces_with_room(epoch_rows: usize, open_bytes: u64) -> Limits {
    Limits { open_bytes, wide_rows: 0, piece_rows: 1, ..epochs_of(epoch_rows) }
}

async fn sorted(world: &World, sql: &str) -> Vec<String> {
    let mut rows = world.client.rows(sql).await;
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_rows_of_a_key_are_each_in_their_session_without_room() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE out (k BIGINT, n BIGINT, total BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused', parallelism = 4) AS INSERT INTO out SELECT k, n, total FROM (
           SELECT session(INTERVAL '5 seconds') AS w, k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1, 2)",
        "INSERT INTO src SELECT TIMESTAMP '2026-01-01', 1, 7 FROM range(0, 4)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", pieces_with_room(100, 0)).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(run.held().0, 2, "a session, and its end");
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 2, 0)").await;
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT * FROM out").await, ["1|4|28"]);
    world.stop().await;
}

/// The same windows in memory, without room, and with as much room as chance gives at each start.
async fn rounds(seed: u64) {
    let mut chance = Chance(seed);
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)").await;
    let names = ["roomy", "parked", "mixed"];
    for name in names {
        for sql in [
            format!("CREATE TABLE {name}_out (what TEXT, start TIMESTAMP, until TIMESTAMP, k BIGINT, n BIGINT, total BIGINT, kinds BIGINT)"),
            format!(
                "CREATE PIPELINE {name} WITH (desired = 'paused', parallelism = 4, watermark_delay = '20 seconds') AS $$
                 INSERT INTO {name}_out SELECT 'visit', w.start, w.end, k, n, total, kinds FROM (
                   SELECT session(INTERVAL '5 seconds') AS w, k, count(*) AS n, sum(v) AS total, count(DISTINCT v) AS kinds FROM src GROUP BY 1, 2);
                 INSERT INTO {name}_out SELECT 'hop', w.start, w.end, k, n, total, kinds FROM (
                   SELECT hop(INTERVAL '4 seconds', INTERVAL '10 seconds') AS w, k, count(*) AS n, sum(v) AS total, count(DISTINCT v) AS kinds FROM src GROUP BY 1, 2) $$"
            ),
        ] {
            world.client.rows(&sql).await;
        }
    }
    let epoch_rows = 10 + chance.below(30) as usize;
    let mut runs: Vec<Run> = Vec::new();
    for (name, open_bytes) in names.into_iter().zip([32 << 20, 0, 0]) {
        runs.push(world.open(name, pieces_with_room(epoch_rows, open_bytes)).await.expect("opens"));
    }
    let (mut now, mut closed) = (0, 0);
    for round in 0..20 {
        let mut rows = Vec::new();
        for _ in 0..=chance.below(20) {
            // Some come late, some more than once.
            let second = now + chance.below(25);
            let row = format!(
                "(TIMESTAMP '2026-01-01 00:01:00' + {second} * INTERVAL '1 second' - {} * INTERVAL '30 seconds', {}, {})",
                chance.below(8) / 7,
                chance.below(4),
                chance.below(2)
            );
            rows.extend(vec![row; 1 + chance.below(3) as usize]);
        }
        now += chance.below(14);
        if round == 19 {
            rows.push("(TIMESTAMP '2026-01-02', 9, 0)".to_owned());
        }
        world.client.rows(&format!("INSERT INTO src VALUES {}", rows.join(", "))).await;
        if chance.below(2) == 0 {
            let room = [0, 4 << 10, 32 << 20][chance.below(3) as usize];
            runs.pop();
            runs.push(world.open("mixed", pieces_with_room(epoch_rows, room)).await.expect("opens again"));
        }
        for run in &mut runs {
            drain(run).await;
        }
        let expected = sorted(&world, "SELECT * FROM roomy_out").await;
        closed = expected.len();
        for (name, run) in names.iter().zip(&runs) {
            assert_eq!(run.counts(), runs[0].counts(), "{name} in round {round} of {seed}");
            let got = sorted(&world, &format!("SELECT * FROM {name}_out")).await;
            assert_eq!(got, expected, "{name} in round {round} of {seed}");
        }
    }
    assert!(closed > 50, "{closed} windows of {seed} closed");
    assert!(runs[0].counts().2 > 0, "no row of {seed} came too late");
    assert_eq!(runs[0].held().0, 0, "all in memory");
    // One row is left: its session with its end, and its pane.
    assert_eq!(runs[1].held().0, 3, "without room");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_without_room_are_those_in_memory() {
    for seed in [1, 20_261_121, 4711] {
        Box::pin(rounds(seed)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_grows_has_one_end() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT)",
        "CREATE TABLE out (k BIGINT, n BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '1 hour') AS INSERT INTO out SELECT k, n FROM (
           SELECT session(INTERVAL '5 seconds') AS w, k, count(*) AS n FROM src GROUP BY 1, 2)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", pieces_with_room(100, 0)).await.expect("opens");
    for second in 0..30 {
        let row = format!(
            "INSERT INTO src SELECT TIMESTAMP '2026-01-01' + {second} * INTERVAL '1 second', value FROM range(0, 3)"
        );
        world.client.rows(&row).await;
        drain(&mut run).await;
        assert_eq!(run.held().0, 6, "of three keys a session and its end after {second} s");
    }
    // A session is taken back in the epoch in which it ends.
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 0)").await;
    drain(&mut run).await;
    assert_eq!(run.held().0, 2, "the session of the last row, and its end");
    assert_eq!(sorted(&world, "SELECT * FROM out").await, ["0|30", "1|30", "2|30"]);
    world.stop().await;
}

const MEMORY: u64 = 2 << 20;

/// A window of several times [`MEMORY`]: 60,000 keys were in a minute.
async fn minutes(memory: &str) -> World {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)".to_owned(),
        "CREATE TABLE out (start TIMESTAMP, k BIGINT, n BIGINT, total BIGINT, least BIGINT, most BIGINT, mean DOUBLE)".to_owned(),
        format!(
            "CREATE PIPELINE p WITH (desired = 'paused', state_memory = '{memory}') AS INSERT INTO out SELECT w.start, k, n, total, least, most, mean FROM (
               SELECT tumble(INTERVAL '1 minute') AS w, k, count(*) AS n, sum(v) AS total, min(v) AS least, max(v) AS most, avg(v) AS mean
               FROM src GROUP BY 1, 2)"
        ),
        "INSERT INTO src SELECT TIMESTAMP '2026-01-01', value, value FROM range(0, 60000)".to_owned(),
    ] {
        world.client.rows(&sql).await;
    }
    world
}

async fn is_the_batch_answer(world: &World) {
    let got = world.client.digest("SELECT * FROM out").await;
    let batch = "SELECT date_trunc('minute', time), k, count(*), sum(v), min(v), max(v), avg(v) FROM src WHERE k >= 0 GROUP BY 1, 2";
    assert_eq!(got, world.client.digest(batch).await);
    assert_eq!(got.0, 60_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_windows_that_less_memory_has_no_room_for_become_rows() {
    let world = minutes("60MiB").await;
    let limits = epochs_of(20_000);
    let mut run = world.open("p", limits).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(run.held().0, 0, "all are in memory as they are");
    drop(run);
    world.client.rows(&format!("ALTER PIPELINE p SET (state_memory = '{MEMORY}')")).await;
    let mut run = world.open("p", limits).await.expect("opens with less memory");
    let Step::Committed(_) = run.step().await.expect("an epoch") else { panic!("nothing was done") };
    assert_eq!(run.step().await.expect("nothing more to do"), Step::Idle);
    let (rows, bytes) = run.held();
    assert!(rows >= 60_000 && bytes <= MEMORY && run.spilled() > 0, "{rows} rows take {bytes} bytes");
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', -1, 0)").await;
    drain(&mut run).await;
    is_the_batch_answer(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_close_together_find_memory_or_wait() {
    let world = minutes("2MiB").await;
    let limits = epochs_of(20_000);
    let mut run = world.open_within("p", limits, 2 * MEMORY).await.expect("opens");
    drain(&mut run).await;
    assert!(run.spilled() > 0, "nothing is on disk");
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', -1, 0)").await;
    let error = run.step().await.expect_err("all of them close");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("that close together"), "{error}");
    assert_eq!(world.client.rows("SELECT count(*) FROM out").await, ["0"]);
    let mut run = world.open("p", limits).await.expect("opens with more");
    drain(&mut run).await;
    is_the_batch_answer(&world).await;
    world.stop().await;
}
