//! Topics: read once into the lake through crashes, written at least once, and the event time of their partitions.

#[cfg(feature = "failpoints")]
use std::collections::BTreeMap;
use std::time::Duration;

use cenote_stream::{Limits, Run};
use cenote_testkit::kafka::{Cluster, Registry};
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::{Clock, ErrorKind, Fault, Micros};

#[cfg(feature = "failpoints")]
use crate::world::{LAST_STEP, STEPS};
use crate::world::{World, epochs_of};

/// A row of second `second`.
fn row(id: i64, second: i64) -> String {
    format!(
        "{{\"id\":{id},\"at\":\"2026-01-01T{:02}:{:02}:{:02}\"}}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn source(cluster: &Cluster, columns: &str, more: &str) -> String {
    format!(
        "CREATE TABLE src ({columns}) WITH (connector = 'kafka', bootstrap_servers = '{}', topic = 't', type = 'source', \
         format = 'json', source.offset = 'earliest' {more});",
        cluster.servers()
    )
}

const WINDOWS: &str = "INSERT INTO counts SELECT w.start, n, total FROM (SELECT tumble(INTERVAL '10 seconds') AS w, \
                       count(*) AS n, sum(id) AS total FROM src GROUP BY 1)";
const EVENTS: &str = "id BIGINT, at TIMESTAMP, WATERMARK FOR at";

async fn create(world: &World, options: &str, script: &str) {
    let sql = format!("CREATE PIPELINE p WITH (desired = 'paused' {options}) AS $$ {script} $$");
    world.client.rows(&sql).await;
}

async fn windows(world: &World, options: &str, cluster: &Cluster) {
    world.client.rows("CREATE TABLE counts (start TIMESTAMP, n BIGINT, total BIGINT)").await;
    create(world, options, &format!("{} {WINDOWS}", source(cluster, EVENTS, ""))).await;
}

/// Runs epochs until a query answers so.
async fn until(world: &World, run: &mut Run, query: &str, expected: &[&str]) {
    settles(query, PATIENCE, async || {
        run.step().await.expect("an epoch");
        world.client.rows(query).await == expected
    })
    .await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_over_a_topic_are_right_through_a_crash_at_every_step() {
    let _alone = fail::FailScenario::setup();
    let cluster = Cluster::start();
    cluster.topic("t", 3);
    for partition in 0..3 {
        let ids = (0..120).filter(|id| id % 3 == i64::from(partition));
        cluster.produce("t", partition, ids.map(|id| row(id, id)).chain([row(0, 7200)]));
    }
    let world = World::new().await;
    windows(&world, "", &cluster).await;
    let mut run = world.open("p", epochs_of(25)).await.expect("opens");
    // Each epoch crashes at every step, and behind the commit in one of two ways.
    let steps: Vec<&str> =
        STEPS.into_iter().chain(STEPS[..STEPS.len() - 1].iter().copied()).chain(LAST_STEP).collect();
    let mut crashes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = steps.iter().cycle();
    let mut step = *next.next().expect("a step");
    settles("all windows", PATIENCE * 6, async || {
        fail::cfg(step, "return").expect("a crash point");
        let outcome = run.step().await;
        fail::remove(step);
        if let Err(error) = outcome {
            assert_eq!(error.to_string(), format!("fail point {step}"));
            *crashes.entry(step).or_default() += 1;
            step = next.next().expect("a step");
            run = world.open("p", epochs_of(25)).await.expect("opens again");
        }
        world.client.rows("SELECT count(*) FROM counts").await == ["12"]
    })
    .await;
    assert_eq!(crashes.len(), STEPS.len() + LAST_STEP.len(), "{crashes:?}");
    let expected: Vec<String> = (0..12)
        .map(|w| {
            let (start, total) = (w * 10, (w * 10..w * 10 + 10).sum::<i64>());
            format!("2026-01-01T00:{:02}:{:02}|10|{total}", start / 60, start % 60)
        })
        .collect();
    assert_eq!(world.client.rows("SELECT * FROM counts ORDER BY 1").await, expected);
    world.stop().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_has_each_row_at_least_once_and_repeats_with_their_epoch() {
    let _alone = fail::FailScenario::setup();
    let cluster = Cluster::start();
    cluster.topic("out", 1);
    let world = World::new().await;
    let script = format!(
        "CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '1 second', message_count = 45, \
         start_time = 1767225600000000); \
         CREATE TABLE out (n BIGINT, k TEXT) WITH (connector = 'kafka', bootstrap_servers = '{}', topic = 'out', type = 'sink', \
         format = 'json', sink.key_field = 'k'); \
         INSERT INTO out SELECT counter, 'k' || counter % 2 FROM i",
        cluster.servers()
    );
    create(&world, "", &script).await;
    let mut run = world.open("p", epochs_of(10)).await.expect("opens");
    let crashes = world.crash_at(&mut run, epochs_of(10), &STEPS).await;
    assert!(crashes >= 4 * STEPS.len(), "{crashes}");
    let mut copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in cluster.records("out") {
        copies.entry(record.text()).or_default().push(record.epoch.expect("a header"));
    }
    let rows: Vec<String> = (0..45).map(|n| format!("{{\"n\":{n},\"k\":\"k{}\"}}", n % 2)).collect();
    assert!(rows.iter().all(|row| copies.contains_key(row)) && copies.len() == 45, "{copies:?}");
    assert!(copies.values().any(|epochs| epochs.len() > 1), "a crash after sending repeats");
    for (row, epochs) in copies {
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{row} in epochs {epochs:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_message_fails_the_pipeline_is_counted_or_kept_once() {
    #[cfg(feature = "failpoints")]
    let _alone = fail::FailScenario::setup();
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce("t", 1, [row(1, 1), "{\"id\": \"x\"}".to_owned(), row(3, 3)]);
    let world = World::new().await;
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    let script = format!("{} INSERT INTO got SELECT id FROM src", source(&cluster, "id BIGINT", ""));
    create(&world, "", &script).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    let mut failure = None;
    settles("the failure", PATIENCE, async || {
        failure = run.step().await.err();
        failure.is_some()
    })
    .await;
    let error = failure.expect("a failure");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.starts_with("source src: partition 1, offset 1: ") && text.contains("'id'"), "{text}");
    assert_eq!(world.client.rows("SELECT count(*) FROM got").await, ["0"]);
    world.client.rows("DROP PIPELINE p").await;

    create(&world, ", bad_data = 'drop'", &script).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    until(&world, &mut run, "SELECT id FROM got ORDER BY id", &["1", "3"]).await;
    assert_eq!(run.bad(), 1);
    world.client.rows("DROP PIPELINE p").await;
    world.client.rows("DELETE FROM got").await;

    create(&world, ", bad_data = 'table'", &script).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    #[cfg(feature = "failpoints")]
    for step in ["epoch.cut", "epoch.stage"] {
        fail::cfg(step, "return").expect("a crash point");
        settles("the crash point", PATIENCE, async || run.step().await.is_err()).await;
        fail::remove(step);
        run = world.open("p", Limits::default()).await.expect("opens again");
    }
    until(&world, &mut run, "SELECT id FROM got ORDER BY id", &["1", "3"]).await;
    let kept = "SELECT source, partition, \"offset\", raw FROM p_bad";
    assert_eq!(world.client.rows(kept).await, ["src|1|1|{\"id\": \"x\"}"]);
    world.stop().await;
}

const ALL: &str = "SELECT start, n FROM counts ORDER BY 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_far_ahead_moves_nobody_elses_time() {
    let cluster = Cluster::start();
    cluster.topic("t", 4);
    for partition in 0..4 {
        cluster.produce("t", partition, (0..20).map(|second| row(1, second)));
    }
    cluster.produce("t", 3, ["{\"id\":1,\"at\":\"2099-01-01T00:00:00\"}".to_owned()]);
    let world = World::new().await;
    windows(&world, "", &cluster).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    until(&world, &mut run, ALL, &["2026-01-01T00:00:00|40"]).await;
    for partition in 0..3 {
        cluster.produce("t", partition, [row(1, 19), row(1, 25)]);
    }
    until(&world, &mut run, ALL, &["2026-01-01T00:00:00|40", "2026-01-01T00:00:10|43"]).await;
    assert_eq!(run.counts().2, 0, "no row is late");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_partition_lets_go_when_it_is_idle() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce("t", 0, (0..25).map(|second| row(1, second)));
    let world = World::new().await;
    windows(&world, ", idle_timeout = '0'", &cluster).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    settles("the rows", PATIENCE, async || {
        run.step().await.expect("an epoch");
        run.counts().0 == 25
    })
    .await;
    assert_eq!(run.watermark(), i64::MIN, "partition 1 may still bring older rows");
    world.client.rows("ALTER PIPELINE p SET (idle_timeout = '300 milliseconds')").await;
    let mut run = world.open("p", Limits::default()).await.expect("opens again");
    let expected = ["2026-01-01T00:00:00|10", "2026-01-01T00:00:10|10"];
    settles("the windows", PATIENCE, async || {
        // were all silent, nobody would know better
        cluster.produce("t", 0, [row(1, 24)]);
        run.step().await.expect("an epoch");
        world.client.rows(ALL).await == expected
    })
    .await;
    // it comes back, too late
    cluster.produce("t", 1, [row(1, 3), row(1, 22)]);
    settles("the late row", PATIENCE, async || {
        run.step().await.expect("an epoch");
        run.counts().2 == 1
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_an_hour_makes_no_partition_idle() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce("t", 0, (0..25).map(|second| row(1, second)));
    cluster.produce("t", 1, [row(1, 1)]);
    let clock = Clock::manual(Micros(1_767_225_600_000_000));
    let world = World::with_clock(clock.clone()).await;
    windows(&world, ", idle_timeout = '5 minutes'", &cluster).await;
    let read = async |run: &mut Run, rows: u64| {
        settles("the rows", PATIENCE, async || {
            run.step().await.expect("an epoch");
            run.counts().0 == rows
        })
        .await;
    };
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    read(&mut run, 26).await;
    let held = run.watermark();
    assert_eq!(held, 1_767_225_601_000_000, "by partition 1");
    drop(run);
    clock.advance(Duration::from_secs(3600));
    let catalog = &world.node.lake.catalog;
    catalog.take_active(Duration::from_secs(7200)).await.expect("a lease").expect("nobody else has it");
    let mut run = world.open("p", Limits::default()).await.expect("opens after an hour");
    cluster.produce("t", 0, [row(1, 30)]);
    read(&mut run, 27).await;
    assert_eq!(run.watermark(), held, "it is waited for from the start on");
    assert!(world.client.rows(ALL).await.is_empty());
    clock.advance(Duration::from_secs(299));
    cluster.produce("t", 0, [row(1, 31)]);
    read(&mut run, 28).await;
    assert_eq!(run.watermark(), held, "not silent for long enough");
    clock.advance(Duration::from_secs(1));
    cluster.produce("t", 0, [row(1, 32)]);
    read(&mut run, 29).await;
    let expected = ["2026-01-01T00:00:00|11", "2026-01-01T00:00:10|10", "2026-01-01T00:00:20|5"];
    assert_eq!(world.client.rows(ALL).await, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_at_the_end_is_in_a_commit_before_any_row_comes() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.produce("t", 0, [row(1, 1)]);
    let world = World::new().await;
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    let script = format!("{} INSERT INTO got SELECT id FROM src", source(&cluster, "id BIGINT", ""));
    create(&world, "", &script.replace("earliest", "latest")).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    run.step().await.expect("begins");
    drop(run);
    cluster.produce("t", 0, [row(2, 2), row(3, 3)]);
    let mut run = world.open("p", Limits::default()).await.expect("opens again");
    until(&world, &mut run, "SELECT id FROM got ORDER BY id", &["2", "3"]).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_registered_when_the_pipeline_is_made_and_a_refusal_is_its_answer() {
    let cluster = Cluster::start();
    cluster.topic("out", 1);
    let registry = Registry::start();
    let world = World::new().await;
    let script = format!(
        "CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '1 second', message_count = 3, \
         start_time = 1767225600000000); \
         CREATE TABLE out WITH (connector = 'kafka', bootstrap_servers = '{}', topic = 'out', type = 'sink', format = 'avro', \
         avro.confluent_schema_registry = true, schema_registry.endpoint = '{}'); \
         INSERT INTO out SELECT counter AS n, 'a' AS k FROM i",
        cluster.servers(),
        registry.url
    );
    create(&world, "", &script).await;
    let schemas = registry.schemas();
    assert_eq!(schemas.len(), 1, "{schemas:?}");
    assert!(schemas[0].2.contains("\"n\"") && schemas[0].2.contains("\"k\""), "{schemas:?}");
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    crate::world::drain(&mut run).await;
    assert_eq!((cluster.records("out").len(), registry.schemas().len()), (3, 1));
    // and read back
    world.client.rows("CREATE TABLE back (k TEXT, n INT)").await;
    world.client.rows("DROP PIPELINE p").await;
    let reading = format!(
        "CREATE TABLE src (k TEXT, n INT) WITH (connector = 'kafka', bootstrap_servers = '{}', topic = 'out', type = 'source', \
         source.offset = 'earliest', format = 'avro', avro.confluent_schema_registry = true, schema_registry.endpoint = '{}'); \
         INSERT INTO back SELECT k, n FROM src",
        cluster.servers(),
        registry.url
    );
    create(&world, "", &reading).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    until(&world, &mut run, "SELECT k, n FROM back ORDER BY n", &["a|0", "a|1", "a|2"]).await;
    registry.refuse();
    let refused = script.replace("AS n", "AS m");
    let sql = format!("CREATE PIPELINE q WITH (desired = 'paused') AS $$ {refused} $$");
    let error = world.client.error(&sql).await;
    assert!(error.to_string().contains("409 Conflict"), "{error}");
    let none = world.client.rows("SELECT count(*) FROM system.stream.pipelines WHERE name = 'q'").await;
    assert_eq!(none, ["0"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_wakes_when_the_first_of_its_partitions_is_idle() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    let world = World::new().await;
    world.client.rows("CREATE TABLE counts (start TIMESTAMP, n BIGINT, total BIGINT)").await;
    let patient = source(&cluster, EVENTS, ", idle_micros = 2000000");
    create(&world, "", &format!("{patient} {WINDOWS}")).await;
    world.client.rows("RESUME PIPELINE p").await;
    let started = "SELECT count(committed) FROM system.stream.sources";
    settles("the start", PATIENCE, async || world.client.rows(started).await == ["1"]).await;
    cluster.produce("t", 0, (0..25).map(|second| row(1, second)));
    // the other partition is silent for longer, by a little
    let expected = ["2026-01-01T00:00:00|10", "2026-01-01T00:00:10|10"];
    settles("the windows", PATIENCE, async || world.client.rows(ALL).await == expected).await;
    world.stop().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_are_kept_once_and_are_all_that_is_not_counted_through_crashes() {
    let _alone = fail::FailScenario::setup();
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    // Out of order, within what is waited for: partition 1 is silent.
    cluster.produce("t", 0, [3, 1, 2, 0, 14, 12, 25, 24].map(|second| row(second, second)));
    let world = World::new().await;
    world.client.rows("CREATE TABLE counts (start TIMESTAMP, n BIGINT, total BIGINT)").await;
    let columns = "id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '3 seconds'";
    let script = format!("{} {WINDOWS}", source(&cluster, columns, ""));
    create(&world, ", idle_timeout = '300 milliseconds', late_rows = 'late'", &script).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    let mut produced = 8;
    settles("the windows", PATIENCE, async || {
        // were all silent, nobody would know better
        cluster.produce("t", 0, [row(24, 24)]);
        produced += 1;
        run.step().await.expect("an epoch");
        world.client.rows("SELECT start, n FROM counts ORDER BY 1").await
            == ["2026-01-01T00:00:00|4", "2026-01-01T00:00:10|2"]
    })
    .await;
    // It comes back: two rows of windows that are closed, one that is not.
    cluster.produce("t", 1, [row(105, 5), row(119, 19), row(123, 23)]);
    cluster.produce("t", 0, [row(107, 7)]);
    let steps = ["epoch.cut", "epoch.run", "epoch.stage", "epoch.commit", "epoch.finish"];
    let mut crashes = 0;
    let kept = "SELECT row FROM late ORDER BY row";
    for (end, rows, windows) in [(false, produced + 4, "2"), (true, produced + 6, "3")] {
        if end {
            for partition in 0..2 {
                cluster.produce("t", partition, [row(1000, 3600)]);
            }
        }
        settles("the rows", PATIENCE, async || {
            let step = steps[crashes % steps.len()];
            fail::cfg(step, "return").expect("a crash point");
            let outcome = run.step().await;
            fail::remove(step);
            if outcome.is_err() {
                crashes += 1;
                run = world.open("p", epochs_of(2)).await.expect("opens again");
            }
            run.counts().0 == rows && world.client.rows("SELECT count(*) FROM counts").await == [windows]
        })
        .await;
    }
    assert!(crashes >= steps.len(), "{crashes}");
    let late = [(105, 5), (107, 7), (119, 19)]
        .map(|(id, second)| format!("{{\"id\":{id},\"at\":\"2026-01-01T00:00:{second:02}\"}}"));
    assert_eq!(world.client.rows(kept).await, late);
    let (input, _, counted_late) = run.counts();
    assert_eq!(counted_late, 3, "the metric");
    let counted = world.client.rows("SELECT sum(n) FROM counts").await;
    // The two rows that ended everything are in a window that is open.
    assert_eq!(counted, [(input - 2 - 3).to_string()]);
    world.stop().await;
}
