//! The main job: rows in, durable, files, snapshot, SQL out, also after a restart.

use cenote_testkit::needs;
use cenote_testkit::node::TestNode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_by_every_format_and_out_by_sql() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("cpu,host=a usage=1.5,cores=4i 1000000\ncpu,host=b usage=2.5,cores=8i 2000000").await;
    let csv = "time,host,usage\n1970-01-01T00:00:03Z,c,3.5\n";
    let answer =
        client.send("POST", "/api/v1/write/csv?table=cpu&tags=host", &[], csv).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    let rows = r#"[{"time":"1970-01-01T00:00:04Z","host":"d","usage":4.5}]"#;
    let answer =
        client.send("POST", "/api/v1/write/json?table=cpu&tags=host", &[], rows).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    let answer = client.send("POST", "/api/v1/write/msgpack", &[], message_pack()).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    let expected = vec![
        vec![json!("a"), json!(1.5), json!(4)],
        vec![json!("b"), json!(2.5), json!(8)],
        vec![json!("c"), json!(3.5), json!(null)],
        vec![json!("d"), json!(4.5), json!(null)],
        vec![json!("e"), json!(5.5), json!(null)],
    ];
    assert_eq!(client.sql("SELECT host, usage, cores FROM cpu ORDER BY time").await, expected);
    client.sql("FLUSH cpu").await;
    assert_eq!(client.sql("SELECT host, usage, cores FROM cpu ORDER BY time").await, expected);
}

/// `{"m":"cpu","columns":{"time":[5000],"usage":[5.5],"host":["e"]},"tags":["host"],"time_unit":"ms"}`
fn message_pack() -> Vec<u8> {
    let mut body = vec![0x84];
    let text = |body: &mut Vec<u8>, text: &str| {
        body.push(0xa0 | text.len() as u8);
        body.extend(text.as_bytes());
    };
    text(&mut body, "m");
    text(&mut body, "cpu");
    text(&mut body, "columns");
    body.push(0x83);
    text(&mut body, "time");
    body.extend([0x91, 0xcd, 0x13, 0x88]);
    text(&mut body, "usage");
    body.extend([0x91, 0xcb]);
    body.extend(5.5f64.to_be_bytes());
    text(&mut body, "host");
    body.push(0x91);
    text(&mut body, "e");
    text(&mut body, "tags");
    body.push(0x91);
    text(&mut body, "host");
    text(&mut body, "time_unit");
    text(&mut body, "ms");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn both_influx_endpoints_take_line_protocol_and_compression() {
    let node = TestNode::start().await;
    let client = node.client();
    let answer =
        client.send("POST", "/write?db=metrics&precision=s", &[], "m,t=x v=1 1").await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"m,t=x v=2 2000").expect("compressed");
    let body = gzip.finish().expect("compressed");
    let path = "/api/v2/write?bucket=metrics&org=any&precision=ms";
    let answer = client.send("POST", path, &[("content-encoding", "gzip")], body).await.expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(client.number("SELECT count(*) FROM metrics.m").await, 2);
    assert_eq!(client.number("SELECT sum(v)::BIGINT FROM metrics.m WHERE t = 'x'").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_outlive_a_stop_and_a_crash() {
    let mut node = TestNode::start().await;
    node.client().write("cpu,host=a usage=1 1").await;
    node.crash().await;
    assert_eq!(node.client().number("SELECT count(*) FROM cpu").await, 1);
    node.client().write("cpu,host=a usage=2 2").await;
    node.restart().await;
    assert_eq!(node.client().number("SELECT count(*) FROM cpu").await, 2);
    node.client().sql("FLUSH cpu").await;
    node.client().write("cpu,host=a usage=3 3").await;
    node.crash().await;
    assert_eq!(node.client().number("SELECT count(*) FROM cpu").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_readable_by_version_and_by_time() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    client.sql("INSERT INTO t VALUES (1), (2), (3)").await;
    let version = client.number("SELECT max(txn) FROM system.catalog.transactions").await;
    let at = client.sql("SELECT now()").await[0][0].as_str().expect("a time").to_owned();
    client.sql("DELETE FROM t WHERE n = 2").await;
    assert_eq!(client.number("SELECT count(*) FROM t").await, 2);
    assert_eq!(client.number(&format!("SELECT count(*) FROM t FOR VERSION AS OF {version}")).await, 3);
    assert_eq!(client.number(&format!("SELECT count(*) FROM t FOR TIMESTAMP AS OF '{at}'")).await, 3);
    let future = client.try_sql("SELECT * FROM t FOR VERSION AS OF 999999").await.expect("an answer");
    assert_eq!((future.status, future.json()["sqlstate"].as_str()), (400, Some("22023")), "{}", future.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_are_all_or_nothing() {
    let node = TestNode::start().await;
    let client = node.client();
    let answer = client
        .try_sql("CREATE TABLE a (n BIGINT); INSERT INTO a VALUES (1); INSERT INTO missing VALUES (2)")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 404, "{}", answer.text);
    let answer = client.try_sql("SELECT * FROM a").await.expect("an answer");
    assert_eq!((answer.status, answer.json()["sqlstate"].as_str()), (404, Some("42P01")), "{}", answer.text);
    client.sql("CREATE TABLE a (n BIGINT); INSERT INTO a VALUES (1)").await;
    assert_eq!(client.number("SELECT count(*) FROM a").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_commit_is_answered_late_keeps_its_rows() {
    if !needs("the feature failpoints", fail::has_failpoints()) {
        return;
    }
    let scenario = fail::FailScenario::setup();
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    fail::cfg("commit.answer", "1*return").expect("configured");
    client.sql("INSERT INTO t SELECT value FROM generate_series(1, 100000) AS s(value)").await;
    assert_eq!(client.number("SELECT sum(n)::BIGINT FROM t").await, 5_000_050_000);
    scenario.teardown();
}
