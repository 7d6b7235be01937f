//! Leases: who may act, until when, and the number that outdates them.

use std::time::Duration;

use cenote_vocab::{Fence, Micros};

use crate::inner::{Active, Inner};
use crate::sql::{head, lease};
use crate::{Error, Head, tenant};

/// The lease of the one node that serves.
pub(crate) const ACTIVE: &str = "active";

/// A lease that this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `active`, …
    pub name: String,
    /// Grows with every new holder; each effect under the lease checks it.
    pub fence: Fence,
    /// By the database's clock.
    pub expires: Micros,
}

/// Takes `active`, or renews it; `None` if another process holds it.
pub(crate) async fn take_active(inner: &Inner, ttl: Duration) -> Result<Option<Lease>, Error> {
    if let Ok(Some(fence)) = inner.active_fence()
        && let Some(lease) = lease::renew(&inner.database, ACTIVE, &inner.holder, fence, ttl).await?
    {
        return Ok(Some(lease));
    }
    let Some(lease) = lease::take(&inner.database, ACTIVE, &inner.holder, ttl).await? else {
        return Ok(None);
    };
    // What others wrote until now is not in memory.
    for memory in inner.memories.lock().values() {
        memory.forget();
    }
    inner.files.forget();
    *inner.active.lock() = Active::Held(lease.fence);
    // A head that was read before the lease was taken may still be noted; one that is read now outdoes it.
    for scope in tenant::scopes(inner).await?.values() {
        let row = head::read(&inner.database, scope.catalog()).await?;
        inner.memory(scope.catalog()).note_head(Head {
            txn: row.txn,
            committed: row.committed,
            ddl_txn: row.ddl_txn,
        });
    }
    Ok(Some(lease))
}

/// Renews `active`. `Fenced` if it was lost, or never taken.
pub(crate) async fn renew_active(inner: &Inner, ttl: Duration) -> Result<Lease, Error> {
    let fenced = || Error::Fenced { name: "lease active".into() };
    let fence = inner.active_fence()?.ok_or_else(fenced)?;
    match lease::renew(&inner.database, ACTIVE, &inner.holder, fence, ttl).await? {
        Some(lease) => Ok(lease),
        None => {
            inner.lose_active();
            Err(fenced())
        }
    }
}

/// Ends `active` now; this process commits nothing from here on until it takes the lease again.
pub(crate) async fn release_active(inner: &Inner) -> Result<(), Error> {
    let Ok(Some(fence)) = inner.active_fence() else { return Ok(()) };
    inner.lose_active();
    lease::release(&inner.database, ACTIVE, &inner.holder, fence).await?;
    Ok(())
}
