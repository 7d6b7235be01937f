//! Compaction changes files and no rows, whatever else is committed meanwhile.

use std::collections::BTreeMap;

use cenote_catalog::{Alter, Op, RowChange};
use cenote_datafile::Level;
use cenote_table::{OptimizeMode, Predicate};
use cenote_vocab::{PartitionValue, Txn};

use crate::row_ids::identities;
use crate::world::{DAY, World, batch, day_of_rows, row, sorted};

#[tokio::test]
async fn fresh_files_are_merged_when_there_are_enough() {
    let world = World::new().await;
    let mut rows = Vec::new();
    for part in 0..8 {
        let none = world.optimize(OptimizeMode::Due).await;
        assert_eq!(none.len(), 1);
        assert_eq!(none[0].action, "none");
        let reason = if part == 0 { "no files".to_owned() } else { format!("{part} of 8 files") };
        assert_eq!(none[0].reason, reason);
        let part: Vec<_> = day_of_rows(3, 100).into_iter().map(|row| (row.0 + part, row.1, row.2)).collect();
        world.append(&part).await;
        rows.extend(part);
    }
    let before = world.head().await;
    let planned = world
        .lake
        .optimize(&world.scope, &world.table().await, OptimizeMode::Due, &Predicate::True, true)
        .await
        .unwrap();
    assert_eq!(world.head().await, before);
    let done = world.optimize(OptimizeMode::Due).await;
    assert_eq!(done.len(), 1);
    assert_eq!(
        (done[0].action, done[0].partition.as_str(), done[0].files_in, done[0].files_out, done[0].txn),
        ("merge", "1970-01-04", 8, 1, Some(Txn(before.0 + 1)))
    );
    let mut expected = done.clone();
    (expected[0].files_out, expected[0].bytes_out, expected[0].txn) = (0, 0, None);
    assert_eq!(planned, expected);

    let files = world.scan(&Predicate::True).await.files;
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].entry.file.level, files[0].entry.file.sort_no), (1, 1));
    let merged = world.read(&files[0]).await;
    assert!(merged.is_sorted_by_key(|row| (row.1.clone(), row.0)));
    assert_eq!(sorted(merged), sorted(rows.clone()));
    assert_eq!(world.rows_at(before).await.unwrap(), sorted(rows));
    assert_eq!(world.optimize(OptimizeMode::Due).await[0].action, "none");
    assert_eq!(world.lake.memory.used(), 0);
}

#[tokio::test]
async fn deleted_rows_are_gone_for_good_and_only_they() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 1_000)).await;
    world.append(&day_of_rows(1, 1_000)).await;
    let files = world.scan(&Predicate::True).await.files;
    world.delete(files[0].entry.id, (0..1_000).filter(|position| position % 3 == 0)).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 1_666);

    let outcomes = world.optimize(OptimizeMode::Deletes).await;
    let actions: Vec<_> = outcomes.iter().map(|row| (row.partition.as_str(), row.action)).collect();
    assert_eq!(actions, [("1970-01-01", "deletes"), ("1970-01-02", "none")]);
    assert_eq!(world.rows().await, rows);
    let files = world.scan(&Predicate::True).await.files;
    assert!(files.iter().all(|file| file.entry.vector.is_none()));
    assert_eq!(files.iter().map(|file| file.entry.file.rows).sum::<u64>(), 1_666);
}

#[tokio::test]
async fn a_file_without_live_rows_leaves_no_file() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 10)).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(file, 0..9).await;
    let kept = world.rows().await;
    world.append(&[row(5, "late", 1.0)]).await;
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(world.rows().await, sorted([kept, vec![row(5, "late", 1.0)]].concat()));
    assert_eq!(world.live().await.len(), 1);
}

#[tokio::test]
async fn a_mixed_file_is_split_by_partition() {
    let world = World::new().await;
    let rows: Vec<_> =
        (0..200).flat_map(|day| [row(day * DAY, "b", 1.0), row(day * DAY + 1, "a", 2.0)]).collect();
    world.append(&rows).await;
    let is_mixed =
        |world: &'_ cenote_table::Scan| world.files.iter().filter(|f| f.entry.file.spec_no == 0).count();
    assert_eq!(is_mixed(&world.scan(&Predicate::True).await), 1);
    world.optimize(OptimizeMode::Full).await;
    let scan = world.scan(&Predicate::True).await;
    assert_eq!((is_mixed(&scan), scan.files.len()), (0, 200));
    for file in &scan.files {
        let Some(PartitionValue::Integer(day)) = file.entry.file.partition[0] else { panic!("a day") };
        let day = day as i64;
        let read = world.read(file).await;
        assert_eq!(read, [row(day * DAY + 1, "a", 2.0), row(day * DAY, "b", 1.0)]);
    }
    assert_eq!(world.rows().await, sorted(rows));
}

#[tokio::test]
async fn files_in_an_older_sort_order_are_sorted_anew_with_little_memory() {
    // Runs of 1 MiB: the rows of a file do not fit into one.
    let world = World::with_memory(8 << 20).await;
    let rows = day_of_rows(0, 150_000);
    world.append(&rows).await;
    world.add_tag("region").await;
    let late = day_of_rows(0, 1_000);
    world.append(&late).await;

    let outcomes = world.optimize(OptimizeMode::Full).await;
    assert_eq!(outcomes.iter().map(|row| row.action).collect::<Vec<_>>(), ["merge"]);
    let table = world.table().await;
    let files = world.scan(&Predicate::True).await.files;
    assert!(files.iter().all(|file| file.entry.file.sort_no == table.sort.no));
    for file in &files {
        assert!(world.read(file).await.is_sorted_by_key(|row| (row.1.clone(), row.0)));
    }
    assert_eq!(world.rows().await, sorted([rows, late].concat()));
    // What was spilled is gone; what was replaced waits for VACUUM.
    assert_eq!(world.objects().await.len(), 2 + files.len());
    assert_eq!(world.lake.memory.used(), 0);
}

#[tokio::test]
async fn more_files_than_fit_into_memory_are_merged_by_runs() {
    // A few readers at a time.
    let world = World::with_memory(1 << 20).await;
    let mut rows = Vec::new();
    for part in 0..23 {
        let part: Vec<_> = day_of_rows(0, 500).into_iter().map(|row| (row.0 + part, row.1, row.2)).collect();
        world.append(&part).await;
        rows.extend(part);
    }
    let files = world.scan(&Predicate::True).await.files;
    world.delete(files[4].entry.id, 0..500).await;
    let (left, who) = (world.rows().await, identities(&world).await);
    assert_eq!(left.len(), rows.len() - 500);
    let (live, objects) = (world.live().await.len(), world.objects().await.len());
    let outcomes = world.optimize(OptimizeMode::Due).await;
    assert_eq!((outcomes[0].action, outcomes[0].files_in, outcomes[0].files_out), ("merge", live as u64, 1));
    let merged = world.scan(&Predicate::True).await.files.remove(0);
    assert!(world.read(&merged).await.is_sorted_by_key(|row| (row.1.clone(), row.0)));
    assert_eq!((world.rows().await, identities(&world).await), (left, who));
    // No run is left, and no memory is held.
    assert_eq!((world.objects().await.len(), world.lake.memory.used()), (objects + 1, 0));
}

#[tokio::test]
async fn large_outputs_are_cut_at_the_target_size() {
    let world = World::new().await;
    let target = BTreeMap::from([("target_file_size".to_owned(), Some("64KiB".to_owned()))]);
    world.change(Op::Alter(Alter::SetProperties(target))).await.unwrap();
    let mut rows = Vec::new();
    for part in 0..4 {
        // Values that do not compress.
        let noisy = |(at, row): (usize, crate::world::Row)| {
            (row.0, row.1, Some(((at as f64) * 1.1 + part as f64).sin()))
        };
        let part: Vec<_> = day_of_rows(0, 20_000).into_iter().enumerate().map(noisy).collect();
        world.append(&part).await;
        rows.extend(part);
    }
    world.optimize(OptimizeMode::Full).await;
    let files = world.scan(&Predicate::True).await.files;
    assert!(files.len() > 3, "{}", files.len());
    assert_eq!(world.rows().await, sorted(rows));
    assert_eq!(world.optimize(OptimizeMode::Full).await[0].action, "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_appended_and_deleted_meanwhile_are_as_if_nothing_was_merged() {
    let world = World::new().await;
    let mut discarded = 0;
    for round in 0..6_i64 {
        for part in 0..2 {
            let rows: Vec<_> =
                day_of_rows(round, 20_000).into_iter().map(|row| (row.0 + part, row.1, row.2)).collect();
            world.append(&rows).await;
        }
        let base = world.rows().await;
        let late = day_of_rows(round, 50);
        let scan = world.scan(&Predicate::True).await;
        let victim = scan
            .files
            .iter()
            .find(|file| file.entry.file.partition == [Some(round.into())])
            .expect("just written");
        let gone: Vec<_> = world.read(victim).await.into_iter().take(100).collect();

        let table = world.table().await;
        let merging = world.lake.optimize(&world.scope, &table, OptimizeMode::Full, &Predicate::True, false);
        let changing = async {
            // Memory is taken when a job begins to read.
            while world.lake.memory.used() == 0 {
                tokio::task::yield_now().await;
            }
            world.append(&late).await;
            let seen = victim.entry.vector.as_ref().map(|visible| visible.begin_txn);
            let op = Op::DeleteRows {
                file: victim.entry.id,
                seen,
                positions: (0..100).collect(),
                kind: RowChange::Delete,
            };
            world.change(op).await
        };
        let (outcomes, deleted) = tokio::join!(merging, changing);
        let outcomes = outcomes.unwrap();
        let mut expected = [base, late].concat();
        match deleted {
            Ok(committed) => {
                assert_eq!(committed.deleted_rows, 100);
                for row in &gone {
                    expected.swap_remove(expected.iter().position(|one| one == row).expect("was there"));
                }
                discarded += outcomes.iter().filter(|row| row.action == "discarded").count();
            }
            // The merge was first: the delete must be planned again.
            Err(cenote_catalog::Error::CommitConflict { .. }) => {
                assert!(outcomes.iter().any(|row| row.action == "merge"));
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(world.rows().await, sorted(expected));
    }
    // Outputs that no commit took are gone: all that is left in the store is named by some version.
    let named = world.lake.vacuum(&world.scope, None, everything()).await.unwrap();
    assert!(!named.iter().any(|object| object.reason == "orphan"), "{discarded} discarded");
    assert_eq!(world.objects().await, world.live().await);
}

fn everything() -> cenote_table::VacuumOptions {
    cenote_table::VacuumOptions {
        keep: Some(std::time::Duration::ZERO),
        force: true,
        orphans: true,
        dry_run: false,
    }
}

#[tokio::test]
async fn a_merge_keeps_columns_that_its_caller_does_not_know_yet() {
    let world = World::new().await;
    let old = world.table().await;
    world.add_tag("region").await;
    let table = world.table().await;
    let plain = batch(&table, &day_of_rows(0, 10));
    let mut columns = plain.columns().to_vec();
    columns[3] = std::sync::Arc::new(arrow::array::StringArray::from(vec!["eu"; 10]));
    for _ in 0..2 {
        let rows = arrow::record_batch::RecordBatch::try_new(plain.schema(), columns.clone()).unwrap();
        let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
        writer.write(rows).await.unwrap();
        let files = writer.finish().await.unwrap().into_files();
        world.change(Op::Append { files }).await.unwrap();
    }
    world.lake.optimize(&world.scope, &old, OptimizeMode::Full, &Predicate::True, false).await.unwrap();
    let region = table.schema.field("region").expect("added").id;
    let files = world.scan(&Predicate::IsNotNull(region)).await.files;
    assert_eq!(files.iter().map(|file| file.entry.file.rows).collect::<Vec<_>>(), [20]);
    assert_eq!(world.scan(&Predicate::IsNull(region)).await.files.len(), 0);
}
