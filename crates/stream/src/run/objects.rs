//! State that is too large for the catalog, as objects: each is there twice, so that one that is damaged costs nothing.

use std::collections::BTreeSet;

use bytes::Bytes;
use cenote_vocab::TableId;
use futures::TryStreamExt;
use object_store::path::Path;
use uuid::Uuid;

use super::Run;
use crate::Error;
use crate::blocks::Block;
use crate::checkpoint::StateObject;
use crate::streams::SourcePlan;

impl Run {
    /// Stores an object and its copy.
    pub(super) async fn put_object(&self, id: Uuid, bytes: Bytes) -> Result<(), Error> {
        let store = &self.services.lake.store;
        let [first, copy] = self.places(id);
        tokio::try_join!(store.put(&first, bytes.clone()), store.put(&copy, bytes))?;
        Ok(())
    }

    /// An object that is whole, as `check` tells: its copy, if it is damaged, gone, or cannot be read. What is not whole is mended.
    ///
    /// `Corrupt`, naming both, if neither is.
    pub(super) async fn read_object(
        &self,
        id: Uuid,
        check: impl Fn(&Bytes) -> Result<(), String>,
    ) -> Result<Bytes, Error> {
        let store = &self.services.lake.store;
        let (mut damaged, mut unreadable) = (Vec::new(), None);
        for path in self.places(id) {
            let reason = match store.read(&path).await {
                Ok(bytes) => match check(&bytes) {
                    Ok(()) => {
                        self.mend(&damaged, &bytes).await;
                        return Ok(bytes);
                    }
                    Err(reason) => reason,
                },
                Err(cenote_store::Error::Missing { .. }) => "it is gone".to_owned(),
                Err(error) => {
                    unreadable.get_or_insert(error);
                    continue;
                }
            };
            damaged.push((path, reason));
        }
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        let reasons: Vec<String> =
            damaged.into_iter().map(|(path, reason)| format!("{reason} ({path})")).collect();
        Err(Error::Corrupt { pipeline: self.pipeline.full_name(), reason: reasons.join(", ") })
    }

    /// Best effort: what stays damaged is found again.
    async fn mend(&self, damaged: &[(Path, String)], bytes: &Bytes) {
        for (path, reason) in damaged {
            let pipeline = self.pipeline.full_name();
            tracing::warn!(%pipeline, %path, reason, "state is damaged and read from its copy");
            if let Err(error) = self.services.lake.store.put(path, bytes.clone()).await {
                tracing::warn!(%pipeline, %path, %error, "damaged state could not be mended");
            }
        }
    }

    /// Deletes objects that a crash left behind, and lets go of the history of tables that are read no longer.
    pub(super) async fn clean(&self) -> Result<(), Error> {
        let catalog = &self.services.lake.catalog;
        let read: BTreeSet<TableId> = self.plan.sources.iter().filter_map(SourcePlan::table).collect();
        for hold in catalog.holds(&self.scope).await? {
            let is_ours = hold.holder == self.pipeline.producer();
            if is_ours && hold.table.is_some_and(|table| !read.contains(&table)) {
                catalog.release_hold(&self.scope, hold.id).await?;
            }
        }
        let store = &self.services.lake.store;
        let all = cenote_store::pipeline_location(self.scope.tenant(), self.pipeline.id);
        let kept = self.objects(self.object, &self.blocks);
        let mut listed = store.list(&all);
        while let Some(object) = listed.try_next().await? {
            if !kept.contains(&object.path) {
                store.delete(&object.path).await?;
            }
        }
        Ok(())
    }

    /// Deletes objects that no commit will name. Best effort: what stays goes with the next start.
    pub(super) async fn forget(&self, object: Option<StateObject>, blocks: &[Block]) {
        let kept = self.objects(self.object, &self.blocks);
        for path in self.objects(object, blocks).difference(&kept) {
            if let Err(error) = self.services.lake.store.delete(path).await {
                tracing::info!(%error, pipeline = %self.pipeline.name, "state of an abandoned epoch stays until the next start");
            }
        }
    }

    /// All objects of a state.
    pub(super) fn objects(&self, object: Option<StateObject>, blocks: &[Block]) -> BTreeSet<Path> {
        let ids = blocks.iter().filter_map(|block| block.head.id);
        ids.chain(object.map(|object| object.id)).flat_map(|id| self.places(id)).collect()
    }

    /// Where an object stands, and where its copy does.
    fn places(&self, id: Uuid) -> [Path; 2] {
        let (tenant, pipeline) = (self.scope.tenant(), self.pipeline.id);
        [
            cenote_store::pipeline_state(tenant, pipeline, id),
            cenote_store::pipeline_state_copy(tenant, pipeline, id),
        ]
    }
}
