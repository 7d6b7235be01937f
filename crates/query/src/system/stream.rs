//! `system.stream`: what the pipelines of this process do. What lasts (`pipelines`, `epochs`) the catalog tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use cenote_catalog::Pipeline;
use cenote_vocab::{ErrorKind, Micros};
use uuid::Uuid;

use super::SessionFacts;
use super::runtime::{batch, texts};
use crate::Error;
use crate::pipeline::{OperatorProgress, PipelineFailure, PipelineProgress, SourceProgress};

/// The group.
pub(crate) const GROUP: &str = "stream";
/// Its tables that only live in this process.
pub(crate) const TABLES: [&str; 3] = ["errors", "operators", "sources"];

/// The rows of one of [`TABLES`] of the asker's tenant; without a catalog at hand only their columns matter.
pub(crate) async fn rows(facts: &SessionFacts, name: &str) -> Result<RecordBatch, Error> {
    let (scope, runner) = (&facts.identity.scope, facts.engine.pipelines());
    let progress = runner.as_ref().map(|runner| runner.progress(scope)).unwrap_or_default();
    let failures = runner.as_ref().map(|runner| runner.failures(scope)).unwrap_or_default();
    let pipelines = facts.engine.lake().catalog.pipelines(scope).await?;
    made(name, &pipelines, (&progress, &failures))
}

/// A batch without rows.
pub(crate) fn empty(name: &str) -> Result<RecordBatch, Error> {
    made(name, &[], (&[], &[]))
}

fn made(
    name: &str,
    pipelines: &[Pipeline],
    (progress, failures): (&[PipelineProgress], &[PipelineFailure]),
) -> Result<RecordBatch, Error> {
    // By schema and name, as the catalog lists them.
    let by_id: BTreeMap<Uuid, &PipelineProgress> =
        progress.iter().map(|progress| (progress.id, progress)).collect();
    let known: Vec<(&Pipeline, &PipelineProgress)> = pipelines
        .iter()
        .filter_map(|pipeline| by_id.get(&pipeline.id).map(|progress| (pipeline, *progress)))
        .collect();
    match name {
        "errors" => errors(failures),
        "operators" => operators(&each(&known, |progress| &progress.operators)),
        "sources" => sources(&each(&known, |progress| &progress.sources)),
        other => {
            Err(Error::new(ErrorKind::NotFound, format!("table \"system.stream.{other}\" does not exist"))
                .with_sqlstate("42P01"))
        }
    }
}

type Parts<'a, T> = Vec<(&'a Pipeline, &'a PipelineProgress, &'a T)>;

fn each<'a, T>(
    known: &[(&'a Pipeline, &'a PipelineProgress)],
    parts: impl Fn(&'a PipelineProgress) -> &'a [T],
) -> Parts<'a, T> {
    let all = known
        .iter()
        .flat_map(|(pipeline, progress)| parts(progress).iter().map(|part| (*pipeline, *progress, part)));
    all.collect()
}

fn named<T>(parts: &Parts<'_, T>) -> Vec<(&'static str, ArrayRef)> {
    let ids: Vec<String> = parts.iter().map(|(pipeline, ..)| pipeline.id.to_string()).collect();
    vec![
        ("pipeline_id", texts(ids.iter().map(String::as_str))),
        ("schema_name", texts(parts.iter().map(|(pipeline, ..)| pipeline.schema.as_str()))),
        ("name", texts(parts.iter().map(|(pipeline, ..)| pipeline.name.as_str()))),
    ]
}

fn operators(parts: &Parts<'_, OperatorProgress>) -> Result<RecordBatch, Error> {
    let number = |of: fn(&OperatorProgress) -> u64| {
        numbers(parts.iter().map(|(_, _, operator)| i64::try_from(of(operator)).ok()))
    };
    let mut columns = named(parts);
    columns.extend([
        ("operator_id", texts(parts.iter().map(|(_, _, operator)| operator.id.as_str()))),
        ("operator", texts(parts.iter().map(|(_, _, operator)| operator.name.as_str()))),
        ("watermark", times(parts.iter().map(|(_, progress, _)| progress.watermark))),
        ("state_rows", number(|operator| operator.rows)),
        ("state_bytes", number(|operator| operator.bytes)),
        ("spilled_bytes", number(|operator| operator.disk_bytes)),
        ("late_rows", number(|operator| operator.late)),
        ("busy_share", floats(parts.iter().map(|(_, _, operator)| share(operator.busy)))),
    ]);
    batch(columns)
}

fn sources(parts: &Parts<'_, SourceProgress>) -> Result<RecordBatch, Error> {
    let flag = |of: fn(&SourceProgress) -> bool| -> ArrayRef {
        Arc::new(parts.iter().map(|(_, _, source)| Some(of(source))).collect::<BooleanArray>())
    };
    let text = |of: fn(&SourceProgress) -> Option<&str>| -> ArrayRef {
        Arc::new(parts.iter().map(|(_, _, source)| of(source)).collect::<StringArray>())
    };
    let mut columns = named(parts);
    columns.extend([
        ("source", texts(parts.iter().map(|(_, _, source)| source.name.as_str()))),
        ("committed", text(|source| Some(&*source.committed).filter(|position| !position.is_empty()))),
        ("available", text(|source| source.available.as_deref())),
        ("lag_rows", numbers(parts.iter().map(|(_, _, source)| i64::try_from(source.lag_rows?).ok()))),
        ("lag_seconds", floats(parts.iter().map(|(_, _, source)| Some(source.lag.as_secs_f64())))),
        ("watermark", times(parts.iter().map(|(_, _, source)| source.watermark))),
        ("last_row_at", times(parts.iter().map(|(_, _, source)| source.seen))),
        ("idle", flag(|source| source.is_idle)),
        ("ended", flag(|source| source.has_ended)),
    ]);
    batch(columns)
}

fn errors(failures: &[PipelineFailure]) -> Result<RecordBatch, Error> {
    let ids: Vec<String> = failures.iter().map(|failure| failure.id.to_string()).collect();
    batch(vec![
        ("at", times(failures.iter().map(|failure| Some(failure.at)))),
        ("pipeline_id", texts(ids.iter().map(String::as_str))),
        ("schema_name", texts(failures.iter().map(|failure| failure.name.0.as_str()))),
        ("name", texts(failures.iter().map(|failure| failure.name.1.as_str()))),
        ("epoch", numbers(failures.iter().map(|failure| Some(failure.epoch.0)))),
        ("domain", texts(failures.iter().map(|failure| failure.domain))),
        ("error", texts(failures.iter().map(|failure| failure.message.as_str()))),
        ("retries", Arc::new(failures.iter().map(|failure| Some(failure.retries)).collect::<BooleanArray>())),
    ])
}

fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

/// One time as a part of another; `None` of nothing.
fn share((part, whole): (Duration, Duration)) -> Option<f64> {
    (!whole.is_zero()).then(|| part.as_secs_f64() / whole.as_secs_f64())
}

fn times(values: impl Iterator<Item = Option<Micros>>) -> ArrayRef {
    Arc::new(values.map(|time| time.map(|time| time.0)).collect::<TimestampMicrosecondArray>())
}
