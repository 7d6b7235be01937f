//! A place in a change feed, from which a reader can go on.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use cenote_vocab::{FileId, Txn};

/// Everything up to and including this place has been seen: `{txn}:{file}:{pos}` inside of a transaction, `{txn}` at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangePosition {
    /// The transaction.
    pub txn: Txn,
    /// The last row that was seen of it, by file and position; `None`: all of them.
    pub row: Option<(FileId, u64)>,
}

/// A text that is no position.
#[derive(Debug, thiserror::Error)]
#[error("position {0:?} is neither a transaction nor transaction:file:position")]
pub struct InvalidPosition(String);

impl ChangePosition {
    /// The end of a transaction.
    pub fn end_of(txn: Txn) -> Self {
        Self { txn, row: None }
    }

    /// The last transaction that has been seen whole.
    pub(super) fn before(self) -> Txn {
        match self.row {
            None => self.txn,
            Some(_) => Txn(self.txn.0.saturating_sub(1)),
        }
    }
}

impl Ord for ChangePosition {
    fn cmp(&self, other: &Self) -> Ordering {
        // the end of a transaction comes after all of its rows
        let key = |position: &Self| (position.txn, position.row.is_none(), position.row);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ChangePosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ChangePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            None => write!(f, "{}", self.txn),
            Some((file, position)) => write!(f, "{}:{file}:{position}", self.txn),
        }
    }
}

impl FromStr for ChangePosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let number = |part: &str| part.parse::<i64>().ok().filter(|number| *number >= 0);
        let parsed = || match text.split(':').collect::<Vec<_>>().as_slice() {
            [txn] => Some(Self::end_of(Txn(number(txn)?))),
            [txn, file, position] => {
                let row = (FileId(number(file)?), u64::try_from(number(position)?).ok()?);
                Some(Self { txn: Txn(number(txn)?), row: Some(row) })
            }
            _ => None,
        };
        parsed().ok_or_else(|| InvalidPosition(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_it_is_read_and_ends_order_last() {
        let positions = ["0", "4:9:0", "4:9:17", "4:10:3", "4", "5:1:0"];
        let read: Vec<ChangePosition> =
            positions.iter().map(|text| text.parse().expect("a position")).collect();
        assert!(read.is_sorted());
        assert_eq!(read.iter().map(ChangePosition::to_string).collect::<Vec<_>>(), positions);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "x", "-1", "1:2", "1:2:3:4", "1:-2:3", "1:2:9223372036854775808"] {
            assert!(text.parse::<ChangePosition>().is_err(), "{text}");
        }
    }
}
