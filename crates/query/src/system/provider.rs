//! A system table as the planner sees it: its rows are asked for when the scan is planned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::{SessionFacts, columns, rows};
use crate::Error;
use crate::plan::fault::outward;

/// One system table for one session.
pub(crate) struct MadeTable {
    facts: SessionFacts,
    group: String,
    name: String,
    columns: SchemaRef,
}

impl MadeTable {
    /// `Denied` if the session may not read it.
    pub(crate) fn new(facts: SessionFacts, group: &str, name: &str) -> Result<Self, Error> {
        let columns = columns(&facts, group, name)?;
        Ok(Self { facts, group: group.to_owned(), name: name.to_owned(), columns })
    }
}

#[async_trait]
impl TableProvider for MadeTable {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = rows(&self.facts, &self.group, &self.name).await.map_err(outward)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.columns.clone(), projection.cloned())?)
    }
}

impl std::fmt::Debug for MadeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MadeTable(system.{}.{})", self.group, self.name)
    }
}
