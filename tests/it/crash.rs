//! kill -9 at random moments under load: every acknowledged row is there exactly once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::number_of;
use cenote_testkit::process::Process;
use tokio::task::JoinSet;

const WRITERS: usize = 4;
const ROUNDS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_rows_are_there_exactly_once_after_kills_at_random_moments() {
    let rounds = number_of("CENOTE_CRASH_ROUNDS", ROUNDS);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    // Small segments and flushes, so that a kill meets every step of the journey.
    let settings = ["wal.segment_size=256KiB", "ingest.flush_size=64KiB"];
    let acknowledged: Arc<Vec<AtomicI64>> = Arc::new((0..WRITERS).map(|_| AtomicI64::new(0)).collect());
    let attempted: Arc<Vec<AtomicI64>> = Arc::new((0..WRITERS).map(|_| AtomicI64::new(0)).collect());
    let mut random = Random(std::process::id().into());
    // The seed repeats the moments.
    eprintln!("seed {}", random.0);
    for round in 0..rounds {
        let process = Process::start(&data, &settings);
        let client = process.client();
        verify(&client, &acknowledged, &attempted, round).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (client, acknowledged, attempted, stop) =
                (client.clone(), acknowledged.clone(), attempted.clone(), stop.clone());
            tasks.spawn(async move { write(client, writer, &acknowledged, &attempted, &stop).await });
        }
        let (mover, mover_stop) = (client.clone(), stop.clone());
        tasks.spawn(async move {
            while !mover_stop.load(Ordering::SeqCst) {
                for sql in ["FLUSH ALL", "OPTIMIZE TABLE crash FULL"] {
                    // The node may be gone in the middle: that is the test.
                    drop(mover.try_sql(sql).await);
                }
            }
        });
        // The moment of the kill is what this test is about.
        tokio::time::sleep(Duration::from_millis(50 + random.next() % 1500)).await;
        process.kill();
        stop.store(true, Ordering::SeqCst);
        while tasks.join_next().await.is_some() {}
    }
    let process = Process::start(&data, &settings);
    verify(&process.client(), &acknowledged, &attempted, rounds).await;
    assert!(acknowledged.iter().any(|count| count.load(Ordering::SeqCst) > 0), "the writers wrote");
    assert!(process.terminate().success(), "a stop in order");
}

/// Writes rows n = 1, 2, … of its own tag; several rows a request, so that a request must be seen whole.
async fn write(
    client: Client,
    writer: usize,
    acknowledged: &[AtomicI64],
    attempted: &[AtomicI64],
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::SeqCst) {
        let first = attempted[writer].load(Ordering::SeqCst) + 1;
        let last = first + 9;
        let lines: String =
            (first..=last).map(|n| format!("crash,writer=w{writer} n={n}i,pad=\"{n:0>64}\" {n}\n")).collect();
        attempted[writer].store(last, Ordering::SeqCst);
        match client.try_write(&lines).await {
            Ok(answer) if answer.status == 204 => {
                // Numbers up to `last` of this writer, less the batches that failed before: remember the batch.
                acknowledged[writer].fetch_add(10, Ordering::SeqCst);
                ACKNOWLEDGED.lock().expect("not poisoned").entry(writer).or_default().push(first);
            }
            Ok(answer) => assert!(answer.status >= 500, "{}", answer.text),
            Err(_) => return,
        }
    }
}

/// First numbers of the acknowledged batches, by writer.
static ACKNOWLEDGED: std::sync::LazyLock<std::sync::Mutex<HashMap<usize, Vec<i64>>>> =
    std::sync::LazyLock::new(std::sync::Mutex::default);

async fn verify(client: &Client, acknowledged: &[AtomicI64], attempted: &[AtomicI64], round: u64) {
    if attempted.iter().all(|count| count.load(Ordering::SeqCst) == 0) {
        return;
    }
    let answer = client.try_sql("SELECT count(*) FROM crash").await.expect("an answer");
    if answer.status == 404 && acknowledged.iter().all(|count| count.load(Ordering::SeqCst) == 0) {
        return;
    }
    let twice = client
        .sql("SELECT writer, n, count(*) FROM crash GROUP BY writer, n HAVING count(*) <> 1 ORDER BY 1, 2 LIMIT 5")
        .await;
    assert!(twice.is_empty(), "round {round}: rows more than once: {twice:?}");
    for (writer, attempted) in attempted.iter().enumerate() {
        let batches = client
            .sql(&format!(
                "SELECT (n - 1) / 10 * 10 + 1 AS first, count(*) FROM crash WHERE writer = 'w{writer}' GROUP BY 1 ORDER BY 1"
            ))
            .await;
        let found: HashMap<i64, i64> = batches
            .iter()
            .map(|row| (row[0].as_i64().expect("a number"), row[1].as_i64().expect("a number")))
            .collect();
        assert!(found.values().all(|count| *count == 10), "round {round}: a request was seen in part");
        let known = ACKNOWLEDGED.lock().expect("not poisoned").get(&writer).cloned().unwrap_or_default();
        let lost: Vec<&i64> = known.iter().filter(|first| !found.contains_key(first)).collect();
        assert!(lost.is_empty(), "round {round}: writer {writer} lost acknowledged batches {lost:?}");
        let highest = attempted.load(Ordering::SeqCst);
        assert!(found.keys().all(|first| *first <= highest), "round {round}: rows that were never sent");
    }
}

struct Random(u64);

impl Random {
    /// xorshift64*
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Files of local uploads that were not yet given their name.
fn cut_off(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let find = |path: PathBuf| match path.file_name().and_then(|name| name.to_str()) {
        _ if path.is_dir() => cut_off(&path),
        Some(name) if name.contains('#') => vec![path],
        _ => Vec::new(),
    };
    entries.flat_map(|entry| find(entry.expect("an entry").path())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_in_the_middle_of_an_upload_leaves_is_collected() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let lake = data.join("lake");
    let settings = [
        "table.orphan_grace=0s",
        "compaction.enabled=false",
        "ingest.flush_size=1GiB",
        "ingest.flush_age=24h",
    ];
    let mut random = Random(7);
    let mut process = Process::start(&data, &settings);
    let mut rows = 0;
    while cut_off(&lake).is_empty() {
        assert!(rows < 4_000, "no kill met an upload");
        let client = process.client();
        // 8 MiB that do not become less
        for row in rows..rows + 200 {
            let pad: String = (0..2_600).map(|_| format!("{:016x}", random.next())).collect();
            client.write(&format!("big n={row}i,pad=\"{pad}\" {row}\n")).await;
        }
        rows += 200;
        let mut flush = JoinSet::new();
        flush.spawn(async move { drop(client.try_sql("FLUSH big").await) });
        while cut_off(&lake).is_empty() && flush.try_join_next().is_none() {
            tokio::task::yield_now().await;
        }
        process.kill();
        flush.join_all().await;
        process = Process::start(&data, &settings);
    }
    let client = process.client();
    let planned = client.sql("VACUUM big ORPHANS DRY RUN").await;
    for path in cut_off(&lake) {
        assert!(
            planned.iter().any(|row| path.ends_with(row[0].as_str().expect("a path"))),
            "{path:?} in {planned:?}"
        );
    }
    assert_eq!(client.sql("VACUUM big ORPHANS").await, planned, "dry run = run");
    assert_eq!(cut_off(&lake), Vec::<PathBuf>::new());
    client.sql("FLUSH big").await;
    assert_eq!(client.number("SELECT count(DISTINCT n) FROM big").await, rows);
    assert_eq!(client.number("SELECT count(*) FROM big").await, rows);
}
