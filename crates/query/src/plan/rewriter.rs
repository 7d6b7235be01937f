//! Walks the table references of a statement: CTE names stay, every other one is collected, or replaced.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableFunctionArgs, TableVersion,
    TableWithJoins, Value, VisitMut, VisitorMut, With,
};

use super::places::{PLACED, names_places};
use crate::Error;
use crate::parse::{folded, unsupported};
use crate::table_function::{Call, Function};
use cenote_vocab::ErrorKind;

/// A reference as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) name: Vec<Ident>,
    pub(crate) version: Option<VersionText>,
    /// The name is that of a table function of ours.
    pub(crate) call: Option<Call>,
    /// It is read where a column of places is named.
    pub(crate) places: bool,
}

/// `FOR VERSION|TIMESTAMP AS OF …`, `AT (… => …)`
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum VersionText {
    Txn(i64),
    Time(Box<Expr>),
    Tag(String),
}

impl Reference {
    /// Equal for references that mean the same.
    pub(crate) fn key(&self) -> String {
        if let Some(call) = &self.call {
            return call.to_string();
        }
        let mut name = self.name.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        if self.places {
            name.push_str(PLACED);
        }
        match &self.version {
            None => name,
            Some(VersionText::Txn(txn)) => format!("{name}@{txn}"),
            Some(VersionText::Time(expr)) => format!("{name}@{expr}"),
            Some(VersionText::Tag(tag)) => format!("{name}@tag:{tag}"),
        }
    }
}

/// The references of a statement, each once.
pub(crate) fn references(statement: &AnyStatement) -> Result<Vec<Reference>, Error> {
    let mut copy = statement.clone();
    let mut found: Vec<Reference> = Vec::new();
    walk(&mut copy, &mut |reference| {
        if !found.iter().any(|known| known.key() == reference.key()) {
            found.push(reference.clone());
        }
        Ok(None)
    })?;
    Ok(found)
}

/// Puts the full name in the place of each reference whose key is known.
pub(crate) fn replace(
    statement: &mut AnyStatement,
    names: &HashMap<String, ObjectName>,
) -> Result<(), Error> {
    walk(statement, &mut |reference| Ok(names.get(&reference.key()).cloned()))
}

type Act<'a> = dyn FnMut(&Reference) -> Result<Option<ObjectName>, Error> + 'a;

fn walk(statement: &mut AnyStatement, act: &mut Act<'_>) -> Result<(), Error> {
    match statement {
        AnyStatement::Statement(statement) => {
            let places = names_places(&**statement).then(Places::default);
            let mut walker = Walker { scopes: Vec::new(), visited: Vec::new(), places, act };
            match VisitMut::visit(&mut **statement, &mut walker) {
                ControlFlow::Break(error) => Err(*error),
                ControlFlow::Continue(()) => Ok(()),
            }
        }
        AnyStatement::Explain(explain) => walk(&mut explain.statement, act),
        _ => Ok(()),
    }
}

struct Walker<'a, 'b> {
    /// Names of the CTEs that are in scope, one entry per query.
    scopes: Vec<Vec<String>>,
    /// The CTEs of the queries around, visited already: they are put back when the query has been.
    visited: Vec<Option<With>>,
    /// `None` if the statement names no column of places.
    places: Option<Places>,
    act: &'a mut Act<'b>,
}

/// Where columns of places are named.
#[derive(Default)]
struct Places {
    /// One entry per query around: behind ORDER BY, and its SELECT is yet to come.
    ordered: Vec<bool>,
    /// One entry per SELECT around.
    selects: Vec<bool>,
}

impl VisitorMut for Walker<'_, '_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.scopes.push(Vec::new());
        if let Some(with) = &mut query.with {
            let recursive = with.recursive;
            if recursive {
                with.cte_tables.iter().for_each(|cte| self.enter(folded(&cte.alias.name)));
            }
            for cte in &mut with.cte_tables {
                VisitMut::visit(&mut *cte.query, self)?; // without RECURSIVE its own name means a table
                if !recursive {
                    self.enter(folded(&cte.alias.name));
                }
            }
        }
        // a second visit would be two on each level of those that nest
        self.visited.push(query.with.take());
        if let Some(places) = &mut self.places {
            let of_select = matches!(*query.body, SetExpr::Select(_));
            places.ordered.push(of_select && query.order_by.as_ref().is_some_and(names_places));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if let Some(places) = &mut self.places {
            let ordered = places.ordered.last_mut().is_some_and(std::mem::take);
            places.selects.push(ordered || names_places(select));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<Self::Break> {
        self.places.iter_mut().for_each(|places| _ = places.selects.pop());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        self.places.iter_mut().for_each(|places| _ = places.ordered.pop());
        query.with = self.visited.pop().flatten();
        qualify_wildcards(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        let TableFactor::Table { name, alias, version, args, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let outcome = match Function::named(name).filter(|_| args.is_some()) {
            Some(function) => self.call(function, name, alias, version.as_ref(), args),
            None if args.is_none() => self.table(name, alias, version),
            None => return ControlFlow::Continue(()), // the engine's own
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Walker<'_, '_> {
    fn call(
        &mut self,
        function: Function,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        version: Option<&TableVersion>,
        args: &mut Option<TableFunctionArgs>,
    ) -> Result<(), Error> {
        if version.is_some() {
            return Err(unsupported(&format!("a version clause behind {}", function.name())));
        }
        let arguments = args.as_ref().map(|args| args.args.clone()).unwrap_or_default();
        let call = Some(Call { function, arguments });
        let written: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let reference = Reference { name: written, version: None, call, places: false };
        if let Some(full) = (self.act)(&reference)? {
            (*name, *args) = (full, None);
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::new(function.name()),
                columns: Vec::new(),
                at: None,
            });
        }
        Ok(())
    }

    fn enter(&mut self, name: String) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name);
        }
    }

    fn table(
        &mut self,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        version: &mut Option<TableVersion>,
    ) -> Result<(), Error> {
        let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let Some(last) = parts.last().cloned() else { return Ok(()) };
        let bare = folded(&last);
        if parts.len() == 1 && version.is_none() && self.scopes.iter().flatten().any(|cte| *cte == bare) {
            return Ok(());
        }
        let version_text = version.clone().map(version_text).transpose()?;
        let places = self.places.as_ref().and_then(|places| places.selects.last().copied()).unwrap_or(false);
        let reference = Reference { name: parts, version: version_text, call: None, places };
        let versioned = version.is_some();
        if let Some(full) = (self.act)(&reference)? {
            *version = None;
            let renamed =
                full.0.last().and_then(|part| part.as_ident()).is_none_or(|ident| ident.value != bare);
            *name = full;
            if (versioned || renamed) && alias.is_none() {
                *alias = Some(TableAlias { explicit: true, name: last, columns: Vec::new(), at: None });
            }
        }
        Ok(())
    }
}

/// Gives `t.*` the full name of the table, as the engine wants it: all other names it finds by their last parts.
fn qualify_wildcards(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            qualify_wildcards(left);
            qualify_wildcards(right);
        }
        SetExpr::Select(select) => {
            let mut tables = Vec::new();
            select.from.iter().for_each(|from| unnamed_tables(from, &mut tables));
            for item in &mut select.projection {
                if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) =
                    item
                    && let Some(full) = tables.iter().find(|full| ends_with(full, name))
                {
                    *name = (*full).clone();
                }
            }
        }
        _ => {}
    }
}

/// Names of the tables that have no other name in the query.
fn unnamed_tables<'a>(from: &'a TableWithJoins, tables: &mut Vec<&'a ObjectName>) {
    for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::Table { name, alias: None, .. } => tables.push(name),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                unnamed_tables(table_with_joins, tables);
            }
            _ => {}
        }
    }
}

/// True if `name` as it is written means the object of this full name.
fn ends_with(full: &ObjectName, name: &ObjectName) -> bool {
    let written = |name: &ObjectName| -> Vec<String> {
        name.0.iter().filter_map(|part| part.as_ident().map(folded)).collect()
    };
    written(full).ends_with(&written(name))
}

fn version_text(version: TableVersion) -> Result<VersionText, Error> {
    let tag = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(VersionText::Tag(text.clone())),
            _ => None,
        },
        _ => None,
    };
    let txn = |expr: &Expr| {
        expr.to_string().parse::<i64>().map(VersionText::Txn).map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("a version is a transaction number, got {expr}"))
                .with_sqlstate("22023")
        })
    };
    match version {
        TableVersion::VersionAsOf(expr) => txn(&expr),
        TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr) => {
            Ok(VersionText::Time(Box::new(expr)))
        }
        TableVersion::Function(Expr::Function(function)) => {
            let at = function.name.to_string().eq_ignore_ascii_case("at");
            let FunctionArguments::List(list) = &function.args else {
                return Err(unsupported("this version clause"));
            };
            let (name, value) = match list.args.as_slice() {
                [FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }] => {
                    (name.value.to_lowercase(), value)
                }
                [FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. }] => {
                    (name.to_string().to_lowercase(), value)
                }
                _ => {
                    return Err(unsupported(
                        "a version clause other than AT (VERSION => n), AT (TIMESTAMP => e) or AT (TAG => 'x')",
                    ));
                }
            };
            match name.as_str() {
                "version" if at => txn(value),
                "tag" if at => tag(value).ok_or_else(|| {
                    Error::new(ErrorKind::Invalid, format!("a tag is a text in single quotes, got {value}"))
                }),
                "timestamp" if at => Ok(VersionText::Time(Box::new(value.clone()))),
                other => Err(unsupported(&format!("version clause {}({other} => …)", function.name))),
            }
        }
        TableVersion::Function(_) | TableVersion::Changes { .. } => Err(unsupported("this version clause")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Parsed, parse};

    fn tree(sql: &str) -> AnyStatement {
        match parse(sql).unwrap() {
            Parsed::Sql { statement, .. } => *statement,
            other => panic!("{other:?}"),
        }
    }

    fn keys(sql: &str) -> Vec<String> {
        references(&tree(sql)).unwrap().iter().map(Reference::key).collect()
    }

    #[test]
    fn cte_names_are_no_tables_except_in_their_own_body() {
        assert_eq!(keys("WITH t AS (SELECT * FROM t) SELECT * FROM t JOIN u ON true"), ["t", "u"]);
        assert_eq!(
            keys("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT * FROM r"),
            Vec::<String>::new()
        );
        assert_eq!(
            keys("SELECT (SELECT max(a) FROM x) FROM y WHERE a IN (SELECT a FROM z)"),
            ["x", "y", "z"]
        );
    }

    #[test]
    fn versions_belong_to_the_reference() {
        assert_eq!(keys("SELECT * FROM t FOR VERSION AS OF 7, t, t AT (VERSION => 7)"), ["t@7", "t"]);
        assert_eq!(
            keys("SELECT * FROM t FOR TIMESTAMP AS OF now() - INTERVAL '1 day' WHERE a > 1"),
            ["t@now() - INTERVAL '1 day'"]
        );
    }

    #[test]
    fn a_call_of_ours_is_a_reference_and_others_are_not() {
        let sql =
            "SELECT * FROM table_changes('t', 3, types => 'insert'), generate_series(1, 2), SNAPSHOTS('u') s";
        assert_eq!(keys(sql), ["table_changes('t', 3, types => 'insert')", "snapshots('u')"]);
        let mut statement = tree(sql);
        let made = ObjectName::from(vec![Ident::with_quote('"', "made")]);
        replace(&mut statement, &keys(sql).into_iter().map(|key| (key, made.clone())).collect()).unwrap();
        assert_eq!(
            statement.to_string(),
            "SELECT * FROM \"made\" AS table_changes, generate_series(1, 2), \"made\" s"
        );
        assert!(parse("SELECT * FROM snapshots('t') AT (VERSION => 3)").is_err());
    }

    #[test]
    fn a_replaced_name_keeps_its_old_one_as_alias() {
        let mut statement = tree("WITH t AS (SELECT * FROM t) SELECT t.a FROM t, u FOR VERSION AS OF 3");
        let full =
            |name: &str| ObjectName::from(vec![Ident::with_quote('"', "lake"), Ident::with_quote('"', name)]);
        let names = HashMap::from([("t".to_owned(), full("t")), ("u@3".to_owned(), full("u@3"))]);
        replace(&mut statement, &names).unwrap();
        assert_eq!(
            statement.to_string(),
            "WITH t AS (SELECT * FROM \"lake\".\"t\") SELECT t.a FROM t, \"lake\".\"u@3\" AS u"
        );
    }
}
