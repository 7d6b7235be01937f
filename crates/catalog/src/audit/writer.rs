//! Writes what is queued for the audit, counts what repeats itself, and forgets what is too old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{CatalogId, Micros};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{AuditEntry, AuditOutcome, AuditRow, Caller, Queued};
use crate::inner::Inner;
use crate::sql::audit;
use crate::{Error, tenant};

/// Between two writings.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks for rows that are too old.
const SWEEP_MICROS: i64 = 3_600_000_000;
/// Rows of a tenant that go between two writings, at most.
const SWEEP_ROWS: u32 = 1_000;
/// For how long the same denial is counted in one row.
const SAME_MICROS: i64 = 60_000_000;
/// Denials that are told apart at a time; those beyond are counted together.
const SAME_MAX: usize = 10_000;

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
            match self.sweep(Micros(now.0.saturating_sub(keep))).await {
                Ok(true) => self.swept = now,
                Ok(false) => {} // the rest after the next writing
                Err(error) => tracing::debug!(%error, "the audit is swept later"),
            }
        }
    }

    /// Forgets some of what happened before `before`, in every tenant that is not suspended; true if nothing of it is left.
    async fn sweep(&self, before: Micros) -> Result<bool, Error> {
        let mut all = true;
        for scope in tenant::working(&self.inner).await? {
            let gone = audit::sweep(&self.inner.database, scope.catalog(), before, SWEEP_ROWS).await?;
            all &= gone < u64::from(SWEEP_ROWS);
        }
        Ok(all)
    }

    async fn store(&mut self, waiting: &[Queued], now: Micros) -> Result<(), Error> {
        let mut same = self.same.clone();
        same.retain(|_, (_, began)| now.0.saturating_sub(began.0) < SAME_MICROS);
        let mut rows: Vec<(CatalogId, AuditRow)> = Vec::new();
        let mut again: HashMap<(CatalogId, Uuid), i64> = HashMap::new();
        for (catalog, at, entry) in waiting {
            let mut key = (*catalog, alike(entry));
            if entry.outcome == AuditOutcome::Deny && same.len() >= SAME_MAX && !same.contains_key(&key) {
                key.1 = others(entry);
            }
            if let Some((id, _)) = same.get(&key) {
                match rows.iter_mut().find(|(of, row)| of == catalog && row.id == *id) {
                    Some((_, row)) => row.times += 1,
                    None => *again.entry((*catalog, *id)).or_default() += 1,
                }
                continue;
            }
            let id = self.inner.ids.uuid();
            let told = if key.1 == others(entry) { key.1.clone() } else { entry.clone() };
            if entry.outcome == AuditOutcome::Deny {
                same.insert(key, (id, *at));
            }
            rows.push((*catalog, AuditRow { id, at: *at, times: 1, entry: told }));
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

/// What tells a denial from others. Who is not let in may say any name.
fn alike(entry: &AuditEntry) -> AuditEntry {
    let mut alike = entry.clone();
    alike.caller.request_id = None;
    if alike.action == "auth_deny" {
        alike.object = None;
    }
    alike
}

/// In whose row a denial is counted when there are too many to tell them apart.
fn others(entry: &AuditEntry) -> AuditEntry {
    let caller = Caller::stranger(&entry.caller.protocol);
    AuditEntry::refused(caller, &entry.action, "of many different denials within a minute")
}
