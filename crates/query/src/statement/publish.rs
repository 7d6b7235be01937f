//! `PUBLISH METADATA`: the job `publish` now, and the manifest that readers use then.

use cenote_catalog::Privilege;
use std::sync::Arc;

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::Answer;
use super::maintain::everywhere;
use super::show::table_batch;
use crate::Error;
use crate::session::Inner;

/// The job's name.
const JOB: &str = "publish";

/// Columns of its answer.
pub(crate) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("manifest_id", DataType::Int64, false),
        Field::new("txn", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("files", DataType::UInt64, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("published_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ]))
}

/// Publishes what changed, and answers the newest manifest.
pub(crate) async fn publish(session: &Inner) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("PUBLISH METADATA")?;
    session.check_not_as_of()?;
    everywhere(session, Privilege::Manage)?;
    let (engine, identity) = (session.engine(), session.identity());
    engine.run_job(&identity.scope, JOB, &identity.token.name, false).await?;
    let newest = engine.lake().catalog.newest_publication(&identity.scope).await?;
    let batch = table_batch(
        columns(),
        vec![
            Arc::new(Int64Array::from_iter_values(newest.iter().map(|one| one.manifest_id))),
            Arc::new(Int64Array::from_iter_values(newest.iter().map(|one| one.txn.0))),
            Arc::new(StringArray::from_iter_values(newest.iter().map(|one| one.path.as_str()))),
            Arc::new(UInt64Array::from_iter_values(newest.iter().map(|one| one.files))),
            Arc::new(UInt64Array::from_iter_values(newest.iter().map(|one| one.bytes))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(newest.iter().map(|one| one.published.0))),
        ],
    )?;
    Ok(Answer::batch("PUBLISH METADATA", batch))
}
