//! `expire` and `orphans`: what no readable version needs leaves the catalog, then the store.

use std::collections::BTreeMap;

use cenote_table::{OptimizeOutcome, Progress, VacuumOptions, VacuumOutcome};
use cenote_vocab::Scope;

use crate::Error;
use crate::flow::Inner;

impl Inner {
    /// Raises history floors, forgets what is below them, deletes objects that are due.
    pub(crate) async fn expire(
        &self,
        scope: &Scope,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        if !dry_run {
            self.lake.catalog.expire_staged(scope).await?; // first: their objects go at once
        }
        let options = VacuumOptions { dry_run, ..VacuumOptions::default() };
        let expired = sums(self.lake.vacuum(scope, None, options).await?, progress);
        if !dry_run {
            self.lake.catalog.expire_events(scope).await?;
        }
        Ok(expired)
    }

    /// Deletes objects that no row names.
    pub(crate) async fn collect_orphans(
        &self,
        scope: &Scope,
        dry_run: bool,
        progress: &Progress,
    ) -> Result<Vec<OptimizeOutcome>, Error> {
        Ok(sums(self.lake.collect_orphans(scope, None, dry_run).await?, progress))
    }
}

/// One row per reason: there may be many objects.
fn sums(objects: Vec<VacuumOutcome>, progress: &Progress) -> Vec<OptimizeOutcome> {
    let mut sums: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    for object in &objects {
        let sum = sums.entry(object.reason).or_default();
        *sum = (sum.0 + 1, sum.1 + object.bytes);
    }
    let row = |(action, (files, bytes))| {
        progress.add((files, bytes), (0, 0), None);
        OptimizeOutcome {
            table: String::new(),
            partition: String::new(),
            action,
            reason: reason(action).to_owned(),
            files_in: files,
            bytes_in: bytes,
            files_out: 0,
            bytes_out: 0,
            txn: None,
        }
    };
    sums.into_iter().map(row).collect()
}

/// Why objects went, or will.
fn reason(action: &str) -> &'static str {
    match action {
        "queued" => "no readable version needs them; deleted after orphan_grace",
        "orphan" => "no row names them",
        _ => "no readable version needs them, and orphan_grace has passed",
    }
}
