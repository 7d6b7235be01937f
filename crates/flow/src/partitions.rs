//! The partitions of an asset as they are now: facts, and what follows from them.

use cenote_catalog::PartitionStatus;
use cenote_vocab::{Micros, Scope};
use uuid::Uuid;

use crate::assets::Graph;
use crate::freshness::{Freshness, Reason};
use crate::{Error, Flow};

impl Flow {
    /// Every partition of an asset that is there or was ever tried, in order; and when that was so. None of an asset that
    /// has no partitions.
    pub async fn partitions(&self, scope: &Scope, id: Uuid) -> Result<(Vec<PartitionStatus>, Micros), Error> {
        let now = self.inner.lake.clock.now();
        let graph = Graph::load(&self.inner, scope).await?;
        let asset = graph
            .asset(id)
            .ok_or_else(|| cenote_catalog::Error::AssetNotFound { name: id.to_string(), nearest: None })?;
        let freshness = Freshness::load(&self.inner, scope, &graph, &[id]).await?;
        let (Some(cut), Some(parts)) = (graph.cuts.get(&id), freshness.parts(id)) else {
            return Ok((Vec::new(), now));
        };
        let status = |number: i64| {
            let verdict = freshness.of_slice(asset, parts, number);
            PartitionStatus {
                key: cut.slices.key(number),
                status: verdict.state.name(),
                reason: verdict.reasons.first().map(Reason::code),
                facts: parts.known.get(&number).cloned(),
            }
        };
        Ok((Freshness::numbers(parts)?.numbers().map(status).collect(), now))
    }

    /// How every asset is, or one of them, by its id. Of one that has partitions: how the worst of what it has is.
    pub async fn asset_states(
        &self,
        scope: &Scope,
        of: Option<Uuid>,
    ) -> Result<Vec<(Uuid, &'static str)>, Error> {
        let graph = Graph::load(&self.inner, scope).await?;
        let wanted = graph.assets.iter().filter(|asset| of.is_none_or(|of| asset.id == of));
        let ids: Vec<Uuid> = wanted.clone().map(|asset| asset.id).collect();
        let freshness = Freshness::load(&self.inner, scope, &graph, &ids).await?;
        Ok(wanted.map(|asset| (asset.id, freshness.of(asset).state.name())).collect())
    }
}
