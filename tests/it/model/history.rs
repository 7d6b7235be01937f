//! What each version of a table showed when it was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::Image;

/// An image, or `None` while the table is not there.
pub(super) type Shown = Option<Arc<Image>>;

/// The versions that one step made.
#[derive(Clone, Debug)]
struct Moment {
    /// The head before it and after it.
    from: i64,
    to: i64,
    /// What its versions may show, in order; `to` shows the last.
    images: Vec<Shown>,
}

/// All that is known about the past of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    moments: Vec<Moment>,
    /// Versions in the middle of a step, once they were read: they must stay so.
    seen: BTreeMap<i64, Shown>,
}

impl History {
    /// A step moved the head and changed this table.
    pub(super) fn record(&mut self, from: i64, to: i64, images: Vec<Shown>) {
        self.moments.push(Moment { from, to, images });
    }

    /// What version `at` may show: one image but for the middle of a step.
    pub(super) fn at(&self, at: i64) -> Vec<Shown> {
        if let Some(seen) = self.seen.get(&at) {
            return vec![seen.clone()];
        }
        let after = self.moments.partition_point(|moment| moment.from < at);
        let Some(moment) = after.checked_sub(1).map(|n| &self.moments[n]) else { return vec![None] };
        if at >= moment.to {
            return vec![moment.images.last().cloned().flatten()];
        }
        let before = after.checked_sub(2).and_then(|n| self.moments[n].images.last().cloned().flatten());
        std::iter::once(before).chain(moment.images.iter().cloned()).collect()
    }

    /// A version in the middle of a step was read.
    pub(super) fn pin(&mut self, at: i64, shown: Shown) {
        self.seen.insert(at, shown);
    }

    /// The step after which it showed something else, the last one: the head before it. Steps that moved the head for other
    /// tables are here too.
    pub(super) fn last_change(&self) -> i64 {
        let shown = |moment: &Moment| moment.images.last().cloned().flatten().map(|image| image.lines());
        let differs = |n: &usize| {
            n.checked_sub(1).is_none_or(|before| shown(&self.moments[before]) != shown(&self.moments[*n]))
        };
        let last = (0..self.moments.len()).rev().find(differs);
        last.map_or(0, |n| self.moments[n].from)
    }

    /// The first version that is known.
    pub(super) fn first(&self) -> i64 {
        self.moments.first().map_or(0, |moment| moment.from)
    }

    /// The last versions of steps, at or above `floor`.
    pub(super) fn versions(&self, floor: i64) -> Vec<i64> {
        self.moments.iter().map(|moment| moment.to).filter(|to| *to >= floor).collect()
    }

    /// Forgets what no version at or above `floor` and none of `tags` shows.
    pub(super) fn forget(&mut self, floor: i64, tags: &[i64]) {
        self.seen.retain(|at, _| *at >= floor || tags.contains(at));
        let needed: Vec<bool> = (0..self.moments.len())
            .map(|n| {
                let (from, until) =
                    (self.moments[n].from, self.moments.get(n + 1).map_or(i64::MAX, |next| next.to));
                until > floor || tags.iter().any(|tag| from < *tag && *tag <= until)
            })
            .collect();
        let mut needed = needed.into_iter();
        self.moments.retain(|_| needed.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Row;

    /// An image with so many rows.
    fn image(rows: usize) -> Shown {
        let rows = (0..rows).map(|_| Arc::new(Row::new())).collect();
        Some(Arc::new(Image { columns: Vec::new(), rows }))
    }

    fn rows(history: &History, at: i64) -> Vec<Option<usize>> {
        history.at(at).iter().map(|shown| shown.as_ref().map(|image| image.rows.len())).collect()
    }

    #[test]
    fn a_version_shows_the_last_step_before_it_and_all_candidates_within_a_step() {
        let mut history = History::default();
        history.record(2, 3, vec![image(1)]);
        history.record(5, 8, vec![image(2), image(3)]);
        assert_eq!(rows(&history, 2), [None]);
        assert_eq!(rows(&history, 3), [Some(1)]);
        assert_eq!(rows(&history, 5), [Some(1)]);
        assert_eq!(rows(&history, 6), [Some(1), Some(2), Some(3)]);
        history.pin(6, image(2));
        assert_eq!(rows(&history, 6), [Some(2)]);
        assert_eq!(rows(&history, 100), [Some(3)]);
    }

    #[test]
    fn a_step_that_changed_other_tables_is_no_change() {
        let mut history = History::default();
        history.record(2, 3, vec![image(1)]);
        history.record(5, 8, vec![image(2)]);
        history.record(9, 10, vec![image(2)]);
        assert_eq!(history.last_change(), 5);
    }

    #[test]
    fn only_what_the_floor_and_the_tags_need_is_remembered() {
        let mut history = History::default();
        for n in 1..=5 {
            history.record(n * 10, n * 10 + 1, vec![image(n as usize)]);
        }
        history.forget(41, &[22]);
        assert_eq!(history.versions(0), [21, 41, 51]);
        assert_eq!((rows(&history, 22), rows(&history, 45)), (vec![Some(2)], vec![Some(4)]));
    }
}
