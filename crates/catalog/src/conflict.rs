//! Which commits go together: pure rules, no database.
//!
//! A row of the matrix is an [`Act`] of mine, a column is the [`Fate`] that a file met after my base, a field is the [`Rule`].
//! Appends of others never matter, except to a change that read the whole table.

/// What I want to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Delete some of its rows.
    DeleteRows,
    /// Retire it because all of its rows are deleted.
    RetireDelete,
    /// Retire it because its rows are too old.
    RetireExpire,
    /// Put its rows into other files.
    Rewrite,
}

/// What became of the file since my base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is as I saw it.
    Same,
    /// Rows of it were deleted.
    RowsDeleted,
    /// It was retired: deleted or expired.
    Retired,
    /// Its rows are in other files now.
    Rewritten,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Do it, on the file as it is now.
    Apply,
    /// Leave this file out: what I wanted has happened.
    Skip,
    /// Plan again at the new head.
    Rerun,
    /// Drop the whole rewrite: nothing is lost.
    Discard,
}

/// The matrix.
pub(crate) fn rule(act: Act, fate: Fate) -> Rule {
    match (act, fate) {
        (Act::Rewrite, Fate::Same) => Rule::Apply,
        (Act::Rewrite, _) => Rule::Discard,
        (_, Fate::Same | Fate::RowsDeleted) => Rule::Apply,
        (_, Fate::Retired) => Rule::Skip,
        (Act::RetireExpire, Fate::Rewritten) => Rule::Skip,
        (Act::DeleteRows | Act::RetireDelete, Fate::Rewritten) => Rule::Rerun,
    }
}

/// Bits of `cn_table_txn.ops`.
pub(crate) mod ops {
    pub(crate) const APPEND: i32 = 1;
    pub(crate) const DELETE_ROWS: i32 = 2;
    pub(crate) const RETIRE: i32 = 4;
    pub(crate) const REWRITE: i32 = 16;
    pub(crate) const EXPIRE: i32 = 32;
    pub(crate) const SCHEMA: i32 = 128;
    pub(crate) const SORT: i32 = 512;
    pub(crate) const OPTIONS: i32 = 1024;
    pub(crate) const CREATE: i32 = 2048;
    pub(crate) const DROP: i32 = 4096;
    pub(crate) const RENAME: i32 = 8192;
}

/// How a file ended, by what its last transaction did to the table. One commit never mixes a rewrite with other acts.
pub(crate) fn fate_of_ended(ops_of_end: i32) -> Fate {
    if ops_of_end & ops::REWRITE != 0 { Fate::Rewritten } else { Fate::Retired }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_that_of_the_page() {
        use {Act::*, Fate::*, Rule::*};
        let matrix = [
            (DeleteRows, [Apply, Apply, Skip, Rerun]),
            (RetireDelete, [Apply, Apply, Skip, Rerun]),
            (RetireExpire, [Apply, Apply, Skip, Skip]),
            (Rewrite, [Apply, Discard, Discard, Discard]),
        ];
        for (act, rules) in matrix {
            for (fate, wanted) in [Same, RowsDeleted, Retired, Rewritten].into_iter().zip(rules) {
                assert_eq!(rule(act, fate), wanted, "{act:?} after {fate:?}");
            }
        }
    }

    #[test]
    fn an_expired_file_counts_as_retired() {
        assert_eq!(fate_of_ended(ops::EXPIRE), Fate::Retired);
        assert_eq!(fate_of_ended(ops::REWRITE), Fate::Rewritten);
    }
}
