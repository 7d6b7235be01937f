//! A part of a query that is answered key by key: rows are held, and the keys that an epoch touches are answered again.
//!
//! ```text
//! changes of the epoch ─► keys ─► their rows as they will be ─ the query, as batch SQL ─► answers
//!                                 their rows, or answers, as they were ───────────────────┴─► what differs
//! ```
//! So every function and every kind of join is the stock one, over retracting input as over any other, and sums of floats are
//! those of the rows that are there. The price is that a key costs its rows whenever it is touched.
//!
//! A key that was quiet for too long is forgotten with its answers; of a join, whose keys may never be quiet, each row that
//! came too long ago.

use std::collections::{BTreeMap, BTreeSet};
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
use super::updating::KeyedCut;
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
    /// Answers are held: asked again they may be others.
    is_kept: bool,
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
        let by_row = !cut.is_kept && cut.forget != Forget::Never;
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
        let answers = Layout::new(cut.output.columns(), if cut.is_kept { cut.keys } else { 0 })?;
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
            is_kept: cut.is_kept,
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
        rows.chain(self.is_kept.then_some(&self.answers)).chain(stamps).collect()
    }

    fn parts<'a>(&self, held: &'a [Multiset]) -> Result<Parts<'a>, Error> {
        let wrong = || Error::Invalid("state of other tables".to_owned());
        let (rows, rest) = held.split_at_checked(self.inputs.len()).ok_or_else(wrong)?;
        let (answers, stamps) = match (self.is_kept, self.forgetting.is_some(), rest) {
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
            keys.extend(input.rows.keys(&delta)?);
            if let Some(forgetting) = &self.forgetting {
                let came = if self.is_kept { None } else { Some(forgetting.idle.stamp(moment.latest)?) };
                let lost;
                (delta, lost) = there(held, &delta, came.as_deref())?;
                advanced.forgotten += lost;
            }
            advanced.deltas.push(delta);
        }
        if moment.is_first && self.is_whole {
            keys.insert(Box::default());
        }
        let mut change = match keys.is_empty() {
            true => Delta::default(),
            false => self.change(executor, parts, &keys, &advanced.deltas).await?,
        };
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
        if self.is_kept {
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

    /// The answers for some keys, over the rows that are held and a change of them.
    async fn ask(
        &self,
        executor: &Executor<'_>,
        held: &[Multiset],
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &[Delta],
    ) -> Result<Delta, Error> {
        let mut feeds = Feeds::default();
        for ((input, held), delta) in self.inputs.iter().zip(held).zip(deltas) {
            let rows: Vec<BTreeMap<Box<[u8]>, i64>> =
                keys.iter().map(|key| held.of_key_with(key, delta)).collect::<Result<_, _>>()?;
            // A row that goes before it came is not there.
            let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
            let rows = rows.iter().flatten();
            let rows = rows.flat_map(|(row, weight)| std::iter::repeat_n(row.as_ref(), times(*weight)));
            let rows = input.layout.batch(rows)?;
            let columns: Vec<usize> = (0..input.rows.schema().fields().len()).collect();
            let mut rows = rows.project(&columns)?;
            if let Some(groups) = self.sessions {
                rows = session::joined(&rows, groups)?;
            }
            feeds.set(input.feed.id, vec![rows]);
        }
        let answers: Vec<RecordBatch> = executor.run(&self.answer, &feeds).await?;
        self.answers.delta(&answers)
    }

    fn emitted(&self, delta: &Delta) -> Result<RecordBatch, Error> {
        if !self.is_append {
            return self.answers.weighted_batch(delta);
        }
        let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
        self.answers.batch(delta.iter().flat_map(|(row, weight)| std::iter::repeat_n(row, times(weight))))
    }
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
