//! kill -9 at random moments while pipelines run: their tables are what the same query answers over all rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use cenote_testkit::{number_of, settles};
use tokio::task::JoinSet;

const ROUNDS: u64 = 5;
/// Rows of the counter: it ends after the last kill.
const COUNTED: i64 = 24_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// Materialized views, one by groups and one by the ids of rows.
const VIEWS: [(&str, &str); 2] = [
    ("sums", "SELECT k, count(*) AS n, sum(n) AS total, max(n) AS newest FROM src GROUP BY k"),
    ("even", "SELECT k, n FROM src WHERE n % 2 = 0"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelines_lose_and_repeat_nothing_through_kills_at_random_moments() {
    let rounds = number_of("CENOTE_CRASH_ROUNDS", ROUNDS);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let settings = ["ingest.flush_size=64KiB"];
    #[expect(clippy::disallowed_methods, reason = "the counter begins when the test does")]
    let start = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    let mut seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut written = 0;
    for round in 0..rounds {
        let process = Process::start(&data, &settings);
        let client = process.client();
        if round == 0 {
            create(&client, start).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, stopped) = (client.clone(), stop.clone());
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            let mut next = written;
            while !stopped.load(Ordering::SeqCst) {
                let lines: String =
                    (next..next + 20).map(|n| format!("src,k=k{} n={n}i {}\n", n % 7, n + 1)).collect();
                next += 20;
                if writer.try_write(&lines).await.is_err() {
                    break;
                }
            }
            next
        });
        // The moment of the kill is what this test is about.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(200 + (seed >> 33) % 1_200)).await;
        process.kill();
        stop.store(true, Ordering::SeqCst);
        written = writing.join_next().await.expect("a writer").expect("it ends");
    }
    let process = Process::start(&data, &settings);
    let client = process.client();
    settles("the counter to end", PATIENCE, async || {
        client.sql("SHOW PIPELINE windows").await[0][3] == "finished"
    })
    .await;
    let windows = format!(
        "SELECT arrow_cast(s, 'Timestamp(Microsecond, None)'), count(*), sum(value) FROM (SELECT value, \
         date_bin(INTERVAL '100 milliseconds', to_timestamp_micros({start} + value * 250)::TIMESTAMP) AS s \
         FROM range(0, {COUNTED})) GROUP BY s ORDER BY s"
    );
    assert_eq!(client.sql("SELECT start, n, total FROM counts ORDER BY 1").await, client.sql(&windows).await);

    let rows = client.number("SELECT count(*) FROM src").await;
    assert!(rows > 0, "the writer wrote");
    settles("all rows to be copied", PATIENCE, async || {
        client.number("SELECT count(*) FROM copied").await >= rows
    })
    .await;
    let twice = client.sql("SELECT n, count(*) FROM copied GROUP BY 1 HAVING count(*) <> 1 LIMIT 5").await;
    assert!(twice.is_empty(), "rows more than once: {twice:?}");
    let lost = "SELECT count(*) FROM src LEFT JOIN copied ON src.n = copied.n WHERE copied.n IS NULL";
    assert_eq!(client.number(lost).await, 0);
    for (view, query) in VIEWS {
        client.sql(&format!("REFRESH MATERIALIZED VIEW {view}")).await;
        let rows = async |from: &str| client.sql(&format!("SELECT * FROM {from} ORDER BY 1, 2")).await;
        assert_eq!(rows(view).await, rows(&format!("({query})")).await, "{view}");
    }
    let gaps = "SELECT count(*) FROM (SELECT producer, count(*) AS epochs, max(epoch) AS newest FROM \
                system.catalog.transactions WHERE operation = 'pipeline' GROUP BY 1) WHERE epochs <> newest";
    assert_eq!(client.number(gaps).await, 0, "the ledger has a gap");
    assert!(process.terminate().success(), "a stop in order");
}

async fn create(client: &Client, start: u128) {
    client.write("src,k=k0 n=-1i 0").await;
    for sql in [
        "CREATE TABLE counts (start TIMESTAMP, n BIGINT, total BIGINT)".to_owned(),
        "CREATE TABLE copied (k VARCHAR, n BIGINT)".to_owned(),
        format!(
            "CREATE PIPELINE windows AS $$
             CREATE TABLE counter WITH (connector = 'impulse', event_rate = 4000, message_count = {COUNTED}, start_time = {start});
             INSERT INTO counts SELECT w.start, n, total FROM (
               SELECT tumble(INTERVAL '100 milliseconds') AS w, count(*) AS n, sum(counter) AS total FROM counter GROUP BY 1) $$"
        ),
        "CREATE PIPELINE copy AS INSERT INTO copied SELECT k, n FROM src".to_owned(),
    ] {
        client.sql(&sql).await;
    }
    for (view, query) in VIEWS {
        client.sql(&format!("CREATE MATERIALIZED VIEW {view} AS {query}")).await;
    }
}
