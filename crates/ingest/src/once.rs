//! Writes that go straight to files and one commit: large committed ones, and those with an idempotency key.

use std::sync::Arc;

use bytes::Bytes;
use cenote_catalog::{
    Commit, Committed, Error as CatalogError, Facts, Input, Producer, Reruns, TableChange, TableDef,
};
use cenote_codec::RejectedLine;
use cenote_table::{Form, KeyedChange, RowKey, Written};
use cenote_vocab::{Epoch, TableId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::admission::Held;
use crate::files::write_table;
use crate::ingest::Inner;
use crate::schema::Fitted;
use crate::stage::Summary;
use crate::write::{COMMIT_PATIENCE, Entered, Work};
use crate::{Ack, Error, Format, WriteOutcome};

/// An idempotency key is one producer with one epoch.
const KEY_EPOCH: Epoch = Epoch(1);
const OFFER_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// The stored answer of a key: its state in the ledger.
#[derive(Serialize, Deserialize)]
struct Answer {
    hash: String,
    rows: u64,
    rejected: Vec<(u64, String, String)>,
    rejected_lines: u64,
    replaced_utf8: u64,
}

impl Inner {
    /// Stores the body at most once under `key`; a repeat gets the first answer, another body `IdempotencyConflict`.
    pub(crate) async fn write_once(
        self: &Arc<Self>,
        work: &Arc<Work>,
        key: &str,
        plain: Bytes,
        held: Held,
    ) -> Result<WriteOutcome, Error> {
        let name = format!("client/{}/{key}", work.identity.token.name);
        let hash = hash(work, &plain);
        if let Some(known) = self.known_answer(work, &name, &hash).await? {
            return Ok(known);
        }
        let (entered, _held) = self.enter(work, plain, held).await?;
        let Entered { tables, summary, guards, .. } = entered;
        if tables.is_empty() {
            return Ok(summary.outcome(Ack::Committed, None)); // nothing was stored: the key is free
        }
        let producer = Producer {
            name: name.clone(),
            epoch: KEY_EPOCH,
            fence: None,
            state: Some(Answer::new(hash.clone(), &summary).encode()?),
            tables: None,
        };
        let committed = self.write_files(work, tables, Some(producer)).await?;
        drop(guards);
        if committed.replayed
            && let Some(known) = self.known_answer(work, &name, &hash).await?
        {
            return Ok(known); // a twin was first, or this commit's first answer was lost
        }
        Ok(summary.outcome(Ack::Committed, Some(committed.txn)))
    }

    /// Writes files and commits them, again if keyed rows met others. After an error nothing is stored, unless the outcome is
    /// unknown.
    pub(crate) async fn write_files(
        self: &Arc<Self>,
        work: &Work,
        tables: Vec<Fitted>,
        producer: Option<Producer>,
    ) -> Result<Committed, Error> {
        let keyed = keyed_tables(&tables)?;
        let states: Vec<_> = keyed.iter().map(|table| self.tables.of(*table)).collect();
        let mut reruns = Reruns::new(self.lake.ids.clone());
        loop {
            // What was acknowledged before comes before the rows that take its place.
            if !keyed.is_empty() {
                self.log_barrier().await;
            }
            for table in &keyed {
                self.flush_table(*table, Form::Any).await?;
            }
            let mut turns = Vec::with_capacity(states.len());
            for state in &states {
                turns.push(state.flushing.lock().await); // side by side they would only conflict
            }
            match self.write_files_once(work, &tables, producer.clone()).await {
                Err(Error::Catalog(error)) => {
                    drop(turns);
                    self.lake.clock.pause(reruns.pause_after(error)?).await;
                }
                done => return done,
            }
        }
    }

    async fn write_files_once(
        &self,
        work: &Work,
        tables: &[Fitted],
        producer: Option<Producer>,
    ) -> Result<Committed, Error> {
        let scope = &work.identity.scope;
        let base = self.lake.catalog.head(scope).await?.txn;
        let names = self.lake.catalog.names(scope, base).await?;
        let (mut changes, mut written) = (Vec::with_capacity(tables.len()), Vec::with_capacity(tables.len()));
        for fitted in tables {
            let present = names.table_by_id(fitted.table.id).unwrap_or(&fitted.table);
            let batches = vec![fitted.batch.clone()];
            match write_table(&self.lake, scope, present, base, batches, Form::Any).await {
                Ok(KeyedChange { change, written: files }) => {
                    changes.push(change);
                    written.push((Arc::clone(present), files));
                }
                Err(error) => {
                    self.abandon(written).await;
                    return Err(error);
                }
            }
        }
        let commit = self.files_commit(work, changes, producer);
        self.offer_files(commit, written).await
    }

    async fn offer_files(
        &self,
        commit: Commit,
        written: Vec<(Arc<TableDef>, Written)>,
    ) -> Result<Committed, Error> {
        let (clock, began) = (&self.lake.clock, self.lake.clock.now());
        let mut unknown = false;
        loop {
            match self.lake.catalog.apply(commit.clone()).await {
                Ok(committed) => {
                    if committed.superseded {
                        self.abandon(written).await; // a twin's files are the ones that count
                    }
                    return Ok(committed);
                }
                // The same commit again: the catalog finds it by its id, or applies it now.
                Err(CatalogError::OutcomeUnknown(reason)) => {
                    unknown = true;
                    if clock.now().since(began) > COMMIT_PATIENCE {
                        return Err(CatalogError::OutcomeUnknown(reason).into());
                    }
                    clock.pause(OFFER_PAUSE).await;
                }
                Err(CatalogError::Unavailable(_))
                    if unknown && clock.now().since(began) <= COMMIT_PATIENCE =>
                {
                    clock.pause(OFFER_PAUSE).await;
                }
                Err(error) if unknown => return Err(CatalogError::OutcomeUnknown(error.to_string()).into()),
                Err(error) => {
                    self.abandon(written).await;
                    return Err(error.into());
                }
            }
        }
    }

    fn files_commit(&self, work: &Work, tables: Vec<TableChange>, producer: Option<Producer>) -> Commit {
        Commit {
            commit_id: self.lake.ids.uuid(),
            scope: work.identity.scope.clone(),
            producers: producer.into_iter().collect(),
            facts: Facts {
                operation: "ingest".to_owned(),
                caller: work.caller.clone(),
                inputs: vec![Input { node: format!("ingest:{}", work.format.name()), to: None, from: None }],
                ..Facts::default()
            },
            tables,
            objects: Vec::new(),
        }
    }

    async fn abandon(&self, written: Vec<(Arc<TableDef>, Written)>) {
        for (table, written) in written {
            self.lake.abandon(&table, written).await;
        }
    }

    async fn known_answer(&self, work: &Work, name: &str, hash: &str) -> Result<Option<WriteOutcome>, Error> {
        let Some((_, txn, state)) = self.lake.catalog.producer(&work.identity.scope, name).await? else {
            return Ok(None);
        };
        let answer: Answer = serde_json::from_slice(&state.unwrap_or_default())
            .map_err(|error| Error::Internal(format!("stored answer of {name}: {error}")))?;
        if answer.hash != hash {
            return Err(Error::IdempotencyConflict);
        }
        Ok(Some(WriteOutcome { replayed: true, ..answer.summary().outcome(Ack::Committed, Some(txn)) }))
    }
}

impl Answer {
    fn new(hash: String, summary: &Summary) -> Self {
        let rejected =
            summary.rejected.iter().map(|line| (line.number, line.line.clone(), line.reason.clone()));
        Self {
            hash,
            rows: summary.rows,
            rejected: rejected.collect(),
            rejected_lines: summary.rejected_lines,
            replaced_utf8: summary.replaced_utf8,
        }
    }

    fn encode(&self) -> Result<Bytes, Error> {
        let text =
            serde_json::to_vec(self).map_err(|error| Error::Internal(format!("answer of a key: {error}")))?;
        Ok(text.into())
    }

    fn summary(self) -> Summary {
        let line = |(number, line, reason)| RejectedLine { number, line, reason };
        Summary {
            rows: self.rows,
            rejected: self.rejected.into_iter().map(line).collect(),
            rejected_lines: self.rejected_lines,
            replaced_utf8: self.replaced_utf8,
        }
    }
}

/// Tables whose rows replace each other, in the one order in which they are locked.
fn keyed_tables(tables: &[Fitted]) -> Result<Vec<TableId>, Error> {
    let mut keyed = Vec::new();
    for fitted in tables {
        if RowKey::of_dedup(&fitted.table)?.is_some() {
            keyed.push(fitted.table.id);
        }
    }
    keyed.sort();
    Ok(keyed)
}

/// xxh3-128 of the parameters that decide what is stored, and of the plain body.
fn hash(work: &Work, plain: &[u8]) -> String {
    let mut hasher = Xxh3::new();
    let parameters = [
        work.format.name().to_owned(),
        work.database.clone(),
        work.accept_partial.to_string(),
        parameters(&work.format),
    ];
    for text in parameters {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(plain);
    format!("{:032x}", hasher.digest128())
}

fn parameters(format: &Format) -> String {
    let unit = |precision: &Option<cenote_codec::Precision>| precision.map(|unit| format!("{unit:?}"));
    match format {
        Format::LineProtocol { precision } => format!("{precision:?}"),
        Format::MessagePack { precision } => format!("{:?}", unit(precision)),
        Format::Json { table, time_column, precision, tags } => {
            format!("{table:?} {time_column:?} {:?} {tags:?}", unit(precision))
        }
        Format::Csv { table, time_column, time_format, delimiter, skip_rows, header, null, tags } => {
            let unit = unit(time_format);
            format!("{table:?} {time_column:?} {unit:?} {delimiter} {skip_rows} {header} {null:?} {tags:?}")
        }
    }
}
