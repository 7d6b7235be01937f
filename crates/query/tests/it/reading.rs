//! SELECT over files and buffer, names, views, time travel, errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use cenote_query::Bounds;
use cenote_testkit::engine::node;
use cenote_vocab::Fault;
use futures::TryStreamExt;
use object_store::path::Path;
use tokio_util::task::TaskTracker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_buffer_are_one_table() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a usageIdle=1.5,n=1i 1\ncpu,host=b usageIdle=2.5,n=2i 2\n").await;
    client.rows("FLUSH cpu").await;
    node.write("cpu,host=c usageIdle=3.5,n=3i,extra=\"x\" 3\n").await;
    assert_eq!(
        client.rows("SELECT count(*), sum(n), min(usageIdle), max(usageidle) FROM cpu").await,
        ["3|6|1.5|3.5"]
    );
    assert_eq!(
        client
            .rows("SELECT host, extra FROM default.cpu WHERE time >= '1970-01-01 00:00:02' ORDER BY 1")
            .await,
        ["b|NULL", "c|x"]
    );
    assert_eq!(client.rows("SELECT count(*) FROM lake.public.CPU c WHERE c.usageIdle > 2").await, ["2"]);
    client.rows("SET freshness = 'committed'").await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_seen_exactly_once_while_flushes_commit() {
    let node = Arc::new(node().await);
    let client = node.session().await;
    node.write("cpu v=0i 0\n").await;
    let flusher = {
        let node = node.clone();
        TaskTracker::new().spawn(async move {
            let client = node.session().await;
            for _ in 0..20 {
                client.rows("FLUSH cpu").await;
            }
        })
    };
    for written in 1..60_i64 {
        node.write(&format!("cpu v={written}i {written}\n")).await;
        let rows = client.rows("SELECT count(*), count(DISTINCT v), sum(v) FROM cpu").await;
        assert_eq!(rows, [format!("{}|{}|{}", written + 1, written + 1, written * (written + 1) / 2)]);
    }
    flusher.await.expect("succeeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_leaves_files_out() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (time TIMESTAMP, v INT) PARTITIONED BY (day(time))").await;
    for day in 1..=5 {
        client.rows(&format!("INSERT INTO t VALUES ('2026-01-0{day}', {day})")).await;
    }
    let outcome = client.outcome("SELECT * FROM t WHERE time >= '2026-01-02' AND time < '2026-01-03'").await;
    assert_eq!((outcome.rows, outcome.files_scanned), (1, 1));
    let outcome = client.outcome("SELECT * FROM t WHERE v IN (4, 5)").await;
    assert_eq!((outcome.rows, outcome.files_scanned), (2, 2));
    let explained = client.rows("EXPLAIN ANALYZE SELECT * FROM t WHERE v = 1").await.join("\n");
    assert!(explained.contains("Scan|default.t: snapshot=") && explained.contains("files=1"), "{explained}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_read_by_number_and_by_time() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT)").await;
    let first = client.outcome("INSERT INTO t VALUES (1)").await.txn.expect("a txn").0;
    client.rows("INSERT INTO t VALUES (2)").await;
    assert_eq!(client.rows(&format!("SELECT count(*) FROM t AT (VERSION => {first})")).await, ["1"]);
    assert_eq!(
        client.rows(&format!("SELECT now_.id FROM t now_ LEFT JOIN t FOR VERSION AS OF {first} AS was ON was.id = now_.id WHERE was.id IS NULL")).await,
        ["2"]
    );
    assert_eq!(client.rows("SELECT count(*) FROM t FOR TIMESTAMP AS OF now()").await, ["2"]);
    assert_eq!(client.code("SELECT * FROM t FOR VERSION AS OF 1000000").await, "22023");
    client.rows(&format!("SET as_of = '{first}'")).await;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["1"]);
    assert_eq!(client.code("INSERT INTO t VALUES (3)").await, "25006");
    client.rows("RESET as_of").await;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_keep_their_columns_and_their_search_path() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE SCHEMA other").await;
    client.rows("CREATE TABLE t (id INT, name TEXT)").await;
    client.rows("INSERT INTO t VALUES (1, 'a')").await;
    client.rows("CREATE VIEW v AS SELECT * FROM t").await;
    client.rows("CREATE VIEW w (a, b) AS SELECT name, id FROM v WHERE id > 0").await;
    client.rows("ALTER TABLE t ADD COLUMN more INT").await;
    client.rows("USE other").await;
    assert_eq!(client.rows("SELECT * FROM default.v").await, ["1|a"]);
    assert_eq!(client.rows("SELECT b, a FROM default.w").await, ["1|a"]);
    assert_eq!(client.code("SELECT * FROM v").await, "42P01");
    assert_eq!(client.code("INSERT INTO default.v VALUES (1)").await, "42809");
    client.rows("DROP VIEW default.v").await;
    assert!(client.error("SELECT * FROM default.w").await.to_string().contains("view default.w"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_place_and_the_nearest_name() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE cpu (time TIMESTAMP, host TEXT, usage_idle DOUBLE, n INT)").await;
    let sql = "SELECT host,\n       usage_idel FROM cpu";
    let error = client.error(sql).await;
    assert_eq!(error.sqlstate().0, "42703");
    assert_eq!(
        error.report(sql),
        "column \"usage_idel\" does not exist in lake.default.cpu\n line 2, column 8\n   2 |        usage_idel FROM cpu\n     |        ^^^^^^^^^^\n hint: did you mean \"usage_idle\"?"
    );
    let error = client.error("SELECT timestamp FROM cpu").await;
    assert_eq!((error.sqlstate().0, error.hint().as_deref()), ("42703", Some("did you mean \"time\"?")));
    let error = client.error("SELECT * FROM cpo").await;
    assert_eq!((error.sqlstate().0, error.hint().as_deref()), ("42P01", Some("did you mean \"cpu\"?")));
    for (sql, code) in [
        ("SELECT summ(n) FROM cpu", "42883"),
        ("SELECT 1/0", "22012"),
        ("SELECT n / 0 FROM (SELECT 1 AS n) t", "22012"),
        ("SELECT CAST('abc' AS INT)", "22P02"),
        ("SELECT * FROM cpu WHERE time > 'yesterday-ish'", "22007"),
        ("SELECT host FROM cpu GROUP BY n", "42803"),
        ("SELECT a.host FROM cpu a, cpu b WHERE host = 'x'", "42702"),
        ("SELECT 1 FROM cpu GROUP n", "42601"),
        ("SELECT * FROM nope.cpu", "42P01"),
        ("SELECT * FROM cat.default.cpu", "3D000"),
        ("SELECT * FROM cpu FOR UPDATE", "0A000"),
        ("SELECT * FROM read_csv('/etc/passwd')", "42501"),
    ] {
        let error = client.error(sql).await;
        assert_eq!(error.sqlstate().0, code, "{sql}: {error}");
        assert!(
            !error.to_string().contains("DataFusion") && !error.to_string().contains("Context("),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_mean_what_their_users_expect() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (a INT, b INT, \"mixedCase\" TEXT)").await;
    client.rows("INSERT INTO t VALUES (7, 2, 'x'), (-7, 2, 'y')").await;
    for (sql, expected) in [
        ("SELECT a // b FROM t ORDER BY 1", vec!["-3", "3"]),
        ("SELECT 7.5 // 2", vec!["3.0"]),
        ("FROM t SELECT a ORDER BY a", vec!["-7", "7"]),
        ("SELECT * EXCLUDE (b) FROM t ORDER BY a", vec!["-7|y", "7|x"]),
        ("SELECT a, b FROM t ORDER BY ALL", vec!["-7|2", "7|2"]),
        ("SELECT *, a, count(*) OVER (), count(*) OVER () FROM t WHERE a > 0", vec!["7|2|x|7|1|1"]),
        ("SELECT mixedcase, count(*), FROM t GROUP BY mixedcase ORDER BY 1", vec!["x|1", "y|1"]),
        ("SELECT TIMESTAMP '2026-01-01' + INTERVAL 1 HOUR", vec!["2026-01-01T01:00:00"]),
        ("TABLE t", vec!["7|2|x", "-7|2|y"]),
        ("SELECT 1, 1", vec!["1|1"]),
        ("SELECT x::int FROM (VALUES ('1')) v(x)", vec!["1"]),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT sum(n) FROM r",
            vec!["6"],
        ),
    ] {
        assert_eq!(client.rows(sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_take_the_type_of_their_context() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT, name TEXT, at TIMESTAMP)").await;
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let prepared = client.session.prepare("INSERT INTO t VALUES ($1, $2, $3)", &[]).await.expect("succeeds");
    let types: Vec<String> = prepared.parameters.iter().map(ToString::to_string).collect();
    assert_eq!(types[..2], ["Int64", "Utf8"]);
    assert!(types[2].starts_with("Timestamp"), "{types:?}");
    client
        .run_with(
            "INSERT INTO t VALUES ($1, $2, $3)",
            vec![text("1"), text("a"), text("2026-01-01 00:00:00")],
        )
        .await
        .expect("succeeds");
    let (rows, _) = client
        .run_with(
            "SELECT name FROM t WHERE id = $1 AND name = $2 LIMIT 1",
            vec![Arc::new(Int64Array::from(vec![1])), text("a")],
        )
        .await
        .expect("succeeds");
    assert_eq!(rows, ["a"]);
    let prepared = client.session.prepare("SELECT $1 AS x, id FROM t", &[]).await.expect("succeeds");
    assert_eq!(prepared.columns.as_ref().expect("succeeds").fields().len(), 2);
    assert_eq!(
        client.run_with("SELECT id FROM t WHERE id = $1", Vec::new()).await.expect_err("fails").sqlstate().0,
        "08P01"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_columns_between_prepare_and_execute_is_told() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT)").await;
    let prepared = client.session.prepare("SELECT * FROM t", &[]).await.expect("succeeds");
    client.rows("ALTER TABLE t ADD COLUMN b INT").await;
    let promised = Bounds { promised: true, ..Bounds::default() };
    let Err(error) = client.session.execute(&prepared, Vec::new(), promised).await else {
        panic!("columns changed")
    };
    let free = client.session.execute(&prepared, Vec::new(), Bounds::default()).await.expect("as it is now");
    assert_eq!(free.schema.fields().len(), 2, "nobody has seen the columns that were described");
    drop(free);
    assert_eq!(error.to_string(), "cached plan must not change result type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_described_otherwise_is_not_made() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT, b INT, c INT)").await;
    client.rows("INSERT INTO t VALUES (1, 1, 1)").await;
    let statements = [
        "INSERT INTO t (id) VALUES (2) RETURNING *",
        "UPDATE t SET b = b + 1 RETURNING *",
        "DELETE FROM t WHERE id = 1 RETURNING *",
    ];
    let mut prepared = Vec::new();
    for sql in statements {
        prepared.push(client.session.prepare(sql, &[]).await.expect("succeeds"));
    }
    client.rows("ALTER TABLE t DROP COLUMN c").await;
    for prepared in &prepared {
        let promised = Bounds { promised: true, ..Bounds::default() };
        let Err(error) = client.session.execute(prepared, Vec::new(), promised).await else {
            panic!("columns changed")
        };
        assert_eq!(
            (error.sqlstate().0, error.to_string().as_str()),
            ("0A000", "cached plan must not change result type")
        );
        assert_eq!(client.rows("SELECT * FROM t").await, ["1|1"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_bounds_from_statistics_are_right() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT, x DOUBLE, s TEXT)").await;
    client.rows("INSERT INTO t VALUES (1, 'NaN', 'a'), (2, 1.0, NULL), (3, -0.0, 'long text that is cut at thirty-two bytes, so no bound')").await;
    assert_eq!(
        client.rows("SELECT count(*), count(s), min(id), max(id), max(s) FROM t").await,
        ["3|2|1|3|long text that is cut at thirty-two bytes, so no bound"]
    );
    assert_eq!(client.rows("SELECT count(*) FROM t WHERE x > 5").await, ["1"]);
    client.rows("DELETE FROM t WHERE id = 3").await;
    assert_eq!(client.rows("SELECT max(id), count(*), count(s) FROM t").await, ["2|2|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_bounds_read_no_data_file() {
    let node = node().await;
    let client = node.session().await;
    for n in 1..=3_i64 {
        node.write(&format!("cpu,host=a n={n}i {n}\ncpu,host=b n={}i {}\n", 10 * n, 10 * n)).await;
        client.rows("FLUSH cpu").await;
    }
    let bounds = "SELECT count(*), count(n), min(n), max(n), min(time), max(time) FROM cpu";
    let wanted = ["6|6|1|30|1970-01-01T00:00:01|1970-01-01T00:00:30"];
    assert_eq!(client.rows(bounds).await, wanted);
    remove_data_files(&node.lake).await;
    assert_eq!(client.rows(bounds).await, wanted);
    assert_eq!(client.rows("SELECT count(*) AS all_rows FROM cpu c").await, ["6"]);
    node.write("cpu,host=c n=7i 7\n").await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["7"], "the buffer knows its rows");
    client.error("SELECT sum(n) FROM cpu").await; // the files are gone for certain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_delete_rows_are_counted_without_files_and_bounds_are_read() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a n=1i 1\ncpu,host=b n=2i 2\ncpu,host=c n=3i 3\n").await;
    client.rows("FLUSH cpu").await;
    client.rows("DELETE FROM cpu WHERE n = 3").await;
    assert_eq!(client.rows("SELECT max(n), min(n) FROM cpu").await, ["2|1"], "the largest row is gone");
    remove_data_files(&node.lake).await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["2"]);
    client.error("SELECT max(n) FROM cpu").await; // only the file knows which rows are left
}

async fn remove_data_files(lake: &cenote_table::Lake) {
    let paths: Vec<_> = lake.store.list(&Path::default()).try_collect().await.expect("listed");
    assert!(!paths.is_empty());
    for listed in paths {
        lake.store.delete(&listed.path).await.expect("deleted");
    }
}
