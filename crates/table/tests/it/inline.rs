//! Few rows are kept in the catalog, like any file but for the object, until a flush moves them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cenote_catalog::{Alter, Op};
use cenote_datafile::{Level, Value};
use cenote_table::{Comparison, Error, Form, OptimizeMode, Predicate, VacuumOptions};
use cenote_vocab::Txn;

use crate::row_ids::identities;
use crate::world::{DAY, Row, TIME, World, batch, day_of_rows, row, sorted};

/// Ten rows of a day, all of them different.
fn ten(number: i64) -> Vec<Row> {
    (0..10).map(|at| row((number % 3) * DAY + number * 10 + at, &format!("host-{at}"), at as f64)).collect()
}

/// (inline batches, objects) of the newest version.
async fn counts(world: &World) -> (usize, usize) {
    let files = world.scan(&Predicate::True).await.files;
    let inline = files.iter().filter(|file| file.entry.file.is_inline()).count();
    (inline, files.len() - inline)
}

async fn flush(world: &World) -> Option<Txn> {
    world.lake.flush_inline(&world.scope, &world.table().await).await.unwrap()
}

#[tokio::test]
async fn a_hundred_small_appends_need_no_object_and_one_per_partition_once_they_are_flushed() {
    let world = World::new().await.inline();
    let mut rows = Vec::new();
    for number in 0..100 {
        world.append(&ten(number)).await;
        rows.extend(ten(number));
    }
    assert_eq!((world.objects().await.len(), counts(&world).await), (0, (100, 0)));
    assert_eq!(world.rows().await, sorted(rows.clone()));
    let before = identities(&world).await;

    assert_eq!(flush(&world).await, Some(world.head().await));
    assert_eq!((world.objects().await.len(), counts(&world).await), (3, (0, 3)), "three days");
    let files = world.scan(&Predicate::True).await.files;
    assert!(files.iter().all(|file| file.entry.file.level == Level::Fresh as i32));
    assert_eq!((world.rows().await, identities(&world).await), (sorted(rows), before));
    assert_eq!(flush(&world).await, None, "nothing is left to flush");
}

#[tokio::test]
async fn rows_that_are_too_many_or_may_not_be_inline_become_objects() {
    let world = World::new().await.inline();
    world.append(&day_of_rows(0, 40_000)).await;
    assert_eq!(counts(&world).await, (0, 1));
    // few in memory, and yet more than the option allows
    let small = BTreeMap::from([("inline_max".to_owned(), Some("4KiB".to_owned()))]);
    world.change(Op::Alter(Alter::SetProperties(small))).await.unwrap();
    world.append(&day_of_rows(0, 700)).await;
    assert_eq!(counts(&world).await, (0, 2));
    world.append(&day_of_rows(0, 5)).await;
    assert_eq!(counts(&world).await, (1, 2));
    let never = BTreeMap::from([("inline_max".to_owned(), Some("0".to_owned()))]);
    world.change(Op::Alter(Alter::SetProperties(never))).await.unwrap();
    world.append(&day_of_rows(0, 5)).await;
    assert_eq!(counts(&world).await, (1, 3));

    let reset = BTreeMap::from([("inline_max".to_owned(), None)]);
    world.change(Op::Alter(Alter::SetProperties(reset))).await.unwrap();
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh).with_form(Form::Objects);
    writer.write(batch(&table, &day_of_rows(0, 5))).await.unwrap();
    let files = writer.finish().await.unwrap().into_files();
    assert!(files.iter().all(|file| !file.is_inline()));
}

#[tokio::test]
async fn above_64_mib_of_batches_rows_become_objects_until_a_flush() {
    let world = World::new().await.inline();
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    let noise: String = (0..40_000_u64).map(noisy_character).collect();
    writer.write(batch(&table, &[row(0, &noise, 0.0)])).await.unwrap();
    let file = writer.finish().await.unwrap().into_files().remove(0);
    assert!(file.is_inline());
    let count = (64 << 20) / file.bytes as usize + 1;
    world.change(Op::Append { files: vec![file; count] }).await.unwrap();
    world.append(&ten(1)).await;
    assert_eq!(counts(&world).await, (count, 1));
    flush(&world).await;
    world.append(&ten(2)).await;
    assert_eq!((counts(&world).await.0, world.rows().await.len()), (1, count + 20));
}

#[tokio::test]
async fn among_a_thousand_batches_only_little_ones_are_taken() {
    let world = World::new().await.inline();
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, &ten(0))).await.unwrap();
    let file = writer.finish().await.unwrap().into_files().remove(0);
    world.change(Op::Append { files: vec![file; 1_000] }).await.unwrap();
    // 100 KiB in memory, a few as it is encoded
    world.append(&day_of_rows(0, 3_000)).await;
    assert_eq!(counts(&world).await, (1_000, 1));
    world.append(&ten(1)).await;
    assert_eq!(counts(&world).await, (1_001, 1));
}

/// A letter by chance, always the same at a place.
fn noisy_character(at: u64) -> char {
    let scattered = (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    char::from(b'!' + ((scattered ^ (scattered >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 58) as u8)
}

#[tokio::test]
async fn inline_rows_are_deleted_pruned_read_at_earlier_versions_and_flushed_without_the_deleted() {
    let world = World::new().await.inline();
    world.append(&[row(DAY + 1, "b", 1.0), row(DAY + 2, "a", 2.0), row(DAY + 3, "c", 3.0)]).await;
    world.append(&[row(9 * DAY, "z", 9.0)]).await;
    let (whole, before) = (world.head().await, world.rows().await);
    let days = Predicate::Compare {
        field: TIME,
        comparison: Comparison::Less,
        value: Value::Integer((2 * DAY).into()),
    };
    let scan = world.scan(&days).await;
    assert_eq!((scan.files.len(), scan.files[0].entry.file.is_inline()), (1, true));
    assert_eq!(world.read(&scan.files[0]).await[0].1, "a", "in the table's order");

    world.delete(scan.files[0].entry.id, [0]).await;
    let left = vec![row(DAY + 1, "b", 1.0), row(DAY + 3, "c", 3.0), row(9 * DAY, "z", 9.0)];
    assert_eq!(world.rows().await, left);
    assert_eq!(world.rows_at(whole).await.unwrap(), before);
    let ids = identities(&world).await;
    world.add_tag("later").await;
    flush(&world).await;
    assert_eq!((world.rows().await, identities(&world).await), (left.clone(), ids));
    assert_eq!(counts(&world).await, (0, 2));
    assert_eq!(world.rows_at(whole).await.unwrap(), before, "history keeps the batches");

    let table = world.table().await;
    let change = world.lake.restore(&world.scope, &table, whole).await.unwrap().expect("rows differ");
    world.commit(vec![change], Vec::new()).await.unwrap();
    assert_eq!((world.rows().await, counts(&world).await), (before, (2, 0)));
}

#[tokio::test]
async fn collection_takes_the_payloads_with_their_files() {
    let world = World::new().await.inline();
    for number in 0..3 {
        world.append(&ten(number)).await;
    }
    let (then, rows) = (world.head().await, world.rows().await);
    flush(&world).await;
    let table = world.table().await;
    let keep_nothing = VacuumOptions { keep: Some(Duration::ZERO), force: true, ..Default::default() };
    let planned = VacuumOptions { dry_run: true, ..keep_nothing };
    for options in [planned, keep_nothing] {
        let objects = world.lake.vacuum(&world.scope, Some(&table), options).await.unwrap();
        assert_eq!(objects, [], "there is no object to delete");
    }
    assert_eq!(world.rows().await, rows);
    assert!(matches!(
        world.rows_at(then).await,
        Err(Error::Catalog(cenote_catalog::Error::SnapshotExpired(_)))
    ));
    assert_eq!(world.objects().await, world.live().await);
}

#[tokio::test]
async fn a_merge_moves_inline_batches_too_and_a_dry_run_says_so() {
    let world = World::new().await.inline();
    for number in 0..3 {
        world.append(&ten(number)).await;
    }
    let rows = world.rows().await;
    let table = world.table().await;
    let planned =
        world.lake.optimize(&world.scope, &table, OptimizeMode::Due, &Predicate::True, true).await.unwrap();
    assert_eq!((planned[0].action, planned[0].files_in), ("flush", 3));
    assert!(planned[0].reason.starts_with("3 inline files, "), "{}", planned[0].reason);
    assert_eq!(counts(&world).await, (3, 0));
    let done = world.optimize(OptimizeMode::Due).await;
    assert_eq!((done[0].action, done[0].files_in, done[0].files_out), ("flush", 3, 3));
    world.append(&ten(4)).await;
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(world.rows().await, sorted([rows, ten(4)].concat()));
    assert_eq!(counts(&world).await.0, 0);
}

#[tokio::test]
async fn an_abandoned_inline_batch_touches_no_object() {
    let world = World::new().await.inline();
    world.append(&day_of_rows(0, 40_000)).await;
    let objects: BTreeSet<String> = world.objects().await;
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, &ten(0))).await.unwrap();
    let written = writer.finish().await.unwrap();
    world.lake.abandon(&table, written).await;
    assert_eq!((world.objects().await, counts(&world).await), (objects, (0, 1)));
}
