//! A table of the lake as a source: what it holds at the start, then what is inserted, or all that changes.
//!
//! ```text
//! ""  ─►  snapshot:S:file:row  ─►  S  ─►  txn  or  txn:file:position  (the change feed)
//! ```
//! Files of the snapshot are read by their smallest time, so that the watermark can follow. A hold keeps what is not read
//! yet. Buffered rows are flushed when they are asked for: a feed knows files only. Changes are read by whole transactions,
//! since rows of half a one are rows that never were.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_catalog::{Hold, TableDef};
use cenote_datafile::{ROW_ID as ROW_ID_FIELD, RowSet, adapt, sql_schema};
use cenote_ingest::Ingest;
use cenote_table::{
    CHANGE_COLUMNS, ChangePosition, ChangeRequest, ChangeType, Expired, Lake, Predicate, ScanFile,
};
use cenote_vocab::{Field, FieldId, FieldType, FileId, Micros, Scope, TableSchema, Txn};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::source::{ROW_ID, changed};
use crate::{Error, Pulled, Source, Wanted, stamped};

/// Rows that come one after the other are flushed together, this often: none waits longer.
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

/// What of a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LakeMode {
    /// Rows that are inserted; others are counted.
    Append,
    /// Every change, each row with its weight.
    Changes,
}

/// Whether somebody asks when rows happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// A row without a time cannot be used.
    Asked,
    /// It can.
    Unasked,
}

/// What of a table is read, as it was planned.
#[derive(Clone, Debug)]
pub struct LakeRead {
    /// The table.
    pub table: Arc<TableDef>,
    /// Which rows.
    pub mode: LakeMode,
    /// Places of columns that are looked at; what becomes of others does not matter.
    pub columns: BTreeSet<usize>,
    /// Their event time.
    pub times: Times,
}

/// The reader of one table.
pub struct LakeSource {
    lake: Lake,
    ingest: Ingest,
    scope: Scope,
    /// As it was planned.
    table: Arc<TableDef>,
    mode: LakeMode,
    times: Times,
    schema: SchemaRef,
    /// Columns that are read, with their places in `schema`.
    read: Vec<(usize, Field)>,
    /// Name of the hold.
    holder: String,
    hold: Option<(Hold, Micros)>,
    /// Files of the snapshot, by their smallest time.
    files: Option<(Txn, Vec<ScanFile>)>,
    /// The file that was read last, if it goes on.
    open: Mutex<Option<OpenFile>>,
    /// When buffered rows were last told of, in µs.
    woken: AtomicI64,
}

/// A file of the snapshot that is being read. An epoch takes some of its rows, the next goes on.
struct OpenFile {
    /// The snapshot, the number of the file, and how many of its live rows were answered.
    at: (Txn, usize, usize),
    /// Where those lie that were not.
    places: Places,
    /// Rows that were read, and not answered yet.
    rest: Option<RecordBatch>,
    batches: BoxStream<'static, Result<RecordBatch, cenote_table::Error>>,
}

impl OpenFile {
    /// At most so many rows; `None` at the end.
    async fn next(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, Error> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.batches.try_next().await? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        if batch.num_rows() <= rows_max {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(rows_max, batch.num_rows() - rows_max));
        Ok(Some(batch.slice(0, rows_max)))
    }
}

/// Ascending places in a file, as runs.
struct Places(VecDeque<Range<u64>>);

impl Places {
    fn skip(&mut self, mut rows: u64) {
        while rows > 0
            && let Some(run) = self.0.front_mut()
        {
            let skipped = rows.min(run.end - run.start);
            run.start += skipped;
            rows -= skipped;
            if run.is_empty() {
                self.0.pop_front();
            }
        }
    }

    /// The next ones, as runs.
    fn take(&mut self, rows: usize) -> Vec<Range<u64>> {
        let mut left = rows as u64;
        let mut taken = Vec::new();
        while left > 0
            && let Some(run) = self.0.front()
        {
            let part = run.start..run.end.min(run.start + left);
            left -= part.end - part.start;
            self.skip(part.end - part.start);
            taken.push(part);
        }
        taken
    }
}

/// Who the rows of a file's batch are: the ids that stand in it, else the file's first and their places.
fn row_ids(batch: &RecordBatch, first: i64, places: Vec<Range<u64>>) -> Int64Array {
    let stored = batch.column_by_name(ROW_ID).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let ids = places.into_iter().flatten().enumerate().map(|(at, place)| {
        match stored.filter(|stored| stored.is_valid(at)) {
            Some(stored) => stored.value(at),
            None => first.saturating_add_unsigned(place),
        }
    });
    Int64Array::from_iter_values(ids)
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
    pub fn new(
        (lake, ingest): (Lake, Ingest),
        scope: Scope,
        LakeRead { table, mode, columns: read, times }: LakeRead,
        holder: String,
    ) -> Self {
        let time = table.time_column().filter(|_| times == Times::Asked).map(|field| field.id);
        let is_read = |(at, field): &(usize, &Field)| read.contains(at) || Some(field.id) == time;
        let read = table.schema.fields.iter().enumerate().filter(is_read);
        let read = read.map(|(at, field)| (at, field.clone())).collect();
        let columns = Self::columns(&table);
        let schema = match mode {
            LakeMode::Append => stamped(&columns),
            LakeMode::Changes => changed(&columns),
        };
        let (hold, files, open, woken) = (None, None, Mutex::new(None), AtomicI64::new(0));
        Self { lake, ingest, scope, table, mode, times, schema, read, holder, hold, files, open, woken }
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
        for (_, field) in &self.read {
            match table.schema.field_by_id(field.id) {
                None => return Err(changed(&format!("column {:?} was dropped", field.name))),
                Some(now) if now.field_type != field.field_type => {
                    return Err(changed(&format!(
                        "column {:?} is {} by now",
                        field.name,
                        now.field_type.sql_name()
                    )));
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
            // The catalog knows it by its id only.
            cenote_catalog::Error::TableNotFound { .. } => {
                Error::Changed { source_name: self.table.full_name(), reason: "it was dropped".to_owned() }
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
        wanted: Wanted,
    ) -> Result<Pulled, Error> {
        let Wanted { rows_max, now, .. } = wanted;
        self.keep(txn, now).await?;
        self.load_files(txn).await?;
        let mut open = self.open.get_mut().take().filter(|open| open.at == (txn, file, row));
        let files = self.files.as_ref().map_or(&[][..], |(_, files)| files);
        let (mut batches, mut rows) = (Vec::new(), 0);
        while file < files.len() && rows < rows_max {
            let mut reading = match open.take() {
                Some(reading) => reading,
                None => self.open_file((txn, file, row), &files[file]).await?,
            };
            let Some(batch) = reading.next(rows_max - rows).await? else {
                (file, row) = (file + 1, 0);
                continue;
            };
            let places = reading.places.take(batch.num_rows());
            let come = self.is_changes().then(|| {
                let ids = row_ids(&batch, files[file].entry.row_id_start, places);
                (ids, Int64Array::from_value(1, batch.num_rows()))
            });
            batches.push(self.stamp(&batch, now, come)?);
            (row, rows) = (row + batch.num_rows(), rows + batch.num_rows());
            reading.at = (txn, file, row);
            open = Some(reading);
        }
        let floor = files[file..]
            .iter()
            .filter_map(|file| file.entry.file.time_range)
            .map(|(min, _)| Micros(min))
            .min();
        if file == files.len() && rows == 0 {
            return self.read_feed(ChangePosition::end_of(txn), wanted).await;
        }
        let place = match file < files.len() {
            true => Place::Snapshot { txn, files: file, rows: row },
            false => Place::Feed(ChangePosition::end_of(txn)),
        };
        *self.open.get_mut() = open;
        let reached = self.is_changes().then_some(txn);
        Ok(Pulled { floor, reached, ..Pulled::of(batches, place.to_string()) })
    }

    fn is_changes(&self) -> bool {
        self.mode == LakeMode::Changes
    }

    /// The columns that are read of files. Of changes, and where no column is read, who a row is.
    fn columns_of_files(&self) -> Arc<TableSchema> {
        let mut fields: Vec<Field> = self.read.iter().map(|(_, field)| field.clone()).collect();
        if self.is_changes() || fields.is_empty() {
            fields.push(Field::new(ROW_ID_FIELD, ROW_ID, FieldType::Int64));
        }
        Arc::new(TableSchema { fields, ..TableSchema::clone(&self.table.schema) })
    }

    /// A file from one of its live rows on.
    async fn open_file(&self, at: (Txn, usize, usize), file: &ScanFile) -> Result<OpenFile, Error> {
        let entry = &file.entry;
        let live = RowSet::live(entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let mut places = Places(live.runs(entry.file.rows).collect());
        places.skip(at.2 as u64);
        let batches = match places.0.front() {
            None => stream::empty().boxed(),
            Some(first) => {
                let rows =
                    first.start.checked_sub(1).map_or_else(|| live.clone(), |passed| live.after(passed));
                let columns = self.columns_of_files();
                self.lake.read_file(&self.scope, &self.table, entry, rows, &columns).await?
            }
        };
        Ok(OpenFile { at, places, rest: None, batches })
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

    /// What was inserted, or has changed, after `after`.
    async fn read_feed(&mut self, after: ChangePosition, wanted: Wanted) -> Result<Pulled, Error> {
        let Wanted { rows_max, now, upto } = wanted;
        self.keep(after.txn, now).await?;
        let upto = upto.max(after.txn);
        let table = self.table_at(upto).await?;
        let types = match self.mode {
            LakeMode::Append => vec![ChangeType::Insert, ChangeType::Delete, ChangeType::UpdatePostimage],
            LakeMode::Changes => ChangeType::ALL.to_vec(),
        };
        let columns = self.columns_read();
        let request = ChangeRequest { after, to: upto, types, expired: Expired::Hidden, columns };
        let mut changes = self.lake.changes(&self.scope, &table, request)?;
        let (mut batches, mut rows, mut skipped) = (Vec::new(), 0, 0);
        let (mut position, mut reached) = (ChangePosition::end_of(upto), upto);
        let mut last: Option<ChangePosition> = None;
        while let Some(batch) = changes.try_next().await.map_err(|error| self.gone(error))? {
            let txns = column(&batch, "_txn")?;
            let taken = match last.filter(|_| rows >= rows_max) {
                None if self.is_changes() => batch.num_rows(),
                None => batch.num_rows().min(rows_max - rows),
                // The rest of a transaction that was begun.
                Some(last) if self.is_changes() => {
                    txns.values().iter().take_while(|txn| **txn == last.txn.0).count()
                }
                Some(_) => 0,
            };
            let is_over = taken < batch.num_rows();
            let batch = batch.slice(0, taken);
            if taken > 0 {
                last = Some(last_position(&batch)?);
                rows += taken;
                let (batch, more) = self.change(&batch, now)?;
                skipped += more;
                batches.push(batch);
            }
            if is_over && let Some(last) = last {
                reached = last.txn;
                position = if self.is_changes() { ChangePosition::end_of(last.txn) } else { last };
                break;
            }
        }
        let reached = self.is_changes().then_some(reached);
        Ok(Pulled { reached, skipped, ..Pulled::of(batches, Place::Feed(position).to_string()) })
    }

    /// A batch of changes in the columns of the source, and how many rows were left out.
    fn change(&self, batch: &RecordBatch, now: Micros) -> Result<(RecordBatch, u64), Error> {
        let kinds = batch.column_by_name("_change_type").and_then(|column| column.as_string_opt::<i32>());
        let kinds = kinds.ok_or_else(no_places)?;
        let columns: Vec<usize> = (CHANGE_COLUMNS.len()..batch.num_columns()).collect();
        if self.is_changes() {
            let ids = column(batch, "_row_id")?.clone();
            let goes = [ChangeType::Delete.name(), ChangeType::UpdatePreimage.name()];
            let weights = kinds.iter().flatten().map(|kind| if goes.contains(&kind) { -1 } else { 1 });
            let weights = Int64Array::from_iter_values(weights);
            return Ok((self.stamp(&batch.project(&columns)?, now, Some((ids, weights)))?, 0));
        }
        let inserted: BooleanArray =
            kinds.iter().map(|kind| Some(kind == Some(ChangeType::Insert.name()))).collect();
        let kept = filter_record_batch(&batch.project(&columns)?, &inserted)?;
        let skipped = (batch.num_rows() - kept.num_rows()) as u64;
        Ok((self.stamp(&kept, now, None)?, skipped))
    }

    fn columns_read(&self) -> Vec<FieldId> {
        self.read.iter().map(|(_, field)| field.id).collect()
    }

    fn gone(&self, error: cenote_table::Error) -> Error {
        match error {
            cenote_table::Error::Catalog(error @ cenote_catalog::Error::ChangesExpired { .. }) => {
                Error::Gone { source_name: self.name(), reason: error.to_string() }
            }
            error => error.into(),
        }
    }

    /// A batch of what was read in the columns of the source, with the hidden ones behind them: of changes the ids and weights, `come`.
    /// Columns that nobody looks at are NULL.
    fn stamp(
        &self,
        batch: &RecordBatch,
        now: Micros,
        come: Option<(Int64Array, Int64Array)>,
    ) -> Result<RecordBatch, Error> {
        let given = batch.schema();
        let mut columns: Vec<ArrayRef> = self.schema.fields()[..self.table.schema.fields.len()]
            .iter()
            .map(|field| new_null_array(field.data_type(), batch.num_rows()))
            .collect();
        for (((at, _), column), given) in self.read.iter().zip(batch.columns()).zip(given.fields()) {
            columns[*at] = adapt(column, given, self.schema.field(*at))?;
        }
        let times = match (self.table.time_column(), self.times) {
            (Some(field), Times::Asked) => {
                let at = self.table.schema.fields.iter().position(|other| other.id == field.id).unwrap_or(0);
                let times = cast(&columns[at], &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                if times.null_count() > 0 {
                    return Err(Error::NoEventTime { source_name: self.name(), column: field.name.clone() });
                }
                times
            }
            _ => Arc::new(TimestampMicrosecondArray::from(vec![now.0; batch.num_rows()])) as ArrayRef,
        };
        columns.push(times);
        if let Some((ids, weights)) = come {
            columns.extend([Arc::new(ids) as ArrayRef, Arc::new(weights)]);
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// A column of every change.
fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, Error> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(no_places)
}

fn no_places() -> Error {
    arrow::error::ArrowError::SchemaError("a batch of changes without places".into()).into()
}

/// The place of the last row of a batch of changes.
fn last_position(batch: &RecordBatch) -> Result<ChangePosition, Error> {
    let last = batch.num_rows().saturating_sub(1);
    let value = |name: &str| column(batch, name).map(|column| column.value(last));
    let position = u64::try_from(value("_pos")?).map_err(|_| no_places())?;
    Ok(ChangePosition { txn: Txn(value("_txn")?), row: Some((FileId(value("_file")?), position)) })
}

#[async_trait]
impl Source for LakeSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn node(&self) -> String {
        self.table.id.to_string()
    }

    async fn settle(&mut self) -> Result<(), Error> {
        if self.ingest.buffered(self.table.id).0 > 0 {
            self.ingest.flush(&self.scope, &self.table).await?;
        }
        Ok(())
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        match self.place(from)? {
            Place::Start => self.read_snapshot((wanted.upto, 0, 0), wanted).await,
            Place::Snapshot { txn, files, rows } => self.read_snapshot((txn, files, rows), wanted).await,
            Place::Feed(position) => self.read_feed(position, wanted).await,
        }
    }

    fn reached(&self, position: &str) -> Option<Option<Txn>> {
        Some(match self.place(position) {
            Ok(Place::Feed(position)) => Some(position.txn),
            _ => None,
        })
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
                () = self.ingest.until_buffered(self.table.id) => {
                    // Rows after a silence are read at once, others together.
                    let now = self.lake.clock.now();
                    let before = Micros(self.woken.swap(now.0, Ordering::Relaxed));
                    let rest = FEED_DELAY.saturating_sub(now.since(before));
                    if !rest.is_zero() {
                        self.lake.clock.pause(rest).await;
                        self.woken.store(self.lake.clock.now().0, Ordering::Relaxed);
                    }
                    return;
                }
            }
        }
    }

    async fn committed(&mut self, position: &str) -> Result<(), Error> {
        if !matches!(self.place(position)?, Place::Snapshot { .. }) {
            self.files = None;
            *self.open.get_mut() = None;
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
    fn places_are_taken_in_pieces_each_once() {
        let mut places = Places(VecDeque::from([0..3, 5..6, 8..20]));
        places.skip(1);
        let mut taken = Vec::new();
        for rows in [1, 2, 4, 0, 30] {
            taken.push(places.take(rows).into_iter().flatten().collect::<Vec<_>>());
        }
        let rest: Vec<u64> = (11..20).collect();
        assert_eq!(taken, [vec![1], vec![2, 5], vec![8, 9, 10, 11], Vec::new(), rest[1..].to_vec()]);
        let batch = RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(vec![7; 3])) as ArrayRef)]);
        let ids = row_ids(&batch.expect("a batch"), 100, vec![2..3, 5..7]);
        assert_eq!(ids.values().to_vec(), [102, 105, 106]);
    }

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
