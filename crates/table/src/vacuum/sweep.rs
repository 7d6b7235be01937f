//! Queued and unnamed objects leave the store.

use std::collections::HashSet;

use cenote_catalog::TableDef;
use cenote_vocab::Scope;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::VacuumOutcome;
use super::rows::{integers, texts};
use crate::{Error, Lake};

/// The system table of all queued paths, due or not.
const TRASH: &str = "storage.trash";
/// Objects that are checked and deleted at a time.
const CONCURRENT: usize = 16;
/// Objects after which the catalog is told: a crash repeats at most so many deletions.
const BATCH: usize = 256;

impl Lake {
    /// Deletes objects that are due and that no row names; answers them.
    pub(super) async fn sweep(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
    ) -> Result<Vec<(String, u64)>, Error> {
        let mut deleted = Vec::new();
        // The catalog lists a part of them at a time.
        loop {
            let due = self.unneeded_trash(scope, table).await?;
            if due.is_empty() {
                return Ok(deleted);
            }
            self.delete_all(scope, &due).await?;
            deleted.extend(due);
        }
    }

    /// Deletes queued objects and forgets their paths.
    pub(super) async fn delete_all(&self, scope: &Scope, objects: &[(String, u64)]) -> Result<(), Error> {
        for batch in objects.chunks(BATCH) {
            let paths: Vec<String> = batch.iter().map(|(path, _)| path.clone()).collect();
            let delete = |path: String| async move { self.delete_object(&path).await };
            let deletions = stream::iter(paths.clone()).map(delete).buffer_unordered(CONCURRENT);
            deletions.try_collect::<Vec<()>>().await?;
            // Only now: a path that is forgotten before its object is gone would stay for ever.
            self.catalog.trash_gone(scope, &paths).await?;
        }
        Ok(())
    }

    /// Queued paths of the table, or of all, that are due now and that no row names.
    pub(super) async fn unneeded_trash(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
    ) -> Result<Vec<(String, u64)>, Error> {
        let due = self.catalog.trash_due(scope, self.clock.now()).await?;
        self.unreferenced(scope, of_table(due, table)).await
    }

    /// The same, due or not.
    pub(super) async fn unneeded_queued(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
    ) -> Result<Vec<(String, u64)>, Error> {
        let trash = self.catalog.system_rows(scope, TRASH).await?;
        let sizes = integers(&trash, "size_bytes")?;
        let sizes = sizes.iter().map(|bytes| bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0));
        let queued = texts(&trash, "path")?.iter().zip(sizes);
        let queued = queued.filter_map(|(path, bytes)| Some((path?.to_owned(), bytes))).collect();
        self.unreferenced(scope, of_table(queued, table)).await
    }

    /// Objects in the store that no row names and none is queued for, older than `orphan_grace`: uploads whose commit never
    /// came, or that a crash cut off. Deleted unless it is a dry run.
    pub async fn collect_orphans(
        &self,
        scope: &Scope,
        table: Option<&TableDef>,
        dry_run: bool,
    ) -> Result<Vec<VacuumOutcome>, Error> {
        let (prefix, grace) = match table {
            Some(table) => (table.location.clone(), self.options.of(table)?.orphan_grace),
            None => (format!("{}/tables", scope.tenant()), self.options.orphan_grace),
        };
        let before = self.clock.now().minus(grace);
        // Also what is queued but not due: it has its own time.
        let trash = self.catalog.system_rows(scope, TRASH).await?;
        let queued: HashSet<&str> = texts(&trash, "path")?.iter().flatten().collect();
        let root = Path::from(prefix.as_str());
        let mut candidates = Vec::new();
        let mut listing = self.store.list(&root);
        while let Some(object) = listing.try_next().await? {
            let Some(below) = object.path.prefix_match(&root) else {
                continue;
            };
            let below: Vec<String> = below.map(|part| part.as_ref().to_owned()).collect();
            let path = format!("{prefix}/{}", below.join("/"));
            if object.modified <= before && !queued.contains(path.as_str()) {
                candidates.push((path, object.bytes));
            }
        }
        let mut orphans = self.unreferenced(scope, candidates).await?;
        if !dry_run {
            for (path, _) in &orphans {
                self.delete_object(path).await?;
            }
        }
        orphans.extend(self.store.clear_cut_off(&root, before, dry_run).await?);
        Ok(orphans.into_iter().map(|object| VacuumOutcome::new(object, "orphan")).collect())
    }

    async fn unreferenced(
        &self,
        scope: &Scope,
        objects: Vec<(String, u64)>,
    ) -> Result<Vec<(String, u64)>, Error> {
        let check = |object: (String, u64)| async move {
            let needed = self.catalog.is_referenced(scope, &object.0).await?;
            Ok::<_, Error>((!needed).then_some(object))
        };
        let checked = stream::iter(objects).map(check).buffered(CONCURRENT);
        checked.try_filter_map(|object| async move { Ok(object) }).try_collect().await
    }

    async fn delete_object(&self, path: &str) -> Result<(), Error> {
        fail::fail_point!("gc.sweep", |_| Err(Error::Internal("fail point gc.sweep".to_owned())));
        Ok(self.store.delete(&Path::from(path)).await?)
    }
}

/// Those below the table's location; all, without a table.
fn of_table(mut objects: Vec<(String, u64)>, table: Option<&TableDef>) -> Vec<(String, u64)> {
    if let Some(table) = table {
        let prefix = format!("{}/", table.location);
        objects.retain(|(path, _)| path.starts_with(&prefix));
    }
    objects
}
