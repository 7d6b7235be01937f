//! VACUUM deletes what no readable version needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cenote_catalog::ObjectChange;
use cenote_table::{Error, OptimizeMode, VacuumOptions, VacuumOutcome};
use object_store::path::Path;

use crate::world::{World, day_of_rows, row};

const HOUR: Duration = Duration::from_secs(3600);

async fn vacuum(world: &World, options: VacuumOptions) -> Vec<VacuumOutcome> {
    let table = world.table().await;
    world.lake.vacuum(&world.scope, Some(&table), options).await.unwrap()
}

fn paths<'a>(outcomes: &'a [VacuumOutcome], reason: &str) -> BTreeSet<&'a str> {
    outcomes.iter().filter(|outcome| outcome.reason == reason).map(|outcome| outcome.path.as_str()).collect()
}

fn texts(paths: &BTreeSet<String>) -> BTreeSet<&str> {
    paths.iter().map(String::as_str).collect()
}

/// Three files, merged into one.
async fn merged() -> (World, BTreeSet<String>) {
    let world = World::new().await;
    for _ in 0..3 {
        world.append(&day_of_rows(0, 100)).await;
    }
    let old = world.live().await;
    world.optimize(OptimizeMode::Full).await;
    (world, old)
}

#[tokio::test]
async fn history_stays_readable_until_it_is_old_and_its_objects_go_after_the_grace() {
    let (world, old) = merged().await;
    let rows = world.rows().await;
    let (head, live) = (world.head().await, world.live().await);
    let before_merge = cenote_vocab::Txn(head.0 - 1);

    assert_eq!(vacuum(&world, VacuumOptions::default()).await, []);
    assert_eq!(world.rows_at(before_merge).await.unwrap(), rows);

    world.clock.advance(25 * HOUR);
    let planned = vacuum(&world, VacuumOptions { dry_run: true, ..Default::default() }).await;
    assert_eq!(world.rows_at(before_merge).await.unwrap(), rows);
    let queued = vacuum(&world, VacuumOptions::default()).await;
    assert_eq!(planned, queued);
    assert_eq!(paths(&queued, "queued"), texts(&old));
    let expired = world.rows_at(before_merge).await.expect_err("below the floor");
    assert!(matches!(expired, Error::Catalog(cenote_catalog::Error::SnapshotExpired(_))), "{expired}");
    assert_eq!(world.objects().await, &old | &live, "statements that run still read them");

    world.clock.advance(23 * HOUR);
    assert_eq!(vacuum(&world, VacuumOptions::default()).await, []);
    world.clock.advance(2 * HOUR);
    let planned = vacuum(&world, VacuumOptions { dry_run: true, ..Default::default() }).await;
    assert_eq!(paths(&planned, "due"), texts(&old));
    let deleted = vacuum(&world, VacuumOptions::default()).await;
    assert_eq!(paths(&deleted, "deleted"), texts(&old));
    assert_eq!(world.objects().await, live);
    assert_eq!(world.rows().await, rows);
    assert_eq!(vacuum(&world, VacuumOptions::default()).await, []);
}

#[tokio::test]
async fn keeping_nothing_by_force_leaves_the_newest_version_only() {
    let (world, old) = merged().await;
    world.append(&day_of_rows(1, 10)).await;
    let (rows, live) = (world.rows().await, world.live().await);
    let options = VacuumOptions { keep: Some(Duration::ZERO), force: true, ..Default::default() };
    let planned = vacuum(&world, VacuumOptions { dry_run: true, ..options }).await;
    assert_eq!(paths(&planned, "due"), texts(&old));
    let deleted = vacuum(&world, options).await;
    assert_eq!(paths(&deleted, "deleted"), texts(&old));
    assert_eq!(deleted.len(), old.len());
    assert!(deleted.iter().all(|outcome| outcome.bytes > 0));
    assert_eq!((world.objects().await, world.rows().await), (live, rows));
}

#[tokio::test]
async fn orphans_go_when_they_are_old_and_what_is_queued_is_none() {
    let (world, old) = merged().await;
    let table = world.table().await;
    let stray = format!("{}/data/stray.parquet", table.location);
    world.lake.store.put(&Path::from(stray.as_str()), bytes::Bytes::from_static(b"cut off")).await.unwrap();
    let options = VacuumOptions { orphans: true, ..Default::default() };
    assert_eq!(vacuum(&world, options).await, [], "it may belong to a commit that is on its way");

    world.clock.advance(25 * HOUR);
    let found = vacuum(&world, VacuumOptions { dry_run: true, ..options }).await;
    assert_eq!(paths(&found, "orphan"), BTreeSet::from([stray.as_str()]));
    let found = vacuum(&world, options).await;
    assert_eq!(paths(&found, "orphan"), BTreeSet::from([stray.as_str()]));
    assert_eq!(paths(&found, "queued"), texts(&old));
    assert_eq!(world.objects().await, &old | &world.live().await);
}

#[tokio::test]
async fn all_tables_are_collected_each_by_its_own_history() {
    let (world, old) = merged().await;
    let keep = BTreeMap::from([("history_keep".to_owned(), "30d".to_owned())]);
    world.create("kept", keep).await;
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    let live = world.live().await;
    world.commit(Vec::new(), vec![drop]).await.unwrap();
    world.clock.advance(25 * HOUR);

    // The drop itself can still be undone for as long as the longest history.
    let collected = world.lake.vacuum(&world.scope, None, VacuumOptions::default()).await.unwrap();
    assert_eq!(collected, []);
    world.clock.advance(30 * 24 * HOUR);
    let collected = world.lake.vacuum(&world.scope, None, VacuumOptions::default()).await.unwrap();
    assert_eq!(paths(&collected, "queued"), texts(&(&old | &live)));
    world.clock.advance(25 * HOUR);
    world.lake.vacuum(&world.scope, None, VacuumOptions::default()).await.unwrap();
    assert_eq!(world.objects().await, BTreeSet::new());
}

#[tokio::test]
async fn a_quiet_table_stays_readable_at_all_times() {
    let world = World::new().await;
    let written = world.append(&day_of_rows(0, 10)).await;
    world.create("busy", BTreeMap::new()).await;
    world.clock.advance(25 * HOUR);
    let later = world.create("later", BTreeMap::new()).await.txn;
    world.clock.advance(25 * HOUR);
    world.lake.vacuum(&world.scope, None, VacuumOptions::default()).await.unwrap();
    for at in [written.0, later.0 - 1, later.0] {
        assert_eq!(world.rows_at(cenote_vocab::Txn(at)).await.unwrap().len(), 10, "at {at}");
    }
}

#[tokio::test]
async fn another_table_and_another_tenant_are_left_alone() {
    let (world, _) = merged().await;
    world.create("other", BTreeMap::new()).await;
    let names = world.lake.catalog.names(&world.scope, world.head().await).await.unwrap();
    let other = names.table("default", "other").unwrap().clone();
    let stranger = world.lake.catalog.create_tenant("stranger").await.unwrap();
    let objects = world.objects().await;
    let options = VacuumOptions { keep: Some(Duration::ZERO), force: true, orphans: true, dry_run: false };
    assert_eq!(world.lake.vacuum(&world.scope, Some(&other), options).await.unwrap(), []);
    assert_eq!(world.lake.vacuum(&stranger, None, options).await.unwrap(), []);
    assert!(world.lake.vacuum(&stranger, Some(&*world.table().await), options).await.is_err());
    assert_eq!(world.objects().await, objects);
}

#[tokio::test]
async fn a_table_option_that_cannot_be_understood_is_named() {
    let world = World::new().await;
    world.append(&[row(1, "a", 1.0)]).await;
    let table = cenote_catalog::TableDef {
        properties: BTreeMap::from([("history_keep".to_owned(), "soon".to_owned())]),
        ..(*world.table().await).clone()
    };
    let error =
        world.lake.vacuum(&world.scope, Some(&table), VacuumOptions::default()).await.expect_err("soon");
    assert_eq!(
        error.to_string(),
        "option history_keep of table default.cpu is \"soon\": must be a duration such as 24h"
    );
}
