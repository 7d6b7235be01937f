//! What holds rows between epochs, and what an epoch makes of it.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;

use super::Stage;
use super::cut::OperatorCut;
use super::grouped::Grouped;
use super::keyed::Keyed;
use crate::Error;
use crate::checkpoint::Held;
use crate::epoch::Executor;
use crate::feed::{FeedId, Feeds};
use crate::multiset::{Delta, Layout};
use crate::streams::Streams;

/// A part of a query with state.
pub(crate) enum Operator {
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
        Ok(match cut {
            OperatorCut::Windows(cut) => Self::Windows(Box::new(Stage::plan(*cut, streams, state).await?)),
            OperatorCut::Grouped(cut) => Self::Grouped(Box::new(Grouped::plan(*cut, streams, state).await?)),
            OperatorCut::Keyed(cut) => Self::Keyed(Box::new(Keyed::plan(*cut, state).await?)),
        })
    }

    /// For messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Windows(stage) => &stage.name,
            Self::Grouped(grouped) => &grouped.name,
            Self::Keyed(keyed) => &keyed.name,
        }
    }

    /// What makes another operator of it: where this differs, its state does not fit.
    pub(crate) fn fingerprint(&self) -> &str {
        match self {
            Self::Windows(stage) => &stage.fingerprint,
            Self::Grouped(grouped) => &grouped.fingerprint,
            Self::Keyed(keyed) => &keyed.fingerprint,
        }
    }

    /// Feeds below it.
    pub(crate) fn reads(&self) -> &BTreeSet<FeedId> {
        match self {
            Self::Windows(stage) => stage.reads(),
            Self::Grouped(grouped) => grouped.reads(),
            Self::Keyed(keyed) => &keyed.reads,
        }
    }

    /// Columns of the runs that it holds.
    pub(crate) fn runs_schema(&self) -> Option<&SchemaRef> {
        match self {
            Self::Windows(stage) => Some(stage.held_schema()),
            Self::Grouped(_) | Self::Keyed(_) => None,
        }
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> Vec<&Layout> {
        match self {
            Self::Windows(_) => Vec::new(),
            Self::Grouped(grouped) => grouped.tables(),
            Self::Keyed(keyed) => keyed.tables(),
        }
    }

    /// True if it would do something without any rows.
    pub(crate) fn is_due(&self, held: &Held, moment: Moment) -> Result<bool, Error> {
        match self {
            Self::Windows(stage) => stage.closes(&held.runs, moment.watermark),
            Self::Grouped(grouped) => Ok(moment.is_first && grouped.is_whole()),
            Self::Keyed(keyed) => Ok(moment.is_first && keyed.is_whole),
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
        match self {
            Self::Windows(stage) => {
                let (runs, late) = stage.advance(executor, feeds, &held.runs, moment.watermark).await?;
                Ok(Advanced { runs, late, ..Advanced::default() })
            }
            Self::Grouped(grouped) => {
                let deltas = grouped.advance(executor, feeds, &held.tables, moment.is_first).await?;
                Ok(Advanced { deltas, ..Advanced::default() })
            }
            Self::Keyed(keyed) => {
                let deltas = keyed.advance(executor, feeds, &held.tables, moment.is_first).await?;
                Ok(Advanced { deltas, ..Advanced::default() })
            }
        }
    }
}
