//! A join of rows that happen near each other: each is held as long as a partner may come, and no longer.
//!
//! ```text
//! new left rows  × right rows, held and new ─┐
//! held left rows × new right rows ───────────┴─► pairs, at once
//! rows whose last partner would have come ───► those that met none, of outer and anti joins
//! ```
//! What was met is not remembered: rows are held until every row that they may have met has been decided, and are asked again.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch, not};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::bounds::Bounds;
use super::check;
use super::interval_cut::IntervalCut;
use super::keyed::without_numbers;
use super::late;
use super::operator::{Advanced, Moment};
use super::phases::types;
use crate::Error;
use crate::epoch::{Executor, behind};
use crate::feed::{Feed, FeedId, Feeds};
use crate::idle::Idle;
use crate::multiset::{Delta, HeldRow, Layout, Multiset};

/// The join with its plans.
pub(crate) struct Interval {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) reads: BTreeSet<FeedId>,
    bounds: Bounds,
    sides: [Side; 2],
    /// Rows may come so much later than the watermark says, µs.
    lag: i64,
    pairs: Option<Arc<dyn ExecutionPlan>>,
    /// Rows of one side that meet some.
    met: Option<Arc<dyn ExecutionPlan>>,
    met_rows: Layout,
    output: Feed,
}

struct Side {
    plan: Arc<dyn ExecutionPlan>,
    /// Rows that a plan asks about: the key, the columns, when they happened.
    feed: Feed,
    layout: Layout,
    /// What people call the columns of rows that come too late, if those are kept.
    late: Option<Vec<String>>,
    /// So long after it happened the last partner of a row may happen, µs; below 0: before it.
    last_partner: i64,
    /// So much longer it is held, since rows that it has met are decided later, µs.
    longer: i64,
    /// By when rows are decided: a µs after the last partner, and their keys.
    decided: Idle,
    /// Rows that met none.
    unmet: Option<Arc<dyn ExecutionPlan>>,
}

/// New rows of a side, and those that are held of the same keys.
struct Rows {
    new: RecordBatch,
    held: RecordBatch,
}

impl Interval {
    pub(super) async fn plan(cut: IntervalCut, state: &SessionState) -> Result<Self, Error> {
        let Bounds { low, high } = cut.bounds;
        let (mut reads, mut sides, mut layouts) = (BTreeSet::new(), Vec::new(), Vec::new());
        let decides = [cut.decides_left, cut.decides_right];
        let last_partners = [low.saturating_neg(), high];
        for (at, side) in cut.sides.into_iter().enumerate() {
            let plan = state.optimize(&side.plan)?;
            reads.extend(check::feeds([&plan])?);
            let layout = Layout::new(side.rows.columns(), cut.keys)?;
            layouts.push(format!("{:?}", types(layout.schema())));
            let longer = if decides[1 - at] { last_partners[1 - at].max(0) } else { 0 };
            sides.push(Side {
                plan: state.create_physical_plan(&plan).await?,
                feed: side.rows,
                late: side.late,
                last_partner: last_partners[at],
                longer,
                decided: Idle::exactly(longer, layout.key_fields())?,
                layout,
                unmet: match side.unmet {
                    Some(plan) => Some(state.create_physical_plan(&state.optimize(&plan)?).await?),
                    None => None,
                },
            });
        }
        let sides = <[Side; 2]>::try_from(sides).map_err(|_| Error::Invalid("a join of two".to_owned()))?;
        let mut asked = Vec::new();
        for plan in [cut.pairs, cut.met] {
            asked.push(match plan {
                Some(plan) => Some(state.create_physical_plan(&state.optimize(&plan)?).await?),
                None => None,
            });
        }
        let met = asked.pop().flatten();
        Ok(Self {
            fingerprint: format!("{} {low}..{high} of {}", without_numbers(&cut.name), layouts.join(" and ")),
            name: cut.name,
            reads,
            bounds: cut.bounds,
            sides,
            lag: cut.lag,
            pairs: asked.pop().flatten(),
            met,
            met_rows: Layout::new(cut.output.batches().clone(), 0)?,
            output: cut.output,
        })
    }

    /// How far apart the rows of a pair happen, as EXPLAIN says it.
    pub(super) fn bounds(&self) -> String {
        let seconds = |micros: i64| {
            let sign = if micros < 0 { "-" } else { "" };
            format!("{sign}{:?}", std::time::Duration::from_micros(micros.unsigned_abs()))
        };
        format!("left happens {} to {} after right", seconds(self.bounds.low), seconds(self.bounds.high))
    }

    /// The plans of its sides.
    pub(super) fn inputs(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.iter().map(|side| &side.plan).collect()
    }

    /// Rows of both sides, then by when they are decided.
    pub(super) fn tables(&self) -> Vec<&Layout> {
        let rows = self.sides.iter().map(|side| &side.layout);
        rows.chain(self.sides.iter().map(|side| side.decided.layout())).collect()
    }

    /// True if it would do something without any rows.
    pub(super) fn is_due(&self, held: &[Multiset], moment: Moment) -> Result<bool, Error> {
        let [_, _, decided @ ..] = held else { return Err(wrong()) };
        let watermark = behind(moment.watermark, self.lag);
        for (side, decided) in self.sides.iter().zip(decided).filter(|(side, _)| side.unmet.is_some()) {
            if !side.decided.between(decided, watermark)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        moment: Moment,
    ) -> Result<Advanced, Error> {
        let [left_held, right_held, left_decided, right_decided] = held else { return Err(wrong()) };
        let (held, decided) = ([left_held, right_held], [left_decided, right_decided]);
        let watermark = behind(moment.watermark, self.lag);
        let (mut late, mut late_rows) = (0, Vec::new());
        let (mut new, mut touched) = (Vec::new(), BTreeSet::new());
        for side in &self.sides {
            let (rows, too_late) = side.on_time(executor.run(&side.plan, feeds).await?, watermark.0)?;
            late += too_late.num_rows() as u64;
            if let Some(names) = side.late.as_ref().filter(|_| too_late.num_rows() > 0) {
                late_rows.push(late::late_rows(&too_late, names, watermark.0)?);
            }
            touched.extend(side.layout.keys(&side.layout.delta(std::slice::from_ref(&rows))?)?);
            new.push(rows);
        }
        for (side, decided) in self.sides.iter().zip(decided).filter(|(side, _)| side.unmet.is_some()) {
            touched.extend(side.decided.between(decided, watermark)?.into_iter().flat_map(|(_, keys)| keys));
        }
        let mut both = Vec::new();
        for ((side, held), new) in self.sides.iter().zip(held).zip(new) {
            let rows: Vec<Vec<HeldRow<'_>>> =
                touched.iter().map(|key| held.of_key(key)).collect::<Result<_, _>>()?;
            let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
            let rows = rows.iter().flatten();
            let rows = rows.flat_map(|(row, weight)| std::iter::repeat_n(row.as_ref(), times(*weight)));
            both.push(Rows { new, held: side.layout.batch(rows)? });
        }
        let [left, right] = &both[..] else { return Err(wrong()) };
        let mut emitted = Vec::new();
        if let Some(pairs) = &self.pairs {
            emitted
                .extend(self.ask(executor, pairs, (&[&left.new][..], &[&right.held, &right.new][..])).await?);
            emitted.extend(self.ask(executor, pairs, (&[&left.held][..], &[&right.new][..])).await?);
        }
        if let Some(met) = &self.met {
            let all = (&[&left.held, &left.new][..], &[&right.held, &right.new][..]);
            let now = self.ask(executor, met, all).await?;
            let before = self.ask(executor, met, (&[&left.held][..], &[&right.held][..])).await?;
            let mut change = self.met_rows.delta(&now)?;
            self.met_rows.delta(&before)?.iter().for_each(|(row, weight)| change.add(row, -weight));
            let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
            let rows = change.iter().flat_map(|(row, weight)| std::iter::repeat_n(row, times(weight)));
            emitted.push(self.met_rows.batch(rows)?);
        }
        for (at, side) in self.sides.iter().enumerate() {
            let (Some(unmet), rows, others) = (&side.unmet, &both[at], &both[1 - at]) else { continue };
            let held = side.decided_between(&rows.held, watermark)?;
            // Of a new row the last partner may have come long ago.
            let new = side.decided_between(&rows.new, (i64::MIN, watermark.1))?;
            let over = concat_batches(rows.new.schema_ref(), [&held, &new])?;
            if over.num_rows() > 0 {
                let (over, others) = (&[&over][..], &[&others.held, &others.new][..]);
                let asked = if at == 0 { (over, others) } else { (others, over) };
                emitted.extend(self.ask(executor, unmet, asked).await?);
            }
        }
        emitted.retain(|batch| batch.num_rows() > 0);
        let schema = self.output.batches();
        let emitted =
            emitted.iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()));
        feeds.set(self.output.id, emitted.collect::<Result<_, _>>()?);
        let (mut deltas, mut stamps) = (Vec::new(), Vec::new());
        for ((side, rows), (held, decided)) in self.sides.iter().zip(&both).zip(held.into_iter().zip(decided))
        {
            let (delta, stamp) = side.hold(&rows.new, (held, decided), watermark.1)?;
            deltas.push(delta);
            stamps.push(stamp);
        }
        deltas.extend(stamps);
        Ok(Advanced { deltas, late, late_rows, ..Advanced::default() })
    }

    /// The answer of a plan over rows of both sides.
    async fn ask(
        &self,
        executor: &Executor<'_>,
        plan: &Arc<dyn ExecutionPlan>,
        rows: (&[&RecordBatch], &[&RecordBatch]),
    ) -> Result<Vec<RecordBatch>, Error> {
        let mut feeds = Feeds::default();
        for (side, rows) in self.sides.iter().zip([rows.0, rows.1]) {
            let some = rows.iter().filter(|batch| batch.num_rows() > 0);
            feeds.set(side.feed.id, some.map(|batch| (*batch).clone()).collect());
        }
        executor.run(plan, &feeds).await
    }
}

impl Side {
    /// When rows happened.
    fn times<'a>(&self, rows: &'a RecordBatch) -> Result<&'a [i64], Error> {
        let times =
            rows.columns().last().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        times.map(|times| times.values().as_ref()).ok_or_else(wrong)
    }

    /// By when a row is decided, of one that happened at `time`.
    fn decided_at(&self, time: i64) -> i64 {
        time.saturating_add(self.last_partner).saturating_add(1)
    }

    /// The rows that are not too late, and those that are.
    fn on_time(&self, rows: Vec<RecordBatch>, watermark: i64) -> Result<(RecordBatch, RecordBatch), Error> {
        let rows = concat_batches(self.layout.schema(), &rows)?;
        let kept: BooleanArray = self.times(&rows)?.iter().map(|time| Some(*time >= watermark)).collect();
        Ok((filter_record_batch(&rows, &kept)?, filter_record_batch(&rows, &not(&kept)?)?))
    }

    /// The rows that are decided when the watermark goes from one place to another.
    fn decided_between(&self, rows: &RecordBatch, (after, upto): (i64, i64)) -> Result<RecordBatch, Error> {
        let is_over = |time: &i64| {
            let at = self.decided_at(*time);
            Some(at > after && at <= upto)
        };
        let over: BooleanArray = self.times(rows)?.iter().map(is_over).collect();
        Ok(filter_record_batch(rows, &over)?)
    }

    /// What changes in the rows that are held and in the table of when they are decided.
    fn hold(
        &self,
        new: &RecordBatch,
        (held, decided): (&Multiset, &Multiset),
        watermark: i64,
    ) -> Result<(Delta, Delta), Error> {
        let needed = |time: i64| self.decided_at(time).saturating_add(self.longer) > watermark;
        let kept: BooleanArray = self.times(new)?.iter().map(|time| Some(needed(*time))).collect();
        let new = filter_record_batch(new, &kept)?;
        let mut delta = self.layout.delta(std::slice::from_ref(&new))?;
        let decisions: Vec<i64> = self.times(&new)?.iter().map(|time| self.decided_at(*time)).collect();
        let mut stamps = self.decided.mark_each(decided, &self.layout.keys_of(&new)?, decisions)?;
        for (stamp, keys) in self.decided.over(decided, watermark)? {
            let time = self.decided.instant(&stamp)?.saturating_sub(self.decided_at(0));
            let time = self.decided.stamp(time)?;
            for key in &keys {
                self.decided.forget(&mut stamps, &stamp, key);
                let rows = held.of_key(key)?;
                let gone = rows.iter().filter(|(row, _)| row.ends_with(&time));
                gone.for_each(|(row, weight)| delta.add(row, -weight));
            }
        }
        Ok((delta, stamps))
    }
}

fn wrong() -> Error {
    Error::Invalid("state of other tables".to_owned())
}
