//! Names of columns without regard to case: `usageIdle` works unquoted where it can mean one column only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use cenote_catalog::TableDef;
use cenote_vocab::{ErrorKind, Field, nearest};
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    TableFactor, VisitMut, VisitorMut,
};

use crate::Error;
use crate::parse::folded;

/// Puts the exact name of a column where only its case differs. `columns`: those of all tables that are referenced.
pub(crate) fn fix_case(statement: &mut AnyStatement, columns: &BTreeSet<String>) -> Result<(), Error> {
    let mut mixed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in columns.iter().filter(|column| column.to_lowercase() != **column) {
        mixed.entry(column.to_lowercase()).or_default().push(column.clone());
    }
    mixed.retain(|lower, _| !columns.contains(lower));
    if mixed.is_empty() {
        return Ok(());
    }
    let inner = match statement {
        AnyStatement::Statement(statement) => statement,
        AnyStatement::Explain(explain) => return fix_case(&mut explain.statement, columns),
        _ => return Ok(()),
    };
    let mut aliases = Aliases::default();
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = VisitMut::visit(&mut **inner, &mut aliases); // never breaks
    mixed.retain(|lower, _| !aliases.0.contains(lower));
    match VisitMut::visit(&mut **inner, &mut Fixer { mixed }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The column of a table that a name means.
pub(crate) fn column_of<'a>(table: &'a TableDef, name: &Ident) -> Result<&'a Field, Error> {
    let exact = folded(name);
    if let Some(field) = table.schema.field(&exact) {
        return Ok(field);
    }
    if name.quote_style.is_none() {
        let similar: Vec<&Field> =
            table.schema.fields.iter().filter(|field| field.name.to_lowercase() == exact).collect();
        match similar.as_slice() {
            [] => {}
            [one] => return Ok(one),
            [first, second, ..] => return Err(ambiguous(&exact, &first.name, &second.name)),
        }
    }
    let error =
        Error::new(ErrorKind::Invalid, format!("column \"{exact}\" does not exist in {}", table.full_name()))
            .with_sqlstate("42703");
    Err(match nearest(&exact, table.schema.fields.iter().map(|field| field.name.as_str())) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    })
}

fn ambiguous(name: &str, first: &str, second: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("column name \"{name}\" is ambiguous: it may be \"{first}\" or \"{second}\""),
    )
    .with_sqlstate("42702")
    .with_hint("write the name in double quotes")
}

/// Names that the statement gives itself.
#[derive(Default)]
struct Aliases(BTreeSet<String>);

impl VisitorMut for Aliases {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.0.extend(cte.alias.columns.iter().map(|column| folded(&column.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.0.insert(folded(alias));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = factor
        {
            self.0.extend(alias.columns.iter().map(|column| folded(&column.name)));
        }
        ControlFlow::Continue(())
    }
}

struct Fixer {
    /// Lower case → the columns that differ from it by case only.
    mixed: BTreeMap<String, Vec<String>>,
}

impl Fixer {
    fn fix(&self, ident: &mut Ident) -> ControlFlow<Box<Error>> {
        if ident.quote_style.is_some() {
            return ControlFlow::Continue(());
        }
        let lower = ident.value.to_lowercase();
        match self.mixed.get(&lower).map(Vec::as_slice) {
            Some([one]) => {
                ident.value.clone_from(one);
                ident.quote_style = Some('"');
                ControlFlow::Continue(())
            }
            Some([first, second, ..]) => ControlFlow::Break(Box::new(ambiguous(&lower, first, second))),
            _ => ControlFlow::Continue(()),
        }
    }

    fn fix_name(&self, name: &mut ObjectName) -> ControlFlow<Box<Error>> {
        match name.0.last_mut() {
            Some(ObjectNamePart::Identifier(ident)) => self.fix(ident),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl VisitorMut for Fixer {
    type Break = Box<Error>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Identifier(ident) => self.fix(ident),
            Expr::CompoundIdentifier(parts) => {
                parts.last_mut().map_or(ControlFlow::Continue(()), |ident| self.fix(ident))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)) = &mut join.join_operator
            else {
                continue;
            };
            if let JoinConstraint::Using(names) = constraint {
                for name in names {
                    self.fix_name(name)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Parsed, parse};

    fn fixed(sql: &str, columns: &[&str]) -> Result<String, Error> {
        let Parsed::Sql { mut statement, .. } = parse(sql).unwrap() else { panic!("a query") };
        fix_case(&mut statement, &columns.iter().map(|name| (*name).to_owned()).collect())?;
        Ok(statement.to_string())
    }

    #[test]
    fn a_column_that_differs_by_case_only_is_taken() {
        assert_eq!(
            fixed("SELECT usageIdle, t.USAGEIDLE FROM t", &["usageIdle", "host"]).unwrap(),
            "SELECT \"usageIdle\", t.\"usageIdle\" FROM t"
        );
        assert_eq!(
            fixed("SELECT usageIdle FROM t", &["usageIdle", "usageidle"]).unwrap(),
            "SELECT usageIdle FROM t"
        );
        assert_eq!(
            fixed("SELECT \"USAGEIDLE\" FROM t", &["usageIdle"]).unwrap(),
            "SELECT \"USAGEIDLE\" FROM t"
        );
    }

    #[test]
    fn two_candidates_are_an_error_that_names_both() {
        let error = fixed("SELECT usageidle FROM t", &["usageIdle", "UsageIdle"]).unwrap_err();
        assert!(error.to_string().contains("\"UsageIdle\" or \"usageIdle\""), "{error}");
    }

    #[test]
    fn names_that_the_statement_gives_itself_stay() {
        let sql = "SELECT max(\"usageIdle\") AS usageidle FROM t ORDER BY usageidle";
        assert_eq!(fixed(sql, &["usageIdle"]).unwrap(), sql);
    }
}
