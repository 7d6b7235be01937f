//! How deep a tree grows where nothing nests: `1 + 1 + …`, `SELECT … UNION SELECT …`, `a JOIN b JOIN …` lean to the left, one
//! level for each operator. The parser counts what nests; this counts what leans, before a tree is made.

use cenote_vocab::ErrorKind;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::tokens::word_is;
use crate::Error;
use crate::error::Place;

/// Operators of one expression, and conditions between its ANDs and ORs.
const OPERATORS_MAX: usize = 1_000;
/// Set operations, joins and common table expressions of one query.
const RELATIONS_MAX: usize = 1_000;
/// WITH in queries of WITH: the engine looks into each of them twice.
const WITHS_MAX: usize = 10;

/// What stands between one pair of parentheses.
#[derive(Default)]
struct Level {
    /// AND and OR of the expression.
    conditions: usize,
    /// Other operators since the last of them.
    operators: usize,
    relations: usize,
    /// A comma is a join.
    in_from: bool,
    /// It has common table expressions.
    with: bool,
}

impl Level {
    fn begin_expression(&mut self) {
        (self.conditions, self.operators) = (0, 0);
    }

    fn take(&mut self, token: &Token, after_as: bool) {
        match token {
            Token::Comma => {
                self.begin_expression();
                self.relations += usize::from(self.in_from);
            }
            Token::LParen => self.relations += usize::from(after_as),
            Token::VerticalBarRightAngleBracket => {
                self.begin_expression();
                self.relations += 1;
            }
            Token::Word(Word { quote_style: None, keyword, .. }) => self.take_word(*keyword),
            other if is_operator(other) => self.operators += 1,
            _ => {}
        }
    }

    fn take_word(&mut self, word: Keyword) {
        match word {
            Keyword::FROM | Keyword::USING => {
                self.begin_expression();
                self.in_from = true;
            }
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::VALUES
            | Keyword::RETURNING
            | Keyword::SET => {
                self.begin_expression();
                self.in_from = false;
            }
            Keyword::ON | Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::END => {
                self.begin_expression();
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::JOIN => {
                self.begin_expression();
                self.relations += 1;
            }
            Keyword::AND | Keyword::OR => {
                self.conditions += 1;
                self.operators = 0;
            }
            Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::NOTNULL
            | Keyword::OPERATOR => self.operators += 1,
            _ => {}
        }
    }
}

/// True for signs between values.
fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::Word(_)
            | Token::Number(..)
            | Token::Char(_)
            | Token::Placeholder(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::Period
            | Token::EOF
            | Token::Whitespace(_)
    )
}

/// Refuses a statement whose tree would be too deep for the threads that walk it.
pub(super) fn check(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let mut levels = vec![Level::default()];
    let mut after_as = false;
    for (at, token) in tokens.iter().enumerate() {
        let closes = matches!(token.token, Token::RParen | Token::RBracket | Token::RBrace);
        if token.token == Token::SemiColon {
            levels.clear();
        } else if closes && levels.len() > 1 {
            levels.pop();
        }
        if levels.is_empty() {
            levels.push(Level::default());
        }
        if closes || token.token == Token::SemiColon {
            continue;
        }
        if let Some(level) = levels.last_mut() {
            level.take(&token.token, after_as);
            let start = token.span.start;
            let too_deep = |what: &str, most: usize| {
                Error::new(ErrorKind::Invalid, format!("more than {most} {what} follow each other"))
                    .with_sqlstate("54001")
                    .with_place(Place::at(sql, start.line, start.column, 1))
            };
            if level.operators > OPERATORS_MAX || level.conditions > OPERATORS_MAX {
                return Err(too_deep("operators of one expression", OPERATORS_MAX)
                    .with_hint("a list of values may be longer: IN (…), VALUES"));
            }
            if level.relations > RELATIONS_MAX {
                return Err(too_deep("joins, set operations and WITH queries of one query", RELATIONS_MAX)
                    .with_hint("rows may be written as VALUES"));
            }
        }
        if begins_with(&tokens[at..]) {
            if let Some(level) = levels.last_mut() {
                level.with = true;
            }
            if levels.iter().filter(|level| level.with).count() > WITHS_MAX {
                let text = format!("more than {WITHS_MAX} queries with a WITH are nested");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54001").with_hint(
                    "one WITH may have several queries, and a later one may read those before it",
                ));
            }
        }
        if matches!(token.token, Token::LParen | Token::LBracket | Token::LBrace) {
            levels.push(Level::default());
        }
        after_as = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::AS);
    }
    Ok(())
}

/// True at the WITH of a query, which a name follows.
fn begins_with(tokens: &[TokenWithSpan]) -> bool {
    let [first, second, ..] = tokens else { return false };
    word_is(first, "WITH")
        && matches!(&second.token, Token::Word(word) if !matches!(word.keyword, Keyword::TIME | Keyword::ORDINALITY))
}

/// Calls in calls of a query about the server.
const CALLS_MAX: usize = 14;

/// Refuses what the parser of such queries would take too long for: it reads every argument of a call twice.
pub(super) fn check_calls(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let mut calls = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => {
                let before = at.checked_sub(1).map(|before| &tokens[before].token);
                let is_call = matches!(before, Some(Token::Word(word)) if !begins_a_group(word.keyword));
                depth += usize::from(is_call);
                calls.push(is_call);
            }
            Token::RParen => depth -= usize::from(calls.pop().unwrap_or(false)),
            _ => {}
        }
        if depth > CALLS_MAX {
            let text = format!("more than {CALLS_MAX} calls are nested in a query about the server");
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54001"));
        }
    }
    Ok(())
}

/// Words behind which parentheses hold no arguments.
fn begins_a_group(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::ALL
            | Keyword::AND
            | Keyword::ANY
            | Keyword::AS
            | Keyword::CASE
            | Keyword::ELSE
            | Keyword::EXISTS
            | Keyword::FROM
            | Keyword::HAVING
            | Keyword::IN
            | Keyword::JOIN
            | Keyword::LATERAL
            | Keyword::NOT
            | Keyword::ON
            | Keyword::OR
            | Keyword::OVER
            | Keyword::SELECT
            | Keyword::SOME
            | Keyword::THEN
            | Keyword::UNION
            | Keyword::WHEN
            | Keyword::WHERE
    )
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Fault;

    use crate::parse::parse;

    fn code(sql: &str) -> Option<&'static str> {
        parse(sql).err().map(|error| error.sqlstate().0)
    }

    #[test]
    fn queries_with_a_with_nest_a_little() {
        let nested = |levels: usize| {
            (0..levels)
                .fold("SELECT 1 AS a".to_owned(), |sql, _| format!("WITH w AS ({sql}) SELECT a FROM w"))
        };
        assert_eq!(code(&nested(10)), None);
        assert_eq!(code(&nested(11)), Some("54001"));
    }

    #[test]
    fn calls_in_calls_are_few_where_each_is_read_twice() {
        let nested =
            |calls: usize| format!("SELECT {}oid{} FROM pg_class", "upper(".repeat(calls), ")".repeat(calls));
        assert_eq!(code(&nested(8)), None);
        assert_eq!(code(&nested(60)), Some("54001"));
    }

    #[test]
    fn chains_have_an_end_and_lists_do_not() {
        let repeated = |first: &str, more: &str, count: usize| format!("{first}{}", more.repeat(count));
        for (sql, most) in [
            (("SELECT 1", " + 1"), 1_000),
            (("SELECT * FROM t WHERE a", " OR a"), 1_000),
            (("SELECT 1", "::int"), 1_000),
            (("SELECT a", "[1]"), 1_000),
            (("SELECT 1", " UNION ALL SELECT 1"), 1_000),
            (("SELECT * FROM t", ", t"), 1_000),
            (("SELECT * FROM t", " NATURAL JOIN t"), 1_000),
        ] {
            assert_eq!(code(&repeated(sql.0, sql.1, most)), None, "{sql:?}");
            assert_eq!(code(&repeated(sql.0, sql.1, most + 1)), Some("54001"), "{sql:?}");
            assert_eq!(code(&repeated(sql.0, sql.1, 100_000 / sql.1.len())), Some("54001"), "{sql:?}");
        }
        assert_eq!(code(&(repeated("SELECT * FROM t WHERE a IN (1", ", 1 + 1", 50_000) + ")")), None);
        assert_eq!(code(&repeated("INSERT INTO t VALUES (1 + 1)", ", (1 - 1)", 20_000)), None);
        assert_eq!(code(&(repeated("SELECT CASE", " WHEN a = 1 AND b THEN 1 + 1", 5_000) + " END")), None);
    }
}
