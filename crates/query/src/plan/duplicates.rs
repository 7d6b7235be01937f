//! Columns of one name in an answer: SQL allows them, the engine's planner does not. Each later one gets a hidden mark
//! behind its name, which is taken off the answer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{Expr, Ident, Select, SelectItem, VisitMut, VisitorMut};

use crate::parse::folded;

/// Between a name and its number; no name may hold a control character.
const MARK: char = '\u{1f}';

/// Marks the columns that repeat a name.
pub(crate) fn tell_apart(statement: &mut AnyStatement) {
    match statement {
        AnyStatement::Statement(statement) => {
            let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
                VisitMut::visit(&mut **statement, &mut Marker); // never breaks
        }
        AnyStatement::Explain(explain) => tell_apart(&mut explain.statement),
        _ => {}
    }
}

/// The name without its mark.
pub(crate) fn visible(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(name, _)| name)
}

/// The columns under their visible names.
pub(crate) fn visible_schema(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| !field.name().contains(MARK)) {
        return schema.clone();
    }
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(visible(field.name())));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

struct Marker;

impl VisitorMut for Marker {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let wildcard = select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
        let mut seen = BTreeSet::new();
        for (at, item) in select.projection.iter_mut().enumerate() {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let (key, name) = named(expr);
                    // beside a wildcard a plain column is there already
                    let beside =
                        wildcard && matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                    if !seen.insert(key) || beside {
                        let alias = Ident::with_quote('"', format!("{name}{MARK}{at}"));
                        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    }
                }
                SelectItem::ExprWithAlias { alias, .. } => {
                    let name = folded(alias);
                    if !seen.insert(name.clone()) {
                        alias.value = format!("{name}{MARK}{at}");
                        alias.quote_style = Some('"');
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// What the planner compares, and what the client sees.
fn named(expr: &Expr) -> (String, String) {
    match expr {
        Expr::Identifier(ident) => (folded(ident), folded(ident)),
        Expr::CompoundIdentifier(parts) => {
            let key = parts.iter().map(folded).collect::<Vec<_>>().join(".");
            (key, parts.last().map(folded).unwrap_or_default())
        }
        Expr::Subquery(_) => ("(<subquery>)".into(), "?column?".into()),
        // the planner names a cast like what it casts
        Expr::Cast { expr, .. } | Expr::Nested(expr) => named(expr),
        other => (other.to_string().to_lowercase(), other.to_string().to_lowercase()),
    }
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
            "SELECT count(*), COUNT(*) AS \"count(*)#1\", a FROM t"
        );
        assert_eq!(marked("SELECT a.id, b.id FROM a, b"), "SELECT a.id, b.id FROM a, b");
        assert_eq!(marked("SELECT *, time FROM t"), "SELECT *, time AS \"time#1\" FROM t");
        assert_eq!(marked("SELECT 1 AS a, 2 AS a"), "SELECT 1 AS a, 2 AS \"a#1\"");
        assert_eq!(marked("SELECT NULL::INT, NULL::TEXT"), "SELECT NULL::INT, NULL::TEXT AS \"null#1\"");
        assert_eq!(visible("a\u{1f}1"), "a");
    }
}
