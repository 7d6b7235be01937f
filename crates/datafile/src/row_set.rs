//! Some rows of one file, by position.

use std::ops::Range;
use std::sync::Arc;

use crate::DeletionVector;

/// Some of the rows of a file, by position from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum RowSet {
    /// Every row of the file but these.
    Except(Arc<DeletionVector>),
    /// These rows, and no others.
    Only(Arc<DeletionVector>),
}

impl RowSet {
    /// Every row that `vector` leaves.
    pub fn live(vector: Option<Arc<DeletionVector>>) -> Self {
        Self::Except(vector.unwrap_or_default())
    }

    /// Those of them that come after `position`.
    #[must_use]
    pub fn after(&self, position: u64) -> Self {
        let passed = 0..position.saturating_add(1);
        match self {
            Self::Except(vector) => Self::Except(Arc::new(vector.with_range(passed))),
            Self::Only(vector) => Self::Only(Arc::new(vector.without_range(passed))),
        }
    }

    /// How many they are, of a file of `row_count` rows.
    pub fn count(&self, row_count: u64) -> u64 {
        match self {
            Self::Except(vector) => row_count.saturating_sub(vector.cardinality()),
            Self::Only(vector) => vector.cardinality(),
        }
    }

    /// Their positions, ascending, as runs; the file has `row_count` rows.
    pub fn runs(&self, row_count: u64) -> Box<dyn Iterator<Item = Range<u64>> + Send + '_> {
        match self {
            Self::Only(vector) => Box::new(runs(vector.positions().take_while(move |at| *at < row_count))),
            Self::Except(vector) => {
                let mut next = 0;
                let gone = vector.positions().take_while(move |at| *at < row_count);
                let ends = runs(gone).chain(std::iter::once(row_count..row_count));
                Box::new(ends.filter_map(move |gone| {
                    let run = next..gone.start;
                    next = gone.end;
                    (!run.is_empty()).then_some(run)
                }))
            }
        }
    }
}

/// Ascending positions as runs.
fn runs(positions: impl Iterator<Item = u64>) -> impl Iterator<Item = Range<u64>> {
    let mut positions = positions.peekable();
    std::iter::from_fn(move || {
        let start = positions.next()?;
        let mut end = start + 1;
        while positions.next_if_eq(&end).is_some() {
            end += 1;
        }
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(rows: &RowSet, row_count: u64) -> Vec<u64> {
        rows.runs(row_count).flatten().collect()
    }

    proptest! {
        #[test]
        fn both_forms_list_what_they_say(gone in prop::collection::btree_set(0_u64..60, 0..60), row_count in 60_u64..70, passed in 0_u64..70) {
            let vector: Arc<DeletionVector> = Arc::new(gone.iter().copied().collect());
            let left: Vec<u64> = (0..row_count).filter(|at| !gone.contains(at)).collect();
            let (except, only) = (RowSet::Except(vector.clone()), RowSet::Only(vector));
            prop_assert_eq!(listed(&except, row_count), left.clone());
            prop_assert_eq!(except.count(row_count), left.len() as u64);
            prop_assert_eq!(listed(&only, row_count), gone.iter().copied().collect::<Vec<_>>());

            let later: Vec<u64> = left.into_iter().filter(|at| *at > passed).collect();
            if passed < row_count {
                prop_assert_eq!(except.after(passed).count(row_count), later.len() as u64);
            }
            prop_assert_eq!(listed(&except.after(passed), row_count), later);
            let later: Vec<u64> = gone.into_iter().filter(|at| *at > passed).collect();
            prop_assert_eq!(listed(&only.after(passed), row_count), later);
        }
    }
}
