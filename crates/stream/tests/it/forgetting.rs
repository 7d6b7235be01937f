//! What operators forget, and that what they hold stays bounded by it. Time is that of the rows.

use cenote_stream::Limits;
use cenote_vocab::{ErrorKind, Fault as _};

use crate::world::{World, drain};

async fn insert(world: &World, table: &str, second: u64, rows: u64) {
    let sql = format!(
        "INSERT INTO {table} SELECT TIMESTAMP '2026-01-01' + INTERVAL '{second} seconds' + value * INTERVAL '2 milliseconds', value % 50, {second} * 1000 + value FROM range(0, {rows})"
    );
    world.client.rows(&sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_holds_no_more_than_the_rows_of_its_time_to_live() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE a (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE b (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE out (k BIGINT, a BIGINT, b BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused', updating_ttl = '10s') AS \
         INSERT INTO out SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k AND a.v % 97 = b.v % 97",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    let mut held = Vec::new();
    for second in 0..60 {
        insert(&world, "a", second, 100).await;
        insert(&world, "b", second, 100).await;
        drain(&mut run).await;
        held.push(run.held().0);
    }
    // 200 rows and 100 marks a second, for 10 s, an eighth of that, and what the watermark is behind.
    let most = held[30..].iter().max().copied().unwrap_or(0);
    assert!(most <= 14 * 300, "{held:?}");
    assert!(held[30..].iter().min() >= Some(&(10 * 200)), "{held:?}");
    let near = "SELECT count(*) FROM a JOIN b ON a.k = b.k AND a.v % 97 = b.v % 97 WHERE a.time < b.time + INTERVAL '9 seconds' AND b.time < a.time + INTERVAL '9 seconds'";
    let far = "SELECT count(*) FROM out WHERE abs(a / 1000 - b / 1000) > 14";
    let near_out = "SELECT count(*) FROM out JOIN a ON a.v = out.a JOIN b ON b.v = out.b WHERE a.time < b.time + INTERVAL '9 seconds' AND b.time < a.time + INTERVAL '9 seconds'";
    assert_eq!(world.client.rows(near_out).await, world.client.rows(near).await);
    assert_eq!(world.client.rows(far).await, ["0"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_is_too_small_for_what_is_known_of_files_is_a_failure_that_names_the_operator() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE out (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE PIPELINE p WITH (desired = 'paused', state_memory = '20kB') AS INSERT INTO out \
         SELECT k, n FROM (SELECT tumble(INTERVAL '1 hour') AS w, k, count(*) AS n FROM src GROUP BY 1, 2)",
        "INSERT INTO src SELECT TIMESTAMP '2026-01-01', value, value FROM range(0, 10)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    world
        .client
        .rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', value, value FROM range(0, 5000)")
        .await;
    let error = run.step().await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    let text = error.to_string();
    assert!(text.contains("needs more than state_memory, most of it for Aggregate: groupBy="), "{text}");
    world.client.rows("ALTER PIPELINE p SET (state_memory = '10MB')").await;
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 0, 0)").await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT count(*), sum(n) FROM out").await, ["5000|5010"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_after_it_was_forgotten_is_counted_and_does_no_harm() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (id BIGINT, time TIMESTAMP, k TEXT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)",
        "CREATE TABLE sums (k TEXT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE TABLE most (k TEXT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE PIPELINE p WITH (desired = 'paused', updating_ttl = '1 hour') AS $$ \
         INSERT INTO sums SELECT k, count(*), sum(v) FROM src GROUP BY k; \
         INSERT INTO most SELECT k, max(v) FROM src GROUP BY k $$",
        "INSERT INTO src VALUES (1, TIMESTAMP '2026-01-01 10:00:00', 'a', 1), (2, TIMESTAMP '2026-01-01 10:00:00', 'a', 2)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT * FROM sums").await, ["a|2|3"]);
    world.client.rows("INSERT INTO src VALUES (3, TIMESTAMP '2026-01-01 12:00:00', 'b', 7)").await;
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT * FROM sums").await, ["b|1|7"]);
    assert_eq!(world.client.rows("SELECT * FROM most").await, ["b|7"]);
    // Of each aggregate two rows that it does not know any more.
    world.client.rows("DELETE FROM src WHERE id < 3").await;
    drain(&mut run).await;
    assert_eq!(run.forgotten(), 4);
    world.client.rows("INSERT INTO src VALUES (4, TIMESTAMP '2026-01-01 12:00:00', 'a', 5)").await;
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT * FROM sums ORDER BY k").await, ["a|1|5", "b|1|7"]);
    assert_eq!(world.client.rows("SELECT * FROM most ORDER BY k").await, ["a|5", "b|7"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_a_script_is_computed_once_however_many_read_it() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)",
        "CREATE TABLE big (k BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE TABLE small (k BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)",
        "CREATE PIPELINE p WITH (desired = 'paused', updating_ttl = off) AS $$ \
         CREATE VIEW sums AS SELECT k, sum(v) AS total FROM src GROUP BY k; \
         CREATE VIEW unread AS SELECT v, count(*) AS n FROM src GROUP BY v; \
         INSERT INTO big SELECT k, total FROM sums WHERE total >= 100; \
         INSERT INTO small SELECT k, total FROM sums WHERE total < 100 $$",
        "INSERT INTO src SELECT TIMESTAMP '2026-01-01', value % 10, value FROM range(0, 50)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(run.held().0, 20, "a state and a result of each of ten groups");
    let both = "SELECT count(*), sum(total) FROM (SELECT * FROM big UNION ALL SELECT * FROM small)";
    assert_eq!(world.client.rows(both).await, ["10|1225"]);
    world.stop().await;
}
