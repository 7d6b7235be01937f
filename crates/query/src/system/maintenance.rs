//! `system.storage.maintenance`: what compaction would do now, and where it does nothing, why.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Privilege, TableDef, TableKind, authorize};
use cenote_table::{OptimizeMode, OptimizeOutcome, Predicate};
use cenote_vocab::ErrorKind;

use super::SessionFacts;
use crate::Error;

/// Its name in the group `storage`.
pub(crate) const NAME: &str = "maintenance";

/// Its columns.
pub(crate) fn columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("schema_name"),
        text("table_name"),
        text("partition"),
        text("action"),
        text("reason"),
        number("files"),
        number("size_bytes"),
    ]))
}

/// One row per partition of the tables that the identity may read, by the planner that `OPTIMIZE` uses.
pub(crate) async fn rows(facts: &SessionFacts) -> Result<RecordBatch, Error> {
    let (lake, scope) = (facts.engine.lake(), &facts.identity.scope);
    let head = lake.catalog.head(scope).await?;
    let names = lake.catalog.names(scope, head.txn).await?;
    let all = facts.identity.allows_everywhere(Privilege::ReadMetadata);
    let readable = |table: &&Arc<TableDef>| {
        table.kind == TableKind::Table
            && (all || authorize(&facts.identity, Privilege::Select, table.object()))
    };
    let mut found: Vec<(Arc<TableDef>, OptimizeOutcome)> = Vec::new();
    for table in names.tables().filter(readable) {
        let planned = lake.optimize(scope, table, OptimizeMode::Due, &Predicate::True, true).await?;
        found.extend(planned.into_iter().map(|outcome| (table.clone(), outcome)));
    }
    let text = |of: fn(&TableDef, &OptimizeOutcome) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(found.iter().map(|(table, outcome)| of(table, outcome))))
    };
    let number = |of: fn(&OptimizeOutcome) -> u64| -> ArrayRef {
        let numbers = found.iter().map(|(_, outcome)| i64::try_from(of(outcome)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    let arrays = vec![
        text(|table, _| table.schema_name.clone()),
        text(|table, _| table.name.clone()),
        text(|_, outcome| outcome.partition.clone()),
        text(|_, outcome| outcome.action.to_owned()),
        text(|_, outcome| outcome.reason.clone()),
        number(|outcome| outcome.files_in),
        number(|outcome| outcome.bytes_in),
    ];
    RecordBatch::try_new(columns(), arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}
