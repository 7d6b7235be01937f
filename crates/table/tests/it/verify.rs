//! `VERIFY` finds nothing in a sound table, and names the object that is not what the catalog says.

use bytes::Bytes;
use cenote_table::{Finding, OptimizeMode, Predicate};
use object_store::path::Path;

use crate::world::{World, day_of_rows, row};

async fn verify(world: &World, deep: bool) -> Vec<Finding> {
    let table = world.table().await;
    world.lake.verify(&world.scope, &table, deep).await.expect("all objects answer")
}

/// The one finding.
fn only(findings: Vec<Finding>) -> (String, String) {
    match <[Finding; 1]>::try_from(findings) {
        Ok([finding]) => (finding.object, finding.problem),
        Err(findings) => panic!("one finding: {findings:?}"),
    }
}

async fn world() -> (World, Path) {
    let world = World::new().await;
    world.append(&day_of_rows(0, 200)).await;
    world.append(&day_of_rows(1, 200)).await;
    let file = world.scan(&Predicate::True).await.files[0].clone();
    world.delete(file.entry.id, 3..50).await;
    (world, file.path)
}

#[tokio::test]
async fn a_table_that_was_written_deleted_from_and_compacted_is_sound() {
    let (world, _) = world().await;
    assert_eq!(verify(&world, true).await, []);
    world.append(&[row(2, "late", 1.0)]).await;
    world.optimize(OptimizeMode::Full).await;
    assert_eq!(verify(&world, true).await, []);
}

#[tokio::test]
async fn inline_batches_are_sound_before_and_after_their_flush() {
    let world = World::new().await.inline();
    world.append(&day_of_rows(0, 50)).await;
    world.append(&day_of_rows(1, 50)).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    world.delete(file, 3..9).await;
    assert_eq!(verify(&world, true).await, []);
    world.lake.flush_inline(&world.scope, &world.table().await).await.expect("flushed");
    assert_eq!(verify(&world, true).await, []);
}

#[tokio::test]
async fn objects_that_are_missing_cut_or_changed_are_named() {
    let (world, path) = world().await;
    let whole = world.lake.store.read(&path).await.unwrap();

    world.lake.store.put(&path, whole.slice(..whole.len() - 10)).await.unwrap();
    let (object, problem) = only(verify(&world, false).await);
    assert_eq!(object, path.to_string());
    assert!(problem.contains(&format!("expected {}", whole.len())), "{problem}");

    let mut no_footer = whole.to_vec();
    let end = no_footer.len() - 40;
    no_footer[end..].fill(0);
    world.lake.store.put(&path, Bytes::from(no_footer)).await.unwrap();
    assert_eq!(verify(&world, false).await, [], "only its rows are damaged");
    assert_eq!(only(verify(&world, true).await).0, path.to_string());

    world.lake.store.delete(&path).await.unwrap();
    let (object, problem) = only(verify(&world, false).await);
    assert_eq!((object, problem.as_str()), (path.to_string(), "the object is missing"));
}
