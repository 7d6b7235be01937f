//! When keys were touched: finds those that were quiet for too long, and rows that came too long ago. Pure.
//!
//! ```text
//! table of an operator: (stamp, key)     stamps are an eighth of the time to live apart: a busy key moves eight times in it
//! ```
//! What was touched at `t` is forgotten when event time up to `t` + the time to live is over, or at most an eighth later.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};

use crate::Error;
use crate::multiset::{Delta, Layout, Multiset};

/// Stamps in the time to live.
const STAMPS: i64 = 8;
/// The first column of the table.
const STAMP: &str = "_stamp";

/// The table of stamps of an operator.
pub(crate) struct Idle {
    /// µs
    ttl: i64,
    /// Between stamps; 0: every instant is one.
    step: i64,
    layout: Layout,
    stamp: RowConverter,
}

/// The bytes that a stamp begins a row with.
pub(crate) type Stamp = Box<[u8]>;

/// Keys that were touched at a stamp.
pub(crate) type Touched = (Stamp, Vec<Box<[u8]>>);

impl Idle {
    /// For keys of these columns. 0: a stamp says itself when its key is forgotten.
    pub(crate) fn new(ttl: i64, keys: &[Arc<Field>]) -> Result<Self, Error> {
        Self::stepping((ttl, ttl / STAMPS), keys)
    }

    /// The same, with a stamp for every instant.
    pub(crate) fn exactly(ttl: i64, keys: &[Arc<Field>]) -> Result<Self, Error> {
        Self::stepping((ttl, 0), keys)
    }

    fn stepping((ttl, step): (i64, i64), keys: &[Arc<Field>]) -> Result<Self, Error> {
        let stamp = Arc::new(Field::new(STAMP, DataType::Int64, false));
        let fields: Vec<Arc<Field>> = [stamp].into_iter().chain(keys.iter().cloned()).collect();
        let layout = Layout::new(Arc::new(Schema::new(fields)), 1)?;
        Ok(Self { ttl, step, layout, stamp: RowConverter::new(vec![SortField::new(DataType::Int64)])? })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The stamp of what is touched at an instant.
    pub(crate) fn stamp(&self, at: i64) -> Result<Stamp, Error> {
        let at = match self.step {
            0 => at,
            step => at.saturating_add(step - 1).div_euclid(step).saturating_mul(step),
        };
        self.bytes(at)
    }

    fn bytes(&self, at: i64) -> Result<Stamp, Error> {
        let rows = self.stamp.convert_columns(&[Arc::new(Int64Array::from(vec![at]))])?;
        Ok(rows.row(0).data().into())
    }

    /// The instant that a row begins with.
    pub(crate) fn instant(&self, row: &[u8]) -> Result<i64, Error> {
        let width = self.bytes(0)?.len();
        let parser = self.stamp.parser();
        let columns = self.stamp.convert_rows([parser.parse(&row[..width])])?;
        Ok(columns[0].as_primitive::<Int64Type>().value(0))
    }

    /// Stamps of these instants that are there, in order. Others are not read.
    fn stamps(&self, held: &Multiset, instants: RangeInclusive<i64>) -> Result<Vec<(i64, Stamp)>, Error> {
        let mut stamps = Vec::new();
        let mut first = held.from(&self.bytes(*instants.start())?)?.next().transpose()?;
        while let Some((row, _)) = first {
            let at = self.instant(&row)?;
            if !instants.contains(&at) {
                break;
            }
            stamps.push((at, self.bytes(at)?));
            first = match at.checked_add(1) {
                Some(next) => held.from(&self.bytes(next)?)?.next().transpose()?,
                None => None,
            };
        }
        Ok(stamps)
    }

    /// Keys have these stamps from now on, and no other; keys without one have none.
    pub(crate) fn touch<'a>(
        &self,
        held: &Multiset,
        keys: impl Iterator<Item = (&'a [u8], Option<&'a Stamp>)>,
    ) -> Result<Delta, Error> {
        let stamps = self.stamps(held, i64::MIN..=i64::MAX)?;
        let mut delta = Delta::default();
        for (key, new) in keys {
            // Most keys were touched lately.
            let mut old = None;
            for (_, stamp) in stamps.iter().rev() {
                let row = row(stamp, key);
                if held.contains(&row)? {
                    old = Some(row);
                    break;
                }
            }
            if let Some(new) = new {
                delta.add(&row(new, key), 1);
            }
            if let Some(old) = old {
                delta.add(&old, -1);
            }
        }
        Ok(delta)
    }

    /// Keys have this stamp as well as those that they had.
    pub(crate) fn mark<'a>(
        &self,
        held: &Multiset,
        keys: impl Iterator<Item = &'a [u8]>,
        stamp: &Stamp,
    ) -> Result<Delta, Error> {
        new_rows(held, keys.map(|key| row(stamp, key)))
    }

    /// Keys have these stamps as well as those that they had, each its own.
    pub(crate) fn mark_each(
        &self,
        held: &Multiset,
        keys: &[Box<[u8]>],
        stamps: Vec<i64>,
    ) -> Result<Delta, Error> {
        let stamps = self.stamp.convert_columns(&[Arc::new(Int64Array::from(stamps))])?;
        let rows: BTreeSet<Vec<u8>> =
            keys.iter().zip(&stamps).map(|(key, stamp)| row(stamp.data(), key)).collect();
        new_rows(held, rows.into_iter())
    }

    /// Keys have these stamps so many times more, each its own.
    pub(crate) fn add_each(
        &self,
        delta: &mut Delta,
        keys: &[Box<[u8]>],
        stamps: Vec<i64>,
        times: i64,
    ) -> Result<(), Error> {
        let stamps = self.stamp.convert_columns(&[Arc::new(Int64Array::from(stamps))])?;
        keys.iter().zip(&stamps).for_each(|(key, stamp)| delta.add(&row(stamp.data(), key), times));
        Ok(())
    }

    /// Stamps behind one instant and not behind another, each with its keys.
    pub(crate) fn between(&self, held: &Multiset, (after, upto): (i64, i64)) -> Result<Vec<Touched>, Error> {
        let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
        let stamps = self.stamps(held, first..=upto)?;
        stamps.into_iter().map(|(_, stamp)| keys_of(held, stamp)).collect()
    }

    /// True if something is to be forgotten when event time up to here is over.
    pub(crate) fn is_due(&self, held: &Multiset, watermark: i64) -> Result<bool, Error> {
        match held.from(&[])?.next().transpose()? {
            Some((row, _)) => Ok(self.is_over(self.instant(&row)?, watermark)),
            None => Ok(false),
        }
    }

    /// What is to be forgotten when event time up to here is over: stamps, each with its keys.
    pub(crate) fn over(&self, held: &Multiset, watermark: i64) -> Result<Vec<Touched>, Error> {
        if !self.is_due(held, watermark)? {
            return Ok(Vec::new());
        }
        let stamps = self.stamps(held, i64::MIN..=watermark.saturating_sub(self.ttl))?;
        stamps.into_iter().map(|(_, stamp)| keys_of(held, stamp)).collect()
    }

    /// At the end of all sources nothing is quiet: there is nothing left to come.
    fn is_over(&self, stamp: i64, watermark: i64) -> bool {
        watermark < i64::MAX && stamp.saturating_add(self.ttl) <= watermark
    }

    /// True if a change takes a key of a stamp away.
    pub(crate) fn is_forgotten(&self, delta: &Delta, stamp: &Stamp, key: &[u8]) -> bool {
        delta.weight(&row(stamp, key)) < 0
    }

    /// Takes a key of a stamp away.
    pub(crate) fn forget(&self, delta: &mut Delta, stamp: &Stamp, key: &[u8]) {
        delta.add(&row(stamp, key), -1);
    }
}

/// A stamp with its keys.
fn keys_of(held: &Multiset, stamp: Stamp) -> Result<Touched, Error> {
    let keys = held.of_key(&stamp)?.iter().map(|(row, _)| row[stamp.len()..].into()).collect();
    Ok((stamp, keys))
}

/// Those rows that are not there yet.
fn new_rows(held: &Multiset, rows: impl Iterator<Item = Vec<u8>>) -> Result<Delta, Error> {
    let mut delta = Delta::default();
    for row in rows {
        if !held.contains(&row)? {
            delta.add(&row, 1);
        }
    }
    Ok(delta)
}

/// Encodings of columns stand one behind the other.
fn row(stamp: &[u8], key: &[u8]) -> Vec<u8> {
    [stamp, key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Idle {
        Idle::new(80, &[Arc::new(Field::new("k", DataType::Int64, true))]).expect("bytes")
    }

    fn key(idle: &Idle, key: i64) -> Stamp {
        idle.bytes(key).expect("bytes")
    }

    fn keys(idle: &Idle, held: &Multiset, watermark: i64) -> Vec<i64> {
        let over = idle.over(held, watermark).expect("stamps");
        over.iter().flat_map(|(_, keys)| keys).map(|key| idle.instant(key).expect("a number")).collect()
    }

    #[test]
    fn a_key_is_over_when_it_was_quiet_for_its_time_and_one_that_is_touched_again_is_not() {
        let idle = idle();
        let mut held = Multiset::default();
        let touch = |held: &mut Multiset, number: i64, at: i64| {
            let (key, stamp) = (key(&idle, number), idle.stamp(at).expect("bytes"));
            let delta = idle.touch(held, [(key.as_ref(), Some(&stamp))].into_iter()).expect("touched");
            held.apply(&delta);
            delta.len()
        };
        assert_eq!(touch(&mut held, 1, -5), 1);
        assert_eq!(touch(&mut held, 2, 100), 1);
        assert_eq!(touch(&mut held, 2, 93), 0, "a stamp holds for a while");
        assert_eq!(touch(&mut held, 3, 101), 1);
        assert_eq!(keys(&idle, &held, 79), [] as [i64; 0]);
        assert_eq!(keys(&idle, &held, 80), [1]);
        assert_eq!(keys(&idle, &held, 180), [1, 2]);
        assert_eq!(touch(&mut held, 1, 200), 2);
        assert_eq!(keys(&idle, &held, 190), [2, 3]);
        assert_eq!(keys(&idle, &held, i64::MAX), [] as [i64; 0], "the end is not silence");
        assert!(idle.is_due(&held, 180).expect("stamps") && !idle.is_due(&held, 179).expect("stamps"));
    }

    #[test]
    fn rows_that_came_at_other_times_have_a_stamp_each() {
        let idle = idle();
        let mut held = Multiset::default();
        for at in [0, 3, 40, 45] {
            let (key, stamp) = (key(&idle, 1), idle.stamp(at).expect("bytes"));
            let delta = idle.mark(&held, [key.as_ref()].into_iter(), &stamp).expect("marked");
            held.apply(&delta);
        }
        assert_eq!(held.len(), 4);
        let over = idle.over(&held, 90).expect("stamps");
        let mut delta = Delta::default();
        for (stamp, keys) in &over {
            keys.iter().for_each(|key| idle.forget(&mut delta, stamp, key));
        }
        held.apply(&delta);
        assert_eq!(held.len(), 2, "0 and 10 are over");
    }

    #[test]
    fn a_stamp_without_time_to_live_is_the_end_itself() {
        let idle = Idle::new(0, &[Arc::new(Field::new("k", DataType::Int64, true))]).expect("bytes");
        let mut held = Multiset::default();
        let (key, stamp) = (key(&idle, 1), idle.stamp(7).expect("bytes"));
        held.apply(&idle.mark(&held, [key.as_ref()].into_iter(), &stamp).expect("marked"));
        assert_eq!((keys(&idle, &held, 6), keys(&idle, &held, 7)), (vec![], vec![1]));
    }
}
