//! Foreign clients, unmodified: psql, psycopg 3, pgjdbc; and our own Python client with its own tests.

use std::process::{Command, Output};

use cenote_testkit::needs;
use cenote_testkit::node::TestNode;
use cenote_testkit::services::python_environment;

fn psql(node: &TestNode, arguments: &[&str]) -> Output {
    let client = node.client();
    Command::new("psql")
        .env("PGPASSWORD", &client.token)
        .args(["-X", "-h", "127.0.0.1", "-U", "admin", "-d", "lake", "-v", "ON_ERROR_STOP=1"])
        .args(["-p", &node.node().ports.postgres[0].port().to_string()])
        .args(arguments)
        .output()
        .expect("psql runs")
}

fn out(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("ERROR"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_describes_and_asks() {
    if !needs("psql", Command::new("psql").arg("--version").output().is_ok()) {
        return;
    }
    let mut node = TestNode::start().await;
    node.client().write("cpu,host=a usage=1.5,n=4i 1000000").await;
    node.client().sql("CREATE VIEW hot AS SELECT * FROM cpu WHERE usage > 1").await;
    assert!(out(&psql(&node, &["-c", "\\d"])).contains("cpu"));
    let described = out(&psql(&node, &["-c", "\\d cpu"]));
    for word in [
        "time",
        "timestamp without time zone",
        "not null",
        "host",
        "text",
        "usage",
        "double precision",
        "bigint",
    ] {
        assert!(described.contains(word), "{word}: {described}");
    }
    let tables = out(&psql(&node, &["-c", "\\dt"]));
    assert!(tables.contains("cpu") && !tables.contains("hot"), "{tables}");
    assert!(out(&psql(&node, &["-c", "\\dv"])).contains("hot"));
    assert!(out(&psql(&node, &["-c", "\\l"])).contains("lake"));
    assert!(out(&psql(&node, &["-c", "\\dn"])).contains("default"));
    let found = out(&psql(&node, &["-At", "-c", "SELECT time, host, usage, n FROM cpu"]));
    assert_eq!(found.trim(), "1970-01-01 00:00:01|a|1.5|4");
    let oid = "SELECT oid FROM pg_catalog.pg_class WHERE relname = 'cpu'";
    let before = out(&psql(&node, &["-At", "-c", oid]));
    node.restart().await;
    assert_eq!(out(&psql(&node, &["-At", "-c", oid])), before, "object ids outlive a restart");
    let script = "BEGIN; CREATE TABLE staged (n BIGINT); INSERT INTO staged VALUES (1), (2); COMMIT; SELECT count(*) FROM staged;";
    assert!(out(&psql(&node, &["-At", "-c", script])).ends_with("2\n"));
    let failed = psql(&node, &["-c", "SELECT usage_x FROM cpu"]);
    let text = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && text.contains("LINE 1") && text.contains('^'), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psycopg_asks_in_text_and_binary_with_parameters_and_transactions() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = TestNode::start().await;
    let client = node.client();
    let output = Command::new(python.join("bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/psycopg_basics.py"))
        .arg(node.node().ports.postgres[0].port().to_string())
        .arg(&client.token)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgjdbc_asks_with_parameters_batches_and_metadata() {
    let driver = std::path::Path::new("/usr/share/java/postgresql.jar");
    let java = Command::new("java").arg("-version").output().is_ok();
    if !needs("java and the PostgreSQL JDBC driver", java && driver.exists()) {
        return;
    }
    let node = TestNode::start().await;
    let client = node.client();
    let output = Command::new("java")
        .args(["-cp", &driver.display().to_string()])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/JdbcBasics.java"))
        .arg(node.node().ports.postgres[0].port().to_string())
        .arg(&client.token)
        .output()
        .expect("java runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_writes_asks_follows_and_cancels() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = TestNode::start().await;
    let client = node.client();
    let output = Command::new(python.join("bin/python"))
        .args(["-m", "unittest", "-v"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/python"))
        .env("PYTHONPATH", "src")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CENOTE_URL", &client.url)
        .env("CENOTE_TOKEN", &client.token)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("skipped"), "{said}");
}
