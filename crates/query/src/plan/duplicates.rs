//! Columns of an answer that were given no name get one, and columns of one name a hidden mark behind it: SQL allows them,
//! the engine's planner does not. The mark is taken off the answer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    Distinct, Expr, Ident, ObjectName, ObjectNamePart, OrderBy, OrderByKind, Query, Select, SelectItem,
    SetExpr, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::names::output_name;
use crate::parse::folded;
use crate::scan::without_views;

/// Between a name and its number; no name may hold a control character.
const MARK: char = '\u{1f}';

/// Names the columns of every SELECT, and marks those that repeat a name.
pub(crate) fn tell_apart(statement: &mut AnyStatement) {
    match statement {
        AnyStatement::Statement(statement) => {
            let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
                VisitMut::visit(&mut **statement, &mut Namer); // never breaks
        }
        AnyStatement::Explain(explain) => tell_apart(&mut explain.statement),
        _ => {}
    }
}

/// The name without its mark.
pub(crate) fn visible(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(name, _)| name)
}

/// A text about a plan, without the marks of its columns.
pub(crate) fn visible_text(text: &str) -> String {
    let mut parts = text.split(MARK);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// The columns under their visible names.
pub(crate) fn visible_schema(schema: &SchemaRef) -> SchemaRef {
    let schema = without_views(schema);
    if schema.fields().iter().all(|field| !field.name().contains(MARK)) {
        return schema;
    }
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(visible(field.name())));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let mut sorted: Vec<&mut Expr> = match &mut query.order_by {
            Some(OrderBy { kind: OrderByKind::Expressions(sorted), .. }) => {
                sorted.iter_mut().map(|by| &mut by.expr).collect()
            }
            _ => Vec::new(),
        };
        // a column of the same select stays what it was when its place says which
        if select.distinct.as_ref().is_none_or(|distinct| matches!(distinct, Distinct::Distinct)) {
            sorted.iter_mut().for_each(|by| by_place(&select.projection, by));
        }
        let mut mentioned = Mentioned::default();
        sorted.into_iter().filter(|by| !matches!(by, Expr::Identifier(_))).for_each(|by| mentioned.add(by));
        name_columns(select, mentioned);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_columns(select, Mentioned::default());
        ControlFlow::Continue(())
    }
}

/// `SELECT lower(h) … ORDER BY lower(h)` sorts by its first column, whatever that is called.
fn by_place(projection: &[SelectItem], by: &mut Expr) {
    let is_place = matches!(by, Expr::Value(_));
    let counted =
        |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if is_place || is_column(by) || !projection.iter().all(counted) {
        return;
    }
    let same = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(expr) if *expr == *by);
    if let Some(at) = projection.iter().position(same) {
        *by = Expr::value(Value::Number((at + 1).to_string(), false));
    }
}

/// Names that expressions beside the select list mean as input columns.
#[derive(Default)]
struct Mentioned(BTreeSet<String>);

impl Mentioned {
    fn add(&mut self, expr: &Expr) {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = Visit::visit(expr, self); // never breaks
    }
}

impl Visitor for Mentioned {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr {
            self.0.insert(folded(ident));
        }
        ControlFlow::Continue(())
    }
}

/// Gives every column that has none its name, and every later one of a name a mark.
fn name_columns(select: &mut Select, mut mentioned: Mentioned) {
    select.having.iter().chain(&select.qualify).for_each(|expr| mentioned.add(expr));
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let own: BTreeSet<String> = select.projection.iter().filter_map(own_name).collect();
    let mut taken = Taken::default();
    for (at, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) if is_column(expr) => {
                // beside a wildcard a plain column is there already
                let alone = taken.take_column(expr) && !wildcard;
                if !alone {
                    *item = aliased(expr, &marked(&output_name(expr), at));
                }
            }
            // a struct becomes several columns, which no alias may stand for
            SelectItem::UnnamedExpr(Expr::Function(function)) if is_unnest(&function.name) => {}
            SelectItem::UnnamedExpr(expr) => {
                let name = output_name(expr);
                let hides = wildcard || own.contains(&name) || mentioned.0.contains(&name);
                let free = !hides && taken.take(&name);
                *item = aliased(expr, &if free { name } else { marked(&name, at) });
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !taken.take(&name) {
                    *alias = Ident::with_quote('"', marked(&name, at));
                }
            }
            _ => {}
        }
    }
}

/// Names given to columns so far.
#[derive(Default)]
struct Taken {
    visible: BTreeSet<String>,
    /// The engine tells `a.id` and `b.id` apart by itself.
    qualified: BTreeSet<String>,
}

impl Taken {
    /// False if a column has this name already.
    fn take(&mut self, name: &str) -> bool {
        let qualified = self.qualified.iter().any(|full| full.rsplit('.').next() == Some(name));
        self.visible.insert(name.to_owned()) && !qualified
    }

    fn take_column(&mut self, column: &Expr) -> bool {
        match column {
            Expr::CompoundIdentifier(parts) => {
                let last = parts.last().map(folded).unwrap_or_default();
                let full = parts.iter().map(folded).collect::<Vec<_>>().join(".");
                !self.visible.contains(&last) && self.qualified.insert(full)
            }
            other => self.take(&output_name(other)),
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_unnest(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if folded(ident) == "unnest")
}

/// The name that the text gives: an alias, or of a plain column.
fn own_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) if is_column(expr) => Some(output_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

fn marked(name: &str, at: usize) -> String {
    format!("{name}{MARK}{at}")
}

fn aliased(expr: &Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Parsed, parse};

    fn marked(sql: &str) -> String {
        let Parsed::Sql { mut statement, .. } = parse(sql).unwrap() else { panic!("a query") };
        tell_apart(&mut statement);
        statement.to_string().replace(MARK, "#")
    }

    #[test]
    fn only_repeated_names_are_marked() {
        assert_eq!(
            marked("SELECT count(*), COUNT(*), a FROM t"),
            "SELECT count(*) AS \"count\", COUNT(*) AS \"count#1\", a FROM t"
        );
        assert_eq!(marked("SELECT a.id, b.id FROM a, b"), "SELECT a.id, b.id FROM a, b");
        assert_eq!(marked("SELECT a.id, id FROM a"), "SELECT a.id, id AS \"id#1\" FROM a");
        assert_eq!(marked("SELECT *, time FROM t"), "SELECT *, time AS \"time#1\" FROM t");
        assert_eq!(marked("SELECT 1 AS a, 2 AS a"), "SELECT 1 AS a, 2 AS \"a#1\"");
        assert_eq!(
            marked("SELECT NULL::INT, 1, 2"),
            "SELECT NULL::INT AS \"int4\", 1 AS \"?column?\", 2 AS \"?column?#2\""
        );
        assert_eq!(visible("a\u{1f}1"), "a");
        assert_eq!(visible_text("a\u{1f}12, b"), "a, b");
    }

    #[test]
    fn a_given_name_hides_no_column_that_the_text_means() {
        assert_eq!(marked("SELECT n::TEXT, n FROM t"), "SELECT n::TEXT AS \"n#0\", n FROM t");
        assert_eq!(
            marked("SELECT n::TEXT FROM t ORDER BY n + 1"),
            "SELECT n::TEXT AS \"n#0\" FROM t ORDER BY n + 1"
        );
        assert_eq!(
            marked("SELECT n::TEXT FROM t GROUP BY n HAVING n > 1"),
            "SELECT n::TEXT AS \"n#0\" FROM t GROUP BY n HAVING n > 1"
        );
        assert_eq!(marked("SELECT *, max(n) FROM t"), "SELECT *, max(n) AS \"max#1\" FROM t");
    }

    #[test]
    fn an_expression_to_sort_by_is_the_column_that_it_repeats() {
        assert_eq!(
            marked("SELECT DISTINCT lower(h) FROM t ORDER BY lower(h) DESC"),
            "SELECT DISTINCT lower(h) AS \"lower\" FROM t ORDER BY 1 DESC"
        );
        assert_eq!(
            marked("SELECT 2, 1 FROM t ORDER BY 1"),
            "SELECT 2 AS \"?column?\", 1 AS \"?column?#1\" FROM t ORDER BY 1"
        );
        assert_eq!(
            marked("SELECT DISTINCT ON (lower(h)) lower(h) FROM t ORDER BY lower(h)"),
            "SELECT DISTINCT ON (lower(h)) lower(h) AS \"lower\" FROM t ORDER BY lower(h)"
        );
    }
}
