//! Metadata as files: a manifest never changes, names only files that are there, and is there whatever crashed.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;
use cenote_catalog::{Publication, published_tables};
use cenote_datafile::{decode_rows, encode_rows};
use cenote_store::{metadata_file, metadata_manifest};
use cenote_table::{Manifest, Published, TableForm, published_location};
use cenote_testkit::needs;
use cenote_testkit::number_of;
use cenote_testkit::services::{ask_python, python_environment};
use futures::TryStreamExt as _;
use object_store::path::Path;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{World, day_of_rows};

const HOUR: Duration = Duration::from_secs(3600);

async fn publish(world: &World) -> Published {
    world.lake.publish_metadata(&world.scope, false).await.unwrap()
}

async fn newest(world: &World) -> (Publication, Manifest) {
    let publication = world.lake.catalog.newest_publication(&world.scope).await.unwrap().expect("published");
    let manifest = world.lake.manifest(&publication).await.unwrap();
    (publication, manifest)
}

fn path(world: &World, relative: &str) -> Path {
    Path::from(format!("{}/{relative}", published_location(&world.scope)))
}

/// Values of a column of a published table, from all of its files, in their order.
async fn numbers(world: &World, manifest: &Manifest, table: &str, column: &str) -> Vec<i64> {
    let mut numbers = Vec::new();
    for file in &manifest.table(table).expect("published").files {
        let bytes = world.lake.store.read(&path(world, &file.path)).await.unwrap();
        assert_eq!(bytes.len() as u64, file.bytes, "{}", file.path);
        let rows = decode_rows(bytes).unwrap();
        assert_eq!(rows.num_rows() as u64, file.rows, "{}", file.path);
        numbers.extend(rows.column_by_name(column).expect("there").as_primitive::<Int64Type>().values());
    }
    numbers
}

/// Everything that readers can find is whole: each kept manifest, and the pointer.
async fn check(world: &World) {
    for publication in world.lake.catalog.publications(&world.scope).await.unwrap() {
        let manifest = world.lake.manifest(&publication).await.unwrap();
        assert_eq!(manifest.txn, publication.txn.0);
        let txns = numbers(world, &manifest, "catalog.transactions", "txn").await;
        assert_eq!(txns, (1..=manifest.txn).collect::<Vec<_>>(), "each transaction once");
        for file in manifest.files() {
            assert_eq!(world.lake.store.size(&path(world, &file.path)).await.unwrap(), Some(file.bytes));
        }
    }
}

async fn pointed_to(world: &World) -> Option<i64> {
    let bytes = world.lake.store.read(&path(world, "current.json")).await.ok()?;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (_, rest) = text.split_once("\"manifest_id\":").expect("a pointer");
    rest.split([',', '}']).next()?.parse().ok()
}

async fn objects(world: &World) -> Vec<String> {
    let listed = world.lake.store.list(&Path::from(published_location(&world.scope)));
    let mut paths: Vec<String> = listed.map_ok(|o| o.path.to_string()).try_collect().await.unwrap();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_pass_publishes_what_there_is_and_nothing_when_nothing_changed() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 10)).await;
    let planned = world.lake.publish_metadata(&world.scope, true).await.unwrap();
    assert!(matches!(&planned, Published::New { files, .. } if *files >= 6), "{planned:?}");
    assert_eq!(objects(&world).await, [""; 0], "it was only said");
    let Published::New { publication, files, .. } = publish(&world).await else {
        panic!("nothing published")
    };
    assert_eq!((publication.manifest_id, publication.txn, publication.files), (1, world.head().await, files));
    let (_, manifest) = newest(&world).await;
    assert_eq!((manifest.previous, manifest.txn), (None, world.head().await.0));
    let table = world.table().await.id;
    assert_eq!(numbers(&world, &manifest, "catalog.tables", "id").await, [table.0]);
    assert_eq!(numbers(&world, &manifest, "catalog.columns", "field_id").await, [1, 2, 3]);
    check(&world).await;
    assert_eq!(pointed_to(&world).await, Some(1));
    let stored = objects(&world).await;
    assert_eq!(publish(&world).await, Published::Unchanged);
    assert_eq!((objects(&world).await, newest(&world).await.0), (stored, publication));
}

#[tokio::test]
async fn the_same_state_has_the_same_names_in_another_catalog() {
    let (first, second) = (World::new().await, World::new().await);
    for world in [&first, &second] {
        assert!(matches!(publish(world).await, Published::New { .. }));
    }
    let paths = |manifest: &Manifest, table: &str| {
        let files = &manifest.table(table).expect("published").files;
        files.iter().map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    let (first, second) = (newest(&first).await.1, newest(&second).await.1);
    assert_eq!(paths(&first, "catalog.columns"), paths(&second, "catalog.columns"));
}

#[tokio::test]
async fn an_hour_of_ingest_rewrites_no_state_and_its_log_stays_in_few_files() {
    let world = World::new().await;
    publish(&world).await;
    let states = |manifest: &Manifest| {
        let states = manifest.tables.iter().filter(|table| table.kind == TableForm::State);
        states.map(|table| (table.name.clone(), table.files.clone())).collect::<BTreeMap<_, _>>()
    };
    let before = states(&newest(&world).await.1);
    for _ in 0..40 {
        world.append(&day_of_rows(0, 5)).await;
        world.clock.advance(Duration::from_secs(90));
        let Published::New { files, .. } = publish(&world).await else { panic!("there were commits") };
        assert!(files <= 3, "a part of each log");
    }
    let (publication, manifest) = newest(&world).await;
    assert_eq!((publication.manifest_id, states(&manifest)), (41, before.clone()));
    assert_eq!(before.len(), 9);
    for log in ["catalog.transactions", "catalog.table_commits", "meta.events"] {
        let files = &manifest.table(log).expect("published").files;
        assert!(files.len() <= 17, "{log}: {}", files.len());
        assert!(
            files.is_sorted_by_key(|file| file.txn_min)
                && files.last().map(|f| f.txn_max) == Some(manifest.txn)
        );
    }
    check(&world).await;
    world.create("mem", BTreeMap::new()).await;
    publish(&world).await;
    let after = states(&newest(&world).await.1);
    let changed: Vec<&String> =
        after.iter().filter(|(name, files)| before[*name] != **files).map(|(name, _)| name).collect();
    assert_eq!(changed, ["catalog.catalogs", "catalog.columns", "catalog.schemas", "catalog.tables"]);
}

#[tokio::test]
async fn a_manifest_stays_as_it_was_until_it_is_collected() {
    let world = World::new().await;
    for n in 0..10 {
        world.append(&day_of_rows(n, 5)).await;
        publish(&world).await;
    }
    let (tenth, manifest) = newest(&world).await;
    let bytes = world.lake.store.read(&Path::from(tenth.path.as_str())).await.unwrap();
    for n in 0..number_of("CENOTE_PUBLISHED_OBJECTS", 30) {
        world.create(&format!("t{n}"), BTreeMap::new()).await;
    }
    publish(&world).await;
    world.clock.advance(23 * HOUR);
    world.lake.collect_metadata(&world.scope).await.unwrap();
    assert_eq!(world.lake.store.read(&Path::from(tenth.path.as_str())).await.unwrap(), bytes);
    check(&world).await;

    world.clock.advance(2 * HOUR);
    let (objects_gone, bytes_gone) = world.lake.collect_metadata(&world.scope).await.unwrap();
    assert!(objects_gone >= 1 && bytes_gone > 0, "the first manifest, at least");
    let kept: Vec<i64> = world
        .lake
        .catalog
        .publications(&world.scope)
        .await
        .unwrap()
        .iter()
        .map(|one| one.manifest_id)
        .collect();
    assert_eq!(kept, (2..=11).rev().collect::<Vec<_>>());
    check(&world).await;
    for n in 0..12 {
        world.append(&day_of_rows(n, 5)).await;
        publish(&world).await;
    }
    world.clock.advance(25 * HOUR);
    world.lake.collect_metadata(&world.scope).await.unwrap();
    assert_eq!(world.lake.store.size(&Path::from(tenth.path.as_str())).await.unwrap(), None);
    let gone = manifest.table("catalog.tables").expect("published").files[0].path.clone();
    assert!(!objects(&world).await.contains(&path(&world, &gone).to_string()), "only it named the file");
    check(&world).await;
}

#[tokio::test]
async fn a_lost_manifest_is_published_anew_and_a_pointer_that_lies_is_put_right() {
    let world = World::new().await;
    publish(&world).await;
    world
        .lake
        .store
        .put(&path(&world, "current.json"), bytes::Bytes::from_static(b"{\"manifest_id\":7}"))
        .await
        .unwrap();
    assert_eq!(publish(&world).await, Published::Unchanged);
    assert_eq!(pointed_to(&world).await, Some(1));
    let (publication, _) = newest(&world).await;
    world.lake.store.delete(&Path::from(publication.path.as_str())).await.unwrap();
    assert!(world.lake.manifest(&publication).await.is_err(), "an error, not an empty catalog");
    assert!(matches!(publish(&world).await, Published::New { .. }));
    let (second, manifest) = newest(&world).await;
    assert_eq!((second.manifest_id, manifest.previous), (2, Some(1)));
    assert_eq!(numbers(&world, &manifest, "catalog.tables", "id").await.len(), 1);
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_crash_at_each_step_leaves_the_manifest_before_and_the_next_pass_publishes() {
    for point in ["publish.file", "publish.manifest", "publish.commit", "publish.pointer"] {
        let world = World::alone().await;
        publish(&world).await;
        let (before, _) = newest(&world).await;
        world.append(&day_of_rows(0, 5)).await;
        fail::cfg(point, "return").unwrap();
        let failed = world.lake.publish_metadata(&world.scope, false).await.expect_err(point);
        fail::remove(point);
        assert!(failed.to_string().contains(point), "{failed}");
        let visible = newest(&world).await.0.manifest_id;
        assert_eq!(visible, if point == "publish.pointer" { 2 } else { 1 }, "{point}");
        assert_eq!(pointed_to(&world).await, Some(1), "{point}");
        assert_eq!(world.lake.manifest(&before).await.unwrap().manifest_id, 1);
        check(&world).await;

        world.append(&day_of_rows(1, 5)).await;
        publish(&world).await;
        // What was left of the second stays the second: nobody may have read another one of this number.
        let third = matches!(point, "publish.commit" | "publish.pointer");
        let (publication, manifest) = newest(&world).await;
        assert_eq!(publication.manifest_id, if third { 3 } else { 2 }, "{point}");
        assert_eq!(manifest.txn, world.head().await.0, "{point}");
        assert_eq!(pointed_to(&world).await, Some(publication.manifest_id), "{point}");
        check(&world).await;
    }
}

#[tokio::test]
async fn half_a_manifest_of_a_crashed_pass_is_replaced() {
    let world = World::new().await;
    publish(&world).await;
    let torn = path(&world, "m/00000000000000000002.json");
    world.lake.store.put(&torn, bytes::Bytes::from_static(b"{\"format\":1,\"manifest_id\":2")).await.unwrap();
    world.append(&day_of_rows(0, 5)).await;
    assert!(matches!(publish(&world).await, Published::New { .. }));
    assert_eq!(newest(&world).await.0.manifest_id, 2);
    check(&world).await;
}

/// Publishes what there is as a release did whose tables lacked the last column that is not in their key.
async fn publish_as_before(world: &World) {
    let (publication, mut manifest) = newest(world).await;
    (manifest.previous, manifest.manifest_id) = (Some(manifest.manifest_id), manifest.manifest_id + 1);
    for table in &mut manifest.tables {
        let known = published_tables().iter().find(|known| known.name == table.name).expect("known");
        table.version -= 1;
        for file in &mut table.files {
            let rows = decode_rows(world.lake.store.read(&path(world, &file.path)).await.unwrap()).unwrap();
            let last = rows.num_columns() - 1;
            if known.key.contains(&rows.schema().field(last).name().as_str()) {
                continue;
            }
            let fewer = rows.project(&(0..last).collect::<Vec<_>>()).unwrap();
            let bytes = encode_rows(&fewer, &[("cenote.table", table.name.clone())]).unwrap();
            (file.bytes, file.sha256) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
            file.path = metadata_file(&table.name, &file.sha256);
            world.lake.store.put(&path(world, &file.path), bytes).await.unwrap();
        }
    }
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let older = Publication {
        manifest_id: manifest.manifest_id,
        path: path(world, &metadata_manifest(manifest.manifest_id)).to_string(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        ..publication
    };
    world.lake.store.put(&Path::from(older.path.as_str()), bytes.into()).await.unwrap();
    let catalog = &world.lake.catalog;
    let lease = catalog.take_publisher(&world.scope, HOUR).await.unwrap().expect("free");
    catalog.publish(&world.scope, &older, &lease).await.unwrap();
    catalog.release_publisher(&lease).await.unwrap();
}

fn known_columns(table: &str) -> usize {
    let known = published_tables().iter().find(|known| known.name == table).expect("known");
    known.schema().fields().len()
}

#[tokio::test]
async fn files_of_a_release_with_fewer_columns_are_read_together_with_new_ones() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let world = World::new().await;
    world.append(&day_of_rows(0, 10)).await;
    publish(&world).await;
    publish_as_before(&world).await;
    let older = newest(&world).await.1;
    world.append(&day_of_rows(0, 10)).await;
    publish(&world).await;
    check(&world).await;
    let manifest = newest(&world).await.1;
    assert_eq!((manifest.manifest_id, manifest.previous), (3, Some(2)));

    // What DuckDB has: the files alone, in a directory.
    let directory = tempfile::tempdir().unwrap();
    let (mut script, mut queries, mut wanted) = (String::new(), Vec::new(), Vec::new());
    for (number, table) in manifest.tables.iter().enumerate() {
        let known = published_tables().iter().find(|known| known.name == table.name).expect("known");
        let columns: Vec<String> = known.schema().fields().iter().map(|field| field.name().clone()).collect();
        let last = columns.last().expect("a column").clone();
        let before = &older.table(&table.name).expect("there before").files;
        let (mut paths, mut told) = (Vec::new(), 0);
        for file in &table.files {
            let bytes = world.lake.store.read(&path(&world, &file.path)).await.unwrap();
            let rows = decode_rows(bytes.clone()).unwrap();
            let is_older = table.kind == TableForm::Log && before.contains(file);
            let lacks_last = is_older && !known.key.contains(&last.as_str());
            assert_eq!(rows.num_columns(), columns.len() - usize::from(lacks_last), "{}", table.name);
            told += rows.column_by_name(&last).map_or(0, |column| column.len() - column.null_count());
            let copy = directory.path().join(format!("{number}-{}.parquet", paths.len()));
            std::fs::write(&copy, &bytes).unwrap();
            paths.push(format!("'{}'", copy.display()));
        }
        if table.rows == 0 {
            continue;
        }
        let list = paths.join(", ");
        script.push_str(&format!(
            "CREATE VIEW t{number} AS SELECT * FROM read_parquet([{list}], union_by_name = true);\n"
        ));
        queries.push(format!("SELECT count(*), count(\"{last}\") FROM t{number}"));
        wanted.push(json!([[table.rows, told]]));
        queries.push(format!("SELECT column_name FROM (DESCRIBE t{number})"));
        wanted.push(columns.iter().map(|column| json!([column])).collect());
    }
    let log = manifest.table("catalog.transactions").expect("there");
    assert_eq!(log.files[0], older.table("catalog.transactions").expect("there before").files[0]);
    assert!(log.files.len() > 1, "the new transactions are in a file of their own");
    let read = ask_python(&python, "read_metadata.py", &[], &json!({"script": script, "queries": queries}));
    assert_eq!(read["answers"], Value::from(wanted), "{script}");

    // Neighbours are merged one day, and those of before with them.
    for _ in 0..20 {
        world.append(&day_of_rows(0, 1)).await;
        publish(&world).await;
    }
    check(&world).await;
    let merged = newest(&world).await.1.table("catalog.transactions").expect("there").files.clone();
    assert!(merged.len() < 16, "{} files", merged.len());
    let bytes = world.lake.store.read(&path(&world, &merged[0].path)).await.unwrap();
    let first = decode_rows(bytes).unwrap();
    let rows_before = usize::try_from(log.files[0].rows).unwrap();
    assert!(first.num_rows() > rows_before && first.num_columns() == known_columns("catalog.transactions"));
    let last = first.column(first.num_columns() - 1);
    assert_eq!(last.slice(0, rows_before).null_count(), rows_before, "they had no such column");
}
