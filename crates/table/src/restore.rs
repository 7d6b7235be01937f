//! `RESTORE`: a table becomes again what it was at a version that is still kept.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_catalog::{DataFile, Op, ReadSet, TableChange, TableDef};
use cenote_vocab::{FileId, Scope, Txn};

use crate::{Error, Lake};

impl Lake {
    /// The change that puts the table's rows back to version `to`; its columns stay as they are. It conflicts with every later
    /// change of rows: plan it again then. `None` if the rows are those of `to` already.
    pub async fn restore(
        &self,
        scope: &Scope,
        table: &TableDef,
        to: Txn,
    ) -> Result<Option<TableChange>, Error> {
        Error::refuse_view(table)?;
        let base = self.catalog.head(scope).await?.txn;
        let now = self.catalog.files(scope, table, base, None).await?;
        let then = self.catalog.files(scope, table, to, None).await?;
        let (retire, files) = difference(&now, &then);
        if retire.is_empty() && files.is_empty() {
            return Ok(None);
        }
        let ops = vec![Op::Restore { to, retire, files }];
        Ok(Some(TableChange { table: table.id, base, read: ReadSet::All, ops }))
    }
}

/// Files to retire and files to bring back; a file is the same only with the same rows deleted from it.
fn difference(now: &[Arc<DataFile>], then: &[Arc<DataFile>]) -> (Vec<FileId>, Vec<Arc<DataFile>>) {
    let by_id: HashMap<FileId, &DataFile> = now.iter().map(|file| (file.id, file.as_ref())).collect();
    let is_same = |file: &DataFile| by_id.get(&file.id).is_some_and(|now| deleted(now) == deleted(file));
    let (same, back): (Vec<_>, Vec<_>) = then.iter().cloned().partition(|file| is_same(file));
    let same: std::collections::HashSet<FileId> = same.iter().map(|file| file.id).collect();
    let retire = now.iter().map(|file| file.id).filter(|file| !same.contains(file)).collect();
    (retire, back)
}

fn deleted(file: &DataFile) -> Option<Txn> {
    file.vector.as_ref().map(|visible| visible.begin_txn)
}
