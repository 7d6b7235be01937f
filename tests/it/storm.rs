//! Appends, deletes, updates, upserts, MERGE, merges of files and changes of columns at once, with kill -9 in between: what was
//! acknowledged is there, what was deleted is gone, no append meets a conflict, each kind gets something done, VERIFY finds nothing, and
//! collection leaves no file that no row names.
//!
//! Small in every run. `CENOTE_STORM_SECONDS=60 CENOTE_STORM_SCALE=4` is 64 appenders, 4 of each kind of change, 4 mergers of files and
//! 2 changers of columns for a minute, killed every five seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use cenote_testkit::client::Client;
use cenote_testkit::process::Process;
use cenote_testkit::{needs, number_of, services};
use tokio::task::JoinSet;

/// What each kind has for each unit of scale.
const APPENDERS: i64 = 16;
const LIFE: Duration = Duration::from_secs(5);
/// Rows of one append.
const ROWS: i64 = 10;

/// What workers do. Each must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Append,
    Delete,
    Update,
    Upsert,
    Merge,
    AddColumn,
    DropColumn,
    Optimize,
}

const KINDS: [Kind; 8] = [
    Kind::Append,
    Kind::Delete,
    Kind::Update,
    Kind::Upsert,
    Kind::Merge,
    Kind::AddColumn,
    Kind::DropColumn,
    Kind::Optimize,
];

/// The kinds that raise the `v` of a row of their own: an UPDATE of one that is there, the others make it when it is not.
const RAISES: [Kind; 3] = [Kind::Update, Kind::Upsert, Kind::Merge];

fn raise(kind: Kind, worker: usize) -> String {
    match kind {
        Kind::Upsert => format!(
            "INSERT INTO storm (w, n, v) VALUES ({worker}, -1, 1) \
             ON CONFLICT (w, n) DO UPDATE SET v = storm.v + 1"
        ),
        Kind::Merge => format!(
            "MERGE INTO storm t USING (SELECT {worker} AS w, -1 AS n) s ON t.w = s.w AND t.n = s.n \
             WHEN MATCHED THEN UPDATE SET v = t.v + 1 \
             WHEN NOT MATCHED THEN INSERT (w, n, v) VALUES (s.w, s.n, 1)"
        ),
        _ => format!("UPDATE storm SET v = v + 1 WHERE w = {worker} AND n = -1"),
    }
}

/// What one worker knows. Its rows have its number in `w` and count up in `n`.
#[derive(Default)]
struct Known {
    /// Appends of [`ROWS`] rows that were tried.
    tried: AtomicI64,
    acknowledged: std::sync::Mutex<Vec<i64>>,
    /// Rows below this `n` were deleted, for certain; and perhaps.
    deleted: AtomicI64,
    deleting: AtomicI64,
    /// Times that the row with `n` -1 was raised, for certain; and tried.
    raised: AtomicI64,
    raising: AtomicI64,
}

struct Storm {
    workers: Vec<Known>,
    /// How often each kind succeeded.
    done: std::sync::Mutex<BTreeMap<Kind, u64>>,
    conflicts: AtomicI64,
    stop: AtomicBool,
}

/// The status of an answer; `None`: nobody answered.
async fn run(client: &Client, sql: &str) -> Option<(u16, String)> {
    let answer = client.try_sql(sql).await.ok()?;
    Some((answer.status, answer.text))
}

impl Storm {
    fn on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn count(&self, kind: Kind) {
        *self.done.lock().expect("not poisoned").entry(kind).or_default() += 1;
    }

    async fn append(&self, client: &Client, worker: usize) {
        let known = &self.workers[worker];
        while self.on() {
            let batch = known.tried.fetch_add(1, Ordering::SeqCst);
            let values = (batch * ROWS..(batch + 1) * ROWS).map(|n| format!("({worker}, {n}, 0)"));
            let values = values.collect::<Vec<_>>().join(", ");
            match run(client, &format!("INSERT INTO storm (w, n, v) VALUES {values}")).await {
                Some((200, _)) => {
                    known.acknowledged.lock().expect("not poisoned").push(batch);
                    self.count(Kind::Append);
                }
                Some((409, text)) => {
                    self.conflicts.fetch_add(1, Ordering::SeqCst);
                    eprintln!("an append met a conflict: {text}");
                }
                Some((status, text)) => assert!(status >= 500, "{status} {text}"),
                None => return,
            }
        }
    }

    /// Deletes the oldest rows of an appender.
    async fn delete(&self, client: &Client, worker: usize) {
        let known = &self.workers[worker];
        while self.on() {
            let below = known.tried.load(Ordering::SeqCst) * ROWS / 2;
            known.deleting.fetch_max(below, Ordering::SeqCst);
            match run(client, &format!("DELETE FROM storm WHERE w = {worker} AND n < {below}")).await {
                Some((200, _)) => {
                    known.deleted.fetch_max(below, Ordering::SeqCst);
                    self.count(Kind::Delete);
                }
                Some((status, text)) => assert!(status == 409 || status >= 500, "{status} {text}"),
                None => return,
            }
        }
    }

    /// Raises a row of its own.
    async fn raise(&self, client: &Client, kind: Kind, worker: usize) {
        let known = &self.workers[worker];
        while self.on() {
            known.raising.fetch_add(1, Ordering::SeqCst);
            match run(client, &raise(kind, worker)).await {
                Some((200, _)) => {
                    known.raised.fetch_add(1, Ordering::SeqCst);
                    self.count(kind);
                }
                Some((status, text)) => assert!(status == 409 || status >= 500, "{status} {text}"),
                None => return,
            }
        }
    }

    async fn repeat(&self, client: &Client, statements: &[(Kind, String)]) {
        for (kind, sql) in statements.iter().cycle() {
            match run(client, sql).await {
                Some((200, text)) if *kind != Kind::Optimize || has_merged(&text) => self.count(*kind),
                Some((200, _)) => {}
                Some((status, text)) => assert!(status == 409 || status >= 500, "{sql}: {status} {text}"),
                None => return,
            }
            if !self.on() {
                return;
            }
        }
    }

    async fn verify(&self, client: &Client) {
        let findings = client.sql("VERIFY ALL DEEP").await;
        assert!(findings.is_empty(), "{findings:?}");
        let twice =
            client.sql("SELECT w, n, count(*) FROM storm GROUP BY w, n HAVING count(*) > 1 LIMIT 5").await;
        assert!(twice.is_empty(), "rows more than once: {twice:?}");
        for (worker, known) in self.workers.iter().enumerate() {
            let sql = format!("SELECT n FROM storm WHERE w = {worker} AND n >= 0 ORDER BY n");
            let rows = client.sql(&sql).await;
            let found: Vec<i64> = rows.iter().map(|row| row[0].as_i64().expect("a number")).collect();
            let (gone, going) = (known.deleted.load(Ordering::SeqCst), known.deleting.load(Ordering::SeqCst));
            let back = found.iter().find(|n| **n < gone);
            assert!(back.is_none(), "row {back:?} of {worker} was deleted, all below {gone}");
            let never = found.iter().find(|n| **n >= known.tried.load(Ordering::SeqCst) * ROWS);
            assert!(never.is_none(), "row {never:?} of {worker} was never sent");
            for batch in known.acknowledged.lock().expect("not poisoned").iter() {
                let mut wanted = (batch * ROWS..(batch + 1) * ROWS).filter(|n| *n >= going);
                let lost = wanted.find(|n| found.binary_search(n).is_err());
                assert!(lost.is_none(), "row {lost:?} of {worker} was acknowledged");
            }
            // A row that is not there was never raised.
            let sql = format!("SELECT coalesce(sum(v), 0) FROM storm WHERE w = {worker} AND n = -1");
            let raised = client.number(&sql).await;
            let bounds = known.raised.load(Ordering::SeqCst)..=known.raising.load(Ordering::SeqCst);
            assert!(bounds.contains(&raised), "row of {worker} is {raised}, expected {bounds:?}");
        }
    }
}

/// True if an answer of OPTIMIZE tells of files that were made of others.
fn has_merged(answer: &str) -> bool {
    ["\"merge\"", "\"flush\"", "\"deletes\""].iter().any(|action| answer.contains(action))
}

async fn storm(catalog: Option<String>) {
    let (seconds, scale) = (number_of("CENOTE_STORM_SECONDS", 6), number_of("CENOTE_STORM_SCALE", 1));
    let scale = usize::try_from(scale).expect("small");
    let appenders = scale * usize::try_from(APPENDERS).expect("small");
    let life = LIFE.min(Duration::from_secs(seconds) / 2);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let url = catalog.map(|url| format!("catalog.url={url}"));
    let settings: Vec<&str> = url.as_deref().into_iter().collect();
    let storm = Arc::new(Storm {
        workers: (0..appenders + RAISES.len() * scale).map(|_| Known::default()).collect(),
        done: std::sync::Mutex::default(),
        conflicts: AtomicI64::new(0),
        stop: AtomicBool::new(false),
    });
    let mut process = Process::start(&data, &settings);
    let client = process.client();
    client.sql("CREATE TABLE storm (w BIGINT, n BIGINT, v BIGINT, PRIMARY KEY (w, n) NOT ENFORCED)").await;
    for worker in appenders..appenders + scale {
        // That it is made counts as the first time that it is raised.
        client.sql(&format!("INSERT INTO storm VALUES ({worker}, -1, 1)")).await;
        storm.workers[worker].raised.store(1, Ordering::SeqCst);
        storm.workers[worker].raising.store(1, Ordering::SeqCst);
    }
    for _ in 0..(seconds / life.as_secs().max(1)).max(1) {
        storm.stop.store(false, Ordering::SeqCst);
        let client = process.client();
        let mut tasks = JoinSet::new();
        for worker in 0..appenders {
            let (storm, client) = (storm.clone(), client.clone());
            tasks.spawn(async move { storm.append(&client, worker).await });
        }
        for of_scale in 0..scale {
            let (one, other) = (storm.clone(), client.clone());
            tasks.spawn(async move { one.delete(&other, of_scale).await });
            for (n, kind) in RAISES.into_iter().enumerate() {
                let (one, other, worker) = (storm.clone(), client.clone(), appenders + n * scale + of_scale);
                tasks.spawn(async move { one.raise(&other, kind, worker).await });
            }
            let (one, other) = (storm.clone(), client.clone());
            let optimize = (Kind::Optimize, "OPTIMIZE TABLE storm FULL".to_owned());
            tasks.spawn(async move { one.repeat(&other, &[optimize]).await });
        }
        for changer in 0..scale.div_ceil(2) {
            let (storm, client) = (storm.clone(), client.clone());
            let add = format!("ALTER TABLE storm ADD COLUMN IF NOT EXISTS more_{changer} BIGINT DEFAULT 7");
            let drop = format!("ALTER TABLE storm DROP COLUMN IF EXISTS more_{changer}");
            let both = [(Kind::AddColumn, add), (Kind::DropColumn, drop)];
            tasks.spawn(async move { storm.repeat(&client, &both).await });
        }
        // The moment of the kill is what this test is about.
        tokio::time::sleep(life).await;
        process.kill();
        storm.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no worker saw an answer that must not be");
        }
        process = Process::start(&data, &settings);
        storm.verify(&process.client()).await;
    }
    assert_eq!(storm.conflicts.load(Ordering::SeqCst), 0, "appends never conflict");
    let done = storm.done.lock().expect("not poisoned").clone();
    eprintln!("done: {done:?}");
    for kind in KINDS {
        assert!(done.contains_key(&kind), "no {kind:?} succeeded: {done:?}");
    }
    assert!(process.terminate().success(), "a stop in order");
    let at_once = [settings.as_slice(), &["table.orphan_grace=0s"]].concat();
    only_what_is_named_is_left(&Process::start(&data, &at_once)).await;
}

/// After collection each file of the lake is one that a live row names, and the other way round: nothing that a kill cut off stays.
async fn only_what_is_named_is_left(process: &Process) {
    let client = process.client();
    client.sql("OPTIMIZE TABLE storm DELETES").await;
    client.sql("FLUSH ALL").await;
    client.sql("VACUUM ALL KEEP 0 HOURS FORCE ORPHANS").await;
    let rows = client.sql("SELECT path FROM system.storage.files WHERE path IS NOT NULL").await;
    let named: BTreeSet<String> =
        rows.iter().map(|row| row[0].as_str().expect("a path").to_owned()).collect();
    let lake = process.directory.join("lake");
    let mut files = BTreeSet::new();
    walk(&lake.join("default/tables"), &lake, &mut files);
    assert_eq!(files, named);
}

/// Adds the files below a directory, by their paths below the root.
fn walk(directory: &Path, root: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, root, files);
        } else {
            files.insert(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_with_kills_loses_and_doubles_nothing_on_sqlite() {
    storm(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_with_kills_loses_and_doubles_nothing_on_postgresql() {
    let Some(url) = services::postgres_database() else {
        needs("PostgreSQL", false);
        return;
    };
    storm(Some(url)).await;
}
