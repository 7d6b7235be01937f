//! A row keeps its id wherever it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use cenote_catalog::{Alter, Op, ReadSet, RowChange, TableChange};
use cenote_datafile::{Level, RowIdentity, RowSet, arrow_schema, with_row_ids};
use cenote_table::{OptimizeMode, Predicate};
use futures::TryStreamExt;

use crate::world::{World, batch, day_of_rows, row};

/// Row id and sequence number by time.
pub(crate) async fn identities(world: &World) -> BTreeMap<i64, (i64, i64)> {
    let schema = Arc::new(with_row_ids(&world.table().await.schema));
    let mut found = BTreeMap::new();
    for file in &world.scan(&Predicate::True).await.files {
        let (entry, vector) = (&file.entry, file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let mut identity = RowIdentity::new(entry.row_id_start, entry.seq, vector.as_deref());
        let table = world.table().await;
        let rows = RowSet::live(vector);
        let batches = world.lake.read_file(&world.scope, &table, entry, rows, &schema).await.unwrap();
        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
        for batch in &batches {
            let batch = identity.fill(batch).unwrap();
            let (time, last) = (batch.column(0), batch.num_columns() - 1);
            let ids = batch.column(last - 1).as_primitive::<Int64Type>().values();
            let seqs = batch.column(last).as_primitive::<Int64Type>().values();
            let times = time.as_primitive::<TimestampMicrosecondType>().values();
            for at in 0..batch.num_rows() {
                assert_eq!(found.insert(times[at], (ids[at], seqs[at])), None, "each row once");
            }
        }
    }
    found
}

fn distinct(identities: &BTreeMap<i64, (i64, i64)>) -> usize {
    identities.values().map(|(id, _)| id).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test]
async fn row_ids_and_sequence_numbers_survive_compaction() {
    let world = World::new().await;
    for day in 0..3 {
        world.append(&day_of_rows(day, 200)).await;
    }
    world.append(&[row(7, "late", 1.0)]).await;
    let first = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(first, (0..200).filter(|position| position % 3 == 0)).await;
    let before = identities(&world).await;
    assert_eq!(distinct(&before), before.len());
    world.optimize(OptimizeMode::Full).await;
    assert!(world.scan(&Predicate::True).await.files.iter().any(|file| file.entry.file.row_ids_stored));
    assert_eq!(identities(&world).await, before);
    let merged = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(merged, [1, 5]).await;
    let less = identities(&world).await;
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(identities(&world).await, less, "also from files that store them");
}

#[tokio::test]
async fn a_changed_row_keeps_its_id_and_gets_a_new_sequence_number() {
    let world = World::new().await;
    world.append(&[row(1, "a", 1.0), row(2, "b", 2.0), row(3, "c", 3.0)]).await;
    let before = identities(&world).await;
    let table = world.table().await;
    let file = world.scan(&Predicate::True).await.files[0].entry.clone();
    let changed = batch(&table, &[row(2, "b", 20.0), row(4, "new", 4.0)]);
    let hidden: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![Some(before[&2].0), None])), Arc::new(Int64Array::new_null(2))];
    let columns = [changed.columns(), &hidden].concat();
    let rows = RecordBatch::try_new(arrow_schema(&with_row_ids(&table.schema)), columns).unwrap();
    let mut writer = world.lake.changed_rows_writer(&world.scope, &table, Level::Fresh);
    writer.write(rows).await.unwrap();
    let files = writer.finish().await.unwrap().into_files();
    let gone = Op::DeleteRows {
        file: file.id,
        seen: None,
        positions: [1].into_iter().collect(),
        kind: RowChange::Update,
    };
    let ops = vec![gone, Op::Append { files }];
    let change = TableChange { table: table.id, base: world.head().await, read: ReadSet::None, ops };
    world.commit(vec![change], Vec::new()).await.unwrap();
    let after = identities(&world).await;
    assert_eq!((after[&1], after[&3]), (before[&1], before[&3]));
    assert_eq!(after[&2].0, before[&2].0);
    assert!(after[&2].1 > before[&2].1, "{after:?}");
    assert_eq!(distinct(&after), 4);
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(identities(&world).await, after);
}

#[tokio::test]
async fn tables_without_row_lineage_store_no_ids() {
    let world = World::new().await;
    let off = BTreeMap::from([("row_lineage".to_owned(), Some("off".to_owned()))]);
    world.change(Op::Alter(Alter::SetProperties(off))).await.unwrap();
    world.append(&day_of_rows(0, 10)).await;
    world.append(&day_of_rows(0, 10)).await;
    world.optimize(OptimizeMode::Full).await;
    let files = world.scan(&Predicate::True).await.files;
    assert_eq!((files.len(), files[0].entry.file.row_ids_stored), (1, false));
}
