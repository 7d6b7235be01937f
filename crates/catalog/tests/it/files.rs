//! Files, their deleted rows, and what becomes of them.

use std::time::Duration;

use cenote_catalog::{Error, NewFile, ObjectChange, Op, RetireKind, RewriteInput, RowChange, TimeWindow};
use cenote_datafile::DeletionVector;
use cenote_vocab::{
    ErrorKind, Fault, FieldId, FileId, Micros, PartitionField, PartitionSpec, PartitionValue, Transform, Txn,
};

use crate::fixture::Fixture;

fn delete(file: FileId, positions: impl IntoIterator<Item = u64>) -> Op {
    Op::DeleteRows {
        file,
        seen: None,
        positions: positions.into_iter().collect::<DeletionVector>(),
        kind: RowChange::Delete,
    }
}

pub(crate) fn rewrite(inputs: &[(FileId, Option<Txn>)], outputs: Vec<NewFile>) -> Op {
    let inputs = inputs.iter().map(|(file, seen)| RewriteInput { file: *file, seen: *seen }).collect();
    Op::Rewrite { inputs, outputs }
}

pub(crate) async fn deletes_of_one_file_are_merged_and_counted_once(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 100).await;
    let base = fixture.head().await;
    let deletes = (0..10_u64).map(|n| fixture.change_at(table, base, vec![delete(file, n * 5..n * 5 + 10)]));
    let outcomes = futures::future::join_all(deletes).await;
    let deleted: u64 = outcomes.iter().map(|outcome| outcome.as_ref().expect("merged").deleted_rows).sum();
    assert_eq!(deleted, 55, "positions 0 to 54, each once");
    let files = fixture.files(table).await;
    let vector = files[0].vector.as_ref().expect("deleted rows");
    assert_eq!(vector.vector.positions().collect::<Vec<_>>(), (0..55).collect::<Vec<u64>>());
    assert_eq!(fixture.live_rows(table).await, 45);
    let again = fixture.change_at(table, base, vec![delete(file, 0..5)]).await.expect("nothing to do");
    assert_eq!((again.txn, again.deleted_rows), (fixture.head().await, 0), "no number is used");
    let beyond = fixture.change(table, vec![delete(file, [100])]).await.expect_err("no such row");
    assert_eq!(beyond.kind(), ErrorKind::Invalid);
    let unknown =
        fixture.change(table, vec![delete(FileId(1_000_000), [0])]).await.expect_err("no such file");
    assert_eq!(unknown.kind(), ErrorKind::Invalid);
}

pub(crate) async fn a_file_whose_rows_are_all_deleted_is_retired(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    fixture.change_at(table, base, vec![delete(file, 0..4)]).await.expect("some");
    let ops = vec![delete(file, 2..7), delete(file, 5..10)];
    let committed = fixture.change_at(table, base, ops).await.expect("the rest, in two steps of one commit");
    assert_eq!(committed.deleted_rows, 6);
    assert_eq!(fixture.files(table).await.len(), 0);
    let late = fixture.change_at(table, base, vec![delete(file, 0..10)]).await.expect("they are gone: fine");
    assert_eq!((late.deleted_rows, late.txn), (0, committed.txn));
    let retire = Op::Retire { files: vec![file], kind: RetireKind::Delete };
    assert_eq!(fixture.change_at(table, base, vec![retire]).await.expect("fine").deleted_rows, 0);
}

pub(crate) async fn a_rewrite_of_changed_inputs_is_discarded(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (a, b) = (fixture.append(table, 10).await, fixture.append(table, 10).await);
    let base = fixture.head().await;
    fixture.change(table, vec![delete(a, [3])]).await.expect("deleted");
    let stale =
        fixture.change_at(table, base, vec![rewrite(&[(a, None), (b, None)], vec![fixture.file(20)])]).await;
    let stale = stale.expect("no error");
    assert_eq!((stale.discarded, stale.txn), (vec![table], fixture.head().await));
    let seen =
        fixture.files(table).await.iter().find(|file| file.id == a).and_then(|file| file.vector.clone());
    let seen = seen.map(|visible| visible.begin_txn);
    let inputs = [(a, seen), (b, None)];
    let fresh = fixture.change(table, vec![rewrite(&inputs, vec![fixture.file(19)])]).await.expect("applied");
    assert_eq!(fresh.discarded, []);
    assert_eq!((fixture.files(table).await.len(), fixture.live_rows(table).await), (1, 19));
    let again =
        fixture.change(table, vec![rewrite(&inputs, vec![fixture.file(19)])]).await.expect("discarded");
    assert_eq!(again.discarded, [table]);
    let beside = vec![rewrite(&[], vec![]), Op::Append { files: vec![fixture.file(1)] }];
    assert_eq!(
        fixture.change(table, beside).await.expect_err("never beside others").kind(),
        ErrorKind::Invalid
    );
}

pub(crate) async fn deletes_after_a_rewrite_must_be_planned_again(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    fixture.change(table, vec![rewrite(&[(file, None)], vec![fixture.file(10)])]).await.expect("rewritten");
    let retire = Op::Retire { files: vec![file], kind: RetireKind::Delete };
    for op in [delete(file, [0]), retire] {
        let late = fixture.change_at(table, base, vec![op]).await;
        assert!(matches!(late, Err(Error::CommitConflict { with_txn, .. }) if with_txn > base), "{late:?}");
    }
    assert_eq!(fixture.live_rows(table).await, 10);
}

pub(crate) async fn expiry_skips_what_is_gone(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (a, b, c) =
        (fixture.append(table, 1).await, fixture.append(table, 2).await, fixture.append(table, 4).await);
    let base = fixture.head().await;
    fixture.change(table, vec![rewrite(&[(a, None)], vec![fixture.file(1)])]).await.expect("rewritten");
    fixture.change(table, vec![delete(b, 0..2)]).await.expect("deleted");
    let expire = Op::Retire { files: vec![a, b, c], kind: RetireKind::Expire };
    let committed = fixture.change_at(table, base, vec![expire.clone()]).await.expect("expired");
    assert_eq!((committed.deleted_rows, fixture.live_rows(table).await), (4, 1));
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    fixture.change_object(drop).await.expect("dropped");
    let late = fixture.change_at(table, base, vec![expire]).await.expect("nothing to do");
    assert_eq!(late.txn, fixture.head().await);
    let late = fixture.change_at(table, base, vec![rewrite(&[(c, None)], vec![fixture.file(4)])]).await;
    assert_eq!(late.expect("discarded").discarded, [table]);
    let late = fixture.change_at(table, base, vec![Op::Append { files: vec![fixture.file(1)] }]).await;
    assert!(matches!(late, Err(Error::TableNotFound { .. })), "{late:?}");
}

pub(crate) async fn a_rewrite_keeps_the_number_of_rows(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let wrong = fixture.change(table, vec![rewrite(&[(file, None)], vec![fixture.file(9)])]).await;
    assert_eq!(wrong.expect_err("a row is lost").kind(), ErrorKind::Invalid);
    let twice =
        fixture.change(table, vec![rewrite(&[(file, None), (file, None)], vec![fixture.file(20)])]).await;
    assert_eq!(twice.expect_err("named twice").kind(), ErrorKind::Invalid);
    assert_eq!(fixture.live_rows(table).await, 10);
}

pub(crate) async fn a_node_that_writes_alone_plans_without_the_database(fixture: Fixture) {
    fixture.catalog.take_active(Duration::from_secs(3600)).await.expect("asked").expect("a lease");
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 100).await;
    fixture.append(table, 10).await;
    let before = fixture.head().await;
    fixture.change(table, vec![delete(file, 0..5)]).await.expect("deleted");
    fixture.append(table, 1).await;
    let (def, head) = (fixture.by_id(table).await, fixture.head().await);
    fixture.catalog.close().await; // from here on every question to the database fails
    fixture.catalog.live_file_ids(&fixture.scope, table).await.expect_err("no database");
    for (at, rows) in [(head, vec![95, 10, 1]), (before, vec![100, 10])] {
        let visible = fixture.catalog.visible_files(&fixture.scope, &def, at, None).await.expect("known");
        assert_eq!(visible.files.iter().map(|file| file.live_rows()).collect::<Vec<_>>(), rows);
        let details =
            fixture.catalog.file_details(&fixture.scope, &def, at, &visible.files).await.expect("known");
        assert_eq!(details.iter().map(|file| file.live_rows()).collect::<Vec<_>>(), rows);
    }
}

pub(crate) async fn windows_leave_out_files_outside_them(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let ranges = [Some((0, 10)), Some((20, 30)), None, Some((5, 25))];
    for range in ranges {
        let file = NewFile { time_range: range, ..fixture.file(1) };
        fixture.change(table, vec![Op::Append { files: vec![file] }]).await.expect("append");
    }
    let middle = fixture.head().await;
    let all = fixture.files(table).await;
    let gone = Op::Retire { files: vec![all[3].id], kind: RetireKind::Delete };
    fixture.change(table, vec![gone]).await.expect("retired");
    let def = fixture.by_id(table).await;
    for (at, window, wanted) in [
        (middle, (11, 19), vec![None, Some((5, 25))]),
        (middle, (0, 4), vec![Some((0, 10)), None]),
        (middle, (10, 20), vec![Some((0, 10)), Some((20, 30)), None, Some((5, 25))]),
        (fixture.head().await, (11, 19), vec![None]),
    ] {
        let window = Some(TimeWindow { from: window.0, to: window.1 });
        let files = fixture.catalog.files(&fixture.scope, &def, at, window).await.expect("files");
        let found: Vec<_> = files.iter().map(|file| file.file.time_range).collect();
        assert_eq!(found, wanted, "{window:?} at {at}");
        let other = fixture.durable.then(|| fixture.other("reader"));
        if let Some(other) = other {
            let cold = other.await.files(&fixture.scope, &def, at, window).await.expect("files");
            assert_eq!(
                cold.iter().map(|file| file.file.time_range).collect::<Vec<_>>(),
                wanted,
                "asked cold"
            );
        }
    }
}

pub(crate) async fn paths_and_tuples_are_checked(fixture: Fixture) {
    let mut new = fixture.new_table("daily").await;
    let day = PartitionField { part_field_id: 1000, source: FieldId(1), transform: Transform::Day };
    new.spec = PartitionSpec { no: 1, fields: vec![day] };
    let table = new.id;
    fixture.change_object(ObjectChange::CreateTable(Box::new(new))).await.expect("created");
    let tuple = |day: Option<i64>| vec![day.map(PartitionValue::from)];
    let good = |day| NewFile { spec_no: 1, partition: tuple(day), ..fixture.file(2) };
    for bad in [
        NewFile { path: "../other/data/x.parquet".into(), ..good(None) },
        NewFile { path: "/etc/passwd".into(), ..good(None) },
        NewFile { path: "s3://elsewhere/x".into(), ..good(None) },
        NewFile { rows: 0, ..good(None) },
        NewFile { schema_no: 2, ..good(None) },
        NewFile { partition: vec![], ..good(None) },
        NewFile { spec_no: 2, ..good(None) },
        NewFile { time_range: Some((2, 1)), ..good(None) },
    ] {
        let path = bad.path.clone();
        let error = fixture.change(table, vec![Op::Append { files: vec![bad] }]).await.expect_err(&path);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let files = vec![good(Some(5)), good(None), good(Some(5)), good(Some(-1))];
    fixture.change(table, vec![Op::Append { files }]).await.expect("append");
    fixture.change(table, vec![Op::Append { files: vec![good(Some(5))] }]).await.expect("append");
    let tuples: Vec<_> = fixture.files(table).await.iter().map(|file| file.file.partition.clone()).collect();
    assert_eq!(tuples, [Some(5), None, Some(5), Some(-1), Some(5)].map(tuple));
    let rows = fixture.catalog.system_rows(&fixture.scope, "storage.partitions").await.expect("rows");
    assert_eq!(rows.num_rows(), 3, "each tuple once");
    assert_eq!(numbers(&rows, "live_files"), [3, 1, 1]);
    assert_eq!(numbers(&rows, "live_rows"), [6, 2, 2]);
}

pub(crate) fn numbers(rows: &arrow::record_batch::RecordBatch, column: &str) -> Vec<i64> {
    use arrow::array::AsArray as _;
    let column = rows.column_by_name(column).expect("the column");
    column.as_primitive::<arrow::datatypes::Int64Type>().iter().map(|value| value.unwrap_or(-1)).collect()
}

pub(crate) async fn purge_queues_what_no_version_needs(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (old, kept) = (fixture.append(table, 10).await, fixture.append(table, 10).await);
    let early = fixture.head().await;
    fixture.change(table, vec![delete(kept, [1])]).await.expect("deleted");
    let retire = Op::Retire { files: vec![old], kind: RetireKind::Delete };
    let floor = fixture.change(table, vec![retire]).await.expect("retired").txn;
    fixture.change(table, vec![delete(kept, [2])]).await.expect("deleted");
    let def = fixture.by_id(table).await;
    let path = |file: &str| format!("{}/{file}", def.location);
    let before = fixture.catalog.files(&fixture.scope, &def, early, None).await.expect("kept so far");
    let old_path = path(&before.iter().find(|file| file.id == old).expect("visible then").file.path);

    let due = Micros(5_000);
    let queued = fixture.catalog.purge(&fixture.scope, Some(table), floor, due).await.expect("purged");
    assert_eq!(queued, [(old_path.clone(), 1_000)]);
    assert!(!fixture.catalog.is_referenced(&fixture.scope, &old_path).await.expect("read"));
    let kept_path = path(&fixture.files(table).await[0].file.path);
    assert!(fixture.catalog.is_referenced(&fixture.scope, &kept_path).await.expect("read"));
    let expired = fixture.catalog.files(&fixture.scope, &def, Txn(floor.0 - 1), None).await;
    assert!(matches!(expired, Err(Error::SnapshotExpired(_))), "{expired:?}");
    let at_floor =
        fixture.catalog.files(&fixture.scope, &def, floor, None).await.expect("the floor is readable");
    assert_eq!(at_floor.iter().map(|file| file.live_rows()).sum::<u64>(), 9);
    assert_eq!(fixture.live_rows(table).await, 8);
    let stale = fixture.change_at(table, early, vec![delete(kept, [5])]).await;
    assert!(matches!(stale, Err(Error::CommitConflict { .. })), "planned below the floor: {stale:?}");

    let lower = fixture.catalog.purge(&fixture.scope, None, early, due).await.expect("a floor never falls");
    assert_eq!(lower, []);
    assert!(fixture.catalog.files(&fixture.scope, &def, early, None).await.is_err());
    assert_eq!(fixture.catalog.trash_due(&fixture.scope, Micros(4_999)).await.expect("not due"), []);
    let listed = fixture.catalog.trash_due(&fixture.scope, due).await.expect("due");
    assert_eq!(listed, [(old_path.clone(), 1_000)]);
    fixture.catalog.trash_gone(&fixture.scope, &[old_path]).await.expect("forgotten");
    assert_eq!(fixture.catalog.trash_due(&fixture.scope, due).await.expect("none"), []);
    fixture.append(table, 3).await;
    assert_eq!(fixture.live_rows(table).await, 11);
}

pub(crate) async fn purge_of_a_dropped_table_leaves_nothing(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let (a, _) = (fixture.append(table, 10).await, fixture.append(table, 10).await);
    fixture.change(table, vec![delete(a, [1])]).await.expect("deleted");
    let def = fixture.by_id(table).await;
    let early = fixture.head().await;
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    let dropped = fixture.change_object(drop).await.expect("dropped").txn;
    let none = fixture.catalog.purge(&fixture.scope, None, early, Micros(0)).await.expect("still readable");
    assert_eq!(none, []);
    assert_eq!(
        fixture.catalog.files(&fixture.scope, &def, early, None).await.expect("before the drop").len(),
        2
    );
    let queued = fixture.catalog.purge(&fixture.scope, None, dropped, Micros(0)).await.expect("purged");
    assert_eq!(queued.len(), 2);
    assert_eq!(fixture.catalog.live_file_ids(&fixture.scope, table).await.expect("none"), []);
    let gone = fixture.catalog.files(&fixture.scope, &def, early, None).await;
    assert!(matches!(gone, Err(Error::SnapshotExpired(_))), "{gone:?}");
    let again = fixture.create("cpu").await;
    fixture.append(again, 1).await;
    assert_eq!(fixture.live_rows(again).await, 1);
}

pub(crate) async fn only_tables_with_something_to_purge_are_collectable(fixture: Fixture) {
    let (busy, quiet) = (fixture.create("busy").await, fixture.create("quiet").await);
    let file = fixture.append(busy, 10).await;
    fixture.append(quiet, 10).await;
    let retire = Op::Retire { files: vec![file], kind: RetireKind::Delete };
    let retired = fixture.change(busy, vec![retire]).await.expect("retired").txn;
    let later = fixture.create("later").await;
    let head = fixture.head().await;
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let cutoffs = |at| [(busy, at), (quiet, at), (later, at)];
    let found = catalog.collectable(scope, &cutoffs(head)).await.expect("asked");
    let floor = found.iter().find(|(table, _)| *table == busy).expect("it has a file to forget").1;
    assert_eq!(floor, retired, "its own newest version, not the head");
    for (table, floor) in found {
        catalog.purge(scope, Some(table), floor, Micros(0)).await.expect("purged");
    }
    assert_eq!(catalog.collectable(scope, &cutoffs(head)).await.expect("asked"), []);
    assert_eq!(fixture.files(quiet).await.len(), 1);

    assert_eq!(catalog.dropped_tables(scope, head).await.expect("asked"), []);
    let drop = ObjectChange::DropTable {
        schema: "default".into(),
        name: "quiet".into(),
        if_exists: false,
        view: false,
    };
    let dropped = fixture.change_object(drop).await.expect("dropped").txn;
    let before = Txn(dropped.0 - 1);
    assert_eq!(catalog.dropped_tables(scope, before).await.expect("asked"), [], "its drop is younger");
    assert_eq!(catalog.dropped_tables(scope, dropped).await.expect("asked"), [quiet]);
    catalog.purge(scope, Some(quiet), dropped, Micros(0)).await.expect("purged");
    assert_eq!(catalog.dropped_tables(scope, dropped).await.expect("asked"), []);
}

pub(crate) async fn a_damaged_vector_is_an_error_that_names_its_file(mut fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let early = fixture.append(table, 10).await;
    let late = NewFile { time_range: Some((20_000, 30_000)), ..fixture.file(1_000) };
    fixture.change(table, vec![Op::Append { files: vec![late] }]).await.expect("append");
    let late = fixture.files(table).await.iter().find(|file| file.id != early).expect("the other").id;
    fixture.change(table, vec![delete(early, 0..3), delete(late, 500..900)]).await.expect("deleted");
    let cut = format!(
        "UPDATE cn_dv SET payload = substr(payload, 1, length(payload) - 1) WHERE file_id = {}",
        early.0
    );
    let anothers = format!(
        "UPDATE cn_dv SET payload = (SELECT d.payload FROM cn_dv d WHERE d.file_id = {}) WHERE file_id = {}",
        late.0, early.0
    );
    for damage in [cut, anothers] {
        fixture = fixture.restart_after(&[&damage]).await;
        let (def, head) = (fixture.by_id(table).await, fixture.head().await);
        let error = fixture.catalog.files(&fixture.scope, &def, head, None).await.expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("file {early} ")) && text.contains("table default.cpu"), "{text}");
        let window = Some(TimeWindow { from: 20_000, to: 20_000 });
        let rest = fixture.catalog.files(&fixture.scope, &def, head, window).await.expect("not damaged");
        assert_eq!(rest.iter().map(|file| file.live_rows()).collect::<Vec<_>>(), [600]);
    }
}
