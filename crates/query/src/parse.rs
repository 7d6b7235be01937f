//! Text becomes a statement: tokens once, a few rewrites, then the parser, so that places stay true.

mod alter;
mod asset;
mod asset_partition;
mod clauses;
mod column;
mod command;
mod copy;
mod depth;
mod dialect;
mod explain;
mod grant;
mod history;
mod merge;
mod parameters;
mod pieces;
mod pipeline;
mod prepare;
mod quote;
mod secrets;
mod tenant;
mod tokens;
mod words;

use cenote_vocab::ErrorKind;
use datafusion::sql::parser::{DFParserBuilder, Statement as AnyStatement};
use sqlparser::ast::Statement as SqlStatement;
use sqlparser::tokenizer::{Token, TokenWithSpan};

pub(crate) use alter::{Action, AlterSchema, AlterTable, Comment, NewColumn, Position};
pub(crate) use asset::{AssetChange, AssetStatement, CheckRule, CreateAsset, Materialize, parse_rule};
pub(crate) use clauses::{PartitionItem, SortItem, TableClauses};
pub(crate) use column::field_type as column_type;
pub use copy::{CopyFormat, CopyHeader, CopyStyle};

pub(crate) use command::{Characteristics, Command, Show, files_denied, unsupported};
pub(crate) use grant::{Given, GrantStatement, Named, On, Who};
pub(crate) use history::{At, History};
pub(crate) use merge::{ALL, NOTHING};
pub(crate) use pieces::{call_of, partition_of, sort_of, type_of};
pub(crate) use pipeline::{
    ExplainFormat, Explained, PipelineChange, PipelineStatement, option_value, options,
};
pub use quote::{literal, quote};
pub use secrets::masked;
pub(crate) use secrets::without_data;
pub(crate) use tenant::{TenantAlter, TenantStatement};
pub(crate) use tokens::{folded, quoted, span_of, split, text_from, tokenize, word_is, words};
pub(crate) use words::{Words, object_name};

use crate::Error;
use crate::pg_catalog;
use crate::plan::fault;

/// Deepest nesting of one statement.
const NESTING_MAX: usize = 128;

/// One parsed statement.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// Read by the parser of queries.
    Sql {
        /// Its tree.
        statement: Box<AnyStatement>,
        /// Clauses of CREATE TABLE that the parser does not know.
        clauses: TableClauses,
    },
    /// A query whose rows the client takes as lines.
    CopyOut {
        /// Its tree.
        statement: Box<AnyStatement>,
        /// How its rows are written.
        format: CopyFormat,
    },
    /// One of ours.
    Command(Command),
}

/// Parses exactly one statement. Errors name the place in `sql`.
pub(crate) fn parse(sql: &str) -> Result<Parsed, Error> {
    let mut tokens = tokenize(sql)?;
    depth::check(sql, &tokens)?;
    if let Some(copy) = copy::parse(sql, &tokens)? {
        let statement = Box::new(parse_tokens(sql, copy.query)?);
        if !matches!(&*statement, AnyStatement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)))
        {
            return Err(unsupported("COPY of anything but a table or a query"));
        }
        return Ok(Parsed::CopyOut { statement, format: copy.format });
    }
    if let Some(command) = command::parse(sql, &tokens)? {
        return Ok(Parsed::Command(command));
    }
    if is_query(&tokens) && pg_catalog::mentions(sql) {
        depth::check_calls(&tokens)?;
        let mut statements = pg_catalog::parse(sql)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(Error::new(ErrorKind::Invalid, "expected one statement"));
        };
        let statement = AnyStatement::Statement(Box::new(statement));
        refuse(&statement)?;
        return Ok(Parsed::Sql { statement: Box::new(statement), clauses: TableClauses::default() });
    }
    let clauses = clauses::take(sql, &mut tokens)?;
    Ok(Parsed::Sql { statement: Box::new(parse_tokens(sql, tokens)?), clauses })
}

/// Reads tokens of `sql` that are one statement of the parser's.
fn parse_tokens(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<AnyStatement, Error> {
    let tokens = explain::rewrite(merge::rewrite(tokens::rewrite(tokens)?))?;
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&dialect::DIALECT)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| fault::of(error, sql))?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(Error::new(ErrorKind::Invalid, "expected one statement"));
    };
    refuse(&statement)?;
    Ok(statement)
}

/// True if the first word begins a query as Postgres has it.
fn is_query(tokens: &[TokenWithSpan]) -> bool {
    let first = tokens.iter().map(|token| &token.token).find(|token| !matches!(token, Token::Whitespace(_)));
    match first {
        Some(Token::Word(word)) => ["select", "with", "values"].contains(&word.value.to_lowercase().as_str()),
        Some(token) => *token == Token::LParen,
        None => false,
    }
}

/// Statements that parse and that nothing here can do.
fn refuse(statement: &AnyStatement) -> Result<(), Error> {
    match statement {
        AnyStatement::CreateExternalTable(_) => Err(files_denied("CREATE EXTERNAL TABLE")),
        AnyStatement::CopyTo(_) => Err(files_denied("COPY")),
        AnyStatement::Reset(_) => Err(unsupported("RESET")),
        AnyStatement::Explain(explain) => match explain.statement.as_ref() {
            AnyStatement::Statement(inner) => match **inner {
                SqlStatement::Query(_) => Ok(()),
                SqlStatement::Insert(_)
                | SqlStatement::Update(_)
                | SqlStatement::Delete(_)
                | SqlStatement::Merge(_)
                    if !explain.options.analyze =>
                {
                    Ok(())
                }
                _ => Err(unsupported("EXPLAIN of this statement")),
            },
            _ => Err(unsupported("EXPLAIN of this statement")),
        },
        AnyStatement::Statement(statement) => match &**statement {
            SqlStatement::Query(_)
            | SqlStatement::Insert(_)
            | SqlStatement::Delete(_)
            | SqlStatement::Update(_)
            | SqlStatement::Merge(_)
            | SqlStatement::Truncate(_)
            | SqlStatement::CreateTable(_)
            | SqlStatement::CreateView(_)
            | SqlStatement::CreateSchema { .. }
            | SqlStatement::CreateDatabase { .. }
            | SqlStatement::Drop { .. } => Ok(()),
            other => {
                let text = other.to_string();
                let words: Vec<&str> = text.split_whitespace().take(2).collect();
                Err(unsupported(&words.join(" ")))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &str) -> String {
        match parse(sql).unwrap_or_else(|error| panic!("{sql}: {}", error.report(sql))) {
            Parsed::Sql { statement, .. } | Parsed::CopyOut { statement, .. } => statement.to_string(),
            Parsed::Command(command) => format!("{command:?}"),
        }
    }

    #[test]
    fn spellings_of_time_series_and_duckdb_users_parse() {
        for (sql, parsed) in [
            ("SELECT a // b", "SELECT a // b"),
            ("SELECT a //-1", "SELECT a // -1"),
            ("FROM t", "FROM t"),
            ("SELECT a, b, FROM t", "SELECT a, b FROM t"),
            ("SELECT * EXCLUDE (a) FROM t", "SELECT * EXCLUDE (a) FROM t"),
            ("SELECT * FROM default.cpu", "SELECT * FROM default.cpu"),
            ("SELECT * FROM `my-db`.cpu", "SELECT * FROM `my-db`.cpu"),
            ("SELECT INTERVAL 1 HOUR", "SELECT INTERVAL 1 HOUR"),
            ("SELECT INTERVAL -5 MINUTES", "SELECT INTERVAL -5 MINUTES"),
            ("SELECT * FROM t FOR VERSION AS OF 7 AS x", "SELECT * FROM t AS x VERSION AS OF 7"),
            ("SELECT * FROM t AT (VERSION => 7)", "SELECT * FROM t AT(VERSION => 7)"),
            ("TABLE t", "SELECT * FROM t"),
            ("SELECT x::int, 1_000, $1 FROM t ORDER BY ALL", "SELECT x::INT, 1_000, $1 FROM t ORDER BY ALL"),
        ] {
            assert_eq!(text(sql), parsed);
        }
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let error = parse("SELECT a\nFROM t GROUP a").unwrap_err();
        assert_eq!(error.place().map(|place| (place.line, place.column)), Some((2, 8)), "{error}");
        assert_eq!(cenote_vocab::Fault::sqlstate(&error).0, "42601");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let sql = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        let error = parse(&sql).unwrap_err();
        assert!(error.to_string().contains("nest"), "{error}");
    }

    #[test]
    fn clauses_of_create_table_are_taken_out() {
        let sql = "CREATE TABLE t (time TIMESTAMP, host TEXT) PARTITIONED BY (day(time)) SORTED BY (host DESC, time) WITH (dedup = 'none')";
        let Parsed::Sql { clauses, .. } = parse(sql).unwrap() else { panic!("a statement of the parser") };
        assert_eq!(clauses.partition[0].transform.to_string(), "day");
        assert_eq!(clauses.sort.iter().map(|item| item.descending).collect::<Vec<_>>(), [true, false]);
    }
}
