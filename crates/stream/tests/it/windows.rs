//! Windows of which each row is in thousands.

use crate::world::{World, drain, epochs_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_an_hour_that_begin_each_second_are_the_batch_answer() {
    const ROWS: u32 = 400;
    let world = World::new().await;
    world
        .client
        .rows("CREATE TABLE out (second BIGINT, k BIGINT, n BIGINT, total BIGINT, least BIGINT)")
        .await;
    // A row each 50 ms, the last of which ends everything.
    let script = format!(
        "CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '50 milliseconds', message_count = {ROWS}, start_time = 1767225600000000);
         INSERT INTO out SELECT date_part('epoch', w.start)::BIGINT - 1767225600, k, n, total, least FROM (
           SELECT hop(INTERVAL '1 second', INTERVAL '1 hour') AS w, counter % 20 AS k, count(*) AS n, sum(counter) AS total, min(counter) AS least
           FROM i GROUP BY 1, 2)"
    );
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
    drain(&mut world.open("p", epochs_of(70)).await.expect("opens")).await;
    let batch = format!(
        "SELECT s.value AS second, e.value % 20 AS k, count(*) AS n, sum(e.value) AS total, min(e.value) AS least \
         FROM range(0, {ROWS}) e JOIN range(-3599, 20) s ON e.value / 20 >= s.value AND e.value / 20 < s.value + 3600 GROUP BY 1, 2"
    );
    let rows = "SELECT second, k, n, total, least FROM out".to_owned();
    for (one, other) in [(&rows, &batch), (&batch, &rows)] {
        let differ = format!("SELECT count(*) FROM (({one}) EXCEPT ALL ({other}))");
        assert_eq!(world.client.rows(&differ).await, ["0"]);
    }
    assert_eq!(world.client.rows("SELECT count(*) FROM out").await, [(20 * (3600 + 19)).to_string()]);
    world.stop().await;
}
