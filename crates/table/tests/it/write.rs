//! Rows become sorted files, one per partition.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{ObjectChange, Op, TableDef, TableKind};
use cenote_datafile::{Level, arrow_schema};
use cenote_table::{Error, Predicate};
use cenote_vocab::Fault;

use crate::world::{DAY, World, batch, day_of_rows, row, sorted};

#[tokio::test]
async fn unsorted_rows_of_two_days_become_two_sorted_files() {
    let world = World::new().await;
    let rows = [day_of_rows(3, 500), day_of_rows(-2, 300)].concat();
    world.append(&rows).await;
    assert_eq!(world.rows().await, sorted(rows));
    let files = world.scan(&Predicate::True).await.files;
    let partitions: Vec<_> =
        files.iter().map(|file| (file.entry.file.partition.clone(), file.entry.file.rows)).collect();
    assert_eq!(partitions, [(vec![Some((-2).into())], 300), (vec![Some(3.into())], 500)]);
    for file in &files {
        let rows = world.read(file).await;
        assert!(rows.is_sorted_by_key(|row| (row.1.clone(), row.0)));
        let times = || rows.iter().map(|row| row.0);
        assert_eq!(file.entry.file.time_range, times().min().zip(times().max()));
        assert_eq!((file.entry.file.spec_no, file.entry.file.sort_no, file.entry.file.level), (1, 1, 0));
    }
}

#[tokio::test]
async fn a_flush_over_ten_years_writes_at_most_128_files() {
    let world = World::new().await;
    // The last days have most rows: they deserve files of their own.
    let mut rows: Vec<_> = (0..3_650).map(|day| row(day * DAY + 5, "a", day as f64)).collect();
    rows.extend((3_600..3_650).flat_map(|day| day_of_rows(day, 20)));
    rows.reverse();
    world.append(&rows).await;
    let files = world.scan(&Predicate::True).await.files;
    assert_eq!(files.len(), 128);
    let mixed: Vec<_> = files.iter().filter(|file| file.entry.file.spec_no == 0).collect();
    assert_eq!(mixed.len(), 1);
    assert_eq!((mixed[0].entry.file.rows, mixed[0].entry.file.sort_no), (3_650 - 127, 1));
    assert!(world.read(mixed[0]).await.is_sorted_by_key(|row| (row.1.clone(), row.0)));
    let large = |day: i64| files.iter().any(|file| file.entry.file.partition == [Some(day.into())]);
    assert!((3_600..3_650).all(large));
    assert_eq!(world.rows().await, sorted(rows));
}

#[tokio::test]
async fn with_little_memory_rows_go_to_more_files_and_none_is_lost() {
    let world = World::with_memory(1_000).await;
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    let mut rows = Vec::new();
    for round in 0..4 {
        let part: Vec<_> =
            day_of_rows(1, 100_000).into_iter().map(|row| (row.0 + round, row.1, row.2)).collect();
        writer.write(batch(&table, &part)).await.unwrap();
        rows.extend(part);
    }
    let files = writer.finish().await.unwrap().into_files();
    assert!(files.len() > 1, "{}", files.len());
    assert_eq!(world.lake.memory.used(), 0);
    world.change(Op::Append { files }).await.unwrap();
    assert_eq!(world.rows().await, sorted(rows));
}

#[tokio::test]
async fn no_rows_make_no_file_and_abandoned_files_leave_no_object() {
    let world = World::new().await;
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, &[])).await.unwrap();
    assert_eq!(writer.finish().await.unwrap().into_files().len(), 0);

    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, &day_of_rows(1, 10))).await.unwrap();
    let written = writer.finish().await.unwrap();
    assert_eq!((written.rows(), world.objects().await.len()), (10, 1));
    world.lake.abandon(&table, written).await;
    assert_eq!(world.objects().await.len(), 0);
}

#[tokio::test]
async fn a_null_in_a_required_column_is_named_by_its_row_and_rows_before_it_stay() {
    let world = World::new().await;
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, &day_of_rows(1, 10))).await.unwrap();
    let nullable: Vec<_> = arrow_schema(&table.schema)
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(Float64Array::from(vec![1.0, 2.0])),
    ];
    let wrong = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns).unwrap();
    let error = writer.write(wrong).await.expect_err("a NULL time");
    assert_eq!(error.to_string(), "column \"time\" of table default.cpu is NOT NULL, row 11 is null");
    assert_eq!(error.sqlstate().0, "23502");
    assert_eq!(writer.finish().await.unwrap().rows(), 10);
}

#[tokio::test]
async fn a_view_takes_no_rows_and_has_no_files() {
    let world = World::new().await;
    let table = world.table().await;
    let view = Arc::new(TableDef {
        kind: TableKind::View { sql: "SELECT 1".into(), search_path: "default".into() },
        ..(*table).clone()
    });
    let mut writer = world.lake.writer(&world.scope, view.clone(), Level::Fresh);
    let head = world.head().await;
    assert!(matches!(writer.write(batch(&table, &day_of_rows(1, 1))).await, Err(Error::Unsupported(_))));
    assert!(matches!(
        world.lake.scan(&world.scope, &view, head, &Predicate::True).await,
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        world.lake.optimize(&world.scope, &view, Default::default(), &Predicate::True, true).await,
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        world.lake.vacuum(&world.scope, Some(&view), Default::default()).await,
        Err(Error::Unsupported(_))
    ));
}

#[tokio::test]
async fn a_dropped_table_is_not_compacted() {
    let world = World::new().await;
    let table = world.table().await;
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    world.commit(Vec::new(), vec![drop]).await.unwrap();
    let error = world
        .lake
        .optimize(&world.scope, &table, Default::default(), &Predicate::True, false)
        .await
        .expect_err("gone");
    assert!(matches!(error, Error::Catalog(cenote_catalog::Error::TableNotFound { .. })), "{error}");
}
