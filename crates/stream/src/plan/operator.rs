//! What holds rows between epochs, and what an epoch makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use xxhash_rust::xxh3::xxh3_64;

use super::cut::OperatorCut;
use super::grouped::Grouped;
use super::keyed::Keyed;
use super::{Stage, lineage};
use crate::Error;
use crate::checkpoint::Held;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
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
}

/// When an epoch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The watermark before and after.
    pub(crate) watermark: (i64, i64),
    /// No epoch was before.
    pub(crate) is_first: bool,
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
}

impl Operator {
    pub(super) async fn plan(
        cut: OperatorCut,
        streams: &Streams,
        state: &SessionState,
    ) -> Result<Self, Error> {
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

    /// `windows`, `groups`, `keys`
    pub(crate) fn kind(&self) -> &'static str {
        match &self.kind {
            Kind::Windows(_) => "windows",
            Kind::Grouped(_) => "groups",
            Kind::Keyed(_) => "keys",
        }
    }

    /// What EXPLAIN tells of it.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        match &self.kind {
            Kind::Windows(stage) => vec![
                ("window", stage.windows().to_string()),
                ("state", "states of groups by pane, until their last window closes".to_owned()),
            ],
            Kind::Grouped(_) => vec![("state", "a state and a result per group, for ever".to_owned())],
            Kind::Keyed(_) => vec![("state", "rows by key, for ever".to_owned())],
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            Kind::Windows(stage) => &stage.name,
            Kind::Grouped(grouped) => &grouped.name,
            Kind::Keyed(keyed) => &keyed.name,
        }
    }

    /// What makes another operator of it: where this differs, its state does not fit.
    pub(crate) fn fingerprint(&self) -> &str {
        match &self.kind {
            Kind::Windows(stage) => &stage.fingerprint,
            Kind::Grouped(grouped) => &grouped.fingerprint,
            Kind::Keyed(keyed) => &keyed.fingerprint,
        }
    }

    /// Feeds below it.
    pub(crate) fn reads(&self) -> &BTreeSet<FeedId> {
        match &self.kind {
            Kind::Windows(stage) => stage.reads(),
            Kind::Grouped(grouped) => grouped.reads(),
            Kind::Keyed(keyed) => &keyed.reads,
        }
    }

    /// The plans of what it takes.
    pub(crate) fn inputs(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        match &self.kind {
            Kind::Windows(stage) => vec![stage.input()],
            Kind::Grouped(grouped) => vec![grouped.input()],
            Kind::Keyed(keyed) => keyed.inputs(),
        }
    }

    /// Columns of the runs that it holds.
    pub(crate) fn runs_schema(&self) -> Option<&SchemaRef> {
        match &self.kind {
            Kind::Windows(stage) => Some(stage.held_schema()),
            Kind::Grouped(_) | Kind::Keyed(_) => None,
        }
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> Vec<&Layout> {
        match &self.kind {
            Kind::Windows(_) => Vec::new(),
            Kind::Grouped(grouped) => grouped.tables(),
            Kind::Keyed(keyed) => keyed.tables(),
        }
    }

    /// True if it would do something without any rows.
    pub(crate) fn is_due(&self, held: &Held, moment: Moment) -> Result<bool, Error> {
        match &self.kind {
            Kind::Windows(stage) => stage.closes(&held.runs, moment.watermark),
            Kind::Grouped(grouped) => Ok(moment.is_first && grouped.is_whole()),
            Kind::Keyed(keyed) => Ok(moment.is_first && keyed.is_whole),
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
            Kind::Windows(stage) => {
                let (runs, late) = stage.advance(executor, feeds, &held.runs, moment.watermark).await?;
                Ok(Advanced { runs, late, ..Advanced::default() })
            }
            Kind::Grouped(grouped) => {
                let deltas = grouped.advance(executor, feeds, &held.tables, moment.is_first).await?;
                Ok(Advanced { deltas, ..Advanced::default() })
            }
            Kind::Keyed(keyed) => {
                let deltas = keyed.advance(executor, feeds, &held.tables, moment.is_first).await?;
                Ok(Advanced { deltas, ..Advanced::default() })
            }
        }
    }
}
