//! Of each key one row, the newest, whatever is written, merged and deleted meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use cenote_catalog::{Alter, Clash, Commit, Error as CatalogError, Facts, Op, Reruns};
use cenote_table::{Error, KeyedChange, KeyedWrite, Lake, OptimizeMode, Predicate, check_dedup};
use cenote_vocab::{Clock, Ids, Micros, Scope, Txn};

use crate::row_ids::identities;
use crate::world::{DAY, Row, World, batch, row, sorted};

/// A world whose rows replace each other by (host, time).
async fn keyed_world(row_lineage: &str) -> World {
    let world = World::new().await;
    set(&world, &[("tags", "host"), ("dedup", "last"), ("row_lineage", row_lineage)]).await;
    world
}

async fn set(world: &World, options: &[(&str, &str)]) {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    world.change(Op::Alter(Alter::SetProperties(options.collect()))).await.unwrap();
}

/// Rows that come, or keys whose rows go, in order.
#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<Row>),
    Delete(Vec<(i64, String)>),
}

async fn keyed(world: &World, steps: &[Step]) -> KeyedWrite {
    let table = world.table().await;
    let mut rows = world.lake.keyed_rows(&world.scope, &table).unwrap().expect("a keyed table");
    for step in steps {
        match step {
            Step::Upsert(step) => rows.upsert(batch(&table, step)).unwrap(),
            Step::Delete(keys) => {
                let hosts = StringArray::from_iter_values(keys.iter().map(|(_, host)| host));
                let times = TimestampMicrosecondArray::from_iter_values(keys.iter().map(|(time, _)| *time));
                rows.delete(vec![Arc::new(hosts) as ArrayRef, Arc::new(times)]);
            }
        }
    }
    rows.finish().await.unwrap()
}

async fn commit(lake: &Lake, scope: &Scope, planned: &KeyedChange) -> Result<Txn, CatalogError> {
    if planned.change.ops.is_empty() {
        return Ok(Txn(0));
    }
    let commit = Commit {
        commit_id: lake.ids.uuid(),
        scope: scope.clone(),
        producers: Vec::new(),
        facts: Facts { operation: "test".into(), ..Facts::default() },
        tables: vec![planned.change.clone()],
        objects: Vec::new(),
    };
    Ok(lake.catalog.apply(commit).await?.txn)
}

/// Plans and commits, again after a conflict.
async fn write(lake: &Lake, scope: &Scope, write: &KeyedWrite) -> Txn {
    let mut reruns = Reruns::new(lake.ids.clone());
    loop {
        let base = lake.catalog.head(scope).await.unwrap().txn;
        let planned = write.plan(base).await.unwrap();
        match commit(lake, scope, &planned).await {
            Ok(txn) => return txn,
            Err(error) => {
                reruns.pause_after(error).expect("a conflict that ends");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn apply(world: &World, steps: &[Step]) {
    write(&world.lake, &world.scope, &keyed(world, steps).await).await;
}

async fn upsert(world: &World, rows: &[Row]) {
    apply(world, &[Step::Upsert(rows.to_vec())]).await;
}

fn replay(model: &mut BTreeMap<(i64, String), Option<f64>>, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Upsert(rows) => {
                model.extend(rows.iter().map(|(time, host, value)| ((*time, host.clone()), *value)))
            }
            Step::Delete(keys) => keys.iter().for_each(|key| {
                model.remove(key);
            }),
        }
    }
}

/// Chance by a seed.
struct Dice(Ids);

impl Dice {
    fn roll(&self, sides: u64) -> i64 {
        i64::try_from(self.0.below(sides)).unwrap()
    }

    /// Few keys on some days, so that most of them meet again.
    fn key(&self) -> (i64, String) {
        (self.roll(4) * 3 * DAY + self.roll(25), format!("host-{}", self.roll(3)))
    }

    fn steps(&self) -> Vec<Step> {
        let step = |_| match self.roll(4) {
            0 => Step::Delete((0..self.roll(12)).map(|_| self.key()).collect()),
            _ => {
                let row = |n| {
                    let (time, host) = self.key();
                    (time, host, (n % 7 != 0).then(|| self.roll(1_000_000) as f64))
                };
                Step::Upsert((0..self.roll(40)).map(row).collect())
            }
        };
        (0..=self.roll(3)).map(step).collect()
    }
}

#[tokio::test]
async fn random_upserts_and_deletes_leave_the_newest_row_of_each_key() {
    for seed in 0..8 {
        let world = keyed_world(if seed % 2 == 0 { "off" } else { "on" }).await;
        let dice = Dice(Ids::seeded(seed, Clock::manual(Micros(0))));
        let mut model = BTreeMap::new();
        for at in 0..25 {
            match dice.roll(5) {
                0 => drop(world.optimize(OptimizeMode::Due).await),
                1 => drop(world.optimize(OptimizeMode::Full).await),
                2 => drop(world.optimize(OptimizeMode::Deletes).await),
                _ => {
                    let steps = dice.steps();
                    apply(&world, &steps).await;
                    replay(&mut model, &steps);
                }
            }
            let expected = model.iter().map(|((time, host), value)| (*time, host.clone(), *value));
            assert_eq!(world.rows().await, sorted(expected.collect()), "seed {seed}, step {at}");
        }
        assert!(!model.is_empty());
    }
}

#[tokio::test]
async fn of_two_upserts_of_one_new_key_the_second_is_planned_again() {
    let world = keyed_world("off").await;
    let first = keyed(&world, &[Step::Upsert(vec![row(5, "a", 1.0)])]).await;
    let second = keyed(&world, &[Step::Upsert(vec![row(5, "a", 2.0)])]).await;
    let elsewhere = keyed(&world, &[Step::Upsert(vec![row(6, "a", 3.0)])]).await;
    let base = world.head().await;
    let plans = [&first, &second, &elsewhere].map(|write| write.plan(base));
    let [first, late, elsewhere] = futures::future::join_all(plans).await.try_into().ok().unwrap();
    commit(&world.lake, &world.scope, &first.unwrap()).await.unwrap();
    let refused = commit(&world.lake, &world.scope, &late.unwrap()).await.unwrap_err();
    assert!(matches!(refused, CatalogError::CommitConflict { clash: Clash::Appended, .. }), "{refused}");
    commit(&world.lake, &world.scope, &elsewhere.unwrap()).await.expect("another key is no quarrel");
    write(&world.lake, &world.scope, &second).await;
    assert_eq!(world.rows().await, [row(5, "a", 2.0), row(6, "a", 3.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_upserts_end_as_if_one_came_after_the_other() {
    let mut world = Arc::new(keyed_world("on").await);
    for round in 0..cenote_testkit::number_of("CENOTE_RACES", 10) as i64 {
        if round % 50 == 49 {
            // Nothing merges its files: with few of them a round costs what the first did.
            world = Arc::new(keyed_world("on").await);
        }
        let tasks = tokio_util::task::TaskTracker::new();
        let writers = (0..4).map(|writer| {
            let world = Arc::clone(&world);
            tasks.spawn(async move {
                let rows: Vec<Row> = (0..5).map(|n| row(round * 10 + n, "a", f64::from(writer))).collect();
                upsert(&world, &rows).await;
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let rows = world.rows().await;
        let of_round: Vec<&Row> = rows.iter().filter(|row| row.0 / 10 == round).collect();
        assert_eq!(of_round.iter().map(|row| row.0 % 10).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(of_round.iter().all(|row| row.2 == of_round[0].2), "one writer was last: {of_round:?}");
    }
}

#[tokio::test]
async fn a_compaction_between_plan_and_commit_loses_no_row() {
    let world = keyed_world("off").await;
    upsert(&world, &[row(1, "a", 1.0), row(2, "a", 1.0)]).await;
    upsert(&world, &[row(3, "a", 1.0)]).await;
    let late = keyed(&world, &[Step::Upsert(vec![row(1, "a", 2.0)])]).await;
    let planned = late.plan(world.head().await).await.unwrap();
    world.optimize(OptimizeMode::Full).await;
    let refused = commit(&world.lake, &world.scope, &planned).await.unwrap_err();
    assert!(matches!(refused, CatalogError::CommitConflict { clash: Clash::Rewritten, .. }), "{refused}");
    write(&world.lake, &world.scope, &late).await;
    assert_eq!(world.rows().await, [row(1, "a", 2.0), row(2, "a", 1.0), row(3, "a", 1.0)]);
}

#[tokio::test]
async fn files_between_old_and_new_keys_are_not_opened() {
    let world = keyed_world("off").await;
    for day in 0..5 {
        upsert(&world, &[row(day * DAY, "a", 1.0)]).await;
    }
    for file in &world.scan(&Predicate::True).await.files {
        let (first, _) = file.entry.file.time_range.unwrap();
        if ![0, 4 * DAY].contains(&first) {
            world.lake.store.delete(&file.path).await.unwrap();
        }
    }
    let ends = keyed(&world, &[Step::Upsert(vec![row(0, "a", 2.0), row(4 * DAY, "a", 2.0)])]).await;
    let planned = ends.plan(world.head().await).await.expect("needs none of the files that are gone");
    let gone = planned.change.ops.iter().filter(|op| matches!(op, Op::DeleteRows { .. }));
    assert_eq!(gone.count(), 2);
    let middle = keyed(&world, &[Step::Upsert(vec![row(2 * DAY, "a", 2.0)])]).await;
    assert!(middle.plan(world.head().await).await.is_err(), "its file is gone");
}

#[tokio::test]
async fn rows_of_a_large_file_are_found_in_their_row_groups() {
    let world = keyed_world("off").await;
    let count = 300_000;
    let rows: Vec<Row> = (0..count).map(|n| row(n, "a", 1.0)).collect();
    upsert(&world, &rows).await;
    assert_eq!(world.scan(&Predicate::True).await.files.len(), 1);
    let wanted = [0, 262_143, 262_144, count - 1];
    let rows: Vec<Row> = wanted.iter().map(|n| row(*n, "a", 2.0)).collect();
    for some in [&rows[..], &rows[2..], &rows[..1]] {
        upsert(&world, some).await;
        let now = world.rows().await;
        assert_eq!(now.len() as i64, count);
        assert!(wanted.iter().all(|at| now[usize::try_from(*at).unwrap()].2 == Some(2.0)));
        assert_eq!(now.iter().filter(|row| row.2 == Some(2.0)).count(), wanted.len());
    }
}

#[tokio::test]
async fn a_row_keeps_its_id_under_its_key() {
    let world = keyed_world("on").await;
    upsert(&world, &[row(1, "a", 1.0), row(2, "a", 1.0)]).await;
    let before = identities(&world).await;
    upsert(&world, &[row(2, "a", 2.0), row(3, "a", 2.0)]).await;
    world.optimize(OptimizeMode::Full).await;
    upsert(&world, &[row(1, "a", 3.0)]).await;
    let after = identities(&world).await;
    assert_eq!((after[&1].0, after[&2].0), (before[&1].0, before[&2].0));
    assert!(after[&1].1 > after[&2].1 && after[&2].1 > before[&2].1);
    assert_eq!(after.values().map(|(id, _)| id).collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn duplicates_from_before_go_with_the_next_write_or_by_dedup() {
    for row_lineage in ["off", "on"] {
        let world = World::new().await;
        set(&world, &[("tags", "host"), ("row_lineage", row_lineage)]).await;
        let table = world.table().await;
        assert!(matches!(
            world.lake.dedup(&world.scope, &table, false).await,
            Err(Error::NotKeyed(name)) if name == "default.cpu"
        ));
        for value in [1.0, 2.0, 3.0] {
            world.append(&[row(1, "a", value), row(DAY, "b", value), row(2, "c", value)]).await;
        }
        set(&world, &[("dedup", "last")]).await;
        upsert(&world, &[row(2, "c", 4.0)]).await;
        assert_eq!(world.rows().await.iter().filter(|row| row.0 == 2).count(), 1);

        let table = world.table().await;
        let planned = world.lake.dedup(&world.scope, &table, true).await.unwrap();
        assert_eq!(
            (planned.action, planned.reason.as_str(), planned.txn),
            ("dedup", "4 older rows of keys", None)
        );
        assert_eq!(world.rows().await.len(), 7, "a dry run changes nothing");
        let done = world.lake.dedup(&world.scope, &table, false).await.unwrap();
        assert_eq!((done.files_in, done.bytes_in), (planned.files_in, planned.bytes_in));
        assert!(done.txn.is_some());
        assert_eq!(world.rows().await, [row(1, "a", 3.0), row(2, "c", 4.0), row(DAY, "b", 3.0)]);
        let again = world.lake.dedup(&world.scope, &table, false).await.unwrap();
        assert_eq!((again.action, again.txn), ("none", None));
    }
}

#[tokio::test]
async fn keys_that_do_not_fit_the_memory_are_compared_in_parts() {
    let world = World::with_memory(64 << 10).await;
    set(&world, &[("tags", "host")]).await;
    let rows = |value| (0..600).map(|n| row(n, "a", value)).collect::<Vec<Row>>();
    world.append(&rows(1.0)).await;
    world.append(&rows(2.0)).await;
    set(&world, &[("dedup", "last")]).await;
    world.lake.dedup(&world.scope, &world.table().await, false).await.unwrap();
    assert_eq!(world.rows().await, rows(2.0));
}

#[tokio::test]
async fn a_table_without_a_key_is_refused_with_its_name() {
    let world = World::new().await;
    set(&world, &[("dedup", "last")]).await;
    let mut table = (*world.table().await).clone();
    check_dedup(&table).expect("its time is a key");
    table.time_field = None;
    let refused = check_dedup(&table).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "dedup = 'last' of table default.cpu needs a key: a PRIMARY KEY, or a time column with or without tags"
    );
    table.key_fields = vec![crate::world::HOST];
    check_dedup(&table).expect("a primary key");
}

#[tokio::test]
async fn files_of_others_would_bring_keys_twice_and_are_refused() {
    let world = keyed_world("off").await;
    let table = world.table().await;
    let refused =
        world.lake.adopt(&world.scope, &table, &["data/other.parquet".to_owned()]).await.unwrap_err();
    assert!(matches!(&refused, Error::Unsupported(text) if text.contains("default.cpu")), "{refused}");
}
