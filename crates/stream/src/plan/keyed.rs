//! A part of a query that is answered key by key: rows are held, and the keys that an epoch touches are answered again.
//!
//! ```text
//! changes of the epoch ─► keys ─► their rows as they will be ─ the query, as batch SQL ─► answers
//!                                 their rows, or answers, as they were ───────────────────┴─► what differs
//! ```
//! So every function and every kind of join is the stock one, over retracting input as over any other, and sums of floats are
//! those of the rows that are there. The price is that a key costs its rows whenever it is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use super::check;
use super::phases::types;
use super::updating::KeyedCut;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::multiset::{Delta, Layout, Multiset};

/// The part with its plans.
pub(crate) struct Keyed {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) reads: BTreeSet<FeedId>,
    inputs: Vec<Input>,
    answer: Arc<dyn ExecutionPlan>,
    answers: Layout,
    /// Answers are held: asked again they may be others.
    is_kept: bool,
    pub(super) is_whole: bool,
    is_append: bool,
    output: Feed,
}

struct Input {
    plan: Arc<dyn ExecutionPlan>,
    rows: Feed,
    layout: Layout,
}

impl Keyed {
    pub(super) async fn plan(cut: KeyedCut, state: &SessionState) -> Result<Self, Error> {
        let (mut inputs, mut reads, mut layouts) = (Vec::new(), BTreeSet::new(), Vec::new());
        for input in cut.inputs {
            let plan = state.optimize(&input.plan)?;
            reads.extend(check::feeds([&plan])?);
            let plan = state.create_physical_plan(&plan).await?;
            let layout = Layout::new(input.rows.columns(), cut.keys)?;
            layouts.push(format!("{:?}", types(layout.schema())));
            inputs.push(Input { plan, rows: input.rows, layout });
        }
        let answer = state.create_physical_plan(&state.optimize(&cut.answer)?).await?;
        let answers = Layout::new(cut.output.columns(), if cut.is_kept { cut.keys } else { 0 })?;
        Ok(Self {
            fingerprint: format!(
                "{} by {} of {}",
                without_numbers(&cut.name),
                cut.keys,
                layouts.join(" and ")
            ),
            name: cut.name,
            reads,
            inputs,
            answer,
            answers,
            is_kept: cut.is_kept,
            is_whole: cut.is_whole,
            is_append: cut.is_append,
            output: cut.output,
        })
    }

    /// The plans of its sides.
    pub(super) fn inputs(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().map(|input| &input.plan).collect()
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        let rows = self.inputs.iter().map(|input| &input.layout);
        rows.chain(self.is_kept.then_some(&self.answers)).collect()
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
        held: &[Multiset],
        is_first: bool,
    ) -> Result<Vec<Delta>, Error> {
        let mut deltas = Vec::new();
        let mut keys = BTreeSet::new();
        for input in &self.inputs {
            let delta = input.layout.weighted_delta(&executor.run(&input.plan, feeds).await?)?;
            keys.extend(input.layout.keys(&delta)?);
            deltas.push(delta);
        }
        if is_first && self.is_whole {
            keys.insert(Box::default());
        }
        let change = match keys.is_empty() {
            true => Delta::default(),
            false => self.change(executor, held, &keys, &deltas).await?,
        };
        feeds.set(self.output.id, vec![self.emitted(&change)?]);
        if self.is_kept {
            deltas.push(change);
        }
        Ok(deltas)
    }

    /// How the answers for some keys differ from what they were.
    async fn change(
        &self,
        executor: &Executor<'_>,
        held: &[Multiset],
        keys: &BTreeSet<Box<[u8]>>,
        deltas: &[Delta],
    ) -> Result<Delta, Error> {
        let nothing = vec![Delta::default(); deltas.len()];
        let mut change = self.ask(executor, held, keys, deltas).await?;
        let before = match held.get(self.inputs.len()) {
            Some(answers) => {
                let mut before = Delta::default();
                for (row, weight) in keys.iter().flat_map(|key| answers.of_key(key)) {
                    before.add(row, weight);
                }
                before
            }
            None => self.ask(executor, held, keys, &nothing).await?,
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
                keys.iter().map(|key| held.of_key_with(key, delta)).collect();
            // A row that goes before it came is not there.
            let times = |weight: i64| usize::try_from(weight).unwrap_or(0);
            let rows = rows.iter().flatten();
            let rows = rows.flat_map(|(row, weight)| std::iter::repeat_n(row.as_ref(), times(*weight)));
            feeds.set(input.rows.id, vec![input.layout.batch(rows)?]);
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

/// The name of an operator without the numbers that the planner gives to subqueries, which are others each time.
fn without_numbers(name: &str) -> String {
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
