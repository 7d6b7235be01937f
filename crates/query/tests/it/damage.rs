//! Objects that are not what was written: an error that names file and table, never another answer; the rest stays readable.

use bytes::Bytes;
use cenote_testkit::engine::{TestEngine, TestSession, node};
use cenote_vocab::{ErrorKind, Fault};
use object_store::path::Path;

/// A table of a partition `a` and a partition `b`, a file each, larger than one block of checksums; the file of `a`.
async fn world() -> (TestEngine, TestSession, Path) {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (part VARCHAR, n BIGINT, text VARCHAR) PARTITIONED BY (part)").await;
    client
        .rows(
            "INSERT INTO t SELECT CASE WHEN value % 2 = 0 THEN 'a' ELSE 'b' END, value, md5(CAST(value AS VARCHAR)) \
             FROM generate_series(1, 20000) s(value)",
        )
        .await;
    let path = client.rows("SELECT path FROM table_files('t') WHERE partition LIKE '%a%'").await;
    let [path] = path.as_slice() else { panic!("one file: {path:?}") };
    let objects = node.objects().await;
    let object = objects.into_iter().find(|object| object.ends_with(path.as_str())).expect("it is there");
    (node, client, Path::from(object))
}

async fn assert_damaged(client: &TestSession, path: &Path) {
    for sql in ["SELECT count(DISTINCT text) FROM t", "SELECT text FROM t WHERE part = 'a' AND n = 10"] {
        let error = client.error(sql).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{sql}: {error}");
        let text = error.to_string();
        assert!(text.contains(path.as_ref()) && text.contains("table default.t "), "{sql}: {text}");
    }
    let rest = client.rows("SELECT count(*), count(DISTINCT text) FROM t WHERE part = 'b'").await;
    assert_eq!(rest, ["10000|10000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_cut_file_is_named() {
    let (node, client, path) = world().await;
    let whole = node.lake.store.read(&path).await.expect("read");
    for kept in [whole.len() - 1, whole.len() / 2, 0] {
        node.lake.store.put(&path, whole.slice(..kept)).await.expect("put");
        assert_damaged(&client, &path).await;
    }
    node.lake.store.delete(&path).await.expect("deleted");
    assert_damaged(&client, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_an_error_or_was_not_read() {
    let (node, client, path) = world().await;
    let whole = node.lake.store.read(&path).await.expect("read");
    assert!(whole.len() > 200_000, "{} bytes", whole.len());
    let sql = "SELECT sum(n), count(*), max(text) FROM t WHERE part = 'a' AND text > '0'";
    let right = client.rows(sql).await;
    let mut seen = 0;
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 0x20;
        node.lake.store.put(&path, Bytes::from(damaged)).await.expect("put");
        match client.run(sql).await {
            Ok(_) => assert_eq!(client.rows(sql).await, right, "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
                assert!(error.to_string().contains(path.as_ref()), "byte {at}: {error}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} were seen");
    let mut damaged = whole.to_vec();
    damaged[whole.len() / 2] ^= 1;
    node.lake.store.put(&path, Bytes::from(damaged)).await.expect("put");
    assert_damaged(&client, &path).await;
    node.lake.store.put(&path, whole).await.expect("put");
    assert_eq!(client.rows(sql).await, right);
}
