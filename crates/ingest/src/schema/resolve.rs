//! Decides for the rows of one table whether they fit it, or what must change first. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cenote_catalog::{Names, TableDef, TableKind};
use cenote_codec::Rows;
use cenote_datafile::arrow_type;
use cenote_vocab::{Field, FieldId, FieldType, Ids, Micros};

use super::convert::{convert, shown};
use super::defaults::defaults;
use super::timestamps;
use crate::wal::Shape;
use crate::{Error, IngestOptions};

/// Where rows go.
pub(crate) struct Target<'a> {
    pub(crate) database: &'a str,
    pub(crate) names: &'a Names,
    pub(crate) options: &'a IngestOptions,
    /// Fractions turn BIGINT columns into DOUBLE.
    pub(crate) widens: bool,
    /// When the request came, for defaults.
    pub(crate) now: Micros,
    /// For defaults.
    pub(crate) ids: &'a Ids,
    /// The columns of a table at its present schema number.
    pub(crate) shape: &'a dyn Fn(&TableDef) -> Result<Arc<Shape>, Error>,
}

/// What comes of the rows of one table.
pub(crate) enum Resolved {
    /// They fit.
    Fits(Fitted),
    /// The table changes first; then ask again.
    Needs(Change),
}

/// Rows in the table's own types.
pub(crate) struct Fitted {
    pub(crate) table: Arc<TableDef>,
    pub(crate) shape: Arc<Shape>,
    /// The columns that were sent, in the table's order, with field ids.
    pub(crate) batch: RecordBatch,
    /// Smallest and largest time in µs.
    pub(crate) time_range: Option<(i64, i64)>,
}

/// What must change before rows fit.
#[derive(Debug)]
pub(crate) enum Change {
    /// The table is not there.
    Create {
        name: String,
        /// Besides `time`.
        columns: Vec<(String, FieldType)>,
        tags: Vec<String>,
    },
    /// Its columns do not take the rows.
    Alter {
        table: Arc<TableDef>,
        add: Vec<(String, FieldType)>,
        tags: Vec<String>,
        widen: Vec<(FieldId, FieldType)>,
    },
}

impl Change {
    /// The name of the table that changes.
    pub(crate) fn table(&self) -> &str {
        match self {
            Self::Create { name, .. } => name,
            Self::Alter { table, .. } => &table.name,
        }
    }
}

/// The name of the time column that every decoder gives.
pub(super) const TIME: &str = "time";

impl Target<'_> {
    /// Decides for `rows`. `TypeConflict`, `MissingValue`, `CreationOff`, `NotATable`, or a limit.
    pub(crate) fn resolve(&self, rows: &Rows) -> Result<Resolved, Error> {
        let existing = self.names.schemas.get(self.database).and_then(|(_, tables)| tables.get(&rows.table));
        match existing {
            Some(table) if matches!(table.kind, TableKind::View { .. }) => {
                Err(Error::NotATable(table.full_name()))
            }
            Some(table) => self.fit(table, rows),
            None => self.create(rows).map(Resolved::Needs),
        }
    }

    fn create(&self, rows: &Rows) -> Result<Change, Error> {
        if !self.options.create_tables {
            return Err(Error::CreationOff(format!(
                "table \"{}\".\"{}\" does not exist and ingest.create_tables is off",
                self.database, rows.table
            )));
        }
        self.check_columns(&rows.table, rows.batch.num_columns())?;
        let others = rows.batch.schema_ref().fields().iter().filter(|field| field.name() != TIME);
        let columns = others.map(|field| column_of(field, rows)).collect::<Result<_, Error>>()?;
        Ok(Change::Create { name: rows.table.clone(), columns, tags: listable(&rows.tags) })
    }

    fn fit(&self, table: &Arc<TableDef>, rows: &Rows) -> Result<Resolved, Error> {
        let (mut add, mut widen, mut columns) = (Vec::new(), Vec::new(), HashMap::new());
        let known_tags: Vec<FieldId> = table.tags().map(|tag| tag.id).collect();
        let mut place = 0;
        for (field, column) in rows.batch.schema_ref().fields().iter().zip(rows.batch.columns()) {
            // Columns mostly come in the table's order.
            let expected = table.schema.fields.get(place).filter(|known| known.name == *field.name());
            let Some(known) = expected.or_else(|| table.schema.field(field.name())) else {
                add.push(column_of(field, rows)?);
                continue;
            };
            place += 1;
            let tag = rows.tags.contains(field.name());
            if tag && !matches!(known.field_type, FieldType::String | FieldType::Unknown) {
                return Err(self.conflict(table, known, column, 0, "a tag"));
            }
            if column.data_type() == &DataType::Null || column.null_count() == column.len() {
                // a column that is not there is NULL, unless it has a default: then a sent NULL must be told from none
                if known.initial_default.is_some() || known.write_default.is_some() {
                    let nulls = arrow::array::new_null_array(&arrow_type(&known.field_type), column.len());
                    columns.insert(known.id, nulls);
                }
                continue;
            }
            let tag = tag || known_tags.contains(&known.id);
            match (&known.field_type, convert(column, &known.field_type, tag)) {
                (FieldType::Unknown, _) => {
                    widen.push((known.id, column_of(field, rows)?.1));
                }
                (_, Ok(converted)) => {
                    columns.insert(known.id, converted);
                }
                (FieldType::Int64, Err(_)) if self.widens && column.data_type() == &DataType::Float64 => {
                    widen.push((known.id, FieldType::Double));
                }
                (_, Err(misfit)) => {
                    let given = given_name(field);
                    return Err(self.conflict(table, known, column, misfit.row, &given));
                }
            }
        }
        let tags: Vec<String> = listable(&rows.tags)
            .into_iter()
            .filter(|tag| !table.tags().any(|known| known.name == *tag))
            .collect();
        if !(add.is_empty() && widen.is_empty() && tags.is_empty()) {
            if !add.is_empty() && !self.options.create_columns {
                return Err(Error::CreationOff(format!(
                    "column {:?} of \"{}\".\"{}\" does not exist and ingest.create_columns is off",
                    add[0].0, self.database, rows.table
                )));
            }
            self.check_columns(&rows.table, table.schema.fields.len() + add.len())?;
            return Ok(Resolved::Needs(Change::Alter { table: Arc::clone(table), add, tags, widen }));
        }
        self.fill(table, &mut columns, rows.batch.num_rows())?;
        self.check_required(table, &columns)?;
        let shape = (self.shape)(table)?;
        let time_range = table.time_field.and_then(|id| timestamps::range(columns.get(&id)?));
        let batch = assemble(table, &shape.schema, columns, rows.batch.num_rows())?;
        Ok(Resolved::Fits(Fitted { table: Arc::clone(table), shape, batch, time_range }))
    }

    /// Columns that were not sent get their defaults. One without a default for new rows, but with one for older ones, is NULL by
    /// itself: a column that is not there would be taken for an older row's.
    fn fill(
        &self,
        table: &TableDef,
        columns: &mut HashMap<FieldId, ArrayRef>,
        rows: usize,
    ) -> Result<(), Error> {
        for field in &table.schema.fields {
            if columns.contains_key(&field.id) {
                continue;
            }
            let filled = match (&field.write_default, &field.initial_default) {
                (Some(default), _) => defaults(default, field, rows, self.now, self.ids),
                (None, Some(_)) => Ok(arrow::array::new_null_array(&arrow_type(&field.field_type), rows)),
                (None, None) => continue,
            };
            let filled = filled.map_err(|error| Error::Table(error.into()))?;
            columns.insert(field.id, filled);
        }
        Ok(())
    }

    fn check_required(&self, table: &TableDef, columns: &HashMap<FieldId, ArrayRef>) -> Result<(), Error> {
        let lacks = |field: &&Field| {
            field.required && columns.get(&field.id).is_none_or(|column| column.null_count() > 0)
        };
        match table.schema.fields.iter().find(lacks) {
            None => Ok(()),
            Some(field) => Err(Error::MissingValue {
                database: self.database.to_owned(),
                table: table.name.clone(),
                column: field.name.clone(),
            }),
        }
    }

    fn check_columns(&self, table: &str, columns: usize) -> Result<(), Error> {
        let max = self.options.limits.columns_max;
        if columns <= max {
            return Ok(());
        }
        let what = format!("number of columns of table {table:?} ({columns})");
        Err(cenote_codec::Error::Limit { what, max: max as u64, limit: "columns_per_table_max" }.into())
    }

    fn conflict(&self, table: &TableDef, known: &Field, column: &ArrayRef, row: usize, given: &str) -> Error {
        Error::TypeConflict {
            database: self.database.into(),
            table: table.name.as_str().into(),
            column: known.name.as_str().into(),
            expected: known.field_type.sql_name().to_lowercase().into(),
            given: given.into(),
            row: row as u64,
            value: shown(column, row).into(),
        }
    }
}

/// A new column of the type that was sent.
fn column_of(field: &FieldRef, rows: &Rows) -> Result<(String, FieldType), Error> {
    let field_type = match rows.tags.contains(field.name()) {
        true => FieldType::String,
        false => cenote_datafile::field_type(field).map_err(cenote_table::Error::from)?,
    };
    if field_type.is_nested() {
        let (column, given) = (field.name().clone(), field.data_type().to_string());
        let refused = cenote_datafile::Error::TypeNotStorable { column, given };
        return Err(cenote_table::Error::from(refused).into()); // columns of such types are declared, not guessed
    }
    Ok((field.name().clone(), field_type))
}

fn given_name(field: &FieldRef) -> String {
    match cenote_datafile::field_type(field) {
        Ok(field_type) => field_type.sql_name().to_lowercase(),
        Err(_) => field.data_type().to_string(),
    }
}

/// Tags that the comma list of the table option can hold; others stay plain text columns.
fn listable(tags: &[String]) -> Vec<String> {
    tags.iter().filter(|tag| !tag.contains(',')).cloned().collect()
}

fn assemble(
    table: &TableDef,
    schema: &SchemaRef,
    mut columns: HashMap<FieldId, ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, Error> {
    let (mut fields, mut arrays) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for (field, arrow) in table.schema.fields.iter().zip(schema.fields()) {
        if let Some(array) = columns.remove(&field.id) {
            fields.push(Arc::clone(arrow));
            arrays.push(array);
        }
    }
    let schema = if fields.len() == schema.fields().len() {
        Arc::clone(schema)
    } else {
        Arc::new(Schema::new(fields))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| Error::Internal(format!("rows of table {}: {error}", table.full_name())))
}
