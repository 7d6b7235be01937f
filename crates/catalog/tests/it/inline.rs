//! Rows in the catalog itself are files like any other.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Content, DataFile, Error, LevelCounters, NewFile, Op, ReadSet, RetireKind, RewriteInput, RowChange,
    TableChange,
};
use cenote_datafile::{Level, WriterOptions, arrow_schema, encode_inline};
use cenote_vocab::{FieldId, Micros, TableId, Txn};

use crate::conflicts::take;
use crate::fixture::Fixture;

/// Rows with these values.
async fn inline(fixture: &Fixture, table: TableId, values: &[i64]) -> NewFile {
    let def = fixture.by_id(table).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(values.iter().copied())),
        Arc::new(StringArray::from_iter_values(values.iter().map(|value| format!("host-{value}")))),
        Arc::new(Int64Array::from_iter_values(values.iter().copied())),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&def.schema), columns).expect("a batch");
    let options = WriterOptions {
        table_uuid: def.uuid,
        schema: (*def.schema).clone(),
        sort: def.sort.clone(),
        time_field: Some(FieldId(1)),
        level: Level::Fresh,
    };
    let (payload, written) = encode_inline(&batch, &options).expect("encoded");
    NewFile {
        content: Content::Inline(Some(payload)),
        path: String::new(),
        bytes: written.bytes,
        footer_bytes: 0,
        time_range: written.time_range,
        statistics: written.statistics,
        ..fixture.file(values.len() as u64)
    }
}

async fn append(fixture: &Fixture, table: TableId, values: &[i64]) -> Txn {
    let files = vec![inline(fixture, table, values).await];
    fixture.change(table, vec![Op::Append { files }]).await.expect("appended").txn
}

/// The values of each file, deleted ones too.
async fn read(fixture: &Fixture, table: TableId, files: &[Arc<DataFile>]) -> Result<Vec<Vec<i64>>, Error> {
    let def = fixture.by_id(table).await;
    let files: Vec<&DataFile> = files.iter().map(Arc::as_ref).collect();
    let batches = fixture.catalog.inline_batches(&fixture.scope, &def, &files).await?;
    Ok(batches.iter().map(|batch| batch.column(2).as_primitive::<Int64Type>().values().to_vec()).collect())
}

async fn counted(fixture: &Fixture) -> LevelCounters {
    let mut counted = LevelCounters::default();
    let head = fixture.head().await;
    let visited = fixture.catalog.visit_partitions(&fixture.scope, Txn(0), head, |partition| {
        counted = partition.inline;
        assert_eq!(partition.fresh, LevelCounters::default(), "inline batches are of no level");
    });
    visited.await.expect("visited");
    counted
}

pub(crate) async fn an_inline_batch_keeps_its_rows_through_a_restart(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    append(&fixture, table, &[1, 2, 3]).await;
    append(&fixture, table, &[4, 5]).await;
    let files = fixture.files(table).await;
    assert!(files.iter().all(|file| file.file.content == Content::Inline(None) && file.file.path.is_empty()));
    assert_eq!((files[0].row_id_start, files[1].row_id_start), (0, 3));
    assert_eq!(read(&fixture, table, &files).await.expect("there"), [vec![1, 2, 3], vec![4, 5]]);

    let fixture = fixture.restart().await;
    let files = fixture.files(table).await;
    let reversed: Vec<_> = files.iter().rev().cloned().collect();
    assert_eq!(read(&fixture, table, &reversed).await.expect("there"), [vec![4, 5], vec![1, 2, 3]]);
    assert_eq!(read(&fixture, table, &files).await.expect("in memory"), [vec![1, 2, 3], vec![4, 5]]);
    let file = files[0].id;
    fixture.change(table, vec![take(file, 0..1, RowChange::Delete)]).await.expect("deleted");
    assert_eq!(fixture.live_rows(table).await, 4);
}

pub(crate) async fn inline_batches_are_counted_as_they_come_and_go(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let known = async || fixture.catalog.inline_counters(&fixture.scope, table).await.expect("counted");
    assert_eq!(known().await, LevelCounters::default());
    for values in [[1, 2], [3, 4], [5, 6]] {
        append(&fixture, table, &values).await;
    }
    let files = fixture.files(table).await;
    let bytes: u64 = files.iter().map(|file| file.file.bytes).sum();
    let all = LevelCounters { files: 3, bytes };
    assert_eq!((known().await, counted(&fixture).await), (all, all));
    let retire = Op::Retire { files: vec![files[0].id], kind: RetireKind::Delete };
    fixture.change(table, vec![retire]).await.expect("retired");
    assert_eq!(known().await, LevelCounters { files: 2, bytes: bytes - files[0].file.bytes });
    let inputs = files[1..].iter().map(|file| RewriteInput { file: file.id, seen: None }).collect();
    let outputs = vec![fixture.file(4)];
    fixture.change(table, vec![Op::Rewrite { inputs, outputs }]).await.expect("flushed");
    assert_eq!((known().await, fixture.live_rows(table).await), (LevelCounters::default(), 4));
}

pub(crate) async fn a_batch_that_is_brought_back_has_its_rows_and_those_that_nothing_needs_go(
    fixture: Fixture,
) {
    let table = fixture.create("cpu").await;
    let then = append(&fixture, table, &[1, 2, 3]).await;
    append(&fixture, table, &[4]).await;
    let old = fixture.files(table).await;
    let files = old.iter().map(|file| file.id).collect();
    fixture.change(table, vec![Op::Retire { files, kind: RetireKind::Delete }]).await.expect("retired");
    let ops = vec![Op::Restore { to: then, retire: Vec::new(), files: vec![old[0].clone()] }];
    let change = TableChange { table, base: fixture.head().await, read: ReadSet::All, ops };
    let commit = cenote_catalog::Commit { tables: vec![change], ..fixture.commit() };
    fixture.catalog.apply(commit).await.expect("restored");

    let head = fixture.head().await;
    let queued = fixture.catalog.purge(&fixture.scope, Some(table), head, Micros(0)).await.expect("purged");
    assert_eq!(queued, [], "there is no object to delete");
    let fixture = fixture.restart().await;
    let files = fixture.files(table).await;
    assert_eq!(read(&fixture, table, &files).await.expect("there"), [vec![1, 2, 3]]);
    assert_eq!((files[0].row_id_start, fixture.live_rows(table).await), (0, 3));
    for gone in old {
        let gone = read(&fixture, table, &[gone]).await;
        assert!(matches!(gone, Err(Error::SnapshotExpired(_))), "{gone:?}");
    }
}

pub(crate) async fn an_inline_batch_without_what_it_needs_is_refused(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let good = inline(&fixture, table, &[1]).await;
    let wrong = [
        (NewFile { content: Content::Inline(None), ..good.clone() }, "without its payload"),
        (
            NewFile { content: Content::Inline(Some(vec![0; (1 << 20) + 1].into())), ..good.clone() },
            "1048577 bytes",
        ),
        (NewFile { path: "data/x.parquet".into(), ..good.clone() }, "has no path"),
        (NewFile { path: String::new(), ..fixture.file(1) }, "must lie below"),
    ];
    for (file, reason) in wrong {
        let refused = fixture.change(table, vec![Op::Append { files: vec![file] }]).await;
        assert!(
            matches!(&refused, Err(error) if error.to_string().contains(reason)),
            "{reason}: {refused:?}"
        );
    }
    fixture.change(table, vec![Op::Append { files: vec![good] }]).await.expect("taken");
}
