//! Records that say what became of a row.
//!
//! ```text
//! {"before": the row that goes, "after": the row that comes, "op": "c" | "r" | "u" | "d"}
//! ```
//! Kafka Connect puts the same below `payload`. As a batch: the rows with [`CHANGE`] behind their columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::encode::json;
use super::{JsonOptions, Rows, said};

/// The last column of rows that come and go: [`COMES`], [`GOES`], or [`REPLACED`] and behind it [`REPLACES`].
pub const CHANGE: &str = "\u{1f}change";
/// The row comes.
pub const COMES: i64 = 1;
/// The row goes.
pub const GOES: i64 = -1;
/// The row goes, and the one behind it takes its place.
pub const REPLACED: i64 = -2;
/// The row takes the place of the one before it.
pub const REPLACES: i64 = 2;

/// The columns with [`CHANGE`] behind them.
pub fn changing(columns: &Schema) -> Schema {
    let change = Field::new(CHANGE, DataType::Int64, false);
    Schema::new(
        columns.fields().iter().map(|field| field.as_ref().clone()).chain([change]).collect::<Vec<_>>(),
    )
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    payload: Option<&'a RawValue>,
}

/// A value that is there, also if it is `null`.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A row that a record names.
pub(super) struct Change<'a> {
    /// Which record it is.
    record: usize,
    /// What becomes of the row.
    kind: i64,
    pub(super) row: &'a [u8],
}

/// The rows that records name, each with what becomes of it. A record that is `null` says nothing.
pub(super) fn changes<'a>(records: &[&'a [u8]]) -> Result<Vec<Change<'a>>, String> {
    let mut changes = Vec::with_capacity(records.len());
    for (number, record) in records.iter().copied().enumerate() {
        let envelope: Option<Envelope<'a>> = read(record)?;
        let inner = match &envelope {
            Some(Envelope { op: None, payload: Some(payload), .. }) => read(payload.get().as_bytes())?,
            _ => envelope,
        };
        let Some(Envelope { before, after, op, .. }) = inner else { continue };
        let op = op.ok_or("a change without \"op\"")?;
        let row = |row: Option<&'a RawValue>, name: &str| {
            row.map(|row| row.get().as_bytes())
                .ok_or_else(|| format!("a change with op '{op}' without {name:?}"))
        };
        let mut add = |kind: i64, row: &'a [u8]| changes.push(Change { record: number, kind, row });
        match op.as_ref() {
            "c" | "r" => add(COMES, row(after, "after")?),
            "u" => {
                let (before, after) = (row(before, "before")?, row(after, "after")?);
                add(REPLACED, before);
                add(REPLACES, after);
            }
            "d" => add(GOES, row(before, "before")?),
            other => return Err(format!("op '{other}' of a change is none of c, r, u, d")),
        }
    }
    Ok(changes)
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// The rows with what becomes of them, and the record of each.
pub(super) fn with_changes(rows: &RecordBatch, changes: &[Change<'_>]) -> Result<Rows, String> {
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(changes.iter().map(|change| change.kind).collect::<Int64Array>()));
    let batch = RecordBatch::try_new(Arc::new(changing(&rows.schema())), columns).map_err(said)?;
    Ok(Rows { batch, records: Some(changes.iter().map(|change| change.record).collect()) })
}

/// Adds a record for each change. Rows without [`CHANGE`] all come.
pub(super) fn encode(
    batch: &RecordBatch,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let last = batch.num_columns().saturating_sub(1);
    let is_changing = batch.schema().fields().get(last).is_some_and(|field| field.name() == CHANGE);
    let (rows, changes): (RecordBatch, Vec<i64>) = match is_changing {
        true => {
            let changes = batch.column(last).as_primitive::<Int64Type>().values().to_vec();
            (batch.project(&(0..last).collect::<Vec<_>>())?, changes)
        }
        false => (batch.clone(), vec![COMES; batch.num_rows()]),
    };
    let mut lines = Vec::new();
    json(&rows, options, &mut lines)?;
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let null = b"null".as_slice();
    let mut replaced = None;
    for (line, change) in lines.zip(changes) {
        match (change, replaced.take()) {
            (COMES, None) => record(out, (null, line), b'c'),
            (GOES, None) => record(out, (line, null), b'd'),
            (REPLACED, None) => replaced = Some(line),
            (REPLACES, Some(before)) => record(out, (before, line), b'u'),
            (other, _) => {
                return Err(ArrowError::InvalidArgumentError(format!(
                    "a change that is {other} in its place"
                )));
            }
        }
    }
    match replaced {
        None => Ok(()),
        Some(_) => Err(ArrowError::InvalidArgumentError("a row that nothing replaces".to_owned())),
    }
}

fn record(out: &mut Vec<u8>, (before, after): (&[u8], &[u8]), op: u8) {
    for part in [b"{\"before\":", before, b",\"after\":", after, b",\"op\":\"", &[op], b"\"}\n"] {
        out.extend_from_slice(part);
    }
}
