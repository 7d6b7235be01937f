//! The audit: who did what, and what was refused. An act of administration is written in the transaction of its effect; all else is
//! queued and written once a second, and a full queue makes whoever asks wait.

mod writer;

use std::sync::Arc;

use cenote_vocab::{CatalogId, Micros, Scope};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::inner::Inner;
use crate::sql::audit;
use crate::sql::history::cut;
use crate::{Catalog, Error, Identity};

pub(crate) use writer::write;

/// Entries that wait to be written, at most (`audit.queue_max`).
const QUEUE_MAX: usize = 10_000;
/// The most bytes of each text of an entry, …
const TEXT_BYTES_MAX: usize = 4_000;
/// … and of one about somebody who was not let in.
const STRANGERS_TEXT_BYTES_MAX: usize = 256;
/// Where entries of nobody's tenant go: to the first.
const FIRST_CATALOG: CatalogId = CatalogId(1);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It was done.
    Allow,
    /// It was refused.
    Deny,
}

impl AuditOutcome {
    /// `allow`, `deny`: as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Somebody who does something, for the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The token's name.
    pub actor: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// `http`, `postgres`; empty for the node itself.
    pub protocol: String,
    /// `X-Request-Id`
    pub request_id: Option<String>,
}

impl Caller {
    /// Who has proven who it is, by a protocol.
    pub fn of(identity: &Identity, protocol: &str) -> Self {
        Self { actor: Some(identity.token.name.clone()), ..Self::stranger(protocol) }
    }

    /// Somebody of whom nothing is known yet.
    pub fn stranger(protocol: &str) -> Self {
        Self { protocol: protocol.to_owned(), ..Self::default() }
    }

    /// True for somebody who came by a door: not for the node, nor for what it does by the rights of an owner.
    pub fn came_in(&self) -> bool {
        came_in(&self.protocol)
    }

    /// At a client's address.
    #[must_use]
    pub fn at(self, address: Option<impl ToString>) -> Self {
        Self { address: address.map(|address| address.to_string()), ..self }
    }

    /// By a request.
    #[must_use]
    pub fn by_request(self, id: Option<impl ToString>) -> Self {
        Self { request_id: id.map(|id| id.to_string()), ..self }
    }
}

/// True for the protocol of a door. The node's own work has none, or one of these words.
pub fn came_in(protocol: &str) -> bool {
    !matches!(protocol, "" | "flow" | "pipeline")
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuditEntry {
    /// Who.
    pub caller: Caller,
    /// `auth_deny`, `grant`, `ddl`, …
    pub action: String,
    /// What it was done with.
    pub object: Option<String>,
    /// Whether it was done.
    pub outcome: AuditOutcome,
    /// A word for why not.
    pub reason: Option<String>,
    /// More, for people; never a secret.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// Something was done with an object.
    pub fn done(caller: Caller, action: &str, object: impl Into<String>) -> Self {
        Self {
            caller,
            action: action.to_owned(),
            object: Some(object.into()),
            outcome: AuditOutcome::Allow,
            reason: None,
            detail: None,
        }
    }

    /// Something was refused, for a reason.
    pub fn refused(caller: Caller, action: &str, reason: impl Into<String>) -> Self {
        Self {
            caller,
            action: action.to_owned(),
            object: None,
            outcome: AuditOutcome::Deny,
            reason: Some(reason.into()),
            detail: None,
        }
    }

    /// With more for people.
    #[must_use]
    pub fn with_detail(self, detail: Option<impl Into<String>>) -> Self {
        Self { detail: detail.map(Into::into), ..self }
    }

    /// About an object.
    #[must_use]
    pub fn about(self, object: Option<impl Into<String>>) -> Self {
        Self { object: object.map(Into::into), ..self }
    }

    /// No text of it is longer than `bytes_max`.
    fn cut(self, bytes_max: usize) -> Self {
        let short = |text: Option<String>| text.map(|text| cut(&text, bytes_max));
        let Caller { actor, address, protocol, request_id } = self.caller;
        Self {
            caller: Caller {
                actor: short(actor),
                address: short(address),
                protocol,
                request_id: short(request_id),
            },
            object: short(self.object),
            reason: short(self.reason),
            detail: short(self.detail),
            ..self
        }
    }
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its own.
    pub id: Uuid,
    /// When it first happened.
    pub at: Micros,
    /// How often the same was refused.
    pub times: i64,
    /// What.
    pub entry: AuditEntry,
}

/// Which rows are asked for; newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Not before this.
    pub since: Option<Micros>,
    /// By this actor.
    pub actor: Option<String>,
    /// This action.
    pub action: Option<String>,
    /// This outcome.
    pub outcome: Option<AuditOutcome>,
    /// After this row: time and id of the last one that was answered.
    pub after: Option<(Micros, Uuid)>,
    /// How many at most.
    pub limit: usize,
}

/// What is queued.
pub(crate) type Queued = (CatalogId, Micros, AuditEntry);

/// Where entries are queued, and whence they are taken.
pub(crate) fn queue() -> (mpsc::Sender<Queued>, mpsc::Receiver<Queued>) {
    mpsc::channel(QUEUE_MAX)
}

impl Catalog {
    /// The same catalog for somebody's acts of administration, which are audited as theirs.
    #[must_use]
    pub fn acting(&self, caller: Caller) -> Self {
        let mut acting = self.clone();
        acting.caller = Some(Arc::new(caller));
        acting
    }

    /// Queues an entry of the tenant; of nobody's tenant for the first one. Waits while the queue is full. Long texts are cut.
    pub async fn audit(&self, scope: Option<&Scope>, entry: AuditEntry) {
        let bytes_max = if scope.is_some() { TEXT_BYTES_MAX } else { STRANGERS_TEXT_BYTES_MAX };
        enqueue(&self.inner, scope.map_or(FIRST_CATALOG, Scope::catalog), entry.cut(bytes_max)).await;
    }

    /// Entries of the tenant, newest first.
    pub async fn audit_rows(&self, scope: &Scope, filter: &AuditFilter) -> Result<Vec<AuditRow>, Error> {
        Ok(audit::list(&self.inner.database, scope.catalog(), filter).await?)
    }
}

/// Queues that a secret was proven anew: once in 30 s for each token that is in use.
pub(crate) async fn let_in(inner: &Inner, identity: &Identity) {
    let entry = AuditEntry::done(Caller::of(identity, "http"), "auth_allow", "").about(None::<String>);
    enqueue(inner, identity.scope.catalog(), entry).await;
}

async fn enqueue(inner: &Inner, catalog: CatalogId, entry: AuditEntry) {
    if inner.audit.send((catalog, inner.clock.now(), entry)).await.is_err() {
        tracing::debug!("an entry of the audit came after the node's stop and was not written");
    }
}
