//! Joins on equality of rows that may be taken back, or that come whenever they do: keys that were touched are answered again.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, Projection};

use super::check;
use super::cut::{Cut, OperatorCut, Rows, columns_of, named, place};
use super::hidden::columns;
use super::key::{key_of, with_keys};
use super::updating::{Before, KeyedCut};
use crate::Error;

impl Cut<'_> {
    /// A join on equality of some expressions.
    pub(super) fn keyed_join(
        &mut self,
        join: Join,
        (left, right): (LogicalPlan, LogicalPlan),
        (left_rows, right_rows): (Rows, Rows),
    ) -> Result<(LogicalPlan, Rows), Error> {
        let kind = join.join_type;
        if join.null_aware {
            return Err(Error::Unsupported("NOT IN in a pipeline".to_owned()));
        }
        if matches!(kind, JoinType::LeftMark | JoinType::RightMark) {
            return Err(Error::Unsupported("a subquery below OR or NOT in a pipeline".to_owned()));
        }
        if join.on.is_empty() {
            return Err(Error::Invalid("Updating joins must include an equijoin condition".to_owned()));
        }
        let name = LogicalPlan::Join(join.clone()).display().to_string();
        for (a, b) in &join.on {
            let (a, b) = (a.get_type(left.schema())?, b.get_type(right.schema())?);
            if a != b {
                return Err(Error::Unsupported(format!("a join of {a} with {b} in a pipeline")));
            }
        }
        let (left_on, right_on): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        let key = join_key(&join, &left, &right);
        let updates = [left_rows, right_rows].map(|rows| matches!(rows, Rows::Updating));
        let (left_side, left_named) = self.side(&left, left_on, updates[0])?;
        let (right_side, right_named) = self.side(&right, right_on, updates[1])?;
        let (left_ids, right_ids, left_named, right_named) = match self.streams.is_view() {
            true => {
                let (left, left_ids) = with_keys(&left_named, "\u{1f}left")?;
                let (right, right_ids) = with_keys(&right_named, "\u{1f}right")?;
                (left_ids, right_ids, left, right)
            }
            false => (0, 0, left_named, right_named),
        };
        let widths = [&left, &right].map(|side| side.schema().fields().len());
        let answer = Join::try_new(
            Arc::new(left_named),
            Arc::new(right_named),
            join.on.clone(),
            join.filter.clone(),
            kind,
            join.join_constraint,
            join.null_equality,
            false,
        )?;
        let answer = LogicalPlan::Join(answer);
        check::steady(&answer)?;
        let is_append = updates == [false, false] && kind == JoinType::Inner;
        let (answer, key) = match self.streams.is_view() {
            true => ids_last(answer, kind, (widths, [left_ids, right_ids]))?,
            false => (answer, key),
        };
        let output = self.output(columns_of(answer.schema()), is_append, key);
        let named = named(&output, 0, &join.schema)?;
        self.operators.push(OperatorCut::Keyed(Box::new(KeyedCut {
            inputs: vec![left_side, right_side],
            answer,
            keys: join.on.len(),
            sessions: None,
            before: if kind == JoinType::Inner { Before::Pairs } else { Before::AskedAgain },
            is_whole: false,
            is_append,
            forget: self.forget,
            output,
            name,
        })));
        Ok((named, if is_append { Rows::Open } else { Rows::Updating }))
    }
}

/// Columns that tell the rows of a join apart: of one side, if each of its rows meets one of the other at most.
fn join_key(join: &Join, left: &LogicalPlan, right: &LogicalPlan) -> Option<Vec<usize>> {
    let width = left.schema().fields().len();
    let meets_one = |key: &Option<BTreeSet<usize>>, on: Vec<Option<usize>>| {
        let on: BTreeSet<usize> = on.into_iter().flatten().collect();
        key.as_ref().is_some_and(|key| key.is_subset(&on))
    };
    let (left_key, right_key) = (key_of(left), key_of(right));
    let left_is_one = meets_one(&left_key, join.on.iter().map(|(a, _)| place(a, left)).collect());
    let right_is_one = meets_one(&right_key, join.on.iter().map(|(_, b)| place(b, right)).collect());
    let of_left = |key: BTreeSet<usize>| key.into_iter().collect();
    let of_right = |key: BTreeSet<usize>| key.into_iter().map(|at| at + width).collect();
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => left_key.map(of_left),
        JoinType::RightSemi | JoinType::RightAnti => right_key.map(of_left),
        JoinType::Inner | JoinType::Left if right_is_one => left_key.map(of_left),
        JoinType::Inner | JoinType::Right if left_is_one => right_key.map(of_right),
        _ => Some(left_key?.into_iter().chain(right_key?.into_iter().map(|at| at + width)).collect()),
    }
}

/// A join of rows with ids: the ids of both sides behind all other columns, and where they are then.
fn ids_last(
    join: LogicalPlan,
    kind: JoinType,
    (widths, ids): ([usize; 2], [usize; 2]),
) -> Result<(LogicalPlan, Option<Vec<usize>>), Error> {
    let all: Vec<Expr> = columns(&join).collect();
    let (from_left, from_right) = match kind {
        JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
        JoinType::RightSemi | JoinType::RightAnti => (false, true),
        _ => (true, true),
    };
    let mut sides = all.into_iter();
    let (mut own, mut keys) = (Vec::new(), Vec::new());
    for (is_there, (width, ids)) in [from_left, from_right].into_iter().zip(widths.into_iter().zip(ids)) {
        if is_there {
            own.extend(sides.by_ref().take(width));
            keys.extend(sides.by_ref().take(ids));
        }
    }
    let key = (own.len()..own.len() + keys.len()).collect();
    own.extend(keys);
    Ok((LogicalPlan::Projection(Projection::try_new(own, Arc::new(join))?), Some(key)))
}
