//! `snapshots('t')`: the commits of a table.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{TableCommit, TableDef};
use cenote_table::Lake;
use cenote_vocab::{Scope, Txn};
use futures::stream::{self, StreamExt};

use super::{Context, Relation};
use crate::Error;
use crate::statement::table_batch;

/// Commits of one batch.
const PAGE: usize = 8_192;

/// Columns of the answer.
pub(crate) fn columns() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        number("txn"),
        Field::new("committed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("operation", false),
        Field::new("data_change", DataType::Boolean, false),
        number("table_seq"),
        number("schema_no"),
        number("files_added"),
        number("files_removed"),
        number("rows_added"),
        number("rows_deleted"),
        number("bytes_added"),
        text("actor", true),
        text("message", true),
    ]))
}

/// The commits up to the statement's snapshot, oldest first.
pub(super) fn relation(context: &Context<'_>, table: &Arc<TableDef>) -> Relation {
    let (lake, scope, table, to) =
        (context.engine.lake().clone(), context.scope().clone(), table.clone(), context.at);
    Relation::new(format!("snapshots({})", table.full_name()), columns(), move |places, _| {
        let places = places.to_vec();
        let pages = pages(lake.clone(), scope.clone(), table.clone(), to);
        Ok(pages
            .map(move |page| -> Result<RecordBatch, Error> {
                Ok(batch(&page?)?.project(&places).map_err(cenote_table::Error::from)?)
            })
            .boxed())
    })
}

/// All commits up to `to`, newest first, as one batch.
pub(crate) async fn newest_first(
    lake: &Lake,
    scope: &Scope,
    table: &Arc<TableDef>,
    to: Txn,
) -> Result<RecordBatch, Error> {
    let mut commits = Vec::new();
    let mut pages = pages(lake.clone(), scope.clone(), table.clone(), to).boxed();
    while let Some(page) = pages.next().await {
        commits.extend(page?);
    }
    commits.reverse();
    batch(&commits)
}

fn pages(
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    to: Txn,
) -> impl stream::Stream<Item = Result<Vec<TableCommit>, Error>> + Send {
    stream::try_unfold(Some(Txn(0)), move |after| {
        let (lake, scope, table) = (lake.clone(), scope.clone(), table.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = lake.catalog.table_commits(&scope, &table, (after, to), PAGE).await?;
            let next = page.last().filter(|_| page.len() == PAGE).map(|last| last.txn);
            Ok((!page.is_empty()).then_some((page, next)))
        }
    })
}

fn batch(commits: &[TableCommit]) -> Result<RecordBatch, Error> {
    let numbers = |value: fn(&TableCommit) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(commits.iter().map(value)))
    };
    let texts = |value: fn(&TableCommit) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(commits.iter().map(value)))
    };
    let times = commits.iter().map(|commit| commit.committed.0);
    let changes: BooleanArray = commits.iter().map(|commit| Some(commit.data_change)).collect();
    table_batch(
        columns(),
        vec![
            numbers(|commit| commit.txn.0),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            texts(|commit| Some(&commit.operation)),
            Arc::new(changes),
            numbers(|commit| commit.seq),
            numbers(|commit| commit.schema_no.into()),
            numbers(|commit| commit.files_added),
            numbers(|commit| commit.files_removed),
            numbers(|commit| commit.rows_added),
            numbers(|commit| commit.rows_deleted),
            numbers(|commit| commit.bytes_added),
            texts(|commit| commit.actor.as_deref()),
            texts(|commit| commit.message.as_deref()),
        ],
    )
}
