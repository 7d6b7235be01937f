//! How far a run is, and what its last epoch took.

use std::time::Duration;

use cenote_query::{OperatorProgress, PipelineProgress, SourceProgress};
use cenote_vocab::{Clock, Micros};

use super::room::memory;
use super::{Reader, Run};
use crate::checkpoint::{Held, SourceState};
use crate::epoch::is_idle;
use crate::plan::{Operator, operator_id};

/// What the steps of an epoch took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    pub(crate) cut: Duration,
    pub(crate) run: Duration,
    pub(crate) stage: Duration,
    pub(crate) commit: Duration,
    pub(crate) finish: Duration,
    /// Of staging: to store what operators hold.
    pub(crate) checkpoint: Duration,
    /// From when the newest row happened to the commit; `None` if nobody knows, or there was no row.
    pub(crate) event_to_commit: Option<Duration>,
}

impl Took {
    /// By the names of the steps.
    pub(crate) fn phases(&self) -> [(&'static str, Duration); 5] {
        [
            ("cut", self.cut),
            ("run", self.run),
            ("stage", self.stage),
            ("commit", self.commit),
            ("finish", self.finish),
        ]
    }
}

/// Times one step after the other.
pub(super) struct Watch {
    clock: Clock,
    began: Micros,
    pub(super) took: Took,
}

impl Watch {
    pub(super) fn start(clock: Clock) -> Self {
        let began = clock.now();
        Self { clock, began, took: Took::default() }
    }

    /// The step ends, the next begins.
    pub(super) fn lap(&mut self, step: impl Fn(&mut Took) -> &mut Duration) {
        let now = self.clock.now();
        *step(&mut self.took) = now.since(self.began);
        self.began = now;
    }
}

/// Rows in, out, late, late for some windows, bad and skipped, since the pipeline began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) late: u64,
    pub(crate) partly_late: u64,
    pub(crate) bad: u64,
    pub(crate) skipped: u64,
}

impl Run {
    /// What the last epoch took.
    pub(crate) fn took(&self) -> Took {
        self.took
    }

    /// What it has counted.
    pub(crate) fn all_counts(&self) -> Counts {
        Counts {
            rows_in: self.standing.rows_in,
            rows_out: self.standing.rows_out,
            late: self.standing.rows_late,
            partly_late: self.standing.rows_partly_late,
            bad: self.standing.rows_bad,
            skipped: self.standing.rows_skipped,
        }
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> PipelineProgress {
        let operators = self.plan.operators.iter().zip(&self.held).enumerate();
        let since = self.services.lake.clock.now().since(Micros(self.since));
        PipelineProgress {
            id: self.pipeline.id,
            graph: self.plan.graph.clone(),
            epoch: self.epoch,
            reached: self.reached(),
            watermark: event_time(self.standing.watermark),
            sources: self.sources.iter().filter_map(|reader| self.source(reader)).collect(),
            operators: operators
                .map(|(at, (operator, held))| progress_of(at, operator, held, since))
                .collect(),
            state_bytes: self.reservation.bytes(),
        }
    }

    fn source(&self, reader: &Reader) -> Option<SourceProgress> {
        let state: &SourceState = self.standing.sources.get(&reader.name)?;
        let is_table = self.plan.sources[reader.planned].table().is_some();
        let idle = self.plan.sources[reader.planned].idle.of(&self.plan.options);
        let now = self.services.lake.clock.now();
        Some(SourceProgress {
            name: reader.name.clone(),
            committed: state.position.clone(),
            available: match &reader.available {
                Some(available) => Some(available.position.clone()),
                None => (is_table && self.head.0 > 0).then(|| self.head.to_string()),
            },
            lag_rows: match state.ended {
                true => Some(0),
                false => reader.available.as_ref().map(|available| available.rows),
            },
            lag: match reader.behind_since.filter(|_| !state.ended) {
                Some(since) => now.since(since),
                None => Duration::ZERO,
            },
            watermark: state.time_max.and_then(event_time),
            seen: Some(Micros(state.seen)).filter(|seen| *seen > self.pipeline.created),
            is_idle: is_idle(state, idle, (now.0, self.since)),
            has_ended: state.ended,
        })
    }
}

/// Event time, if some is over and some is not.
fn event_time(micros: i64) -> Option<Micros> {
    Some(Micros(micros)).filter(|time| time.0 != i64::MIN && time.0 != i64::MAX)
}

/// Of an operator of a run that began so long ago.
fn progress_of(at: usize, operator: &Operator, held: &Held, since: Duration) -> OperatorProgress {
    let runs: usize = held.runs.iter().map(|run| run.num_rows()).sum();
    let tables: usize = held.tables.iter().map(|table| table.len()).sum();
    OperatorProgress {
        id: operator_id(at),
        name: operator.name().to_owned(),
        rows: (runs + tables) as u64,
        bytes: memory(std::iter::once((&held.runs[..], &held.tables[..], &[][..]))),
        disk_bytes: held.tables.iter().map(|table| table.disk_bytes()).sum(),
        late: held.late,
        busy: (held.busy, since),
    }
}
