//! Which keys an operator forgets, and what becomes of their results.

use std::collections::BTreeSet;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;

use super::late::{LateColumns, TooLate, late_rows};
use super::operator::Moment;
use crate::Error;
use crate::idle::{Idle, Stamp};
use crate::multiset::{Delta, Layout, Multiset};
use crate::window;

/// When what is held of a key is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forget {
    /// It is kept.
    Never,
    /// When nothing came for so long, in µs of event time: its results are taken back.
    Quiet(i64),
    /// The same, and its results stay.
    QuietResultsStay(i64),
    /// When the window in this column of the key is over: its results stay, and later rows are too late.
    Closed(usize),
}

/// When the keys of an operator are forgotten.
pub(super) struct Forgetting {
    forget: Forget,
    pub(super) idle: Idle,
}

/// A key as bytes.
pub(super) type Key = Box<[u8]>;

impl Forgetting {
    /// Of keys that are the first columns of these rows; `None` if nothing is forgotten. Without a key nothing is quiet.
    pub(super) fn of(forget: Forget, rows: &Layout) -> Result<Option<Self>, Error> {
        let keys = rows.key_fields();
        let ttl = match forget {
            Forget::Never => return Ok(None),
            _ if keys.is_empty() => return Ok(None),
            Forget::Quiet(ttl) | Forget::QuietResultsStay(ttl) => ttl,
            Forget::Closed(_) => 0,
        };
        Ok(Some(Self { forget, idle: Idle::new(ttl, keys)? }))
    }

    /// For fingerprints.
    pub(super) fn fingerprint(forgetting: Option<&Self>) -> &'static str {
        match forgetting.map(|forgetting| forgetting.forget) {
            None | Some(Forget::Never) => "",
            Some(Forget::Quiet(_) | Forget::QuietResultsStay(_)) => " until it is quiet",
            Some(Forget::Closed(_)) => " until its window is over",
        }
    }

    /// What EXPLAIN says of how long something is held.
    pub(super) fn how_long(forgetting: Option<&Self>) -> String {
        let quiet = |ttl: i64| format!("{:?}", std::time::Duration::from_micros(ttl.unsigned_abs()));
        match forgetting.map(|forgetting| forgetting.forget) {
            None | Some(Forget::Never) => "for ever".to_owned(),
            Some(Forget::Quiet(ttl)) => format!("until nothing came for {}", quiet(ttl)),
            Some(Forget::QuietResultsStay(ttl)) => {
                format!("until nothing came for {}; results stay", quiet(ttl))
            }
            Some(Forget::Closed(_)) => "until the window is over; results stay".to_owned(),
        }
    }

    /// True if results go with what they were made of.
    pub(super) fn takes_back(&self) -> bool {
        matches!(self.forget, Forget::Quiet(_))
    }

    /// The rows of windows that are not over, and those that are too late. A row of several windows is too late when the last is over.
    pub(super) fn on_time(
        &self,
        rows: Vec<RecordBatch>,
        watermark: i64,
        columns: Option<&LateColumns>,
    ) -> Result<(Vec<RecordBatch>, TooLate), Error> {
        let Forget::Closed(at) = self.forget else { return Ok((rows, TooLate::default())) };
        let (mut kept, mut too_late) = (Vec::new(), TooLate::default());
        for batch in rows {
            let ends = window::ends(&batch, at).values();
            let open: BooleanArray = ends.iter().map(|end| Some(*end > watermark)).collect();
            if open.true_count() < batch.num_rows() {
                let late = match columns {
                    Some(columns) => columns.late(&batch, ends, watermark)?,
                    None => not(&open)?,
                };
                too_late.count += late.true_count() as u64;
                if let Some(names) = columns.and_then(|columns| columns.names.as_ref())
                    && late.true_count() > 0
                {
                    let late = filter_record_batch(&batch, &late)?;
                    too_late.rows.push(late_rows(&late, names, watermark)?);
                }
            }
            kept.push(filter_record_batch(&batch, &open)?);
        }
        kept.retain(|batch| batch.num_rows() > 0);
        Ok((kept, too_late))
    }

    /// Keys that are forgotten now. One that was touched in this epoch is not: it waits for the next.
    pub(super) fn over(
        &self,
        stamps: &Multiset,
        touched: &BTreeSet<Key>,
        watermark: i64,
    ) -> Result<Vec<Key>, Error> {
        let all = self.idle.over(stamps, watermark)?;
        Ok(all.into_iter().flat_map(|(_, keys)| keys).filter(|key| !touched.contains(key)).collect())
    }

    /// What becomes of the stamps: `touched` keys of which something is held get new ones, all others lose theirs.
    pub(super) fn stamps(
        &self,
        held: &Multiset,
        rows: &Layout,
        (touched, kept): (&BTreeSet<Key>, &BTreeSet<Key>),
        (over, moment): (&[Key], Moment),
    ) -> Result<Delta, Error> {
        let now = self.idle.stamp(moment.latest)?;
        let ends = self.ends(rows, touched)?;
        let stamps = touched.iter().enumerate().map(|(at, key)| {
            let stamp = if ends.is_empty() { &now } else { &ends[at] };
            (key.as_ref(), kept.contains(key).then_some(stamp))
        });
        let gone = over.iter().map(|key| (key.as_ref(), None));
        self.idle.touch(held, stamps.chain(gone))
    }

    /// The ends of the windows of keys, if those say when they are forgotten.
    fn ends(&self, rows: &Layout, keys: &BTreeSet<Key>) -> Result<Vec<Stamp>, Error> {
        let Forget::Closed(at) = self.forget else { return Ok(Vec::new()) };
        let columns = rows.columns_of_keys(keys.iter().map(AsRef::as_ref))?;
        let ends =
            columns.get(at).and_then(|windows| windows.as_struct_opt()).map(|windows| windows.column(1));
        let Some(ends) = ends.and_then(|ends| ends.as_primitive_opt::<TimestampMicrosecondType>()) else {
            return Ok(Vec::new());
        };
        (0..ends.len()).map(|at| self.idle.stamp(ends.value(at))).collect()
    }
}
