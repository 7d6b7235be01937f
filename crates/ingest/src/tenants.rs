//! The catalogs that this log writes to, and the fence under which it does.

use std::collections::HashMap;

use cenote_catalog::Catalog;
use cenote_vocab::{CatalogId, Fence, Scope};
use parking_lot::Mutex;

use crate::Error;

/// Scopes by catalog, with the fence once the log's name is claimed there.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    known: Mutex<HashMap<CatalogId, (Scope, Option<Fence>)>>,
    /// Two claims at once would fence each other.
    claiming: tokio::sync::Mutex<()>,
}

impl Tenants {
    /// Remembers the scope of a request.
    pub(crate) fn know(&self, scope: &Scope) {
        let mut known = self.known.lock();
        known.entry(scope.catalog()).or_insert_with(|| (scope.clone(), None));
    }

    /// The scope of a catalog that a request or the recovery named.
    pub(crate) fn scope(&self, catalog: CatalogId) -> Option<Scope> {
        self.known.lock().get(&catalog).map(|(scope, _)| scope.clone())
    }

    /// The fence of `name` in this catalog; claims the name at the first call.
    pub(crate) async fn fence(&self, catalog: &Catalog, scope: &Scope, name: &str) -> Result<Fence, Error> {
        if let Some(fence) = self.claimed(scope) {
            return Ok(fence);
        }
        let _claiming = self.claiming.lock().await;
        if let Some(fence) = self.claimed(scope) {
            return Ok(fence);
        }
        let (fence, _) = catalog.claim_producer(scope, name).await?;
        self.known.lock().insert(scope.catalog(), (scope.clone(), Some(fence)));
        Ok(fence)
    }

    fn claimed(&self, scope: &Scope) -> Option<Fence> {
        self.known.lock().get(&scope.catalog()).and_then(|(_, fence)| *fence)
    }
}
