//! Windows of which each row is in thousands.

use cenote_testkit::number_of;

use crate::world::{World, drain, epochs_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_late_for_some_of_its_windows_counts_in_the_others() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (second BIGINT, n BIGINT)").await;
    let script = "INSERT INTO out SELECT date_part('epoch', w.start)::BIGINT - 1767225600, n FROM (
                    SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS w, count(*) AS n FROM src GROUP BY 1)";
    world
        .client
        .rows(&format!("CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '0') AS {script}"))
        .await;
    let mut run = world.open("p", epochs_of(10)).await.expect("opens");
    for (second, partly_late, late) in
        [(35, 0, 0), (25, 1, 0), (36, 1, 0), (3, 1, 1), (19, 2, 1), (200, 2, 1)]
    {
        let at = format!("TIMESTAMP '2026-01-01' + INTERVAL '{second} seconds'");
        world.client.rows(&format!("INSERT INTO src VALUES ({at}, 1)")).await;
        drain(&mut run).await;
        assert_eq!((run.partly_late(), run.counts().2), (partly_late, late), "after second {second}");
    }
    // 25 is in [10, 40) and [20, 50), 19 in [10, 40); what ended before is as it was.
    assert_eq!(world.client.rows("SELECT second, n FROM out ORDER BY 1").await, ["10|4", "20|3", "30|2"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_an_hour_that_begin_each_second_are_the_batch_answer() {
    let keys = number_of("CENOTE_HOP_KEYS", 20);
    // Twenty of each key, a row each 50 ms: the last ends everything.
    let (rows, seconds) = (keys * 20, keys);
    let world = World::new().await;
    world
        .client
        .rows("CREATE TABLE out (second BIGINT, k BIGINT, n BIGINT, total BIGINT, least BIGINT)")
        .await;
    let script = format!(
        "CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '50 milliseconds', message_count = {rows}, start_time = 1767225600000000);
         INSERT INTO out SELECT date_part('epoch', w.start)::BIGINT - 1767225600, k, n, total, least FROM (
           SELECT hop(INTERVAL '1 second', INTERVAL '1 hour') AS w, counter % {keys} AS k, count(*) AS n, sum(counter) AS total, min(counter) AS least
           FROM i GROUP BY 1, 2)"
    );
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
    drain(&mut world.open("p", epochs_of(rows as usize / 6)).await.expect("opens")).await;
    let batch = format!(
        "SELECT s.value AS second, e.value % {keys} AS k, count(*) AS n, sum(e.value) AS total, min(e.value) AS least \
         FROM range(0, {rows}) e JOIN range(-3599, {seconds}) s ON e.value / 20 >= s.value AND e.value / 20 < s.value + 3600 GROUP BY 1, 2"
    );
    let got = world.client.digest("SELECT second, k, n, total, least FROM out").await;
    assert_eq!(got, world.client.digest(&batch).await);
    assert!(got.0 >= keys * 3600, "{} rows", got.0);
    world.stop().await;
}
