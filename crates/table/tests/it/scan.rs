//! A scan names the files that may hold wanted rows, and no others.

use cenote_datafile::Value;
use cenote_table::{Comparison, Error, Predicate, PruneCounts};
use cenote_vocab::{FieldId, Txn};

use crate::world::{DAY, HOST, TIME, VALUE, World, day_of_rows, row, sorted};

fn compare(field: FieldId, comparison: Comparison, value: Value) -> Predicate {
    Predicate::Compare { field, comparison, value }
}

#[tokio::test]
async fn files_are_left_out_by_time_and_by_statistics() {
    let world = World::new().await;
    for day in 0..4 {
        world.append(&day_of_rows(day, 50)).await;
    }
    world.append(&[row(10 * DAY, "other", 1_000.0), row(11 * DAY, "other", 2_000.0)]).await;
    let counted = |files, by_partition, by_statistics| PruneCounts { files, by_partition, by_statistics };

    let all = world.scan(&Predicate::True).await;
    assert_eq!((all.files.len(), all.pruned), (6, counted(6, 0, 0)));
    assert!(all.files.is_sorted_by_key(|file| file.entry.id));

    let other = world.scan(&compare(HOST, Comparison::Equal, Value::Text("other".into()))).await;
    assert_eq!((other.files.len(), other.pruned), (2, counted(6, 0, 4)));

    // The catalog has left out the rest already.
    let day = world.scan(&compare(TIME, Comparison::GreaterOrEqual, Value::Integer((10 * DAY).into()))).await;
    assert_eq!((day.files.len(), day.pruned), (2, counted(2, 0, 0)));

    // A disjunction has no window, but each file is asked.
    let either = Predicate::Or(vec![
        compare(TIME, Comparison::Less, Value::Integer(DAY.into())),
        compare(VALUE, Comparison::Greater, Value::Float(1_500.0)),
    ]);
    let either = world.scan(&either).await;
    assert_eq!((either.files.len(), either.pruned), (2, counted(6, 0, 4)));

    let no_time = world.scan(&Predicate::IsNull(TIME)).await;
    assert_eq!((no_time.files.len(), no_time.pruned), (0, counted(6, 6, 0)));
}

#[tokio::test]
async fn a_column_that_came_later_is_null_in_older_files() {
    let world = World::new().await;
    world.append(&day_of_rows(0, 10)).await;
    world.add_tag("region").await;
    let region = world.table().await.schema.field("region").expect("added").id;
    let wanted = compare(region, Comparison::Equal, Value::Text("eu".into()));
    let scan = world.scan(&wanted).await;
    assert_eq!((scan.files.len(), scan.pruned.by_statistics), (0, 1));
    let absent = world.scan(&Predicate::IsNull(region)).await;
    assert_eq!(absent.files.len(), 1);
    assert_eq!(absent.files[0].schema.fields.len(), 3);
}

#[tokio::test]
async fn older_versions_are_read_as_they_were() {
    let world = World::new().await;
    let first_rows = day_of_rows(0, 10);
    let first = world.append(&first_rows).await;
    let second_rows = day_of_rows(1, 10);
    let second = world.append(&second_rows).await;
    let file = world.scan(&Predicate::True).await.files[0].entry.id;
    let third = world.delete(file, 0..4).await;

    assert_eq!(world.rows_at(first).await.unwrap(), sorted(first_rows.clone()));
    assert_eq!(world.rows_at(second).await.unwrap(), sorted([first_rows, second_rows].concat()));
    assert_eq!(world.rows_at(third).await.unwrap().len(), 16);
    let error = world.rows_at(Txn(third.0 + 1)).await.expect_err("not yet");
    assert!(matches!(error, Error::Catalog(cenote_catalog::Error::SnapshotFuture { .. })), "{error}");
}
