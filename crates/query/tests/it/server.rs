//! What clients ask about the server, through the engine.

use cenote_testkit::engine::node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_find_tables_columns_and_themselves() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE cpu (time TIMESTAMP NOT NULL, host TEXT, \"usageIdle\" DOUBLE)").await;
    client.rows("CREATE VIEW v AS SELECT host FROM cpu").await;
    for (sql, expected) in [
        (
            "SELECT c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'default' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1",
            vec!["cpu", "v"],
        ),
        (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'cpu'::regclass AND attnum > 0 ORDER BY attnum",
            vec!["time", "host", "usageIdle"],
        ),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'cpu' ORDER BY ordinal_position",
            vec!["time", "host", "usageIdle"],
        ),
        ("SELECT current_schema()", vec!["default"]),
        ("SELECT current_database()", vec!["lake"]),
        ("SELECT 'v'::regclass", vec!["v"]),
        ("SELECT count(*) FROM cpu WHERE host = current_user", vec!["0"]),
        ("SELECT setting FROM pg_settings WHERE name = 'search_path'", vec!["default"]),
        ("SELECT starts_with(version(), 'PostgreSQL 15.10')", vec!["true"]),
    ] {
        assert_eq!(client.rows(sql).await, expected, "{sql}");
    }
    client.rows("INSERT INTO cpu VALUES ('2024-05-01', 'a', 1)").await;
    client.rows("FLUSH cpu").await;
    assert_eq!(client.rows("SELECT pg_table_size('cpu') >= 0").await, ["true"]);
    client.session.set_backend_pid(42);
    assert_eq!(client.rows("SELECT pg_backend_pid()").await, ["42"]);
    assert_eq!(client.code("SELECT 'nope'::regclass").await, "42P01");
    assert_eq!(client.code("SELECT * FROM pg_catalog.pg_nope").await, "42P01");
    assert_eq!(client.code("SELECT nope FROM pg_class").await, "42703");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oids_stay_when_names_change() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE a (time TIMESTAMP)").await;
    let before = client.rows("SELECT oid FROM pg_class WHERE relname = 'a'").await;
    client.rows("ALTER TABLE a RENAME TO b").await;
    assert_eq!(client.rows("SELECT oid FROM pg_class WHERE relname = 'b'").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_of_time_series_users() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE m (time TIMESTAMP, v DOUBLE, j TEXT)").await;
    client
        .rows(
            "INSERT INTO m VALUES ('2024-05-01 00:10:00', 1, '{\"a\": [1, 2]}'), ('2024-05-01 00:50:00', 3, NULL), \
             ('2024-05-01 01:30:00', 7, '{\"a\": []}')",
        )
        .await;
    let grafana = "SELECT to_timestamp((epoch_ns(time) // 1000000000 // 3600) * 3600) AS t, avg(v) FROM default.m GROUP BY ALL ORDER BY t";
    let buckets = "SELECT time_bucket('1 hour', time) AS t, avg(v) FROM m GROUP BY ALL ORDER BY t";
    assert_eq!(client.rows(grafana).await, ["2024-05-01T00:00:00Z|2.0", "2024-05-01T01:00:00Z|7.0"]);
    assert_eq!(client.rows(buckets).await, ["2024-05-01T00:00:00|2.0", "2024-05-01T01:00:00|7.0"]);
    assert_eq!(
        client.rows("SELECT first(v, time), last(v, time), arg_max(time, v) FROM m").await,
        ["1.0|7.0|2024-05-01T01:30:00"]
    );
    assert_eq!(client.rows("SELECT j -> 'a' ->> 1 FROM m WHERE j ? 'a' ORDER BY time").await, ["2", "NULL"]);
    assert_eq!(client.rows("SELECT count(*) FROM m WHERE time < now()").await, ["3"]);
    assert_eq!(client.code("SELECT time_bucket('0 hours', time) FROM m").await, "22023");
    assert_eq!(client.code("SELECT time_bucket('1 hour', time, 'Mars/Base') FROM m").await, "22023");
    assert_eq!(client.code("SELECT to_timestamp('soon')").await, "22007");
    assert_eq!(client.code("SELECT time_bucket(v, time) FROM m").await, "42883");
}
