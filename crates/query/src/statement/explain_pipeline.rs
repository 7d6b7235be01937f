//! `EXPLAIN PIPELINE`, `EXPLAIN ALTER PIPELINE`: what would run, and how it fits what is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::json;

use super::pipeline::{altered, find, own, runner, unnamed};
use super::show::table_batch;
use super::{Answer, Guard};
use crate::Error;
use crate::parse::{ExplainFormat, Explained, PipelineStatement};
use crate::pipeline::PartOfChange;
use crate::session::Inner;

/// Columns of the answer; `None` if the statement explains nothing.
pub(crate) fn columns(statement: &PipelineStatement) -> Option<SchemaRef> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let PipelineStatement::Explain { what, format } = statement else { return None };
    Some(Arc::new(Schema::new(match (what, format) {
        (Explained::Alter { .. }, ExplainFormat::Text) => {
            ["part", "name", "verdict", "difference"].map(text).to_vec()
        }
        _ => vec![text("plan")],
    })))
}

/// Answers it.
pub(crate) async fn explain(
    session: &Inner,
    (what, format): (&Explained, ExplainFormat),
    schema: SchemaRef,
    guard: &Guard,
) -> Result<Answer, Error> {
    let arrays = guard.run(Box::pin(rows(session, what, format))).await?;
    Ok(Answer::batch("EXPLAIN", table_batch(schema, arrays)?))
}

async fn rows(session: &Inner, what: &Explained, format: ExplainFormat) -> Result<Vec<ArrayRef>, Error> {
    let runner = runner(session)?;
    let identity = session.identity();
    let graph = match what {
        Explained::Pipeline(name) => {
            let pipeline = own(session, find(session, name).await?)?;
            let owner = session.engine().lake().catalog.owner(&identity.scope, pipeline.owner).await?;
            runner.explain(&owner, pipeline).await?
        }
        Explained::Script(script) => {
            runner.explain(identity, unnamed(session, script, &BTreeMap::new())).await?
        }
        Explained::Alter { name, change } => {
            let pipeline = own(session, find(session, name).await?)?;
            let (to, state) = altered(session, pipeline, change).await?;
            return Ok(compared(&runner.compare(&identity.scope, to, state).await?, format));
        }
    };
    Ok(vec![match format {
        ExplainFormat::Text => lines(graph.lines()),
        ExplainFormat::Json => lines([format!("{:#}", graph.json())]),
    }])
}

fn compared(parts: &[PartOfChange], format: ExplainFormat) -> Vec<ArrayRef> {
    if format == ExplainFormat::Json {
        let part = |part: &PartOfChange| {
            json!({
                "part": part.kind.name(),
                "name": part.name,
                "verdict": part.verdict.name(),
                "difference": part.verdict.difference(),
            })
        };
        return vec![lines([format!("{:#}", parts.iter().map(part).collect::<serde_json::Value>())])];
    }
    vec![
        lines(parts.iter().map(|part| part.kind.name().to_owned())),
        lines(parts.iter().map(|part| part.name.clone())),
        lines(parts.iter().map(|part| part.verdict.name().to_owned())),
        Arc::new(parts.iter().map(|part| part.verdict.difference()).collect::<StringArray>()),
    ]
}

fn lines(lines: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(lines))
}
