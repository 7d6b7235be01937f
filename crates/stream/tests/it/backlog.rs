//! A pipeline that begins behind many rows, beside one run over all of them: the same plan in one epoch.

use std::time::{Duration, Instant};

use cenote_stream::Limits;
use cenote_testkit::number_of;

use crate::world::{World, drain, epochs_of};

/// Rows of one INSERT.
const PART: u64 = 5_000_000;
/// The speed of a run of many rows, less than which it lags: measured with `make scale`.
const SHARE_MIN: f64 = 0.8;
const MEASURED_ROWS: u64 = 10_000_000;

/// Runs the plan over all rows; answers how long it took.
async fn run_all(world: &World, name: &str, limits: Limits) -> (Duration, usize) {
    world
        .client
        .rows(&format!("CREATE TABLE {name}_out (start TIMESTAMP, k BIGINT, n BIGINT, total BIGINT)"))
        .await;
    let sql = format!(
        "CREATE PIPELINE {name} WITH (desired = 'paused') AS INSERT INTO {name}_out SELECT w.start, k, n, total FROM (
           SELECT tumble(INTERVAL '10 seconds') AS w, k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1, 2)"
    );
    world.client.rows(&sql).await;
    let mut run = world.open(name, limits).await.expect("opens");
    let began = Instant::now();
    let epochs = drain(&mut run).await;
    (began.elapsed(), epochs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_drained_about_as_fast_as_one_run_over_it() {
    let rows = number_of("CENOTE_BACKLOG_ROWS", 60_000);
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)").await;
    for first in (0..rows).step_by(PART as usize) {
        let last = rows.min(first + PART);
        let sql = format!(
            "INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 millisecond', value % 1000, value FROM range({first}, {last})"
        );
        world.client.rows(&sql).await;
    }
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2027-01-01', -1, 0)").await;
    let epoch_rows = if rows < MEASURED_ROWS { 10_000 } else { Limits::default().epoch_rows };
    let (bounded, one) = run_all(&world, "bounded", epochs_of(usize::MAX)).await;
    let (drained, many) = run_all(&world, "drained", epochs_of(epoch_rows)).await;
    assert!(one <= 2 && many > 5, "{one} and {many} epochs");
    let digest = async |name: &str| world.client.digest(&format!("SELECT * FROM {name}_out")).await;
    let batch = "SELECT date_bin(INTERVAL '10 seconds', time) AS start, k, count(*) AS n, sum(v) AS total FROM src WHERE k >= 0 GROUP BY 1, 2";
    let expected = world.client.digest(batch).await;
    assert_eq!((digest("bounded").await, digest("drained").await), (expected, expected));
    let share = bounded.as_secs_f64() / drained.as_secs_f64();
    let speed = rows as f64 / drained.as_secs_f64();
    assert!(rows < MEASURED_ROWS || share >= SHARE_MIN, "{speed:.0} rows/s in epochs, {share:.2} of one run");
    world.stop().await;
}
