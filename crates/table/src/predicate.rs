//! The small predicate by which files are pruned.

use cenote_datafile::Value;
use cenote_vocab::FieldId;

/// What rows are wanted, as far as files can be left out by it. Columns are named by field id; a comparison with NULL is not true.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Predicate {
    /// Nothing is known: every row may match.
    #[default]
    True,
    /// All hold.
    And(Vec<Predicate>),
    /// At least one holds.
    Or(Vec<Predicate>),
    /// Column against value; the value is of the column's present type.
    Compare {
        /// The column.
        field: FieldId,
        /// How.
        comparison: Comparison,
        /// With what.
        value: Value,
    },
    /// The column is NULL.
    IsNull(FieldId),
    /// The column is not NULL.
    IsNotNull(FieldId),
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}
