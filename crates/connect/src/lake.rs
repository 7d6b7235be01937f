//! A table of the lake as a source of appended rows: what it holds at the start, then what is inserted.
//!
//! ```text
//! ""  ─►  snapshot:S:file:row  ─►  S  ─►  txn  or  txn:file:position  (the change feed)
//! ```
//! Files of the snapshot are read by their smallest time, so that the watermark can follow. A hold keeps what is not read
//! yet. Buffered rows are flushed when they are asked for: a feed knows files only.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_catalog::{Hold, TableDef};
use cenote_datafile::{RowSet, adapt, sql_schema};
use cenote_ingest::Ingest;
use cenote_table::{
    CHANGE_COLUMNS, ChangePosition, ChangeRequest, ChangeType, Expired, Lake, Predicate, ScanFile,
};
use cenote_vocab::{FieldId, FileId, Micros, Scope, Txn};
use futures::TryStreamExt;

use crate::{Error, Pulled, Source, stamped};

/// How often the buffer of the table is looked at: rows wait no longer than this for their flush.
const FEED_DELAY: Duration = Duration::from_millis(250);
/// How long a hold lives without being renewed.
const HOLD_TTL: Duration = Duration::from_secs(3 * 86_400);
/// How often it is renewed, and moves on.
const HOLD_RENEW: Duration = Duration::from_secs(60);

/// Where a reader of a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing was read yet.
    Start,
    /// Of the snapshot, so many files, and so many rows of the next.
    Snapshot { txn: Txn, files: usize, rows: usize },
    /// In the change feed.
    Feed(ChangePosition),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Start);
        }
        let Some(rest) = text.strip_prefix("snapshot:") else { return text.parse().ok().map(Self::Feed) };
        let mut parts = rest.split(':');
        let place = Self::Snapshot {
            txn: Txn(parts.next()?.parse().ok()?),
            files: parts.next()?.parse().ok()?,
            rows: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }

    /// History from here on is needed.
    fn txn(self) -> Option<Txn> {
        match self {
            Self::Start => None,
            Self::Snapshot { txn, .. } => Some(txn),
            Self::Feed(position) => Some(position.txn),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::Snapshot { txn, files, rows } => write!(f, "snapshot:{txn}:{files}:{rows}"),
            Self::Feed(position) => position.fmt(f),
        }
    }
}

/// The reader of one table.
pub struct LakeSource {
    lake: Lake,
    ingest: Ingest,
    scope: Scope,
    /// As it was planned.
    table: Arc<TableDef>,
    schema: SchemaRef,
    /// Name of the hold.
    holder: String,
    hold: Option<(Hold, Micros)>,
    /// Files of the snapshot, by their smallest time.
    files: Option<(Txn, Vec<ScanFile>)>,
}

impl LakeSource {
    /// Columns of its rows, without the event time.
    pub fn columns(table: &TableDef) -> Schema {
        let fields = sql_schema(&table.schema);
        Schema::new(
            fields
                .fields()
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect::<Vec<_>>(),
        )
    }

    /// Of a table as it was planned; `holder` names the hold of its history.
    pub fn new(lake: Lake, ingest: Ingest, scope: Scope, table: Arc<TableDef>, holder: String) -> Self {
        let schema = stamped(&Self::columns(&table));
        Self { lake, ingest, scope, table, schema, holder, hold: None, files: None }
    }

    fn name(&self) -> String {
        self.table.full_name()
    }

    fn place(&self, position: &str) -> Result<Place, Error> {
        Place::parse(position)
            .ok_or_else(|| Error::Position { source_name: self.name(), position: position.to_owned() })
    }

    /// The table as of `at`; `Changed` if columns that the pipeline reads are other by then.
    async fn table_at(&self, at: Txn) -> Result<Arc<TableDef>, Error> {
        let names = self.lake.catalog.names(&self.scope, at).await?;
        let changed = |reason: &str| Error::Changed { source_name: self.name(), reason: reason.to_owned() };
        let table = names.tables().find(|table| table.id == self.table.id).cloned();
        let table = table.ok_or_else(|| changed("it was dropped"))?;
        for field in &self.table.schema.fields {
            match table.schema.field_by_id(field.id) {
                None => return Err(changed(&format!("column {:?} was dropped", field.name))),
                Some(now) if now.field_type != field.field_type => {
                    return Err(changed(&format!("column {:?} is {} by now", field.name, now.field_type)));
                }
                Some(_) => {}
            }
        }
        Ok(table)
    }

    /// Sees to it that history from `from` on is kept.
    async fn keep(&mut self, from: Txn, now: Micros) -> Result<(), Error> {
        let catalog = &self.lake.catalog;
        let held = match self.hold.take() {
            Some(held) => Some(held),
            None => {
                let holds = catalog.holds(&self.scope).await?;
                let own = holds
                    .into_iter()
                    .find(|hold| hold.holder == self.holder && hold.table == Some(self.table.id));
                own.map(|hold| (hold, Micros(i64::MIN)))
            }
        };
        let gone = |error: cenote_catalog::Error| match error {
            cenote_catalog::Error::SnapshotExpired(reason) => {
                Error::Gone { source_name: self.table.full_name(), reason }
            }
            error => error.into(),
        };
        self.hold = Some(match held {
            Some((hold, renewed)) if now.since(renewed) < HOLD_RENEW => (hold, renewed),
            Some((hold, _)) => {
                let txn = Some(from).filter(|from| *from > hold.txn);
                (catalog.renew_hold(&self.scope, hold.id, txn, HOLD_TTL).await?, now)
            }
            None => {
                let held = catalog.hold(&self.scope, Some(self.table.id), from, &self.holder, HOLD_TTL);
                (held.await.map_err(gone)?, now)
            }
        });
        Ok(())
    }

    /// Rows of the snapshot, file by file.
    async fn read_snapshot(
        &mut self,
        (txn, mut file, mut row): (Txn, usize, usize),
        rows_max: usize,
        now: Micros,
    ) -> Result<Pulled, Error> {
        self.keep(txn, now).await?;
        self.load_files(txn).await?;
        let files = self.files.as_ref().map_or(&[][..], |(_, files)| files);
        let mut batches = Vec::new();
        let mut rows = 0;
        while file < files.len() && rows < rows_max {
            let vector = files[file].entry.vector.as_ref().map(|visible| visible.vector.clone());
            let (entry, live) = (&files[file].entry, RowSet::live(vector));
            let wanted = &self.table.schema;
            let mut stream = self.lake.read_file(&self.scope, &self.table, entry, live, wanted).await?;
            let mut seen = 0;
            while rows < rows_max
                && let Some(batch) = stream.try_next().await?
            {
                let first = row.saturating_sub(seen).min(batch.num_rows());
                let taken = (batch.num_rows() - first).min(rows_max - rows);
                if taken > 0 {
                    batches.push(self.stamp(&batch.slice(first, taken), now)?);
                    row = seen + first + taken;
                    rows += taken;
                }
                seen += batch.num_rows();
            }
            if rows < rows_max {
                (file, row) = (file + 1, 0);
            }
        }
        let floor = files[file..]
            .iter()
            .filter_map(|file| file.entry.file.time_range)
            .map(|(min, _)| Micros(min))
            .min();
        if file == files.len() && rows == 0 {
            return self.read_feed(ChangePosition::end_of(txn), rows_max, now).await;
        }
        let place = match file < files.len() {
            true => Place::Snapshot { txn, files: file, rows: row },
            false => Place::Feed(ChangePosition::end_of(txn)),
        };
        Ok(pulled(batches, place, floor))
    }

    async fn load_files(&mut self, txn: Txn) -> Result<(), Error> {
        if self.files.as_ref().is_some_and(|(loaded, _)| *loaded == txn) {
            return Ok(());
        }
        let table = self.table_at(txn).await?;
        let scan = self.lake.scan(&self.scope, &table, txn, &Predicate::True).await?;
        let mut files = scan.files;
        files.sort_by_key(|file| (file.entry.file.time_range.map(|(min, _)| min), file.entry.id));
        self.files = Some((txn, files));
        Ok(())
    }

    /// Rows that were inserted after `after`.
    async fn read_feed(
        &mut self,
        after: ChangePosition,
        rows_max: usize,
        now: Micros,
    ) -> Result<Pulled, Error> {
        self.keep(after.txn, now).await?;
        if self.ingest.buffered(self.table.id).0 > 0 {
            self.ingest.flush(&self.scope, &self.table).await?;
        }
        let head = self.lake.catalog.head(&self.scope).await?.txn;
        let table = self.table_at(head).await?;
        let request = ChangeRequest {
            after,
            to: head.max(after.txn),
            types: vec![ChangeType::Insert],
            expired: Expired::Hidden,
            columns: self.columns_read(),
        };
        let mut changes = self.lake.changes(&self.scope, &table, request)?;
        let (mut batches, mut rows) = (Vec::new(), 0);
        let mut position = ChangePosition::end_of(head.max(after.txn));
        while let Some(batch) = changes.try_next().await.map_err(|error| self.gone(error))? {
            let taken = batch.num_rows().min(rows_max - rows);
            let batch = batch.slice(0, taken);
            rows += taken;
            if rows >= rows_max {
                position = last_position(&batch)?;
            }
            let columns: Vec<usize> = (CHANGE_COLUMNS.len()..batch.num_columns()).collect();
            batches.push(self.stamp(&batch.project(&columns)?, now)?);
            if rows >= rows_max {
                break;
            }
        }
        Ok(pulled(batches, Place::Feed(position), None))
    }

    fn columns_read(&self) -> Vec<FieldId> {
        self.table.schema.fields.iter().map(|field| field.id).collect()
    }

    fn gone(&self, error: cenote_table::Error) -> Error {
        match error {
            cenote_table::Error::Catalog(error @ cenote_catalog::Error::ChangesExpired { .. }) => {
                Error::Gone { source_name: self.name(), reason: error.to_string() }
            }
            error => error.into(),
        }
    }

    /// The batch in the columns of the source, with the event time behind them.
    fn stamp(&self, batch: &RecordBatch, now: Micros) -> Result<RecordBatch, Error> {
        let given = batch.schema();
        let pairs = batch.columns().iter().zip(given.fields()).zip(self.schema.fields());
        let mut columns: Vec<ArrayRef> =
            pairs.map(|((column, given), wanted)| adapt(column, given, wanted)).collect::<Result<_, _>>()?;
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = match self.table.time_column() {
            None => Arc::new(TimestampMicrosecondArray::from(vec![now.0; batch.num_rows()])) as ArrayRef,
            Some(field) => {
                let at = self.table.schema.fields.iter().position(|other| other.id == field.id).unwrap_or(0);
                let times = cast(&columns[at], &micros)?;
                if times.null_count() > 0 {
                    return Err(Error::NoEventTime { source_name: self.name(), column: field.name.clone() });
                }
                times
            }
        };
        columns.push(times);
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

fn pulled(batches: Vec<RecordBatch>, place: Place, floor: Option<Micros>) -> Pulled {
    let position = place.to_string();
    Pulled { batches, places: Vec::new(), bad: Vec::new(), position, ended: false, floor }
}

/// The place of the last row of a batch of changes.
fn last_position(batch: &RecordBatch) -> Result<ChangePosition, Error> {
    let last = batch.num_rows().saturating_sub(1);
    let value = |name: &str| {
        let column =
            batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        column.map(|column: &arrow::array::PrimitiveArray<Int64Type>| column.value(last))
    };
    match (value("_txn"), value("_file"), value("_pos").map(u64::try_from)) {
        (Some(txn), Some(file), Some(Ok(position))) => {
            Ok(ChangePosition { txn: Txn(txn), row: Some((FileId(file), position)) })
        }
        _ => Err(arrow::error::ArrowError::SchemaError("a batch of changes without places".into()).into()),
    }
}

#[async_trait]
impl Source for LakeSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn node(&self) -> String {
        self.table.id.to_string()
    }

    async fn read(&mut self, from: &str, rows_max: usize, now: Micros) -> Result<Pulled, Error> {
        match self.place(from)? {
            Place::Start => {
                if self.ingest.buffered(self.table.id).0 > 0 {
                    self.ingest.flush(&self.scope, &self.table).await?;
                }
                let head = self.lake.catalog.head(&self.scope).await?.txn;
                self.read_snapshot((head, 0, 0), rows_max, now).await
            }
            Place::Snapshot { txn, files, rows } => {
                self.read_snapshot((txn, files, rows), rows_max, now).await
            }
            Place::Feed(position) => self.read_feed(position, rows_max, now).await,
        }
    }

    async fn wait(&self, from: &str) {
        let Ok(Place::Feed(position)) = self.place(from) else { return };
        loop {
            tokio::select! {
                txn = self.lake.catalog.changed(&self.scope, position.txn) => {
                    if txn > position.txn {
                        return;
                    }
                }
                () = self.lake.clock.pause(FEED_DELAY) => {}
            }
            if self.ingest.buffered(self.table.id).0 > 0 {
                return;
            }
        }
    }

    async fn committed(&mut self, position: &str) -> Result<(), Error> {
        if !matches!(self.place(position)?, Place::Snapshot { .. }) {
            self.files = None;
        }
        match self.place(position)?.txn() {
            Some(txn) => self.keep(txn, self.lake.clock.now()).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_it_is_read() {
        for text in ["", "snapshot:7:2:100", "9", "9:3:17"] {
            assert_eq!(Place::parse(text).expect(text).to_string(), text);
        }
        for text in ["snapshot:7", "snapshot:7:2:1:1", "x", "1:2"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
