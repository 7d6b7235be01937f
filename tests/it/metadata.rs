//! Published metadata by the front doors: manifests, signed URLs, the gateway, and readers that know nothing of Cenote.

use std::collections::BTreeMap;

use cenote_testkit::client::{Answer, Client};
use cenote_testkit::needs;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::process::Process;
use cenote_testkit::services::{ask_python, python_environment};
use serde_json::{Value, json};

/// Publishes only when asked to.
const QUIET: [(&str, &str); 1] = [("metadata.publish_interval", "0s")];

async fn quiet_node() -> TestNode {
    TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &QUIET).await.expect("always there")
}

async fn get(client: &Client, path: &str) -> Answer {
    client.send("GET", path, &[], "").await.expect("an answer")
}

async fn post(client: &Client, path: &str, body: Value) -> Answer {
    client.send("POST", path, &[], body.to_string()).await.expect("an answer")
}

async fn publish(client: &Client) -> Value {
    let answer = client.send("POST", "/api/v1/metadata/publish", &[], "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// A request by a signed URL, without any token.
async fn fetch(method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
    Client::new(url, "").send(method, "", headers, "").await.expect("an answer")
}

async fn url_of(client: &Client, table: &str) -> (String, u64) {
    let answer = post(client, "/api/v1/browser/urls", json!({ "tables": [table] })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let one = answer.json()["urls"][0].clone();
    (one["url"].as_str().expect("a URL").to_owned(), one["bytes"].as_u64().expect("a size"))
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_published_listed_and_waited_for() {
    let node = quiet_node().await;
    let client = node.client();
    assert_eq!(get(&client, "/api/v1/metadata/manifest").await.status, 404, "nothing is published");
    client.write("cpu,host=a usage=1 1").await;
    client.sql("FLUSH cpu").await;
    let first = publish(&client).await;
    assert_eq!(
        (&first["manifest_id"], &first["lag_txn"], &first["format"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!(publish(&client).await["manifest_id"], 1, "nothing changed");
    let before = node.head().await;
    client.sql("CREATE TABLE t (n BIGINT)").await;
    let lagging = get(&client, "/api/v1/metadata/manifest").await;
    assert_eq!(lagging.json()["lag_txn"], node.head().await - before);
    assert_eq!(lagging.header("x-cenote-published-txn"), Some(before.to_string().as_str()));
    let behind = get(&client, &format!("/api/v1/metadata/manifest?txn_at_least={}", node.head().await)).await;
    assert_eq!((behind.status, behind.json()["reason"].clone()), (404, json!("not_published_yet")));

    let path = format!("/api/v1/metadata/manifest?txn_at_least={}&wait_ms=30000", node.head().await);
    let (waited, rows) = tokio::join!(get(&client, &path), client.sql("PUBLISH METADATA"));
    assert_eq!((waited.status, &waited.json()["manifest_id"]), (200, &json!(2)), "{}", waited.text);
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!(2), &json!(node.head().await)));
    let listed = get(&client, "/api/v1/metadata/manifests").await.json();
    let ids: Vec<&Value> =
        listed["manifests"].as_array().expect("a list").iter().map(|one| &one["manifest_id"]).collect();
    assert_eq!(ids, [&json!(2), &json!(1)]);
    assert_eq!(
        client.sql("SELECT manifest_id, txn FROM system.meta.publications ORDER BY 1").await[0],
        [json!(1), json!(before)]
    );
    let one = get(&client, "/api/v1/metadata/manifest?manifest_id=1").await;
    assert_eq!((one.status, &one.json()["txn"]), (200, &json!(before)));
    let then = listed["manifests"][1]["published_at"].as_str().expect("a time");
    let as_of = get(&client, &format!("/api/v1/metadata/manifest?as_of={then}")).await;
    assert_eq!((as_of.status, &as_of.json()["manifest_id"]), (200, &json!(1)), "{}", as_of.text);
    for (query, status) in [
        ("manifest_id=9", 404),
        ("manifest_id=x", 400),
        ("manifest_id=1&txn_at_least=1", 400),
        ("wait_ms=5", 400),
        ("as_of=2000-01-01T00:00:00Z", 404),
        ("as_of=yesterday", 400),
        ("nonsense=1", 400),
    ] {
        let answer = get(&client, &format!("/api/v1/metadata/manifest?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
    // Collected: its row is gone.
    let catalog = &node.node().services.catalog;
    let scope = catalog.tenant("default").await.expect("read").expect("there");
    let lease = catalog.take_publisher(&scope, std::time::Duration::from_secs(60)).await.expect("asked");
    catalog.forget_publications(&scope, &[1], &lease.expect("free")).await.expect("forgotten");
    for path in ["manifest?manifest_id=1", &format!("manifest?as_of={then}"), "duckdb.sql?manifest_id=1"] {
        assert_eq!(get(&client, &format!("/api/v1/metadata/{path}")).await.status, 410, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_are_refused_in_order_and_none_is_signed_then() {
    let node = quiet_node().await;
    let client = node.client();
    let ask = async |body: Value| {
        let answer = post(&client, "/api/v1/browser/urls", body).await;
        (answer.status, answer.json()["reason"].as_str().unwrap_or("").to_owned())
    };
    let denied = |reason: &str| (403, reason.to_owned());
    assert_eq!(ask(json!({"all": true})).await, (404, String::new()), "nothing is published");
    publish(&client).await;
    assert_eq!(ask(json!({"domain": "storage", "paths": ["../x"]})).await, (400, String::new()));
    assert_eq!(ask(json!({})).await, (400, String::new()));
    assert_eq!(ask(json!({"al": true})).await, (400, String::new()));
    for path in ["../m", "/etc/passwd", "t\\x", "t/%2e%2e/x", "t/a\nb", "t//x", "t/./x", ""] {
        let asked = json!({"paths": [path], "tables": ["access.tokens"]});
        assert_eq!(ask(asked).await, denied("path_traversal"), "{path}");
    }
    for asked in [
        json!({"tables": ["access.tokens", "nothing.here"]}),
        json!({"paths": ["t/access.tokens/00.parquet"]}),
        json!({"domain": "access"}),
    ] {
        assert_eq!(ask(asked.clone()).await, denied("private_artifact"), "{asked}");
    }
    for asked in [
        json!({"tables": ["catalog.tables", "storage.files"]}),
        json!({"paths": ["current.json"]}),
        json!({"paths": ["m/00000000000000000001.json"]}),
        json!({"paths": ["t/catalog.tables/00.parquet"]}),
    ] {
        assert_eq!(ask(asked.clone()).await, denied("not_in_allowlist"), "{asked}");
    }
    let answer =
        post(&client, "/api/v1/browser/urls", json!({"domain": "catalog", "ttl_seconds": 99_999})).await;
    assert_eq!((answer.status, &answer.json()["ttl_seconds"]), (200, &json!(3_600)), "{}", answer.text);
    let urls = answer.json()["urls"].as_array().expect("a list").clone();
    assert!(
        urls.len() >= 5
            && urls.iter().all(|one| one["table"].as_str().is_some_and(|t| t.starts_with("catalog.")))
    );
    let path = urls[0]["path"].clone();
    let answer =
        post(&client, "/api/v1/browser/urls", json!({"paths": [path, path], "ttl_seconds": -5})).await;
    assert_eq!(
        (answer.json()["urls"].as_array().map(Vec::len), &answer.json()["ttl_seconds"]),
        (Some(1), &json!(1))
    );
    let metrics = get(&client, "/metrics").await.text;
    for reason in ["path_traversal", "private_artifact", "not_in_allowlist"] {
        let line = format!("cenote_url_requests_total{{outcome=\"deny\",reason=\"{reason}\"}}");
        assert!(metrics.contains(&line), "{line}");
    }
    // 21 so far, of which each counted; the hundred is soon full.
    let mut last = 200;
    for _ in 0..300 {
        let answer = post(&client, "/api/v1/browser/urls", json!({"all": true})).await;
        last = answer.status;
        if last == 429 {
            assert!(answer.header("retry-after").is_some());
            break;
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_file_is_read_whole_by_ranges_and_by_its_tag() {
    let node = quiet_node().await;
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    publish(&client).await;
    let (url, size) = url_of(&client, "catalog.tables").await;
    assert!(url.ends_with(".parquet") && url.starts_with(&node.url()), "{url}");
    let head = fetch("HEAD", &url, &[]).await;
    assert_eq!((head.status, head.text.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    let etag = head.header("etag").expect("a tag").to_owned();
    assert!(url.contains(etag.trim_matches('"')), "the tag is of the SHA-256, as the name is");
    let bytes = async |range: &str| {
        let response = reqwest_get(&url, &[("range", range), ("accept-encoding", "gzip, zstd")]).await;
        (response.0, response.1, response.2)
    };
    let whole = reqwest_get(&url, &[("accept-encoding", "gzip, zstd")]).await;
    assert_eq!(
        (whole.0, whole.2.len() as u64, &whole.2[..4]),
        (200, size, &b"PAR1"[..]),
        "and is not compressed"
    );
    let (status, range, part) = bytes("bytes=0-3").await;
    assert_eq!(
        (status, range.as_str(), part.as_slice()),
        (206, format!("bytes 0-3/{size}").as_str(), &b"PAR1"[..])
    );
    assert_eq!(bytes("bytes=-4").await.2, b"PAR1");
    assert_eq!(bytes(&format!("bytes={}-", size - 4)).await.2, b"PAR1");
    assert_eq!(bytes(&format!("bytes={size}-")).await.0, 416);
    assert_eq!(bytes("bytes=0-1,3-4").await.0, 416);
    assert_eq!(fetch("GET", &url, &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(fetch("GET", &url, &[("range", "bytes=0-3"), ("if-range", &etag)]).await.status, 206);
    assert_eq!(reqwest_get(&url, &[("range", "bytes=0-3"), ("if-range", "\"other\"")]).await.0, 200);
    let preflight =
        fetch("OPTIONS", &url, &[("origin", "http://elsewhere"), ("access-control-request-method", "GET")])
            .await;
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "Range, If-None-Match, If-Range"),
        ("access-control-expose-headers", "Content-Length, Content-Range, Accept-Ranges, ETag"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(preflight.header(name), Some(value), "{name}");
    }
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(fetch("POST", &url, &[]).await.status, 405);

    let rotated = post(&client, "/api/v1/browser/keys/rotate", json!(null)).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let (newer, _) = url_of(&client, "catalog.tables").await;
    assert!(newer.contains(rotated.json()["kid"].as_str().expect("a kid")));
    for url in [&url, &newer] {
        assert_eq!(fetch("HEAD", url, &[]).await.status, 200, "the key before verifies for an hour");
    }
}

/// Status, `Content-Range` and the bytes as they came.
async fn reqwest_get(url: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
    let mut request = reqwest::Client::new().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let range = response.headers().get("content-range").map(|value| value.to_str().expect("text").to_owned());
    (response.status().as_u16(), range.unwrap_or_default(), response.bytes().await.expect("a body").to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_was_changed_expired_or_is_anothers_is_refused_and_no_log_holds_any_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &["log.level=debug", "metadata.publish_interval=0s"]);
    let client = process.client();
    publish(&client).await;
    let (url, _) = url_of(&client, "catalog.tables").await;
    let short =
        post(&client, "/api/v1/browser/urls", json!({"tables": ["catalog.schemas"], "ttl_seconds": 1})).await;
    let short = short.json()["urls"][0]["url"].as_str().expect("a URL").to_owned();
    assert_eq!(fetch("GET", &url, &[]).await.status, 200);
    let (base, rest) = url.split_once("/files/").expect("a gateway");
    let (ticket, path) = rest.split_once('/').expect("a path");
    let (expires, signed) = ticket.split_once('.').expect("an end");
    let (kid, signature) = signed.split_once('.').expect("a signature");
    let flipped: String = signature.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    let last = path.rsplit('/').next().expect("a name");
    let later = expires.parse::<i64>().expect("a number") + 1_000;
    for wrong in [
        format!("{base}/files/{ticket}/{}", path.replace("catalog.tables", "catalog.columns")),
        format!("{base}/files/{ticket}/{}", path.replace("/default/", "/second/")),
        format!("{base}/files/{ticket}/{}", path.replace(last, "00.parquet")),
        format!("{base}/files/{ticket}/_cenote/meta/default/lake/current.json"),
        format!("{base}/files/{ticket}/t%2f{path}"),
        format!("{base}/files/{ticket}/x/..%2f{path}"),
        format!("{base}/files/{later}.{kid}.{signature}/{path}"),
        format!("{base}/files/{expires}.{kid}.{flipped}/{path}"),
        format!("{base}/files/{expires}.{kid}./{path}"),
        format!("{base}/files/{expires}.000000000000.{signature}/{path}"),
        format!("{base}/files/nonsense/{path}"),
    ] {
        let answer = fetch("GET", &wrong, &[]).await;
        assert_eq!(answer.status, 403, "{wrong}: {}", answer.text);
        assert!(!answer.text.contains(last), "{}", answer.text);
    }
    cenote_testkit::settles("the end of the short one", cenote_testkit::PATIENCE, async || {
        fetch("GET", &short, &[]).await.status == 403
    })
    .await;
    let metrics = get(&client, "/metrics").await.text;
    for outcome in ["malformed", "signature", "expired", "unknown_key", "served"] {
        assert!(
            metrics.contains(&format!("cenote_file_requests_total{{outcome=\"{outcome}\"}}")),
            "{outcome}"
        );
    }
    let log = process.log();
    assert!(log.contains("signed url refused") && log.contains("signed urls asked for"), "they are told");
    // Of the tenant whose key it is, and of the first one if it is nobody's: here that is the same.
    let wanted = [("signature", 8), ("malformed", 2), ("unknown_key", 1), ("expired", 1)];
    cenote_testkit::settles("the refusals in the audit", cenote_testkit::PATIENCE, async || {
        let refused = refused_reads(&client).await;
        wanted.iter().all(|(reason, times)| refused.get(*reason).is_some_and(|seen| seen >= times))
    })
    .await;
    let refused = refused_reads(&client).await;
    assert_eq!(refused.len(), wanted.len(), "{refused:?}");
    for (reason, times) in &wanted[..3] {
        assert_eq!(refused.get(*reason), Some(times), "{refused:?}");
    }
    let audit = get(&client, "/api/v1/audit?limit=1000").await.text;
    for secret in [signature, flipped.as_str(), last, path] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!audit.contains(secret), "{secret} is in the audit");
    }
}

/// How often reading by a URL was refused, by reason, as the audit of the caller's tenant tells.
async fn refused_reads(client: &Client) -> BTreeMap<String, i64> {
    let entries = get(client, "/api/v1/audit?action=url_read_deny&outcome=deny&limit=1000").await.json();
    let mut refused = BTreeMap::new();
    for entry in entries["entries"].as_array().expect("entries") {
        assert_eq!((&entry["actor"], &entry["object"]), (&Value::Null, &Value::Null), "{entry}");
        assert_eq!((&entry["address"], &entry["protocol"]), (&json!("127.0.0.1"), &json!("http")), "{entry}");
        let reason = entry["reason"].as_str().expect("a reason").to_owned();
        *refused.entry(reason).or_default() += entry["times"].as_i64().expect("a count");
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_of_a_tenant_open_nothing_of_another() {
    let node = quiet_node().await;
    let (first, second) = (node.client(), node.second_tenant("second").await);
    first.sql("CREATE TABLE marker_first (n BIGINT)").await;
    publish(&first).await;
    assert_eq!(
        get(&second, "/api/v1/metadata/manifest").await.status,
        404,
        "its own catalog is not published"
    );
    cenote_testkit::settles("the new tenant has its jobs", cenote_testkit::PATIENCE, async || {
        post(&second, "/api/v1/metadata/publish", json!(null)).await.status == 200
    })
    .await;
    let (url, _) = url_of(&second, "catalog.tables").await;
    let (own, _) = url_of(&first, "catalog.tables").await;
    assert_eq!(fetch("HEAD", &url, &[]).await.status, 200);
    let (_, foreign) = own.split_once("/_cenote/").expect("a path");
    let (ticket, _) = url.split_once("/_cenote/").expect("a path");
    assert_eq!(fetch("GET", &format!("{ticket}/_cenote/{foreign}"), &[]).await.status, 403);
    cenote_testkit::settles("the refusal in the audit", cenote_testkit::PATIENCE, async || {
        refused_reads(&second).await == BTreeMap::from([("signature".to_owned(), 1)])
    })
    .await;
    assert_eq!(refused_reads(&first).await, BTreeMap::new(), "it was the key of the second");
    let paths =
        get(&first, "/api/v1/metadata/manifest").await.json()["tables"][2]["files"][0]["path"].clone();
    let asked = post(&second, "/api/v1/browser/urls", json!({"paths": [paths]})).await;
    assert_eq!((asked.status, asked.json()["reason"].clone()), (403, json!("not_in_allowlist")));
    let bytes = reqwest_get(&url, &[]).await.2;
    assert!(!String::from_utf8_lossy(&bytes).contains("marker_first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_table_are_signed_if_they_are_plain() {
    let node = quiet_node().await;
    let client = node.client();
    for sql in [
        "CREATE TABLE t (day DATE, n BIGINT) PARTITIONED BY (day) WITH (inline_max = '0', compaction.enabled = off)",
        "INSERT INTO t VALUES (DATE '2026-01-01', 1), (DATE '2026-01-02', 2), (DATE '2026-01-02', 3)",
    ] {
        client.sql(sql).await;
    }
    let then = node.head().await;
    let all = post(&client, "/api/v1/tables/t/urls", json!({})).await;
    assert_eq!((all.status, &all.json()["txn"]), (200, &json!(then)), "{}", all.text);
    let urls = all.json()["urls"].as_array().expect("a list").clone();
    assert_eq!((urls.len(), urls.iter().filter_map(|one| one["rows"].as_u64()).sum::<u64>()), (2, 3));
    for one in &urls {
        let bytes = reqwest_get(one["url"].as_str().expect("a URL"), &[]).await.2;
        assert_eq!((&bytes[..4], bytes.len() as u64), (&b"PAR1"[..], one["bytes"].as_u64().expect("a size")));
    }
    let some = post(&client, "/api/v1/tables/t/urls", json!({"where": "day = DATE '2026-01-01'"})).await;
    assert_eq!(some.json()["urls"].as_array().map(Vec::len), Some(1), "{}", some.text);
    let none = post(&client, "/api/v1/tables/t/urls", json!({"where": "dya = 1"})).await;
    assert!(none.status == 400 && none.text.contains("dya"), "{}", none.text);
    client.sql("DELETE FROM t WHERE n = 2").await;
    let answer = post(&client, "/api/v1/tables/t/urls", json!({})).await;
    assert_eq!(
        (answer.status, answer.json()["reason"].clone()),
        (409, json!("not_plain_files")),
        "{}",
        answer.text
    );
    assert_eq!(
        post(&client, "/api/v1/tables/t/urls", json!({"txn": then})).await.status,
        200,
        "it was plain then"
    );
    client.sql("CREATE TABLE small (n BIGINT)").await;
    client.sql("INSERT INTO small VALUES (1)").await;
    assert_eq!(
        post(&client, "/api/v1/tables/small/urls", json!({})).await.status,
        409,
        "it is in the catalog"
    );
    assert_eq!(post(&client, "/api/v1/tables/nope/urls", json!({})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_runs_the_script_and_gets_the_rows_of_system_catalog_tables() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = quiet_node().await;
    let client = node.client();
    for sql in
        ["CREATE TABLE t (n BIGINT, name VARCHAR)", "CREATE VIEW v AS SELECT n FROM t", "CREATE SCHEMA other"]
    {
        client.sql(sql).await;
    }
    client.write("cpu,host=a usage=1 1").await;
    client.sql("FLUSH cpu").await;
    publish(&client).await;
    const COLUMNS: &str = "id, uuid, schema_name, table_name, kind, format, schema_no, changed_txn";
    let expected = client.sql(&format!("SELECT {COLUMNS} FROM system.catalog.tables ORDER BY id")).await;
    let txns = client.sql("SELECT txn, operation FROM system.catalog.transactions ORDER BY txn").await;
    // After the publication: what DuckDB reads is as of then.
    client.sql("CREATE TABLE later (n BIGINT)").await;
    let script = get(&client, "/api/v1/metadata/duckdb.sql").await;
    assert_eq!(script.status, 200, "{}", script.text);
    assert!(script.text.contains("CREATE SCHEMA IF NOT EXISTS \"catalog\";"), "{}", script.text);
    let queries = [
        format!("SELECT {COLUMNS} FROM catalog.tables ORDER BY id"),
        "SELECT txn, operation FROM catalog.transactions ORDER BY txn".to_owned(),
        "SELECT count(*) FROM catalog.columns".to_owned(),
    ];
    let asked = json!({ "script": script.text, "queries": queries });
    let read = ask_python(&python, "read_metadata.py", &[], &asked);
    assert_eq!(read["answers"][0], json!(expected), "{read}");
    assert_eq!(read["answers"][1], json!(txns));
    assert!(read["answers"][2][0][0].as_i64() > Some(2), "{read}");
    // It never fetched a whole file.
    let metrics = get(&client, "/metrics").await.text;
    let of_files = metrics
        .lines()
        .filter(|line| line.starts_with("cenote_http_requests_total{") && line.contains("route=\"/files/"));
    let kinds: Vec<(bool, bool)> = of_files
        .map(|line| {
            let is = |method: &str, status: &str| {
                line.contains(&format!("method=\"{method}\""))
                    && line.contains(&format!("status=\"{status}\""))
            };
            (is("HEAD", "200"), is("GET", "206"))
        })
        .collect();
    assert!(kinds.iter().any(|(head, _)| *head) && kinds.iter().any(|(_, part)| *part), "{metrics}");
    assert!(kinds.iter().all(|(head, part)| *head || *part), "only HEAD and ranges: {metrics}");
    let only = get(&client, "/api/v1/metadata/duckdb.sql?tables=catalog.tables&ttl=60").await.text;
    assert_eq!(only.matches("CREATE OR REPLACE VIEW").count(), 1, "{only}");
    assert_eq!(get(&client, "/api/v1/metadata/duckdb.sql?tables=access.tokens").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_rows_of_a_table_keep_its_id_through_a_rename() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = quiet_node().await;
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    client.sql("INSERT INTO t VALUES (1)").await;
    publish(&client).await;
    client.sql("ALTER TABLE t RENAME TO renamed").await;
    client.sql("CREATE TABLE t (other BIGINT)").await;
    let second = publish(&client).await["manifest_id"].clone();
    let mut read = Vec::new();
    for path in ["manifest_id=1".to_owned(), format!("manifest_id={second}")] {
        let script = get(&client, &format!("/api/v1/metadata/duckdb.sql?{path}")).await;
        assert_eq!(script.status, 200, "{}", script.text);
        let asked = json!({ "script": script.text, "queries": [
            "SELECT table_name, id, uuid FROM catalog.tables ORDER BY id",
            "SELECT table_id FROM catalog.table_commits ORDER BY txn",
        ] });
        read.push(ask_python(&python, "read_metadata.py", &[], &asked)["answers"].clone());
    }
    let (before, after) = (read[0][0][0].clone(), read[1][0].clone());
    assert_eq!((&before[0], &after[0][0]), (&json!("t"), &json!("renamed")), "{read:?}");
    assert_eq!([&before[1], &before[2]], [&after[0][1], &after[0][2]], "the ids stay: {read:?}");
    assert_eq!(after[1][0], "t");
    assert_ne!(after[1][1], before[1], "another table of the old name has ids of its own");
    assert_eq!(
        (&read[0][1][0][0], &read[1][1][0][0]),
        (&before[1], &before[1]),
        "and its commits are told by them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_files_are_read_from_the_pointer_on() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(&data, &["metadata.publish_interval=0s"]);
    let client = process.client();
    client.sql("CREATE TABLE t (n BIGINT)").await;
    publish(&client).await;
    process.kill();
    let root = data.join("lake/_cenote/meta/default/lake");
    let root = root.to_str().expect("a path in UTF-8");
    let read = ask_python(&python, "read_published.py", &[root], &Value::Null);
    assert_eq!(read["tables"], json!(["t"]), "{read}");
    assert_eq!(read["every_file_has_its_hash_and_field_ids"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kills_at_any_moment_leave_every_manifest_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    for round in 0..4_u64 {
        // The last one only looks, and publishes what is left.
        let interval =
            if round < 3 { "metadata.publish_interval=1ms" } else { "metadata.publish_interval=0s" };
        let process = Process::start(&data, &[interval]);
        let client = process.client();
        let listed = get(&client, "/api/v1/metadata/manifests").await.json();
        for one in listed["manifests"].as_array().expect("a list") {
            let id = &one["manifest_id"];
            let manifest = get(&client, &format!("/api/v1/metadata/manifest?manifest_id={id}")).await;
            assert_eq!(manifest.status, 200, "{}", manifest.text);
            for table in manifest.json()["tables"].as_array().expect("tables") {
                for file in table["files"].as_array().expect("files") {
                    let path = data
                        .join("lake/_cenote/meta/default/lake")
                        .join(file["path"].as_str().expect("a path"));
                    let size =
                        std::fs::metadata(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).len();
                    assert_eq!(Some(size), file["bytes"].as_u64(), "{path:?}");
                }
            }
        }
        if round == 3 {
            let done = publish(&client).await;
            assert_eq!(done["lag_txn"], 0);
            break;
        }
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            for n in 0.. {
                // The node may be gone in the middle: that is the test.
                let made = client.try_sql(&format!("CREATE TABLE r{round}_{n} (n BIGINT)")).await;
                let published = client.send("POST", "/api/v1/metadata/publish", &[], "").await;
                if made.is_err() || published.is_err() {
                    return;
                }
            }
        });
        // The moment of the kill is what this test is about.
        tokio::time::sleep(std::time::Duration::from_millis(900 + 377 * round)).await;
        process.kill();
        while tasks.join_next().await.is_some() {}
    }
}
