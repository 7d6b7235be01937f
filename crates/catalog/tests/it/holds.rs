//! Tags, holds, and what comes back: UNDROP, RESTORE.

use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{
    Commit, Committed, DataFile, Error, Hold, NewTag, ObjectChange, Op, ReadSet, RowChange, TableChange,
};
use cenote_vocab::{ErrorKind, Fault, Micros, TableId, Txn};

use crate::conflicts::take;
use crate::fixture::{Fixture, producer};

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: Micros = Micros(0);

fn tag(table: Option<TableId>, name: &str, at: Option<Txn>) -> NewTag {
    NewTag { table, name: name.into(), at, retain: None, or_replace: false, holder: "test".into() }
}

async fn files_at(fixture: &Fixture, table: TableId, at: Txn) -> Result<Vec<Arc<DataFile>>, Error> {
    let def = fixture.by_id(table).await;
    fixture.catalog.files(&fixture.scope, &def, at, None).await
}

async fn rows_at(fixture: &Fixture, table: TableId, at: Txn) -> Result<u64, Error> {
    Ok(files_at(fixture, table, at).await?.iter().map(|file| file.live_rows()).sum())
}

/// Raises floors to the head.
async fn purge(fixture: &Fixture) -> usize {
    let head = fixture.head().await;
    fixture.catalog.purge(&fixture.scope, None, head, NOW).await.expect("purged").len()
}

async fn replace_all(fixture: &Fixture, table: TableId, rows: u64) -> Txn {
    let files = fixture.files(table).await.iter().map(|file| file.id).collect();
    let filter = cenote_catalog::Region::all();
    let op = Op::Replace { filter, retire: files, append: vec![fixture.file(rows)] };
    fixture.change(table, vec![op]).await.expect("replaced").txn
}

pub(crate) async fn a_tag_keeps_its_version_and_no_other(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    fixture.append(table, 1).await;
    let one = fixture.head().await;
    let two = replace_all(&fixture, table, 20).await;
    let vectored = fixture.files(table).await[0].id;
    let three = fixture.change(table, vec![take(vectored, 0..5, RowChange::Delete)]).await.expect("less").txn;
    replace_all(&fixture, table, 4).await;
    let catalog = &fixture.catalog;
    let made = catalog.create_tag(&fixture.scope, tag(Some(table), "release", Some(three))).await;
    assert_eq!(made.expect("made"), three);
    assert_eq!(purge(&fixture).await, 1, "the file of version one");
    let cutoffs = [(table, fixture.head().await)];
    assert_eq!(
        catalog.collectable(&fixture.scope, &cutoffs).await.expect("asked"),
        [],
        "the tag keeps the rest"
    );
    assert_eq!(rows_at(&fixture, table, three).await.expect("tagged"), 15);
    for expired in [one, two] {
        let gone = rows_at(&fixture, table, expired).await;
        assert!(matches!(gone, Err(Error::SnapshotExpired(_))), "{expired}: {gone:?}");
    }
    let again = catalog.create_tag(&fixture.scope, tag(Some(table), "release", None)).await;
    assert!(matches!(again, Err(Error::TagExists(_))), "{again:?}");
    let early = catalog.create_tag(&fixture.scope, tag(Some(table), "early", Some(one))).await;
    assert!(matches!(early, Err(Error::SnapshotExpired(_))), "{early:?}");
    let late = catalog.create_tag(&fixture.scope, tag(None, "late", Some(Txn(1_000)))).await;
    assert!(matches!(late, Err(Error::SnapshotFuture { .. })), "{late:?}");
    assert_eq!(catalog.tagged(&fixture.scope, Some(table), "release").await.expect("named"), three);
    catalog.drop_tag(&fixture.scope, Some(table), "release").await.expect("dropped");
    let unknown = catalog.tagged(&fixture.scope, Some(table), "release").await;
    assert!(matches!(unknown, Err(Error::TagNotFound(_))), "{unknown:?}");
    assert_eq!(purge(&fixture).await, 1);
    rows_at(&fixture, table, three).await.expect_err("nothing keeps it any more");
    assert_eq!(fixture.live_rows(table).await, 4);
}

pub(crate) async fn a_tag_of_the_catalog_keeps_all_tables_until_it_expires(fixture: Fixture) {
    let (a, b) = (fixture.create("a").await, fixture.create("b").await);
    fixture.append(a, 1).await;
    fixture.append(b, 2).await;
    let at = fixture.head().await;
    let new = NewTag { retain: Some(90 * DAY), ..tag(None, "audit", None) };
    fixture.catalog.create_tag(&fixture.scope, new).await.expect("made");
    replace_all(&fixture, a, 10).await;
    replace_all(&fixture, b, 10).await;
    let drop =
        ObjectChange::DropTable { schema: "default".into(), name: "b".into(), if_exists: false, view: false };
    let def = fixture.by_id(b).await;
    fixture.change_object(drop).await.expect("dropped");
    assert_eq!(purge(&fixture).await, 0, "both are needed, also of the dropped table");
    assert_eq!(rows_at(&fixture, a, at).await.expect("tagged"), 1);
    let files = fixture.catalog.files(&fixture.scope, &def, at, None).await.expect("tagged");
    assert_eq!(files.iter().map(|file| file.live_rows()).sum::<u64>(), 2);
    fixture.clock.advance(91 * DAY);
    assert_eq!(fixture.catalog.holds(&fixture.scope).await.expect("read"), []);
    assert!(purge(&fixture).await >= 3);
    rows_at(&fixture, a, at).await.expect_err("the tag has expired");
}

pub(crate) async fn a_hold_keeps_what_follows_for_a_week_at_most(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    fixture.append(table, 1).await;
    let one = fixture.head().await;
    let two = replace_all(&fixture, table, 2).await;
    let three = replace_all(&fixture, table, 3).await;
    let catalog = &fixture.catalog;
    let held: Hold = catalog.hold(&fixture.scope, Some(table), two, "reader", DAY).await.expect("held");
    assert_eq!(purge(&fixture).await, 1);
    rows_at(&fixture, table, one).await.expect_err("before the hold");
    assert_eq!(rows_at(&fixture, table, two).await.expect("held"), 2);
    let stale = fixture.catalog.hold(&fixture.scope, Some(table), one, "late", DAY).await;
    assert!(matches!(stale, Err(Error::SnapshotExpired(_))), "{stale:?}");
    let back = catalog.renew_hold(&fixture.scope, held.id, Some(one), DAY).await;
    assert_eq!(back.expect_err("never back").kind(), ErrorKind::Invalid);
    catalog.renew_hold(&fixture.scope, held.id, Some(three), 7 * DAY).await.expect("forward");
    assert_eq!(purge(&fixture).await, 1);
    for _ in 0..2 {
        fixture.clock.advance(6 * DAY);
        catalog.renew_hold(&fixture.scope, held.id, None, 7 * DAY).await.expect("renewed");
    }
    replace_all(&fixture, table, 4).await;
    fixture.clock.advance(Duration::from_secs(1));
    purge(&fixture).await;
    rows_at(&fixture, table, three).await.expect("the newest version of a week ago is still this one");
    fixture.clock.advance(6 * DAY);
    catalog.renew_hold(&fixture.scope, held.id, None, 7 * DAY).await.expect("renewed");
    fixture.clock.advance(2 * DAY);
    purge(&fixture).await;
    rows_at(&fixture, table, three).await.expect_err("a hold counts for a week");
    catalog.release_hold(&fixture.scope, held.id).await.expect("released");
    let gone = catalog.renew_hold(&fixture.scope, held.id, None, DAY).await;
    assert!(matches!(gone, Err(Error::HoldNotFound(_))), "{gone:?}");
}

async fn undrop(fixture: &Fixture) -> Result<Committed, Error> {
    fixture.change_object(ObjectChange::UndropTable { schema: "default".into(), name: "cpu".into() }).await
}

pub(crate) async fn a_dropped_table_comes_back_as_it_was(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    fixture.change(table, vec![take(file, 0..3, RowChange::Delete)]).await.expect("deleted");
    let before = fixture.by_id(table).await;
    let taken = undrop(&fixture).await;
    assert!(matches!(taken, Err(Error::TableExists(_))), "{taken:?}");
    let drop = || ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    fixture.change_object(drop()).await.expect("dropped");
    let back = undrop(&fixture).await.expect("undropped");
    assert_eq!(back.created_tables, [table]);
    let fixture = fixture.restart().await;
    let after = fixture.by_id(table).await;
    assert_eq!(cenote_catalog::TableDef { begin_txn: before.begin_txn, ..(*after).clone() }, *before);
    assert_eq!(fixture.live_rows(table).await, 7);
    fixture.append(table, 5).await;
    assert_eq!(fixture.live_rows(table).await, 12);
    fixture.change_object(drop()).await.expect("dropped");
    purge(&fixture).await;
    let gone = undrop(&fixture).await;
    assert!(matches!(gone, Err(Error::TableNotFound { .. })), "{gone:?}");
}

/// As `table` plans it: what differs goes, what was comes back.
async fn restore(fixture: &Fixture, table: TableId, to: Txn, base: Txn) -> Result<Committed, Error> {
    let (now, then) = (files_at(fixture, table, base).await?, files_at(fixture, table, to).await?);
    let key = |file: &Arc<DataFile>| (file.id, file.vector.as_ref().map(|visible| visible.begin_txn));
    let (now_keys, then_keys): (Vec<_>, Vec<_>) =
        (now.iter().map(key).collect(), then.iter().map(key).collect());
    let retire = now_keys.iter().filter(|key| !then_keys.contains(key)).map(|key| key.0).collect();
    let files = then.iter().filter(|file| !now_keys.contains(&key(file))).cloned().collect();
    let ops = vec![Op::Restore { to, retire, files }];
    let change = TableChange { table, base, read: ReadSet::All, ops };
    fixture.catalog.apply(Commit { tables: vec![change], ..fixture.commit() }).await
}

pub(crate) async fn a_table_is_put_back_to_a_version_with_its_row_ids(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (kept, changed) = (fixture.append(table, 10).await, fixture.append(table, 20).await);
    fixture.change(table, vec![take(changed, 0..5, RowChange::Delete)]).await.expect("deleted");
    let then = fixture.head().await;
    let old = files_at(&fixture, table, then).await.expect("files");
    fixture.change(table, vec![take(changed, 5..10, RowChange::Delete)]).await.expect("deleted");
    fixture.append(table, 40).await;
    let base = fixture.head().await;
    restore(&fixture, table, then, base).await.expect("restored");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.live_rows(table).await, 25);
    let now = fixture.files(table).await;
    assert_eq!(now.len(), 2);
    assert_eq!(now[0].id, kept, "what had not changed stays");
    let (was, is) = (&old[1], &now[1]);
    assert_eq!((is.row_id_start, &is.file.path), (was.row_id_start, &was.file.path));
    let late = restore(&fixture, table, then, base).await;
    assert!(matches!(late, Err(Error::CommitConflict { .. })), "{late:?}");
    // The object has two rows by now: that of the ended one goes, the object stays referenced.
    purge(&fixture).await;
    let path = format!("{}/{}", fixture.by_id(table).await.location, is.file.path);
    assert!(fixture.catalog.is_referenced(&fixture.scope, &path).await.expect("read"));
    assert_eq!(fixture.live_rows(table).await, 25);
}

pub(crate) async fn a_dropped_producer_begins_anew(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let offer = |epoch| {
        let ops = vec![Op::Append { files: vec![fixture.file(1)] }];
        let change = TableChange { table, base: Txn(0), read: ReadSet::None, ops };
        let producers = vec![producer("client/a/job", epoch, None, None)];
        fixture.catalog.apply(Commit { producers, tables: vec![change], ..fixture.commit() })
    };
    offer(7).await.expect("first");
    assert!(offer(7).await.expect("again").replayed);
    assert!(fixture.catalog.drop_producer(&fixture.scope, "client/a/job").await.expect("dropped"));
    assert!(!fixture.catalog.drop_producer(&fixture.scope, "client/a/job").await.expect("gone"));
    assert!(!offer(1).await.expect("anew").replayed);
    let log = fixture.catalog.drop_producer(&fixture.scope, "log/node-1/5").await;
    assert_eq!(log.expect_err("needed").kind(), ErrorKind::Invalid);
}
