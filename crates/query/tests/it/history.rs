//! Tags of the catalog, which outlive their tables.

use cenote_testkit::engine::node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_the_catalog_keeps_every_table_readable_also_a_dropped_one() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (id BIGINT)").await;
    client.rows("CREATE TABLE gone (id BIGINT)").await;
    client.rows("INSERT INTO t VALUES (1)").await;
    client.rows("INSERT INTO gone VALUES (7)").await;
    client.rows("CREATE TAG whole ON CATALOG").await;
    client.rows("DELETE FROM t").await;
    client.rows("DROP TABLE gone").await;
    assert_eq!(client.rows("SELECT * FROM t AT (TAG => 'whole')").await, ["1"]);
    assert_eq!(client.rows("SELECT * FROM gone FOR VERSION AS OF 'whole'").await, ["7"]);
    assert_eq!(client.code("SELECT * FROM gone FOR VERSION AS OF 'other'").await, "42704");
    client.rows("SET as_of = 'tag:whole'").await;
    assert_eq!(client.rows("SELECT t.id, gone.id FROM t, gone").await, ["1|7"]);
    client.rows("RESET as_of").await;
    let shown = client.rows("SHOW TAGS").await;
    assert!(shown.len() == 1 && shown[0].starts_with("whole|"), "{shown:?}");
    client.rows("RESTORE TABLE t TO TAG whole").await;
    assert_eq!(client.rows("SELECT * FROM t").await, ["1"]);
    client.rows("DROP TAG whole ON CATALOG").await;
    assert_eq!(client.code("DROP TAG whole ON CATALOG").await, "42704");
    assert!(client.rows("SHOW TAGS").await.is_empty());
}
