//! The feed of events over HTTP: pages with a transaction to go on from, waiting, a stream that resumes.

use std::time::Duration;

use axum::body::Body;
use cenote_vocab::Permissions;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::node::{ADMIN, Node};

/// A node where a schema and a table came, rows came, the table got another name and went.
async fn node() -> Node {
    let node = Node::start().await;
    for sql in [
        "CREATE SCHEMA mart",
        "CREATE TABLE mart.t (n BIGINT)",
        "INSERT INTO mart.t VALUES (1), (2)",
        "ALTER TABLE mart.t ADD COLUMN m BIGINT",
        "ALTER TABLE mart.t RENAME TO u",
        "DELETE FROM mart.u WHERE n = 2",
        "DROP TABLE mart.u",
    ] {
        let answer = node.sql(sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    node
}

const ALL: [&str; 8] = [
    "token.created ",
    "schema.created mart",
    "table.created mart.t",
    "table.committed mart.t",
    "table.altered mart.t",
    "table.renamed mart.u",
    "table.committed mart.u",
    "table.dropped mart.u",
];

fn told(event: &Value) -> String {
    let object = &event["object"];
    let names = [&object["schema"], &object["name"]].into_iter().filter_map(Value::as_str);
    format!("{} {}", event["kind"].as_str().unwrap_or("?"), names.collect::<Vec<_>>().join("."))
}

fn all_told(page: &Value) -> Vec<String> {
    page["events"].as_array().expect("an array").iter().map(told).collect()
}

async fn page(node: &Node, query: &str) -> Value {
    let answer = node.get(&format!("/api/v1/events?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_events_goes_on_at_next_whatever_the_page() {
    let node = node().await;
    for limit in [1, 2, 3, 500] {
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = page(&node, &format!("after={after}&limit={limit}")).await;
            after = page["next"].as_i64().expect("a number");
            if page["events"].as_array().is_some_and(Vec::is_empty) {
                assert_eq!(page["next"], page["head"]);
                break;
            }
            seen.extend(all_told(&page));
        }
        assert_eq!(seen, ALL, "{limit} at a time");
    }
    let all = page(&node, "after=0").await;
    let renamed = &all["events"][5];
    assert_eq!(renamed["payload"]["from"]["name"], "t");
    assert_eq!((&renamed["actor"], &renamed["object"]["type"]), (&"admin".into(), &"table".into()));
    assert_eq!(all["events"][3]["payload"]["rows_added"], 2);
    let live = node.rows("SELECT kind FROM system.meta.events ORDER BY txn, n").await;
    assert_eq!(live.as_array().map(Vec::len), Some(ALL.len()), "{live}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_chosen_by_kind_and_object_and_bad_questions_say_why() {
    let node = node().await;
    assert_eq!(all_told(&page(&node, "after=0&kinds=schema.*,table.dropped").await), [ALL[1], ALL[7]]);
    assert_eq!(all_told(&page(&node, "after=0&object=mart.t").await), ALL[2..5]);
    let id = page(&node, "after=0&kinds=table.dropped").await["events"][0]["object"]["id"].clone();
    let of_id = page(&node, &format!("after=0&object={}", id.as_str().expect("an id"))).await;
    assert_eq!(all_told(&of_id), ALL[2..]);
    let run = "run_id=00000000-0000-0000-0000-000000000001";
    assert!(all_told(&page(&node, &format!("after=0&{run}")).await).is_empty());
    for (query, status, text) in [
        ("", 400, "after is required"),
        ("?after=x", 400, "after must be a transaction"),
        ("?after=1.2", 400, "after must be a transaction"),
        ("?after=99999", 400, "in the future"),
        ("?after=0&limit=0", 400, "limit must be 1 to 5000"),
        ("?after=0&limit=5001", 400, "limit must be 1 to 5000"),
        ("?after=0&wait_ms=30001", 400, "wait_ms must be at most 30000"),
        ("?after=0&run_id=7", 400, "is no UUID"),
        ("?after=0&sort=up", 400, "unknown parameter"),
    ] {
        let answer = node.get(&format!("/api/v1/events{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(text), "{query}: {}", answer.text());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_seen_by_who_may_read_their_objects() {
    let node = node().await;
    assert_eq!(node.sql("CREATE TABLE open (n BIGINT)").await.status, 200);
    let ask = async |secret: String| {
        let request =
            Request::get("/api/v1/events?after=0").header("authorization", format!("Bearer {secret}"));
        let answer = node.send(request, "").await;
        (answer.status.as_u16(), if answer.status == 200 { all_told(&answer.json()) } else { Vec::new() })
    };
    let some = node.token("some", Permissions::NONE, &["default"], None).await;
    assert_eq!(ask(some).await, (200, vec!["table.created default.open".to_owned()]));
    let none = node.token("none", Permissions::NONE, &[], None).await;
    assert_eq!(ask(none).await.0, 403);
    let stranger = node.stranger().await;
    assert_eq!(ask(stranger).await, (200, vec![ALL[0].to_owned()]), "another tenant has a feed of its own");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_is_woken_by_an_event_that_it_wants() {
    let node = node().await;
    let head = page(&node, "after=0").await["head"].as_i64().expect("a number");
    assert!(all_told(&page(&node, &format!("after={head}&wait_ms=1")).await).is_empty());
    let query = format!("after={head}&kinds=schema.created&wait_ms=30000");
    let waiting = page(&node, &query);
    let commits = async {
        assert_eq!(node.sql("CREATE TABLE mart.other (n BIGINT)").await.status, 200);
        assert_eq!(node.sql("CREATE SCHEMA later").await.status, 200);
    };
    let both = async { tokio::join!(waiting, commits) };
    let (woken, ()) =
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("before wait_ms is over");
    assert_eq!(all_told(&woken), ["schema.created later"]);
    node.stop().await;
}

/// Blocks of a stream until `wanted` of them came.
async fn blocks(node: &Node, request: http::request::Builder, wanted: usize) -> Vec<String> {
    let request = request.header("authorization", format!("Bearer {ADMIN}"));
    let request = request.header("accept", "text/event-stream").body(Body::empty()).expect("a request");
    let response = node.router.clone().oneshot(request).await.expect("the router answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());
    while text.matches("\n\n").count() < wanted {
        let Some(frame) = body.frame().await else { panic!("the stream ended: {text}") };
        text.push_str(std::str::from_utf8(frame.expect("whole").data_ref().expect("data")).expect("text"));
    }
    text.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_resumes_behind_the_last_one() {
    let node = node().await;
    let all = blocks(&node, Request::get("/api/v1/events?after=0"), ALL.len()).await;
    let read = |block: &String| {
        let (id, data) = block.strip_prefix("id: ")?.split_once("\ndata: ")?;
        Some((id.to_owned(), told(&serde_json::from_str(data).ok()?)))
    };
    let events: Vec<(String, String)> = all.iter().filter_map(read).collect();
    assert_eq!(events.iter().map(|(_, told)| told.as_str()).collect::<Vec<_>>(), ALL);
    for (at, (id, _)) in events.iter().enumerate().take(ALL.len() - 1) {
        let request = Request::get("/api/v1/events").header("last-event-id", id.as_str());
        let rest = blocks(&node, request, 1).await;
        assert_eq!(
            rest.iter().filter_map(read).map(|(_, told)| told).collect::<Vec<_>>(),
            ALL[at + 1..],
            "{id}"
        );
    }
    let from_now_on = blocks(&node, Request::get("/api/v1/events"), 1).await;
    let head = page(&node, "after=0").await["head"].clone();
    assert_eq!(from_now_on, [format!(": nothing new\nid: {head}")], "and how far it is read");
    node.stop().await;
}
