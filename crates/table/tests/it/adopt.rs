//! Files that lie in a table's place become files of it, if they are what they should be.

use bytes::Bytes;
use cenote_catalog::{NewFile, Op};
use cenote_datafile::Level;
use cenote_table::{Comparison, Error, Predicate};
use cenote_vocab::Fault;
use object_store::path::Path;

use crate::world::{DAY, Row, TIME, World, batch, day_of_rows, row, sorted};

/// A complete file that no commit has named.
async fn left(world: &World, rows: &[Row]) -> NewFile {
    let table = world.table().await;
    let mut writer = world.lake.writer(&world.scope, table.clone(), Level::Fresh);
    writer.write(batch(&table, rows)).await.unwrap();
    writer.finish().await.unwrap().into_files().remove(0)
}

#[tokio::test]
async fn an_adopted_file_is_read_and_pruned_like_any_other() {
    let world = World::new().await;
    let rows = day_of_rows(3, 50);
    let written = left(&world, &rows).await;
    let table = world.table().await;
    let whole = format!("{}/{}", table.location, written.path);
    for path in [&written.path, &whole] {
        let adopted = world
            .lake
            .adopt(&world.scope, &table, std::slice::from_ref(path))
            .await
            .expect("a good file")
            .remove(0);
        assert_eq!(
            (&adopted.path, adopted.rows, adopted.bytes),
            (&written.path, written.rows, written.bytes)
        );
        assert_eq!(adopted.footer_bytes, written.footer_bytes);
        assert_eq!(adopted.time_range, written.time_range);
        assert_eq!(adopted.statistics.column(TIME).unwrap().null_count, 0);
    }
    let files = world.lake.adopt(&world.scope, &table, &[written.path]).await.unwrap();
    let path = files[0].path.clone();
    world.change(Op::Append { files }).await.expect("committed");
    let twice = world.lake.adopt(&world.scope, &table, &[path]).await.expect_err("its rows are there");
    assert!(twice.to_string().ends_with("it is a file of a table already"), "{twice}");
    assert_eq!(world.rows().await, sorted(rows));
    let earlier = Predicate::Compare {
        field: TIME,
        comparison: Comparison::Less,
        value: cenote_datafile::Value::Integer(DAY.into()),
    };
    assert_eq!(world.scan(&earlier).await.files.len(), 0, "its times are known");
}

#[tokio::test]
async fn what_is_elsewhere_or_something_else_is_refused() {
    let world = World::new().await;
    let table = world.table().await;
    for path in ["../x.parquet", "data/../../x", "/etc/passwd", "s3://bucket/x", "data//x", ".", ""] {
        let error = world.lake.adopt(&world.scope, &table, &[path.to_owned()]).await.expect_err("elsewhere");
        assert!(matches!(error, Error::PathDenied { .. }), "{path}: {error}");
        assert_eq!(error.sqlstate().0, "42501");
    }
    let gone = world
        .lake
        .adopt(&world.scope, &table, &["data/none.parquet".to_owned()])
        .await
        .expect_err("not there");
    assert!(gone.to_string().ends_with("it is not there"), "{gone}");

    let place = |name: &str| Path::from(format!("{}/data/{name}", table.location));
    world
        .lake
        .store
        .put(&place("text"), Bytes::from_static(b"this is no Parquet file at all"))
        .await
        .unwrap();
    let text = world.lake.adopt(&world.scope, &table, &["data/text".to_owned()]).await.expect_err("text");
    assert_eq!(text.kind(), cenote_vocab::ErrorKind::Corrupt);

    // a column that came after the table's own columns were last changed
    world.add_tag("region").await;
    let later = left(&world, &[row(0, "a", 1.0)]).await;
    let error = world.lake.adopt(&world.scope, &table, &[later.path]).await.expect_err("a column too many");
    assert!(error.to_string().contains("column \"region\" has field id 4"), "{error}");
}
