//! What a change depends on besides the files it takes away: what it read, and the columns it knew.

use std::collections::BTreeSet;

use cenote_vocab::{Field, FileId, Txn};

use super::step::Step;
use crate::conflict::{self as matrix, Fate};
use crate::read_set::Arrival;
use crate::{Clash, Error, Op, ReadSet, Region, RowChange, TableChange, TableDef};

impl Step<'_> {
    /// `CommitConflict` if something that the change read is not as it was.
    pub(super) fn check_read_set(&self, change: &TableChange, def: &TableDef) -> Result<(), Error> {
        if change.read == ReadSet::None {
            return Ok(());
        }
        self.check_floor(change, def)?;
        match &change.read {
            ReadSet::None => Ok(()),
            ReadSet::All => {
                let last = self.world.table(change.table).and_then(|work| work.last_data_txn);
                match last {
                    Some(last) if last > change.base => Err(conflict(def, Clash::Changed, last, Vec::new())),
                    _ => Ok(()),
                }
            }
            ReadSet::Files(files) => self.check_files_read(change, def, files),
            ReadSet::Rows(region) => self.check_region(change, def, region),
        }
    }

    fn check_files_read(
        &self,
        change: &TableChange,
        def: &TableDef,
        files: &BTreeSet<FileId>,
    ) -> Result<(), Error> {
        for file in files {
            let known = self.known(change.table, *file)?;
            let fate = matrix::fate(known, (change.base, self.txn), None);
            if !matches!(fate, Fate::Same | Fate::Rewritten) {
                let with = known.ended.map(|(end, _)| end).or(known.last_change()).unwrap_or(def.begin_txn);
                return Err(conflict(def, Clash::of(fate), with, vec![*file]));
            }
        }
        Ok(())
    }

    /// `CommitConflict` if a file that came after the base may hold rows of the region.
    pub(super) fn check_region(
        &self,
        change: &TableChange,
        def: &TableDef,
        region: &Region,
    ) -> Result<(), Error> {
        let Some(work) = self.world.table(change.table) else { return Ok(()) };
        let later = work.arrivals.iter().filter(|file| file.begin > change.base && file.begin < self.txn);
        let (mut with, mut files) = (Txn(0), Vec::new());
        for file in later {
            let arrival =
                Arrival { partition: file.partition, statistics: &file.statistics, schema: &file.schema };
            if region.may_hold(arrival) {
                with = with.max(file.begin);
                files.push(file.file);
            }
        }
        if files.is_empty() { Ok(()) } else { Err(conflict(def, Clash::Appended, with, files)) }
    }

    /// `CommitConflict` if the base is below the history floor: what happened since is not known any more.
    pub(super) fn check_floor(&self, change: &TableChange, def: &TableDef) -> Result<(), Error> {
        let floor = self.world.table(change.table).map_or(Txn(0), |work| work.state.history_floor);
        if change.base < floor {
            return Err(conflict(def, Clash::Expired, floor, Vec::new()));
        }
        Ok(())
    }

    /// Changed rows are whole rows: they must have been made with the columns of now. New columns are no harm: the rows have
    /// their defaults in the old file and in the new one.
    pub(super) fn check_columns(&self, change: &TableChange, def: &TableDef) -> Result<(), Error> {
        let updates =
            change.ops.iter().any(|op| matches!(op, Op::DeleteRows { kind: RowChange::Update, .. }));
        let Some(work) = self.world.table(change.table).filter(|_| updates) else { return Ok(()) };
        let appended = change.ops.iter().filter_map(|op| match op {
            Op::Append { files } => Some(files),
            _ => None,
        });
        for file in appended.flatten().filter(|file| file.schema_no != def.schema.no) {
            let written = work.schema(file.schema_no)?;
            let same = |field: &Field| {
                def.schema.field_by_id(field.id).is_some_and(|now| {
                    (&now.name, &now.field_type, now.required)
                        == (&field.name, &field.field_type, field.required)
                })
            };
            if !written.fields.iter().all(same) {
                return Err(conflict(def, Clash::Altered, def.begin_txn, Vec::new()));
            }
        }
        Ok(())
    }
}

/// Another commit was first.
pub(super) fn conflict(def: &TableDef, clash: Clash, with_txn: Txn, files: Vec<FileId>) -> Error {
    Error::CommitConflict { table: def.full_name(), table_id: def.id, clash, with_txn, files }
}
