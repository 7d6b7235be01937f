//! Who is asking, as evidence: every question to the catalog takes a [`Scope`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::CatalogId;

/// A right that a token can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Read rows and metadata.
    Read,
    /// Insert rows, create tables and columns.
    Write,
    /// Delete rows.
    Delete,
    /// Everything in the tenant.
    Admin,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Admin => "admin",
        })
    }
}

/// A set of [`Permission`]s; `admin` implies the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// No rights.
    pub const NONE: Self = Self(0);
    /// All rights.
    pub const ADMIN: Self = Self(8);

    /// The set with `permission` added.
    #[must_use]
    pub fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission as u8)
    }

    /// True if the set holds `permission` or `admin`.
    pub fn allows(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8 | Self::ADMIN.0) != 0
    }

    /// The permissions that were given by name, in order.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        [Permission::Read, Permission::Write, Permission::Delete, Permission::Admin]
            .into_iter()
            .filter(move |permission| self.0 & (1 << *permission as u8) != 0)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// A tenant and its catalog, as authentication found it. No question to the catalog can be asked without one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    tenant: Arc<str>,
    catalog: CatalogId,
}

impl Scope {
    /// Only the catalog's authentication, and tests of it, may call this: it is the evidence of a tenant.
    #[doc(hidden)]
    pub fn from_authentication(tenant: &str, catalog: CatalogId) -> Self {
        Self { tenant: tenant.into(), catalog }
    }

    /// The tenant's name.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The tenant's `lake`.
    pub fn catalog(&self) -> CatalogId {
        self.catalog
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.tenant, self.catalog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_nothing_implies_admin() {
        assert!(Permissions::ADMIN.allows(Permission::Delete));
        let writer = Permissions::NONE.with(Permission::Read).with(Permission::Write);
        assert!(writer.allows(Permission::Write) && !writer.allows(Permission::Delete));
        assert!(!writer.allows(Permission::Admin));
        assert_eq!(writer.iter().collect::<Vec<_>>(), [Permission::Read, Permission::Write]);
    }
}
