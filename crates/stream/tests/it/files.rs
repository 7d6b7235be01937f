//! Files of directories: written once through crashes, read once, watched; and rows that cannot be used.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cenote_connect::Reach;
use cenote_stream::{Limits, Run};
use cenote_testkit::double::serve;
use cenote_testkit::number_of;
use cenote_vocab::{ErrorKind, Fault, MemoryPool};
use parking_lot::Mutex;

#[cfg(feature = "failpoints")]
use crate::world::{LAST_STEP, STEPS};
use crate::world::{World, drain, epochs_of};

/// All complete files below a directory, with their lines.
fn lines(directory: &Path) -> Vec<String> {
    let (mut lines, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("__in_progress") {
                left.push(path);
            } else if path.is_file() {
                let text = std::fs::read_to_string(&path).expect("text");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
    }
    lines.sort();
    lines
}

async fn create(world: &World, script: &str) {
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $$ {script} $$")).await;
}

fn impulse(rows: usize) -> String {
    format!(
        "CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '1 minute', \
         message_count = {rows}, start_time = 1767225600000000);"
    )
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_hold_each_row_once_through_a_crash_at_every_step() {
    let _alone = fail::FailScenario::setup();
    for steps in [&STEPS[..], &LAST_STEP] {
        Box::pin(files_hold_each_row_once(steps)).await;
    }
}

#[cfg(feature = "failpoints")]
async fn files_hold_each_row_once(steps: &[&'static str]) {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let script = format!(
        "{} CREATE TABLE out (n BIGINT, kind TEXT) WITH (connector = 'filesystem', path = '{}', type = 'sink', format = 'json', \
         rolling_policy.file_size = '100', partitioning.fields = [kind], partitioning.time_pattern = '%d/%H'); \
         INSERT INTO out SELECT counter, CASE WHEN counter % 2 = 0 THEN 'even' END FROM i",
        impulse(95),
        out.display()
    );
    create(&world, &script).await;
    let mut run = world.open("p", epochs_of(10)).await.expect("opens");
    let crashes = world.crash_at(&mut run, epochs_of(10), steps).await;
    assert!(crashes >= 9 * steps.len(), "{crashes}");
    let mut expected: Vec<String> =
        (0..95)
            .map(|n| {
                if n % 2 == 0 { format!("{{\"n\":{n},\"kind\":\"even\"}}") } else { format!("{{\"n\":{n}}}") }
            })
            .collect();
    expected.sort();
    assert_eq!(lines(&out), expected);
    assert!(
        out.join("01/00/kind=even").is_dir() && out.join("01/01/kind=__HIVE_DEFAULT_PARTITION__").is_dir()
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_goes_out_and_comes_back() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out").display().to_string();
    let out = format!(
        "{} CREATE TABLE out (n BIGINT, at TIMESTAMP, word TEXT) WITH (connector = 'filesystem', path = '{path}', type = 'sink', \
         format = 'parquet', parquet.compression = 'snappy', filename.prefix = 'part'); \
         INSERT INTO out SELECT counter, TIMESTAMP '2026-01-01' + counter * INTERVAL '1 hour', 'w' || counter FROM i",
        impulse(50)
    );
    create(&world, &out).await;
    drain(&mut world.open("p", epochs_of(20)).await.expect("opens")).await;
    world.client.rows("DROP PIPELINE p").await;
    world
        .client
        .rows("CREATE TABLE got (n BIGINT, at TIMESTAMP, word TEXT, missing INT, place BIGINT)")
        .await;
    let back = format!(
        "CREATE TABLE src (\"WORD\" TEXT, n INT, at TIMESTAMP, missing INT, place BIGINT METADATA FROM 'row', WATERMARK FOR at) \
         WITH (connector = 'filesystem', path = '{path}', type = 'source', format = 'parquet'); \
         INSERT INTO got SELECT n, at, \"WORD\", missing, place FROM src"
    );
    create(&world, &back).await;
    let mut run = world.open("p", epochs_of(7)).await.expect("opens");
    drain(&mut run).await;
    let rows = "SELECT count(*), count(DISTINCT n), sum(n), max(word), count(missing), max(place) FROM got";
    assert_eq!(world.client.rows(rows).await, ["50|50|1225|w9|0|49"]);
    assert_eq!(world.client.rows("SELECT at FROM got WHERE n = 3").await, ["2026-01-01T03:00:00"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_found_where_a_directory_is_watched() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("writes");
    write("b.json", "{\"n\": 1}\n{\"n\": 2}");
    write("ignored.txt", "no JSON");
    world.client.rows("CREATE TABLE got (n BIGINT)").await;
    let script = format!(
        "CREATE TABLE src (n BIGINT) WITH (connector = 'filesystem', path = '{}', type = 'source', format = 'json', \
         'source.regex_pattern' = 'json$', source.watch = '1 ms'); INSERT INTO got SELECT n FROM src",
        directory.path().display()
    );
    create(&world, &script).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT n FROM got ORDER BY n").await, ["1", "2"]);
    write("a.json", "{\"n\": 3}\n");
    let mut run = world.open("p", Limits::default()).await.expect("opens again");
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT n FROM got ORDER BY n").await, ["1", "2", "3"]);
    world.stop().await;
}

const DAMAGED: &str = "{\"id\": 1}\n{\"id\": 2}\n{\"id\": \"x\"}\n{\"id\": 4}\n{\n";

fn reading(path: &Path, bad_data: &str) -> String {
    format!(
        "SET bad_data = '{bad_data}'; CREATE TABLE src (id BIGINT) WITH (connector = 'single_file', path = '{}', type = 'source'); \
         INSERT INTO got SELECT id FROM src",
        path.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_fails_the_pipeline_and_is_named() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("damaged.json");
    std::fs::write(&path, DAMAGED).expect("writes");
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    create(&world, &reading(&path, "fail")).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    let error = run.step().await.expect_err("a bad row");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.starts_with("source src: ")
            && text.contains("damaged.json, offset 2: ")
            && text.contains("'id'"),
        "{text}"
    );
    assert_eq!(world.client.rows("SELECT count(*) FROM got").await, ["0"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_are_counted_or_kept_once_also_after_a_crash() {
    #[cfg(feature = "failpoints")]
    let _alone = fail::FailScenario::setup();
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("damaged.json");
    std::fs::write(&path, DAMAGED).expect("writes");
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    create(&world, &reading(&path, "drop")).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(
        (run.bad(), world.client.rows("SELECT id FROM got ORDER BY id").await),
        (2, vec!["1".into(), "2".into(), "4".into()])
    );
    world.client.rows("DROP PIPELINE p").await;
    world.client.rows("DROP TABLE got").await;
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    create(&world, &reading(&path, "table")).await;
    let mut run = world.open("p", epochs_of(2)).await.expect("opens");
    #[cfg(feature = "failpoints")]
    for step in ["epoch.stage", "epoch.commit", "epoch.cut", "epoch.finish"] {
        fail::cfg(step, "return").expect("a crash point");
        run.step().await.expect_err("the crash point");
        fail::remove(step);
        run = world.open("p", epochs_of(2)).await.expect("opens again");
    }
    drain(&mut run).await;
    let kept = world.client.rows("SELECT source, right(partition, 12), \"offset\", raw, error LIKE '%''id''%', _epoch > 0 FROM p_bad ORDER BY 3").await;
    assert_eq!(kept, ["src|damaged.json|2|{\"id\": \"x\"}|true|true", "src|damaged.json|4|{|false|true"]);
    assert_eq!(world.client.rows("SELECT id FROM got ORDER BY id").await, ["1", "2", "4"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_reach_is_denied_when_it_starts() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    create(&world, &reading(Path::new("/etc/passwd"), "drop")).await;
    let node = &world.node;
    let parts = (node.engine.clone(), node.lake.clone(), node.ingest.clone());
    let reach = Reach::Named { paths: Vec::new(), urls: Vec::new() };
    let pipeline = world.pipeline("p").await;
    let memory = MemoryPool::node(1 << 20);
    let error = Run::open(parts, memory, (Limits::default(), reach), &node.scope, pipeline)
        .await
        .err()
        .expect("denied");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    world.stop().await;
}

/// Casts and divides below a sum; two of the rows cannot be used, the last row of the file cannot be read at all.
fn computing(path: &Path, bad_data: &str) -> String {
    format!(
        "SET bad_data = '{bad_data}'; CREATE TABLE src (id BIGINT, word TEXT) WITH (connector = 'single_file', path = '{}', \
         type = 'source', format = 'json'); INSERT INTO got SELECT id, CAST(word AS BIGINT) FROM src; \
         INSERT INTO sums SELECT id % 2, sum(100 / id) FROM src GROUP BY id % 2",
        path.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_fails_an_expression_is_a_bad_row() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("words.json");
    let rows = [(1, "10"), (2, "x"), (0, "30"), (3, "40"), (4, "50")];
    let lines = rows.map(|(id, word)| format!("{{\"id\": {id}, \"word\": \"{word}\"}}"));
    std::fs::write(&path, lines.join("\n") + "\n{\n").expect("writes");
    let tables = [
        "CREATE TABLE got (id BIGINT, word BIGINT)",
        "CREATE TABLE sums (part BIGINT, total BIGINT, PRIMARY KEY (part))",
    ];
    for rows_max in [100, 2] {
        for kind in ["drop", "table"] {
            for sql in tables {
                world.client.rows(sql).await;
            }
            create(&world, &computing(&path, kind)).await;
            let mut run = world.open("p", epochs_of(rows_max)).await.expect("opens");
            drain(&mut run).await;
            assert_eq!(run.bad(), 3, "{kind} in epochs of {rows_max}");
            let got = world.client.rows("SELECT id, word FROM got ORDER BY id").await;
            assert_eq!(got, ["1|10", "3|40", "4|50"], "{kind} in epochs of {rows_max}");
            let sums = world.client.rows("SELECT part, total FROM sums ORDER BY part").await;
            assert_eq!(sums, ["0|25", "1|133"], "{kind} in epochs of {rows_max}");
            if kind == "table" {
                let kept = "SELECT \"offset\", raw, error <> '' FROM p_bad ORDER BY 1";
                let expected =
                    ["1|{\"id\":2,\"word\":\"x\"}|true", "2|{\"id\":0,\"word\":\"30\"}|true", "5|{|true"];
                assert_eq!(world.client.rows(kept).await, expected, "in epochs of {rows_max}");
                world.client.rows("DROP TABLE p_bad").await;
            }
            for sql in ["DROP PIPELINE p", "DROP TABLE got", "DROP TABLE sums"] {
                world.client.rows(sql).await;
            }
        }
    }
    for sql in tables {
        world.client.rows(sql).await;
    }
    create(&world, &computing(&path, "fail")).await;
    let error = world.open("p", epochs_of(3)).await.expect("opens").step().await.expect_err("a bad row");
    let text = error.to_string();
    assert!(text.starts_with("source src: ") && text.contains("words.json, offset 1: "), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_holds_up_nobody_else() {
    let world = World::new().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}/", silent.local_addr().expect("bound"));
    let impulse = "CREATE TABLE i WITH (connector = 'impulse', event_rate = 1000)";
    world.client.rows("CREATE TABLE got (n BIGINT)").await;
    world
        .client
        .rows(&format!(
            "CREATE PIPELINE hung AS $$ {impulse}; CREATE TABLE out (n BIGINT) WITH (connector = 'webhook', endpoint = '{endpoint}'); \
             INSERT INTO out SELECT counter FROM i $$"
        ))
        .await;
    world
        .client
        .rows(&format!("CREATE PIPELINE p AS $$ {impulse}; INSERT INTO got SELECT counter FROM i $$"))
        .await;
    // It is called, and does not answer.
    let called = tokio::task::spawn_blocking(move || silent.accept().map(|(call, _)| (silent, call)));
    let call = called.await.expect("waits").expect("a call");
    let other = world.node.session().await;
    let began = std::time::Instant::now();
    let hung = async {
        other.rows("PAUSE PIPELINE hung").await;
        std::time::Instant::now()
    };
    let others = async {
        for sql in ["PAUSE PIPELINE p", "RESUME PIPELINE p", "PAUSE PIPELINE p"] {
            world.client.rows(sql).await;
        }
        std::time::Instant::now()
    };
    let (hung, others) = tokio::join!(hung, others);
    assert!(others < hung, "they waited for the one that hangs");
    assert!(hung - began < std::time::Duration::from_secs(15), "{:?}", hung - began);
    assert_eq!(world.pipeline("hung").await.state, "paused");
    drop(call);
    world.stop().await;
}

/// A server that takes rows, or is down and says so.
struct Hook {
    url: String,
    is_down: Arc<AtomicBool>,
    refused: Arc<Mutex<BTreeSet<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Hook {
    fn start() -> Self {
        let (is_down, refused, taken) =
            <(Arc<AtomicBool>, Arc<Mutex<BTreeSet<_>>>, Arc<Mutex<Vec<_>>>)>::default();
        let (down, not_taken, rows) = (is_down.clone(), refused.clone(), taken.clone());
        let url = serve(move |request| {
            let body = String::from_utf8(request.body.clone()).expect("text");
            let status = if down.load(Ordering::SeqCst) {
                not_taken.lock().insert(body);
                "503 Down\r\nretry-after: 0"
            } else {
                rows.lock().push(body);
                "200 OK"
            };
            (status.to_owned(), String::new())
        });
        Self { url: format!("{url}/"), is_down, refused, taken }
    }
}

/// Memory of this process, MiB.
fn resident_mib() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * 4096 / (1 << 20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_down_for_long_loses_no_row_and_no_more_than_an_epoch_waits() {
    let world = World::new().await;
    let hook = Hook::start();
    let script = format!(
        "{} CREATE TABLE out (n BIGINT) WITH (connector = 'webhook', endpoint = '{}'); INSERT INTO out SELECT counter FROM i",
        impulse(300),
        hook.url
    );
    create(&world, &script).await;
    let mut run = world.open("p", epochs_of(20)).await.expect("opens");
    run.step().await.expect("an epoch");
    hook.is_down.store(true, Ordering::SeqCst);
    let (began, seconds) = (Instant::now(), number_of("CENOTE_DOWN_SECONDS", 0));
    let (mut attempts, mut resident) = (0, Vec::new());
    while attempts < 20 || began.elapsed().as_secs() < seconds {
        attempts += 1;
        resident.extend(resident_mib());
        let error = run.step().await.expect_err("it is down");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("503"), "{error}");
        run = world.open("p", epochs_of(20)).await.expect("opens again");
        assert_eq!(run.counts().0, 20, "nothing more was read for good");
    }
    let most = resident.iter().max().copied().unwrap_or(0);
    assert!(
        resident.get(attempts / 4).is_none_or(|early| most <= early + 32),
        "memory grows: {resident:?} MiB"
    );
    let waiting = hook.refused.lock().len();
    assert!((1..=20).contains(&waiting), "{waiting} rows wait");
    hook.is_down.store(false, Ordering::SeqCst);
    drain(&mut run).await;
    let mut taken = hook.taken.lock().clone();
    taken.sort();
    let mut expected: Vec<String> = (0..300).map(|n| format!("{{\"n\":{n}}}")).collect();
    expected.sort();
    assert_eq!(taken, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_webhook_refuses_fail_the_pipeline_are_counted_or_kept_once() {
    #[cfg(feature = "failpoints")]
    let _alone = fail::FailScenario::setup();
    let world = World::new().await;
    let taken: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let rows = taken.clone();
    let url = serve(move |request| {
        let body = String::from_utf8(request.body.clone()).expect("text");
        let status = if body.contains(":13}") { "422 Bad" } else { "200 OK" };
        if status == "200 OK" {
            rows.lock().insert(body);
        }
        (status.to_owned(), "no thirteen".to_owned())
    });
    let script = |more: &str| {
        format!(
            "{} CREATE TABLE out (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/'{more}); INSERT INTO out SELECT counter FROM i",
            impulse(25)
        )
    };
    create(&world, &script("")).await;
    let mut run = world.open("p", epochs_of(10)).await.expect("opens");
    run.step().await.expect("all of the first ten are taken");
    let error = run.step().await.expect_err("it refuses a row");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(error.to_string(), "sink out: it answered 422 Unprocessable Entity: no thirteen");
    drop(run);
    world.client.rows("DROP PIPELINE p").await;
    for more in [", bad_data = 'drop'", ", bad_data = 'table'"] {
        taken.lock().clear();
        create(&world, &script(more)).await;
        let mut run = world.open("p", epochs_of(10)).await.expect("opens");
        #[cfg(feature = "failpoints")]
        world.crash_at(&mut run, epochs_of(10), &STEPS).await;
        drain(&mut run).await;
        assert_eq!((run.bad(), taken.lock().len()), (1, 24), "{more}");
        drop(run);
        world.client.rows("DROP PIPELINE p").await;
    }
    assert_eq!(
        world.client.rows("SELECT source, partition, \"offset\", raw, error, _epoch FROM p_bad").await,
        ["out|2|3|{\"n\":13}|it answered 422 Unprocessable Entity: no thirteen|2"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_names_its_column() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE got (id BIGINT)").await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bad.json");
    for (row, expected) in [
        (r#"{"id":"x","at":"2026-01-01T00:00:00","v":"1"}"#, "'id'"),
        (r#"{"at":"2026-01-01T00:00:00","v":"1"}"#, "column \"id\" is NULL"),
        (r#"{"id":1,"at":null,"v":"1"}"#, "column \"at\" is NULL: the row has no event time"),
        (r#"{"id":1,"at":"2026-01-01T00:00:00","v":"x"}"#, "column \"number\" or WATERMARK: "),
    ] {
        std::fs::write(&path, format!("{row}\n")).expect("writes");
        let script = format!(
            "CREATE TABLE src (id BIGINT NOT NULL, at TIMESTAMP, v TEXT, number BIGINT GENERATED ALWAYS AS (CAST(v AS BIGINT)) STORED, \
             WATERMARK FOR at AS at - INTERVAL '1 second') WITH (connector = 'single_file', path = '{}', type = 'source', format = 'json'); \
             INSERT INTO got SELECT id FROM src",
            path.display()
        );
        create(&world, &script).await;
        let mut run = world.open("p", Limits::default()).await.expect("opens");
        let error = run.step().await.expect_err("a bad row").to_string();
        assert!(error.contains("bad.json, offset 0: ") && error.contains(expected), "{error}");
        world.client.rows("DROP PIPELINE p").await;
    }
    world.stop().await;
}
