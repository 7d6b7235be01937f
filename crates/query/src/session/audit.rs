//! What a session puts into the audit: refusals, and acts of administration that no commit of the catalog tells.

use std::net::SocketAddr;

use cenote_catalog::{AuditEntry, Caller};
use cenote_vocab::{ErrorKind, Fault};

use super::inner::Inner;
use crate::Error;
use crate::parse::{Command, Parsed, masked};
use crate::statement::{Class, Prepared};

impl Inner {
    /// Notes a statement that lacked a right: which, and where. The error knows that it was noted.
    pub(crate) async fn audit_denied(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Denied || error.is_audited() {
            return error;
        }
        self.audit(AuditEntry::refused(self.caller(), "statement_deny", error.to_string())).await;
        error.audited()
    }

    /// Notes a statement of the node's upkeep that was done, unless a flush, or one that is noted with its object.
    pub(crate) async fn audit_statement(&self, prepared: &Prepared) {
        let is_noted = matches!(
            prepared.parsed(),
            Parsed::Command(Command::Flush(_) | Command::RunJob { .. } | Command::PauseJob { .. })
        );
        if prepared.class == Class::Admin && !is_noted {
            let entry = AuditEntry::done(self.caller(), "admin", &prepared.command);
            self.audit(entry.with_detail(Some(masked(&prepared.sql)))).await;
        }
    }

    /// Notes what was done to a pipeline: `create_pipeline`, …
    pub(crate) async fn audit_pipeline(&self, operation: &str, pipeline: &str) {
        let entry = AuditEntry::done(self.caller(), "ddl", format!("pipeline {pipeline}"));
        self.audit(entry.with_detail(Some(operation))).await;
    }

    /// Notes what was done with a job: `run_job`, …
    pub(crate) async fn audit_job(&self, operation: &str, job: &str) {
        let entry = AuditEntry::done(self.caller(), "admin", format!("job {job}"));
        self.audit(entry.with_detail(Some(operation))).await;
    }

    async fn audit(&self, entry: AuditEntry) {
        self.engine().lake().catalog.audit(Some(&self.identity().scope), entry).await;
    }

    /// Who asks, and whence.
    pub(crate) fn caller(&self) -> Caller {
        let options = self.options();
        Caller::of(self.identity(), options.protocol)
            .at(options.remote.as_deref().map(host))
            .by_request(options.request_id.as_deref())
    }
}

/// An address without its port, which is another one for each connection.
fn host(remote: &str) -> String {
    remote.parse::<SocketAddr>().map_or_else(|_| remote.to_owned(), |address| address.ip().to_string())
}
