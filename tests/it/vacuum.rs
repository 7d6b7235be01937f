//! VACUUM beside what a client of the Postgres wire holds open.

use cenote_testkit::client::postgres;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::{PATIENCE, settles};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_by_force_waits_for_an_open_portal() {
    let settings = [("compaction.enabled", "false")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("a node");
    let client = node.client();
    client.sql("CREATE TABLE t (n BIGINT) WITH (inline_max = '0')").await;
    for n in 0..24 {
        client.sql(&format!("INSERT INTO t SELECT {n} FROM generate_series(1, 1000)")).await;
    }
    let mut reader = postgres(&node.postgres(&client)).await.expect("connected");
    let transaction = reader.transaction().await.expect("begun");
    let portal = transaction.bind("SELECT n FROM t", &[]).await.expect("a portal");
    let mut rows = transaction.query_portal(&portal, 10).await.expect("the first rows").len();

    client.sql("OPTIMIZE TABLE t FULL").await;
    let (other, mut vacuum) = (client.clone(), JoinSet::new());
    vacuum.spawn(async move { other.sql("VACUUM TABLE t KEEP 0 HOURS FORCE").await });
    let waiting = "SELECT count(*) FROM system.queries WHERE state = 'WAITING'";
    settles("VACUUM to wait", PATIENCE, async || client.number(waiting).await == 1).await;
    loop {
        let more = transaction.query_portal(&portal, 5000).await.expect("the portal reads on").len();
        rows += more;
        if more == 0 {
            break;
        }
    }
    assert_eq!(rows, 24_000);
    drop(portal);
    transaction.commit().await.expect("ends");
    assert_eq!(vacuum.join_all().await.remove(0).len(), 24);
    assert_eq!(client.number("SELECT count(n) FROM t").await, 24_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_runs_longer_than_what_it_reads_is_kept() {
    let settings = [("table.orphan_grace", "200ms")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("a node");
    let session = postgres(&node.postgres(&node.client())).await.expect("connected");
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 8";
    let ended = tokio::time::timeout(PATIENCE, session.simple_query(endless)).await.expect("it ends");
    let error = ended.expect_err("it cannot end well");
    let error = error.as_db_error().expect("an error of the node");
    assert_eq!(
        (error.code().code(), error.message()),
        ("57014", "canceling statement due to statement timeout")
    );
}
