//! Which rows of which files a transaction brought and took. Pure.

use std::sync::Arc;

use cenote_catalog::{DataFile, FileChange, FileDelta, TableDelta};
use cenote_datafile::{DeletionVector, RowSet};
use cenote_vocab::{Micros, Txn};

use super::pairs::Pairs;
use super::{ChangeRequest, ChangeType, Expired};

/// Rows of one file that came or went by one transaction.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) txn: Txn,
    pub(super) committed: Micros,
    /// What happened to its rows, but for those of `pairs`.
    pub(super) change: ChangeType,
    pub(super) file: Arc<DataFile>,
    pub(super) rows: RowSet,
    /// Rows that were updated.
    pub(super) pairs: Option<Arc<Pairs>>,
}

impl Step {
    /// What happened to the row of this id at this position.
    pub(super) fn change_of(&self, id: i64, position: i64) -> ChangeType {
        match &self.pairs {
            Some(pairs) if pairs.contains(id, (self.file.id, position)) => updated(self.change),
            _ => self.change,
        }
    }
}

/// The same for a row whose other half is there too.
fn updated(change: ChangeType) -> ChangeType {
    match change {
        ChangeType::Delete | ChangeType::UpdatePreimage => ChangeType::UpdatePreimage,
        ChangeType::Insert | ChangeType::UpdatePostimage => ChangeType::UpdatePostimage,
    }
}

/// The steps of a transaction that the request asks for, in order of their files; none of them is empty.
pub(super) fn steps(delta: &TableDelta, pairs: Option<&Arc<Pairs>>, request: &ChangeRequest) -> Vec<Step> {
    let may_show = |change: ChangeType| {
        request.types.contains(&change) || (pairs.is_some() && request.types.contains(&updated(change)))
    };
    let steps = delta.files.iter().filter_map(|file| {
        let (change, rows) = step(file, request.expired)?;
        let rows = rest(delta.txn, &file.file, rows, request)?;
        let wanted = may_show(change) && rows.count(file.file.file.rows) > 0;
        wanted.then(|| Step {
            txn: delta.txn,
            committed: delta.committed,
            change,
            file: file.file.clone(),
            rows,
            pairs: pairs.cloned(),
        })
    });
    steps.collect()
}

fn step(file: &FileDelta, expired: Expired) -> Option<(ChangeType, RowSet)> {
    match &file.change {
        FileChange::Added { except } => Some((ChangeType::Insert, RowSet::live(except.clone()))),
        FileChange::RowsDeleted { now, before } => {
            Some((ChangeType::Delete, deleted(now, before.as_deref())))
        }
        FileChange::Retired { expired: true, .. } if expired == Expired::Hidden => None,
        FileChange::Retired { before, .. } => Some((ChangeType::Delete, RowSet::live(before.clone()))),
    }
}

/// The rows that a vector took beyond those that were gone before.
pub(super) fn deleted(now: &Arc<DeletionVector>, before: Option<&DeletionVector>) -> RowSet {
    RowSet::Only(before.map_or_else(|| now.clone(), |before| Arc::new(now.difference(before))))
}

/// What of the rows comes after the request's position.
fn rest(txn: Txn, file: &DataFile, rows: RowSet, request: &ChangeRequest) -> Option<RowSet> {
    let Some((seen, position)) = request.after.row.filter(|_| request.after.txn == txn) else {
        return Some(rows);
    };
    match file.id.cmp(&seen) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(rows.after(position)),
        std::cmp::Ordering::Greater => Some(rows),
    }
}
