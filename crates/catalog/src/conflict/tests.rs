use std::sync::Arc;

use super::*;
use crate::committer::VectorVersion;

const NOW: Txn = Txn(10);

#[test]
fn the_matrix_is_that_of_the_page() {
    use {Act::*, Fate::*, Rule::*};
    let fates = [Same, OthersTouched, MineDeleted, MineUpdated, Retired, Replaced, Rewritten];
    let matrix = [
        (DeleteRows, [Apply, Apply, Apply, Rerun, Skip, Rerun, Rerun]),
        (UpdateRows, [Apply, Apply, Rerun, Rerun, Rerun, Rerun, Rerun]),
        (RetireDelete, [Apply, Apply, Apply, Rerun, Skip, Rerun, Rerun]),
        (RetireExpire, [Apply, Apply, Apply, Apply, Skip, Skip, Skip]),
        (Act::Replace, [Apply, Rerun, Rerun, Rerun, Rerun, Rerun, Rerun]),
        (Rewrite, [Apply, Discard, Discard, Discard, Discard, Discard, Discard]),
    ];
    for (act, rules) in matrix {
        for (fate, wanted) in fates.into_iter().zip(rules) {
            assert_eq!(rule(act, fate), wanted, "{act:?} after {fate:?}");
        }
    }
}

fn rows(positions: impl IntoIterator<Item = u64>) -> DeletionVector {
    positions.into_iter().collect()
}

/// A file whose row 0 was deleted at 4, 1 at 6, and 2 updated at 8.
fn file(ended: Option<(Txn, i32)>) -> KnownFile {
    let version = |begin, ops, positions: &[u64]| VectorVersion {
        begin: Txn(begin),
        ops,
        vector: Arc::new(rows(positions.iter().copied())),
    };
    let versions = vec![
        version(4, ops::DELETE_ROWS, &[0]),
        version(6, ops::DELETE_ROWS, &[0, 1]),
        version(8, ops::UPDATE | ops::APPEND, &[0, 1, 2]),
    ];
    KnownFile { ended, versions, ..KnownFile::default() }
}

#[test]
fn only_what_went_after_the_base_counts() {
    let fates = |base, mine: &[u64]| fate(&file(None), (Txn(base), NOW), Some(&rows(mine.iter().copied())));
    assert_eq!(fates(8, &[0, 1, 2, 3]), Fate::Same);
    assert_eq!(fates(6, &[0, 1, 3]), Fate::OthersTouched);
    assert_eq!(fates(6, &[2, 3]), Fate::MineUpdated);
    assert_eq!(fates(4, &[0, 1]), Fate::MineDeleted);
    assert_eq!(fates(4, &[0]), Fate::OthersTouched);
    assert_eq!(fates(3, &[0, 2]), Fate::MineUpdated, "one updated row decides");
    assert_eq!(fate(&file(None), (Txn(6), NOW), None), Fate::MineUpdated, "all rows are mine");
}

#[test]
fn a_file_that_ended_ended_by_what_its_last_transaction_did() {
    let ended = |bits, mine: &[u64]| {
        fate(&file(Some((Txn(9), bits))), (Txn(6), NOW), Some(&rows(mine.iter().copied())))
    };
    assert_eq!(ended(ops::RETIRE, &[3]), Fate::Retired);
    assert_eq!(ended(ops::EXPIRE, &[3]), Fate::Retired);
    assert_eq!(ended(ops::RETIRE, &[2]), Fate::Replaced, "updated before the rest was deleted");
    assert_eq!(ended(ops::RETIRE | ops::UPDATE, &[3]), Fate::Replaced);
    assert_eq!(ended(ops::REPLACE, &[3]), Fate::Replaced);
    assert_eq!(ended(ops::RESTORE, &[3]), Fate::Replaced);
    assert_eq!(ended(ops::REWRITE, &[3]), Fate::Rewritten);
}
