//! `_row_id`, `_file` and `_pos`: a query that names one of them reads its tables with their places, and `*` still means the tables'
//! own columns.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
    WildcardAdditionalOptions,
};

use super::state::exact;
use crate::Error;
use crate::parse::{folded, unsupported};
use crate::scan::PLACES;

/// Behind the name of a table that is read with the places of its rows; no name may hold a control character.
pub(super) const PLACED: &str = "\u{1f}placed";

/// Tables that are read with places: their full name, and their own columns.
pub(super) type PlacedColumns = HashMap<String, Vec<String>>;

/// True if a column of places is named anywhere in it.
pub(super) fn names_places(part: &impl Visit) -> bool {
    part.visit(&mut Mentions).is_break()
}

struct Mentions;

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let last = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match last {
            Some(ident) if PLACES.contains(&folded(ident).as_str()) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Names the columns that each `*` over a table with places stands for.
pub(super) fn expand_wildcards(statement: &mut AnyStatement, tables: &PlacedColumns) -> Result<(), Error> {
    if tables.is_empty() {
        return Ok(());
    }
    match statement {
        AnyStatement::Statement(statement) => {
            match VisitMut::visit(&mut **statement, &mut Expander { tables }) {
                ControlFlow::Break(error) => Err(*error),
                ControlFlow::Continue(()) => Ok(()),
            }
        }
        AnyStatement::Explain(explain) => expand_wildcards(&mut explain.statement, tables),
        _ => Ok(()),
    }
}

struct Expander<'a> {
    tables: &'a PlacedColumns,
}

/// What `*` stands for, of one table.
enum Part {
    /// Its name in the query, and its own columns.
    Placed(Ident, Vec<String>),
    Whole(ObjectName),
    Unnamed,
}

impl VisitorMut for Expander<'_> {
    type Break = Box<Error>;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        match self.expand(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Expander<'_> {
    fn expand(&self, select: &mut Select) -> Result<(), Error> {
        let mut parts = Vec::new();
        let mut plain = true;
        for from in &select.from {
            plain &= self.parts(from, &mut parts);
        }
        if !parts.iter().any(|part| matches!(part, Part::Placed(..))) {
            return Ok(());
        }
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match &item {
                SelectItem::Wildcard(options) => {
                    if !plain {
                        return Err(unsupported("* with _row_id, _file or _pos over this kind of join"));
                    }
                    no_options(options)?;
                    for part in &parts {
                        items.extend(part.items()?);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    match parts.iter().find(|part| part.is_placed_as(name)) {
                        Some(part) => {
                            no_options(options)?;
                            items.extend(part.items()?);
                        }
                        None => items.push(item),
                    }
                }
                _ => items.push(item),
            }
        }
        select.projection = items;
        Ok(())
    }

    /// The tables of a FROM in order. False if `*` is not simply all of their columns.
    fn parts(&self, from: &TableWithJoins, parts: &mut Vec<Part>) -> bool {
        let mut plain = self.part(&from.relation, parts);
        for join in &from.joins {
            plain &= is_plain(&join.join_operator);
            plain &= self.part(&join.relation, parts);
        }
        plain
    }

    fn part(&self, factor: &TableFactor, parts: &mut Vec<Part>) -> bool {
        let part = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.parts(table_with_joins, parts);
            }
            TableFactor::Table { name, alias, .. } => match (self.tables.get(&name.to_string()), alias) {
                (Some(columns), Some(alias)) => Part::Placed(alias.name.clone(), columns.clone()),
                (_, Some(alias)) => Part::Whole(ObjectName::from(vec![alias.name.clone()])),
                (_, None) => Part::Whole(name.clone()),
            },
            TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => {
                Part::Whole(ObjectName::from(vec![alias.name.clone()]))
            }
            _ => Part::Unnamed,
        };
        parts.push(part);
        true
    }
}

impl Part {
    fn items(&self) -> Result<Vec<SelectItem>, Error> {
        match self {
            Self::Placed(table, columns) => {
                let column = |name: &String| {
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![table.clone(), exact(name)]))
                };
                Ok(columns.iter().map(column).collect())
            }
            Self::Whole(name) => Ok(vec![SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name.clone()),
                WildcardAdditionalOptions::default(),
            )]),
            Self::Unnamed => Err(unsupported("* with _row_id, _file or _pos beside a table without a name")),
        }
    }

    fn is_placed_as(&self, name: &ObjectName) -> bool {
        match (self, name.0.as_slice()) {
            (Self::Placed(table, _), [part]) => {
                part.as_ident().is_some_and(|ident| folded(ident) == folded(table))
            }
            _ => false,
        }
    }
}

fn is_plain(join: &JoinOperator) -> bool {
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint)
    | JoinOperator::CrossJoin(constraint)) = join
    else {
        return false;
    };
    matches!(constraint, JoinConstraint::On(_) | JoinConstraint::None)
}

fn no_options(options: &WildcardAdditionalOptions) -> Result<(), Error> {
    let WildcardAdditionalOptions { opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, .. } =
        options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none();
    if plain { Ok(()) } else { Err(unsupported("* with an option beside _row_id, _file or _pos")) }
}
