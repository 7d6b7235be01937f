//! The keys of a file's rows, with where and who each row is.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::row::Row;
use cenote_catalog::TableDef;
use cenote_datafile::{LAST_UPDATED, ROW_ID, RowSet, arrow_type, read_row_groups};
use cenote_vocab::{Field, FieldType, Scope, TableSchema};
use futures::TryStreamExt;

use super::RowKey;
use super::zones::Zones;
use crate::scan::ScanFile;
use crate::{Error, Lake};

/// Files of more rows have several row groups, which may be worth a look before they are read.
const ONE_GROUP_ROWS: u64 = 262_144;

/// Where a row is, who it is, and how new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) row_id: i64,
    pub(super) seq: i64,
}

/// Reads keys of one table's files.
pub(super) struct KeyReader<'a> {
    lake: &'a Lake,
    scope: &'a Scope,
    table: &'a TableDef,
    key: &'a RowKey,
    schema: Arc<TableSchema>,
}

impl<'a> KeyReader<'a> {
    pub(super) fn new((lake, scope): (&'a Lake, &'a Scope), table: &'a TableDef, key: &'a RowKey) -> Self {
        // earlier files may lack a value that is required by now
        let mut fields: Vec<Field> =
            key.fields().iter().map(|field| Field { required: false, ..field.clone() }).collect();
        fields.push(Field::new(ROW_ID, "_row_id", FieldType::Int64));
        fields.push(Field::new(LAST_UPDATED, "_last_updated_sequence_number", FieldType::Int64));
        Self { lake, scope, table, key, schema: Arc::new(TableSchema { no: table.schema.no, fields }) }
    }

    /// Shows every row of the file that is not deleted, but for row groups that the zones rule out.
    pub(super) async fn each(
        &self,
        file: &ScanFile,
        zones: Option<&Zones>,
        mut visit: impl FnMut(Row<'_>, Place),
    ) -> Result<(), Error> {
        let known = &file.entry.file;
        let rows = match zones {
            Some(zones) if known.rows > ONE_GROUP_ROWS => self.rows_in(file, zones).await?,
            _ => RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone())),
        };
        let read = self.lake.read_file(self.scope, self.table, &file.entry, rows.clone(), &self.schema);
        let mut batches = read.await?;
        let mut positions = rows.runs(known.rows).flatten();
        let key_columns = self.key.fields().len();
        while let Some(batch) = batches.try_next().await? {
            let keys = self.key.rows(&batch.columns()[..key_columns])?;
            let row_ids = batch.column(key_columns).as_primitive::<Int64Type>();
            let seqs = batch.column(key_columns + 1).as_primitive::<Int64Type>();
            for (at, position) in (0..batch.num_rows()).zip(&mut positions) {
                let own = file.entry.row_id_start.saturating_add_unsigned(position);
                let place = Place {
                    position,
                    row_id: if row_ids.is_valid(at) { row_ids.value(at) } else { own },
                    seq: if seqs.is_valid(at) { seqs.value(at) } else { file.entry.seq },
                };
                visit(keys.row(at), place);
            }
        }
        Ok(())
    }

    /// The rows that are not deleted, of the row groups that may hold one of the keys.
    async fn rows_in(&self, file: &ScanFile, zones: &Zones) -> Result<RowSet, Error> {
        let groups = read_row_groups(&self.lake.store, &file.stored()).await?;
        let mut gone =
            file.entry.vector.as_ref().map(|visible| (*visible.vector).clone()).unwrap_or_default();
        for group in groups {
            let may_hold = zones.may_hold(|range| {
                let column = group.columns.iter().find(|column| column.id == Some(range.field))?;
                let same = column.data_type == arrow_type(&range.field_type);
                column.bounds.clone().filter(|_| same)
            });
            if !may_hold {
                gone = gone.with_range(group.rows);
            }
        }
        Ok(RowSet::Except(Arc::new(gone)))
    }
}
