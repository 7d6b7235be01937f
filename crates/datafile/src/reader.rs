//! Reads one Parquet file as batches of a wanted schema, for compaction; queries have their own way.
//!
//! Columns are found by field id, so renamed, dropped and added ones are where they should be. What does not read, or
//! is not what the catalog knows of the file, is `Corrupt` and names it; no damage makes this panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use cenote_store::Store;
use cenote_vocab::TableSchema;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelection};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;

use crate::adapt::{absent, adapt};
use crate::object_reader::ObjectReader;
use crate::{Error, RowSet, StoredFile, arrow_schema};

/// What to read of a file.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The wanted columns; one that the file does not have is its initial default, one of another type is cast.
    pub schema: Arc<TableSchema>,
    /// Rows that the file must have, deleted ones included.
    pub row_count: u64,
    /// Rows to read.
    pub rows: RowSet,
    /// Rows per batch, at most.
    pub batch_rows: usize,
}

/// The rows of a file, in their order, as batches of [`arrow_schema`] of the wanted schema.
///
/// `Corrupt` if the file is damaged, has other row or byte counts, or values that do not fit the wanted types.
pub async fn read_batches(
    store: &Store,
    file: &StoredFile,
    options: ReadOptions,
) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
    let opened = AssertUnwindSafe(open(store, file, &options)).catch_unwind().await;
    opened.unwrap_or_else(|_| Err(corrupt(&file.path, "the decoder panicked")))
}

async fn open(
    store: &Store,
    file: &StoredFile,
    options: &ReadOptions,
) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
    let path = &file.path;
    let reader = ObjectReader::new(store.objects(), file.clone(), None);
    // types come from Parquet's own schema: the Arrow schema in the footer is for others
    let settings = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, settings);
    let mut builder = builder.await.map_err(|error| failure(path, error))?;

    let found = u64::try_from(builder.metadata().file_metadata().num_rows()).ok();
    if found != Some(options.row_count) {
        let found = builder.metadata().file_metadata().num_rows();
        return Err(corrupt(path, format!("expected {} rows, found {found}", options.row_count)));
    }
    let columns = Columns::new(&options.schema, builder.parquet_schema());
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.roots.iter().copied());
    builder = builder.with_projection(mask).with_batch_size(options.batch_rows.max(1));
    let left = options.rows.count(options.row_count);
    if left < options.row_count {
        let rows = usize::try_from(options.row_count).map_err(|_| corrupt(path, "too many rows"))?;
        builder = builder.with_row_selection(selection(&options.rows, rows));
    }
    let decoded = builder.build().map_err(|error| failure(path, error))?;

    let path = path.clone();
    let batches = AssertUnwindSafe(decoded).catch_unwind().map({
        let path = path.clone();
        move |decoded| match decoded {
            Ok(Ok(batch)) => columns.arrange(&batch).map_err(|reason| corrupt(&path, reason)),
            Ok(Err(error)) => Err(failure(&path, error)),
            Err(_) => Err(corrupt(&path, "the decoder panicked")),
        }
    });
    Ok(counted(batches.boxed(), path, left))
}

/// The batches, then `Corrupt` if they were not `left` rows. Ends after the first error.
fn counted(
    batches: BoxStream<'static, Result<RecordBatch, Error>>,
    path: Path,
    left: u64,
) -> BoxStream<'static, Result<RecordBatch, Error>> {
    let state = Some((batches, left));
    let counted = stream::unfold(state, move |state| {
        let path = path.clone();
        async move {
            let (mut batches, left) = state?;
            match batches.next().await {
                Some(Ok(batch)) => match left.checked_sub(batch.num_rows() as u64) {
                    Some(left) => Some((Ok(batch), Some((batches, left)))),
                    None => Some((Err(corrupt(&path, "more rows than its footer says")), None)),
                },
                Some(Err(error)) => Some((Err(error), None)),
                None if left > 0 => Some((Err(corrupt(&path, format!("{left} rows are missing"))), None)),
                None => None,
            }
        }
    });
    counted.boxed()
}

/// Where the wanted columns are.
struct Columns {
    schema: Arc<TableSchema>,
    wanted: SchemaRef,
    /// Per wanted column its place among those that are read.
    places: Vec<Option<usize>>,
    /// The columns that are read, ascending.
    roots: Vec<usize>,
}

impl Columns {
    fn new(schema: &Arc<TableSchema>, file: &SchemaDescriptor) -> Self {
        let nodes = file.root_schema().get_fields();
        let roots_of_wanted: Vec<Option<usize>> = schema
            .fields
            .iter()
            .map(|field| {
                nodes.iter().position(|node| {
                    let node = node.get_basic_info();
                    node.has_id() && node.id() == field.id.0
                })
            })
            .collect();
        let mut roots: Vec<usize> = roots_of_wanted.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        let place = |root: usize| roots.binary_search(&root).ok();
        let places = roots_of_wanted.into_iter().map(|root| root.and_then(place)).collect();
        Self { schema: schema.clone(), wanted: arrow_schema(schema), places, roots }
    }

    /// The batch as it is wanted. Errors are reasons.
    fn arrange(&self, read: &RecordBatch) -> Result<RecordBatch, String> {
        let fields = self.schema.fields.iter().zip(self.wanted.fields()).zip(&self.places);
        let columns = fields.map(|((field, wanted), place)| {
            let found = match place {
                None => absent(field, read.num_rows()),
                Some(at) => adapt(read.column(*at), read.schema_ref().field(*at), wanted),
            };
            found.map_err(|error| format!("column {:?}: {error}", field.name))
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, String>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        RecordBatch::try_new_with_options(self.wanted.clone(), columns, &options)
            .map_err(|error| error.to_string())
    }
}

fn selection(wanted: &RowSet, rows: usize) -> RowSelection {
    let place = |position: u64| usize::try_from(position).unwrap_or(rows);
    let runs = wanted.runs(rows as u64).map(|run| place(run.start)..place(run.end));
    RowSelection::from_consecutive_ranges(runs, rows)
}

pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
    Error::Corrupt { object: format!("file {path}"), reason: reason.into() }
}

/// What the library said: the store's failures stay those, all else is damage.
pub(crate) fn failure(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => cenote_store::Error::from_store(path, *source).into(),
            Err(source) => corrupt(path, source.to_string()),
        },
        ParquetError::General(reason) => corrupt(path, reason),
        other => corrupt(path, other.to_string()),
    }
}
