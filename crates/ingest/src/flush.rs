//! Buffered rows become files of a snapshot, each exactly once.
//!
//! ```text
//! seal up to P ─ to the table's columns ─ sort, cut, write ─ Commit { log/{node}/{table}, epoch P } ─ release ─ truncate
//!                                                                  └ outcome unknown: the same commit again
//! ```
//! Invariant: between the offer of a commit and its known outcome nothing of the table is sealed anew, because the ledger tells
//! rows apart only by that epoch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_catalog::{
    Commit, Committed, Error as CatalogError, Facts, Input, Producer, TableDef, TenantState,
};
use cenote_table::{Form, KeyedChange, Written};
use cenote_vocab::{Epoch, ErrorKind, Fault, Lsn, Scope, TableId, Txn};
use fail::fail_point;

use crate::Error;
use crate::buffer::Sealed;
use crate::files::write_table;
use crate::ingest::Inner;
use crate::worker::on_worker;

/// First pause before a flush is planned again after a conflict; it doubles up to [`REPLAN_PAUSE_MAX`].
const REPLAN_PAUSE: Duration = Duration::from_millis(10);
const REPLAN_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A commit whose outcome is not known yet, with its files.
#[derive(Clone)]
pub(crate) struct Offered {
    commit: Commit,
    table: Arc<TableDef>,
    written: Written,
    end: Lsn,
    offers: u32,
}

enum Outcome {
    Committed(Txn),
    /// Somebody else changed the table: read again and plan again.
    PlanAgain,
}

impl Inner {
    /// Puts all rows of `table` that are published now into a snapshot; answers a transaction that contains them.
    ///
    /// On a task of its own: a caller that goes away must not leave a commit whose outcome nobody looks at.
    pub(crate) async fn flush_table(self: &Arc<Self>, table: TableId, form: Form) -> Result<Txn, Error> {
        let inner = Arc::clone(self);
        let flush = self.tasks.spawn(async move { Box::pin(inner.flush_now(table, form)).await });
        flush.await.map_err(|error| Error::Internal(format!("flush of table {table}: {error}")))?
    }

    pub(crate) async fn flush_now(self: &Arc<Self>, table: TableId, form: Form) -> Result<Txn, Error> {
        let started = Instant::now();
        let state = self.tables.of(table);
        let mut offered = state.flushing.lock().await;
        let _permit = self.flushes.acquire().await.map_err(|_| Error::NotReady("stopping"))?;
        let (rows, _) = self.buffer.unflushed(table);
        let outcome = self.flush_until_planned((table, form), &mut offered).await;
        match &outcome {
            Ok(_) => {
                state.succeeded();
                if rows > 0 {
                    self.metrics.flushed("ok", rows, started.elapsed());
                }
            }
            Err(_) => {
                state.failed(self.lake.clock.now(), &self.lake.ids);
                self.metrics.flushed("failed", 0, started.elapsed());
            }
        }
        drop(offered);
        if rows > 0 && outcome.is_ok() {
            self.truncate_log().await;
        }
        outcome
    }

    async fn flush_until_planned(
        &self,
        (table, form): (TableId, Form),
        offered: &mut Option<Offered>,
    ) -> Result<Txn, Error> {
        let scope = self
            .tenants
            .scope(table.catalog())
            .ok_or_else(|| Error::Internal(format!("catalog of table {table} is not known")))?;
        let wanted = self.buffer.published();
        let mut pause = REPLAN_PAUSE;
        let mut newest = None;
        loop {
            if offered.is_none() {
                let sealed = match self.buffer.seal(table) {
                    Some(sealed) if sealed.first <= wanted => sealed,
                    _ if newest.is_some() => return Ok(newest.unwrap_or_default()),
                    _ => return Ok(self.lake.catalog.head(&scope).await?.txn),
                };
                *offered = self.plan(&scope, (table, form), sealed).await?;
                if offered.is_none() {
                    continue; // the table is gone, and its rows with it
                }
            }
            match self.offer(offered).await? {
                Outcome::Committed(txn) => newest = Some(txn),
                Outcome::PlanAgain => {
                    self.lake.clock.pause(pause).await;
                    pause = (pause * 2).min(REPLAN_PAUSE_MAX);
                }
            }
        }
    }

    /// Writes the files of a commit; `None`, and the rows are discarded, if the table is gone.
    async fn plan(
        &self,
        scope: &Scope,
        (table, form): (TableId, Form),
        sealed: Sealed,
    ) -> Result<Option<Offered>, Error> {
        fail_point!("flush.seal", |_| Err(Error::Internal("fail point flush.seal".to_owned())));
        if self.lake.catalog.tenant_state(scope).await? == TenantState::Dropped {
            tracing::info!(%table, "buffered rows of a dropped tenant are discarded");
            self.buffer.release(table, Lsn(u64::MAX));
            return Ok(None);
        }
        let head = self.lake.catalog.head(scope).await?;
        let names = self.lake.catalog.names(scope, head.txn).await?;
        let Some(def) = names.table_by_id(table) else {
            tracing::info!(%table, "buffered rows of a dropped table are discarded");
            self.buffer.release(table, Lsn(u64::MAX));
            return Ok(None);
        };
        let fence = self.tenants.fence(&self.lake.catalog, scope, &self.log_name()).await?;
        let KeyedChange { change, written } =
            write_table(&self.lake, scope, def, head.txn, sealed.batches, form).await?;
        fail_point!("flush.file", |_| Err(Error::Internal("fail point flush.file".to_owned())));
        let producer = Producer {
            name: self.producer(table),
            epoch: Epoch(i64::try_from(sealed.end.0).unwrap_or(i64::MAX)),
            fence: Some(fence),
            state: None,
            tables: Some(vec![table]),
        };
        let range = (sealed.first.to_string(), sealed.end.to_string());
        let inputs = sealed.protocols.nodes().map(|node| Input {
            node,
            from: Some(range.0.clone()),
            to: Some(range.1.clone()),
        });
        let commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: scope.clone(),
            producers: vec![producer],
            facts: Facts { operation: "ingest".to_owned(), inputs: inputs.collect(), ..Facts::default() },
            tables: vec![change],
            objects: Vec::new(),
        };
        Ok(Some(Offered { commit, table: Arc::clone(def), written, end: sealed.end, offers: 0 }))
    }

    /// Offers the commit. An error leaves it in `offered`, to be offered again, unless it is certain that it was not applied and
    /// never will be.
    async fn offer(&self, offered: &mut Option<Offered>) -> Result<Outcome, Error> {
        let Some(offer) = offered.as_mut() else { return Ok(Outcome::PlanAgain) };
        offer.offers += 1;
        match self.lake.catalog.apply(offer.commit.clone()).await {
            Ok(committed) => {
                fail_point!("flush.commit", |_| Err(Error::Internal("fail point flush.commit".to_owned())));
                let txn = self.settle(offer, &committed)?;
                *offered = None;
                Ok(Outcome::Committed(txn))
            }
            Err(error @ CatalogError::Fenced { .. }) => {
                self.fence_off(&error);
                *offered = None; // the newer process reads these rows from the log
                Err(error.into())
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Invalid) =>
            {
                tracing::debug!(%error, table = %offer.table.full_name(), "a flush is planned again");
                let (table, written) = (Arc::clone(&offer.table), offer.written.clone());
                *offered = None;
                self.lake.abandon(&table, written).await;
                match error.kind() {
                    ErrorKind::Invalid => Err(error.into()),
                    _ => Ok(Outcome::PlanAgain),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn settle(&self, offer: &Offered, committed: &Committed) -> Result<Txn, Error> {
        if committed.superseded && offer.offers == 1 {
            // The ledger has this place from an earlier life of the log: to go on would lose rows.
            let reason = format!("the ledger is ahead of the log for table {}", offer.table.full_name());
            tracing::error!(reason, "the write-ahead log is closed");
            *self.fenced.lock() = Some(reason.clone());
            return Err(Error::LogClosed(reason));
        }
        self.buffer.release(offer.table.id, offer.end);
        Ok(committed.txn)
    }

    /// Removes the segments whose rows are all in files.
    pub(crate) async fn truncate_log(self: &Arc<Self>) {
        let flushed = |inner: &Self| {
            inner
                .log
                .get()
                .is_some_and(|log| log.may_truncate(|table, lsn| inner.buffer.is_flushed(table, lsn)))
        };
        if !flushed(self) {
            return;
        }
        let inner = Arc::clone(self);
        let truncated = on_worker(move || {
            inner
                .log
                .get()
                .map_or(Ok(()), |log| log.truncate(|table, lsn| inner.buffer.is_flushed(table, lsn)))
        });
        match truncated.await {
            Ok(Ok(())) => self.admission.bell().room.notify_waiters(),
            Ok(Err(error)) => tracing::warn!(%error, "a segment of the write-ahead log could not be removed"),
            Err(error) => tracing::error!(%error, "truncating the write-ahead log"),
        }
    }
}
