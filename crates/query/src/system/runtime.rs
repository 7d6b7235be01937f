//! `system.runtime`: what lives in this process.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use cenote_catalog::Identity;
use cenote_vocab::ErrorKind;

use super::SessionFacts;
use crate::Error;
use crate::engine::Engine;

pub(crate) const TABLES: [&str; 4] = ["functions", "nodes", "queries", "settings"];

/// The rows of one of [`TABLES`].
pub(crate) fn rows(facts: &SessionFacts, name: &str) -> Result<RecordBatch, Error> {
    let (engine, identity) = (&facts.engine, &facts.identity);
    match name {
        "queries" => queries(engine, identity),
        "settings" => settings(facts),
        "functions" => functions(engine),
        "nodes" => nodes(engine),
        other => {
            Err(Error::new(ErrorKind::NotFound, format!("table \"system.runtime.{other}\" does not exist"))
                .with_sqlstate("42P01"))
        }
    }
}

/// One batch of named columns.
pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Error> {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}

/// A column of texts.
pub(crate) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn queries(engine: &Engine, identity: &Identity) -> Result<RecordBatch, Error> {
    let mut records = engine.queries(&identity.scope);
    if !identity.allows_everywhere(cenote_catalog::Privilege::Monitor) {
        records.retain(|record| record.user == identity.token.name);
    }
    batch(vec![
        ("id", texts(records.iter().map(|record| record.id.as_str()))),
        ("state", texts(records.iter().map(|record| record.state))),
        ("sql", texts(records.iter().map(|record| record.sql.as_str()))),
        ("user", texts(records.iter().map(|record| record.user.as_str()))),
        ("protocol", texts(records.iter().map(|record| record.protocol))),
        (
            "start_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                records.iter().map(|record| record.started.0),
            )),
        ),
        (
            "duration_ms",
            Arc::new(UInt64Array::from_iter_values(records.iter().map(|record| record.duration_ms))),
        ),
        ("rows_returned", Arc::new(UInt64Array::from_iter_values(records.iter().map(|record| record.rows)))),
        ("error", Arc::new(StringArray::from_iter(records.iter().map(|record| record.error.as_deref())))),
    ])
}

fn settings(facts: &SessionFacts) -> Result<RecordBatch, Error> {
    batch(vec![
        ("name", texts(facts.settings.iter().map(|(name, _, _)| name.as_str()))),
        ("value", texts(facts.settings.iter().map(|(_, value, _)| value.as_str()))),
        ("origin", texts(facts.settings.iter().map(|(_, _, origin)| *origin))),
    ])
}

fn functions(engine: &Engine) -> Result<RecordBatch, Error> {
    let functions = engine.base().functions();
    batch(vec![
        ("name", texts(functions.iter().map(|(name, _)| name.as_str()))),
        ("kind", texts(functions.iter().map(|(_, kind)| *kind))),
    ])
}

fn nodes(engine: &Engine) -> Result<RecordBatch, Error> {
    let (oldest, newest, bytes) = engine.ingest().log_status();
    let number = |value: u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values([i64::try_from(value).unwrap_or(i64::MAX)]))
    };
    batch(vec![
        ("version", texts([env!("CARGO_PKG_VERSION")])),
        ("catalog_database", texts([engine.lake().catalog.database()])),
        ("log_oldest", number(oldest)),
        ("log_newest", number(newest)),
        ("log_bytes", number(bytes)),
    ])
}
