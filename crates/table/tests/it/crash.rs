//! What is left when a step fails, and how the next call goes on.

use std::sync::Arc;
use std::time::Duration;

use cenote_table::{Error, OptimizeMode, Predicate, VacuumOptions};
use tokio::runtime::Handle;

use crate::world::{World, day_of_rows};

/// A named step goes wrong until this is dropped.
struct Failing(&'static str);

impl Failing {
    fn at(point: &'static str) -> Self {
        fail::cfg(point, "return").unwrap();
        Self(point)
    }

    /// Does not fail: does something else first.
    fn after(point: &'static str, act: impl Fn() + Send + Sync + 'static) -> Self {
        fail::cfg_callback(point, act).unwrap();
        Self(point)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        fail::remove(self.0);
    }
}

#[tokio::test]
async fn a_compaction_that_fails_changes_nothing_and_leaves_no_object() {
    let world = World::alone().await;
    world.append(&day_of_rows(0, 100)).await;
    world.append(&day_of_rows(0, 200)).await;
    let (rows, objects, head) = (world.rows().await, world.objects().await, world.head().await);
    for point in ["compact.file", "compact.commit"] {
        let failing = Failing::at(point);
        let table = world.table().await;
        let outcome =
            world.lake.optimize(&world.scope, &table, OptimizeMode::Full, &Predicate::True, false).await;
        assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}");
        drop(failing);
        assert_eq!(
            (world.rows().await, world.objects().await, world.head().await),
            (rows.clone(), objects.clone(), head)
        );
    }
    assert_eq!(world.optimize(OptimizeMode::Full).await[0].action, "merge");
    assert_eq!(world.rows().await, rows);
}

#[tokio::test]
async fn a_flush_of_inline_batches_that_fails_changes_nothing_and_is_completed_by_the_next() {
    let world = World::alone().await.inline();
    world.append(&day_of_rows(0, 10)).await;
    world.append(&day_of_rows(1, 10)).await;
    let (rows, head, table) = (world.rows().await, world.head().await, world.table().await);
    for point in ["compact.file", "compact.commit"] {
        let failing = Failing::at(point);
        let outcome = world.lake.flush_inline(&world.scope, &table).await;
        assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}");
        drop(failing);
        assert_eq!((world.rows().await, world.head().await), (rows.clone(), head));
        assert_eq!(world.objects().await.len(), 0);
    }
    world.lake.flush_inline(&world.scope, &table).await.unwrap();
    assert_eq!((world.rows().await, world.objects().await.len()), (rows, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_deleted_while_they_are_flushed_stay_deleted() {
    let world = Arc::new(World::alone().await.inline());
    world.append(&day_of_rows(0, 10)).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    let (meanwhile, runtime, once) = (world.clone(), Handle::current(), std::sync::Once::new());
    let deleting = Failing::after("compact.commit", move || {
        let (world, runtime) = (meanwhile.clone(), runtime.clone());
        let act = move || {
            runtime.block_on(world.delete(file, [3]));
        };
        once.call_once(|| std::thread::spawn(act).join().unwrap());
    });
    world.lake.flush_inline(&world.scope, &world.table().await).await.unwrap();
    drop(deleting);
    let files = world.scan(&Predicate::True).await.files;
    assert_eq!((world.rows().await.len(), files.len(), files[0].entry.file.is_inline()), (9, 1, false));
    assert_eq!(world.objects().await, world.live().await, "the first attempt's object is gone");
}

#[tokio::test]
async fn a_collection_that_fails_is_completed_by_the_next() {
    let world = World::alone().await;
    world.append(&day_of_rows(0, 100)).await;
    world.append(&day_of_rows(0, 200)).await;
    world.optimize(OptimizeMode::Full).await;
    let (rows, objects, live) = (world.rows().await, world.objects().await, world.live().await);
    let options = VacuumOptions { keep: Some(Duration::ZERO), force: true, ..Default::default() };
    for point in ["gc.purge", "gc.sweep"] {
        let failing = Failing::at(point);
        let outcome = world.lake.vacuum(&world.scope, None, options).await;
        assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}");
        drop(failing);
        assert_eq!((world.rows().await, world.objects().await), (rows.clone(), objects.clone()));
    }
    world.lake.vacuum(&world.scope, None, options).await.unwrap();
    assert_eq!((world.rows().await, world.objects().await), (rows, live));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_whose_input_changed_before_its_commit_is_discarded() {
    let world = Arc::new(World::alone().await);
    for _ in 0..2 {
        world.append(&day_of_rows(0, 100)).await;
    }
    let (objects, file) = (world.objects().await, world.scan(&Predicate::True).await.files[0].entry.id);
    let (meanwhile, runtime) = (world.clone(), Handle::current());
    let deleting = Failing::after("compact.commit", move || {
        let (world, runtime) = (meanwhile.clone(), runtime.clone());
        let act = move || {
            runtime.block_on(async {
                world.delete(file, [7]).await;
                world.append(&day_of_rows(0, 10)).await;
            });
        };
        std::thread::spawn(act).join().unwrap();
    });
    let outcomes = world.optimize(OptimizeMode::Full).await;
    drop(deleting);
    assert_eq!(outcomes.len(), 1);
    assert_eq!((outcomes[0].action, outcomes[0].files_out, outcomes[0].txn), ("discarded", 0, None));
    let rows = world.rows().await;
    assert_eq!(rows.len(), 209);
    assert_eq!(world.objects().await.len(), objects.len() + 1, "the merged file is gone again");
    assert_eq!(world.optimize(OptimizeMode::Full).await[0].action, "merge");
    assert_eq!(world.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_appended_before_the_commit_of_a_merge_stay() {
    let world = Arc::new(World::alone().await);
    for _ in 0..2 {
        world.append(&day_of_rows(0, 100)).await;
    }
    let (meanwhile, runtime) = (world.clone(), Handle::current());
    let appending = Failing::after("compact.commit", move || {
        let (world, runtime) = (meanwhile.clone(), runtime.clone());
        let act = move || {
            runtime.block_on(world.append(&day_of_rows(0, 10)));
        };
        std::thread::spawn(act).join().unwrap();
    });
    assert_eq!(world.optimize(OptimizeMode::Full).await[0].action, "merge");
    drop(appending);
    assert_eq!((world.rows().await.len(), world.live().await.len()), (210, 2));
}
