//! Other programs read the data files directly and agree with SQL.

use cenote_testkit::needs;
use cenote_testkit::node::TestNode;
use cenote_testkit::services::{ask_python, python_environment};

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_and_pyarrow_read_the_data_files_and_agree() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = TestNode::start().await;
    let client = node.client();
    let lines: String = (0..5_000_i64)
        .map(|n| {
            format!(
                "cpu,host=h{} usage={}.5,n={n}i,up={},note=\"n{n}\" {}\n",
                n % 7,
                n % 90,
                n % 2 == 0,
                n * 60_000_000
            )
        })
        .collect();
    client.write(&lines).await;
    client.sql("FLUSH cpu").await;
    client
        .sql(
            "CREATE TABLE typed (d DATE, m DECIMAL(12,3), t TIMESTAMP(9), b BYTEA, i INT) AS SELECT \
        DATE '2024-02-29', 12345.678, TIMESTAMP '2024-02-29 01:02:03.123456789', 'x'::BYTEA, 7",
        )
        .await;
    client
        .sql("CREATE TABLE nested (tags TEXT[], point STRUCT(x DOUBLE, y INT), counts MAP(TEXT, INT))")
        .await;
    client.sql("INSERT INTO nested SELECT ['a', 'b'], named_struct('x', 1.5, 'y', 2), MAP(['k'], [7])").await;
    client.sql("FLUSH ALL").await;
    client.sql("OPTIMIZE TABLE cpu FULL").await;
    let sums = client
        .sql("SELECT count(*), sum(n), count(DISTINCT host), sum(usage), min(time)::VARCHAR, count(*) FILTER (WHERE up) FROM cpu")
        .await
        .remove(0);
    let live = async |table: &str| -> Vec<String> {
        let sql =
            format!("SELECT path FROM system.storage.files WHERE table_name = '{table}' AND end_txn IS NULL");
        let rows = client.sql(&sql).await;
        let lake = node.directory().join("lake");
        rows.iter().map(|row| lake.join(row[0].as_str().expect("a path")).display().to_string()).collect()
    };
    let files = serde_json::json!({ "cpu": live("cpu").await, "typed": live("typed").await, "nested": live("nested").await });
    let found = ask_python(&python, "read_files.py", &[], &files);
    for reader in ["duckdb", "pyarrow"] {
        for (n, name) in ["count", "sum_n", "hosts", "sum_usage"].iter().enumerate() {
            assert_eq!(found[reader][name].as_f64(), sums[n].as_f64(), "{reader} {name}: {found}");
        }
        assert_eq!(found[reader]["up"], sums[5], "{reader}: {found}");
        assert_eq!(found[reader]["typed"], "2024-02-29|12345.678|7", "{reader}: {found}");
        assert_eq!(found[reader]["nested"], "a,b|1.5|2|7", "{reader}: {found}");
    }
    assert_eq!(found["every_node_has_a_field_id"], true, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyiceberg_and_duckdb_read_files_of_changed_columns_by_field_id() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = TestNode::start().await;
    let client = node.client();
    for sql in [
        "CREATE TABLE changed (id BIGINT, name VARCHAR, n INT, gone DOUBLE) \
         WITH (inline_max = '0', compaction.enabled = off)",
        "INSERT INTO changed VALUES (1, 'a', 10, 1.5), (2, NULL, -20, 2.5)",
        "ALTER TABLE changed RENAME COLUMN name TO title, ALTER COLUMN n TYPE BIGINT, DROP COLUMN gone, \
         ADD COLUMN extra VARCHAR DEFAULT 'none' FIRST",
        "INSERT INTO changed (id, title, n, extra) VALUES (3, 'c', 5000000000, 'some')",
        "ALTER TABLE changed ADD COLUMN gone VARCHAR, ALTER COLUMN id FIRST, RENAME COLUMN n TO count",
        "INSERT INTO changed (id, title, count, extra, gone) VALUES (4, 'd', 7, NULL, 'back')",
    ] {
        client.sql(sql).await;
    }
    let expected = client.sql("SELECT * FROM changed ORDER BY id").await;
    let text = serde_json::Value::from;
    assert_eq!(expected[0], [1.into(), text("none"), text("a"), 10.into(), serde_json::Value::Null]);
    let paths = client
        .sql("SELECT path FROM system.storage.files WHERE table_name = 'changed' AND end_txn IS NULL")
        .await;
    let lake = node.directory().join("lake");
    let paths: Vec<_> = paths.iter().map(|row| lake.join(row[0].as_str().expect("a path"))).collect();
    assert_eq!(paths.len(), 3);
    let columns = client
        .sql("SELECT field_id, name, data_type FROM system.catalog.columns WHERE table_name = 'changed' ORDER BY position")
        .await;
    let columns: Vec<_> = columns
        .into_iter()
        .map(|mut column| {
            let default = if column[1] == "extra" { text("none") } else { serde_json::Value::Null };
            column.push(default);
            column
        })
        .collect();
    let asked = serde_json::json!({ "files": paths, "columns": columns });
    let read = ask_python(&python, "read_by_field_id.py", &[], &asked);
    for reader in ["iceberg", "duck"] {
        assert_eq!(read[reader], serde_json::json!(expected), "{reader}");
    }
}
