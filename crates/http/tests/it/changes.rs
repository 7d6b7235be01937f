//! The change feed over HTTP: pages with a position to go on from, waiting, events.

use std::time::Duration;

use axum::body::Body;
use cenote_vocab::Permissions;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::node::{ADMIN, Node};

/// A node with a table `t (n)` in which rows came, went, and were moved.
async fn node() -> Node {
    let node = Node::start().await;
    for sql in [
        "CREATE TABLE t (n BIGINT)",
        "INSERT INTO t VALUES (1), (2), (3)",
        "DELETE FROM t WHERE n = 2",
        "INSERT INTO t VALUES (4), (5)",
        "OPTIMIZE TABLE t FULL",
        "DELETE FROM t WHERE n > 3",
    ] {
        let answer = node.sql(sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    node
}

fn told(changes: &Value) -> Vec<String> {
    let told = |change: &Value| format!("{} {}", change["_change_type"].as_str().unwrap_or("?"), change["n"]);
    changes.as_array().expect("an array").iter().map(told).collect()
}

const ALL: [&str; 8] =
    ["insert 1", "insert 2", "insert 3", "delete 2", "insert 4", "insert 5", "delete 4", "delete 5"];

async fn page(node: &Node, from: &str, more: &str) -> Value {
    let answer = node.get(&format!("/api/v1/tables/t/changes?from={from}{more}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_where_a_page_ended_whatever_its_size() {
    let node = node().await;
    for limit in [1, 2, 3, 7, 8, 100] {
        let (mut from, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let page = page(&node, &from, &format!("&limit={limit}")).await;
            let changes = told(&page["changes"]);
            assert!(changes.len() <= limit);
            let next = page["next"].as_str().expect("a position").to_owned();
            if changes.is_empty() {
                assert_eq!(next, page["head"].to_string());
                break;
            }
            seen.extend(changes);
            from = next;
        }
        assert_eq!(seen, ALL, "{limit} at a time");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_columns_and_an_end_can_be_asked_for() {
    let node = node().await;
    let deleted = page(&node, "0", "&types=delete").await;
    assert_eq!(told(&deleted["changes"]), ["delete 2", "delete 4", "delete 5"]);
    let first = page(&node, "0", "&limit=1").await["changes"][0]["_txn"].as_i64().expect("a number");
    let until = page(&node, "0", &format!("&to={first}")).await;
    assert_eq!(told(&until["changes"]), ALL[..3]);
    assert_eq!(until["next"], first.to_string());
    let bare = page(&node, "0", "&columns=&limit=1&types=delete").await;
    assert_eq!(bare["changes"].as_array().expect("an array").len(), 1);
    let arrow = node.get("/api/v1/tables/t/changes?from=0&format=arrow").await;
    let mut reader =
        arrow::ipc::reader::StreamReader::try_new(arrow.body.as_slice(), None).expect("a stream");
    assert_eq!(reader.next().expect("a batch").expect("readable").column(6).len(), 3);
    assert_eq!(arrow.header("x-cenote-next"), arrow.header("x-cenote-head"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_says_why() {
    let node = node().await;
    for (query, status, text) in [
        ("", 400, "from is required"),
        ("?from=x", 400, "neither a transaction, nor a position, nor a time"),
        ("?from=0&limit=0", 400, "limit must be 1 to 100000"),
        ("?from=0&limit=100001", 400, "limit must be 1 to 100000"),
        ("?from=0&wait_ms=30001", 400, "wait_ms must be at most 30000"),
        ("?from=0&types=inserted", 400, "\"inserted\" is no kind of change"),
        ("?from=0&to=5:1:1", 400, "to must be a transaction or a time"),
        ("?from=0&to=99999", 400, "in the future"),
        ("?from=99999", 400, "cannot end at"),
        ("?from=0&format=csv", 400, "answered as json or arrow"),
        ("?from=0&sort=up", 400, "unknown parameter \"sort\""),
    ] {
        let answer = node.get(&format!("/api/v1/tables/t/changes{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(&text.replace('"', "\\\"")), "{query}: {}", answer.text());
    }
    assert_eq!(node.get("/api/v1/tables/nope/changes?from=0").await.status, 404);
    assert_eq!(node.sql("VACUUM TABLE t KEEP 0 HOURS").await.status, 200);
    let gone = node.get("/api/v1/tables/t/changes?from=0").await;
    assert_eq!(gone.status, 410, "{}", gone.text());
    assert!(gone.text().contains("are no longer kept"), "{}", gone.text());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_is_woken_by_a_commit() {
    let node = node().await;
    let next = page(&node, "0", "").await["next"].as_str().expect("a position").to_owned();
    let empty = page(&node, &next, "&wait_ms=1").await;
    assert_eq!(told(&empty["changes"]), [""; 0]);
    let waiting = page(&node, &next, "&wait_ms=30000");
    let commit = async {
        // a commit that changes no row of the table must not end the wait
        assert_eq!(node.sql("CREATE TABLE other (n BIGINT)").await.status, 200);
        assert_eq!(node.sql("INSERT INTO t VALUES (6)").await.status, 200);
    };
    let both = async { tokio::join!(waiting, commit) };
    let (woken, ()) =
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("before wait_ms is over");
    assert_eq!(told(&woken["changes"]), ["insert 6"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_see_nothing() {
    let node = node().await;
    let id = node.rows("SELECT uuid FROM system.catalog.tables WHERE table_name = 't'").await;
    let id = id[0][0].as_str().expect("a uuid").to_owned();
    assert_eq!(node.get(&format!("/api/v1/tables/{id}/changes?from=0")).await.status, 200);
    let elsewhere = node.token("elsewhere", Permissions::NONE, &["elsewhere"], None).await;
    let stranger = node.stranger().await;
    for secret in [elsewhere, stranger] {
        let ask = async |table: &str| -> (u16, String) {
            let request = Request::get(format!("/api/v1/tables/{table}/changes?from=0"));
            let request = request.header("authorization", format!("Bearer {secret}"));
            let answer = node.send(request.header("x-request-id", "same"), "").await;
            (answer.status.as_u16(), answer.text().replace(&format!("\\\"{table}\\\""), "it"))
        };
        let missing = ask("nope").await;
        assert_eq!(missing.0, 404);
        for hidden in ["t", "default.t", &id] {
            assert_eq!(ask(hidden).await, missing, "{hidden}");
        }
    }
    node.stop().await;
}

/// A stream of events, and what came of it so far.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    async fn of(node: &Node, request: http::request::Builder) -> Self {
        let request = request.header("authorization", format!("Bearer {ADMIN}"));
        let request = request.header("accept", "text/event-stream").body(Body::empty()).expect("a request");
        let response = node.router.clone().oneshot(request).await.expect("the router answers");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// All that came, once these are `wanted` at least.
    async fn until(&mut self, wanted: usize) -> Vec<String> {
        while self.text.matches("\n\n").count() < wanted {
            let Some(frame) = self.body.frame().await else { panic!("the stream ended: {}", self.text) };
            let frame = frame.expect("whole");
            self.text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
        }
        self.text.split_terminator("\n\n").map(str::to_owned).collect()
    }
}

/// The events of a stream until `wanted` of them came.
async fn events(node: &Node, request: http::request::Builder, wanted: usize) -> Vec<String> {
    Events::of(node, request).await.until(wanted).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_carry_positions_that_resume() {
    let node = node().await;
    let all = events(&node, Request::get("/api/v1/tables/t/changes?from=0"), ALL.len() + 1).await;
    assert!(all[0].starts_with("event: schema\ndata: {\"columns\":"), "{}", all[0]);
    assert_eq!(all.len(), ALL.len() + 1);
    let row = |event: &String| {
        let (id, data) = event.strip_prefix("id: ")?.split_once("\ndata: ")?;
        Some((id.to_owned(), serde_json::from_str::<Value>(data).ok()?["n"].to_string()))
    };
    let rows: Vec<(String, String)> = all.iter().filter_map(row).collect();
    assert_eq!(
        rows.iter().map(|(_, n)| n.as_str()).collect::<Vec<_>>(),
        ["1", "2", "3", "2", "4", "5", "4", "5"]
    );
    let resumed = Request::get("/api/v1/tables/t/changes?from=0").header("last-event-id", &rows[4].0);
    let rest = events(&node, resumed, 4).await;
    assert_eq!(rest[1..], all[6..]);

    // a new column is told before the first row that has it
    let alter = "ALTER TABLE t ADD COLUMN more TEXT; INSERT INTO t VALUES (7, 'x')";
    let resumed = Request::get("/api/v1/tables/t/changes?from=0").header("last-event-id", &rows[7].0);
    let mut stream = Events::of(&node, resumed).await;
    stream.until(1).await;
    for sql in alter.split("; ") {
        assert_eq!(node.sql(sql).await.status, 200, "{sql}");
    }
    let told = stream.until(3).await;
    let told: Vec<&String> = told.iter().filter(|event| !event.starts_with(':')).collect();
    let schemas = told.iter().filter(|event| event.starts_with("event: schema")).count();
    assert!(schemas >= 2, "{told:?}");
    assert!(told.last().is_some_and(|event| event.contains("\"more\":\"x\"")), "{told:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_does_not_ask_for_each_commit_of_others() {
    let node = node().await;
    let from = page(&node, "0", "").await["head"].to_string();
    let wait = Duration::from_secs(2);
    let waiting = page(&node, &from, "&wait_ms=2000");
    let committing = async {
        let (began, mut commits) = (std::time::Instant::now(), 0);
        while began.elapsed() < wait {
            let name = format!("other{commits}");
            assert_eq!(node.sql(&format!("CREATE TABLE {name} (n BIGINT)")).await.status, 200);
            commits += 1;
        }
        commits
    };
    let before = statements(&node).await;
    let (seen, commits) = futures::future::join(waiting, committing).await;
    assert!(told(&seen["changes"]).is_empty());
    let asked = statements(&node).await - before - commits;
    let most = i64::try_from(wait.as_millis() / 20).expect("a number") + 2;
    assert!(asked <= most, "asked {asked} times while there were {commits} commits");
}

/// How many statements have ended.
async fn statements(node: &Node) -> i64 {
    let answer = node.get("/metrics").await;
    let text = answer.text();
    let counts = text.lines().filter(|line| line.starts_with("cenote_queries_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum()
}
