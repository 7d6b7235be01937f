//! Changes that were planned on the same snapshot: which go together, and what a rerun is told.

use std::collections::BTreeSet;

use cenote_catalog::{
    Alter, Clash, ColumnRange, Commit, Committed, Error, Op, ReadSet, Region, RetireKind, RowChange,
    TableChange, Zone,
};
use cenote_datafile::Value;
use cenote_vocab::{FieldId, FieldType, FileId, TableId, Txn};

use crate::files::rewrite;
use crate::fixture::{Fixture, statistics};

pub(crate) fn take(file: FileId, positions: impl IntoIterator<Item = u64>, kind: RowChange) -> Op {
    Op::DeleteRows { file, seen: None, positions: positions.into_iter().collect(), kind }
}

fn clash(outcome: Result<Committed, Error>) -> (Clash, Vec<FileId>) {
    match outcome {
        Err(Error::CommitConflict { clash, files, .. }) => (clash, files),
        other => panic!("no conflict: {other:?}"),
    }
}

/// An UPDATE: rows of a file leave it and come again in another.
fn update(fixture: &Fixture, file: FileId, positions: std::ops::Range<u64>) -> Vec<Op> {
    let rows = positions.end - positions.start;
    vec![take(file, positions, RowChange::Update), Op::Append { files: vec![fixture.file(rows)] }]
}

pub(crate) async fn updates_of_other_rows_go_together_and_of_the_same_do_not(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    fixture.change_at(table, base, update(&fixture, file, 0..2)).await.expect("the first");
    fixture.change_at(table, base, update(&fixture, file, 2..4)).await.expect("other rows");
    let same = fixture.change_at(table, base, update(&fixture, file, 3..5)).await;
    assert_eq!(clash(same), (Clash::RowsUpdated, vec![file]));
    let delete = |rows| vec![take(file, rows, RowChange::Delete)];
    assert_eq!(clash(fixture.change_at(table, base, delete(1..6)).await), (Clash::RowsUpdated, vec![file]));
    let done = fixture.change_at(table, base, delete(5..7)).await.expect("rows that nobody touched");
    assert_eq!(done.deleted_rows, 2);
    let deleted = fixture.change_at(table, base, update(&fixture, file, 6..8)).await;
    assert_eq!(clash(deleted), (Clash::RowsDeleted, vec![file]));
    assert_eq!(fixture.live_rows(table).await, 8);
    let retire = Op::Retire { files: vec![file], kind: RetireKind::Delete };
    assert_eq!(clash(fixture.change_at(table, base, vec![retire]).await).0, Clash::RowsUpdated);
    let expire = Op::Retire { files: vec![file], kind: RetireKind::Expire };
    fixture.change_at(table, base, vec![expire]).await.expect("too old is too old");
    assert_eq!(clash(fixture.change_at(table, base, update(&fixture, file, 8..9)).await).0, Clash::Retired);
    fixture.change_at(table, base, delete(8..9)).await.expect("gone is gone");
}

pub(crate) async fn a_rewrite_planned_before_row_lineage_was_turned_on_is_discarded(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    let on = [("row_lineage".to_owned(), Some("on".to_owned()))].into();
    fixture.change(table, vec![Op::Alter(Alter::SetProperties(on))]).await.expect("turned on");
    let stale = rewrite(&[(file, None)], vec![fixture.file(10)]);
    assert_eq!(fixture.change_at(table, base, vec![stale]).await.expect("no error").discarded, [table]);
    assert_eq!(fixture.files(table).await[0].id, file);
    let mut output = fixture.file(10);
    output.row_ids_stored = true;
    let fresh = rewrite(&[(file, None)], vec![output]);
    assert_eq!(fixture.change(table, vec![fresh]).await.expect("applied").discarded, []);
    assert!(fixture.files(table).await[0].file.row_ids_stored);
}

pub(crate) async fn concurrent_updates_of_one_row_have_one_winner(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    let all = (0..8).map(|_| fixture.change_at(table, base, update(&fixture, file, 4..5)));
    let outcomes = futures::future::join_all(all).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(fixture.live_rows(table).await, 10);
}

pub(crate) async fn a_file_that_an_update_emptied_is_planned_again(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 3).await;
    let base = fixture.head().await;
    fixture.change_at(table, base, update(&fixture, file, 0..3)).await.expect("all rows");
    let delete = vec![take(file, 0..1, RowChange::Delete)];
    assert_eq!(clash(fixture.change_at(table, base, delete).await).0, Clash::Replaced);
    let retire = Op::Retire { files: vec![file], kind: RetireKind::Delete };
    assert_eq!(clash(fixture.change_at(table, base, vec![retire]).await).0, Clash::Replaced);
    assert_eq!(fixture.live_rows(table).await, 3);
}

/// Rows whose `value` lies in a range.
pub(crate) fn values(min: i128, max: i128) -> Region {
    let range = ColumnRange {
        field: FieldId(3),
        field_type: FieldType::Int64,
        min: Some(Value::Integer(min)),
        max: Some(Value::Integer(max)),
    };
    Region(vec![Zone { columns: vec![range], partitions: BTreeSet::new() }])
}

async fn append_values(fixture: &Fixture, table: TableId, min: i128, max: i128) -> Txn {
    let mut file = fixture.file(5);
    file.statistics = statistics(5, min, max);
    fixture.change(table, vec![Op::Append { files: vec![file] }]).await.expect("appended").txn
}

pub(crate) async fn a_region_that_was_read_conflicts_with_rows_that_came_into_it(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let base = fixture.head().await;
    let upsert = |region| {
        let mut file = fixture.file(1);
        file.statistics = statistics(1, 5, 5);
        let ops = vec![Op::Append { files: vec![file] }];
        let change = TableChange { table, base, read: ReadSet::Rows(region), ops };
        fixture.catalog.apply(Commit { tables: vec![change], ..fixture.commit() })
    };
    append_values(&fixture, table, 100, 200).await;
    upsert(values(5, 5)).await.expect("nothing came near");
    let (what, files) = clash(upsert(values(5, 5)).await);
    assert_eq!((what, files.len()), (Clash::Appended, 1), "the first upsert brought the key");
    assert_eq!(clash(upsert(values(150, 160)).await).0, Clash::Appended);
    upsert(values(300, 400)).await.expect("nothing came there");
    // Rows that came stay where they came, whatever becomes of their file.
    let file = fixture.files(table).await[0].id;
    fixture.change(table, vec![rewrite(&[(file, None)], vec![fixture.file(5)])]).await.expect("rewritten");
    assert_eq!(clash(upsert(values(150, 160)).await).0, Clash::Appended);
}

pub(crate) async fn two_upserts_of_one_new_key_insert_it_once(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    for key in 0..20 {
        let base = fixture.head().await;
        let upsert = || {
            let mut file = fixture.file(1);
            file.statistics = statistics(1, key, key);
            let ops = vec![Op::Append { files: vec![file] }];
            let change = TableChange { table, base, read: ReadSet::Rows(values(key, key)), ops };
            fixture.catalog.apply(Commit { tables: vec![change], ..fixture.commit() })
        };
        let outcomes = futures::future::join_all((0..4).map(|_| upsert())).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "key {key}");
    }
    assert_eq!(fixture.live_rows(table).await, 20);
}

pub(crate) async fn files_that_were_read_conflict_with_changes_of_their_rows_only(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (a, b) = (fixture.append(table, 10).await, fixture.append(table, 10).await);
    let base = fixture.head().await;
    let change = |read: &[FileId]| {
        let read = ReadSet::Files(read.iter().copied().collect());
        let ops = vec![Op::Append { files: vec![fixture.file(1)] }];
        let change = TableChange { table, base, read, ops };
        fixture.catalog.apply(Commit { tables: vec![change], ..fixture.commit() })
    };
    fixture.change(table, vec![take(b, 0..1, RowChange::Delete)]).await.expect("deleted");
    change(&[a]).await.expect("the other file changed");
    assert_eq!(clash(change(&[a, b]).await), (Clash::RowsDeleted, vec![b]));
    fixture.change(table, vec![rewrite(&[(a, None)], vec![fixture.file(10)])]).await.expect("rewritten");
    change(&[a]).await.expect("the same rows");
}

pub(crate) async fn a_replacement_stands_for_its_region_as_it_was(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let old = fixture.append(table, 10).await;
    let base = fixture.head().await;
    let replace = |base, file, region| {
        let op = Op::Replace { filter: region, retire: vec![file], append: vec![fixture.file(3)] };
        fixture.change_at(table, base, vec![op])
    };
    append_values(&fixture, table, 500, 600).await;
    let done = replace(base, old, values(0, 100)).await.expect("what came lies outside");
    assert_eq!((done.deleted_rows, fixture.live_rows(table).await), (10, 8));
    let late = fixture.change_at(table, base, vec![take(old, 0..1, RowChange::Delete)]).await;
    assert_eq!(clash(late).0, Clash::Replaced);
    let base = fixture.head().await;
    let file = fixture.files(table).await[1].id;
    append_values(&fixture, table, 50, 60).await;
    assert_eq!(clash(replace(base, file, values(0, 100)).await).0, Clash::Appended);
    assert_eq!(clash(replace(base, file, Region::all()).await).0, Clash::Appended);
    let base = fixture.head().await;
    fixture.change(table, vec![take(file, 0..1, RowChange::Delete)]).await.expect("deleted");
    assert_eq!(clash(replace(base, file, values(0, 100)).await).0, Clash::RowsDeleted);
}
