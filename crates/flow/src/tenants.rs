//! Tenants come, rest and go: nothing of a suspended one runs, and what a dropped one leaves is collected.

use std::sync::Arc;

use cenote_catalog::{Tenant, TenantState};
use cenote_vocab::{CatalogId, Micros, Scope};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Flow;
use crate::backoff::retry_at;
use crate::flow::Inner;

/// The collection of what a dropped tenant left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Collecting {
    /// It is under way.
    Running,
    /// It failed so often, and is tried again then.
    Failed(u32, Micros),
}

impl Flow {
    /// Halts what tenants may not do any more as soon as this process knows of it, and looks for what others may do again.
    pub(crate) async fn follow_tenants(self, mut changes: watch::Receiver<u64>) {
        loop {
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            match self.inner.lake.catalog.tenants().await {
                Ok(tenants) => self.inner.halt(&tenants),
                // The next tick, which this rings for, halts them.
                Err(error) => tracing::info!(%error, "tenants that were suspended are halted a moment later"),
            }
            self.inner.bell.notify_one();
        }
    }
}

impl Inner {
    /// Ends when nothing of the tenant may run any more, or the node stops.
    pub(crate) fn working(&self, scope: &Scope) -> CancellationToken {
        self.working.lock().entry(scope.catalog()).or_insert_with(|| self.stop.child_token()).clone()
    }

    /// Ends all that runs of tenants that may do nothing.
    pub(crate) fn halt(&self, tenants: &[Tenant]) {
        let works = |catalog: &CatalogId| {
            tenants.iter().any(|one| one.scope.catalog() == *catalog && one.state == TenantState::Active)
        };
        self.working.lock().retain(|catalog, token| {
            let works = works(catalog);
            if !works {
                token.cancel();
            }
            works
        });
        self.heads.lock().retain(|catalog, _| works(catalog));
        self.publications.lock().retain(|catalog, _| works(catalog));
    }

    /// Begins the collection of what a dropped tenant left, once its time has come; answers when it does.
    pub(crate) fn tick_dropped(self: &Arc<Self>, tenant: Tenant, now: Micros) -> Option<Micros> {
        let catalog = tenant.scope.catalog();
        let due = self.lake.tenant_due(&tenant);
        let mut collecting = self.collecting.lock();
        let (failures, due) = match collecting.get(&catalog) {
            None => (0, due),
            Some(Collecting::Running) => return None,
            Some(Collecting::Failed(failures, at)) => (*failures, *at),
        };
        if due > now {
            return Some(due);
        }
        // What one of its jobs writes to its end would come after; the end rings.
        if self.scheduled.lock().iter().any(|(of, _)| *of == catalog) {
            return None;
        }
        collecting.insert(catalog, Collecting::Running);
        drop(collecting);
        let inner = Arc::clone(self);
        self.spawn(async move {
            let collected = inner.lake.collect_tenant(&tenant).await;
            let mut collecting = inner.collecting.lock();
            match collected {
                Ok(objects) => {
                    collecting.remove(&catalog);
                    tracing::info!(tenant = tenant.scope.tenant(), objects, "a dropped tenant is collected");
                }
                Err(error) => {
                    tracing::warn!(%error, tenant = tenant.scope.tenant(), "a dropped tenant is collected later");
                    let (failures, now) = (failures.saturating_add(1), inner.lake.clock.now());
                    let at = retry_at(now, failures, &inner.lake.ids);
                    collecting.insert(catalog, Collecting::Failed(failures, at));
                }
            }
        });
        None
    }
}
