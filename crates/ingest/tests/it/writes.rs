//! What a write answers and what is seen of it.

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Commit, Facts, NewToken, ObjectChange};
use cenote_ingest::{Ack, Error, State, WriteRequest};
use cenote_testkit::ingest::{json, line_protocol};
use cenote_testkit::lake::TestLake;
use cenote_vocab::{ErrorKind, Fault, Permission, Permissions};

use crate::ask::with_ack;

#[tokio::test]
async fn a_durable_write_is_seen_by_the_next_statement_and_survives_its_flush() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    assert_eq!(node.ingest.state(), State::Ready);
    let outcome = node
        .write(&disk, "cpu,host=a usage=1.5 1000\ncpu,host=b usage=2.5,load=3i 2000")
        .await
        .expect("stored");
    assert_eq!((outcome.rows, outcome.ack, outcome.txn), (2, Ack::Durable, None));
    assert_eq!(node.values(&disk, "cpu", "usage").await, ["1.5", "2.5"]);
    assert_eq!(node.values(&disk, "cpu", "host").await, ["a", "b"]);
    let table = disk.table("cpu").await;
    assert_eq!(table.tags().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), ["host"]);
    assert_eq!(table.sort.fields.len(), 2);
    assert_eq!(node.ingest.buffered(table.id).0, 2);
    node.flush(&disk, "cpu").await;
    assert_eq!(node.ingest.buffered(table.id), (0, 0));
    assert_eq!(node.values(&disk, "cpu", "usage").await, ["1.5", "2.5"]);
    assert_eq!(node.values(&disk, "cpu", "load").await, ["", "3"]);
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn memory_and_committed_writes_say_how_far_they_came() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let memory = with_ack(line_protocol("cpu v=1 1000"), Ack::Memory);
    assert_eq!(node.ingest.write(&disk.identity, memory).await.expect("queued").ack, Ack::Memory);
    let committed = with_ack(line_protocol("cpu v=2 2000\nmem v=3 1"), Ack::Committed);
    let outcome = node.ingest.write(&disk.identity, committed).await.expect("committed");
    assert_eq!(outcome.ack, Ack::Committed);
    let head = disk.lake.catalog.head(&disk.scope).await.expect("head").txn;
    assert!(outcome.txn.is_some_and(|txn| txn <= head));
    let table = disk.table("cpu").await;
    assert_eq!(node.ingest.buffered(table.id), (0, 0));
    assert_eq!(node.values(&disk, "cpu", "v").await, ["1.0", "2.0"]);
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn good_lines_are_stored_and_bad_ones_named_unless_all_or_nothing_is_asked() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let body = "t v=1 1\nt v=2 2\nt bad\nt v=4 4\nt v=\"x\" 5\nt v=6 6";
    let outcome = node.write(&disk, body).await.expect("stored in part");
    assert_eq!((outcome.rows, outcome.rejected_lines), (4, 2));
    assert_eq!(outcome.rejected.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 5]);
    let strict = WriteRequest { accept_partial: false, ..line_protocol("t v=7 7\nt bad") };
    let refused = node.ingest.write(&disk.identity, strict).await.expect_err("a bad line");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(node.values(&disk, "t", "v").await.len(), 4);
    assert!(matches!(node.write(&disk, "").await, Err(Error::EmptyBody)));
    assert!(matches!(node.write(&disk, "# nothing\n").await, Err(Error::NoRecords)));
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn a_request_over_several_tables_has_one_place() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let before = node.ingest.log_status().1;
    node.write(&disk, "a v=1 1\nb v=2 1\nc v=3 1").await.expect("stored");
    assert_eq!(node.ingest.log_status().1, before + 1);
    let tables = [disk.table("a").await.id, disk.table("b").await.id, disk.table("c").await.id];
    let mut pin = node.ingest.pin(&tables);
    pin.close();
    for table in tables {
        let batches = pin.batches(table, cenote_vocab::Epoch(0));
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1]);
    }
    drop(pin);
    // A conflict in the last table stores nothing of the first.
    let rows = r#"[{"m":"a","fields":{"v":9.0},"t":9},{"m":"c","fields":{"v":"text"},"t":9}]"#;
    let refused = node.json(&disk, "unused", rows).await.expect_err("conflict");
    assert!(matches!(refused, Error::TypeConflict { .. }), "{refused}");
    assert_eq!(node.values(&disk, "a", "v").await, ["1.0"]);
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn an_idempotency_key_stores_once_and_answers_the_same() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let keyed =
        |body: &str, key: &str| WriteRequest { idempotency_key: Some(key.to_owned()), ..line_protocol(body) };
    let refused = node.ingest.write(&disk.identity, keyed("cpu bad", "k1")).await;
    assert!(refused.is_err());
    let writes =
        (0..20).map(|_| node.ingest.write(&disk.identity, keyed("cpu v=1 1\ncpu bad\ncpu v=2 2", "k1")));
    let outcomes: Vec<_> =
        futures::future::join_all(writes).await.into_iter().map(|outcome| outcome.expect("stored")).collect();
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    for outcome in &outcomes {
        assert_eq!((outcome.rows, outcome.ack, outcome.rejected_lines), (2, Ack::Committed, 1));
        assert_eq!((outcome.txn, &outcome.rejected), (outcomes[0].txn, &outcomes[0].rejected));
    }
    assert_eq!(node.values(&disk, "cpu", "v").await, ["1.0", "2.0"]);
    let other = node.ingest.write(&disk.identity, keyed("cpu v=3 3", "k1")).await.expect_err("another body");
    assert!(matches!(other, Error::IdempotencyConflict));
    node.ingest.write(&disk.identity, keyed("cpu v=3 3", "k2")).await.expect("another key");
    assert!(matches!(
        node.ingest.write(&disk.identity, keyed("cpu v=3 3", "")).await,
        Err(Error::InvalidKey)
    ));
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn rights_are_asked_for_each_table_before_anything_is_made() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let new = NewToken {
        name: "narrow".to_owned(),
        description: String::new(),
        permissions: Permissions::NONE,
        grants: vec![cenote_catalog::Grant {
            database: "default".to_owned(),
            measurement: "cpu*".to_owned(),
            permissions: vec![Permission::Write],
        }],
        default_database: None,
        expires: None,
    };
    let (_, secret) = disk.lake.catalog.create_token(&disk.scope, new, None).await.expect("token");
    let narrow = disk.lake.catalog.authenticate(&secret).await.expect("authenticates");
    node.ingest.write(&narrow, line_protocol("cpu_load v=1 1")).await.expect("granted");
    let refused =
        node.ingest.write(&narrow, line_protocol("cpu v=1 1\nmem v=1 1")).await.expect_err("not granted");
    assert!(matches!(refused, Error::Denied { .. }), "{refused}");
    assert!(disk.try_table("cpu").await.is_none() && disk.try_table("mem").await.is_none());
    let elsewhere = WriteRequest { database: Some("other".to_owned()), ..line_protocol("cpu v=1 1") };
    assert!(matches!(node.ingest.write(&narrow, elsewhere).await, Err(Error::Denied { .. })));
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn a_first_write_makes_its_database_and_bad_names_are_refused() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let there = WriteRequest { database: Some("plant-7".to_owned()), ..json("t", r#"{"v":1}"#) };
    node.ingest.write(&disk.identity, there).await.expect("stored");
    let head = disk.lake.catalog.head(&disk.scope).await.expect("head");
    let names = disk.lake.catalog.names(&disk.scope, head.txn).await.expect("names");
    assert!(names.table("plant-7", "t").is_ok());
    let reserved = WriteRequest { database: Some("system".to_owned()), ..json("t", r#"{"v":1}"#) };
    assert_eq!(
        node.ingest.write(&disk.identity, reserved).await.expect_err("reserved").kind(),
        ErrorKind::Invalid
    );
    node.crash().await;
    disk.close().await;
}

#[tokio::test]
async fn rows_of_a_dropped_table_are_discarded_and_its_name_is_free() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "gone v=1 1").await.expect("stored");
    let old = disk.table("gone").await;
    let drop_table = Commit {
        commit_id: disk.lake.ids.uuid(),
        scope: disk.scope.clone(),
        producers: Vec::new(),
        facts: Facts::default(),
        tables: Vec::new(),
        objects: vec![ObjectChange::DropTable {
            schema: "default".to_owned(),
            name: "gone".to_owned(),
            if_exists: false,
            view: false,
        }],
    };
    disk.lake.catalog.apply(drop_table).await.expect("dropped");
    node.write(&disk, "gone v=2 2").await.expect("a new table");
    node.ingest.flush(&disk.scope, &old).await.expect("nothing to do");
    assert_eq!(node.ingest.buffered(old.id), (0, 0));
    assert_eq!(node.values(&disk, "gone", "v").await, ["2.0"]);
    node.ingest.flush_all(&disk.scope).await.expect("flushes");
    assert_eq!(crate::ask::segments(&disk.wal()).len(), 1, "the log is empty");
    node.crash().await;
    disk.close().await;
}
