//! A table is put back to what it was, and collection leaves the objects that came back alone.

use std::time::Duration;

use cenote_table::{OptimizeMode, Predicate, VacuumOptions};

use crate::world::{World, day_of_rows, row, sorted};

#[tokio::test]
async fn a_restored_table_has_the_rows_of_the_version_also_after_vacuum() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 100)).await;
    world.append(&day_of_rows(1, 100)).await;
    let first = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(first, 0..30).await;
    let (then, rows) = (world.head().await, world.rows().await);
    world.delete(first, 30..50).await;
    world.append(&[row(5, "late", 1.0)]).await;
    world.optimize(OptimizeMode::Full).await;
    let (bad, bad_rows) = (world.head().await, world.rows().await);
    assert_ne!(bad_rows, rows);

    let table = world.table().await;
    let change = world.lake.restore(&world.scope, &table, then).await.unwrap().expect("rows differ");
    world.commit(vec![change.clone()], Vec::new()).await.unwrap();
    assert_eq!(world.rows().await, rows);
    let again = world.lake.restore(&world.scope, &table, world.head().await).await.unwrap();
    assert!(again.is_none(), "nothing differs: {again:?}");
    assert_eq!(world.rows_at(bad).await.unwrap(), bad_rows, "what was restored away is history");
    let late = world.commit(vec![change], Vec::new()).await;
    assert!(matches!(late, Err(cenote_catalog::Error::CommitConflict { .. })), "{late:?}");

    let options = VacuumOptions { keep: Some(Duration::ZERO), force: true, ..VacuumOptions::default() };
    world.lake.vacuum(&world.scope, None, options).await.unwrap();
    assert_eq!(world.rows().await, rows, "the objects that came back are still there");
    world.append(&[row(6, "new", 2.0)]).await;
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(world.rows().await, sorted([rows, vec![row(6, "new", 2.0)]].concat()));
}
