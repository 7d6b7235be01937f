//! BEGIN … COMMIT tells the truth.

use cenote_query::TransactionStatus;
use cenote_testkit::engine::node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staged_rows_and_tables_become_visible_together() {
    let node = node().await;
    let (writer, reader) = (node.session().await, node.session().await);
    writer.rows("CREATE TABLE a (id INT)").await;
    writer.rows("BEGIN").await;
    assert_eq!(writer.session.transaction_status(), TransactionStatus::Open);
    writer.rows("INSERT INTO a VALUES (1)").await;
    writer.rows("INSERT INTO a VALUES (2)").await;
    writer.rows("CREATE TABLE b (id INT)").await;
    writer.rows("INSERT INTO b VALUES (3)").await;
    writer.rows("CREATE TABLE c AS SELECT 4 AS id").await;
    assert_eq!(reader.rows("SELECT count(*) FROM a").await, ["0"]);
    assert_eq!(reader.code("SELECT * FROM b").await, "42P01");
    let outcome = writer.outcome("COMMIT").await;
    assert_eq!(outcome.command, "COMMIT");
    let txn = outcome.txn.expect("one txn");
    assert_eq!(
        reader.rows("SELECT (SELECT count(*) FROM a), (SELECT sum(id) FROM b), (SELECT id FROM c)").await,
        ["2|3|4"]
    );
    assert_eq!(reader.rows(&format!("SELECT count(*) FROM a FOR VERSION AS OF {}", txn.0 - 1)).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_and_failure_leave_nothing() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE a (id INT)").await;
    client.rows("BEGIN").await;
    client.rows("INSERT INTO a VALUES (1)").await;
    client.rows("CREATE TABLE b (id INT)").await;
    client.rows("ROLLBACK").await;
    client.rows("BEGIN").await;
    client.rows("INSERT INTO a VALUES (1)").await;
    assert_eq!(client.code("SELECT nope").await, "42703");
    assert_eq!(client.session.transaction_status(), TransactionStatus::Failed);
    assert_eq!(client.code("SELECT 1").await, "25P02");
    assert_eq!(client.outcome("COMMIT").await.command, "ROLLBACK");
    assert_eq!(client.session.transaction_status(), TransactionStatus::Idle);
    assert_eq!(client.rows("SELECT count(*) FROM a").await, ["0"]);
    assert_eq!(client.code("SELECT * FROM b").await, "42P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_staged_is_refused() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE a (id INT)").await;
    for (sql, code) in [
        ("DELETE FROM a", "0A000"),
        ("DROP TABLE a", "0A000"),
        ("ALTER TABLE a ADD COLUMN b INT", "0A000"),
        ("FLUSH", "25001"),
        ("VACUUM", "25001"),
        ("SAVEPOINT s", "0A000"),
    ] {
        client.rows("BEGIN").await;
        assert_eq!(client.code(sql).await, code, "{sql}");
        client.rows("ROLLBACK").await;
    }
    client.rows("BEGIN").await;
    client.rows("INSERT INTO a VALUES (1)").await;
    assert_eq!(client.code("SELECT * FROM a").await, "0A000");
    client.rows("ROLLBACK").await;
    client.rows("BEGIN READ ONLY").await;
    assert_eq!(client.code("INSERT INTO a VALUES (1)").await, "25006");
    client.rows("ROLLBACK").await;
    assert_eq!(client.code("BEGIN ISOLATION LEVEL SERIALIZABLE").await, "0A000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_stays_where_it_should() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("CREATE TABLE t (id INT)").await;
    a.rows("CREATE TABLE log (id INT)").await;
    node.write("cpu v=1i 1\n").await;
    a.rows("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(a.rows("SELECT count(*) FROM t").await, ["0"]);
    b.rows("INSERT INTO t VALUES (1)").await;
    node.write("cpu v=2i 2\n").await;
    b.rows("FLUSH").await;
    assert_eq!(a.rows("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM cpu)").await, ["0|1"]);
    a.rows("COMMIT").await;
    a.rows("BEGIN").await;
    assert_eq!(a.rows("SELECT count(*) FROM t").await, ["1"]);
    b.rows("INSERT INTO t VALUES (2)").await;
    assert_eq!(a.rows("SELECT count(*) FROM t").await, ["2"]);
    a.rows("INSERT INTO log VALUES (1)").await;
    b.rows("INSERT INTO t VALUES (3)").await;
    assert_eq!(a.rows("SELECT count(*) FROM t").await, ["2"]);
    a.rows("COMMIT").await;
    assert_eq!(a.rows("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM log)").await, ["3|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_of_several_statements_is_all_or_nothing() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id INT)").await;
    client.session.begin_implicit().await.expect("succeeds");
    client.rows("INSERT INTO t VALUES (1)").await;
    client.error("INSERT INTO t VALUES ('x')").await;
    client.session.end_implicit(true).await.expect("succeeds");
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["0"]);
    client.session.begin_implicit().await.expect("succeeds");
    client.rows("INSERT INTO t VALUES (1)").await;
    client.rows("INSERT INTO t VALUES (2)").await;
    client.session.end_implicit(false).await.expect("succeeds");
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_transaction_end_with_it() {
    let node = node().await;
    let client = node.session().await;
    client.rows("BEGIN").await;
    client.rows("SET LOCAL application_name = 'local'").await;
    client.rows("SET extra_float_digits = 3").await;
    client.rows("COMMIT").await;
    assert_eq!(client.rows("SHOW application_name").await, [""]);
    assert_eq!(client.rows("SHOW extra_float_digits").await, ["3"]);
    client.rows("BEGIN").await;
    client.rows("SET extra_float_digits = 0").await;
    client.rows("ROLLBACK").await;
    assert_eq!(client.rows("SHOW extra_float_digits").await, ["3"]);
}
