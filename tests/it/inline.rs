//! Many small commits: few objects, and every row through whatever happens to the node and to the table.

use std::path::Path;

use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use futures::future::join_all;

/// Data files below a directory.
fn objects(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => objects(&path),
        path => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
    };
    entries.map(|entry| count(entry.expect("an entry"))).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_commits_write_few_objects_and_outlive_a_kill() {
    let settings = [("compaction.enabled", "false")]; // a flush comes when the test asks for it
    let mut node = TestNode::with(CatalogKind::Sqlite, StorageKind::Disk, &settings).await.expect("a node");
    node.client().sql("CREATE TABLE small (client INT, n INT)").await;
    let clients = (0..10).map(|number| {
        let client = node.client();
        async move {
            for commit in 0..10 {
                let rows: Vec<_> = (0..10).map(|row| format!("({number}, {})", commit * 10 + row)).collect();
                client.sql(&format!("INSERT INTO small VALUES {}", rows.join(", "))).await;
            }
        }
    });
    join_all(clients).await;
    let lake = node.directory().join("lake/default"); // without the published metadata
    assert_eq!(objects(&lake), 0);
    let facts = "SELECT count(*), count(DISTINCT client * 1000 + n), sum(n) FROM small";
    let all = node.client().sql(facts).await;
    assert_eq!(all[0], [1_000, 1_000, 49_500].map(serde_json::Value::from));
    let version = node.head().await;

    node.crash().await;
    let client = node.client();
    assert_eq!(client.sql(facts).await, all);
    client.sql("DELETE FROM small WHERE n % 10 = 3").await;
    let less = client.sql(facts).await;
    assert_eq!(less[0][0], 900);
    node.crash().await;
    let client = node.client();
    client.sql("FLUSH small").await;
    assert_eq!((client.sql(facts).await, objects(&lake)), (less.clone(), 1));
    let then = format!("{facts} FOR VERSION AS OF {version}");
    assert_eq!(client.sql(&then).await, all);

    client.sql("VACUUM small KEEP 0 HOURS FORCE").await;
    let gone = client.try_sql(&then).await.expect("an answer");
    assert_eq!(gone.status, 410, "{}", gone.text);
    node.restart().await;
    assert_eq!((node.client().sql(facts).await, objects(&lake)), (less, 1));
}
