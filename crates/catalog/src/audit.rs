//! The audit: who did what, and what was refused. An act of administration is written in the transaction of its effect; all else is
//! queued and written once a second, and a full queue makes whoever asks wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{CatalogId, Micros, Scope};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::inner::Inner;
use crate::sql::audit;
use crate::{Catalog, Error, Identity};

/// Entries that wait to be written, at most (`audit.queue_max`).
const QUEUE_MAX: usize = 10_000;
/// Between two writings.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks for rows that are too old.
const SWEEP_MICROS: i64 = 3_600_000_000;
/// For how long the same denial is counted in one row.
const SAME_MICROS: i64 = 60_000_000;
/// Denials that are counted at a time, at most.
const SAME_MAX: usize = 10_000;
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

    /// Queues an entry of the tenant; of nobody's tenant for the first one. Waits while the queue is full.
    pub async fn audit(&self, scope: Option<&Scope>, entry: AuditEntry) {
        let catalog = scope.map_or(FIRST_CATALOG, Scope::catalog);
        let queued = (catalog, self.inner.clock.now(), entry);
        if self.inner.audit.send(queued).await.is_err() {
            tracing::debug!("an entry of the audit came after the node's stop and was not written");
        }
    }

    /// Entries of the tenant, newest first.
    pub async fn audit_rows(&self, scope: &Scope, filter: &AuditFilter) -> Result<Vec<AuditRow>, Error> {
        Ok(audit::list(&self.inner.database, scope.catalog(), filter).await?)
    }
}

/// Queues that a secret was proven anew: once in 30 s for each token that is in use.
pub(crate) async fn let_in(inner: &Inner, identity: &Identity, now: Micros) {
    let caller =
        Caller { actor: Some(identity.token.name.clone()), protocol: "http".to_owned(), ..Caller::default() };
    let entry = AuditEntry {
        caller,
        action: "auth_allow".to_owned(),
        object: None,
        outcome: AuditOutcome::Allow,
        reason: None,
        detail: None,
    };
    if inner.audit.send((identity.scope.catalog(), now, entry)).await.is_err() {
        tracing::debug!("an entry of the audit came after the node's stop and was not written");
    }
}

/// Writes what is queued until the node stops, and then the rest.
pub(crate) async fn write(inner: Arc<Inner>, mut queue: mpsc::Receiver<Queued>, keep: Duration) {
    let mut writer = Writer { inner: inner.clone(), same: HashMap::new(), swept: Micros(0), keep };
    let mut waiting = Vec::new();
    let mut ticks = tokio::time::interval(WRITE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        // While what was taken cannot be written, nothing more is taken: the queue fills, and callers wait.
        if waiting.is_empty() {
            while let Ok(queued) = queue.try_recv() {
                waiting.push(queued);
            }
        }
        writer.tick(&mut waiting).await;
    }
    queue.close();
    while let Ok(queued) = queue.try_recv() {
        waiting.push(queued);
    }
    writer.tick(&mut waiting).await;
}

struct Writer {
    inner: Arc<Inner>,
    /// Denials that were written lately, with their rows.
    same: HashMap<(CatalogId, AuditEntry), (Uuid, Micros)>,
    swept: Micros,
    keep: Duration,
}

impl Writer {
    /// Writes what waits; after an error it waits on.
    async fn tick(&mut self, waiting: &mut Vec<Queued>) {
        let now = self.inner.clock.now();
        if !waiting.is_empty() {
            match self.store(waiting, now).await {
                Ok(()) => waiting.clear(),
                Err(error) => tracing::debug!(%error, "the audit is written later"),
            }
        }
        if now.0.saturating_sub(self.swept.0) >= SWEEP_MICROS && self.inner.is_active() {
            let keep = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
            match audit::sweep(&self.inner.database, Micros(now.0.saturating_sub(keep))).await {
                Ok(()) => self.swept = now,
                Err(failure) => tracing::debug!(error = %Error::from(failure), "the audit is swept later"),
            }
        }
    }

    async fn store(&mut self, waiting: &[Queued], now: Micros) -> Result<(), Error> {
        let mut same = self.same.clone();
        same.retain(|_, (_, began)| now.0.saturating_sub(began.0) < SAME_MICROS);
        let mut rows: Vec<(CatalogId, AuditRow)> = Vec::new();
        let mut again: HashMap<(CatalogId, Uuid), i64> = HashMap::new();
        for (catalog, at, entry) in waiting {
            let mut key = (*catalog, entry.clone());
            key.1.caller.request_id = None;
            if let Some((id, _)) = same.get(&key) {
                match rows.iter_mut().find(|(of, row)| of == catalog && row.id == *id) {
                    Some((_, row)) => row.times += 1,
                    None => *again.entry((*catalog, *id)).or_default() += 1,
                }
                continue;
            }
            let id = self.inner.ids.uuid();
            if entry.outcome == AuditOutcome::Deny && same.len() < SAME_MAX {
                same.insert(key, (id, *at));
            }
            rows.push((*catalog, AuditRow { id, at: *at, times: 1, entry: entry.clone() }));
        }
        let mut transaction = self.inner.database.write().await?;
        audit::insert(&mut transaction, &rows).await?;
        for ((catalog, id), times) in again {
            audit::count(&mut transaction, catalog, id, times).await?;
        }
        transaction.commit().await?;
        self.same = same;
        Ok(())
    }
}
