//! kill -9 at random moments while pipelines read a topic: the lake has each row once, another topic at least once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cenote_testkit::client::Client;
use cenote_testkit::kafka::{Cluster, Record};
use cenote_testkit::process::Process;
use cenote_testkit::{number_of, settles};

const ROUNDS: u64 = 4;
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a window, ms.
const WINDOW: i64 = 100;

fn value(n: i64) -> String {
    format!("{{\"n\":{n},\"ms\":{n}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn topics_lose_nothing_and_the_lake_repeats_nothing_through_kills_at_random_moments() {
    let rounds = number_of("CENOTE_CRASH_ROUNDS", ROUNDS);
    let cluster = Cluster::start();
    cluster.topic("events", PARTITIONS);
    cluster.topic("copies", PARTITIONS);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let allowed = format!("security.allowed_urls=kafka://{}", cluster.servers());
    let settings = [allowed.as_str()];
    let mut seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut written: i64 = 0;
    for round in 0..rounds {
        let process = Process::start(&data, &settings);
        if round == 0 {
            create(&process.client(), &cluster.servers()).await;
        }
        // The moment of the kill is what this test is about.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = Instant::now() + Duration::from_millis(300 + (seed >> 33) % 1_200);
        while Instant::now() < end {
            for partition in 0..PARTITIONS {
                let from = written + i64::from(partition) * 5;
                cluster.produce("events", partition, (from..from + 5).map(value));
            }
            written += i64::from(PARTITIONS) * 5;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.kill();
    }
    // Every window of what was written is over.
    let last = (written / WINDOW + 2) * WINDOW;
    for partition in 0..PARTITIONS {
        cluster.produce("events", partition, [value(last)]);
    }
    let process = Process::start(&data, &settings);
    let client = process.client();
    settles("all windows", PATIENCE, async || {
        client.number("SELECT coalesce(sum(n), 0) FROM counts").await >= written
    })
    .await;
    let expected = format!(
        "SELECT n / {WINDOW} AS w, count(*), sum(n) FROM (SELECT value AS n FROM range(0, {written})) GROUP BY 1 ORDER BY 1"
    );
    let counts = format!("SELECT start_ms / {WINDOW}, n, total FROM counts ORDER BY 1");
    assert_eq!(client.sql(&counts).await, client.sql(&expected).await);
    let gaps = "SELECT count(*) FROM (SELECT producer, count(*) AS epochs, max(epoch) AS newest FROM \
                system.catalog.transactions WHERE operation = 'pipeline' GROUP BY 1) WHERE epochs <> newest";
    assert_eq!(client.number(gaps).await, 0, "the ledger has a gap");
    settles("all copies", PATIENCE, async || {
        let sent: BTreeSet<String> = cluster.records("copies").iter().map(Record::text).collect();
        (0..written).all(|n| sent.contains(&format!("{{\"n\":{n}}}")))
    })
    .await;
    assert!(process.terminate().success(), "a stop in order");
    // Copies of a row, in the order of their partition: all but the last are of epochs that a kill cut off.
    let mut copies: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in cluster.records("copies") {
        let epoch = record.epoch.as_deref().and_then(|epoch| epoch.parse().ok()).expect("an epoch");
        copies.entry(record.text()).or_default().push(epoch);
    }
    let cut_off: BTreeSet<i64> = copies
        .into_values()
        .flat_map(|mut epochs| {
            epochs.sort_unstable();
            epochs.pop();
            epochs
        })
        .collect();
    assert!(cut_off.len() as u64 <= rounds, "rows of more epochs than kills are repeated: {cut_off:?}");
}

async fn create(client: &Client, servers: &str) {
    let topic = |name: &str, topic: &str, columns: &str, more: &str| {
        format!(
            "CREATE TABLE {name} ({columns}) WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = '{topic}', \
             format = 'json', {more});"
        )
    };
    let events = "n BIGINT, ms BIGINT, at TIMESTAMP GENERATED ALWAYS AS (to_timestamp_micros(ms * 1000)::TIMESTAMP) STORED, \
                  WATERMARK FOR at";
    let source = "type = 'source', source.offset = 'earliest'";
    for sql in [
        "CREATE TABLE counts (start_ms BIGINT, n BIGINT, total BIGINT)".to_owned(),
        format!(
            "CREATE PIPELINE windows AS $$ {} INSERT INTO counts
             SELECT lowest - lowest % {WINDOW}, n, total FROM (
               SELECT tumble(INTERVAL '{WINDOW} milliseconds') AS w, min(n) AS lowest, count(*) AS n, sum(n) AS total
               FROM events GROUP BY 1) $$",
            topic("events", "events", events, source)
        ),
        format!(
            "CREATE PIPELINE copy AS $$ {} {} INSERT INTO copies SELECT n FROM events $$",
            topic("events", "events", "n BIGINT", source),
            topic("copies", "copies", "n BIGINT", "type = 'sink'"),
        ),
    ] {
        client.sql(&sql).await;
    }
}
