//! What the value of an expression comes of.

use arrow::datatypes::DataType;
use cenote_catalog::ColumnKind;
use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{
    AggregateFunction, Case, SetComparison, WindowFunction, WindowFunctionDefinition,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Subquery};

use super::{Limited, Scope, Traces, add, indirect, made, of_plan, union};

impl<'a> Scope<'a> {
    /// One after the other.
    pub(super) fn traces(&self, expressions: &[Expr]) -> Option<Vec<Traces>> {
        expressions.iter().map(|expression| self.trace(expression)).collect()
    }

    /// `None` for an expression that is not known.
    pub(super) fn trace(&self, expression: &Expr) -> Option<Traces> {
        match expression {
            Expr::Column(column) => self.column(column),
            Expr::OuterReferenceColumn(_, column) => self.outer_column(column),
            Expr::Alias(alias) => self.trace(&alias.expr),
            Expr::Literal(..) | Expr::Placeholder(_) | Expr::ScalarVariable(..) | Expr::LambdaVariable(_) => {
                Some(Traces::new())
            }
            Expr::Cast(cast) => {
                let traces = self.trace(&cast.expr)?;
                let from = cast.expr.get_type(self.schema).ok();
                let keeps = from.is_some_and(|from| keeps_values(&from, cast.field.data_type()));
                Some(if keeps { traces } else { made(traces, ColumnKind::Transformation) })
            }
            Expr::Case(case) => self.case(case),
            Expr::AggregateFunction(call) => self.aggregate(call),
            Expr::WindowFunction(call) => self.window(call),
            Expr::ScalarSubquery(subquery) => {
                let (columns, rows) = self.subquery(subquery)?;
                Some(union([made(columns, ColumnKind::Transformation), rows]))
            }
            Expr::Exists(exists) => self.decided(&exists.subquery),
            Expr::InSubquery(inside) => {
                let value = made(self.trace(&inside.expr)?, ColumnKind::Transformation);
                Some(union([value, self.decided(&inside.subquery)?]))
            }
            Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
                let value = made(self.trace(expr)?, ColumnKind::Transformation);
                Some(union([value, self.decided(subquery)?]))
            }
            #[expect(deprecated, reason = "the planner has replaced it; what has not is not known")]
            Expr::Wildcard { .. } => None,
            other => self.parts(other),
        }
    }

    /// Of all that it is made of.
    fn parts(&self, expression: &Expr) -> Option<Traces> {
        let mut traces = Some(Traces::new());
        let visited = expression.apply_children(|part| {
            match (traces.as_mut(), self.trace(part)) {
                (Some(traces), Some(more)) => add(traces, more),
                _ => traces = None,
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.ok()?;
        Some(made(traces?, ColumnKind::Transformation))
    }

    fn column(&self, column: &Column) -> Option<Traces> {
        self.columns.get(self.schema.maybe_index_of_column(column)?).cloned()
    }

    fn outer_column(&self, column: &Column) -> Option<Traces> {
        let mut scope = self.outer;
        while let Some(around) = scope {
            if let Some(traces) = around.column(column) {
                return Some(traces);
            }
            scope = around.outer;
        }
        None
    }

    fn case(&self, case: &Case) -> Option<Traces> {
        let mut traces = Traces::new();
        if let Some(compared) = &case.expr {
            add(&mut traces, indirect(self.trace(compared)?, ColumnKind::Conditional));
        }
        for (when, then) in &case.when_then_expr {
            add(&mut traces, indirect(self.trace(when)?, ColumnKind::Conditional));
            add(&mut traces, made(self.trace(then)?, ColumnKind::Transformation));
        }
        if let Some(otherwise) = &case.else_expr {
            add(&mut traces, made(self.trace(otherwise)?, ColumnKind::Transformation));
        }
        Some(traces)
    }

    fn aggregate(&self, call: &AggregateFunction) -> Option<Traces> {
        let parameters = &call.params;
        let order = parameters.order_by.iter().map(|key| &key.expr);
        let values = parameters.args.iter().chain(order).map(|value| self.trace(value));
        let values = union(values.collect::<Option<Vec<_>>>()?);
        let mut traces = made(values, ColumnKind::Aggregation);
        if let Some(filter) = &parameters.filter {
            add(&mut traces, indirect(self.trace(filter)?, ColumnKind::Conditional));
        }
        Some(traces)
    }

    fn window(&self, call: &WindowFunction) -> Option<Traces> {
        let kind = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(_) => ColumnKind::Aggregation,
            WindowFunctionDefinition::WindowUDF(_) => ColumnKind::Transformation,
        };
        let parameters = &call.params;
        let mut traces = made(union(self.traces(&parameters.args)?), kind);
        let order = parameters.order_by.iter().map(|key| self.trace(&key.expr));
        let order = order.collect::<Option<Vec<_>>>()?;
        let place = union(self.traces(&parameters.partition_by)?.into_iter().chain(order));
        add(&mut traces, indirect(place, ColumnKind::Window));
        if let Some(filter) = &parameters.filter {
            add(&mut traces, indirect(self.trace(filter)?, ColumnKind::Conditional));
        }
        Some(traces)
    }

    /// Of the values of a subquery, and of which rows it has.
    fn subquery(&self, subquery: &Subquery) -> Option<(Traces, Traces)> {
        let plan: &LogicalPlan = &subquery.subquery;
        let origins = of_plan(plan, Some(self), Limited::No)?;
        Some((union(origins.columns), origins.rows))
    }

    /// Of whether a subquery has a row, or this one.
    fn decided(&self, subquery: &Subquery) -> Option<Traces> {
        let (columns, rows) = self.subquery(subquery)?;
        Some(indirect(union([columns, rows]), ColumnKind::Conditional))
    }
}

/// True for a cast to a type that holds each value of the other as it is.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8, Timestamp,
        UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    match (from, to) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64) => true,
        (UInt16, UInt32 | UInt64 | Int32 | Int64) | (UInt32, UInt64 | Int64) => true,
        (Float32, Float64) | (Int8 | Int16 | UInt8 | UInt16, Float32) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Float64) => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (Timestamp(coarse, a), Timestamp(fine, b)) => a == b && coarse <= fine,
        (from, to) => from == to,
    }
}
