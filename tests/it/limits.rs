//! Bodies that are too large, or claim to be: refused by a named limit, with flat memory.

use std::io::Write as _;

use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use cenote_testkit::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_413() {
    let settings = [("limits.body_max", "64KiB"), ("limits.decompressed_max", "128KiB")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("always there");
    let client = node.client();
    let lines = "cpu,host=a usage=1 1\n".repeat(10_000);
    let answer = client.try_write(&lines).await.expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(lines.as_bytes()).expect("compressed");
    let body = gzip.finish().expect("compressed");
    let answer = client.send("POST", "/api/v1/write/line-protocol", &[], body).await.expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert!(answer.text.contains("limits.decompressed_max"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_with_flat_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = Process::start(&directory.path().join("data"), &["limits.decompressed_max=32MiB"]);
    let client = process.client();
    client.write("cpu usage=1 1").await;
    let before = process.resident_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..512 {
        gzip.write_all(&vec![b' '; 1 << 20]).expect("compressed");
    }
    let bomb = gzip.finish().expect("compressed");
    let answer = client.send("POST", "/api/v1/write/line-protocol", &[], bomb).await.expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text);
    // An array that claims 2^32 - 1 elements.
    let claim = vec![0xdd, 0xff, 0xff, 0xff, 0xff, 0x01];
    let answer = client.send("POST", "/api/v1/write/msgpack", &[], claim).await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text);
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let answer = client.send("POST", "/api/v1/write/json?table=t", &[], deep).await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text);
    let answer = client.try_sql(&format!("SELECT '{}'", "x".repeat(10 << 20))).await.expect("an answer");
    assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    let answer = client.try_sql(&deep).await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text);
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < 96 << 20, "memory grew by {grown} bytes");
    assert_eq!(client.number("SELECT count(*) FROM cpu").await, 1);
}
