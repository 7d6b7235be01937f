//! What holds rows between epochs, and what an epoch makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use xxhash_rust::xxh3::xxh3_64;

use super::check;
use super::cut::OperatorCut;
use super::forget::Forget;
use super::grouped::Grouped;
use super::interval::Interval;
use super::keyed::Keyed;
use super::lookup::Lookup;
use super::{Stage, lineage};
use crate::Error;
use crate::checkpoint::Held;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::kept::LateRows;
use crate::multiset::{Delta, Layout};
use crate::streams::Streams;

/// A part of a query with state.
pub(crate) struct Operator {
    kind: Kind,
    /// What its rows follow from.
    lineage: String,
    output: Feed,
}

/// What it does.
enum Kind {
    /// An aggregate over windows.
    Windows(Box<Stage>),
    /// An aggregate whose states of a group add up.
    Grouped(Box<Grouped>),
    /// Anything that is answered key by key.
    Keyed(Box<Keyed>),
    /// A join of rows that happen near each other.
    Interval(Box<Interval>),
    /// A join with a table that is looked at by its key.
    Lookup(Box<Lookup>),
}

/// When an epoch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The watermark before and after.
    pub(crate) watermark: (i64, i64),
    /// No epoch was before.
    pub(crate) is_first: bool,
    /// No row that was seen so far happened later, µs.
    pub(crate) latest: i64,
    /// Open windows are shown, where they are shown early.
    pub(crate) shows_early: bool,
    /// Bytes of open windows that an operator may keep in memory as they are; more become rows of tables.
    pub(crate) room: u64,
}

/// What becomes of an operator in an epoch. Nothing has changed yet.
#[derive(Default)]
pub(crate) struct Advanced {
    /// Runs of panes that it holds then.
    pub(crate) runs: Vec<RecordBatch>,
    /// What changes in its tables.
    pub(crate) deltas: Vec<Delta>,
    /// Rows that came too late.
    pub(crate) late: u64,
    /// Rows that came too late for some of their windows, and count in the others.
    pub(crate) partly_late: u64,
    /// How long it took.
    pub(crate) busy: Duration,
    /// The same, if they are kept.
    pub(crate) late_rows: Vec<LateRows>,
    /// Rows that were taken back after they had been forgotten.
    pub(crate) forgotten: u64,
}

impl Operator {
    pub(super) async fn plan(
        cut: OperatorCut,
        streams: &Streams,
        state: &SessionState,
    ) -> Result<Self, Error> {
        // How long a key was quiet is a matter of event time.
        match &cut {
            OperatorCut::Grouped(cut) if cut.forget != Forget::Never => check::ask_times(&cut.input)?,
            OperatorCut::Keyed(cut) if cut.forget != Forget::Never => {
                cut.inputs.iter().try_for_each(|input| check::ask_times(&input.plan))?;
            }
            _ => {}
        }
        let lineage = lineage::of_operator(&cut, state, &|feed| streams.lineage_of(feed))?;
        let (kind, output) = match cut {
            OperatorCut::Windows(cut) => {
                let output = cut.output.clone();
                (Kind::Windows(Box::new(Stage::plan(*cut, streams, state).await?)), output)
            }
            OperatorCut::Grouped(cut) => {
                let output = cut.output.clone();
                (Kind::Grouped(Box::new(Grouped::plan(*cut, streams, state).await?)), output)
            }
            OperatorCut::Keyed(cut) => {
                let output = cut.output.clone();
                (Kind::Keyed(Box::new(Keyed::plan(*cut, state).await?)), output)
            }
            OperatorCut::Interval(cut) => {
                let output = cut.output.clone();
                (Kind::Interval(Box::new(Interval::plan(*cut, state).await?)), output)
            }
            OperatorCut::Lookup(cut) => {
                let output = cut.output.clone();
                (Kind::Lookup(Box::new(Lookup::plan(*cut, streams, state).await?)), output)
            }
        };
        let operator = Self { kind, lineage, output };
        // As a number: texts of what is read several times would double with each of those that read it.
        let all = format!("{}\n{}", operator.fingerprint(), operator.lineage);
        streams.note_lineage(operator.output.id, format!("operator {:016x}", xxh3_64(all.as_bytes())));
        Ok(operator)
    }

    /// What its rows follow from, as a text.
    pub(crate) fn lineage(&self) -> &str {
        &self.lineage
    }

    /// Where its rows go.
    pub(crate) fn output(&self) -> &Feed {
        &self.output
    }

    /// `windows`, `groups`, `keys`, `near`, `lookup`
    pub(crate) fn kind(&self) -> &'static str {
        match &self.kind {
            Kind::Windows(_) => "windows",
            Kind::Grouped(_) => "groups",
            Kind::Keyed(_) => "keys",
            Kind::Interval(_) => "near",
            Kind::Lookup(_) => "lookup",
        }
    }

    /// What EXPLAIN tells of it.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        match &self.kind {
            Kind::Windows(stage) => vec![
                ("window", stage.windows().to_string()),
                ("state", "states of groups by pane, until their last window closes".to_owned()),
            ],
            Kind::Grouped(grouped) => {
                vec![("state", format!("a state and a result per group, {}", grouped.how_long()))]
            }
            Kind::Keyed(keyed) => vec![("state", format!("rows by key, {}", keyed.how_long()))],
            Kind::Interval(interval) => vec![
                ("apart", interval.bounds()),
                ("state", "rows of both sides, as long as a partner may come".to_owned()),
            ],
            Kind::Lookup(lookup) => {
                vec![("table", lookup.table_name.clone()), ("state", "none".to_owned())]
            }
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            Kind::Windows(stage) => &stage.name,
            Kind::Grouped(grouped) => &grouped.name,
            Kind::Keyed(keyed) => &keyed.name,
            Kind::Interval(interval) => &interval.name,
            Kind::Lookup(lookup) => &lookup.name,
        }
    }

    /// What makes another operator of it: where this differs, its state does not fit.
    pub(crate) fn fingerprint(&self) -> &str {
        match &self.kind {
            Kind::Windows(stage) => &stage.fingerprint,
            Kind::Grouped(grouped) => &grouped.fingerprint,
            Kind::Keyed(keyed) => &keyed.fingerprint,
            Kind::Interval(interval) => &interval.fingerprint,
            Kind::Lookup(lookup) => &lookup.fingerprint,
        }
    }

    /// Feeds below it.
    pub(crate) fn reads(&self) -> &BTreeSet<FeedId> {
        match &self.kind {
            Kind::Windows(stage) => stage.reads(),
            Kind::Grouped(grouped) => grouped.reads(),
            Kind::Keyed(keyed) => &keyed.reads,
            Kind::Interval(interval) => &interval.reads,
            Kind::Lookup(lookup) => &lookup.reads,
        }
    }

    /// The plans of what it takes.
    pub(crate) fn inputs(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        match &self.kind {
            Kind::Windows(stage) => vec![stage.input()],
            Kind::Grouped(grouped) => vec![grouped.input()],
            Kind::Keyed(keyed) => keyed.inputs(),
            Kind::Interval(interval) => interval.inputs(),
            Kind::Lookup(lookup) => vec![lookup.input()],
        }
    }

    /// The feed of the table that it looks at.
    pub(crate) fn looks_at(&self) -> Option<FeedId> {
        match &self.kind {
            Kind::Lookup(lookup) => Some(lookup.table),
            _ => None,
        }
    }

    /// Columns of the runs that it holds.
    pub(crate) fn runs_schema(&self) -> Option<&SchemaRef> {
        match &self.kind {
            Kind::Windows(stage) => Some(stage.held_schema()),
            Kind::Grouped(_) | Kind::Keyed(_) | Kind::Interval(_) | Kind::Lookup(_) => None,
        }
    }

    /// True if those may become rows of its tables.
    pub(crate) fn may_park(&self) -> bool {
        matches!(&self.kind, Kind::Windows(stage) if stage.may_park())
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> Vec<&Layout> {
        match &self.kind {
            Kind::Windows(stage) => stage.tables(),
            Kind::Grouped(grouped) => grouped.tables(),
            Kind::Keyed(keyed) => keyed.tables(),
            Kind::Interval(interval) => interval.tables(),
            Kind::Lookup(_) => Vec::new(),
        }
    }

    /// True if it would do something without any rows.
    pub(crate) fn is_due(&self, held: &Held, moment: Moment) -> Result<bool, Error> {
        match &self.kind {
            Kind::Windows(stage) => stage.closes(held, moment.watermark),
            Kind::Grouped(grouped) => grouped.is_due(&held.tables, moment),
            Kind::Keyed(keyed) => keyed.is_due(&held.tables, moment),
            Kind::Interval(interval) => interval.is_due(&held.tables, moment),
            Kind::Lookup(_) => Ok(false),
        }
    }

    /// Takes the rows of an epoch; what follows becomes a feed. What was held is not changed.
    pub(crate) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &Held,
        moment: Moment,
    ) -> Result<Advanced, Error> {
        match &self.kind {
            Kind::Windows(stage) => stage.advance(executor, feeds, held, moment).await,
            Kind::Grouped(grouped) => grouped.advance(executor, feeds, &held.tables, moment).await,
            Kind::Keyed(keyed) => keyed.advance(executor, feeds, &held.tables, moment).await,
            Kind::Interval(interval) => interval.advance(executor, feeds, &held.tables, moment).await,
            Kind::Lookup(lookup) => lookup.advance(executor, feeds).await,
        }
    }
}
