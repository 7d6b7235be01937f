//! Statements of tenants that may do nothing end.

use cenote_catalog::{Catalog, TenantState};
use cenote_query::Engine;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Ends the statements of each tenant that was suspended or dropped, as soon as this process knows of it. Those that begin later
/// are refused.
pub(crate) async fn end_statements(
    (catalog, engine): (Catalog, Engine),
    mut changes: watch::Receiver<u64>,
    stop: CancellationToken,
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
        match catalog.tenants().await {
            Ok(tenants) => {
                for tenant in tenants.iter().filter(|tenant| tenant.state != TenantState::Active) {
                    engine.cancel_all(&tenant.scope, &format!("the tenant is {}", tenant.state.word()));
                }
            }
            // They can commit nothing any more.
            Err(error) => tracing::info!(%error, "statements of a suspended tenant run to their end"),
        }
    }
}
