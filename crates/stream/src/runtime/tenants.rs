//! Pipelines of a suspended tenant do not run, and begin again where they were when it may go on.

use std::sync::Weak;

use cenote_catalog::TenantState;
use cenote_vocab::CatalogId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BACKOFF, Ending, Inner, Streams};
use crate::Error;

impl Streams {
    /// Halts pipelines of tenants that may do nothing as soon as this process knows of it, and begins them again.
    /// Ends with the pipelines' owner, which it does not keep.
    pub(super) async fn follow_tenants(
        inner: Weak<Inner>,
        stop: CancellationToken,
        mut changes: watch::Receiver<u64>,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            let Some(inner) = inner.upgrade() else { return };
            let streams = Self { inner };
            while let Err(error) = streams.meet_tenants().await {
                tracing::info!(%error, "pipelines follow their tenants a moment later");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = streams.inner.services.lake.clock.pause(BACKOFF) => {}
                }
            }
        }
    }

    async fn meet_tenants(&self) -> Result<(), Error> {
        let catalog = &self.inner.services.lake.catalog;
        for tenant in catalog.tenants().await? {
            let of = tenant.scope.catalog();
            match tenant.state {
                TenantState::Active => {
                    let was_halted = self.inner.halted.lock().remove(&of);
                    if was_halted && let Err(error) = self.begin(&tenant.scope).await {
                        self.inner.halted.lock().insert(of); // all of it once more
                        return Err(error);
                    }
                }
                TenantState::Suspended | TenantState::Dropped => self.halt_all(of).await,
            }
            if tenant.state == TenantState::Dropped {
                for pipeline in catalog.pipelines(&tenant.scope).await? {
                    self.inner.metrics.forget(&tenant.scope, &pipeline);
                }
            }
        }
        Ok(())
    }

    /// Ends all pipelines of a tenant. What their epochs had not committed is read again when they begin again.
    async fn halt_all(&self, of: CatalogId) {
        self.inner.halted.lock().insert(of);
        let running: Vec<Uuid> = {
            let running = self.inner.running.lock();
            running.iter().filter(|(_, one)| one.scope.catalog() == of).map(|(id, _)| *id).collect()
        };
        for id in running {
            self.halt(id, Ending::Abort).await;
        }
    }
}
