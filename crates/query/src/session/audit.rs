//! What a session puts into the audit: refusals, and acts of administration that no commit of the catalog tells.

use std::net::SocketAddr;

use cenote_catalog::{AuditEntry, AuditOutcome, Caller};
use cenote_vocab::{ErrorKind, Fault};

use super::inner::Inner;
use crate::Error;
use crate::parse::{Command, Parsed, PipelineStatement, masked};
use crate::statement::{Class, Prepared};

impl Inner {
    /// Notes a statement that lacked a right: which, and where.
    pub(crate) async fn audit_denied(&self, error: &Error, request_id: Option<&str>) {
        if error.kind() != ErrorKind::Denied {
            return;
        }
        let entry = AuditEntry {
            caller: self.caller(request_id),
            action: "statement_deny".to_owned(),
            object: None,
            outcome: AuditOutcome::Deny,
            reason: Some(error.to_string()),
            detail: None,
        };
        self.engine().lake().catalog.audit(Some(&self.identity().scope), entry).await;
    }

    /// Notes a statement that was done, if it is one of those that no commit tells: of pipelines, and of the node's upkeep.
    pub(crate) async fn audit_statement(&self, prepared: &Prepared, request_id: Option<&str>) {
        let action = match prepared.parsed() {
            Parsed::Command(Command::Flush(_) | Command::Pipeline(PipelineStatement::Explain { .. })) => {
                return;
            }
            Parsed::Command(Command::Pipeline(_)) => "ddl",
            _ if prepared.class == Class::Admin => "admin",
            _ => return,
        };
        self.audit_done((action, &prepared.command), Some(masked(&prepared.sql)), request_id).await;
    }

    /// Notes an act, and what it was done with.
    pub(crate) async fn audit_done(
        &self,
        (action, object): (&str, &str),
        detail: Option<String>,
        request_id: Option<&str>,
    ) {
        let entry = AuditEntry {
            caller: self.caller(request_id),
            action: action.to_owned(),
            object: Some(object.to_owned()),
            outcome: AuditOutcome::Allow,
            reason: None,
            detail,
        };
        self.engine().lake().catalog.audit(Some(&self.identity().scope), entry).await;
    }

    fn caller(&self, request_id: Option<&str>) -> Caller {
        let options = self.options();
        Caller {
            actor: Some(self.identity().token.name.clone()),
            address: options.remote.as_deref().map(host),
            protocol: options.protocol.to_owned(),
            request_id: request_id.map(str::to_owned),
        }
    }
}

/// An address without its port, which is another one for each connection.
fn host(remote: &str) -> String {
    remote.parse::<SocketAddr>().map_or_else(|_| remote.to_owned(), |address| address.ip().to_string())
}
