//! Sets of slices: ranges of numbers, in order, that neither touch nor overlap.

/// Slices from one to another, both counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceRange {
    /// The first.
    pub first: i64,
    /// The last, not before it.
    pub last: i64,
}

impl SliceRange {
    /// All that there are.
    pub const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// A single slice.
    pub fn one(number: i64) -> Self {
        Self { first: number, last: number }
    }

    /// How many slices it has.
    pub fn len(self) -> u64 {
        self.first.abs_diff(self.last).saturating_add(1)
    }

    /// Never: a range has a slice.
    pub fn is_empty(self) -> bool {
        false
    }

    /// True if a slice is in both.
    pub fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is in both.
    pub fn within(self, other: Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }

    /// Cut into pieces of at most so many slices, in order.
    pub fn pieces(self, size: u64) -> impl Iterator<Item = Self> {
        let size = i64::try_from(size.max(1)).unwrap_or(i64::MAX);
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next?;
            let last = first.saturating_add(size - 1).min(self.last);
            next = (last < self.last).then(|| last + 1);
            Some(Self { first, last })
        })
    }

    /// Every slice of it.
    pub fn numbers(self) -> std::ops::RangeInclusive<i64> {
        self.first..=self.last
    }
}

/// Any slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceSet(Vec<SliceRange>);

impl SliceSet {
    /// What any of the ranges holds.
    pub fn of(ranges: impl IntoIterator<Item = SliceRange>) -> Self {
        let mut sorted: Vec<SliceRange> = ranges.into_iter().collect();
        sorted.sort();
        let mut merged: Vec<SliceRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last)
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// Its ranges, in order.
    pub fn ranges(&self) -> &[SliceRange] {
        &self.0
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many it holds.
    pub fn len(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.len()))
    }

    /// What is in either.
    pub fn with(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    /// What is in both.
    pub fn within(&self, range: SliceRange) -> Self {
        Self(self.0.iter().filter_map(|own| own.within(range)).collect())
    }

    /// True if a slice is in both.
    pub fn meets(&self, range: SliceRange) -> bool {
        self.0.iter().any(|own| own.meets(range))
    }

    /// Every slice of it, in order.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|range| range.numbers())
    }

    /// The newest.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|range| range.last)
    }
}

impl From<SliceRange> for SliceSet {
    fn from(range: SliceRange) -> Self {
        Self(vec![range])
    }
}
