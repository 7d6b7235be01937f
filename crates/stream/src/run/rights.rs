//! A pipeline goes on only while its owner may do what its script says.

use cenote_catalog::Privilege;
use cenote_vocab::Micros;

use super::Run;
use crate::Error;
use crate::plan::{Purpose, plan};

/// When the owner of a run was asked last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) generation: u64,
    /// When its token ends by itself.
    pub(super) expires: Option<Micros>,
}

impl Run {
    /// Fails once the owner's token has ended, or lacks a right that the script needs. Asks only if something has changed.
    pub(crate) async fn check_rights(&mut self) -> Result<(), Error> {
        let (catalog, engine) = (&self.services.lake.catalog, &self.services.engine);
        // Before they are asked for: what changes meanwhile is looked at next time.
        let generation = catalog.rights_generation(&self.scope);
        let is_over = self.asked.expires.is_some_and(|expires| expires <= self.services.lake.clock.now());
        if self.asked.generation == generation && !is_over {
            return Ok(());
        }
        let owner = catalog.owner(&self.scope, self.pipeline.owner).await?;
        let expires = owner.token.expires;
        if !owner.allows_everywhere(Privilege::Manage) {
            Box::pin(plan(engine, owner, &self.pipeline, &self.services.reach, Purpose::Look)).await?;
        }
        self.asked = Asked { generation, expires };
        Ok(())
    }
}
