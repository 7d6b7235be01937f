//! `PARTITIONED BY`, `SORTED BY` and `COMMENT` of CREATE TABLE, `REPLACE WHERE` of INSERT: taken out of the tokens, as the
//! parser does not know them or knows other meanings.

use cenote_vocab::{ErrorKind, FieldType, Transform};
use sqlparser::ast::{Expr, Ident};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::column;
use super::dialect::DIALECT;
use super::tokens::word_is;
use super::words::Words;
use crate::Error;
use crate::plan::fault;

/// The clauses of one CREATE TABLE or INSERT.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableClauses {
    pub(crate) partition: Vec<PartitionItem>,
    pub(crate) sort: Vec<SortItem>,
    pub(crate) comment: Option<String>,
    /// Types that the parser does not know, by the numbers in the words that stand for them.
    pub(crate) types: Vec<FieldType>,
    /// `INSERT … REPLACE WHERE …`
    pub(crate) replace: Option<Box<Expr>>,
}

/// Begins the words that stand for types.
const TYPE_WORD: &str = "__cenote_type_";

impl TableClauses {
    /// A word that stands for a type.
    pub(crate) fn word_for(&mut self, field_type: FieldType) -> String {
        self.types.push(field_type);
        format!("{TYPE_WORD}{}", self.types.len() - 1)
    }

    /// The type that a word stands for.
    pub(crate) fn type_of(&self, word: &str) -> Option<&FieldType> {
        self.types.get(word.strip_prefix(TYPE_WORD)?.parse::<usize>().ok()?)
    }
}

/// `day(c)`, `bucket(16, c)`; no transform: the value itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionItem {
    pub(crate) transform: Transform,
    pub(crate) column: Ident,
}

/// `c [ASC|DESC] [NULLS FIRST|LAST]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortItem {
    pub(crate) column: Ident,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// Takes the clauses out of a CREATE TABLE or INSERT; other statements keep their tokens.
pub(crate) fn take(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<TableClauses, Error> {
    let mut clauses = TableClauses::default();
    if tokens.first().is_some_and(|first| word_is(first, "INSERT")) {
        clauses.replace = take_replace(sql, tokens)?.map(Box::new);
    }
    if !is_create_table(sql, tokens) {
        return Ok(clauses);
    }
    let mut depth = 0_usize;
    let mut at = 0;
    let mut options = false;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => {
                depth += 1;
                options = depth == 1 && at > 0 && word_is(&tokens[at - 1], "WITH");
            }
            Token::Period if options => {
                if let Some(name) = dotted(tokens, at) {
                    tokens.splice(at - 1..at + 2, [name]);
                    continue;
                }
            }
            Token::Word(_) if depth == 1 && column::begins_nested(&tokens[at..]) => {
                let mut words = Words::new(sql, &tokens[at..]);
                let field_type = column::field_type(&mut words, "")?;
                let taken = tokens.len() - at - words.rest().len();
                let word = Token::make_word(&clauses.word_for(field_type), None);
                let span = tokens[at].span;
                tokens.splice(at..at + taken, [TokenWithSpan::new(word, span)]);
            }
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(_) if depth == 0 && word_is(&tokens[at], "AS") => break, // the query begins
            Token::Word(_) if depth == 0 => {
                let mut words = Words::new(sql, &tokens[at..]);
                if words.take(&["PARTITIONED", "BY"]) || words.take(&["PARTITION", "BY"]) {
                    clauses.partition = list(&mut words, partition_item)?;
                } else if words.take(&["SORTED", "BY"]) {
                    clauses.sort = list(&mut words, sort_item)?;
                } else if words.take(&["COMMENT"]) {
                    let _ = words.take_token(&Token::Eq);
                    clauses.comment = Some(words.text()?);
                } else {
                    at += 1;
                    continue;
                }
                let taken = tokens.len() - at - words.rest().len();
                tokens.drain(at..at + taken);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(clauses)
}

/// `compaction.enabled`, by its point: a name that becomes one word.
fn dotted(tokens: &[TokenWithSpan], point: usize) -> Option<TokenWithSpan> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => Some(word.value.as_str()),
        _ => None,
    };
    let before = point.checked_sub(1)?;
    let name = Token::make_word(&format!("{}.{}", word(before)?, word(point + 1)?), Some('"'));
    Some(TokenWithSpan::new(name, tokens[before].span))
}

/// `REPLACE WHERE predicate` before the rows of an INSERT.
fn take_replace(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<Option<Expr>, Error> {
    let outside = outside(tokens);
    let begins = |words: &[&str]| {
        outside
            .iter()
            .copied()
            .find(|at| words.iter().zip(&tokens[*at..]).all(|(word, token)| word_is(token, word)))
    };
    let rows =
        ["VALUES", "SELECT", "WITH", "FROM", "TABLE"].into_iter().filter_map(|word| begins(&[word])).min();
    let (Some(start), Some(end)) = (begins(&["REPLACE", "WHERE"]), rows) else { return Ok(None) };
    if start > end {
        return Ok(None);
    }
    let mut predicate: Vec<TokenWithSpan> = tokens.drain(start..end).skip(2).collect();
    predicate.push(TokenWithSpan::wrap(Token::EOF));
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(predicate);
    let parsed = parser.parse_expr().map_err(|error| fault::of(error.into(), sql))?;
    match parser.peek_token().token {
        Token::EOF => Ok(Some(parsed)),
        other => Err(Error::new(
            ErrorKind::Invalid,
            format!("syntax error: expected the rows to insert after REPLACE WHERE {parsed}, found {other}"),
        )),
    }
}

/// Places of the tokens that stand in no parentheses.
fn outside(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut places = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth == 0 => places.push(at),
            _ => {}
        }
    }
    places
}

fn is_create_table(sql: &str, tokens: &[TokenWithSpan]) -> bool {
    let mut words = Words::new(sql, tokens);
    if !words.take(&["CREATE"]) {
        return false;
    }
    let _ = words.take(&["OR", "REPLACE"]);
    let _ = words.take(&["TEMP"]) || words.take(&["TEMPORARY"]);
    words.take(&["TABLE"])
}

/// `(item, …)`
pub(super) fn list<T>(
    words: &mut Words<'_>,
    item: impl Fn(&mut Words<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let mut items = Vec::new();
    loop {
        items.push(item(words)?);
        if words.take_token(&Token::RParen) {
            return Ok(items);
        }
        if !words.take_token(&Token::Comma) {
            return Err(words.unexpected(", or )"));
        }
    }
}

/// One of `PARTITIONED BY`: a column, or a transform of one, its number before or behind.
pub(super) fn partition_item(words: &mut Words<'_>) -> Result<PartitionItem, Error> {
    let first = words.ident()?;
    if !words.take_token(&Token::LParen) {
        return Ok(PartitionItem { transform: Transform::Identity, column: first });
    }
    let number = |words: &mut Words<'_>| match words.peek().map(|token| &token.token) {
        Some(Token::Number(..)) => words.number().map(Some),
        _ => Ok(None),
    };
    let mut width = number(words)?;
    if width.is_some() && !words.take_token(&Token::Comma) {
        return Err(words.unexpected(","));
    }
    let column = words.ident()?;
    if width.is_none() && words.take_token(&Token::Comma) {
        width = Some(words.number()?);
    }
    if !words.take_token(&Token::RParen) {
        return Err(words.unexpected(")"));
    }
    let word = first.value.to_lowercase();
    // what is too large for any transform stays too large
    let known = Transform::of_sql(&word, width.map(|width| u32::try_from(width).unwrap_or(u32::MAX)));
    let transform = known.filter(|known| *known != Transform::Identity).ok_or_else(|| {
        let written = width.map_or(format!("{word}(c)"), |width| format!("{word}({width}, c)"));
        Error::new(ErrorKind::Invalid, format!("partition transform {written} does not exist"))
            .with_sqlstate("22023")
            .with_hint("use c, year(c), month(c), day(c), hour(c), bucket(n, c) or truncate(n, c)")
    })?;
    Ok(PartitionItem { transform, column })
}

/// One of `SORTED BY`.
pub(super) fn sort_item(words: &mut Words<'_>) -> Result<SortItem, Error> {
    let column = words.ident()?;
    let descending = words.take(&["DESC"]);
    if !descending {
        let _ = words.take(&["ASC"]);
    }
    let nulls_first = words.take(&["NULLS", "FIRST"]);
    if !nulls_first {
        let _ = words.take(&["NULLS", "LAST"]);
    }
    Ok(SortItem { column, descending, nulls_first })
}
