//! Materialized views: made, brought up to date, dropped.
//!
//! A view is three things: a pipeline, a table with its rows, and a view of that table's columns under the view's name. The view
//! names its pipeline (`TableDef::materialized`), and so does the table. They come and go in one commit; a pipeline that no view
//! names is left over from a crash, and goes when the node starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_catalog::{
    Alter, Caller, Commit, Facts, Identity, MATERIALIZED, NewTable, ObjectChange, Op, Pipeline, ReadSet,
    TableChange, TableDef, TableKind,
};
use cenote_query::{NewView, quote};
use cenote_vocab::{Scope, TableId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Ending, Streams};
use crate::plan::shape;
use crate::{Error, PipelineOptions};

/// Ids of the tables that a view reads, on the table with its rows.
const SOURCES: &str = cenote_catalog::MATERIALIZED_SOURCES;

/// By whose rights, and who asks and whence.
type By<'a> = (&'a Identity, &'a Caller);

impl Streams {
    /// Makes the table, the pipeline and the view. One that takes another's place is shown once it has caught up.
    /// Nothing stays of one that was to be waited for, if it fails or `cancelled` comes first.
    pub(super) async fn create_view_now(
        &self,
        identity: &Identity,
        view: NewView,
        cancelled: &CancellationToken,
    ) -> Result<(), Error> {
        let NewView { mut pipeline, replaces, wait, caller } = view;
        let by = (identity, &caller);
        let services = &self.inner.services;
        let (catalog, scope) = (&services.lake.catalog, &identity.scope);
        // Planned as a view from the start; its table is known later.
        pipeline.options.insert(MATERIALIZED.to_owned(), String::new());
        PipelineOptions::of(&pipeline.options)?;
        let shape = Box::pin(shape(&services.engine, identity.clone(), &pipeline)).await?;
        if let Some(old) = &replaces
            && let Some(rows) = self.rows_of(scope, old).await?
            && shape.sources.contains(&rows.id)
        {
            let text = format!("materialized view \"{}\" would read itself", old.full_name());
            return Err(Error::Invalid(text));
        }
        let name = std::mem::take(&mut pipeline.name);
        let short = pipeline.id.simple().to_string();
        pipeline.name = format!("_{name}_{}", &short[short.len() - 8..]);
        let marked = |more: Option<(&str, String)>| {
            let id = (MATERIALIZED.to_owned(), pipeline.id.to_string());
            let more = more.map(|(name, value)| (name.to_owned(), value));
            [id].into_iter().chain(more).collect::<BTreeMap<_, _>>()
        };
        let sources: Vec<String> = shape.sources.iter().map(ToString::to_string).collect();
        let ids = (catalog.reserve_table(scope).await?, services.lake.ids.uuid());
        let names = (&pipeline.schema, &pipeline.name);
        let rows = NewTable {
            key_fields: vec![shape.key],
            properties: marked(Some((SOURCES, sources.join(",")))),
            ..NewTable::plain(scope.tenant(), ids, names, shape.columns)
        };
        let shown: Vec<String> = shape.shown.fields.iter().map(|field| quote(&field.name)).collect();
        let sql = format!("SELECT {} FROM {}.{}", shown.join(", "), quote(&rows.schema), quote(&rows.name));
        let ids = (catalog.reserve_table(scope).await?, services.lake.ids.uuid());
        let new = NewTable {
            kind: TableKind::View { sql, search_path: pipeline.schema.clone() },
            location: String::new(),
            properties: marked(None),
            or_replace: replaces.is_some(),
            ..NewTable::plain(scope.tenant(), ids, (&pipeline.schema, name), shape.shown)
        };
        pipeline.options.insert(MATERIALIZED.to_owned(), rows.id.to_string());

        catalog.create_pipeline(scope, &pipeline).await?;
        let mut objects = vec![ObjectChange::CreateTable(Box::new(rows.clone()))];
        if replaces.is_none() {
            objects.push(ObjectChange::CreateTable(Box::new(new.clone())));
        }
        let made = self.apply(by, "create_materialized_view", objects, &shape.with_ids).await;
        if let Err(error) = made {
            catalog.drop_pipeline(scope, &pipeline).await?;
            return Err(error);
        }
        self.spawn(scope, pipeline.clone());
        if replaces.is_none() && !wait {
            return Ok(());
        }
        let caught_up = tokio::select! {
            caught_up = self.wait_for_head(scope, &pipeline) => caught_up,
            () = cancelled.cancelled() => Err(Error::Invalid("the statement was cancelled".to_owned())),
        };
        let finished = match (caught_up, &replaces) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(old)) => self.swap(by, old, new.clone()).await,
            (Err(error), _) => Err(error),
        };
        let error = match (finished, replaces) {
            (Ok(()), Some(old)) => return self.remove_pipeline(scope, old.materialized()).await,
            (Ok(()), None) => return Ok(()),
            (Err(error), replaces) => {
                let mut left = vec![drop_table(&rows.schema, &rows.name, false)];
                if replaces.is_none() {
                    left.push(drop_table(&new.schema, &new.name, true));
                }
                self.halt(pipeline.id, Ending::Open).await;
                self.apply(by, "drop_materialized_view", left, &BTreeSet::new()).await?;
                self.remove_pipeline(scope, Some(&pipeline.id.to_string())).await?;
                error
            }
        };
        Err(error)
    }

    /// The new view takes the place of the old one, whose rows go.
    async fn swap(&self, by: By<'_>, old: &TableDef, new: NewTable) -> Result<(), Error> {
        let mut objects = vec![ObjectChange::CreateTable(Box::new(new))];
        if let Some(rows) = self.rows_of(&by.0.scope, old).await? {
            objects.push(drop_table(&rows.schema_name, &rows.name, false));
        }
        self.apply(by, "create_materialized_view", objects, &BTreeSet::new()).await
    }

    /// The table with the rows of a view.
    async fn rows_of(&self, scope: &Scope, view: &TableDef) -> Result<Option<Arc<TableDef>>, Error> {
        let catalog = &self.inner.services.lake.catalog;
        let names = catalog.names(scope, catalog.head(scope).await?.txn).await?;
        let is_its = |table: &&Arc<TableDef>| {
            table.kind == TableKind::Table && table.materialized() == view.materialized()
        };
        Ok(names.tables().find(is_its).cloned())
    }

    async fn apply(
        &self,
        (identity, caller): By<'_>,
        operation: &str,
        objects: Vec<ObjectChange>,
        with_ids: &BTreeSet<TableId>,
    ) -> Result<(), Error> {
        let lake = &self.inner.services.lake;
        let base = lake.catalog.head(&identity.scope).await?.txn;
        let kept = BTreeMap::from([("row_lineage".to_owned(), Some("true".to_owned()))]);
        let tables = with_ids.iter().map(|table| TableChange {
            table: *table,
            base,
            read: ReadSet::None,
            ops: vec![Op::Alter(Alter::SetProperties(kept.clone()))],
        });
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: identity.scope.clone(),
            producers: Vec::new(),
            facts: Facts { operation: operation.to_owned(), caller: caller.clone(), ..Facts::default() },
            tables: tables.collect(),
            objects: identity.owning(objects),
        };
        lake.catalog.apply(commit).await?;
        Ok(())
    }

    /// Waits until the view has all that was there when it was asked.
    pub(super) async fn refresh_view_now(&self, scope: &Scope, view: &TableDef) -> Result<(), Error> {
        let pipeline = self.pipeline_of(scope, view.materialized()).await?.ok_or_else(|| {
            Error::Invalid(format!("materialized view {} has lost its pipeline", view.full_name()))
        })?;
        self.wait_for_head(scope, &pipeline).await
    }

    async fn wait_for_head(&self, scope: &Scope, pipeline: &Pipeline) -> Result<(), Error> {
        let services = &self.inner.services;
        let rows = pipeline.options.get(MATERIALIZED).cloned().unwrap_or_default();
        let head = services.lake.catalog.head(scope).await?.txn;
        let names = services.lake.catalog.names(scope, head).await?;
        let rows = names.tables().find(|table| table.id.to_string() == rows);
        let sources = rows.and_then(|rows| rows.properties.get(SOURCES)).cloned().unwrap_or_default();
        for source in sources.split(',').filter_map(|id| id.parse().ok()).map(TableId) {
            if let Some(table) = names.table_by_id(source).filter(|table| table.kind == TableKind::Table) {
                services.ingest.flush(scope, table).await?;
            }
        }
        let head = services.lake.catalog.head(scope).await?.txn;
        let progress = self.inner.running.lock().get(&pipeline.id).map(|running| running.progress.clone());
        if let Some(mut progress) = progress
            && progress.wait_for(|progress| progress.reached >= Some(head)).await.is_ok()
        {
            return Ok(());
        }
        // Its task has ended.
        let now = self.pipeline_of(scope, Some(&pipeline.id.to_string())).await?;
        let (state, error) = now.map_or(("dropped".to_owned(), None), |now| (now.state, now.error));
        let name = pipeline.full_name();
        let because = error.map_or_else(String::new, |error| format!(": {error}"));
        Err(Error::Invalid(format!("the pipeline {name} of the materialized view is {state}{because}")))
    }

    async fn pipeline_of(&self, scope: &Scope, id: Option<&str>) -> Result<Option<Pipeline>, Error> {
        let id = id.and_then(|id| id.parse::<Uuid>().ok());
        let all = self.inner.services.lake.catalog.pipelines(scope).await?;
        Ok(all.into_iter().find(|pipeline| Some(pipeline.id) == id))
    }

    async fn remove_pipeline(&self, scope: &Scope, id: Option<&str>) -> Result<(), Error> {
        match self.pipeline_of(scope, id).await? {
            Some(pipeline) => self.remove_now(scope, pipeline).await,
            None => Ok(()),
        }
    }

    /// Drops view and rows in one commit, then forgets the pipeline.
    pub(super) async fn drop_view_now(&self, by: By<'_>, view: &TableDef) -> Result<(), Error> {
        let identity = by.0;
        let mut objects = vec![drop_table(&view.schema_name, &view.name, true)];
        if let Some(rows) = self.rows_of(&identity.scope, view).await? {
            objects.push(drop_table(&rows.schema_name, &rows.name, false));
        }
        if let Some(id) = view.materialized().and_then(|id| id.parse::<Uuid>().ok()) {
            self.halt(id, Ending::Open).await;
        }
        self.apply(by, "drop_materialized_view", objects, &BTreeSet::new()).await?;
        self.remove_pipeline(&identity.scope, view.materialized()).await
    }

    /// Forgets pipelines of views that a crash left unmade, or half dropped.
    pub(super) async fn clean_views(&self, scope: &Scope) -> Result<(), Error> {
        let catalog = &self.inner.services.lake.catalog;
        let names = catalog.names(scope, catalog.head(scope).await?.txn).await?;
        let is_shown = |pipeline: &Pipeline| {
            let id = pipeline.id.to_string();
            names.tables().any(|table| table.kind != TableKind::Table && table.materialized() == Some(&id))
        };
        for pipeline in catalog.pipelines(scope).await? {
            if pipeline.options.contains_key(MATERIALIZED) && !is_shown(&pipeline) {
                let id = pipeline.id.to_string();
                let rows = names.tables().find(|table| table.materialized() == Some(&id));
                if let Some(rows) = rows {
                    let identity = catalog.owner(scope, pipeline.owner).await?;
                    let drop = drop_table(&rows.schema_name, &rows.name, false);
                    let caller = Caller::of(&identity, "");
                    let by = (&identity, &caller);
                    self.apply(by, "drop_materialized_view", vec![drop], &BTreeSet::new()).await?;
                }
                self.remove_now(scope, pipeline).await?;
            }
        }
        Ok(())
    }
}

fn drop_table(schema: &str, name: &str, view: bool) -> ObjectChange {
    ObjectChange::DropTable { schema: schema.to_owned(), name: name.to_owned(), if_exists: true, view }
}
