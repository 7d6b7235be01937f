//! A text beside a whole number that is written out is compared with it as a text: not every text is a number, and the engine would
//! fail at the first that is none.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// Whether a text is a number, and whether it is one of some.
#[derive(Debug)]
pub(super) struct Texts;

impl FunctionRewrite for Texts {
    fn name(&self) -> &'static str {
        "compare_texts"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if asks_if_equal(op) => {
                let (to_left, to_right) = (text_of(&left, &right, schema), text_of(&right, &left, schema));
                let is_changed = to_left.is_some() || to_right.is_some();
                let left = to_left.map_or(left, Box::new);
                let right = to_right.map_or(right, Box::new);
                let expr = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
                if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) }
            }
            Expr::InList(InList { expr, list, negated }) => {
                let texts: Option<Vec<Expr>> = list.iter().map(|item| text_of(item, &expr, schema)).collect();
                match texts {
                    Some(list) => Transformed::yes(Expr::InList(InList { expr, list, negated })),
                    None => Transformed::no(Expr::InList(InList { expr, list, negated })),
                }
            }
            other => Transformed::no(other),
        })
    }
}

fn asks_if_equal(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// A whole number as a text, if what it stands beside is one that is not written out.
fn text_of(number: &Expr, beside: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::Literal(value, _) = number else { return None };
    if !value.data_type().is_integer() || value.is_null() || matches!(beside, Expr::Literal(..)) {
        return None;
    }
    let texts = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    let is_text = beside.get_type(schema).is_ok_and(|beside| texts.contains(&beside));
    is_text.then(|| Expr::Literal(ScalarValue::Utf8(Some(value.to_string())), None))
}
