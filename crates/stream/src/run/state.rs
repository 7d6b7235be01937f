//! What operators hold between epochs: read back, made durable, tidied up.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{ResetExtent, TableDef};
use cenote_vocab::Epoch;

use super::{Run, Writer};
use crate::Error;
use crate::blocks::{self, Block, Changes, Layouts};
use crate::checkpoint::{Held, SourceState, Standing, Stored};
use crate::lineage::{self, Script};
use crate::multiset::{Delta, Multiset};
use crate::plan::{Advanced, Operator};

impl Run {
    /// Takes what the last commit said, if there was one.
    pub(super) async fn restore(&mut self, state: Option<bytes::Bytes>) -> Result<(), Error> {
        let name = self.pipeline.full_name();
        let corrupt = |reason: String| Error::Corrupt { pipeline: name.clone(), reason };
        let mut held: Vec<Held> = self.plan.operators.iter().map(empty).collect();
        let Some(bytes) = state else {
            self.held = held;
            return Ok(());
        };
        let stored = Stored::decode(&bytes).map_err(corrupt)?;
        self.check(&stored)?;
        let body = match stored.object {
            Some(object) => Some(self.read_object(object.id, |bytes| stored.check(bytes)).await?),
            None => None,
        };
        for (held, runs) in held.iter_mut().zip(stored.runs(body).map_err(corrupt)?) {
            held.runs = runs;
        }
        let changes = self.read_blocks(&stored.blocks).await?;
        for (held, deltas) in held.iter_mut().zip(&changes) {
            for (table, delta) in held.tables.iter_mut().zip(deltas) {
                table.apply(delta);
            }
        }
        (self.standing, self.held, self.object, self.blocks) =
            (self.carried(stored.standing), held, stored.object, stored.blocks);
        (self.standing.lineage, self.standing.version) = (self.plan.lineage.clone(), self.pipeline.version);
        let nothing = self.held.iter().map(|held| (&held.runs[..], &held.tables[..], &[][..]));
        let bytes = memory(nothing);
        self.reserve(bytes)
    }

    /// Gives up what the last commit said as far as `extent` tells, in an epoch of its own, and goes on with nothing.
    pub(super) async fn begin_anew(
        &mut self,
        state: Option<bytes::Bytes>,
        extent: ResetExtent,
    ) -> Result<(), Error> {
        self.held = self.plan.operators.iter().map(empty).collect();
        let stored = match state.as_ref().map(Stored::decode) {
            Some(Ok(stored)) => Some(stored.standing),
            // What is damaged need not be read to be given up.
            Some(Err(_)) if extent != ResetExtent::State => None,
            Some(Err(reason)) => {
                return Err(Error::Corrupt { pipeline: self.pipeline.full_name(), reason });
            }
            None => None,
        };
        let mut standing = self.standing.clone();
        if let Some(stored) = stored {
            let now = stored.now.max(standing.now);
            let carried = self.carried(stored);
            match extent {
                ResetExtent::State => standing = carried,
                ResetExtent::Everything => {
                    (standing.sinks, standing.sink_identities) = (carried.sinks, carried.sink_identities);
                }
                ResetExtent::EverythingAndRows => {}
            }
            standing.now = now;
        }
        let epoch = Epoch(self.epoch.0 + 1);
        standing.since = epoch.0;
        let mut emptied: Vec<Arc<TableDef>> = Vec::new();
        if extent == ResetExtent::EverythingAndRows {
            emptied.extend(self.plan.outputs.iter().map(|output| output.target.clone()));
            emptied.sort_by_key(|table| table.id);
            emptied.dedup_by_key(|table| table.id);
        }
        self.without_rows(epoch, standing, emptied).await
    }

    /// What was stored, of the sources and sinks that there are; those that are new begin.
    fn carried(&self, mut stored: Standing) -> Standing {
        let mut sources = self.standing.sources.clone();
        for (name, fresh) in &mut sources {
            if let Some(was) = stored.sources.remove(name)
                && (was.identity.is_empty() || was.identity == fresh.identity)
            {
                *fresh = SourceState { identity: std::mem::take(&mut fresh.identity), ..was };
            }
        }
        let is_same = |writer: &&Writer| {
            let was = stored.sink_identities.get(&writer.name);
            was.is_none_or(|identity| *identity == writer.identity)
        };
        let same: BTreeSet<&str> =
            self.writers.iter().filter(is_same).map(|writer| writer.name.as_str()).collect();
        let mut sinks = std::mem::take(&mut stored.sinks);
        sinks.retain(|name, _| same.contains(name.as_str()));
        let mut identities = stored.sink_identities.clone();
        identities.retain(|name, _| same.contains(name.as_str()));
        Standing { sources, sinks, sink_identities: identities, ..stored }
    }

    /// Fails unless the plan is the one by which it was made.
    fn check(&self, stored: &Stored) -> Result<(), Error> {
        let differs = |operator: &str, difference: String| {
            Err(Error::State { operator: operator.to_owned(), difference })
        };
        let operators = &self.plan.operators;
        let fingerprints = stored.fingerprints();
        if operators.len() != fingerprints.len() {
            let (were, are) = (fingerprints.len(), operators.len());
            return differs("operators", format!("there were {were}, there are {are}"));
        }
        for (operator, was) in operators.iter().zip(fingerprints) {
            if operator.fingerprint() != was {
                return differs(operator.name(), format!("it was {was}, it is {}", operator.fingerprint()));
            }
        }
        let script = match stored.standing.version == self.pipeline.version {
            true => Script::Same,
            false => Script::Other,
        };
        if let Some((name, difference)) =
            lineage::difference(&stored.standing.lineage, &self.plan.lineage, script)
        {
            return differs(&name, difference);
        }
        for reader in &self.sources {
            let planned = &self.plan.sources[reader.planned];
            let is_held = operators.iter().any(|operator| operator.reads().contains(&reader.feed));
            let Some(was) = stored.standing.sources.get(&reader.name).filter(|_| is_held) else { continue };
            let identity = planned.identity();
            if !was.identity.is_empty() && was.identity != identity {
                return differs(&reader.name, format!("it was {}, it is {identity}", was.identity));
            }
        }
        Ok(())
    }

    fn layouts(&self) -> Layouts<'_> {
        self.plan.operators.iter().map(Operator::tables).collect()
    }

    /// The sum of blocks.
    async fn read_blocks(&self, blocks: &[Block]) -> Result<Changes, Error> {
        let layouts = self.layouts();
        let mut changes = blocks::nothing(&layouts);
        for block in blocks {
            let bytes = match (&block.inline, block.head.id) {
                (Some(bytes), _) => bytes.clone(),
                (None, Some(id)) => self.read_object(id, |bytes| block.head.check(bytes)).await?,
                (None, None) => continue,
            };
            let corrupt = |reason| Error::Corrupt { pipeline: self.pipeline.full_name(), reason };
            block.head.decode(&bytes, &layouts, &mut changes).map_err(corrupt)?;
        }
        Ok(changes)
    }

    /// The blocks after an epoch that changes tables so.
    pub(super) async fn next_blocks(&self, advanced: &[Advanced]) -> Result<Vec<Block>, Error> {
        let layouts = self.layouts();
        let mut changes: Changes = advanced.iter().map(|advanced| advanced.deltas.clone()).collect();
        let Some(new) = Block::encode(&changes, &layouts)? else { return Ok(self.blocks.clone()) };
        let tables = || self.held.iter().flat_map(|held| &held.tables);
        let live: u64 = tables().map(|table| table.len() as u64).sum();
        let heads: Vec<_> = self.blocks.iter().map(|block| block.head.clone()).collect();
        let inline_max = self.services.limits.inline_state_bytes;
        let (kept, new) = match blocks::step(&heads, &new.head, live, inline_max) {
            blocks::Step::Add => (self.blocks.len(), Some(new)),
            blocks::Step::Merge(from) => {
                let before = self.read_blocks(&self.blocks[from..]).await?;
                for (into, from) in changes.iter_mut().flatten().zip(before.iter().flatten()) {
                    into.merge(from);
                }
                (from, Block::encode(&changes, &layouts)?)
            }
            blocks::Step::Whole => {
                for (into, table) in changes.iter_mut().flatten().zip(tables()) {
                    into.merge(&table.whole());
                }
                (0, Block::encode(&changes, &layouts)?)
            }
        };
        let mut blocks = self.blocks[..kept].to_vec();
        let Some(mut new) = new else { return Ok(blocks) };
        if new.head.bytes > inline_max as u64
            && let Some(bytes) = new.inline.take()
        {
            let id = self.services.lake.ids.uuid();
            self.put_object(id, bytes).await?;
            new.head.id = Some(id);
        }
        blocks.push(new);
        Ok(blocks)
    }

    /// Fails if the node has no memory for what the operators will hold.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), Error> {
        let reserved = self.reservation.bytes();
        if bytes < reserved {
            self.reservation.shrink(reserved - bytes);
            return Ok(());
        }
        let grown = self.reservation.try_grow(bytes - reserved);
        grown.map_err(|source| Error::StateMemory {
            pipeline: self.pipeline.full_name(),
            operator: self.largest().unwrap_or("its operators").to_owned(),
            source,
        })
    }

    /// The operator that holds most.
    fn largest(&self) -> Option<&str> {
        let bytes = |held: &Held| memory(std::iter::once((&held.runs[..], &held.tables[..], &[][..])));
        let operators = self.plan.operators.iter().zip(&self.held);
        operators.max_by_key(|(_, held)| bytes(held)).map(|(operator, _)| operator.name())
    }
}

/// An operator that holds nothing.
pub(super) fn empty(operator: &Operator) -> Held {
    let tables = operator.tables().iter().map(|_| Multiset::default()).collect();
    Held { tables, ..Held::default() }
}

/// Bytes of runs, and of tables after a change of them.
pub(super) fn memory<'a>(
    operators: impl Iterator<Item = (&'a [RecordBatch], &'a [Multiset], &'a [Delta])>,
) -> u64 {
    let bytes = operators.map(|(runs, tables, deltas)| {
        let runs: u64 = runs.iter().map(|run| run.get_array_memory_size() as u64).sum();
        let tables: u64 = tables
            .iter()
            .enumerate()
            .map(|(at, table)| deltas.get(at).map_or(table.bytes(), |delta| table.bytes_with(delta)))
            .sum();
        runs + tables
    });
    bytes.sum()
}
