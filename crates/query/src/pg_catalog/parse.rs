//! Which statements ask about the server, and their text as DataFusion can plan it.
//!
//! Most rewriting is that of `datafusion-pg-catalog`. Before it, `'name'::regclass` becomes a call of ours, which knows the
//! search path, and subqueries get the form that DataFusion can decorrelate; after it, an OID that is shown as `regclass`
//! (or `regtype`, …) becomes its name.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use cenote_vocab::ErrorKind;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use sqlparser::ast::{
    AccessExpr, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, Query, SelectItem, SetExpr, Statement, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, TokenizerError, Word};

use super::{functions, provider, subquery};
use crate::Error;

static PARSER: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// Types whose values are OIDs and are written as names.
const NAMED_OIDS: [&str; 6] = ["regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"];
/// Registers that stand without parentheses.
const REGISTERS: [&str; 5] =
    ["current_user", "session_user", "current_role", "current_catalog", "current_schema"];

/// True if the text names a relation or function of `pg_catalog` or `information_schema`, or one of Postgres's registers.
pub(crate) fn mentions(sql: &str) -> bool {
    let Ok(tokens) = tokens(sql, false) else { return false };
    tokens.iter().enumerate().any(|(at, token)| {
        let Some(word) = bare(token) else { return false };
        let next = tokens.get(at + 1);
        let qualifies = next == Some(&Token::Period);
        let called = next == Some(&Token::LParen);
        let qualified = at > 0 && tokens[at - 1] == Token::Period;
        match word.as_str() {
            "pg_catalog" | "information_schema" => qualifies,
            word if REGISTERS.contains(&word) => !qualified && !qualifies,
            word if NAMED_OIDS.contains(&word) => at > 0 && tokens[at - 1] == Token::DoubleColon,
            word if called => functions::is_function(word),
            word => word.starts_with("pg_") && !qualified && provider::is_relation(word),
        }
    })
}

/// Parses statements that [`mentions`] is true for. Places in the text are lost.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>, Error> {
    let syntax =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::Invalid, error.to_string().to_lowercase());
    let tokens = |escapes| tokens(sql, escapes).map_err(|error| syntax(&error));
    let words: BTreeSet<String> = tokens(false)?.iter().filter_map(bare).collect();
    // psql's `\dp` shows policies beside rights, and can be planned as it is.
    let is_replaced = REPLACED.iter().any(|word| words.contains(*word)) && !words.contains("relacl");
    let mut statements = if is_replaced {
        let text: Vec<String> = names_to_oids(tokens(true)?).iter().map(ToString::to_string).collect();
        PARSER.parse(&text.join(" ")).map_err(|error| syntax(&error))?
    } else {
        // Tokens have no places: those of the rewritten text would mislead.
        let mut parser = Parser::new(&PostgreSqlDialect {})
            .with_recursion_limit(NESTING_MAX)
            .with_tokens(names_to_oids(tokens(false)?));
        let parsed = parser.parse_statements().map_err(|error| syntax(&error))?;
        let planned = parsed.into_iter().map(|mut statement| {
            // Our visitors never break off.
            let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
                VisitMut::visit(&mut statement, &mut Subqueries); // never breaks
            PARSER.rewrite(statement)
        });
        planned.collect()
    };
    for statement in &mut statements {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
            VisitMut::visit(statement, &mut OidsToNames); // never breaks
    }
    Ok(statements)
}

/// Deepest nesting of one statement.
const NESTING_MAX: usize = 128;

/// Words of queries that `datafusion-pg-catalog` replaces as a whole, by their tokens.
const REPLACED: [&str; 4] = ["pg_policy", "pg_statistic_ext", "pg_publication", "confkey"];

/// Gives subqueries the form that DataFusion can decorrelate: one aggregated value, or NULL where they read nothing.
struct Subqueries;

impl VisitorMut for Subqueries {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let (mut query, with) = match expr {
            // `ARRAY(SELECT x …)` is `(SELECT array_agg(x) …)`
            Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. })
                if name.to_string().eq_ignore_ascii_case("array") =>
            {
                (query.clone(), "array_agg")
            }
            Expr::Subquery(query) => (query.clone(), "any_value"),
            // `(row).column`
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let [AccessExpr::Dot(Expr::Identifier(column))] = access_chain.as_slice() {
                    let column = Expr::Value(Value::SingleQuotedString(column.value.to_lowercase()).into());
                    *expr = call("get_field", vec![root.as_ref().clone(), column]);
                }
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        *expr = if aggregate(&mut query, with) && subquery::reads_nothing(&query) {
            Expr::Value(Value::Null.into())
        } else {
            // In parentheses, or the rules that follow make NULL of it although it reads something.
            Expr::Nested(Box::new(Expr::Subquery(query)))
        };
        ControlFlow::Continue(())
    }
}

/// Makes `SELECT x FROM …` answer one row; false if it has a limit, groups, or an aggregate already.
fn aggregate(query: &mut Query, with: &str) -> bool {
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    let groups = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if query.limit_clause.is_some()
        || query.fetch.is_some()
        || groups
        || select.distinct.is_some()
        || select.from.is_empty()
    {
        return false;
    }
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_mut_slice()
    else {
        return false;
    };
    if is_aggregate(expr) {
        return false;
    }
    query.order_by = None; // of one row
    *expr = call(with, vec![expr.clone()]);
    true
}

fn is_aggregate(expr: &Expr) -> bool {
    const AGGREGATES: [&str; 11] = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "any_value",
        "json_agg",
    ];
    /// Looks at calls outside of inner queries.
    struct Outer(usize);
    impl Visitor for Outer {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let name = function.name.to_string().to_lowercase();
            let aggregates = AGGREGATES.contains(&name.strip_prefix("pg_catalog.").unwrap_or(&name));
            if self.0 == 0 && aggregates { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    Visit::visit(expr, &mut Outer(0)).is_break()
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args =
        arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn tokens(sql: &str, escapes: bool) -> Result<Vec<Token>, TokenizerError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(!escapes).tokenize()?;
    Ok(tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect())
}

/// The word, in lower case, if it is not quoted.
fn bare(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_lowercase()),
        _ => None,
    }
}

/// `'x' :: [pg_catalog .] regclass` becomes `to_oid_regclass ( 'x' )`.
fn names_to_oids(tokens: Vec<Token>) -> Vec<Token> {
    let mut rest = tokens.into_iter().peekable();
    let mut written: Vec<Token> = Vec::new();
    while let Some(token) = rest.next() {
        let castable = matches!(written.last(), Some(Token::SingleQuotedString(_) | Token::Placeholder(_)));
        if token != Token::DoubleColon || !castable {
            written.push(token);
            continue;
        }
        let mut taken = vec![token];
        if rest.peek().and_then(bare).is_some_and(|word| word == "pg_catalog") {
            taken.extend(rest.next());
            taken.extend(rest.next_if_eq(&Token::Period));
        }
        match rest.peek().and_then(bare).filter(|word| NAMED_OIDS.contains(&word.as_str())) {
            Some(kind) => {
                rest.next();
                let operand = written.pop();
                written.extend([Token::make_word(&format!("to_oid_{kind}"), None), Token::LParen]);
                written.extend(operand);
                written.push(Token::RParen);
            }
            None => written.extend(taken),
        }
    }
    written
}

/// Shows OIDs as names where a query answers them, and where they are cast to text; gives columns that have the same
/// title different ones, which DataFusion wants.
struct OidsToNames;

impl VisitorMut for OidsToNames {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        answer_names(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { kind: CastKind::DoubleColon | CastKind::Cast, expr: inner, data_type, .. } = expr
            && is_text(data_type)
            && let Some(named) = as_name(inner)
        {
            *expr = named;
        }
        ControlFlow::Continue(())
    }
}

fn answer_names(body: &mut SetExpr) {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => {
            answer_names(left);
            answer_names(right);
            return;
        }
        _ => return,
    };
    let mut titles = BTreeSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let title = match expr {
                    Expr::Identifier(column) => Some(column.clone()),
                    Expr::CompoundIdentifier(parts) => parts.last().cloned(),
                    _ => None,
                };
                match (as_name(expr), title) {
                    (Some(named), Some(alias)) => *item = SelectItem::ExprWithAlias { expr: named, alias },
                    (Some(named), None) => *expr = named,
                    (None, None) if !titles.insert(expr.to_string()) => {
                        *item = SelectItem::ExprWithAlias {
                            expr: expr.clone(),
                            alias: Ident::new(format!("?column?{at}")),
                        };
                    }
                    (None, _) => {}
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => {
                if let Some(named) = as_name(expr) {
                    *expr = named;
                }
            }
            _ => {}
        }
    }
}

/// Columns of `pg_type` that are OIDs of functions and are shown as their names.
pub(crate) const FUNCTION_COLUMNS: [&str; 7] =
    ["typinput", "typoutput", "typreceive", "typsend", "typmodin", "typmodout", "typanalyze"];

fn is_text(of: &DataType) -> bool {
    let name = of.to_string().to_lowercase();
    matches!(name.strip_prefix("pg_catalog.").unwrap_or(&name), "text" | "varchar" | "name")
}

/// The call that writes as a name what `expr` says as an OID; `None` if it is none that Postgres would show so.
fn as_name(expr: &Expr) -> Option<Expr> {
    let kind = match expr {
        Expr::Cast { data_type, .. } => {
            let name = data_type.to_string().to_lowercase();
            let kind = name.strip_prefix("pg_catalog.").unwrap_or(&name);
            (*NAMED_OIDS.iter().find(|known| **known == kind)?).to_owned()
        }
        Expr::Function(function) => function.name.to_string().strip_prefix("to_oid_")?.to_owned(),
        Expr::Identifier(column) if FUNCTION_COLUMNS.contains(&column.value.as_str()) => "regproc".to_owned(),
        Expr::CompoundIdentifier(parts) if FUNCTION_COLUMNS.contains(&parts.last()?.value.as_str()) => {
            "regproc".to_owned()
        }
        _ => return None,
    };
    let oid = match expr {
        Expr::Cast { expr, .. } => expr.as_ref().clone(),
        other => other.clone(),
    };
    Some(call(&format!("name_of_{kind}"), vec![oid]))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn only_what_asks_about_the_server_is_taken() {
        for sql in [
            "SELECT * FROM pg_catalog.pg_class",
            "select relname from PG_CLASS",
            "SELECT * FROM information_schema.tables",
            "SELECT version()",
            "SELECT current_user",
            "SELECT current_schema()",
            "SELECT 'cpu'::regclass",
            "SELECT pg_catalog.current_setting('x')",
        ] {
            assert!(mentions(sql), "{sql}");
        }
        for sql in [
            "SELECT version FROM t",
            "SELECT 'pg_class' FROM t",
            "SELECT * FROM pg_compat_test",
            "SELECT t.current_user FROM t",
            "SELECT \"pg_class\" FROM t -- pg_class",
            "SELECT count(*) FROM cpu WHERE host = 'a' AND time > now()",
        ] {
            assert!(!mentions(sql), "{sql}");
        }
    }
}
