//! CREATE, INSERT, DELETE, ALTER, DROP.

use cenote_testkit::engine::node;
use cenote_vocab::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_are_there_for_the_next_statement() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT NOT NULL, name TEXT, at TIMESTAMP, price DECIMAL(10,2))").await;
    let outcome = client
        .outcome("INSERT INTO t VALUES (1, 'a', '2026-01-01T10:00:00Z', 1.5), (2, NULL, NULL, NULL)")
        .await;
    assert_eq!((outcome.command.as_str(), outcome.rows, outcome.counts_rows), ("INSERT", 2, true));
    assert!(outcome.txn.is_some());
    client.rows("INSERT INTO t (name, id) SELECT 'x' || id, id + 10 FROM t").await;
    assert_eq!(
        client.rows("SELECT * FROM t ORDER BY id").await,
        ["1|a|2026-01-01T10:00:00|1.50", "2|NULL|NULL|NULL", "11|x1|NULL|NULL", "12|x2|NULL|NULL"]
    );
    assert_eq!(client.rows("SELECT count(*), count(name), max(id) FROM t").await, ["4|3|12"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rows_are_refused_and_nothing_of_them_stays() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT NOT NULL, small TINYINT, at TIMESTAMP)").await;
    assert_eq!(client.code("INSERT INTO t (small) VALUES (1)").await, "23502");
    assert_eq!(client.code("INSERT INTO t VALUES (1, 300, NULL)").await, "22003");
    assert_eq!(client.code("INSERT INTO t VALUES (1, 'x', NULL)").await, "22P02");
    assert_eq!(client.code("INSERT INTO t VALUES (1, 1, 'soon')").await, "22007");
    assert_eq!(client.code("INSERT INTO t (id, nope) VALUES (1, 1)").await, "42703");
    assert_eq!(client.code("INSERT INTO t VALUES (1, 2, NULL, 4)").await, "42601");
    assert_eq!(client.code("INSERT INTO t VALUES (1, 2, NULL) ON CONFLICT DO NOTHING").await, "42P10");
    assert_eq!(
        client.code("INSERT INTO t (id) SELECT name FROM (SELECT 'a' AS name UNION SELECT 'b') s").await,
        "42804"
    );
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_rows_are_gone_and_old_versions_still_show_them() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT, host TEXT)").await;
    client.rows("INSERT INTO t SELECT value, 'h' || (value % 3) FROM generate_series(1, 1000)").await;
    let before = client.outcome("SELECT 1 FROM t LIMIT 1").await.txn.expect("a snapshot").0;
    let outcome = client.outcome("DELETE FROM t WHERE id % 2 = 0 AND host <> 'h0'").await;
    let expected = (1..=1000).filter(|id| id % 2 == 0 && id % 3 != 0).count() as u64;
    assert_eq!((outcome.command.as_str(), outcome.rows), ("DELETE", expected));
    let left = 1000 - expected;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, [left.to_string()]);
    assert_eq!(client.rows("SELECT count(*) FROM t WHERE id > 0").await, [left.to_string()]);
    assert_eq!(client.rows("SELECT min(id), max(id) FROM t").await, ["1|999"]);
    assert_eq!(client.rows("SELECT id FROM t ORDER BY id LIMIT 3").await, ["1", "3", "5"]);
    assert_eq!(client.rows(&format!("SELECT count(*) FROM t FOR VERSION AS OF {before}")).await, ["1000"]);
    // again, with a vector in place; then all that is left
    assert_eq!(
        client.outcome("DELETE FROM t WHERE id <= 10").await.rows,
        (1..=10).filter(|id| id % 2 == 1 || id % 3 == 0).count() as u64
    );
    let rest = client.outcome("DELETE FROM t").await.rows;
    assert_eq!(rest, left - 6);
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["0"]);
    assert_eq!(client.outcome("DELETE FROM t WHERE id = 1").await.rows, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_rows_are_deleted_too() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a v=1 1\ncpu,host=b v=2 2\n").await;
    assert_eq!(client.outcome("DELETE FROM cpu WHERE host = 'a'").await.rows, 1);
    node.write("cpu,host=a v=3 3\n").await;
    assert_eq!(client.rows("SELECT host, v FROM cpu ORDER BY time").await, ["b|2.0", "a|3.0"]);
    client.rows("TRUNCATE TABLE cpu").await;
    assert_eq!(client.rows("SELECT count(*) FROM cpu").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_rows_are_updated_and_matched_with() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu,host=a v=1 1\ncpu,host=b v=2 2\n").await;
    let outcome = client.outcome("UPDATE cpu SET v = v * 10 WHERE host = 'a'").await;
    assert_eq!((outcome.command.as_str(), outcome.rows, outcome.counts_rows), ("UPDATE", 1, true));
    node.write("gone,host=b v=0 3\n").await;
    assert_eq!(client.rows("SELECT host, v FROM cpu ORDER BY time").await, ["a|10.0", "b|2.0"]);
    // `gone` is still in the buffer
    assert_eq!(client.outcome("DELETE FROM cpu WHERE host IN (SELECT host FROM gone)").await.rows, 1);
    assert_eq!(client.rows("SELECT host, v FROM cpu").await, ["a|10.0"]);
    let outcome = client.outcome("UPDATE cpu SET v = 0 FROM gone WHERE gone.host = cpu.host").await;
    assert_eq!((outcome.rows, outcome.txn), (0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_of_an_update_take_the_types_of_their_columns() {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::DataType;
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT, v DOUBLE, s TEXT)").await;
    client.rows("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')").await;
    let sql = "UPDATE t SET v = $1, s = $2 WHERE id = $3";
    let prepared = client.session.prepare(sql, &[]).await.expect("succeeds");
    assert_eq!(prepared.parameters, [DataType::Float64, DataType::Utf8, DataType::Int64]);
    let values: Vec<ArrayRef> = vec![
        std::sync::Arc::new(Float64Array::from(vec![2.5])),
        std::sync::Arc::new(StringArray::from(vec!["z"])),
        std::sync::Arc::new(Int64Array::from(vec![2])),
    ];
    assert_eq!(client.run_with(sql, values).await.expect("succeeds").1.rows, 1);
    assert_eq!(client.rows("SELECT * FROM t ORDER BY id").await, ["1|1.0|a", "2|2.5|z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_come_from_queries_and_from_tables() {
    let node = node().await;
    let client = node.session().await;
    let outcome = client.outcome("CREATE TABLE a AS SELECT 1 AS n, 'x' AS s, now() AS at").await;
    assert_eq!((outcome.command.as_str(), outcome.rows), ("SELECT", 1));
    client
        .rows("CREATE TABLE b (time TIMESTAMP NOT NULL, host TEXT) PARTITIONED BY (day(time)) SORTED BY (host, time DESC) COMMENT 'load'")
        .await;
    client.rows("CREATE TABLE c LIKE b").await;
    let shown = client.rows("SHOW CREATE TABLE c").await.join("\n");
    for part in [
        "\"time\" TIMESTAMP(6) NOT NULL",
        "PARTITIONED BY (day(\"time\"))",
        "SORTED BY (\"host\", \"time\" DESC)",
        "COMMENT 'load'",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(
        client.rows("DESCRIBE b").await,
        ["time|TIMESTAMP(6)|NO|time|NULL|NULL", "host|VARCHAR|YES|NULL|NULL|NULL"]
    );
    assert_eq!(client.code("CREATE TABLE a (x INT)").await, "42P07");
    let outcome = client.outcome("CREATE TABLE IF NOT EXISTS a (x INT)").await;
    assert_eq!(outcome.notices, ["table \"a\" already exists, skipping"]);
    client.rows("CREATE OR REPLACE TABLE a (x INT)").await;
    assert_eq!(client.rows("SELECT count(*) FROM a").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_yet_says_so() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT)").await;
    for (sql, code) in [
        ("CREATE TABLE x (id INT, ID INT)", "42701"),
        ("CREATE TABLE x (id INT) WITH (colour = 'red')", "22023"),
        ("CREATE TABLE x (id INT) PARTITIONED BY (day(id))", "22023"),
        ("CREATE TABLE x (id INT) SORTED BY (nope)", "42703"),
        ("CREATE TABLE nope.x (id INT)", "3F000"),
        ("CREATE TEMP TABLE x (id INT)", "0A000"),
        ("ALTER TABLE t ADD COLUMN b INT NOT NULL", "23502"),
        ("CREATE INDEX i ON t (id)", "0A000"),
        ("DROP TABLE nope", "42P01"),
        ("DROP VIEW t", "42809"),
        ("DROP SCHEMA nope", "3F000"),
        ("DELETE FROM system.queries", "42501"),
        ("INSERT INTO system.catalog.tables VALUES (1)", "42501"),
    ] {
        assert_eq!(client.code(sql).await, code, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_added_and_tables_renamed() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT)").await;
    client.rows("INSERT INTO t VALUES (1)").await;
    client.rows("ALTER TABLE t ADD COLUMN name TEXT").await;
    client.rows("ALTER TABLE t ADD COLUMN IF NOT EXISTS name TEXT").await;
    client.rows("INSERT INTO t VALUES (2, 'b')").await;
    assert_eq!(client.rows("SELECT id, name FROM t ORDER BY id").await, ["1|NULL", "2|b"]);
    assert_eq!(client.rows("SELECT count(*) FROM t WHERE name IS NULL").await, ["1"]);
    client.rows("ALTER TABLE t RENAME TO u").await;
    assert_eq!(client.code("SELECT * FROM t").await, "42P01");
    assert_eq!(client.rows("SELECT count(name) FROM u").await, ["1"]);
    client.rows("ALTER TABLE u SET (history_keep = '48h')").await;
    assert!(client.rows("SHOW CREATE TABLE u").await[0].contains("history_keep"));
    client.rows("DROP TABLE u").await;
    assert_eq!(client.rows("SHOW TABLES").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_makes_one_commit() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT)").await;
    let mut txns = Vec::new();
    for _ in 0..2 {
        client.rows("SET idempotency_key = 'k1'").await;
        txns.push(client.outcome("INSERT INTO t VALUES (1)").await.txn);
    }
    assert_eq!(txns[0], txns[1]);
    client.rows("INSERT INTO t VALUES (2)").await;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_table_cannot_be_is_named_and_makes_no_version() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (n BIGINT, name TEXT)").await;
    client.rows("INSERT INTO t VALUES (1, 'a')").await;
    let head = async || node.lake.catalog.head(&node.scope).await.expect("head");
    let before = head().await;
    for (sql, code, at_fault) in [
        ("CREATE TABLE x (n INT) WITH (colour = 'red')", "22023", "colour"),
        ("ALTER TABLE t SET (colour = 'red')", "22023", "colour"),
        ("ALTER TABLE t ALTER COLUMN n TYPE INT", "42804", "\"n\""),
        ("ALTER TABLE t ADD COLUMN r INT NOT NULL", "23502", "\"r\""),
        ("CREATE TABLE x (f DOUBLE) PARTITIONED BY (f)", "22023", "\"f\""),
        ("CREATE TABLE x (n INT) WITH (dedup = 'last')", "22023", "dedup"),
        ("CREATE TABLE x (n INT) WITH (location = '/elsewhere')", "22023", "location"),
        ("SELECT * FROM t FOR VERSION AS OF 4711", "22023", "4711"),
        ("RESTORE TABLE t TO VERSION 4711", "22023", "4711"),
    ] {
        let error = client.error(sql).await;
        assert_eq!(error.sqlstate().0, code, "{sql}: {error}");
        assert!(error.to_string().contains(at_fault), "{sql}: {error}");
        assert_eq!(head().await, before, "{sql}");
    }
    assert_eq!(client.code("SELECT * FROM x").await, "42P01");
    let made = client.outcome("CREATE TABLE x (id INT PRIMARY KEY, at TIMESTAMP DEFAULT now())").await;
    assert_eq!(made.notices, ["PRIMARY KEY is not enforced"]);
}
