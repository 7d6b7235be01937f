//! Other programs read the data files directly and agree with SQL.

use std::collections::BTreeMap;

use cenote_testkit::node::TestNode;
use cenote_testkit::services::{ask_python, python_environment};
use cenote_testkit::{needs, number_of};
use cenote_vocab::{Clock, Ids};
use serde_json::Value;

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
    assert_eq!(found["a_missing_id_is_seen"], true, "{found}");
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
    let text = Value::from;
    assert_eq!(expected[0], [1.into(), text("none"), text("a"), 10.into(), Value::Null]);
    let extra = [("extra".to_owned(), text("none"))].into();
    let shown = shown(&node, "changed", &extra).await;
    assert_eq!(shown["files"].as_array().map(Vec::len), Some(3));
    let read = ask_python(&python, "read_by_field_id.py", &[], &serde_json::json!([shown]));
    for reader in ["iceberg", "duck"] {
        assert_eq!(read[reader], serde_json::json!([expected]), "{reader}");
    }
}

/// The files of the newest version of a table, and its columns: field id, name, type, and the value that older rows have.
async fn shown(node: &TestNode, table: &str, initial: &BTreeMap<String, Value>) -> Value {
    let client = node.client();
    let files =
        format!("SELECT path FROM system.storage.files WHERE table_name = '{table}' AND end_txn IS NULL");
    let lake = node.directory().join("lake");
    let files = client.sql(&files).await;
    let files: Vec<_> = files.iter().map(|row| lake.join(row[0].as_str().expect("a path"))).collect();
    let columns = format!(
        "SELECT field_id, name, data_type FROM system.catalog.columns WHERE table_name = '{table}' ORDER BY position"
    );
    let mut columns = client.sql(&columns).await;
    for column in &mut columns {
        let value = initial.get(column[1].as_str().expect("a name")).cloned();
        column.push(value.unwrap_or(Value::Null));
    }
    serde_json::json!({ "files": files, "columns": columns })
}

/// Changes of columns by chance, each with rows of its own; `CENOTE_HISTORIES` says how many tables.
#[tokio::test(flavor = "multi_thread")]
async fn pyiceberg_and_duckdb_agree_after_changes_of_columns_by_chance() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let node = TestNode::start().await;
    let client = node.client();
    let (mut asked, mut wanted) = (Vec::new(), Vec::new());
    for seed in 0..number_of("CENOTE_HISTORIES", 3) {
        let chance = Ids::seeded(seed, Clock::system());
        let table = format!("history{seed}");
        client
            .sql(&format!("CREATE TABLE {table} (id BIGINT, a VARCHAR, b INT) WITH (inline_max = '0')"))
            .await;
        let mut columns = vec![("a".to_owned(), "VARCHAR"), ("b".to_owned(), "INT")];
        let mut initial = BTreeMap::new();
        for step in 0..10 {
            let at = chance.below(columns.len() as u64) as usize;
            let (name, kind) = columns[at].clone();
            let change = match chance.below(6) {
                0 if columns.len() > 1 => {
                    columns.remove(at);
                    initial.remove(&name);
                    format!("DROP COLUMN {name}")
                }
                1 => {
                    let new = format!("r{step}");
                    columns[at].0.clone_from(&new);
                    if let Some(value) = initial.remove(&name) {
                        initial.insert(new.clone(), value);
                    }
                    format!("RENAME COLUMN {name} TO {new}")
                }
                2 if kind == "INT" => {
                    columns[at].1 = "BIGINT";
                    format!("ALTER COLUMN {name} TYPE BIGINT")
                }
                // A name that was dropped may come back as another column.
                _ => {
                    let (kind, default, value) = [
                        ("INT", " DEFAULT 7", Value::from(7)),
                        ("VARCHAR", " DEFAULT 'none'", Value::from("none")),
                        ("DOUBLE", "", Value::Null),
                        ("BIGINT", "", Value::Null),
                    ][chance.below(4) as usize]
                        .clone();
                    let name = ["a", "b", "c"]
                        .into_iter()
                        .find(|name| columns.iter().all(|(known, _)| known != name));
                    let name = name.map_or_else(|| format!("n{step}"), str::to_owned);
                    columns.push((name.clone(), kind));
                    initial.insert(name.clone(), value);
                    format!("ADD COLUMN {name} {kind}{default}")
                }
            };
            client.sql(&format!("ALTER TABLE {table} {change}")).await;
            let value = |kind: &str| match kind {
                _ if chance.below(4) == 0 => "NULL".to_owned(),
                "VARCHAR" => format!("'text {}'", chance.below(100)),
                "DOUBLE" => format!("{}.5", chance.below(100)),
                "BIGINT" => (5_000_000_000 + chance.below(100)).to_string(),
                _ => chance.below(100).to_string(),
            };
            let names: String = columns.iter().map(|(name, _)| format!(", {name}")).collect();
            let values: String = columns.iter().map(|(_, kind)| format!(", {}", value(kind))).collect();
            client.sql(&format!("INSERT INTO {table} (id{names}) VALUES ({step}{values})")).await;
            asked.push(shown(&node, &table, &initial).await);
            wanted.push(client.sql(&format!("SELECT * FROM {table} ORDER BY id")).await);
        }
    }
    let read = ask_python(&python, "read_by_field_id.py", &[], &Value::from(asked.clone()));
    for reader in ["iceberg", "duck"] {
        for (n, wanted) in wanted.iter().enumerate() {
            assert_eq!(read[reader][n], serde_json::json!(wanted), "{reader}: {}", asked[n]["columns"]);
        }
    }
}
