//! Which slices an asset has by now: those that have ended, within its bounds.

use cenote_catalog::{Asset, PartsOf, SliceRange, SliceSet, Slices};
use cenote_vocab::{Micros, Scope};

use crate::Error;
use crate::flow::Inner;

/// An asset that is cut, as far as plans care.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) slices: Slices,
    /// Those that have ended, from the first.
    pub(crate) there: SliceSet,
    /// From the first to the newest that has begun.
    pub(crate) limit: SliceRange,
    /// Whether each is a task of its own.
    pub(crate) alone: bool,
}

impl Cut {
    /// At an instant. `first` is the earliest that was ever made: where an asset without START begins.
    pub(crate) fn at(slices: Slices, first: Option<i64>, now: Micros, alone: bool) -> Self {
        let start = slices.bounds().0;
        let ended = start.or(first).zip(slices.newest_ended(now)).filter(|(first, last)| first <= last);
        let there = SliceSet::of(ended.map(|(first, last)| SliceRange { first, last }));
        let limit = SliceRange {
            first: start.unwrap_or(i64::MIN),
            last: slices.newest_begun(now).unwrap_or(i64::MAX),
        };
        Self { slices, there, limit, alone }
    }

    /// Of these slices those that could be made; of all of them, those that are there.
    pub(crate) fn possible(&self, set: &SliceSet) -> SliceSet {
        match set.ranges() {
            [range] if *range == SliceRange::ALL => self.there.clone(),
            _ => set.within(self.limit),
        }
    }

    /// Of these slices those that are there.
    pub(crate) fn existing(&self, set: &SliceSet) -> SliceSet {
        let within = self.there.ranges().iter().map(|range| set.within(*range));
        within.fold(SliceSet::default(), |sum, part| sum.with(&part))
    }
}

impl Inner {
    /// How an asset is cut now; `None` if it is whole.
    pub(crate) async fn cut(&self, scope: &Scope, asset: &Asset, now: Micros) -> Result<Option<Cut>, Error> {
        let Some(slices) = asset.spec.slices()? else { return Ok(None) };
        let first = match slices.bounds().0 {
            Some(_) => None,
            None => {
                let parts = self.lake.catalog.asset_partitions(scope, PartsOf::Asset(asset.id)).await?;
                let made = parts.iter().filter(|part| part.success.is_some());
                made.filter_map(|part| slices.number(&part.key).ok()).min()
            }
        };
        Ok(Some(Cut::at(slices, first, now, asset.spec.per_partition)))
    }
}
