//! Rows become files of a table: sorted, cut by partition, uploaded.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{NewFile, TableDef};
use cenote_datafile::Level;
use cenote_vocab::Scope;

use crate::{Error, Lake};

/// Files that are in the store for certain: only [`TableWriter::finish`] makes one, and a `Commit` takes what it holds.
#[derive(Clone, Debug, Default)]
pub struct Written {
    files: Vec<NewFile>,
}

impl Written {
    /// The files, for `Op::Append`.
    pub fn into_files(self) -> Vec<NewFile> {
        self.files
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// Takes batches in the table's current schema (see `cenote_datafile::arrow_schema`) and writes files.
pub struct TableWriter {
    _private: (),
}

impl Lake {
    /// Begins to write rows for `table`. Rows are held until a sorted run is worth a file (memory from the lake's pool).
    pub fn writer(&self, _scope: &Scope, _table: Arc<TableDef>, _level: Level) -> TableWriter {
        todo!()
    }

    /// Deletes the objects of files that no commit took. Best effort: what stays is an orphan.
    pub async fn abandon(&self, _table: &TableDef, _written: Written) {
        todo!()
    }
}

impl TableWriter {
    /// Adds rows. `NullValue` for a NULL in a `NOT NULL` column.
    pub async fn write(&mut self, _batch: RecordBatch) -> Result<(), Error> {
        todo!()
    }

    /// Writes what is left and answers all files.
    pub async fn finish(self) -> Result<Written, Error> {
        todo!()
    }
}
