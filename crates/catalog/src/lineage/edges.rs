//! What the graphs of lineage keep of an edge between tables, and of one between columns.

use std::sync::Arc;

use cenote_vocab::{FieldId, TableId, Txn};
use uuid::Uuid;

use super::adjacency::Link;
use super::{COPIES, ColumnEdge, ColumnKind, DERIVES_FROM, EXACT, FILTERS, LineageEdge, TABLE_ONLY};
use crate::Error;

const EDGE_TYPES: [&str; 3] = [COPIES, DERIVES_FROM, FILTERS];

/// An edge between tables without its ends.
#[derive(Debug)]
pub(crate) struct EdgeLink {
    /// Place in [`EDGE_TYPES`].
    edge_type: u8,
    exact: bool,
    /// One for all edges of the code.
    code: Option<Arc<[u8; 32]>>,
    first: Txn,
    last: Txn,
    commits: i64,
    rows_written: i64,
    run: Option<Uuid>,
}

/// What a row of `cn_edge` says of an edge besides its ends.
pub(crate) struct EdgeFacts {
    pub(crate) edge_type: String,
    pub(crate) code: Option<Arc<[u8; 32]>>,
    pub(crate) first: Txn,
    pub(crate) last: Txn,
    pub(crate) commits: i64,
    pub(crate) rows_written: i64,
    pub(crate) run: Option<Uuid>,
    pub(crate) soundness: String,
}

impl EdgeLink {
    /// `Corrupt` for words that nobody wrote.
    pub(crate) fn of(facts: EdgeFacts) -> Result<Self, Error> {
        let EdgeFacts { edge_type, code, first, last, commits, rows_written, run, soundness } = facts;
        let place = EDGE_TYPES.iter().zip(0_u8..).find(|(known, _)| **known == edge_type);
        let (_, edge_type) =
            place.ok_or_else(|| Error::Corrupt(format!("an edge type {edge_type:?} in cn_edge")))?;
        let exact = match soundness.as_str() {
            EXACT => true,
            TABLE_ONLY => false,
            other => return Err(Error::Corrupt(format!("a soundness {other:?} in cn_edge"))),
        };
        Ok(Self { edge_type, exact, code, first, last, commits, rows_written, run })
    }
}

impl Link for EdgeLink {
    type Node = Arc<str>;
    type Key = (u8, Option<[u8; 32]>);
    type Shown = LineageEdge;

    fn key(&self) -> Self::Key {
        (self.edge_type, self.code.as_deref().copied())
    }

    fn first(&self) -> Txn {
        self.first
    }

    fn renew(&mut self, later: Self) {
        if later.last >= self.last {
            *self = later;
        }
    }

    fn shown(&self, source: &Arc<str>, target: &Arc<str>) -> LineageEdge {
        LineageEdge {
            source: source.clone(),
            target: target.clone(),
            edge_type: EDGE_TYPES[usize::from(self.edge_type)],
            code: self.code.as_deref().copied(),
            first: self.first,
            last: self.last,
            commits: self.commits,
            rows_written: self.rows_written,
            run: self.run,
            soundness: if self.exact { EXACT } else { TABLE_ONLY },
        }
    }
}

/// An edge between columns without its ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnLink {
    pub(crate) kind: ColumnKind,
    /// When the first code with it was met.
    pub(crate) first: Txn,
}

impl Link for ColumnLink {
    type Node = (TableId, FieldId);
    type Key = ColumnKind;
    type Shown = ColumnEdge;

    fn key(&self) -> ColumnKind {
        self.kind
    }

    fn first(&self) -> Txn {
        self.first
    }

    fn renew(&mut self, later: Self) {
        self.first = self.first.min(later.first);
    }

    fn shown(&self, source: &(TableId, FieldId), target: &(TableId, FieldId)) -> ColumnEdge {
        ColumnEdge { source: *source, target: *target, kind: self.kind }
    }
}
