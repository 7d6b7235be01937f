//! What an epoch gave becomes one commit, and what follows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use cenote_catalog::{Caller, Code, Commit, Committed, Facts, Input, Producer, Reruns, RunOf, TableDef};
use cenote_connect::{BadRow, Closing, EpochRows};
use cenote_vocab::{Epoch, Micros, TableId};

use super::{Committing, Run, Staged};
use crate::checkpoint::{self, Body, Held, Standing, StateObject};
use crate::multiset::Delta;
use crate::options::BadData;
use crate::plan::Advanced;
use crate::sink::Sinks;
use crate::{Error, kept};

impl Run {
    /// Rows go to sinks outside of the lake, each in the order of the INSERTs that write it. Answers those that are refused there and
    /// are to be kept, with their sink.
    pub(super) async fn stage_writers(
        &mut self,
        epoch: Epoch,
        standing: &mut Standing,
        sunk: &[Vec<RecordBatch>],
        closing: Closing,
    ) -> Result<Vec<(String, BadRow)>, Error> {
        let mut kept = Vec::new();
        for (number, writer) in self.writers.iter_mut().enumerate() {
            let of_it = self.plan.sunk.iter().zip(sunk).filter(|(output, _)| output.sink == number);
            let rows: Vec<RecordBatch> = of_it.flat_map(|(_, rows)| rows.iter().cloned()).collect();
            let before = self.standing.sinks.get(&writer.name).map_or("", String::as_str);
            let rows = EpochRows { epoch: epoch.0, now: Micros(standing.now), rows: &rows, closing };
            let state = writer.sink.stage(before, rows).await?;
            let refused = writer.sink.take_refused();
            standing.rows_bad += refused.len() as u64;
            match (self.plan.sinks[number].bad_data.unwrap_or(self.plan.options.bad_data), refused.first()) {
                (BadData::Fail, Some(row)) => {
                    let (sink_name, reason) = (writer.name.clone(), row.reason.clone());
                    return Err(cenote_connect::Error::SinkRefused { sink_name, reason }.into());
                }
                (BadData::Table, _) => {
                    kept.extend(refused.into_iter().map(|row| (writer.name.clone(), row)));
                }
                (BadData::Fail | BadData::Drop, _) => {}
            }
            standing.sinks.insert(writer.name.clone(), state);
            standing.sink_identities.insert(writer.name.clone(), writer.identity.clone());
        }
        Ok(kept)
    }

    /// Output becomes files, and what operators hold becomes bytes.
    pub(super) async fn stage(
        &self,
        standing: &Standing,
        advanced: &[Advanced],
        rows: Vec<Vec<RecordBatch>>,
        bad: &[(String, BadRow)],
    ) -> Result<Staged, Error> {
        let lake = &self.services.lake;
        let began = lake.clock.now();
        let operators = self.plan.operators.iter().zip(advanced);
        let body = Body::encode(
            operators
                .map(|(operator, then)| (operator.fingerprint(), operator.runs_schema(), &then.runs[..])),
        )?;
        let mut object = None;
        if body.bytes.len() > self.services.limits.inline_state_bytes {
            let stored = StateObject { id: lake.ids.uuid(), bytes: body.bytes.len() as u64 };
            self.put_object(stored.id, body.bytes.clone()).await?;
            object = Some(stored);
        }
        let mut kept = Vec::new();
        if let Some(table) = self.plan.bad_table.as_ref().filter(|_| !bad.is_empty()) {
            kept.push((table.clone(), kept::bad(bad, self.epoch.0 + 1)?));
        }
        if let Some(table) = &self.plan.late_table {
            let operators = self.plan.operators.iter().zip(advanced);
            let late = operators
                .flat_map(|(operator, then)| then.late_rows.iter().map(move |late| (operator.name(), late)));
            let late = kept::late(late, self.epoch.0 + 1)?;
            kept.extend((late.num_rows() > 0).then(|| (table.clone(), late)));
        }
        let blocks = self.next_blocks(advanced).await?;
        fail::fail_point!("checkpoint.write", |_| Err(Error::FailPoint("checkpoint.write")));
        let state = checkpoint::encode(standing, body, object, &blocks)?;
        let stored_after = lake.clock.now().since(began);
        let sinks = Sinks::write(lake, &self.scope, &self.plan.outputs, rows, kept).await;
        match sinks {
            Ok(sinks) => Ok(Staged { sinks, state, object, blocks, stored_after }),
            Err(error) => {
                self.forget(object, &blocks).await;
                Err(error)
            }
        }
    }

    /// Completes what sinks outside of the lake hold open, in an epoch without rows. Nothing if there are none.
    pub async fn close(&mut self) -> Result<(), Error> {
        if self.writers.is_empty() || self.standing.finished {
            return Ok(());
        }
        let epoch = Epoch(self.epoch.0 + 1);
        let mut standing = self.standing.clone();
        if self.is_first() {
            standing.since = epoch.0;
        }
        self.stage_writers(epoch, &mut standing, &[], Closing::Close).await?;
        if standing.sinks != self.standing.sinks {
            Box::pin(self.without_rows(epoch, standing, Vec::new())).await?;
        }
        Ok(())
    }

    /// An epoch in which nothing was read; all rows of `emptied` tables go.
    pub(super) async fn without_rows(
        &mut self,
        epoch: Epoch,
        standing: Standing,
        emptied: Vec<Arc<TableDef>>,
    ) -> Result<(), Error> {
        let unchanged = |held: &Held| Advanced {
            runs: held.runs.clone(),
            deltas: held.tables.iter().map(|_| Delta::default()).collect(),
            ..Advanced::default()
        };
        let advanced: Vec<Advanced> = self.held.iter().map(unchanged).collect();
        let mut staged = self.stage(&standing, &advanced, Vec::new(), &[]).await?;
        staged.sinks = Sinks::emptying(emptied);
        Box::pin(self.conclude(epoch, standing, staged, advanced)).await.map(drop)
    }

    /// Commits an epoch and goes on from it.
    pub(super) async fn conclude(
        &mut self,
        epoch: Epoch,
        standing: Standing,
        staged: Staged,
        advanced: Vec<Advanced>,
    ) -> Result<Committed, Error> {
        let (object, blocks) = (staged.object, staged.blocks.clone());
        let committed = self.commit(epoch, &standing, staged).await?;
        fail::fail_point!("epoch.commit", |_| Err(Error::FailPoint("epoch.commit")));
        let before = self.objects(self.object, &self.blocks);
        (self.epoch, self.standing, self.object, self.blocks) = (epoch, standing, object, blocks);
        for (held, advanced) in self.held.iter_mut().zip(advanced) {
            held.advance(advanced);
        }
        self.finish(before).await?;
        Ok(committed)
    }

    /// The one commit of the epoch. Writes by key are planned again while others change the same rows.
    pub(super) async fn commit(
        &mut self,
        epoch: Epoch,
        standing: &Standing,
        staged: Staged,
    ) -> Result<Committed, Error> {
        let catalog = self.services.lake.catalog.clone();
        let started = self.services.lake.clock.now();
        let mut reruns = Reruns::new(self.services.lake.ids.clone());
        loop {
            let (lake, ingest) = (&self.services.lake, &self.services.ingest);
            let planned = match staged.sinks.plan(lake, ingest, &self.scope).await {
                Ok(planned) => planned,
                Err(error) => {
                    staged.sinks.abandon(&self.services.lake).await;
                    self.forget(staged.object, &staged.blocks).await;
                    return Err(error);
                }
            };
            let commit = Commit {
                commit_id: self.services.lake.ids.uuid(),
                scope: self.scope.clone(),
                producers: vec![Producer {
                    name: self.pipeline.producer(),
                    epoch,
                    fence: Some(self.fence),
                    state: Some(staged.state.clone()),
                    tables: None,
                }],
                facts: Facts {
                    operation: "pipeline".to_owned(),
                    caller: Caller { actor: Some(self.actor.clone()), ..Caller::default() },
                    message: Some(self.pipeline.full_name()),
                    code: self.code(standing),
                    inputs: self.inputs(standing),
                    run: self.part_of.map(RunOf::Open),
                    ..Facts::default()
                },
                tables: planned.changes(),
                objects: Vec::new(),
            };
            let error = match catalog.apply(commit).await {
                Ok(committed) if committed.superseded => {
                    // The ledger knows this epoch from somebody else.
                    let name = format!("producer {}", self.pipeline.producer());
                    return Err(cenote_catalog::Error::Fenced { name }.into());
                }
                Ok(committed) => {
                    let now = self.services.lake.clock.now();
                    self.committed = Committing { at: now, took: now.since(started) };
                    return Ok(committed);
                }
                Err(error) => error,
            };
            let is_known = !matches!(
                error,
                cenote_catalog::Error::OutcomeUnknown(_) | cenote_catalog::Error::Unavailable(_)
            );
            if is_known {
                planned.abandon(&self.services.lake).await;
            }
            let again = match staged.sinks.may_conflict() {
                true => reruns.pause_after(error),
                false => Err(error),
            };
            match again {
                Ok(pause) => self.services.lake.clock.pause(pause).await,
                Err(error) => {
                    if is_known {
                        staged.sinks.abandon(&self.services.lake).await;
                        self.forget(staged.object, &staged.blocks).await;
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// The script, for lineage; none of an epoch that read nothing.
    fn code(&self, standing: &Standing) -> Option<Code> {
        let inputs = self.inputs(standing);
        let tables = inputs.iter().filter_map(|input| input.node.parse().ok().map(TableId));
        (!inputs.is_empty())
            .then(|| Code::new(self.masked_script.clone(), [self.masked_script.as_str()], tables))
    }

    /// The ranges that the epoch read.
    fn inputs(&self, standing: &Standing) -> Vec<Input> {
        let position = |standing: &Standing, name: &str| {
            let state = standing.sources.get(name)?;
            Some(state.position.clone()).filter(|position| !position.is_empty())
        };
        let moved = self.sources.iter().filter_map(|reader| {
            let (from, to) = (position(&self.standing, &reader.name), position(standing, &reader.name));
            (from != to).then(|| Input { node: reader.source.node(), from, to })
        });
        let looked = standing.looked_up.map(|at| Some(at.to_string())).into_iter().flat_map(|at| {
            let nodes = self.lookups.nodes();
            nodes.into_iter().map(move |node| Input { node, from: at.clone(), to: at.clone() })
        });
        moved.chain(looked).collect()
    }

    /// What follows a commit, and may be done again.
    pub(super) async fn finish(&mut self, before: BTreeSet<object_store::path::Path>) -> Result<(), Error> {
        for writer in &mut self.writers {
            if let Some(state) = self.standing.sinks.get(&writer.name) {
                writer.sink.finish(state).await?;
            }
        }
        for path in before.difference(&self.objects(self.object, &self.blocks)) {
            self.services.lake.store.delete(path).await?;
        }
        for reader in &mut self.sources {
            if let Some(state) = self.standing.sources.get(&reader.name) {
                reader.source.committed(&state.position).await?;
            }
        }
        Ok(())
    }
}
