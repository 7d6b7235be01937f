//! Joins whose conditions say how near each other the rows of a pair happen, taken apart.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use cenote_connect::EVENT_TIME;
use datafusion::common::{JoinType, ScalarValue};
use datafusion::functions::core::expr_fn::greatest;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, Projection};
use datafusion::prelude::lit;

use super::bounds::Bounds;
use super::check;
use super::cut::{Cut, OperatorCut, Rows, columns_of, named, told_apart};
use super::functions::key_part;
use super::hidden::{columns, hidden_column, with_hidden};
use super::updating::scan;
use crate::Error;
use crate::feed::Feed;

/// When a row happened, as its side names it.
const TIMES: [&str; 2] = ["\u{1f}left_time", "\u{1f}right_time"];

/// A join that holds rows as long as a partner may come.
pub(super) struct IntervalCut {
    pub(super) sides: [IntervalSide; 2],
    pub(super) bounds: Bounds,
    /// Columns of the key.
    pub(super) keys: usize,
    /// Rows may come so much later than the watermark says, µs.
    pub(super) lag: i64,
    /// Whether left, and right, rows matter by themselves.
    pub(super) decides_left: bool,
    pub(super) decides_right: bool,
    /// Pairs of rows, with when they happened.
    pub(super) pairs: Option<LogicalPlan>,
    /// Rows of one side that meet some.
    pub(super) met: Option<LogicalPlan>,
    pub(super) output: Feed,
    pub(super) name: String,
}

/// One side of it.
pub(super) struct IntervalSide {
    /// The key `k0…`, columns `c0…`, and when the row happened. No state below.
    pub(super) plan: LogicalPlan,
    /// The same, as plans ask about it.
    pub(super) rows: Feed,
    /// What people call the columns of rows that come too late, if those are kept.
    pub(super) late: Option<Vec<String>>,
    /// Its rows that meet none.
    pub(super) unmet: Option<LogicalPlan>,
}

impl Cut<'_> {
    /// The join, if its conditions bound how far apart the event times of a pair are; nothing has changed otherwise.
    pub(super) fn interval_join(
        &mut self,
        join: &Join,
        left: &LogicalPlan,
        right: &LogicalPlan,
    ) -> Result<Option<(LogicalPlan, Rows)>, Error> {
        use JoinType::{Full, Inner, Left, LeftAnti, LeftSemi, Right, RightAnti, RightSemi};
        let kind = join.join_type;
        let is_known =
            matches!(kind, Inner | Left | Right | Full | LeftSemi | RightSemi | LeftAnti | RightAnti);
        if !is_known || join.null_aware || join.on.is_empty() {
            return Ok(None);
        }
        let Some(bounds) = Bounds::of(join, left, right) else { return Ok(None) };
        if join.on.iter().any(|(a, b)| a.get_type(left.schema()).ok() != b.get_type(right.schema()).ok()) {
            return Ok(None);
        }
        let decides_left = matches!(kind, Left | Full | LeftSemi | LeftAnti);
        let decides_right = matches!(kind, Right | Full | RightSemi | RightAnti);
        let (left_on, right_on): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        let (mut left_side, left_rows) = self.timed(left, left_on, TIMES[0])?;
        let (mut right_side, right_rows) = self.timed(right, right_on, TIMES[1])?;
        let joined = |kind| {
            let join = Join::try_new(
                Arc::new(left_rows.clone()),
                Arc::new(right_rows.clone()),
                join.on.clone(),
                join.filter.clone(),
                kind,
                join.join_constraint,
                join.null_equality,
                false,
            )?;
            let join = LogicalPlan::Join(join);
            check::volatile(&join)?;
            Ok::<_, Error>(join)
        };
        let widths = [left, right].map(|side| side.schema().fields().len());
        if matches!(kind, Left | Full | LeftAnti) {
            left_side.unmet = Some(unmet(joined(LeftAnti)?, (widths[0], kind == LeftAnti), &right_rows, 0)?);
        }
        if matches!(kind, Right | Full | RightAnti) {
            right_side.unmet =
                Some(unmet(joined(RightAnti)?, (widths[1], kind == RightAnti), &left_rows, 1)?);
        }
        let pairs = match kind {
            Inner | Left | Right | Full => Some(pairs(joined(Inner)?, widths)?),
            _ => None,
        };
        let met = match kind {
            LeftSemi | RightSemi => Some(timed_last(joined(kind)?)?),
            _ => None,
        };
        let lag = check::lag(left)?.max(check::lag(right)?);
        // What is decided late happened before the watermark.
        let before = [(decides_left, bounds.low.saturating_neg()), (decides_right, bounds.high)];
        let before = before.into_iter().filter(|(decides, _)| *decides).map(|(_, before)| before).max();
        let output = Feed::new(self.streams.next_feed(), columns_of(&join.schema));
        let output = output.with_lag(lag.saturating_add(before.unwrap_or(0).max(0)));
        let plan = named(&output, 0, &join.schema)?;
        self.operators.push(OperatorCut::Interval(Box::new(IntervalCut {
            sides: [left_side, right_side],
            bounds,
            keys: join.on.len(),
            lag,
            decides_left,
            decides_right,
            pairs,
            met,
            output,
            name: LogicalPlan::Join(join.clone()).display().to_string(),
        })));
        Ok(Some((plan, Rows::Open)))
    }

    /// A side, and a plan over its rows with the names that they had, the event time as their last column.
    fn timed(
        &self,
        input: &LogicalPlan,
        keys: Vec<Expr>,
        time: &str,
    ) -> Result<(IntervalSide, LogicalPlan), Error> {
        check::no_window(input)?;
        check::volatile(input)?;
        let count = keys.len();
        let timed = with_hidden(input, &[EVENT_TIME])?;
        let mut all: Vec<Expr> = group_keys(keys, input)?;
        let own = columns(&timed).take(input.schema().fields().len()).enumerate();
        all.extend(own.map(|(at, column)| column.alias(format!("c{at}"))));
        all.push(hidden_column(&timed, 1)?.alias(time));
        let plan = LogicalPlan::Projection(Projection::try_new(all, Arc::new(timed))?);
        check::volatile(&plan)?;
        let fields: Vec<Arc<Field>> = plan.schema().fields().iter().cloned().collect();
        let rows = Feed::exact(self.streams.next_feed(), Arc::new(Schema::new(fields)));
        let scan = scan(&rows)?;
        let all: Vec<Expr> = columns(&scan).skip(count).collect();
        let names = input.schema().iter();
        let mut shown: Vec<Expr> = all
            .iter()
            .zip(names)
            .map(|(column, (qualifier, field))| {
                column.clone().alias_qualified(qualifier.cloned(), field.name())
            })
            .collect();
        shown.extend(all.last().map(|column| column.clone().alias(time)));
        let named = LogicalPlan::Projection(Projection::try_new(shown, Arc::new(scan))?);
        let late = self.keeps_late.then(|| {
            let key = std::iter::repeat_n(String::new(), count);
            key.chain(told_apart(input)).collect()
        });
        Ok((IntervalSide { plan, rows, late, unmet: None }, named))
    }
}

/// The key of a side, as `k0…`.
fn group_keys(keys: Vec<Expr>, input: &LogicalPlan) -> Result<Vec<Expr>, Error> {
    let keys = keys.into_iter().enumerate().map(|(at, key)| {
        let data_type = key.get_type(input.schema())?;
        Ok(key_part(key, &data_type).alias(format!("k{at}")))
    });
    keys.collect()
}

/// Pairs happened when the later of their rows did.
fn pairs(join: LogicalPlan, [left, right]: [usize; 2]) -> Result<LogicalPlan, Error> {
    let all: Vec<Expr> = columns(&join).collect();
    let time = greatest(vec![all[left].clone(), all[left + 1 + right].clone()]);
    let own = all[..left].iter().chain(&all[left + 1..left + 1 + right]).cloned();
    let own = own.chain([time]).collect();
    renamed(own, join)
}

/// Rows of one side with when they happened, which is their last column already.
fn timed_last(join: LogicalPlan) -> Result<LogicalPlan, Error> {
    let all = columns(&join).collect();
    renamed(all, join)
}

/// Rows of a side that met none; `alone`: without the columns of the other.
fn unmet(
    join: LogicalPlan,
    (width, alone): (usize, bool),
    others: &LogicalPlan,
    side: usize,
) -> Result<LogicalPlan, Error> {
    let all: Vec<Expr> = columns(&join).collect();
    let (own, time) = all.split_at(width);
    let others = others.schema().fields();
    let nulls = others.iter().take(if alone { 0 } else { others.len() - 1 });
    let nulls: Vec<Expr> =
        nulls.map(|field| ScalarValue::try_from(field.data_type()).map(lit)).collect::<Result<_, _>>()?;
    let own = own.iter().cloned();
    let shown: Vec<Expr> = match side {
        0 => own.chain(nulls).chain(time.iter().cloned()).collect(),
        _ => nulls.into_iter().chain(own).chain(time.iter().cloned()).collect(),
    };
    renamed(shown, join)
}

/// The columns by their places, the last one as the event time.
fn renamed(columns: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan, Error> {
    let last = columns.len() - 1;
    let name = |at: usize| if at == last { EVENT_TIME.to_owned() } else { format!("c{at}") };
    let columns = columns.into_iter().enumerate().map(|(at, column)| column.alias(name(at)));
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(input))?))
}
