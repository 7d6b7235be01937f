//! Time travel, restarts, and several handles on one database.

use std::time::Duration;

use cenote_catalog::{Alter, Error, ObjectChange, Op, RetireKind, RowChange};
use cenote_vocab::{FieldType, Micros, Txn};
use tokio::time::timeout;

use crate::fixture::{Fixture, PATIENCE};

pub(crate) async fn every_version_shows_the_files_of_its_time(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let mut wanted = vec![(fixture.head().await, 0)];
    let first = fixture.append(table, 10).await;
    wanted.push((fixture.head().await, 10));
    let delete = |positions: std::ops::Range<u64>| Op::DeleteRows {
        file: first,
        seen: None,
        positions: positions.collect(),
        kind: RowChange::Delete,
    };
    fixture.change(table, vec![delete(0..3)]).await.expect("deleted");
    wanted.push((fixture.head().await, 7));
    fixture.append(table, 5).await;
    wanted.push((fixture.head().await, 12));
    fixture.change(table, vec![delete(3..5)]).await.expect("deleted");
    wanted.push((fixture.head().await, 10));
    let retire = Op::Retire { files: vec![first], kind: RetireKind::Delete };
    fixture.change(table, vec![retire]).await.expect("retired");
    wanted.push((fixture.head().await, 5));

    let def = fixture.by_id(table).await;
    let mut handles = vec![fixture.catalog.clone()];
    if fixture.durable {
        handles.push(fixture.other("cold").await);
    }
    for catalog in &handles {
        for (at, rows) in &wanted {
            let files = catalog.files(&fixture.scope, &def, *at, None).await.expect("readable");
            assert_eq!(files.iter().map(|file| file.live_rows()).sum::<u64>(), *rows, "at {at}");
            assert!(files.iter().all(|file| file.begin_txn <= *at && *at < file.end_txn));
        }
        let future = catalog.files(&fixture.scope, &def, Txn(1_000), None).await;
        assert!(matches!(future, Err(Error::SnapshotFuture { .. })));
    }
}

pub(crate) async fn names_follow_time(fixture: Fixture) {
    let start = fixture.head().await;
    let table = fixture.create("cpu").await;
    let created = fixture.head().await;
    let add = Alter::AddColumns {
        columns: vec![("load".into(), FieldType::Double)],
        tags: vec![],
        if_not_exists: true,
    };
    fixture.change(table, vec![Op::Alter(add)]).await.expect("added");
    let altered = fixture.head().await;
    fixture
        .change_object(ObjectChange::RenameTable { table, schema: None, name: "cpus".into() })
        .await
        .expect("renamed");
    let renamed = fixture.head().await;
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpus".into(),
        if_exists: false,
        view: false,
    };
    fixture.change_object(drop).await.expect("dropped");
    let dropped = fixture.head().await;
    for (at, name, columns) in [(created, "cpu", 3), (altered, "cpu", 4), (renamed, "cpus", 4)] {
        let names = fixture.catalog.names(&fixture.scope, at).await.expect("names");
        let listed: Vec<_> = names.tables().map(|def| (def.name.clone(), def.schema.fields.len())).collect();
        assert_eq!(listed, [(name.to_owned(), columns)], "at {at}");
    }
    for at in [start, dropped] {
        assert_eq!(fixture.catalog.names(&fixture.scope, at).await.expect("names").tables().count(), 0);
    }
    assert!(fixture.catalog.names(&fixture.scope, Txn(dropped.0 + 1)).await.is_err());
}

pub(crate) async fn a_time_names_the_last_version_not_after_it(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let head = fixture.catalog.head(&fixture.scope).await.expect("head");
    fixture.clock.advance(Duration::from_secs(60));
    fixture.append(table, 1).await;
    let at = |micros: i64| fixture.catalog.txn_at(&fixture.scope, Micros(micros));
    assert_eq!(at(head.committed.0).await.expect("then"), head.txn);
    assert_eq!(at(head.committed.0 + 59_000_000).await.expect("still"), head.txn);
    assert_eq!(at(head.committed.0 + 61_000_000).await.expect("later"), Txn(head.txn.0 + 1));
    assert!(matches!(at(1).await, Err(Error::SnapshotExpired(_))));
}

pub(crate) async fn times_increase_though_the_clock_goes_back(mut fixture: Fixture) {
    let hour = Duration::from_secs(3600);
    let table = fixture.create("cpu").await;
    let mut heads = vec![fixture.catalog.head(&fixture.scope).await.expect("head")];
    for back in [Duration::ZERO, hour, hour, Duration::ZERO] {
        fixture.clock.turn_back(back);
        fixture.append(table, 1).await;
        heads.push(fixture.catalog.head(&fixture.scope).await.expect("head"));
        // What remembers the last time may be gone as well.
        fixture = fixture.restart().await;
        fixture.append(table, 1).await;
        heads.push(fixture.catalog.head(&fixture.scope).await.expect("head"));
    }
    for pair in heads.windows(2) {
        assert!(pair[0].committed < pair[1].committed && pair[0].txn < pair[1].txn, "{pair:?}");
    }
    for (n, head) in heads.iter().enumerate() {
        assert_eq!(fixture.catalog.txn_at(&fixture.scope, head.committed).await.expect("then"), head.txn);
        let def = fixture.by_id(table).await;
        let files = fixture.catalog.files(&fixture.scope, &def, head.txn, None).await.expect("kept");
        assert_eq!(files.len(), n);
    }
}

pub(crate) async fn a_restart_keeps_everything(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let delete =
        Op::DeleteRows { file, seen: None, positions: [4].into_iter().collect(), kind: RowChange::Delete };
    fixture.change(table, vec![delete]).await.expect("deleted");
    let (head, def) = (fixture.catalog.head(&fixture.scope).await.expect("head"), fixture.by_id(table).await);
    let files = format!("{:?}", fixture.files(table).await);
    let fixture = fixture.restart().await;
    assert_eq!(fixture.catalog.head(&fixture.scope).await.expect("head"), head);
    assert_eq!(fixture.by_id(table).await, def);
    assert_eq!(format!("{:?}", fixture.files(table).await), files);
    fixture.append(table, 1).await;
    assert_eq!(fixture.live_rows(table).await, 10);
}

pub(crate) async fn two_handles_see_each_other(fixture: Fixture) {
    if !fixture.durable {
        return;
    }
    let other = fixture.other("node-2").await;
    let table = fixture.create("cpu").await;
    fixture.append(table, 1).await;
    let def = fixture.by_id(table).await;
    let rows = async |catalog: &cenote_catalog::Catalog| {
        let head = catalog.head(&fixture.scope).await.expect("head").txn;
        let files = catalog.files(&fixture.scope, &def, head, None).await.expect("files");
        files.iter().map(|file| file.live_rows()).sum::<u64>()
    };
    assert_eq!((rows(&fixture.catalog).await, rows(&other).await), (1, 1));
    for n in 2..6 {
        let catalog = if n % 2 == 0 { &other } else { &fixture.catalog };
        let change = cenote_catalog::TableChange {
            table,
            base: Txn(0),
            read: cenote_catalog::ReadSet::None,
            ops: vec![Op::Append { files: vec![fixture.file(1)] }],
        };
        catalog
            .apply(cenote_catalog::Commit { tables: vec![change], ..fixture.commit() })
            .await
            .expect("append");
        assert_eq!((rows(&fixture.catalog).await, rows(&other).await), (n, n));
    }
}

pub(crate) async fn news_wake_who_waits(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let seen = fixture.head().await;
    let waiting = timeout(PATIENCE, fixture.catalog.changed(&fixture.scope, seen));
    let (news, _) = tokio::join!(waiting, fixture.append(table, 1));
    assert_eq!(news.expect("woken"), Txn(seen.0 + 1));
    if fixture.durable {
        let other = fixture.other("node-2").await;
        let waiting = timeout(PATIENCE, other.changed(&fixture.scope, Txn(seen.0 + 1)));
        let (news, _) = tokio::join!(waiting, fixture.append(table, 1));
        assert_eq!(news.expect("asked"), Txn(seen.0 + 2));
    }
}
