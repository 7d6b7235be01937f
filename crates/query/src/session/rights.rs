//! What whoever has the session may do.

use cenote_catalog::{Object, Privilege, authorize, came_in};

use super::inner::Inner;
use crate::Error;
use crate::plan::denied;

impl Inner {
    /// Fails while the tenant is suspended, and once it is gone: also in a session that began before. What the node does for an owner
    /// is ended by whoever does it, and counts as no failure.
    pub(crate) async fn check_tenant(&self) -> Result<(), Error> {
        if !came_in(self.options().protocol) {
            return Ok(());
        }
        Ok(self.engine().lake().catalog.check_tenant_works(&self.identity().scope).await?)
    }

    /// `Denied` unless the asker may do this with an object, of which it may know.
    pub(crate) fn require(&self, privilege: Privilege, object: Object<'_>) -> Result<(), Error> {
        match authorize(self.identity(), privilege, object) {
            true => Ok(()),
            false => Err(denied(privilege, &object.to_string())),
        }
    }

    /// `Denied` unless the asker owns what runs by its owner's rights: nobody else writes what it does, but those who may do everything.
    /// Otherwise a right on it would be all rights of its owner.
    pub(crate) fn require_owner(&self, owner: i64, what: &str) -> Result<(), Error> {
        let identity = self.identity();
        if owner == identity.token.id || authorize(identity, Privilege::Manage, Object::Tenant) {
            return Ok(());
        }
        Err(denied(Privilege::Manage, &format!("{what}, which runs by the rights of its owner")))
    }
}
