//! A part of a query that is answered key by key: rows are held, and the keys that an epoch touches are answered again.
//!
//! ```text
//! changes of the epoch ─► keys ─► their rows as they will be ─ the query, as batch SQL ─► answers
//!                                 their rows, or answers, as they were ───────────────────┴─► what differs
//! ```
//! So every function and every kind of join is the stock one, over retracting input as over any other, and sums of floats are
//! those of the rows that are there. The price is that a key costs its rows whenever it is touched. Not in an inner join: what
//! came or went of one side is joined with what the other has; and not in the first rows of a rank over rows that only come,
//! where nothing else is held.
//!
//! A key that was quiet for too long is forgotten with its answers; of a join, whose keys may never be quiet, each row that
//! came too long ago.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::check;
use super::forget::{Forget, Forgetting};
use super::late::LateColumns;
use super::operator::{Advanced, Moment};
use super::phases::types;
use super::updating::{Before, KeyedCut};
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, Layout, Multiset};
use crate::session::{self, Groups};

/// The part with its plans.
pub(crate) struct Keyed {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) reads: BTreeSet<FeedId>,
    inputs: Vec<Input>,
    /// Rows are brought together to sessions before they are asked about.
    sessions: Option<Groups>,
    answer: Arc<dyn ExecutionPlan>,
    answers: Layout,
    before: Before,
    pub(super) is_whole: bool,
    is_append: bool,
    forgetting: Option<Forgetting>,
    output: Feed,
}

/// The tables that are held.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// Rows of each input.
    rows: &'a [Multiset],
    answers: Option<&'a Multiset>,
    stamps: Option<&'a Multiset>,
}

struct Input {
    plan: Arc<dyn ExecutionPlan>,
    /// What the answer reads.
    feed: Feed,
    /// The same as rows.
    rows: Layout,
    /// As they are held: with when they came behind, if they are forgotten one by one.
    layout: Layout,
    /// Columns behind those and the weight.
    late: Option<LateColumns>,
}

/// The last column of rows that are forgotten one by one: when they came.
const CAME: &str = "_came";

impl Keyed {
    pub(super) async fn plan(cut: KeyedCut, state: &SessionState) -> Result<Self, Error> {
        let (mut inputs, mut reads, mut layouts) = (Vec::new(), BTreeSet::new(), Vec::new());
        let is_kept = cut.before.is_kept();
        let by_row = !is_kept && cut.forget != Forget::Never;
        for input in cut.inputs {
            let plan = state.optimize(&input.plan)?;
            reads.extend(check::feeds([&plan])?);
            let plan = state.create_physical_plan(&plan).await?;
            let rows = Layout::new(input.rows.columns(), cut.keys)?;
            let layout = match by_row {
                true => Layout::new(with_came(&input.rows.columns()), cut.keys)?,
                false => Layout::new(input.rows.columns(), cut.keys)?,
            };
            layouts.push(format!("{:?}", types(layout.schema())));
            inputs.push(Input { plan, feed: input.rows, rows, layout, late: input.late });
        }
        let answer = state.create_physical_plan(&state.optimize(&cut.answer)?).await?;
        let answers = Layout::new(cut.output.columns(), if is_kept { cut.keys } else { 0 })?;
        let forgetting = match inputs.first() {
            Some(input) => Forgetting::of(cut.forget, &input.rows)?,
            None => None,
        };
        Ok(Self {
            fingerprint: format!(
                "{} by {} of {}{}",
                without_numbers(&cut.name),
                cut.keys,
                layouts.join(" and "),
                Forgetting::fingerprint(forgetting.as_ref())
            ),
            name: cut.name,
            reads,
            inputs,
            sessions: cut.sessions,
            answer,
            answers,
            before: cut.before,
            is_whole: cut.is_whole,
            is_append: cut.is_append,
            forgetting,
            output: cut.output,
        })
    }

    /// The plans of its sides.
    pub(super) fn inputs(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().map(|input| &input.plan).collect()
    }

    /// How long it holds something, as EXPLAIN says it.
    pub(super) fn how_long(&self) -> String {
        Forgetting::how_long(self.forgetting.as_ref())
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        let rows = self.inputs.iter().map(|input| &input.layout);
        let stamps = self.forgetting.as_ref().map(|forgetting| forgetting.idle.layout());
        rows.chain(self.before.is_kept().then_some(&self.answers)).chain(stamps).collect()
    }

    fn parts<'a>(&self, held: &'a [Multiset]) -> Result<Parts<'a>, Error> {
        let wrong = || Error::Invalid("state of other tables".to_owned());
        let (rows, rest) = held.split_at_checked(self.inputs.len()).ok_or_else(wrong)?;
        let (answers, stamps) = match (self.before.is_kept(), self.forgetting.is_some(), rest) {
            (false, false, []) => (None, None),
            (true, false, [answers]) => (Some(answers), None),
            (false, true, [stamps]) => (None, Some(stamps)),
            (true, true, [answers, stamps]) => (Some(answers), Some(stamps)),
            _ => return Err(wrong()),
        };
        Ok(Parts { rows, answers, stamps })
    }

    /// True if it would do something without any rows.
    pub(super) fn is_due(&self, held: &[Multiset], moment: Moment) -> Result<bool, Error> {
        let stamps = self.parts(held)?.stamps;
        let is_over = match (&self.forgetting, stamps) {
            (Some(forgetting), Some(stamps)) => forgetting.idle.is_due(stamps, moment.watermark.1)?,
            _ => false,
        };
        Ok(is_over || (moment.is_first && self.is_whole))
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        moment: Moment,
    ) -> Result<Advanced, Error> {
        let parts = self.parts(held)?;
        let Parts { rows, answers, stamps } = parts;
        let mut advanced = Advanced::default();
        let mut keys = BTreeSet::new();
        let mut touched = Vec::new();
        for (input, held) in self.inputs.iter().zip(rows) {
            let mut batches = executor.run(&input.plan, feeds).await?;
            if let Some(forgetting) = &self.forgetting {
                let (on_time, late) = forgetting.on_time(batches, moment.watermark.0, input.late.as_ref())?;
                (batches, advanced.late) = (on_time, advanced.late + late.count);
                advanced.late_rows.extend(late.rows);
            }
            if let Some(late) = &input.late {
                let own: Vec<usize> = (0..late.width).collect();
                batches = batches.iter().map(|batch| batch.project(&own)).collect::<Result<_, _>>()?;
            }
            let mut delta = input.rows.weighted_delta(&batches)?;
            let own = input.rows.touched(&batches, &delta)?;
            keys.extend(own.iter().cloned());
            touched.push(own);
            if let Some(forgetting) = &self.forgetting {
                let came =
                    if self.before.is_kept() { None } else { Some(forgetting.idle.stamp(moment.latest)?) };
                let lost;
                (delta, lost) = there(held, &delta, came.as_deref())?;
                advanced.forgotten += lost;
            }
            advanced.deltas.push(delta);
        }
        if moment.is_first && self.is_whole {
            keys.insert(Box::default());
        }
        let mut change = match self.before {
            _ if keys.is_empty() => Delta::default(),
            Before::Pairs => self.change_of_pairs(executor, rows, &touched, &advanced.deltas).await?,
            _ => self.change(executor, parts, &keys, &advanced.deltas).await?,
        };
        if let (Before::KeptWithItsRows, Some(answers)) = (self.before, answers) {
            self.leave_unanswered((rows, answers), &keys, &mut advanced.deltas, &change)?;
        }
        let mut emitted = None;
        let mut new_stamps = None;
        if let (Some(forgetting), Some(stamps)) = (&self.forgetting, stamps) {
            new_stamps = Some(match answers {
                Some(answers) => {
                    let kept = self.kept(rows, &keys, &advanced.deltas)?;
                    let over = forgetting.over(stamps, &keys, moment.watermark.1)?;
                    let layout = &self.inputs[0].rows;
                    let new = forgetting.stamps(stamps, layout, (&keys, &kept), (&over, moment))?;
                    if !forgetting.takes_back() {
                        emitted = Some(change.clone());
                    }
                    for key in &over {
                        change.leave(answers, key)?;
                        for (delta, held) in advanced.deltas.iter_mut().zip(rows) {
                            delta.leave(held, key)?;
                        }
                    }
                    new
                }
                None => self.forget_rows(forgetting, (rows, stamps), &keys, &mut advanced.deltas, moment)?,
            });
        }
        feeds.set(self.output.id, vec![self.emitted(emitted.as_ref().unwrap_or(&change))?]);
        if self.before.is_kept() {
            advanced.deltas.push(change);
        }
        advanced.deltas.extend(new_stamps);
        Ok(advanced)
    }

    /// Those of the keys of which something will be held.
    fn kept(
        &self,
        held: &[Multiset],
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &[Delta],
    ) -> Result<BTreeSet<Box<[u8]>>, Error> {
        let mut kept = BTreeSet::new();
        for key in keys {
            for (held, delta) in held.iter().zip(deltas) {
                let comes = delta.of_key(key).any(|(_, weight)| weight > 0);
                if comes || held.of_key(key)?.iter().any(|(row, weight)| weight + delta.weight(row) > 0) {
                    kept.insert(key.clone());
                    break;
                }
            }
        }
        Ok(kept)
    }

    /// Forgets rows that came too long ago, as if they had never come: what followed from them stays. Answers what becomes of
    /// the stamps.
    fn forget_rows(
        &self,
        forgetting: &Forgetting,
        (held, stamps): (&[Multiset], &Multiset),
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &mut [Delta],
        moment: Moment,
    ) -> Result<Delta, Error> {
        let idle = &forgetting.idle;
        let mut new = idle.mark(stamps, keys.iter().map(AsRef::as_ref), &idle.stamp(moment.latest)?)?;
        for (stamp, keys) in idle.over(stamps, moment.watermark.1)? {
            for key in &keys {
                idle.forget(&mut new, &stamp, key);
                for (held, delta) in held.iter().zip(deltas.iter_mut()) {
                    let rows = held.of_key_with(key, delta)?;
                    let over = rows.iter().filter(|(row, _)| row.ends_with(&stamp));
                    over.for_each(|(row, weight)| delta.add(row, -weight));
                }
            }
        }
        Ok(new)
    }

    /// How the answers for some keys differ from what they were.
    async fn change(
        &self,
        executor: &Executor<'_>,
        held: Parts<'_>,
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &[Delta],
    ) -> Result<Delta, Error> {
        let nothing = vec![Delta::default(); deltas.len()];
        let mut change = self.ask(executor, held.rows, keys, deltas).await?;
        let before = match held.answers {
            Some(answers) => {
                let mut before = Delta::default();
                for key in keys {
                    answers.of_key(key)?.iter().for_each(|(row, weight)| before.add(row, *weight));
                }
                before
            }
            None => self.ask(executor, held.rows, keys, &nothing).await?,
        };
        before.iter().for_each(|(row, weight)| change.add(row, -weight));
        Ok(change)
    }

    /// How the pairs of an inner join differ: those of what came or went of the first side with all that the second will have, and
    /// those of what the first had with what came or went of the second. `touched`: the keys of each change.
    async fn change_of_pairs(
        &self,
        executor: &Executor<'_>,
        held: &[Multiset],
        touched: &[Vec<Box<[u8]>>],
        deltas: &[Delta],
    ) -> Result<Delta, Error> {
        let nothing = Delta::default();
        let mut change = Delta::default();
        for (side, other) in [(0, 1), (1, 0)] {
            let moved = counted(&held[side], &deltas[side])?;
            // The first side's pairs with what comes of the second are in its own part.
            let meets = if side == 0 { &deltas[other] } else { &nothing };
            let others = rows_of(&held[other], &touched[side], meets)?;
            let others = self.inputs[other].batch(others.iter().map(borrowed))?;
            for sign in [1, -1] {
                let part = self.inputs[side].batch(moved.iter().map(|(row, weight)| (row, weight * sign)))?;
                if part.num_rows() == 0 || others.num_rows() == 0 {
                    continue;
                }
                let mut sides = [part, others.clone()];
                sides.rotate_left(side);
                let pairs = self.answered(executor, sides.into()).await?;
                pairs.iter().for_each(|(row, weight)| change.add(row, weight * sign));
            }
        }
        Ok(change)
    }

    /// Lets go of the rows of some keys that are in none of their answers.
    fn leave_unanswered(
        &self,
        (held, answers): (&[Multiset], &Multiset),
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &mut [Delta],
        change: &Delta,
    ) -> Result<(), Error> {
        let (Some(input), Some(held), Some(delta)) = (self.inputs.first(), held.first(), deltas.first_mut())
        else {
            return Ok(());
        };
        let keys: Vec<Box<[u8]>> = keys.iter().cloned().collect();
        let answers = rows_of(answers, &keys, change)?;
        let answers = self.answers.batch(repeated(answers.iter().map(borrowed)))?;
        let columns: Vec<usize> = (0..input.rows.schema().fields().len()).collect();
        let answered = input.rows.delta(&[answers.project(&columns)?])?;
        for (row, weight) in rows_of(held, &keys, delta)? {
            delta.add(&row, answered.weight(&row) - weight);
        }
        Ok(())
    }

    /// The answers for some keys, over the rows that are held and a change of them.
    async fn ask(
        &self,
        executor: &Executor<'_>,
        held: &[Multiset],
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &[Delta],
    ) -> Result<Delta, Error> {
        let keys: Vec<Box<[u8]>> = keys.iter().cloned().collect();
        let mut sides = Vec::new();
        for ((input, held), delta) in self.inputs.iter().zip(held).zip(deltas) {
            let rows = rows_of(held, &keys, delta)?;
            let mut rows = input.batch(rows.iter().map(borrowed))?;
            if let Some(groups) = self.sessions {
                rows = session::joined(&rows, groups)?;
            }
            sides.push(rows);
        }
        self.answered(executor, sides).await
    }

    /// The answers over these rows of its inputs.
    async fn answered(&self, executor: &Executor<'_>, sides: Vec<RecordBatch>) -> Result<Delta, Error> {
        let mut feeds = Feeds::default();
        for (input, rows) in self.inputs.iter().zip(sides) {
            feeds.set(input.feed.id, vec![rows]);
        }
        let answers: Vec<RecordBatch> = executor.run(&self.answer, &feeds).await?;
        self.answers.delta(&answers)
    }

    fn emitted(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        if !self.is_append {
            return self.answers.weighted_batch(delta);
        }
        self.answers.batch(repeated(delta.iter()))
    }
}

impl Input {
    /// Rows that are held, as the answer reads them.
    fn batch<'a>(&self, rows: impl IntoIterator<Item = (&'a [u8], i64)>) -> Result<RecordBatch, Error> {
        let columns: Vec<usize> = (0..self.rows.schema().fields().len()).collect();
        Ok(self.layout.batch(repeated(rows))?.project(&columns)?)
    }
}

/// A row, and how often it is there.
type Counted = (Box<[u8]>, i64);

/// The rows of some keys as they will be.
fn rows_of(held: &Multiset, keys: &[Box<[u8]>], delta: &Delta) -> Result<Vec<Counted>, Error> {
    let mut rows = Vec::new();
    for key in keys {
        rows.extend(held.of_key_with(key, delta)?);
    }
    Ok(rows)
}

fn borrowed((row, weight): &Counted) -> (&[u8], i64) {
    (row, *weight)
}

/// Each row as often as it is there; one that goes before it came is not.
fn repeated<'a>(rows: impl IntoIterator<Item = (&'a [u8], i64)>) -> impl Iterator<Item = &'a [u8]> {
    let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
    rows.into_iter().flat_map(move |(row, weight)| std::iter::repeat_n(row, times(weight)))
}

/// What a change does to how often rows are there.
fn counted(held: &Multiset, delta: &Delta) -> Result<Delta, Error> {
    let mut counted = Delta::default();
    for (row, weight) in delta.iter() {
        let before = held.weight(row)?;
        counted.add(row, (before + weight).max(0) - before.max(0));
    }
    Ok(counted)
}

fn with_came(columns: &SchemaRef) -> SchemaRef {
    let came = Arc::new(Field::new(CAME, DataType::Int64, false));
    Arc::new(Schema::new(columns.fields().iter().cloned().chain([came]).collect::<Vec<_>>()))
}

/// A change of rows as it can be made where some were forgotten: what comes came now, what goes goes as far as it is there. And
/// how many rows were to go that are not.
fn there(held: &Multiset, delta: &Delta, came: Option<&[u8]>) -> Result<(Delta, u64), Error> {
    let (mut made, mut lost) = (Delta::default(), 0);
    for (row, weight) in delta.iter() {
        if weight > 0 {
            made.add(&[row, came.unwrap_or_default()].concat(), weight);
            continue;
        }
        let mut left = -weight;
        for (held, there) in held.of_key(row)? {
            let gone = there.min(left);
            made.add(&held, -gone);
            left -= gone;
            if left == 0 {
                break;
            }
        }
        lost += left.unsigned_abs();
    }
    Ok((made, lost))
}

/// The name of an operator without the numbers that the planner gives to subqueries, which are others each time.
pub(super) fn without_numbers(name: &str) -> String {
    let mut parts = name.split("_sq_");
    let mut same = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        same.push_str("_sq_");
        same.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subquery_is_the_same_whatever_its_number() {
        let name = "LeftSemi Join: a = __correlated_sq_12.b Filter: __scalar_sq_3.c2";
        assert_eq!(without_numbers(name), "LeftSemi Join: a = __correlated_sq_.b Filter: __scalar_sq_.c2");
    }
}
