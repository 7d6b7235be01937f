//! The process: small when idle, quick to restart, one per data directory, command line and exit codes.

use std::process::Command;

use cenote_testkit::number_of;
use cenote_testkit::process::{Process, binary};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_is_small_and_its_token_is_private() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &[]);
    let resident = process.resident_bytes();
    assert!(resident < 150 << 20, "{resident} bytes resident");
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(data.join("admin.token")).expect("admin.token"),
    );
    assert_eq!(mode & 0o777, 0o600);
    let token = process.client().token;
    assert!(process.terminate().success());
    let log = std::fs::read_to_string(data.with_extension("log")).expect("the log");
    assert!(!log.contains(&token), "the token is in no log event");
}

/// The log is as long as `CENOTE_REPLAY_MIB` says; the bound of 2 s for 100 MB is for a release build.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_replayed_at_restart() {
    let wanted = number_of("CENOTE_REPLAY_MIB", 4) << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let settings = ["ingest.flush_size=4GiB", "ingest.flush_interval=1h", "wal.segment_size=16MiB"];
    let process = Process::start(&data, &settings);
    let client = process.client();
    let mut rows = 0_i64;
    let log_bytes = async || {
        let status = client.send("GET", "/api/v1/status", &[], "").await.expect("an answer").json();
        status["log"]["bytes"].as_u64().unwrap_or_else(|| panic!("no size of the log in {status}"))
    };
    while log_bytes().await < wanted {
        let lines: String = (0..10_000)
            .map(|n| {
                format!(
                    "replay,host=h{} a={}.25,b={n}i,c=\"{:x}\" {}\n",
                    n % 50,
                    rows + n,
                    (rows + n) * 7919,
                    rows + n
                )
            })
            .collect();
        client.write(&lines).await;
        rows += 10_000;
    }
    let bytes = log_bytes().await;
    process.kill();
    let process = Process::start(&data, &settings);
    eprintln!("{bytes} bytes of log, {rows} rows, ready after {:?}", process.ready_after);
    assert_eq!(process.client().number("SELECT count(*) FROM replay").await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_a_data_directory_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &[]);
    let second = Command::new(binary()).args(["serve", "--data-dir"]).arg(&data).output().expect("runs");
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains(&format!("is in use by process {}", process.id())), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_a_running_node_and_opens_a_resting_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let csv = directory.path().join("rows.csv");
    std::fs::write(&csv, "time,name,n\n2026-01-01T00:00:00Z,a,1\n2026-01-01T00:00:01Z,b,2\n")
        .expect("written");
    let cenote = |arguments: &[&str]| {
        let output =
            Command::new(binary()).arg("--data-dir").arg(&data).args(arguments).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let csv = csv.display().to_string();
    let process = Process::start(&data, &[]);
    let (code, out, error) = cenote(&["import", &csv, "--table", "rows"]);
    assert_eq!((code, out.contains("2 rows")), (Some(0), true), "{out}{error}");
    let (code, out, error) = cenote(&["import", &csv, "--table", "rows"]);
    assert_eq!((code, out.contains("imported before")), (Some(0), true), "{out}{error}");
    let count = "SELECT count(*) AS n FROM rows";
    let (code, out, error) = cenote(&["sql", "-c", count]);
    assert_eq!((code, out.as_str()), (Some(0), "n\n2\n"), "{error}");
    let (code, _, error) = cenote(&["status"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(cenote(&["status", "--ready"]).0, Some(0));
    let (code, secret, error) = cenote(&["token", "create", "other", "--permissions", "read"]);
    assert_eq!((code, secret.starts_with("cnt_")), (Some(0), true), "{error}");
    let (code, _, error) = cenote(&["sql", "--token", secret.trim(), "-c", "DROP TABLE rows"]);
    assert_eq!(code, Some(4), "{error}");
    let (code, out, error) =
        cenote(&["sql", "--format", "json", "-c", "SELECT 1 AS a; SELECT 2 AS a; SELECT x; SELECT 3"]);
    assert_eq!((code, out.lines().count()), (Some(1), 2), "{out}");
    let error: serde_json::Value = serde_json::from_str(error.trim()).expect("one JSON error");
    assert_eq!(error["error"]["code"], "42703");
    assert!(process.terminate().success());
    let (code, out, error) = cenote(&["sql", "-c", count]);
    assert_eq!((code, out.as_str()), (Some(0), "n\n2\n"), "{error}");
    let (code, _, error) = cenote(&["status"]);
    assert_eq!(code, Some(3), "{error}");
    let (code, _, error) = cenote(&["--url", "http://127.0.0.1:1", "sql", "-c", "SELECT 1"]);
    assert_eq!(code, Some(3), "{error}");
    let (code, _, error) = cenote(&["--set", "query.timeout=300", "sql", "-c", "SELECT 1"]);
    assert_eq!((code, error.contains("needs a unit")), (Some(2), true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_right_results() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("demo");
    let output =
        Command::new(binary()).args(["demo", "--once", "--data-dir"]).arg(&data).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all of it is right"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_flushes_and_ends_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &["table.inline_max=0"]);
    process.client().write("cpu usage=1 1").await;
    assert!(process.terminate().success());
    let files = walk(&data.join("lake/default"));
    assert_eq!(files, 1, "the buffered row is in a file");
    let process = Process::start(&data, &[]);
    assert_eq!(process.client().number("SELECT count(*) FROM cpu").await, 1);
}

fn walk(directory: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 })
        .sum()
}
