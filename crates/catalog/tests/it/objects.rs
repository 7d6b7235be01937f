//! Schemas, tables, views.

use cenote_catalog::{Alter, Commit, Error, Expected, ObjectChange, Op, ReadSet, TableChange, TableKind};
use cenote_vocab::{ErrorKind, Fault, TableSchema, Txn};

use crate::fixture::Fixture;

fn create_schema(name: &str) -> ObjectChange {
    ObjectChange::CreateSchema { name: name.into(), if_not_exists: false }
}

fn drop_table(name: &str, if_exists: bool, view: bool) -> ObjectChange {
    ObjectChange::DropTable { schema: "default".into(), name: name.into(), if_exists, view }
}

pub(crate) async fn names_are_taken_once(fixture: Fixture) {
    let mut racers = Vec::new();
    for _ in 0..16 {
        racers.push(fixture.new_table("cpu").await);
    }
    let racing =
        racers.into_iter().map(|new| fixture.change_object(ObjectChange::CreateTable(Box::new(new))));
    let outcomes = futures::future::join_all(racing).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().flat_map(Result::as_ref).count() == 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, Error::TableExists(_)), "{error}");
    }
    fixture.change_object(drop_table("cpu", false, false)).await.expect("dropped");
    fixture.create("cpu").await;
    for (change, kind) in [
        (create_schema("default"), ErrorKind::Conflict),
        (create_schema("system"), ErrorKind::Invalid),
        (drop_table("none", false, false), ErrorKind::NotFound),
    ] {
        assert_eq!(fixture.change_object(change).await.expect_err("refused").kind(), kind);
    }
    let head = fixture.head().await;
    let tolerant = [
        ObjectChange::CreateSchema { name: "default".into(), if_not_exists: true },
        drop_table("none", true, false),
    ];
    for change in tolerant {
        assert_eq!(fixture.change_object(change).await.expect("fine").txn, head, "no number is used");
    }
    let mut reused = fixture.new_table("other").await;
    reused.id = fixture.table("cpu").await.expect("there").id;
    let reused = fixture.change_object(ObjectChange::CreateTable(Box::new(reused))).await;
    assert_eq!(reused.expect_err("its id is another's").kind(), ErrorKind::Invalid);
    let mut foreign = fixture.new_table("other").await;
    foreign.location = "elsewhere/tables/x".into();
    let foreign = fixture.change_object(ObjectChange::CreateTable(Box::new(foreign))).await;
    assert_eq!(foreign.expect_err("another tenant's place").kind(), ErrorKind::Invalid);
}

pub(crate) async fn schemas_are_dropped_with_their_tables_only_by_cascade(fixture: Fixture) {
    fixture.change_object(create_schema("app")).await.expect("created");
    let mut new = fixture.new_table("cpu").await;
    new.schema = "app".into();
    fixture.change_object(ObjectChange::CreateTable(Box::new(new))).await.expect("created");
    let drop = |cascade| ObjectChange::DropSchema { name: "app".into(), cascade, if_exists: false };
    let refused = fixture.change_object(drop(false)).await;
    assert!(matches!(refused, Err(Error::SchemaNotEmpty { tables: 1, .. })), "{refused:?}");
    let before = fixture.head().await;
    fixture.change_object(drop(true)).await.expect("dropped");
    assert_eq!(fixture.catalog.schema_id(&fixture.scope, "app").await.expect("read"), None);
    let names = fixture.catalog.names(&fixture.scope, before).await.expect("names");
    assert!(names.table("app", "cpu").is_ok(), "history keeps it");
    fixture.change_object(create_schema("app")).await.expect("the name is free");
    let names = fixture.catalog.names(&fixture.scope, fixture.head().await).await.expect("names");
    assert!(names.table("app", "cpu").is_err());
}

pub(crate) async fn or_replace_takes_the_name_over(fixture: Fixture) {
    let old = fixture.create("cpu").await;
    fixture.append(old, 10).await;
    let before = fixture.head().await;
    let mut new = fixture.new_table("cpu").await;
    new.or_replace = true;
    let id = new.id;
    let committed = fixture.change_object(ObjectChange::CreateTable(Box::new(new))).await.expect("replaced");
    assert_eq!(committed.txn, Txn(before.0 + 1));
    assert_eq!(fixture.table("cpu").await.expect("listed").id, id);
    assert_eq!(fixture.live_rows(id).await, 0);
    let names = fixture.catalog.names(&fixture.scope, before).await.expect("names");
    let def = names.table("default", "cpu").expect("then");
    assert_eq!(def.id, old);
    assert_eq!(fixture.catalog.files(&fixture.scope, def, before, None).await.expect("then").len(), 1);
}

pub(crate) async fn if_not_exists_skips_the_rows_too(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let mut new = fixture.new_table("cpu").await;
    new.if_not_exists = true;
    let fill = TableChange {
        table: new.id,
        base: fixture.head().await,
        read: ReadSet::None,
        ops: vec![Op::Append { files: vec![fixture.file(4)] }],
    };
    let commit = Commit {
        objects: vec![ObjectChange::CreateTable(Box::new(new))],
        tables: vec![fill],
        ..fixture.commit()
    };
    let committed = fixture.catalog.apply(commit).await.expect("skipped");
    assert_eq!((committed.created_tables, committed.txn), (vec![], fixture.head().await));
    assert_eq!(fixture.live_rows(table).await, 0);
}

pub(crate) async fn views_are_not_tables(fixture: Fixture) {
    let mut view = fixture.new_table("recent").await;
    view.kind = TableKind::View { sql: "SELECT 1".into(), search_path: "default".into() };
    view.location = String::new();
    let id = view.id;
    fixture.change_object(ObjectChange::CreateTable(Box::new(view.clone()))).await.expect("created");
    assert_eq!(fixture.table("recent").await.expect("listed").kind, view.kind);
    let append = fixture.change(id, vec![Op::Append { files: vec![fixture.file(1)] }]).await;
    assert_eq!(append.expect_err("no rows of its own").kind(), ErrorKind::Invalid);
    assert!(fixture.change_object(drop_table("recent", false, false)).await.is_err(), "DROP TABLE of a view");
    let mut replacing = fixture.new_table("recent").await;
    replacing.or_replace = true;
    let replacing = fixture.change_object(ObjectChange::CreateTable(Box::new(replacing))).await;
    assert!(matches!(replacing, Err(Error::TableExists(_))), "a table never takes a view's name over");
    fixture.change_object(drop_table("recent", false, true)).await.expect("DROP VIEW");
    fixture.create("cpu").await;
    assert!(fixture.change_object(drop_table("cpu", false, true)).await.is_err(), "DROP VIEW of a table");
}

pub(crate) async fn a_rename_keeps_the_table(fixture: Fixture) {
    let (a, b) = (fixture.create("a").await, fixture.create("b").await);
    fixture.append(a, 3).await;
    let rename = |table, name: &str| ObjectChange::RenameTable { table, schema: None, name: name.into() };
    assert!(matches!(fixture.change_object(rename(a, "b")).await, Err(Error::TableExists(_))));
    let swap = vec![rename(a, "x"), rename(b, "a"), rename(a, "b")];
    fixture.catalog.apply(Commit { objects: swap, ..fixture.commit() }).await.expect("swapped in one commit");
    assert_eq!(fixture.table("b").await.expect("listed").id, a);
    assert_eq!(fixture.table("a").await.expect("listed").id, b);
    assert!(fixture.table("x").await.is_err());
    assert_eq!(fixture.live_rows(a).await, 3);
    let empty = TableSchema::default();
    assert_ne!(*fixture.by_id(a).await.schema, empty);
    let fixture = fixture.restart().await;
    if fixture.durable {
        assert_eq!(fixture.table("b").await.expect("listed").id, a);
    }
}

pub(crate) async fn options_are_set_and_taken_off(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let set = |pairs: &[(&str, Option<&str>)]| {
        let pairs =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        vec![Op::Alter(Alter::SetProperties(pairs))]
    };
    fixture.change(table, set(&[("retention", Some("90d")), ("dedup", Some("last"))])).await.expect("set");
    fixture.change(table, set(&[("retention", None)])).await.expect("taken off");
    let head = fixture.head().await;
    let same =
        fixture.change(table, set(&[("retention", None), ("dedup", Some("last"))])).await.expect("no change");
    assert_eq!(same.txn, head);
    let def = fixture.by_id(table).await;
    assert_eq!(def.properties.get("dedup").map(String::as_str), Some("last"));
    assert_eq!(def.properties.get("retention"), None);
    assert_eq!(def.schema.no, 1);
}

pub(crate) async fn a_commit_that_expects_another_object_is_refused_whole(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let seen = fixture.by_id(table).await;
    let expect = || {
        ObjectChange::Expect(Box::new(Expected::Table {
            schema: "default".into(),
            name: "cpu".into(),
            begin: seen.begin_txn,
        }))
    };
    let rename = |name: &str| ObjectChange::RenameTable { table, schema: None, name: name.into() };
    fixture.append(table, 3).await;
    let changes = vec![expect(), rename("cpus"), rename("cpu")];
    fixture
        .catalog
        .apply(Commit { objects: changes, ..fixture.commit() })
        .await
        .expect("rows do not change what it is");
    assert_ne!(fixture.by_id(table).await.begin_txn, seen.begin_txn);
    let changes = vec![create_schema("app"), expect(), rename("cpus")];
    let refused = fixture.catalog.apply(Commit { objects: changes, ..fixture.commit() }).await;
    assert!(matches!(refused, Err(Error::Changed(_))), "{refused:?}");
    assert!(fixture.catalog.schema_id(&fixture.scope, "app").await.expect("read").is_none(), "nothing of it");
    let names = fixture.catalog.names(&fixture.scope, fixture.head().await).await.expect("names");
    let schema = names.schema("default").expect("there").0.clone();
    let expect = || ObjectChange::Expect(Box::new(Expected::Schema(schema.clone())));
    let options = |value: &str| ObjectChange::SetSchemaOptions {
        name: "default".into(),
        options: [("retention".to_owned(), Some(value.to_owned()))].into(),
    };
    let change = |value| Commit { objects: vec![expect(), options(value)], ..fixture.commit() };
    fixture.catalog.apply(change("90d")).await.expect("as it was seen");
    assert!(matches!(fixture.catalog.apply(change("30d")).await, Err(Error::Changed(_))));
    let head = fixture.head().await;
    let nothing = fixture.change_object(ObjectChange::Expect(Box::new(Expected::Schema(schema)))).await;
    assert!(nothing.is_err() && fixture.head().await == head);
}
