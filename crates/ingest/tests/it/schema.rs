//! Schema on write: first values make tables and columns, and no value is stored that would lose anything.

use std::sync::Arc;

use cenote_catalog::{Commit, Facts, NewTable, ObjectChange};
use cenote_ingest::{Error, IngestOptions, WalOptions};
use cenote_testkit::ingest::ingest_options;
use cenote_testkit::lake::{MEMORY_BYTES, TestLake};
use cenote_vocab::{ErrorKind, Fault, Field, FieldId, FieldType, TableSchema, TimeUnit};
use tokio_util::task::TaskTracker;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_make_one_table_with_overlapping_columns() {
    let disk = Arc::new(TestLake::new().await);
    let node = Arc::new(disk.open().await);
    let writers = (0..64).map(|writer: usize| {
        let (disk, node) = (disk.clone(), node.clone());
        TaskTracker::new().spawn(async move {
            let (a, b) = (writer % 8, (writer + 1) % 8);
            let line = format!("t,tag{}=x f{a}={writer},f{b}=1 {}", writer % 3, writer + 1);
            node.write(&disk, &line).await.map(|outcome| outcome.rows)
        })
    });
    for written in futures::future::join_all(writers).await {
        assert_eq!(written.expect("no panic").expect("stored"), 1);
    }
    let columns = disk.columns("t").await;
    let fields: Vec<_> = columns.keys().map(String::as_str).collect();
    assert_eq!(fields, ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "tag0", "tag1", "tag2"]);
    assert_eq!(node.values(&disk, "t", "time").await.len(), 64);
    node.ingest.flush_all(&disk.scope).await.expect("flushes");
    assert_eq!(node.values(&disk, "t", "time").await.len(), 64);
}

#[tokio::test]
async fn a_lossless_number_is_stored_and_a_fraction_conflicts_in_line_protocol() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1i,x=1.5 1").await.expect("stored");
    node.write(&disk, "t v=2.0,x=7i 2").await.expect("both convert");
    let refused = node.write(&disk, "t v=2.5 3").await.expect_err("a fraction");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(node.values(&disk, "t", "v").await, ["1", "2"]);
    assert_eq!(node.values(&disk, "t", "x").await, ["1.5", "7.0"]);
    let refused = node
        .json(&disk, "t", r#"[{"time":5,"v":4},{"time":5,"v":"four"}]"#)
        .await
        .expect_err("mixed or text");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let refused =
        node.json(&disk, "t", r#"[{"time":5,"v":null},{"time":5,"v":"four"}]"#).await.expect_err("text");
    let text = refused.to_string();
    assert_eq!(text, r#"column "v" of "default"."t": expected bigint, given varchar (first at row 1: four)"#);
    node.crash().await;
}

#[tokio::test]
async fn json_fractions_widen_a_bigint_column_with_rows_in_buffer_and_files() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.json(&disk, "t", r#"{"time":1,"v":20}"#).await.expect("stored");
    node.flush(&disk, "t").await;
    node.json(&disk, "t", r#"{"time":2,"v":21}"#).await.expect("stored");
    node.json(&disk, "t", r#"{"time":3,"v":20.5}"#).await.expect("widens");
    node.json(&disk, "t", r#"{"time":4,"v":22}"#).await.expect("an integer fits");
    assert_eq!(disk.columns("t").await["v"], "double");
    assert_eq!(node.values(&disk, "t", "v").await, ["20.0", "20.5", "21.0", "22.0"]);
    node.crash().await;
    let node = disk.open().await;
    node.flush(&disk, "t").await;
    assert_eq!(node.values(&disk, "t", "v").await, ["20.0", "20.5", "21.0", "22.0"]);

    // Beyond 2^53, still in the buffer: the widening would lose it.
    node.json(&disk, "big", r#"{"time":1,"v":9007199254740993}"#).await.expect("stored");
    let refused = node.json(&disk, "big", r#"{"time":2,"v":0.5}"#).await.expect_err("cannot widen");
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(node.values(&disk, "big", "v").await, ["9007199254740993"]);
    node.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn widening_while_others_write_loses_nothing() {
    let disk = Arc::new(TestLake::new().await);
    let node = Arc::new(disk.open().await);
    node.json(&disk, "t", r#"{"time":1,"v":0}"#).await.expect("stored");
    let writers = (1..40).map(|n: u64| {
        let (disk, node) = (disk.clone(), node.clone());
        TaskTracker::new().spawn(async move {
            let value = if n.is_multiple_of(10) { format!("{n}.5") } else { n.to_string() };
            node.json(&disk, "t", &format!(r#"{{"time":{n},"v":{value}}}"#)).await.map(|outcome| outcome.rows)
        })
    });
    for written in futures::future::join_all(writers).await {
        assert_eq!(written.expect("no panic").expect("stored"), 1);
    }
    node.ingest.flush_all(&disk.scope).await.expect("flushes");
    let mut wanted: Vec<String> =
        (0..40).map(|n| if n % 10 == 0 && n > 0 { format!("{n}.5") } else { format!("{n}.0") }).collect();
    wanted.sort();
    assert_eq!(node.values(&disk, "t", "v").await, wanted);
}

#[tokio::test]
async fn a_column_of_only_nulls_gets_its_type_from_its_first_value() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.json(&disk, "t", r#"{"time":1,"v":null,"w":1}"#).await.expect("stored");
    assert_eq!(disk.columns("t").await["v"], "unknown");
    node.flush(&disk, "t").await;
    node.json(&disk, "t", r#"{"time":2,"v":null}"#).await.expect("stored");
    node.json(&disk, "t", r#"{"time":3,"v":"text"}"#).await.expect("decides");
    assert_eq!(disk.columns("t").await["v"], "string");
    node.flush(&disk, "t").await;
    assert_eq!(node.values(&disk, "t", "v").await, ["", "", "text"]);
    node.crash().await;
}

#[tokio::test]
async fn a_tag_is_any_value_as_text_and_a_text_column_may_become_one() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t note=\"a\",n=1 1").await.expect("stored");
    node.write(&disk, "t,note=b n=2 2").await.expect("becomes a tag");
    node.json(&disk, "t", r#"{"time":3,"note":7}"#).await.expect("text of a number");
    assert_eq!(node.values(&disk, "t", "note").await, ["7", "a", "b"]);
    assert_eq!(disk.table("t").await.tags().count(), 1);
    assert!(node.write(&disk, "t,n=3 note=\"c\" 4").await.is_err(), "a tag over a number");
    node.write(&disk, "u,a\\,b=c v=1 1").await.expect("a tag with a comma is a plain column");
    assert_eq!(disk.table("u").await.tags().count(), 0);
    node.write(&disk, "u,a\\,b=d v=1 1").await.expect("again");
    node.crash().await;
}

#[tokio::test]
async fn tables_made_by_sql_keep_their_types_and_required_columns() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    let field = |id, name: &str, field_type, required| Field {
        required,
        ..Field::new(FieldId(id), name, field_type)
    };
    let columns = TableSchema {
        no: 1,
        fields: vec![
            field(1, "time", FieldType::Timestamp(TimeUnit::Nano), true),
            field(2, "small", FieldType::Int16, true),
            field(3, "price", FieldType::Decimal { precision: 9, scale: 2 }, false),
            field(4, "at", FieldType::TimestampTz(TimeUnit::Milli), false),
        ],
    };
    let ids = (disk.lake.catalog.reserve_table(&disk.scope).await.expect("id"), disk.lake.ids.uuid());
    let table = NewTable {
        time_field: Some(FieldId(1)),
        ..NewTable::plain(disk.scope.tenant(), ids, ("default", "declared"), columns)
    };
    let commit = Commit {
        commit_id: disk.lake.ids.uuid(),
        scope: disk.scope.clone(),
        producers: Vec::new(),
        facts: Facts::default(),
        tables: Vec::new(),
        objects: vec![ObjectChange::CreateTable(Box::new(table))],
    };
    disk.lake.catalog.apply(commit).await.expect("created");
    let row = r#"{"time":1000,"small":5,"price":1.25,"at":"1970-01-01T00:00:02Z"}"#;
    node.json(&disk, "declared", row).await.expect("fits");
    node.flush(&disk, "declared").await;
    assert_eq!(node.values(&disk, "declared", "small").await, ["5"]);
    assert_eq!(node.values(&disk, "declared", "price").await, ["1.25"]);
    assert_eq!(node.values(&disk, "declared", "at").await, ["1970-01-01T00:00:02Z"]);
    let missing = node.json(&disk, "declared", r#"{"time":1,"price":1}"#).await.expect_err("required");
    assert!(matches!(&missing, Error::MissingValue { column, .. } if column == "small"), "{missing}");
    let large = node.json(&disk, "declared", r#"{"time":1,"small":40000}"#).await.expect_err("too large");
    assert!(matches!(large, Error::TypeConflict { .. }), "{large}");
    let cents =
        node.json(&disk, "declared", r#"{"time":1,"small":1,"price":0.001}"#).await.expect_err("rounds");
    assert!(matches!(cents, Error::TypeConflict { .. }), "{cents}");
    node.crash().await;
}

#[tokio::test]
async fn creation_can_be_switched_off() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    node.write(&disk, "t v=1 1").await.expect("stored");
    node.crash().await;
    let options = IngestOptions { create_tables: false, create_columns: false, ..ingest_options() };
    let node = disk.open_with(options, WalOptions::at(disk.wal()), MEMORY_BYTES).await.expect("opens");
    node.write(&disk, "t v=2 2").await.expect("known");
    assert!(matches!(node.write(&disk, "t w=2 2").await, Err(Error::CreationOff(_))));
    assert!(matches!(node.write(&disk, "u v=2 2").await, Err(Error::CreationOff(_))));
    assert!(disk.try_table("u").await.is_none());
    node.crash().await;
}

#[tokio::test]
async fn too_many_schema_changes_are_put_off() {
    let disk = TestLake::new().await;
    let node = disk.open().await;
    for n in 0..=60 {
        node.write(&disk, &format!("t f{n}=1 1")).await.expect("allowed");
    }
    let refused = node.write(&disk, "t one_more=1 1").await.expect_err("too many");
    assert_eq!(refused.kind(), ErrorKind::Exhausted);
    assert!(refused.retry_after().is_some());
    node.write(&disk, "t f1=2 2").await.expect("known columns go on");
    node.crash().await;
}
