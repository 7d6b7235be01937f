//! One write: room, decode, resolve, log, answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cenote_catalog::{Caller, Identity, Names, Privilege};
use cenote_table::Form;
use cenote_vocab::{Micros, TableId, Txn, check_database};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};

use crate::admission::Held;
use crate::buffer::{BATCH_OVERHEAD_BYTES, NewRows};
use crate::decode::{self, EXPANSION_GUESS, EXPANSION_STEP, PLAIN_GUESS_MIN};
use crate::ingest::Inner;
use crate::protocols::Protocols;
use crate::schema::memory_bytes;
use crate::stage::{Stage, Staged, Summary};
use crate::tables::SchemaLocks;
use crate::wal::{Append, Draft, Refused};
use crate::worker::on_worker;
use crate::{Ack, Error, Format, WriteOutcome, WriteRequest};

/// Plain bodies below this are handled on the request's own task: cheaper than another thread.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Committed writes above this go straight to files.
pub(crate) const DIRECT_BYTES_MIN: u64 = 32 << 20;
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// How often a request is resolved anew because the names changed under it.
const SCHEMA_ATTEMPTS: usize = 10;
/// How long a committed write waits for its files.
pub(crate) const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

/// What stands at a place of the log until it is published.
pub(crate) struct Logged {
    pub(crate) rows: Vec<NewRows>,
    /// The memory of the encoded record.
    pub(crate) record: Held,
}

/// What of a request decides how its body is read. Shared with the threads that do it.
pub(crate) struct Work {
    pub(crate) inner: Arc<Inner>,
    pub(crate) identity: Identity,
    pub(crate) database: String,
    pub(crate) format: Format,
    pub(crate) accept_partial: bool,
    pub(crate) received: Micros,
    pub(crate) ack: Ack,
    pub(crate) key: Option<String>,
    pub(crate) caller: Caller,
}

/// Rows that fit, and nobody changes their tables' schemas until the guards are dropped.
pub(crate) struct Entered {
    pub(crate) tables: Vec<crate::schema::Fitted>,
    pub(crate) record: Option<Draft>,
    pub(crate) summary: Summary,
    pub(crate) guards: Vec<OwnedRwLockReadGuard<()>>,
}

impl Inner {
    pub(crate) async fn write(
        self: &Arc<Self>,
        identity: &Identity,
        request: WriteRequest,
    ) -> Result<WriteOutcome, Error> {
        let started = Instant::now();
        self.ready_log()?;
        let body_bytes = request.body.len() as u64;
        if body_bytes == 0 {
            return Err(Error::EmptyBody);
        }
        let (work, body) = self.admit(identity, request)?;
        let mut held = self.admission.take(body_bytes).await?;
        let plain = self.plain(body, &mut held).await?;
        let outcome = match &work.key {
            Some(key) => self.write_once(&work, key, plain, held).await,
            None => self.write_rows(&work, plain, held).await,
        };
        if let Ok(outcome) = &outcome {
            self.metrics.stored(&work.format, outcome.ack, outcome.rows, body_bytes, started.elapsed());
            self.metrics.rejected(&work.format, "bad", outcome.rejected_lines);
        }
        outcome
    }

    fn admit(
        self: &Arc<Self>,
        identity: &Identity,
        request: WriteRequest,
    ) -> Result<(Arc<Work>, Bytes), Error> {
        let named = request.database.or_else(|| identity.token.default_database.clone());
        let database = named.unwrap_or_else(|| self.options.database.clone());
        check_database(&database).map_err(cenote_codec::Error::from)?;
        if !identity.allows(Privilege::Insert, &database, None) {
            return Err(Error::Denied {
                privilege: Privilege::Insert,
                object: format!("database \"{database}\""),
            });
        }
        let printable = |key: &String| key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if let Some(key) = &request.idempotency_key
            && !((1..=KEY_BYTES_MAX).contains(&key.len()) && printable(key))
        {
            return Err(Error::InvalidKey);
        }
        self.tenants.know(&identity.scope);
        let work = Work {
            inner: Arc::clone(self),
            identity: identity.clone(),
            database,
            format: request.format,
            accept_partial: request.accept_partial,
            received: self.lake.clock.now(),
            ack: if request.idempotency_key.is_some() {
                Ack::Committed
            } else {
                request.ack.unwrap_or(self.options.ack)
            },
            key: request.idempotency_key,
            caller: request.caller.unwrap_or_else(|| Caller::of(identity, "")),
        };
        Ok((Arc::new(work), request.body))
    }

    /// The plain body, with the memory it takes. The bound grows with what could be reserved, so a bomb meets the share first.
    async fn plain(&self, body: Bytes, held: &mut Held) -> Result<Bytes, Error> {
        if !decode::is_compressed(&body) {
            return Ok(body);
        }
        let limit = self.options.decompressed_max;
        let compressed = body.len() as u64;
        let mut bound = compressed.saturating_mul(EXPANSION_GUESS).max(PLAIN_GUESS_MIN).min(limit);
        loop {
            let wanted = compressed.saturating_add(bound);
            let more = wanted.saturating_sub(held.bytes());
            self.admission.grow(held, more).await?;
            let attempt = body.clone();
            let plain = on_worker(move || decode::decompress(attempt, bound, limit)).await??;
            if let Some(plain) = plain {
                held.shrink_to(plain.len() as u64);
                return Ok(plain);
            }
            bound = bound.saturating_mul(EXPANSION_STEP).min(limit);
        }
    }

    async fn write_rows(
        self: &Arc<Self>,
        work: &Arc<Work>,
        plain: Bytes,
        held: Held,
    ) -> Result<WriteOutcome, Error> {
        let (mut entered, held) = self.enter(work, plain, held).await?;
        if entered.tables.is_empty() {
            return Ok(entered.summary.outcome(work.ack, None));
        }
        let Some(record) = entered.record.take() else {
            let txn = self.write_files(work, entered.tables, None).await?.txn;
            return Ok(entered.summary.outcome(Ack::Committed, Some(txn)));
        };
        let tables: Vec<TableId> = entered.tables.iter().map(|fitted| fitted.table.id).collect();
        let queued = self.queue(work, record, entered.tables, held)?;
        drop(entered.guards);
        if work.ack == Ack::Memory {
            return Ok(entered.summary.outcome(Ack::Memory, None));
        }
        match queued.await {
            Ok(Ok(_)) => {}
            Ok(Err(Refused::DiskFull)) => return Err(Error::DiskFull),
            Ok(Err(Refused::Closed(reason))) => return Err(Error::LogClosed(reason)),
            Err(_) => return Err(Error::LogClosed("stopped".to_owned())),
        }
        match work.ack {
            Ack::Committed => {
                let txn = self.commit_logged(&tables).await?;
                Ok(entered.summary.outcome(Ack::Committed, txn))
            }
            ack => Ok(entered.summary.outcome(ack, None)),
        }
    }

    /// Decodes and resolves the body, changing schemas as needed, until its rows fit and their tables are entered.
    /// The memory that is answered covers rows and record.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        work: &Arc<Work>,
        plain: Bytes,
        mut held: Held,
    ) -> Result<(Entered, Held), Error> {
        let estimate =
            (plain.len() as u64).saturating_mul(work.format.expansion()).min(self.admission.limit() / 4);
        self.admission.grow(&mut held, estimate).await?;
        let mut stage = Stage::new(Arc::clone(work), plain);
        let mut locks = SchemaLocks::default();
        for _ in 0..SCHEMA_ATTEMPTS {
            let (base, names) = self.names(&work.identity.scope).await?;
            let (back, staged) = run_stage(stage, Arc::clone(&names)).await?;
            stage = back;
            let (tables, record) = match staged {
                Staged::Fits { tables, record } => (tables, record),
                Staged::Changes(changes) if !locks.cover(&changes) => {
                    // Then read again: another request may have been first, and this one needs less or nothing.
                    drop(std::mem::take(&mut locks));
                    locks = self
                        .tables
                        .lock_schemas(work.identity.scope.catalog(), &work.database, &changes)
                        .await;
                    continue;
                }
                Staged::Changes(changes) => {
                    self.change_schemas(work, &names, base, changes).await?;
                    continue;
                }
            };
            drop(std::mem::take(&mut locks));
            let rows: u64 = tables.iter().map(|fitted| rows_bytes(&fitted.batch)).sum();
            let needed = rows + record.as_ref().map_or(0, Draft::len);
            let more = needed.saturating_sub(held.bytes());
            self.admission.grow(&mut held, more).await?;
            if let Some(record) = &record {
                self.wait_for_log(record.len()).await?;
            }
            let mut ids: Vec<TableId> = tables.iter().map(|fitted| fitted.table.id).collect();
            ids.sort(); // one order for all, or two requests could wait for each other
            let mut guards = Vec::with_capacity(ids.len());
            for id in ids {
                guards.push(self.tables.of(id).appends.clone().read_owned().await);
            }
            let overtaken = tables.iter().any(|fitted| {
                self.tables.of(fitted.table.id).schema_floor.load(Ordering::Acquire) > fitted.shape.schema_no
            });
            if overtaken {
                continue;
            }
            let summary = stage.into_summary();
            held.shrink_to(needed);
            return Ok((Entered { tables, record, summary, guards }, held));
        }
        Err(Error::SchemaRaces(work.database.clone()))
    }

    fn queue(
        &self,
        work: &Work,
        record: Draft,
        tables: Vec<crate::schema::Fitted>,
        mut held: Held,
    ) -> Result<oneshot::Receiver<Result<cenote_vocab::Lsn, Refused>>, Error> {
        let shapes = tables.iter().map(|fitted| Arc::clone(&fitted.shape)).collect();
        let rows = tables.into_iter().map(|fitted| NewRows {
            table: fitted.table.id,
            held: held.split(rows_bytes(&fitted.batch)),
            received: work.received,
            protocols: Protocols::of(&work.format),
            batch: fitted.batch,
        });
        let rows = Logged { rows: rows.collect(), record: held };
        let (done, queued) = oneshot::channel();
        match self.ready_log()?.append(Append { draft: record, shapes, rows, done }) {
            Ok(()) => Ok(queued),
            Err(Refused::DiskFull) => Err(Error::DiskFull),
            Err(Refused::Closed(reason)) => Err(Error::LogClosed(reason)),
        }
    }

    async fn wait_for_log(&self, bytes: u64) -> Result<(), Error> {
        let bytes_max = self.wal.bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { what: "record of the request", bytes, bytes_max });
        }
        let fits = || self.log.get().is_none_or(|log| log.status().2 + bytes <= bytes_max).then_some(());
        self.admission.wait_for("wal.size_max", fits).await
    }

    /// Waits until the tables' rows are in files. They are durable already, so a failure does not take them back.
    async fn commit_logged(self: &Arc<Self>, tables: &[TableId]) -> Result<Option<Txn>, Error> {
        let unknown = |reason: String| Error::OutcomeUnknown(reason);
        let flushes = async {
            let mut newest = None;
            for table in tables {
                newest = newest.max(Some(
                    self.flush_table(*table, Form::Any).await.map_err(|error| unknown(error.to_string()))?,
                ));
            }
            Ok(newest)
        };
        match tokio::time::timeout(COMMIT_PATIENCE, flushes).await {
            Ok(committed) => committed,
            Err(_) => Err(unknown(format!("no answer within {} s", COMMIT_PATIENCE.as_secs()))),
        }
    }
}

/// Bytes that a batch takes in the buffer.
pub(crate) fn rows_bytes(batch: &arrow::record_batch::RecordBatch) -> u64 {
    memory_bytes(batch) + BATCH_OVERHEAD_BYTES
}

async fn run_stage(mut stage: Stage, names: Arc<Names>) -> Result<(Stage, Staged), Error> {
    let small = stage.body_bytes() < INLINE_BYTES_MAX;
    let run = move || {
        let staged = stage.run(&names)?;
        Ok((stage, staged))
    };
    if small { run() } else { on_worker(run).await? }
}
