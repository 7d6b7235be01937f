//! What a call of `VACUUM` would do, from rows that can be read.

use std::collections::HashSet;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Hold, TableDef};
use cenote_vocab::{Scope, TableId, Txn};

use super::rows::{integers, texts};
use super::{KeptObject, VacuumOptions, VacuumOutcome};
use crate::{Error, Lake};

/// The system table of all file rows, also of versions that ended.
const FILES: &str = "storage.files";

impl Lake {
    pub(super) async fn due(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        let mut seen = HashSet::new();
        let mut outcomes = Vec::new();
        let trash = if options.force {
            self.unneeded_queued(scope, table).await?
        } else {
            self.unneeded_trash(scope, table).await?
        };
        for object in trash {
            seen.insert(object.0.clone());
            outcomes.push(VacuumOutcome::new(object, "due"));
        }
        let (ended, keepers) = self.ended(scope).await?;
        let reason = if options.force { "due" } else { "queued" };
        for (table, floor) in self.floors(scope, table, options).await? {
            for file in ended.before(table, floor.txn).filter(|file| file.keeper(&keepers).is_none()) {
                if seen.insert(file.path.clone()) {
                    outcomes.push(VacuumOutcome::new((file.path.clone(), file.bytes), reason));
                }
            }
        }
        Ok(outcomes)
    }

    /// The files that a call with these options would let go, were it not for a tag or a hold.
    pub async fn kept(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        options: VacuumOptions,
    ) -> Result<Vec<KeptObject>, Error> {
        if self.catalog.holds(scope).await?.is_empty() {
            return Ok(Vec::new());
        }
        let (ended, keepers) = self.ended(scope).await?;
        let mut kept = Vec::new();
        for (table, floor) in self.floors(scope, table, options).await? {
            kept.extend(ended.before(table, floor.txn).filter_map(|file| {
                let keeper = file.keeper(&keepers)?;
                let by = match &keeper.name {
                    Some(tag) => format!("tag {tag:?}"),
                    None => format!("a hold of {:?}", keeper.holder),
                };
                Some(KeptObject { path: file.path.clone(), bytes: file.bytes, by })
            }));
        }
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(kept)
    }

    async fn ended(&self, scope: &Scope) -> Result<(EndedFiles, Vec<Hold>), Error> {
        let ended = EndedFiles::of(&self.catalog.system_rows(scope, FILES).await?)?;
        Ok((ended, self.catalog.keepers(scope).await?))
    }
}

/// Files that are not in the newest version of their table.
struct EndedFiles {
    files: Vec<EndedFile>,
}

struct EndedFile {
    table: TableId,
    path: String,
    bytes: u64,
    begin: Txn,
    end: Txn,
}

impl EndedFile {
    fn keeper<'a>(&self, keepers: &'a [Hold]) -> Option<&'a Hold> {
        keepers.iter().find(|keeper| keeper.keeps(self.table, self.begin, self.end))
    }
}

impl EndedFiles {
    /// Those of a table that no version from `floor` on shows.
    fn before(&self, table: TableId, floor: Txn) -> impl Iterator<Item = &EndedFile> {
        self.files.iter().filter(move |file| file.table == table && file.end <= floor)
    }

    fn of(rows: &RecordBatch) -> Result<Self, Error> {
        let (tables, begins) = (integers(rows, "table_id")?, integers(rows, "begin_txn")?);
        let ends = integers(rows, "end_txn")?;
        let (paths, bytes) = (texts(rows, "path")?, integers(rows, "size_bytes")?);
        let ended = (0..rows.num_rows()).filter(|row| ends.is_valid(*row) && paths.is_valid(*row));
        let file = |row| EndedFile {
            table: TableId(tables.value(row)),
            path: paths.value(row).to_owned(),
            bytes: u64::try_from(bytes.value(row)).unwrap_or(0),
            begin: Txn(begins.value(row)),
            end: Txn(ends.value(row)),
        };
        Ok(Self { files: ended.map(file).collect() })
    }
}
