//! What a call of `VACUUM` would do, from rows that can be read.

use std::collections::HashSet;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use cenote_catalog::TableDef;
use cenote_vocab::{Scope, TableId, Txn};

use super::rows::{integers, texts};
use super::{VacuumOptions, VacuumOutcome};
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
        for object in self.unneeded_trash(scope, table).await? {
            seen.insert(object.0.clone());
            outcomes.push(VacuumOutcome::new(object, "due"));
        }
        let ended = EndedFiles::of(&self.catalog.system_rows(scope, FILES).await?)?;
        let holds = self.catalog.holds(scope).await?;
        let reason = if options.force { "due" } else { "queued" };
        for (table, floor) in self.floors(scope, table, options).await? {
            let gone = ended.files.iter().filter(|file| {
                let tagged = holds.iter().any(|hold| hold.tags(file.table, file.begin, file.end));
                file.table == table && file.end <= floor.txn && !tagged
            });
            for file in gone.filter(|file| seen.insert(file.path.clone())) {
                outcomes.push(VacuumOutcome::new((file.path.clone(), file.bytes), reason));
            }
        }
        Ok(outcomes)
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

impl EndedFiles {
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
