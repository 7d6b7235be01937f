//! What changed a table's rows is told by transaction, without compactions, as long as it is kept.

use std::sync::Arc;

use cenote_catalog::{
    Commit, Error, FileChange, Op, ReadSet, RetireKind, RewriteInput, RowChange, TableChange,
};
use cenote_datafile::DeletionVector;
use cenote_vocab::{Fault, FileId, LIVE, Txn};

use crate::fixture::Fixture;

/// What happened to one file: `+rows`, `-rows`, or `expired`.
fn told(change: &FileChange, rows: u64) -> String {
    let gone =
        |vector: &Option<Arc<DeletionVector>>| vector.as_ref().map_or(0, |vector| vector.cardinality());
    match change {
        FileChange::Added { except } => format!("+{}", rows - gone(except)),
        FileChange::RowsDeleted { now, before } => format!("-{}", now.cardinality() - gone(before)),
        FileChange::Retired { before, expired: false } => format!("-{}", rows - gone(before)),
        FileChange::Retired { .. } => "expired".into(),
    }
}

async fn changes(
    fixture: &Fixture,
    table: cenote_vocab::TableId,
    after: Txn,
) -> Result<Vec<(Txn, Vec<String>)>, Error> {
    let def = fixture.by_id(table).await;
    let to = fixture.head().await;
    let found = fixture.catalog.changes(&fixture.scope, &def, after, to).await?;
    assert_eq!(found.reached, to);
    let told = found.deltas.iter().map(|delta| {
        let files = delta.files.iter().map(|file| told(&file.change, file.file.file.rows));
        (delta.txn, files.collect())
    });
    Ok(told.collect())
}

fn delete(file: FileId, positions: std::ops::Range<u64>) -> Op {
    Op::DeleteRows { file, seen: None, positions: positions.collect(), kind: RowChange::Delete }
}

pub(crate) async fn changes_are_told_by_transaction(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let start = fixture.head().await;
    let first = fixture.append(table, 10).await;
    let appended = fixture.head().await;
    let one = fixture.change(table, vec![delete(first, 0..3)]).await.expect("deleted").txn;
    let two = fixture.change(table, vec![delete(first, 2..5)]).await.expect("deleted").txn;
    let second = fixture.append(table, 4).await;
    let more = fixture.head().await;
    let rewrite = Op::Rewrite {
        inputs: vec![
            RewriteInput { file: first, seen: Some(two) },
            RewriteInput { file: second, seen: None },
        ],
        outputs: vec![fixture.file(9)],
    };
    fixture.change(table, vec![rewrite]).await.expect("rewritten");
    let def = fixture.by_id(table).await;
    let files = fixture.catalog.files(&fixture.scope, &def, fixture.head().await, None).await.expect("files");
    let merged = files.iter().find(|file| file.end_txn == LIVE).expect("one file").id;
    let three = fixture.change(table, vec![delete(merged, 0..1)]).await.expect("deleted").txn;
    let retire = Op::Retire { files: vec![merged], kind: RetireKind::Delete };
    let gone = fixture.change(table, vec![retire]).await.expect("retired").txn;
    let last = fixture.append(table, 2).await;
    let again = fixture.head().await;
    let expire = Op::Retire { files: vec![last], kind: RetireKind::Expire };
    let expired = fixture.change(table, vec![expire]).await.expect("expired").txn;

    let line = |txn: Txn, told: &str| (txn, vec![told.to_owned()]);
    let all = [
        line(appended, "+10"),
        line(one, "-3"),
        line(two, "-2"),
        line(more, "+4"),
        line(three, "-1"),
        line(gone, "-8"),
        line(again, "+2"),
        line(expired, "expired"),
    ];
    assert_eq!(changes(&fixture, table, start).await.expect("kept"), all);
    assert_eq!(changes(&fixture, table, two).await.expect("kept"), all[3..]);
    assert_eq!(changes(&fixture, table, expired).await.expect("kept"), []);

    let commits =
        fixture.catalog.table_commits(&fixture.scope, &def, (start, expired), 100).await.expect("kept");
    assert_eq!(commits.iter().filter(|commit| commit.data_change).count(), all.len());
    assert_eq!(commits.len(), all.len() + 1, "and the rewrite");
    assert!(commits.is_sorted_by_key(|commit| (commit.txn, commit.committed)));
}

pub(crate) async fn changes_below_the_floor_are_refused_with_it(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let start = fixture.head().await;
    fixture.append(table, 10).await;
    let floor = fixture.head().await;
    fixture.append(table, 5).await;
    fixture.catalog.purge(&fixture.scope, Some(table), floor, fixture.clock.now()).await.expect("purged");
    assert_eq!(changes(&fixture, table, floor).await.expect("kept").len(), 1);
    let error = changes(&fixture, table, start).await.expect_err("gone");
    assert!(matches!(error, Error::ChangesExpired { floor: found, .. } if found == floor), "{error}");
    assert_eq!(error.sqlstate().0, "22023");
    let def = fixture.by_id(table).await;
    let future = fixture.catalog.changes(&fixture.scope, &def, start, Txn(1_000)).await;
    assert!(matches!(future, Err(Error::SnapshotFuture { .. })));
}

pub(crate) async fn a_commit_is_found_by_its_id(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let ops = vec![Op::Append { files: vec![fixture.file(3)] }];
    let base = fixture.head().await;
    let change = TableChange { table, base, read: ReadSet::None, ops };
    let commit = Commit { tables: vec![change], ..fixture.commit() };
    let id = commit.commit_id;
    assert_eq!(fixture.catalog.transaction_of(&fixture.scope, id).await.expect("read"), None);
    let committed = fixture.catalog.apply(commit).await.expect("committed");
    let found = fixture.catalog.transaction_of(&fixture.scope, id).await.expect("read").expect("known");
    assert_eq!(found.txn, committed.txn);
    let other = fixture.catalog.create_tenant("other").await.expect("a tenant");
    assert_eq!(fixture.catalog.transaction_of(&other, id).await.expect("read"), None);
}
