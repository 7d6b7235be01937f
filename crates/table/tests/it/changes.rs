//! The change feed rebuilds every version from every other, and a reader may stop anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, Op, ReadSet, RetireKind, RowChange, TableChange};
use cenote_datafile::{Level, ParquetWriter, WriterOptions, arrow_schema};
use cenote_table::{ChangePosition, ChangeRequest, ChangeType, Error, Expired, OptimizeMode, Predicate};
use cenote_vocab::{Field, FieldId, FieldType, FileId, SortOrder, TableSchema, Txn};
use futures::TryStreamExt;
use proptest::prelude::*;

use crate::world::{Row, World, batch, day_of_rows, row, rows_of, sorted};

/// One change as it came.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    at: ChangePosition,
    kind: String,
    row_id: i64,
    row: Row,
}

fn request(table: &cenote_catalog::TableDef, after: ChangePosition, to: Txn) -> ChangeRequest {
    ChangeRequest {
        after,
        to,
        types: ChangeType::ALL.to_vec(),
        expired: Expired::Shown,
        columns: table.schema.fields.iter().map(|field| field.id).collect(),
    }
}

async fn read(world: &World, request: ChangeRequest) -> Result<Vec<Change>, Error> {
    let stream = world.lake.changes(&world.scope, &world.table().await, request)?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(batches.iter().flat_map(changes_of).collect())
}

fn changes_of(batch: &RecordBatch) -> Vec<Change> {
    let number = |at: usize| batch.column(at).as_primitive::<Int64Type>().values();
    let (txns, ids, files, positions) = (number(0), number(3), number(4), number(5));
    let values = rows_of(&batch.project(&[6, 7, 8]).expect("the table's columns"));
    let changes = values.into_iter().enumerate().map(|(at, row)| Change {
        at: ChangePosition {
            txn: Txn(txns[at]),
            row: Some((FileId(files[at]), u64::try_from(positions[at]).expect("not negative"))),
        },
        kind: batch.column(2).as_string::<i32>().value(at).to_owned(),
        row_id: ids[at],
        row,
    });
    changes.collect()
}

/// The rows after the changes.
fn replay(rows: Vec<Row>, changes: &[Change]) -> Vec<Row> {
    let key = |row: &Row| format!("{row:?}");
    let mut counts: BTreeMap<String, (i64, Row)> = BTreeMap::new();
    let deltas = rows.into_iter().map(|row| (1, row));
    let deltas = deltas.chain(changes.iter().map(|change| match change.kind.as_str() {
        "insert" | "update_postimage" => (1, change.row.clone()),
        _ => (-1, change.row.clone()),
    }));
    for (delta, row) in deltas {
        counts.entry(key(&row)).or_insert((0, row)).0 += delta;
    }
    let rows = counts.into_values().flat_map(|(count, row)| {
        std::iter::repeat_n(row, usize::try_from(count).expect("no row goes that is not there"))
    });
    sorted(rows.collect())
}

#[derive(Clone, Debug)]
enum Act {
    Append { day: i64, rows: i64 },
    Delete { file: prop::sample::Index, from: u64, rows: u64 },
    Retire { file: prop::sample::Index, kind: RetireKind },
    Optimize,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..3_i64, 1..40_i64).prop_map(|(day, rows)| Act::Append { day, rows }),
        4 => (any::<prop::sample::Index>(), 0..30_u64, 1..15_u64)
            .prop_map(|(file, from, rows)| Act::Delete { file, from, rows }),
        1 => (any::<prop::sample::Index>(), prop_oneof![Just(RetireKind::Delete), Just(RetireKind::Expire)])
            .prop_map(|(file, kind)| Act::Retire { file, kind }),
        1 => Just(Act::Optimize),
    ];
    prop::collection::vec(act, 1..12)
}

async fn act(world: &World, act: &Act) {
    let files = world.scan(&Predicate::True).await.files;
    match act {
        Act::Append { day, rows } => drop(world.append(&day_of_rows(*day, *rows)).await),
        Act::Optimize => drop(world.optimize(OptimizeMode::Full).await),
        Act::Delete { file, from, rows } if !files.is_empty() => {
            let entry = &file.get(&files).entry;
            let gone = (*from..from + rows).filter(|at| *at < entry.file.rows);
            world.delete(entry.id, gone.collect::<Vec<_>>()).await;
        }
        Act::Retire { file, kind } if !files.is_empty() => {
            let files = vec![file.get(&files).entry.id];
            world.change(Op::Retire { files, kind: *kind }).await.expect("retired");
        }
        Act::Delete { .. } | Act::Retire { .. } => {}
    }
}

async fn every_version_is_rebuilt(
    world: World,
    acts: Vec<Act>,
    from: prop::sample::Index,
    stop: prop::sample::Index,
) {
    let mut versions = vec![world.head().await];
    for step in &acts {
        act(&world, step).await;
        versions.push(world.head().await);
    }
    let table = world.table().await;
    let (start, end) = (*from.get(&versions), world.head().await);
    let all = read(&world, request(&table, ChangePosition::end_of(start), end)).await.expect("kept");
    assert!(all.is_sorted_by(|a, b| a.at < b.at), "each place once, in order");
    for version in versions.iter().filter(|version| **version >= start) {
        let until: Vec<Change> = all.iter().filter(|change| change.at.txn <= *version).cloned().collect();
        let rebuilt = replay(world.rows_at(start).await.expect("kept"), &until);
        assert_eq!(rebuilt, world.rows_at(*version).await.expect("kept"), "{start} to {version}");
    }
    if !all.is_empty() {
        let seen = stop.index(all.len());
        let rest = read(&world, request(&table, all[seen].at, end)).await.expect("kept");
        assert_eq!(rest, all[seen + 1..], "after {}", all[seen].at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_changes_rebuild_every_version(acts in acts(), from in any::<prop::sample::Index>(), stop in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async { every_version_is_rebuilt(World::new().await, acts, from, stop).await });
    }

    #[test]
    fn random_changes_of_inline_batches_rebuild_every_version(acts in acts(), from in any::<prop::sample::Index>(), stop in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async { every_version_is_rebuilt(World::new().await.inline(), acts, from, stop).await });
    }
}

#[tokio::test]
async fn a_row_goes_under_the_id_that_it_came_under() {
    let world = World::new().await;
    let start = world.head().await;
    world.append(&day_of_rows(0, 20)).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(file, [3, 7, 8]).await;
    let end = world.delete(file, [4]).await;
    let table = world.table().await;
    let all = read(&world, request(&table, ChangePosition::end_of(start), end)).await.expect("kept");
    let came: BTreeMap<i64, Row> =
        all[..20].iter().map(|change| (change.row_id, change.row.clone())).collect();
    assert_eq!(came.len(), 20);
    let gone: Vec<u64> = all[20..].iter().filter_map(|change| change.at.row).map(|row| row.1).collect();
    assert_eq!(gone, [3, 7, 8, 4]);
    for change in &all[20..] {
        assert_eq!((change.kind.as_str(), came.get(&change.row_id)), ("delete", Some(&change.row)));
    }
}

#[tokio::test]
async fn only_the_wanted_kinds_and_columns_are_read() {
    let world = World::new().await;
    let start = world.head().await;
    world.append(&day_of_rows(0, 20)).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    let deleted = world.delete(file, [0]).await;
    let end =
        world.change(Op::Retire { files: vec![file], kind: RetireKind::Expire }).await.expect("expired").txn;
    let table = world.table().await;
    let ask = async |types: &[ChangeType], expired| {
        let request = ChangeRequest {
            types: types.to_vec(),
            expired,
            columns: Vec::new(),
            ..request(&table, ChangePosition::end_of(start), end)
        };
        let stream = world.lake.changes(&world.scope, &table, request).expect("a stream");
        let batches: Vec<RecordBatch> = stream.try_collect().await.expect("kept");
        batches.iter().map(RecordBatch::num_rows).sum::<usize>()
    };
    assert_eq!(ask(&ChangeType::ALL, Expired::Hidden).await, 21);
    assert_eq!(ask(&ChangeType::ALL, Expired::Shown).await, 40);
    assert_eq!(ask(&[ChangeType::Delete], Expired::Hidden).await, 1);
    assert_eq!(ask(&[ChangeType::Delete], Expired::Shown).await, 20);

    let request =
        ChangeRequest { columns: Vec::new(), ..request(&table, ChangePosition::end_of(start), deleted) };
    let stream = world.lake.changes(&world.scope, &table, request).expect("a stream");
    let first: Vec<RecordBatch> = stream.try_collect().await.expect("kept");
    let committed = first[0].column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    let history = world.lake.catalog.history(&world.scope, 10).await.expect("history");
    let record = history.iter().find(|record| record.txn.0 == start.0 + 1).expect("the append");
    assert_eq!(committed, record.committed.0);
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_refused() {
    let world = World::new().await;
    let head = world.append(&day_of_rows(0, 5)).await;
    let table = world.table().await;
    let after = ChangePosition::end_of(Txn(head.0 + 1));
    assert!(matches!(read(&world, request(&table, after, head)).await, Err(Error::Range { .. })));
    assert_eq!(read(&world, request(&table, ChangePosition::end_of(head), head)).await.expect("nothing"), []);
}

/// A file of these rows that keeps their ids, as an update writes it.
async fn file_with_ids(world: &World, rows: &[Row], ids: &[Option<i64>]) -> NewFile {
    let table = world.table().await;
    let own = Field {
        id: FieldId(2_147_483_540),
        name: "_row_id".into(),
        field_type: FieldType::Int64,
        required: false,
        ..table.schema.fields[0].clone()
    };
    let mut schema = TableSchema::clone(&table.schema);
    schema.fields.push(own);
    let path = format!("data/{}.parquet", world.lake.ids.uuid());
    let object = cenote_store::object_path(&table.location, &path);
    let options = WriterOptions {
        table_uuid: table.uuid,
        schema: schema.clone(),
        sort: SortOrder::default(),
        time_field: table.time_field,
        level: Level::Fresh,
    };
    let mut columns = batch(&table, rows).columns().to_vec();
    columns.push(Arc::new(Int64Array::from(ids.to_vec())));
    let rows = RecordBatch::try_new(arrow_schema(&schema), columns).expect("a batch");
    let mut writer = ParquetWriter::create(&world.lake.store, object, options).await.expect("a writer");
    writer.write(&rows).await.expect("written");
    writer.finish().await.expect("complete");
    let adopted =
        world.lake.adopt(&world.scope, &table, &[path]).await.expect("hidden columns are no one else's");
    NewFile { row_ids_stored: true, ..adopted.into_iter().next().expect("one file") }
}

#[tokio::test]
async fn rows_that_go_and_come_under_one_id_are_updated() {
    let world = World::new().await;
    let start = world.head().await;
    let rows: Vec<Row> = (0..5).map(|at| row(at, "a", at as f64)).collect();
    world.append(&rows).await;
    let entry = world.scan(&Predicate::True).await.files[0].entry.clone();
    let id = entry.row_id_start;
    // rows 1 and 2 are updated, row 4 is deleted, one row is new
    let changed = [row(1, "a", 10.0), row(2, "b", 2.0), row(9, "new", 9.0)];
    let ids = [Some(id + 1), Some(id + 2), None];
    let files = vec![file_with_ids(&world, &changed, &ids).await];
    let delete = Op::DeleteRows {
        file: entry.id,
        seen: None,
        positions: [1, 2, 4].into_iter().collect(),
        kind: RowChange::Update,
    };
    let (table, base) = (world.table().await, world.head().await);
    let change =
        TableChange { table: table.id, base, read: ReadSet::None, ops: vec![delete, Op::Append { files }] };
    let end = world.commit(vec![change], Vec::new()).await.expect("updated").txn;

    let told = async |types: &[ChangeType], after: ChangePosition| -> Vec<(String, i64, f64)> {
        let request = ChangeRequest { types: types.to_vec(), ..request(&table, after, end) };
        let changes = read(&world, request).await.expect("kept");
        changes.iter().map(|c| (c.kind.clone(), c.row_id - id, c.row.2.expect("a value"))).collect()
    };
    let line = |kind: &str, id: i64, value: f64| (kind.to_owned(), id, value);
    let before = ChangePosition::end_of(base);
    let all = told(&ChangeType::ALL, before).await;
    let new = all[5].1;
    assert!(new > 4, "a row without an id gets one of its own");
    let expected = [
        line("update_preimage", 1, 1.0),
        line("update_preimage", 2, 2.0),
        line("delete", 4, 4.0),
        line("update_postimage", 1, 10.0),
        line("update_postimage", 2, 2.0),
        line("insert", new, 9.0),
    ];
    assert_eq!(all, expected);
    assert_eq!(
        told(&[ChangeType::Insert, ChangeType::Delete], before).await,
        [expected[2].clone(), expected[5].clone()]
    );
    assert_eq!(told(&[ChangeType::UpdatePostimage], before).await, expected[3..5]);
    // a reader that stopped between the two halves still learns what the second is
    let half = ChangePosition { txn: end, row: Some((entry.id, 4)) };
    assert_eq!(told(&ChangeType::ALL, half).await, expected[3..]);

    // what was updated goes under the id that it kept
    let second = world.scan(&Predicate::True).await.files.last().expect("two files").entry.id;
    let last = world.delete(second, [0]).await;
    let gone = read(&world, request(&table, ChangePosition::end_of(end), last)).await.expect("kept");
    assert_eq!((gone.len(), gone[0].row_id, gone[0].kind.as_str()), (1, id + 1, "delete"));
    let everything = read(&world, request(&table, ChangePosition::end_of(start), last)).await.expect("kept");
    assert_eq!(replay(Vec::new(), &everything), world.rows().await);
}
