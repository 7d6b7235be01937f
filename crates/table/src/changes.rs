//! The change feed: which rows a table gained and lost, transaction by transaction, in one order.
//!
//! ```text
//! catalog: files and vectors that came and went ─ plan ─► steps, one per file of a transaction
//!                                     step ─ read: its rows, with place and kind ─► batches
//! ```
//! Order: (transaction, file, position). A transaction's files have larger ids than all before, so what it deleted comes before
//! what it inserted. Invariants: only commits that changed rows are seen, so compaction never shows; a reader that goes on after
//! the [`ChangePosition`] of its last row misses none and sees none twice, also inside of one huge commit; held are one page of
//! the catalog's answer and one open file.

mod pairs;
mod plan;
mod position;
mod read;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{TableDef, TableDelta};
use cenote_datafile::arrow_schema;
use cenote_vocab::{FieldId, Scope, TableSchema, Txn};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

pub use position::{ChangePosition, InvalidPosition};

use crate::{Error, Lake};
use plan::Step;
use read::StepReader;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeType {
    /// It came.
    Insert,
    /// It went.
    Delete,
    /// It was this before an update.
    UpdatePreimage,
    /// It is this after an update.
    UpdatePostimage,
}

impl ChangeType {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Insert, Self::Delete, Self::UpdatePreimage, Self::UpdatePostimage];

    /// As `_change_type` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Delete => "delete",
            Self::UpdatePreimage => "update_preimage",
            Self::UpdatePostimage => "update_postimage",
        }
    }
}

/// Whether rows that were too old are shown as deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expired {
    /// They went without a word.
    #[default]
    Hidden,
    /// They show as deleted.
    Shown,
}

/// What a reader of a table's changes wants.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// Everything up to here is known already.
    pub after: ChangePosition,
    /// The last transaction; its schema is that of the table as it was handed over.
    pub to: Txn,
    /// Kinds to show.
    pub types: Vec<ChangeType>,
    /// Rows that were too old.
    pub expired: Expired,
    /// Columns of the table to read, in this order.
    pub columns: Vec<FieldId>,
}

/// Names of the columns that stand before the table's.
pub const CHANGE_COLUMNS: [&str; 6] = ["_txn", "_committed_at", "_change_type", "_row_id", "_file", "_pos"];

/// The columns of every change.
pub fn change_fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types = [DataType::Int64, time, DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Int64];
    let fields = CHANGE_COLUMNS.iter().zip(types);
    fields.map(|(name, data_type)| Field::new(*name, data_type, false)).collect()
}

/// Changes of a table, batch by batch.
pub type ChangeStream = BoxStream<'static, Result<RecordBatch, Error>>;

impl Lake {
    /// The changes that are asked for, as batches of [`change_fields`] and the wanted columns. `table` is the table as of the
    /// request's last transaction.
    ///
    /// The stream fails with `ChangesExpired` below the table's history floor, with `SnapshotFuture` above the head.
    pub fn changes(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        request: ChangeRequest,
    ) -> Result<ChangeStream, Error> {
        Error::refuse_view(table)?;
        if request.after.txn > request.to {
            return Err(Error::Range { after: request.after.txn, to: request.to });
        }
        let wanted = wanted_columns(table, &request.columns)?;
        let mut fields = change_fields();
        fields.extend(arrow_schema(&wanted).fields().iter().map(|field| field.as_ref().clone()));
        let feed = Feed {
            lake: self.clone(),
            scope: scope.clone(),
            table: table.clone(),
            reached: request.after.before(),
            request,
            wanted: Arc::new(wanted),
            schema: Arc::new(Schema::new(fields)),
            deltas: VecDeque::new(),
            steps: VecDeque::new(),
            open: None,
        };
        Ok(stream::try_unfold(feed, |mut feed| async move {
            let batch = feed.next().await?;
            Ok(batch.map(|batch| (batch, feed)))
        })
        .boxed())
    }
}

/// The columns, each nullable: a row that is gone may lack what is required by now.
fn wanted_columns(table: &TableDef, columns: &[FieldId]) -> Result<TableSchema, Error> {
    let fields = columns.iter().map(|id| match table.schema.field_by_id(*id) {
        Some(field) => Ok(cenote_vocab::Field { required: false, ..field.clone() }),
        None => Err(Error::Internal(format!("table {} has no field {id}", table.full_name()))),
    });
    Ok(TableSchema { no: table.schema.no, fields: fields.collect::<Result<_, Error>>()? })
}

/// A feed on its way.
struct Feed {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    request: ChangeRequest,
    wanted: Arc<TableSchema>,
    schema: SchemaRef,
    /// Everything up to here has become deltas.
    reached: Txn,
    deltas: VecDeque<TableDelta>,
    steps: VecDeque<Step>,
    open: Option<StepReader>,
}

impl Feed {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            if let Some(reader) = &mut self.open {
                if let Some(batch) = reader.next().await? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            if let Some(step) = self.steps.pop_front() {
                let types = &self.request.types;
                let reader = StepReader::open(
                    &self.lake,
                    &self.scope,
                    &self.table,
                    step,
                    &self.wanted,
                    &self.schema,
                    types,
                );
                self.open = Some(reader.await?);
            } else if let Some(delta) = self.deltas.pop_front() {
                let pairs = pairs::pairs(&self.lake, &self.scope, &self.table, &delta).await?;
                self.steps = plan::steps(&delta, pairs.as_ref(), &self.request).into();
            } else if self.reached < self.request.to {
                let (from, to) = (self.reached, self.request.to);
                let changes = self.lake.catalog.changes(&self.scope, &self.table, from, to).await?;
                (self.deltas, self.reached) = (changes.deltas.into(), changes.reached);
            } else {
                return Ok(None);
            }
        }
    }
}
