//! Changes of rows: which rows of a table a statement takes away, and which it puts in their place.
//!
//! ```text
//! UPDATE, DELETE, MERGE, ON CONFLICT ─► RowChange ─ query ─► SELECT place, conditions, values FROM target, others
//!                                                   plan ──► place, number of the clause that holds, new row
//!                                                   run ───► Staging: places taken, rows written ─► one Commit
//! ```
//! A verb says only what is its own: what the target is matched with, and the clauses. Invariants: the first clause that
//! holds decides; a row of the target is taken once; what is committed was planned on the snapshot that the commit names.

mod assign;
mod new_rows;
mod plan;
mod query;
mod reads;
mod returning;
mod run;
mod writer;

pub(crate) use assign::{check_assignable, check_fields};
pub(crate) use new_rows::NewRows;
pub(crate) use query::{last_part, one_row_per_key, source_name};
pub(crate) use returning::{ChangedRows, Returning, describe as describe_returning};
pub(crate) use run::{Verb, describe, run};
pub(crate) use writer::{RowWriter, nullable};

use sqlparser::ast::{Expr, Ident, TableFactor, TableWithJoins};

/// What happens to the rows of a table.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// All of them go.
    DeleteAll,
    /// A query finds them.
    Rows(Box<RowChange>),
}

/// A query over the target and others, and what follows from each row of its answer.
#[derive(Clone, Debug)]
pub(crate) struct RowChange {
    /// The name by which expressions mean the target.
    pub(crate) target: Ident,
    pub(crate) source: Source,
    /// WHERE, or ON.
    pub(crate) condition: Option<Expr>,
    /// The first that holds decides; if none does, nothing happens.
    pub(crate) clauses: Vec<Clause>,
    pub(crate) answers: Answers,
}

/// Whether the changed rows are wanted, those that go too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Nothing,
    ChangedRows,
}

/// What the target's rows are matched with.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// `FROM`, `USING`: every combination that the condition lets through is a match.
    Beside(Vec<TableWithJoins>),
    /// `MERGE … USING`: rows of both sides may have no match.
    Against(Box<TableFactor>),
}

/// `WHEN … AND … THEN …`
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    pub(crate) when: When,
    pub(crate) predicate: Option<Expr>,
    pub(crate) act: Act,
}

/// To which rows of the query a clause applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A row of the target with a row of the source.
    Matched,
    /// A row of the source alone.
    NotMatched,
    /// A row of the target alone.
    NotMatchedBySource,
}

/// What a clause does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Nothing,
    Delete,
    /// The new row, a value for each column of the target.
    Update(Vec<NewValue>),
    /// The same.
    Insert(Vec<NewValue>),
}

/// Where the value of a column comes from.
#[derive(Clone, Debug)]
pub(crate) enum NewValue {
    /// It stays.
    Kept,
    Given(Box<Expr>),
    /// The column's default.
    Default,
}

impl Act {
    /// The row that it writes.
    fn values(&self) -> Option<&[NewValue]> {
        match self {
            Self::Update(values) | Self::Insert(values) => Some(values),
            Self::Nothing | Self::Delete => None,
        }
    }
}
