//! Which slices of what is read belong to which slices of what reads it.

use cenote_vocab::Micros;
use serde::{Deserialize, Serialize};

use super::{Cut, SliceRange, SliceSet, Slices, wrong};
use crate::Error;

/// The most slices of an offset of a window.
const OFFSET_MAX: i64 = 100_000;

/// From slices downstream to slices upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mapping {
    /// To those of the same dimension that overlap in time or are the same value; a dimension that one side lacks means
    /// all of its values.
    #[default]
    Identity,
    /// To all of them.
    All,
    /// To the newest.
    Latest,
    /// To those of so many periods earlier or later, in periods of upstream.
    Window {
        /// The first offset.
        from: i64,
        /// The last one.
        to: i64,
    },
}

/// A mapping between two assets that are both cut.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'a> {
    /// What it is.
    pub mapping: Mapping,
    /// What reads.
    pub down: &'a Slices,
    /// What is read.
    pub up: &'a Slices,
}

impl Mapping {
    /// Fails if there is no such mapping between two assets; `None` is one that is not cut, or no asset.
    pub fn check(self, down: Option<&Slices>, up: Option<&Slices>, same: Sameness) -> Result<(), Error> {
        let is_time = |slices: Option<&Slices>| slices.is_some_and(|slices| slices.period().is_some());
        match self {
            Self::Window { from, to } => {
                if !is_time(down) || !is_time(up) {
                    return Err(wrong(
                        "mapping window is between partitions of time on both sides".to_owned(),
                    ));
                }
                if from > to || from < -OFFSET_MAX || to > OFFSET_MAX {
                    return Err(wrong(format!(
                        "mapping window({from}, {to}) is not from a lower offset to a higher one"
                    )));
                }
                if same == Sameness::Itself && to >= 0 {
                    let text = "an asset reads only earlier partitions of itself: mapping window(-n, -1)";
                    return Err(wrong(text.to_owned()));
                }
                Ok(())
            }
            _ if same == Sameness::Itself => Err(wrong(
                "an asset reads only earlier partitions of itself: mapping window(-n, -1)".to_owned(),
            )),
            Self::Latest if !is_time(up) => {
                Err(wrong("mapping latest needs partitions of time upstream".to_owned()))
            }
            Self::Latest | Self::Identity | Self::All => Ok(()),
        }
    }

    /// As it is written.
    pub fn text(self) -> String {
        match self {
            Self::Identity => "identity".to_owned(),
            Self::All => "all".to_owned(),
            Self::Latest => "latest".to_owned(),
            Self::Window { from, to } => format!("window({from}, {to})"),
        }
    }
}

/// Whether an asset reads itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Its own table.
    Itself,
    /// Another.
    Other,
}

impl Mapped<'_> {
    /// The slices that are read for these; `newest` is the newest one upstream. Not limited to those that there are.
    pub fn upstream(&self, range: SliceRange, newest: Option<i64>) -> SliceSet {
        match self.mapping {
            Mapping::All => SliceRange::ALL.into(),
            Mapping::Latest => SliceSet::of(newest.map(SliceRange::one)),
            Mapping::Identity => across(self.down, range, self.up),
            Mapping::Window { from, to } => {
                let moved = |own: &SliceRange| SliceRange {
                    first: own.first.saturating_add(from),
                    last: own.last.saturating_add(to),
                };
                SliceSet::of(across(self.down, range, self.up).ranges().iter().map(moved))
            }
        }
    }

    /// The slices that read any of these.
    pub fn downstream(&self, range: SliceRange, newest: Option<i64>) -> SliceSet {
        match self.mapping {
            Mapping::All => SliceRange::ALL.into(),
            Mapping::Latest => match newest.is_some_and(|newest| range.meets(SliceRange::one(newest))) {
                true => SliceRange::ALL.into(),
                false => SliceSet::default(),
            },
            Mapping::Identity => across(self.up, range, self.down),
            Mapping::Window { from, to } => {
                let moved = SliceRange {
                    first: range.first.saturating_sub(to),
                    last: range.last.saturating_sub(from),
                };
                across(self.up, moved, self.down)
            }
        }
    }
}

/// The slices of one asset that overlap those of another.
fn across(from: &Slices, range: SliceRange, to: &Slices) -> SliceSet {
    match (&from.cut, &to.cut) {
        (Cut::Time { .. }, Cut::Time { .. }) => {
            let Some((begin, end)) = from.instants(range) else { return SliceRange::ALL.into() };
            match (to.at(begin), to.at(Micros(end.0 - 1))) {
                (Some(first), Some(last)) if first <= last => SliceRange { first, last }.into(),
                (Some(_), Some(_)) => SliceSet::default(),
                _ => SliceRange::ALL.into(),
            }
        }
        (Cut::Values(own), Cut::Values(others)) if from.column == to.column => {
            let same = |number: i64| {
                let value = own.get(usize::try_from(number).ok()?)?;
                let place = others.iter().position(|other| other == value)?;
                i64::try_from(place).ok().map(SliceRange::one)
            };
            let last = i64::try_from(own.len()).unwrap_or(i64::MAX) - 1;
            let within = range.within(SliceRange { first: 0, last });
            SliceSet::of(within.into_iter().flat_map(SliceRange::numbers).filter_map(same))
        }
        _ => SliceRange::ALL.into(),
    }
}
