//! The plan of a change: for each row of its query the place in the target, the clause that decides, and the new row.

use arrow::datatypes::{DataType, Field};
use cenote_catalog::TableDef;
use cenote_datafile::arrow_type;
use cenote_vocab::{ErrorKind, Field as TableField};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Projection, lit,
    try_cast,
};

use super::assign::assign;
use super::query::{FILE, POSITION, RowQuery};
use super::{Act, Answers, NewValue, RowChange, When};
use crate::Error;
use crate::parse::folded;
use crate::plan::{Binder, fault};
use crate::scan::{column_default, sql_schema};

/// The column with the number of the clause that decides, from 1; 0 if none does.
const CLAUSE: &str = "__cenote_clause";

/// What a change runs.
pub(super) struct Planned {
    /// File, position, clause; then, if any clause writes, the columns of the target, and the row's id if the table keeps ids;
    /// then the values of `keys`.
    pub(super) plan: LogicalPlan,
    /// Columns of the target that new rows were looked for by.
    pub(super) keys: Vec<TableField>,
}

/// Plans a change of rows.
pub(super) async fn plan(
    binder: &mut Binder<'_>,
    change: &RowChange,
    table: &TableDef,
    sql: &str,
    search_path: &[String],
) -> Result<Planned, Error> {
    let query = RowQuery::of(change, table)?;
    let planned = binder.plan(query.statement.clone(), sql, search_path).await?;
    let LogicalPlan::Projection(Projection { expr, input, .. }) = planned else {
        return Err(Error::new(
            ErrorKind::Internal,
            "internal error: a change was not planned as a projection",
        ));
    };
    if matches!(input.as_ref(), LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "aggregate and window functions are not allowed in the clauses of a change of rows",
        )
        .with_sqlstate("42803"));
    }
    let exprs: Vec<Expr> = expr.into_iter().map(Expr::unalias).collect();
    let built = Builder { change, query: &query, exprs: &exprs, table, sql };
    built.check_references()?;
    built.build(input.as_ref().clone())
}

struct Builder<'a> {
    change: &'a RowChange,
    query: &'a RowQuery,
    /// What the query selects.
    exprs: &'a [Expr],
    table: &'a TableDef,
    sql: &'a str,
}

impl Builder<'_> {
    /// In a row without a match one side is not there: its columns mean nothing.
    fn check_references(&self) -> Result<(), Error> {
        let target = folded(&self.change.target);
        for (clause, columns) in self.change.clauses.iter().zip(&self.query.clauses) {
            let absent = |column: &&Column| {
                let of_target = column.relation.as_ref().is_some_and(|relation| relation.table() == target);
                match clause.when {
                    When::Matched => false,
                    When::NotMatched => of_target,
                    When::NotMatchedBySource => !of_target,
                }
            };
            for at in columns.predicate.iter().chain(columns.values.iter().flatten()) {
                if let Some(column) = self.exprs[*at].column_refs().into_iter().find(absent) {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!(
                            "column \"{}\" is of a row that is not there in this WHEN clause",
                            column.flat_name()
                        ),
                    )
                    .with_sqlstate("42P10"));
                }
            }
        }
        Ok(())
    }

    /// The clause is chosen below the values, so that its conditions are evaluated once for a row.
    fn build(&self, input: LogicalPlan) -> Result<Planned, Error> {
        let fail = |error| fault::of(error, self.sql);
        let keys = self.keys(&input)?;
        let mut below: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        below.push(self.clause().alias(CLAUSE));
        let chosen = LogicalPlanBuilder::from(input)
            .project(below)
            .and_then(LogicalPlanBuilder::build)
            .map_err(fail)?;
        let mut above =
            vec![self.exprs[FILE].clone().alias("file"), self.exprs[POSITION].clone().alias("position")];
        above.push(Expr::Column(Column::from_name(CLAUSE)));
        let writes = self.change.clauses.iter().any(|clause| clause.act.values().is_some());
        if writes || self.change.answers == Answers::ChangedRows {
            for (at, column) in sql_schema(&self.table.schema).fields().iter().enumerate() {
                above.push(self.value(at, column, &chosen)?.alias(format!("value_{at}")));
            }
        }
        if let Some(row_id) = self.query.row_id {
            above.push(self.exprs[row_id].clone().alias("row_id"));
        }
        for (at, (_, value)) in keys.iter().enumerate() {
            above.push(value.clone().alias(format!("key_{at}")));
        }
        let plan = LogicalPlanBuilder::from(chosen).project(above).and_then(LogicalPlanBuilder::build);
        Ok(Planned { plan: plan.map_err(fail)?, keys: keys.into_iter().map(|(field, _)| field).collect() })
    }

    /// Of a change that adds rows without a match: `column = value` of its condition, where the value is the source's.
    fn keys(&self, input: &LogicalPlan) -> Result<Vec<(TableField, Expr)>, Error> {
        let adds = self.change.clauses.iter().any(|clause| matches!(clause.act, Act::Insert(_)));
        let (LogicalPlan::Join(join), true) = (input, adds) else { return Ok(Vec::new()) };
        let target = folded(&self.change.target);
        let is_own =
            |column: &Column| column.relation.as_ref().is_some_and(|relation| relation.table() == target);
        let filter = join.filter.iter().flat_map(split_conjunction).filter_map(|part| match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                Some((left.as_ref(), right.as_ref()))
            }
            _ => None,
        });
        let mut keys = Vec::new();
        for (left, right) in join.on.iter().map(|(left, right)| (left, right)).chain(filter) {
            let (column, value) = match (left, right) {
                (Expr::Column(column), value) if is_own(column) => (column, value),
                (value, Expr::Column(column)) if is_own(column) => (column, value),
                _ => continue,
            };
            let Some(field) = self.table.schema.field(&column.name) else { continue };
            let wanted = arrow_type(&field.field_type);
            let given = value.get_type(input.schema()).map_err(|error| fault::of(error, self.sql))?;
            // of other types the comparison may mean other values than a cast gives
            let comparable = given == wanted || (given.is_integer() && wanted.is_integer());
            if comparable && value.column_refs().into_iter().all(|column| !is_own(column)) {
                keys.push((field.clone(), try_cast(value.clone(), wanted)));
            }
        }
        Ok(keys)
    }

    /// The number of the clause that decides.
    fn clause(&self) -> Expr {
        let Some(present) = self.query.present else { return self.first_of(When::Matched) };
        let (position, present) = (self.exprs[POSITION].clone(), self.exprs[present].clone());
        let alone = [
            (position.is_null(), self.first_of(When::NotMatched)),
            (present.is_null(), self.first_of(When::NotMatchedBySource)),
        ];
        case(alone, self.first_of(When::Matched))
    }

    fn first_of(&self, when: When) -> Expr {
        let mut conditions = Vec::new();
        for ((number, clause), columns) in (1_i32..).zip(&self.change.clauses).zip(&self.query.clauses) {
            match columns.predicate {
                _ if clause.when != when => {}
                Some(predicate) => conditions.push((self.exprs[predicate].clone(), lit(number))),
                None => return case(conditions, lit(number)),
            }
        }
        case(conditions, lit(0_i32))
    }

    /// The value of a column, by the clause that decides.
    fn value(&self, at: usize, column: &Field, chosen: &LogicalPlan) -> Result<Expr, Error> {
        let null = Expr::Literal(null_of(column.data_type())?, None);
        let default = column_default(&self.table.schema.fields[at], column);
        let mut values = Vec::new();
        for ((number, clause), columns) in (1_i32..).zip(&self.change.clauses).zip(&self.query.clauses) {
            let given = match &clause.act {
                Act::Update(values) | Act::Insert(values) => &values[at],
                Act::Delete => &NewValue::Kept, // as it was, for the answer
                Act::Nothing => continue,
            };
            let expr = match (given, columns.values.get(at).copied().flatten(), self.query.kept) {
                (NewValue::Given(_), Some(given), _) => {
                    assign(self.exprs[given].clone(), chosen.schema(), column, self.sql)?
                }
                (NewValue::Kept, _, Some(kept)) => self.exprs[kept + at].clone(),
                (NewValue::Default, ..) => default.clone().unwrap_or_else(|| null.clone()),
                _ => null.clone(),
            };
            values.push((number, expr));
        }
        if let [(_, only)] = values.as_slice()
            && self.change.clauses.len() == 1
        {
            return Ok(only.clone());
        }
        let number = Expr::Column(Column::from_name(CLAUSE));
        let values = values.into_iter().map(|(at, value)| (number.clone().eq(lit(at)), value));
        Ok(case(values, null))
    }
}

fn null_of(data_type: &DataType) -> Result<ScalarValue, Error> {
    ScalarValue::try_from(data_type).map_err(|error| fault::of(error, ""))
}

/// `CASE WHEN … THEN … ELSE otherwise END`; without conditions it is `otherwise`.
fn case(branches: impl IntoIterator<Item = (Expr, Expr)>, otherwise: Expr) -> Expr {
    let when_then_expr: Vec<_> =
        branches.into_iter().map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    if when_then_expr.is_empty() {
        return otherwise;
    }
    Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(otherwise)) })
}
