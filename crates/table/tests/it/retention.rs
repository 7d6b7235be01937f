//! Rows that are too old go, by whole files, and what was said is what is done.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_catalog::{Alter, ObjectChange, Op};
use cenote_table::{Error, OptimizeMode, Progress};
use cenote_vocab::Fault;
use tokio_util::sync::CancellationToken;

use crate::world::{DAY, World, day_of_rows};

async fn keep(world: &World, retention: &str) {
    let properties = BTreeMap::from([("retention".to_owned(), Some(retention.to_owned()))]);
    world.change(Op::Alter(Alter::SetProperties(properties))).await.unwrap();
}

async fn expire(world: &World, dry_run: bool) -> cenote_table::OptimizeOutcome {
    let table = world.table().await;
    world.lake.expire_rows(&world.scope, &table, dry_run, &Progress::default()).await.unwrap()
}

#[tokio::test]
async fn only_files_whose_newest_row_is_too_old_go_and_the_dry_run_says_which() {
    let world = World::new().await;
    let today = world.clock.now().0 / DAY;
    for age in [10, 6, 5, 1] {
        world.append(&day_of_rows(today - age, 100)).await;
    }
    assert_eq!(expire(&world, false).await.reason, "rows stay for ever");
    keep(&world, "30d").await;
    let none = expire(&world, false).await;
    assert!(none.action == "none" && none.reason.starts_with("no file ends before"), "{none:?}");

    keep(&world, "6d").await;
    let before = world.head().await;
    let planned = expire(&world, true).await;
    assert_eq!((planned.action, planned.files_in, world.head().await), ("expire", 2, before));
    let progress = Progress::default();
    let table = world.table().await;
    let done = world.lake.expire_rows(&world.scope, &table, false, &progress).await.unwrap();
    assert_eq!((done.files_in, done.bytes_in, &done.reason), (2, planned.bytes_in, &planned.reason));
    let counts = progress.counts();
    assert_eq!((counts.files_in, counts.bytes_in, counts.txn), (2, done.bytes_in, done.txn));
    let rows = world.rows().await;
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|row| row.0 >= (today - 5) * DAY));
    assert_eq!(world.rows_at(before).await.unwrap().len(), 400, "history stays");
    assert_eq!(expire(&world, false).await.action, "none");

    world.clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(expire(&world, false).await.files_in, 2);
    assert_eq!(world.rows().await, []);
}

#[tokio::test]
async fn a_retention_that_is_a_slip_of_the_pen_is_refused() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 10)).await;
    for wrong in ["5", "90 monkeys", "1m"] {
        keep(&world, wrong).await;
        let table = world.table().await;
        let refused = world.lake.expire_rows(&world.scope, &table, false, &Progress::default()).await;
        assert!(matches!(&refused, Err(error @ Error::Option { .. }) if error.sqlstate().0 == "22023"));
    }
    keep(&world, "").await;
    assert_eq!(expire(&world, false).await.reason, "rows stay for ever");
    assert_eq!(world.rows().await.len(), 10);
}

#[tokio::test]
async fn options_of_a_schema_hold_for_tables_that_have_none_of_their_own() {
    let world = World::new().await;
    let today = world.clock.now().0 / DAY;
    for age in [10, 5] {
        world.append(&day_of_rows(today - age, 100)).await;
    }
    let set = async |option: &str, value: Option<&str>| {
        let options = BTreeMap::from([(option.to_owned(), value.map(str::to_owned))]);
        let name = "default".to_owned();
        world.commit(Vec::new(), vec![ObjectChange::SetSchemaOptions { name, options }]).await.unwrap()
    };
    set("retention", Some("7d")).await;
    keep(&world, "30d").await;
    assert_eq!(expire(&world, false).await.action, "none", "the table's own is longer");
    let own = BTreeMap::from([("retention".to_owned(), None)]);
    world.change(Op::Alter(Alter::SetProperties(own))).await.unwrap();
    assert_eq!(expire(&world, true).await.files_in, 1, "the schema's holds");
    set("history_keep", Some("2d")).await;
    let head = world.head().await;
    let names = world.lake.catalog.names(&world.scope, head).await.unwrap();
    let table = world.table().await;
    let options = world.lake.options.within(&names, &table).unwrap();
    assert_eq!(options.history_keep, Duration::from_secs(2 * 86_400));
    set("retention", None).await;
    assert_eq!(expire(&world, true).await.reason, "rows stay for ever");
}

#[tokio::test]
async fn an_act_that_should_end_changes_nothing_more() {
    let world = World::new().await;
    for _ in 0..8 {
        world.append(&day_of_rows(0, 10)).await;
    }
    keep(&world, "1h").await;
    let (table, before) = (world.table().await, world.head().await);
    let stop = CancellationToken::new();
    stop.cancel();
    let progress = Progress::until(stop);
    let expired = world.lake.expire_rows(&world.scope, &table, false, &progress).await;
    assert!(matches!(expired, Err(Error::Stopped)), "{expired:?}");
    let merged = world
        .lake
        .compact_partition(&world.scope, &table, (1, "[0]"), OptimizeMode::Merges, false, &progress)
        .await;
    assert!(matches!(merged, Err(Error::Stopped)), "{merged:?}");
    assert_eq!(world.head().await, before);
    assert_eq!(world.objects().await, world.live().await);
}
