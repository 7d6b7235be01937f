//! Random commits against a plain model.

use std::collections::BTreeMap;

use cenote_catalog::{Error, NewFile, Op, RetireKind, RewriteInput, RowChange};
use cenote_vocab::{FileId, TableId, Txn};

use crate::files::numbers;
use crate::fixture::Fixture;

const STEPS: u64 = 300;
const ROWS_MAX: u64 = 8;

/// Live rows of live files.
type Model = BTreeMap<FileId, Vec<u64>>;

/// Appends, deletes, retirements and rewrites, planned on states that may be old by now: the catalog ends as a model that
/// applies what was not refused, one after another; and each version stays as it was.
pub(crate) async fn random_commits_leave_what_a_plain_model_says(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let def = fixture.by_id(table).await;
    let mut model = Model::new();
    let mut versions: Vec<(Txn, Model)> = vec![(fixture.head().await, model.clone())];
    let (mut conflicts, mut discarded) = (0, 0);
    for _ in 0..STEPS {
        let back = fixture.ids.below(versions.len().min(4) as u64) as usize;
        let (base, planned) = versions[versions.len() - 1 - back].clone();
        let files: Vec<FileId> = planned.keys().copied().collect();
        let pick = |n: u64| files.get(n as usize % files.len().max(1)).copied();
        let (kind, chosen) = (fixture.ids.below(10), pick(fixture.ids.below(1_000)));
        let op = match (kind, chosen) {
            (0..=3, _) | (_, None) => {
                let file = fixture.file(1 + fixture.ids.below(ROWS_MAX));
                Op::Append { files: vec![NewFile { level: fixture.ids.below(3) as i32, ..file }] }
            }
            (4..=6, Some(file)) => {
                let rows = &planned[&file];
                let positions = rows.iter().copied().filter(|_| fixture.ids.below(2) == 0).collect();
                Op::DeleteRows { file, seen: None, positions, kind: RowChange::Delete }
            }
            (7, Some(file)) => Op::Retire { files: vec![file], kind: RetireKind::Delete },
            (_, Some(file)) => {
                let other = pick(fixture.ids.below(1_000)).filter(|other| *other != file);
                let inputs: Vec<FileId> = std::iter::once(file).chain(other).collect();
                let at_base = fixture.catalog.files(&fixture.scope, &def, base, None).await.expect("files");
                let seen =
                    |id| at_base.iter().find(|file| file.id == id).and_then(|file| file.vector.as_ref());
                let rows = inputs.iter().map(|input| planned[input].len() as u64).sum();
                let inputs = inputs
                    .iter()
                    .map(|id| RewriteInput { file: *id, seen: seen(*id).map(|visible| visible.begin_txn) })
                    .collect();
                Op::Rewrite { inputs, outputs: vec![fixture.file(rows)] }
            }
        };
        let committed = match fixture.change_at(table, base, vec![op.clone()]).await {
            Ok(committed) => committed,
            Err(Error::CommitConflict { .. }) => {
                conflicts += 1;
                continue;
            }
            Err(error) => panic!("{op:?}: {error}"),
        };
        discarded += committed.discarded.len();
        let new = |rows: u64| (0..rows).collect::<Vec<u64>>();
        let now = fixture.catalog.files(&fixture.scope, &def, committed.txn, None).await.expect("files");
        let added =
            now.iter().find(|file| file.begin_txn == committed.txn).map(|file| (file.id, file.file.rows));
        match op {
            Op::Append { .. } => drop(added.map(|(id, rows)| model.insert(id, new(rows)))),
            Op::DeleteRows { file, positions, .. } => {
                if let Some(rows) = model.get_mut(&file) {
                    rows.retain(|row| !positions.contains(*row));
                }
                model.retain(|_, rows| !rows.is_empty());
            }
            Op::Retire { files, .. } => model.retain(|id, _| !files.contains(id)),
            Op::Rewrite { inputs, .. } if committed.discarded.is_empty() => {
                model.retain(|id, _| inputs.iter().all(|input| input.file != *id));
                drop(added.map(|(id, rows)| model.insert(id, new(rows))));
            }
            _ => {}
        }
        if versions.last().is_some_and(|(txn, _)| *txn < committed.txn) {
            versions.push((committed.txn, model.clone()));
        }
        assert_eq!(shown(&now), model);
    }
    check_counters(&fixture, table, &model).await;
    assert!(
        conflicts > 0 && discarded > 0,
        "the steps met conflicts ({conflicts}) and discards ({discarded})"
    );
    for (txn, wanted) in &versions {
        let files = fixture.catalog.files(&fixture.scope, &def, *txn, None).await.expect("files");
        assert_eq!(shown(&files), *wanted, "at {txn}");
    }
}

/// The counters that the catalog keeps agree with the rows that are there.
async fn check_counters(fixture: &Fixture, table: TableId, model: &Model) {
    let (files, rows) = (model.len() as i64, model.values().map(|rows| rows.len() as i64).sum::<i64>());
    let tables = fixture.catalog.system_rows(&fixture.scope, "catalog.tables").await.expect("rows");
    assert_eq!((numbers(&tables, "file_count"), numbers(&tables, "row_count")), (vec![files], vec![rows]));
    let parts = fixture.catalog.system_rows(&fixture.scope, "storage.partitions").await.expect("rows");
    let (live, deleted) = (numbers(&parts, "live_rows"), numbers(&parts, "deleted_rows"));
    assert_eq!((numbers(&parts, "live_files"), live[0] - deleted[0]), (vec![files], rows));
    let mut levels = [(0, 0); 3];
    for file in fixture.files(table).await {
        let level = &mut levels[file.file.level as usize];
        *level = (level.0 + 1, level.1 + file.file.bytes as i64);
    }
    let counted = |files: &str, bytes: &str| (numbers(&parts, files)[0], numbers(&parts, bytes)[0]);
    let counted = [counted("fresh_files", "fresh_bytes"), counted("merged_files", "merged_bytes")];
    assert_eq!(counted, levels[..2]);
}

fn shown(files: &[std::sync::Arc<cenote_catalog::DataFile>]) -> Model {
    let live = |file: &cenote_catalog::DataFile| {
        let deleted = |row: &u64| file.vector.as_ref().is_some_and(|visible| visible.vector.contains(*row));
        (0..file.file.rows).filter(|row| !deleted(row)).collect::<Vec<u64>>()
    };
    files.iter().map(|file| (file.id, live(file))).collect()
}
