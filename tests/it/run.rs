//! `cenote run`: a script in the foreground, by the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use cenote_testkit::process::{binary, interrupt};

/// Exit code, standard output, standard error.
fn run(script: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(binary())
        .args(["--set", "limits.disk_free_min=1MiB", "run", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn table(name: &str, columns: &str, kind: &str, path: &Path) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH (connector = 'single_file', type = '{kind}', path = '{}', format = 'json');\n",
        path.display()
    )
}

#[test]
fn a_script_runs_to_its_end_and_prints_the_rows_of_its_queries() {
    let directory = tempfile::tempdir().expect("a directory");
    let (input, output) = (directory.path().join("in.json"), directory.path().join("out.json"));
    let lines: String =
        (0..10).map(|n| format!("{{\"n\":{n},\"at\":\"2026-01-01T00:00:{n:02}\"}}\n")).collect();
    std::fs::write(&input, lines).expect("writes");
    let script = table("events", "n BIGINT, at TIMESTAMP, WATERMARK FOR at", "source", &input)
        + &table("odd", "n BIGINT", "sink", &output)
        + "INSERT INTO odd SELECT n FROM events WHERE n % 2 = 1;\n"
        + "SELECT w.start AS start, n FROM (SELECT tumble(INTERVAL '5 seconds') AS w, count(*) AS n FROM events GROUP BY 1);";
    let (code, out, error) = run(&script, &[]);
    assert_eq!(code, Some(0), "{error}");
    let mut rows: Vec<&str> = out.lines().collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [r#"{"start":"2026-01-01T00:00:00","n":5}"#, r#"{"start":"2026-01-01T00:00:05","n":5}"#],
        "{error}"
    );
    let written = std::fs::read_to_string(&output).expect("the file");
    assert_eq!(written, "{\"n\":1}\n{\"n\":3}\n{\"n\":5}\n{\"n\":7}\n{\"n\":9}\n");
}

#[test]
fn results_that_change_are_printed_as_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("in.json");
    let lines: String = (0..10).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    std::fs::write(&input, lines).expect("writes");
    let script = table("events", "n BIGINT", "source", &input)
        + "SELECT n % 2 AS rest, count(*) AS many FROM events GROUP BY 1;";
    let (code, out, error) = run(&script, &[]);
    assert_eq!(code, Some(0), "{error}");
    let last = |rest: u8| {
        let of_it = format!("\"after\":{{\"rest\":{rest},");
        out.lines()
            .rfind(|line| line.contains(&of_it))
            .map(|line| line.split("\"after\":").nth(1).map(str::to_owned))
    };
    for rest in [0, 1] {
        let line = last(rest).flatten().unwrap_or_default();
        assert!(line.starts_with(&format!("{{\"rest\":{rest},\"many\":5}},\"op\":")), "{out}{error}");
    }
}

#[test]
fn a_state_directory_knows_its_script() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state").display().to_string();
    let missing = directory.path().join("in.json");
    let script = table("events", "n BIGINT", "source", &missing) + "SELECT n FROM events;";
    let (code, out, error) = run(&script, &["--state-dir", &state]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains("in.json is missing"), "{error}");
    std::fs::write(&missing, "{\"n\":1}\n").expect("writes");
    let (code, out, error) = run(&script, &["--state-dir", &state]);
    assert_eq!((code, out.as_str()), (Some(0), "{\"n\":1}\n"), "what failed goes on: {error}");
    let (code, out, error) = run(&script, &["--state-dir", &state]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains("has run to its end"), "{error}");
    let other = script.replace("SELECT n", "SELECT n + 1 AS n");
    let (code, _, error) = run(&other, &["--state-dir", &state]);
    assert!(code == Some(2) && error.contains("n + 1 AS n"), "{error}");
    let (code, out, error) = run(&other, &["--state-dir", &state, "--fresh"]);
    assert_eq!((code, out.as_str()), (Some(0), "{\"n\":2}\n"), "{error}");
}

/// Runs a script until it has printed so many lines, then stops it as Ctrl-C does; answers its exit code, the lines and standard error.
fn interrupted(script: &str, state: &str, lines: usize) -> (Option<i32>, Vec<String>, String) {
    let mut child = Command::new(binary())
        .args(["--set", "limits.disk_free_min=1MiB", "run", "-", "--state-dir", state])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("writes");
    let mut printed = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut shown: Vec<String> = printed.by_ref().take(lines).collect::<Result<_, _>>().expect("lines");
    interrupt(&child);
    shown.extend(printed.collect::<Result<Vec<_>, _>>().expect("whole lines"));
    let output = child.wait_with_output().expect("ends");
    (output.status.code(), shown, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_script_that_is_interrupted_ends_in_order_and_goes_on_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("out.json");
    let state = directory.path().join("state").display().to_string();
    let script = "CREATE TABLE i WITH (connector = 'impulse', event_rate = 500);\n".to_owned()
        + &table("numbers", "n BIGINT", "sink", &output)
        + "INSERT INTO numbers SELECT counter FROM i;\nSELECT counter AS n FROM i;";
    let mut numbers = 0;
    for _ in 0..2 {
        let (code, shown, error) = interrupted(&script, &state, 200);
        assert_eq!((code, error.as_str()), (Some(0), ""));
        let line = |n: usize| format!("{{\"n\":{n}}}");
        let written = std::fs::read_to_string(&output).expect("the file");
        let until = numbers + shown.len();
        // What was printed is committed, and was not printed before.
        assert_eq!(shown, (numbers..until).map(line).collect::<Vec<_>>());
        assert_eq!(written.lines().collect::<Vec<_>>(), (0..until).map(line).collect::<Vec<_>>());
        numbers = until;
    }
    assert!(numbers >= 400, "{numbers}");
}

#[test]
fn what_is_wrong_with_a_script_is_told_before_anything_runs() {
    for (script, code, words) in [
        ("SELECT * FROM nowhere;", 1, "nowhere"),
        (
            "CREATE TABLE t WITH (connector = 'impulse'); SELECT * FROM t;",
            1,
            "option 'event_rate' is required",
        ),
        ("SELECT ;;; FROM", 1, ""),
    ] {
        let (given, out, error) = run(script, &[]);
        assert_eq!((given, out.as_str()), (Some(code), ""), "{script}: {error}");
        assert!(error.starts_with("error: ") && error.contains(words), "{script}: {error}");
    }
    let (code, _, error) = run("", &["--no-such-flag"]);
    assert_eq!(code, Some(2), "{error}");
}
