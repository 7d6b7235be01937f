//! Finds the rows that a keyed write takes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::row::{Row, Rows};
use cenote_catalog::{Op, RowChange};
use cenote_datafile::DeletionVector;
use cenote_vocab::Txn;
use hashbrown::HashMap;

use super::Newest;
use super::read::KeyReader;
use crate::Error;
use crate::scan::ScanFile;
use crate::worker::on_worker;

/// What goes, and who comes back.
#[derive(Default)]
pub(super) struct Places {
    /// `DeleteRows`, file by file.
    pub(super) ops: Vec<Op>,
    /// Of each key that is written the id that its row had; empty if the table's rows keep no ids.
    pub(super) row_ids: Vec<Option<i64>>,
}

/// Reads the keys of the files that may have some of them, as of `base`.
pub(super) async fn find(newest: Arc<Newest>, base: Txn) -> Result<Places, Error> {
    let predicate = newest.zones.predicate(&newest.key);
    let mut files = newest.lake.scan(&newest.scope, &newest.table, base, &predicate).await?.files;
    files.retain(|file| newest.zones.may_hold_partition(&file.entry.file));
    if files.is_empty() {
        return Ok(Places::default()); // of most writes in order of time
    }
    on_worker(move || async move {
        let keys = newest.keys.iter().map(|columns| newest.key.rows(columns));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Search::new(&newest, &keys).run(&files).await
    })
    .await
}

struct Search<'a> {
    newest: &'a Newest,
    numbers: HashMap<Row<'a>, usize>,
    /// By number: place among the commits, position, and id of the newest row so far.
    owners: Vec<Option<(i64, u64, i64)>>,
}

impl<'a> Search<'a> {
    fn new(newest: &'a Newest, keys: &'a [Rows]) -> Self {
        let numbers = keys.iter().flat_map(|rows| rows.iter()).zip(0..).collect();
        let kept = if newest.table.row_lineage() { newest.upserts } else { 0 };
        Self { newest, numbers, owners: vec![None; kept] }
    }

    async fn run(mut self, files: &[ScanFile]) -> Result<Places, Error> {
        let newest = self.newest;
        let reader = KeyReader::new((&newest.lake, &newest.scope), &newest.table, &newest.key);
        let mut ops = Vec::new();
        for file in files {
            let mut gone: BTreeMap<bool, DeletionVector> = BTreeMap::new();
            let visit = |key: Row<'_>, place: super::read::Place| {
                let Some(&number) = self.numbers.get(&key) else { return };
                let upserted = number < newest.upserts;
                gone.entry(upserted).or_default().insert(place.position);
                if let Some(owner) = self.owners.get_mut(number) {
                    *owner = (*owner).max(Some((place.seq, place.position, place.row_id)));
                }
            };
            reader.each(file, Some(&newest.zones), visit).await?;
            let seen = file.entry.vector.as_ref().map(|visible| visible.begin_txn);
            ops.extend(gone.into_iter().map(|(upserted, positions)| Op::DeleteRows {
                file: file.entry.id,
                seen,
                positions,
                kind: if upserted { RowChange::Update } else { RowChange::Delete },
            }));
        }
        let row_ids = self.owners.into_iter().map(|owner| owner.map(|(_, _, row_id)| row_id)).collect();
        Ok(Places { ops, row_ids })
    }
}
