//! What was erased is in no byte of the data directory: no object, no segment of the log, no page of the catalog.

use std::path::{Path, PathBuf};

use cenote_testkit::client::Client;
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};

/// Texts that no codec makes shorter: what is searched for is found wherever it is stored as it came.
const MARKERS: [&str; 3] = ["q7#Zk!29xW~vP@m4", "J%8u^Lr0s}Td]Ye5", "b&3N(gC)6h=Of?1a"];
const KEPT: &str = "H+w2|Ix9{Mj_7;Bz";

/// Files below `directory` with a marker in them, by path.
fn with_markers(directory: &Path, markers: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(with_markers(&path, markers));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let holds = |marker: &&str| bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
            found.extend(markers.iter().any(holds).then_some(path));
        }
    }
    found
}

/// Rows by all three ways in: the log, a file, an inline batch. Row 9 stays.
async fn fill(client: &Client) {
    let [by_log, by_file, inline] = MARKERS;
    client.sql("CREATE TABLE people (time TIMESTAMP, id BIGINT, name TEXT) WITH (inline_max = '0')").await;
    client.sql("CREATE TABLE few (id BIGINT, name TEXT)").await;
    client.write(&format!("people id=1i,name=\"{by_log}\" 1000000\n")).await;
    client.sql("FLUSH people").await;
    client
        .write(&format!("people id=1i,name=\"{by_log}\" 2000000\npeople id=9i,name=\"{KEPT}\" 2000000\n"))
        .await;
    client.sql(&format!("INSERT INTO people VALUES (now(), 2, '{by_file}'), (now(), 9, '{KEPT}')")).await;
    client.sql(&format!("INSERT INTO few VALUES (3, '{inline}'), (9, '{KEPT}')")).await;
}

/// The steps of the guide; what VACUUM answered.
async fn erase(client: &Client) -> Vec<Vec<serde_json::Value>> {
    client.sql("DELETE FROM people WHERE id < 9; DELETE FROM few WHERE id < 9").await;
    client.sql("OPTIMIZE TABLE people DELETES").await;
    client.sql("OPTIMIZE TABLE few DELETES").await;
    client.sql("FLUSH ALL").await;
    client.sql("VACUUM ALL KEEP 0 HOURS FORCE").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_in_no_object_no_segment_and_no_page() {
    let settings = [("compaction.enabled", "false")];
    let mut node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("a node");
    let client = node.client();
    fill(&client).await;
    for marker in MARKERS {
        assert!(!with_markers(node.directory(), &[marker]).is_empty(), "{marker} is found where it is");
    }
    assert!(!with_markers(&node.directory().join("wal"), &MARKERS).is_empty());
    assert!(!with_markers(&node.directory().join("lake"), &MARKERS).is_empty());

    erase(&client).await;
    assert_eq!(with_markers(node.directory(), &MARKERS), Vec::<PathBuf>::new());
    let left = "SELECT id, name FROM people UNION ALL SELECT id, name FROM few";
    let kept = serde_json::json!([[9, KEPT], [9, KEPT], [9, KEPT]]);
    assert_eq!(serde_json::json!(client.sql(left).await), kept);
    node.restart().await;
    assert_eq!(with_markers(node.directory(), &MARKERS), Vec::<PathBuf>::new());
    assert_eq!(node.client().number("SELECT count(*) FROM people").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_keeps_what_is_to_be_erased_and_is_named() {
    let settings = [("compaction.enabled", "false")];
    let node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("a node");
    let client = node.client();
    fill(&client).await;
    client.sql("FLUSH ALL").await;
    client.sql("CREATE TAG \"last year\" ON TABLE people").await;

    let kept: Vec<_> =
        erase(&client).await.into_iter().filter(|row| row[2] == "kept by tag \"last year\"").collect();
    let lake = node.directory().join("lake");
    let found = with_markers(&lake, &MARKERS);
    assert!(!found.is_empty(), "the tag keeps them");
    for path in &found {
        assert!(
            kept.iter().any(|row| path.ends_with(row[0].as_str().expect("a path"))),
            "{path:?} in {kept:?}"
        );
    }
    let then = "SELECT count(*) FROM people FOR VERSION AS OF 'last year' WHERE id < 9";
    assert_eq!(client.number(then).await, 3);

    client.sql("DROP TAG \"last year\" ON TABLE people").await;
    let outcomes = client.sql("VACUUM ALL KEEP 0 HOURS FORCE").await;
    assert!(outcomes.iter().all(|row| row[2] == "deleted"), "{outcomes:?}");
    assert_eq!(with_markers(node.directory(), &MARKERS), Vec::<PathBuf>::new());
}
