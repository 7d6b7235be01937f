//! BEGIN … COMMIT tells the truth.

use cenote_query::TransactionStatus;
use cenote_testkit::engine::node;
use cenote_vocab::Fault;

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
        ("ALTER TABLE a ADD COLUMN b INT", "0A000"),
        ("FLUSH", "25001"),
        ("VACUUM", "25001"),
        ("SAVEPOINT s", "0A000"),
    ] {
        client.rows("BEGIN").await;
        assert_eq!(client.code(sql).await, code, "{sql}");
        client.rows("ROLLBACK").await;
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_sees_its_own_changes_of_rows_and_nobody_else_does() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("CREATE TABLE t (id BIGINT, s TEXT)").await;
    a.rows("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')").await;
    a.rows("BEGIN").await;
    assert_eq!(a.outcome("UPDATE t SET s = 'TWO', id = 20 WHERE id = 2").await.rows, 1);
    assert_eq!(a.outcome("INSERT INTO t VALUES (4, 'four'), (5, 'five')").await.rows, 2);
    // rows that the transaction itself brought change and go again
    assert_eq!(a.outcome("UPDATE t SET s = upper(s) WHERE id >= 4").await.rows, 3);
    assert_eq!(a.outcome("DELETE FROM t WHERE id IN (1, 5)").await.rows, 2);
    let mine = ["3|three", "4|FOUR", "20|TWO"];
    assert_eq!(a.rows("SELECT * FROM t ORDER BY id").await, mine);
    assert_eq!(a.rows("SELECT count(*), max(id) FROM t").await, ["3|20"]);
    assert_eq!(b.rows("SELECT * FROM t ORDER BY id").await, ["1|one", "2|two", "3|three"]);
    let txn = a.outcome("COMMIT").await.txn.expect("one txn");
    assert_eq!(b.rows("SELECT * FROM t ORDER BY id").await, mine);
    let before = format!("SELECT sum(id) FROM t FOR VERSION AS OF {}", txn.0 - 1);
    assert_eq!(b.rows(&before).await, ["6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_transaction_leaves_no_row_and_no_file() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT) WITH (inline_max = '0')").await;
    client.rows("INSERT INTO t VALUES (1), (2)").await;
    let objects = node.objects().await;
    for end in ["ROLLBACK", "COMMIT"] {
        client.rows("BEGIN").await;
        client.rows("UPDATE t SET id = id + 10").await;
        client.rows("INSERT INTO t VALUES (5)").await;
        client.rows("CREATE TABLE u WITH (inline_max = '0') AS SELECT * FROM t").await;
        client.rows("TRUNCATE TABLE t").await;
        assert!(node.objects().await.len() > objects.len(), "there are files to be rolled back");
        assert_eq!(client.rows("SELECT (SELECT count(*) FROM t), (SELECT sum(id) FROM u)").await, ["0|28"]);
        if end == "COMMIT" {
            assert_eq!(client.code("SELECT nope").await, "42703");
            assert_eq!(client.code("UPDATE t SET id = 0").await, "25P02");
        }
        assert_eq!(client.outcome(end).await.command, "ROLLBACK");
        assert_eq!(client.rows("SELECT id FROM t ORDER BY id").await, ["1", "2"]);
        assert_eq!(client.code("SELECT * FROM u").await, "42P01");
        assert_eq!(node.objects().await, objects, "after {end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_at_commit_rolls_all_tables_back() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("CREATE TABLE t (id BIGINT)").await;
    a.rows("CREATE TABLE log (id BIGINT)").await;
    a.rows("INSERT INTO t VALUES (1), (2), (3), (4)").await;
    for (mine, theirs) in [
        ("UPDATE t SET id = 10 WHERE id = 1", "UPDATE t SET id = 11 WHERE id = 1"),
        ("UPDATE t SET id = 10 WHERE id = 2", "DELETE FROM t WHERE id = 2"),
        ("DELETE FROM t WHERE id = 3", "UPDATE t SET id = 13 WHERE id = 3"),
        ("UPDATE t SET id = 10 WHERE id = 4", "DROP TABLE t"),
    ] {
        a.rows("BEGIN").await;
        a.rows("INSERT INTO log VALUES (1)").await;
        a.rows(mine).await;
        b.rows(theirs).await;
        let error = a.error("COMMIT").await;
        assert_eq!(error.sqlstate().0, "40001", "{mine} beside {theirs}");
        if theirs.starts_with("DROP") {
            assert!(error.to_string().contains("table \"default.t\" does not exist"), "{error}");
        }
        assert_eq!(a.session.transaction_status(), TransactionStatus::Idle);
        assert_eq!(a.rows("SELECT count(*) FROM log").await, ["0"]);
    }
    // other tables, and rows that come, are no conflict
    a.rows("CREATE TABLE t (id BIGINT)").await;
    a.rows("INSERT INTO t VALUES (1)").await;
    a.rows("BEGIN").await;
    a.rows("UPDATE t SET id = 2").await;
    b.rows("INSERT INTO t VALUES (5)").await;
    b.rows("INSERT INTO log VALUES (5)").await;
    a.rows("COMMIT").await;
    assert_eq!(a.rows("SELECT id FROM t ORDER BY id").await, ["2", "5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_renamed_swapped_and_dropped_in_one_transaction() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("CREATE TABLE b (id BIGINT)").await;
    a.rows("BEGIN").await;
    a.rows("CREATE TABLE a AS SELECT 1 AS id").await;
    a.rows("INSERT INTO b VALUES (2)").await;
    a.rows("INSERT INTO a SELECT id + 100 FROM b").await;
    a.rows("ALTER TABLE a RENAME TO c").await;
    assert_eq!(a.rows("SELECT id FROM c ORDER BY id").await, ["1", "102"]);
    a.rows("UPDATE c SET id = 3 WHERE id = 1").await;
    assert_eq!(a.code("SELECT * FROM a").await, "42P01");
    a.rows("ROLLBACK").await;
    a.rows("BEGIN").await;
    a.rows("CREATE TABLE a AS SELECT 1 AS id").await;
    a.rows("INSERT INTO b VALUES (2)").await;
    a.rows("ALTER TABLE a RENAME TO c").await;
    assert_eq!(b.code("SELECT * FROM c").await, "42P01");
    let txn = a.outcome("COMMIT").await.txn.expect("one txn").0;
    assert_eq!(b.rows("SELECT (SELECT sum(id) FROM c), (SELECT sum(id) FROM b)").await, ["1|2"]);
    assert_eq!(b.code(&format!("SELECT * FROM c FOR VERSION AS OF {}", txn - 1)).await, "42P01");
    // as dbt swaps: build, rename away, rename in, drop
    a.rows("BEGIN").await;
    a.rows("CREATE TABLE c_new AS SELECT 7 AS id").await;
    a.rows("ALTER TABLE c RENAME TO c_old").await;
    a.rows("ALTER TABLE c_new RENAME TO c").await;
    a.rows("DROP TABLE c_old").await;
    assert_eq!(a.rows("SELECT id FROM c").await, ["7"]);
    assert_eq!(b.rows("SELECT id FROM c").await, ["1"]);
    a.rows("COMMIT").await;
    assert_eq!(b.rows("SELECT id FROM c").await, ["7"]);
    assert_eq!(b.rows("SHOW TABLES").await.len(), 2);
    // what is dropped takes its staged rows along
    a.rows("BEGIN").await;
    a.rows("INSERT INTO c VALUES (8)").await;
    a.rows("DROP TABLE c").await;
    a.rows("CREATE TABLE c (other TEXT)").await;
    a.rows("INSERT INTO c VALUES ('x')").await;
    a.rows("COMMIT").await;
    assert_eq!(b.rows("SELECT * FROM c").await, ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_rows_are_flushed_when_a_transaction_first_changes_their_table() {
    let node = node().await;
    let (a, b) = (node.session().await, node.session().await);
    a.rows("CREATE TABLE log (id BIGINT)").await;
    a.rows("INSERT INTO log VALUES (1)").await;
    node.write("cpu,host=a v=1 1\n").await;
    a.rows("BEGIN").await;
    a.rows("UPDATE log SET id = 2").await;
    assert_eq!(a.outcome("UPDATE cpu SET v = 5").await.rows, 1);
    assert_eq!(a.rows("SELECT (SELECT sum(id) FROM log), (SELECT sum(v) FROM cpu)").await, ["2|5.0"]);
    a.rows("COMMIT").await;
    assert_eq!(b.rows("SELECT (SELECT sum(id) FROM log), (SELECT sum(v) FROM cpu)").await, ["2|5.0"]);
    // what was staged before must hold in the snapshot that the flush moves to
    node.write("cpu,host=b v=1 2\n").await;
    a.rows("BEGIN").await;
    a.rows("UPDATE log SET id = 3").await;
    b.rows("UPDATE log SET id = 4").await;
    assert_eq!(a.code("DELETE FROM cpu").await, "40001");
    a.rows("ROLLBACK").await;
    // a snapshot that must stay does not move
    node.write("cpu,host=b v=1 3\n").await;
    a.rows("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    a.rows("SELECT * FROM log").await;
    assert_eq!(a.code("DELETE FROM cpu").await, "40001");
    a.rows("ROLLBACK").await;
    assert_eq!(a.outcome("DELETE FROM cpu").await.rows, 3);
}
