//! Roles and grants as rows, for protocols that show them so.

use arrow::record_batch::RecordBatch;

use super::Session;
use crate::{Error, system};

/// A table of `system.access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTable {
    /// What is granted, to whom, on what.
    Grants,
    /// Roles, built in or made.
    Roles,
    /// Who has which role.
    RoleMembers,
    /// Tenants of the deployment, for who operates it.
    Tenants,
}

impl Session {
    /// Its rows, as far as the asker may see them; columns as `system.access` has them.
    pub async fn access(&self, table: AccessTable) -> Result<RecordBatch, Error> {
        let name = match table {
            AccessTable::Grants => "grants",
            AccessTable::Roles => "roles",
            AccessTable::RoleMembers => "role_members",
            AccessTable::Tenants => "tenants",
        };
        system::rows(&self.inner().facts(), "access", name).await
    }
}
