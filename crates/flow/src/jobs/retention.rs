//! `retention`: rows that are too old go, by whole files.

use cenote_catalog::TableKind;
use cenote_table::{OptimizeOutcome, Progress};
use cenote_vocab::Scope;

use crate::Error;
use crate::flow::Inner;

impl Inner {
    /// One row per table that keeps its rows for a time only. A table whose option cannot be understood does not keep the
    /// others from it.
    pub(crate) async fn expire_rows(
        &self,
        scope: &Scope,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        let head = self.lake.catalog.head(scope).await?;
        let names = self.lake.catalog.names(scope, head.txn).await?;
        let mut outcomes = Vec::new();
        for table in names.tables().filter(|table| table.kind == TableKind::Table) {
            match self.lake.options.within(&names, table) {
                Ok(options) if options.retention.is_none() => {}
                Ok(_) => outcomes.push(self.lake.expire_rows(scope, table, dry_run, progress).await?),
                Err(error) => {
                    tracing::warn!(%error, table = table.full_name(), "rows of the table stay");
                }
            }
        }
        Ok(outcomes)
    }
}
