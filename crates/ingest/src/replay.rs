//! Recovery: what the log holds and the ledger does not comes back into the buffer, before anything is served.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_table::Form;
use cenote_vocab::{Lsn, Scope, TableId};
use fail::fail_point;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use crate::Error;
use crate::admission::Held;
use crate::buffer::NewRows;
use crate::ingest::Inner;
use crate::protocols::Protocols;
use crate::trigger::ROWS_MAX;
use crate::wal::{Found, Kind, Log, Shape, Start, Tail, decode_rows, read_log, read_shapes, sections};
use crate::worker::on_worker;
use crate::write::{Logged, rows_bytes};

/// Questions to the ledger at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// What was read, with what the log needs to go on.
struct Replayed {
    tail: Tail,
    tables: Vec<HashMap<TableId, Lsn>>,
    shapes: Vec<Arc<Shape>>,
}

struct Replay {
    inner: Arc<Inner>,
    handle: Handle,
    /// Live tables, with the places up to which the ledger has them.
    flushed: HashMap<TableId, Lsn>,
    shapes: HashMap<(TableId, i32), Arc<Shape>>,
    tables: Vec<HashMap<TableId, Lsn>>,
}

impl Inner {
    /// Claims the log's name, reads the log into the buffer and begins a new segment. False if the ledger is ahead of the log: then
    /// its rows were flushed, and it must be emptied and get a new id.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<bool, Error> {
        let flushed = self.claim_and_look().await?;
        for (table, lsn) in &flushed {
            self.buffer.release(*table, *lsn);
        }
        let newest_flushed = flushed.values().copied().max().unwrap_or_default();
        let replay = Replay {
            inner: Arc::clone(self),
            handle: Handle::current(),
            flushed,
            shapes: HashMap::new(),
            tables: Vec::new(),
        };
        let replayed = on_worker(move || replay.run()).await??;
        if newest_flushed >= replayed.tail.next {
            tracing::warn!(%newest_flushed, log_end = %replayed.tail.next, "the log is an old copy: it is flushed and begins anew");
            for waiting in self.buffer.waiting() {
                self.flush_table(waiting.table, Form::Any).await?;
            }
            return Ok(false);
        }
        let start = Start {
            dir: self.directory.path().to_owned(),
            node: self.directory.node(),
            segment_bytes: self.wal.segment_bytes,
            tail: replayed.tail,
            tables: replayed.tables,
            shapes: replayed.shapes,
            clock: self.lake.clock.clone(),
            metrics: self.metrics.log.clone(),
        };
        let (buffer, bell) = (self.buffer.clone(), Arc::clone(self.admission.bell()));
        let bytes_max = self.options.flush_bytes;
        let publish = move |records: Vec<(Lsn, Logged)>| {
            let (rows, encoded): (Vec<_>, Vec<Held>) =
                records.into_iter().map(|(lsn, logged)| ((lsn, logged.rows), logged.record)).unzip();
            if buffer.publish(rows, ROWS_MAX, bytes_max) {
                bell.flush.notify_one();
            }
            drop(encoded);
        };
        let log = on_worker(move || Log::start(start, Box::new(publish))).await??;
        self.metrics.log.opened();
        if self.log.set(log).is_err() {
            return Err(Error::Internal("the log was started twice".to_owned()));
        }
        self.truncate_log().await;
        Ok(true)
    }

    /// A log that no catalog knows has rows of another catalog's tables: here they would count as dropped, and be lost.
    async fn check_known(&self, scopes: &[Scope]) -> Result<(), Error> {
        if self.directory.is_new() {
            return Ok(());
        }
        for scope in scopes {
            if self.lake.catalog.producer(scope, &self.log_name()).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Corrupt(format!(
            "{} in {} is not known to this catalog: it belongs to another one; to begin a new log, move the directory away",
            self.log_name(),
            self.directory.path().display()
        )))
    }

    /// Fences older processes off in every catalog; answers all live tables with what the ledger has of them.
    async fn claim_and_look(&self) -> Result<HashMap<TableId, Lsn>, Error> {
        let catalog = &self.lake.catalog;
        let mut flushed = HashMap::new();
        let scopes = catalog.scopes().await?;
        self.check_known(&scopes).await?;
        for scope in scopes {
            self.tenants.know(&scope);
            self.tenants.fence(catalog, &scope, &self.log_name()).await?;
            let (_, names) = self.names(&scope).await?;
            let tables: Vec<TableId> = names.tables().map(|table| table.id).collect();
            let scope = &scope;
            let lookups = stream::iter(tables).map(|table| async move {
                let known = catalog.producer(scope, &self.producer(table)).await?;
                let epoch = known.map_or(0, |(epoch, _, _)| u64::try_from(epoch.0).unwrap_or(0));
                Ok::<_, Error>((table, Lsn(epoch)))
            });
            flushed.extend(lookups.buffer_unordered(LOOKUPS_AT_ONCE).try_collect::<Vec<_>>().await?);
        }
        Ok(flushed)
    }
}

impl Replay {
    /// Blocks: reads, decodes, and waits for flushes if the memory is full.
    fn run(mut self) -> Result<Replayed, Error> {
        let (dir, node) = (self.inner.directory.path().to_owned(), self.inner.directory.node());
        let tail = read_log(&dir, node, &mut |found| self.take(found))?;
        self.tables.resize_with(tail.segments.len(), HashMap::new);
        // What the log has before its first segment, or in tables that are gone, was published once.
        self.inner.buffer.publish(vec![(Lsn(tail.next.0.saturating_sub(1)), Vec::new())], u64::MAX, u64::MAX);
        Ok(Replayed { tail, tables: self.tables, shapes: self.shapes.into_values().collect() })
    }

    fn take(&mut self, found: Found<'_>) -> Result<(), Error> {
        fail_point!("wal.replay", |_| Err(Error::Internal("fail point wal.replay".to_owned())));
        let damaged = |what: String| {
            Error::Corrupt(format!("{} at offset {}: {what}", found.path.display(), found.offset))
        };
        match found.header.kind {
            Kind::Mark => Ok(()),
            Kind::Schemas => {
                for shape in read_shapes(&found.header, &found.body).map_err(damaged)? {
                    self.shapes.insert((shape.table, shape.schema_no), Arc::new(shape));
                }
                Ok(())
            }
            Kind::Rows => self.take_rows(&found, damaged),
        }
    }

    fn take_rows(&mut self, found: &Found<'_>, damaged: impl Fn(String) -> Error) -> Result<(), Error> {
        let lsn = found.header.lsn;
        if self.tables.len() <= found.segment {
            self.tables.resize_with(found.segment + 1, HashMap::new);
        }
        let mut restored = Vec::new();
        for (section, payload) in sections(&found.header, &found.body).map_err(&damaged)? {
            self.tables[found.segment].insert(section.table, lsn);
            match self.flushed.get(&section.table) {
                Some(flushed) if lsn > *flushed => {}
                Some(_) => continue,
                None => {
                    self.inner.buffer.release(section.table, Lsn(u64::MAX)); // dropped
                    continue;
                }
            }
            let shape = self.shapes.get(&(section.table, section.schema_no)).ok_or_else(|| {
                damaged(format!(
                    "columns of table {}, schema {}, are not in the log",
                    section.table, section.schema_no
                ))
            })?;
            let batch =
                decode_rows(&section, &payload, &shape.schema).map_err(|error| damaged(error.to_string()))?;
            self.inner.metrics.replayed_rows.inc_by(batch.num_rows() as u64);
            restored.push(NewRows {
                table: section.table,
                received: found.header.received,
                protocols: Protocols::of_flags(section.flags),
                held: self.room(rows_bytes(&batch))?,
                batch,
            });
        }
        self.inner.buffer.publish(vec![(lsn, restored)], u64::MAX, u64::MAX);
        Ok(())
    }

    /// Memory for a restored batch; flushes the largest tables until there is room.
    fn room(&self, bytes: u64) -> Result<Held, Error> {
        loop {
            if let Ok(held) = self.inner.admission.try_take(bytes) {
                return Ok(held);
            }
            let Some(largest) = self.inner.buffer.waiting().into_iter().max_by_key(|waiting| waiting.bytes)
            else {
                return Ok(self.inner.admission.take_beyond()); // the share is smaller than this record
            };
            self.handle.block_on(self.inner.flush_table(largest.table, Form::Any))?;
        }
    }
}
