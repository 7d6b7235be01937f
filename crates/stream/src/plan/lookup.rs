//! A join with a table that is looked at by its key, as of the epoch's snapshot. It holds nothing.
//!
//! ```text
//! rows of the epoch ─ their keys ─► rows of the table ─┐
//! rows of the epoch ───────────────────────────────────┴─ the join, as batch SQL ─► rows, one for one
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use cenote_connect::EVENT_TIME;
use datafusion::common::JoinType;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, Projection, try_cast};
use datafusion::physical_plan::ExecutionPlan;

use super::check;
use super::cut::{Cut, OperatorCut, Rows, columns_of, named, place};
use super::hidden::{columns, with_hidden};
use super::operator::Advanced;
use super::same_windows::windows_at;
use super::updating::scan;
use crate::Error;
use crate::epoch::Executor;
use crate::feed::{Feed, FeedId, Feeds};
use crate::streams::Streams;

/// The join, before its physical plan.
pub(super) struct LookupCut {
    /// The table's key `k0…` and columns `c0…`. No state below.
    pub(super) input: LogicalPlan,
    /// The same, as the answer reads it.
    pub(super) rows: Feed,
    keys: usize,
    table: FeedId,
    pub(super) answer: LogicalPlan,
    pub(super) output: Feed,
    name: String,
}

/// The join with its plans.
pub(crate) struct Lookup {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) reads: BTreeSet<FeedId>,
    input: Arc<dyn ExecutionPlan>,
    rows: Feed,
    keys: usize,
    /// Of the rows of the table.
    pub(super) table: FeedId,
    pub(super) table_name: String,
    answer: Arc<dyn ExecutionPlan>,
    output: Feed,
}

/// The lookup table that a plan shows, if it shows nothing else.
pub(super) fn lookup_of(plan: &LogicalPlan) -> Option<Feed> {
    match plan {
        LogicalPlan::TableScan(scan) => check::feed_of(scan).ok().filter(|feed| feed.is_lookup()),
        LogicalPlan::Projection(projection) => lookup_of(&projection.input),
        LogicalPlan::Filter(filter) => lookup_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => lookup_of(&alias.input),
        _ => None,
    }
}

/// The column of the lookup table that an expression is; a cast does not matter.
fn table_column(expr: &Expr, plan: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => table_column(&alias.expr, plan),
        Expr::Cast(cast) => table_column(&cast.expr, plan),
        expr => {
            let at = place(expr, plan)?;
            match plan {
                LogicalPlan::TableScan(_) => Some(at),
                LogicalPlan::Projection(projection) => {
                    table_column(projection.expr.get(at)?, &projection.input)
                }
                LogicalPlan::Filter(filter) => table_column(&columns(&filter.input).nth(at)?, &filter.input),
                LogicalPlan::SubqueryAlias(alias) => {
                    table_column(&columns(&alias.input).nth(at)?, &alias.input)
                }
                _ => None,
            }
        }
    }
}

impl Cut<'_> {
    /// A join whose right side is a lookup table.
    pub(super) fn lookup_join(&mut self, join: Join, table: &Feed) -> Result<(LogicalPlan, Rows), Error> {
        let (left, rows) = self.node(join.left.as_ref().clone())?;
        if matches!(rows, Rows::Updating) {
            return Err(Error::Unsupported("a look-up join of rows that may be taken back".to_owned()));
        }
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) || join.null_aware {
            return Err(Error::Unsupported(format!("a {} look-up join", join.join_type)));
        }
        check::no_window(&left)?;
        let key = table.key().unwrap_or_default();
        let mut wanted: Vec<Option<Expr>> = vec![None; key.len()];
        for (mine, other) in &join.on {
            let at = table_column(other, &join.right);
            match at.and_then(|at| key.iter().position(|place| *place == at)) {
                Some(at) => wanted[at] = Some(mine.clone()),
                None => {
                    return Err(Error::Invalid(format!(
                        "the right-side of a look-up join condition must be a PRIMARY KEY column, but '{}' is not",
                        shown(other)
                    )));
                }
            }
        }
        let names = table.columns();
        let missing = key.iter().zip(&wanted).find(|(_, wanted)| wanted.is_none());
        if let Some((at, _)) = missing {
            let name = names.field(*at).name();
            return Err(Error::Invalid(format!(
                "a look-up join needs an equality for each PRIMARY KEY column, and has none for '{name}'"
            )));
        }
        let timed = with_hidden(&left, &[EVENT_TIME]);
        let is_timed = timed.is_ok();
        let input = timed.unwrap_or_else(|_| left.clone());
        let mut all = Vec::new();
        for (at, (key, place)) in wanted.into_iter().flatten().zip(key).enumerate() {
            let data_type = names.field(*place).data_type();
            let same = key.get_type(left.schema())? == *data_type;
            let key = if same { key } else { try_cast(key, data_type.clone()) };
            all.push(key.alias(format!("k{at}")));
        }
        let keys = all.len();
        all.extend(columns(&input).enumerate().map(|(at, column)| column.alias(format!("c{at}"))));
        let plan = LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?);
        let fields: Vec<Arc<Field>> = plan.schema().fields().iter().cloned().collect();
        let feed = Feed::exact(self.streams.next_feed(), Arc::new(Schema::new(fields)));
        // The rows of the epoch by the names that they had, with the event time behind.
        let asked = scan(&feed)?;
        let own: Vec<Expr> = columns(&asked).skip(keys).collect();
        let width = left.schema().fields().len();
        let mut named_own: Vec<Expr> = own
            .iter()
            .zip(left.schema().iter())
            .map(|(column, (qualifier, field))| {
                column.clone().alias_qualified(qualifier.cloned(), field.name())
            })
            .collect();
        named_own.extend(own.get(width).map(|time| time.clone().alias(EVENT_TIME)));
        let asked = LogicalPlan::Projection(Projection::try_new(named_own, Arc::new(asked))?);
        let answer = LogicalPlan::Join(Join::try_new(
            Arc::new(asked),
            join.right.clone(),
            join.on.clone(),
            join.filter.clone(),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            false,
        )?);
        let mut order: Vec<Expr> = columns(&answer).collect();
        if is_timed {
            let time = order.remove(width);
            order.push(time);
        }
        let answer = LogicalPlan::Projection(Projection::try_new(order, Arc::new(answer))?);
        let (id, shown) = (self.streams.next_feed(), columns_of(&join.schema));
        let mut output = if is_timed { Feed::new(id, shown) } else { Feed::exact(id, shown) };
        output = output.with_lag(check::lag(&left)?);
        if let Rows::Closed(windows) = &rows
            && let Some(at) = windows.first()
        {
            output = output.with_window(*at, windows_at(&left, *at));
        }
        let named = named(&output, 0, &join.schema)?;
        let name = LogicalPlan::Join(join).display().to_string();
        self.operators.push(OperatorCut::Lookup(Box::new(LookupCut {
            input: plan,
            rows: feed,
            keys,
            table: table.id,
            answer,
            output,
            name,
        })));
        Ok((named, rows))
    }
}

/// A column as it was written.
fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Cast(cast) => shown(&cast.expr),
        Expr::Alias(alias) => shown(&alias.expr),
        other => other.to_string(),
    }
}

impl Lookup {
    pub(super) async fn plan(cut: LookupCut, streams: &Streams, state: &SessionState) -> Result<Self, Error> {
        let table = streams.lookups().into_iter().find(|lookup| lookup.feed.id == cut.table);
        let input = state.optimize(&cut.input)?;
        let reads = check::feeds([&input])?;
        Ok(Self {
            // It holds nothing that could not fit.
            fingerprint: "lookup".to_owned(),
            name: cut.name,
            reads,
            input: state.create_physical_plan(&input).await?,
            rows: cut.rows,
            keys: cut.keys,
            table: cut.table,
            table_name: table.map_or_else(String::new, |lookup| lookup.table.full_name()),
            answer: state.create_physical_plan(&state.optimize(&cut.answer)?).await?,
            output: cut.output,
        })
    }

    /// The plan of its rows.
    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub(super) async fn advance(
        &self,
        executor: &Executor<'_>,
        feeds: &mut Feeds,
    ) -> Result<Advanced, Error> {
        let rows = executor.run(&self.input, feeds).await?;
        let mut answers = Vec::new();
        if !rows.is_empty() {
            let mut keys: Vec<Vec<ArrayRef>> = Vec::new();
            for batch in &rows {
                keys.push(batch.columns()[..self.keys].to_vec());
            }
            let mut asked = Feeds::default();
            asked.set(self.table, executor.lookups.rows(self.table, &keys).await?);
            asked.set(self.rows.id, rows);
            answers = executor.run(&self.answer, &asked).await?;
        }
        let schema = self.output.batches();
        let answers =
            answers.iter().map(|rows| RecordBatch::try_new(schema.clone(), rows.columns().to_vec()));
        feeds.set(self.output.id, answers.collect::<Result<_, _>>()?);
        Ok(Advanced::default())
    }
}
