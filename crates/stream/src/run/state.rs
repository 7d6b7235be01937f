//! What operators hold between epochs: read back, made durable, tidied up.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_catalog::{ResetExtent, TableDef};
use cenote_vocab::Epoch;

use super::{Run, Writer};
use crate::Error;
use crate::blocks::{self, Block, Changes, Layouts};
use crate::checkpoint::{Held, SourceState, Standing, Stored};
use crate::lineage::{self, Script};
use crate::multiset::Multiset;
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
        (self.standing, self.held, self.object, self.blocks) =
            (self.carried(stored.standing), held, stored.object, stored.blocks);
        (self.standing.lineage, self.standing.version) = (self.plan.lineage.clone(), self.pipeline.version);
        for at in 0..self.blocks.len() {
            let changes = self.read_blocks(&self.blocks[at..=at]).await?;
            for (held, deltas) in self.held.iter_mut().zip(&changes) {
                for (table, delta) in held.tables.iter_mut().zip(deltas) {
                    table.apply(delta);
                }
            }
            self.make_room_at_start()?;
        }
        self.make_room_at_start()
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
        (standing.lineage, standing.version) = (self.plan.lineage.clone(), self.pipeline.version);
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
        let limits = self.services.limits;
        let sizes = blocks::Sizes { inline: limits.inline_state_bytes, full: limits.full_block_bytes };
        let (mut blocks, new) = match blocks::step(&heads, &new.head, live, sizes) {
            blocks::Step::Add => (self.blocks.clone(), Some(new)),
            blocks::Step::Merge(from) => {
                let before = self.read_blocks(&self.blocks[from..]).await?;
                for (into, from) in changes.iter_mut().flatten().zip(before.iter().flatten()) {
                    into.merge(from);
                }
                (self.blocks[..from].to_vec(), Block::encode(&changes, &layouts)?)
            }
            blocks::Step::Whole => {
                let full = self.whole(&mut changes, sizes.full).await?;
                (full, Block::encode(&changes, &layouts)?)
            }
        };
        if let Some(new) = new {
            blocks.push(self.stored(new).await?);
        }
        Ok(blocks)
    }

    /// Blocks of all rows of the tables, each about full; the rest is added to `changes`.
    async fn whole(&self, changes: &mut Changes, full: usize) -> Result<Vec<Block>, Error> {
        let layouts = self.layouts();
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for (operator, held) in self.held.iter().enumerate() {
            for (table, held) in held.tables.iter().enumerate() {
                for row in held.from(&[])? {
                    let (row, weight) = row?;
                    changes[operator][table].add(&row, weight);
                    bytes += row.len();
                    if bytes >= full {
                        bytes = 0;
                        let changes = std::mem::replace(changes, blocks::nothing(&layouts));
                        if let Some(block) = Block::encode(&changes, &layouts)? {
                            blocks.push(self.stored(block).await?);
                        }
                    }
                }
            }
        }
        Ok(blocks)
    }

    /// A block; its bytes are an object if they are many.
    async fn stored(&self, mut block: Block) -> Result<Block, Error> {
        if block.head.bytes > self.services.limits.inline_state_bytes as u64
            && let Some(bytes) = block.inline.take()
        {
            let id = self.services.lake.ids.uuid();
            self.put_object(id, bytes).await?;
            block.head.id = Some(id);
        }
        Ok(block)
    }
}

/// An operator that holds nothing.
pub(super) fn empty(operator: &Operator) -> Held {
    let tables = operator.tables().iter().map(|_| Multiset::default()).collect();
    Held { tables, ..Held::default() }
}
