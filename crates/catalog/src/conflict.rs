//! Which commits go together: pure rules, no database.
//!
//! A row of the matrix is an [`Act`] of mine, a column is the [`Fate`] that a file met after my base, a field is the [`Rule`].
//! Appends of others matter only to what has a read set or replaces a region; a dropped table fails everything that is not
//! tidying up: both are judged before files are (`committer/rows.rs`).

use std::fmt;

use cenote_datafile::DeletionVector;
use cenote_vocab::Txn;

use crate::committer::KnownFile;

/// What I want to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Delete some of its rows.
    DeleteRows,
    /// Take some of its rows away and append them changed.
    UpdateRows,
    /// Retire it because all of its rows are deleted.
    RetireDelete,
    /// Retire it because its rows are too old.
    RetireExpire,
    /// Retire it because other rows come in its place.
    Replace,
    /// Put its rows into other files.
    Rewrite,
}

/// What became of the file since my base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is as I saw it.
    Same,
    /// Rows of it were deleted, or updated, none of mine.
    OthersTouched,
    /// Rows of mine were deleted.
    MineDeleted,
    /// Rows of mine were updated: they live elsewhere now.
    MineUpdated,
    /// It was retired: deleted or expired.
    Retired,
    /// It was retired, and rows of it may live on elsewhere, changed.
    Replaced,
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
        (_, Fate::Same) => Rule::Apply,
        (Act::Rewrite, _) => Rule::Discard,
        (Act::Replace, _) => Rule::Rerun,
        (_, Fate::OthersTouched) => Rule::Apply,
        (Act::RetireExpire, Fate::MineDeleted | Fate::MineUpdated) => Rule::Apply,
        (Act::RetireExpire, _) => Rule::Skip,
        (Act::UpdateRows, _) => Rule::Rerun,
        (Act::DeleteRows | Act::RetireDelete, Fate::MineDeleted) => Rule::Apply,
        (Act::DeleteRows | Act::RetireDelete, Fate::Retired) => Rule::Skip,
        (Act::DeleteRows | Act::RetireDelete, Fate::MineUpdated | Fate::Replaced | Fate::Rewritten) => {
            Rule::Rerun
        }
    }
}

/// What became of a file between a base and the commit that asks, both not included. `mine`: the positions that I want; `None`:
/// all of its rows.
pub(crate) fn fate(file: &KnownFile, (base, now): (Txn, Txn), mine: Option<&DeletionVector>) -> Fate {
    let since = Since::of(file, base, now);
    let touches = |rows: &DeletionVector| mine.map_or(!rows.is_empty(), |mine| mine.overlaps(rows));
    if let Some((_, bits)) = file.ended {
        let moved = bits & (ops::REPLACE | ops::UPDATE | ops::RESTORE) != 0 || touches(&since.updated);
        return match () {
            () if bits & ops::REWRITE != 0 => Fate::Rewritten,
            () if moved => Fate::Replaced,
            () => Fate::Retired,
        };
    }
    if touches(&since.updated) {
        Fate::MineUpdated
    } else if touches(&since.deleted) {
        Fate::MineDeleted
    } else if since.updated.is_empty() && since.deleted.is_empty() {
        Fate::Same
    } else {
        Fate::OthersTouched
    }
}

/// Rows of a file that went after a base.
#[derive(Default)]
struct Since {
    deleted: DeletionVector,
    updated: DeletionVector,
}

impl Since {
    fn of(file: &KnownFile, base: Txn, now: Txn) -> Self {
        let (mut since, mut before) = (Self::default(), DeletionVector::default());
        for version in &file.versions {
            if version.begin > base && version.begin < now {
                let gone = version.vector.difference(&before);
                let rows =
                    if version.ops & ops::UPDATE != 0 { &mut since.updated } else { &mut since.deleted };
                *rows = rows.union(&gone);
            }
            before = (*version.vector).clone();
        }
        since
    }
}

/// What another commit did that mine cannot be merged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// It appended rows that mine may depend on.
    Appended,
    /// It changed rows of a table that mine read whole.
    Changed,
    /// It deleted rows that mine depends on.
    RowsDeleted,
    /// It updated the same rows.
    RowsUpdated,
    /// It retired the file.
    Retired,
    /// It replaced the file's rows.
    Replaced,
    /// It put the file's rows into other files.
    Rewritten,
    /// It changed columns that mine uses.
    Altered,
    /// The snapshot that mine was planned on is no longer kept.
    Expired,
}

impl Clash {
    /// As `commit_conflict` names it in machine-readable answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Changed => "changed",
            Self::RowsDeleted => "rows_deleted",
            Self::RowsUpdated => "rows_updated",
            Self::Retired => "retired",
            Self::Replaced => "replaced",
            Self::Rewritten => "rewritten",
            Self::Altered => "altered",
            Self::Expired => "expired",
        }
    }

    /// What a file's fate is called; a file that is the same clashes with nothing.
    pub(crate) fn of(fate: Fate) -> Self {
        match fate {
            Fate::Same | Fate::OthersTouched | Fate::MineDeleted => Self::RowsDeleted,
            Fate::MineUpdated => Self::RowsUpdated,
            Fate::Retired => Self::Retired,
            Fate::Replaced => Self::Replaced,
            Fate::Rewritten => Self::Rewritten,
        }
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Appended => "rows came that may be among those that were read",
            Self::Changed => "rows changed since they were read",
            Self::RowsDeleted => "rows were deleted since they were read",
            Self::RowsUpdated => "the same rows were updated since they were read",
            Self::Retired => "its files were retired since they were read",
            Self::Replaced => "its rows were replaced since they were read",
            Self::Rewritten => "its files were rewritten since they were read",
            Self::Altered => "its columns changed since they were read",
            Self::Expired => "the snapshot that it was planned on is no longer kept",
        })
    }
}

/// Bits of `cn_table_txn.ops`.
pub(crate) mod ops {
    pub(crate) const APPEND: i32 = 1;
    pub(crate) const DELETE_ROWS: i32 = 2;
    pub(crate) const RETIRE: i32 = 4;
    pub(crate) const REPLACE: i32 = 8;
    pub(crate) const REWRITE: i32 = 16;
    pub(crate) const EXPIRE: i32 = 32;
    pub(crate) const UPDATE: i32 = 64;
    pub(crate) const SCHEMA: i32 = 128;
    pub(crate) const SPEC: i32 = 256;
    pub(crate) const SORT: i32 = 512;
    pub(crate) const OPTIONS: i32 = 1024;
    pub(crate) const CREATE: i32 = 2048;
    pub(crate) const DROP: i32 = 4096;
    pub(crate) const RENAME: i32 = 8192;
    pub(crate) const RESTORE: i32 = 16384;
}

#[cfg(test)]
mod tests;
