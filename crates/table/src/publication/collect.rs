//! Old manifests go, and the files that only they named.

use std::collections::HashSet;
use std::time::Duration;

use cenote_catalog::Lease;
use cenote_store::METADATA_POINTER;
use cenote_vocab::Scope;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::{CONCURRENT, LEASE_TTL, published_location};
use crate::{Error, Lake};

/// So many of the newest manifests stay however old they are.
const MANIFESTS_MIN: usize = 10;
/// All manifests and files younger than this stay.
const KEEP: Duration = Duration::from_secs(24 * 3600);

impl Lake {
    /// Forgets manifests that are neither among the newest nor young, and deletes old files that no manifest names any more;
    /// answers how many objects went and their bytes.
    pub async fn collect_metadata(&self, scope: &Scope) -> Result<(u64, u64), Error> {
        let Some(lease) = self.catalog.take_publisher(scope, LEASE_TTL).await? else { return Ok((0, 0)) };
        let collected = self.collect_under(scope, &lease).await;
        let released = self.catalog.release_publisher(&lease).await;
        let collected = collected?;
        released?;
        Ok(collected)
    }

    async fn collect_under(&self, scope: &Scope, lease: &Lease) -> Result<(u64, u64), Error> {
        let before = self.clock.now().minus(KEEP);
        let all = self.catalog.publications(scope).await?;
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (age, publication) in all.into_iter().enumerate() {
            let stays = age < MANIFESTS_MIN || publication.published >= before;
            if stays { kept.push(publication) } else { gone.push(publication.manifest_id) }
        }
        // The whole union before anything goes: a manifest that cannot be read might name any file.
        let location = published_location(scope);
        let below = &location;
        let named = kept.iter().map(|publication| async move {
            let manifest = self.manifest(publication).await?;
            let files = manifest.files().map(|file| format!("{below}/{}", file.path));
            Ok::<_, Error>(files.chain([publication.path.clone()]).collect::<Vec<_>>())
        });
        let named: Vec<_> = named.collect();
        let named: Vec<Vec<String>> = stream::iter(named).buffer_unordered(CONCURRENT).try_collect().await?;
        let mut named: HashSet<String> = named.into_iter().flatten().collect();
        named.insert(format!("{location}/{METADATA_POINTER}"));
        // Rows first: a reader is told that a manifest was collected, never that it is damaged.
        self.catalog.forget_publications(scope, &gone, lease).await?;
        let mut listing = self.store.list(&Path::from(location.as_str()));
        let (mut objects, mut bytes) = (0, 0);
        while let Some(object) = listing.try_next().await? {
            if object.modified < before && !named.contains(object.path.as_ref()) {
                self.store.delete(&object.path).await?;
                (objects, bytes) = (objects + 1, bytes + object.bytes);
            }
        }
        Ok((objects, bytes))
    }
}
