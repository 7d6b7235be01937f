//! What a dropped tenant left leaves the store, and then the catalog.

use cenote_catalog::Tenant;
use cenote_store::tenant_locations;
use cenote_vocab::Micros;
use futures::TryStreamExt;

use crate::{Error, Lake};

/// Objects that are deleted at a time.
const CONCURRENT: usize = 16;

impl Lake {
    /// When the objects of a dropped tenant may go: like others that nothing names, `orphan_grace` later.
    pub fn tenant_due(&self, tenant: &Tenant) -> Micros {
        tenant.since.unwrap_or_default().plus(self.options.orphan_grace)
    }

    /// Deletes all objects of a tenant that was dropped, and then forgets it, so that its name is free again; answers how many objects
    /// went. Killed in between, the next call goes on.
    pub async fn collect_tenant(&self, tenant: &Tenant) -> Result<u64, Error> {
        let (name, mut deleted) = (tenant.scope.tenant(), 0);
        for place in tenant_locations(name) {
            let delete = |object: cenote_store::Listed| async move {
                fail::fail_point!("gc.sweep", |_| Err(Error::Internal("fail point gc.sweep".to_owned())));
                Ok::<_, Error>(self.store.delete(&object.path).await?)
            };
            let listed = self.store.list(&place).map_err(Error::from);
            let deletions = listed.map_ok(delete).try_buffer_unordered(CONCURRENT);
            deleted += deletions.try_fold(0, |count, ()| async move { Ok(count + 1) }).await?;
            // What an upload left on a disk when it was cut off is no object, and nobody uploads any more.
            self.store.clear_cut_off(&place, self.clock.now(), false).await?;
        }
        self.catalog.forget_tenant(&tenant.scope).await?;
        self.store.unmount(name);
        Ok(deleted)
    }
}
