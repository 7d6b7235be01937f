//! `PARTITIONED BY`, `SORTED BY` and `COMMENT` of CREATE TABLE: taken out of the tokens, as the parser knows other meanings.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::word_is;
use super::words::Words;
use crate::Error;

/// The clauses of one CREATE TABLE.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableClauses {
    pub(crate) partition: Vec<PartitionItem>,
    pub(crate) sort: Vec<SortItem>,
    pub(crate) comment: Option<String>,
}

/// `day(c)`; no transform: the value itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionItem {
    pub(crate) transform: Option<String>,
    pub(crate) column: Ident,
}

/// `c [ASC|DESC] [NULLS FIRST|LAST]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortItem {
    pub(crate) column: Ident,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// Takes the clauses out of a CREATE TABLE; other statements keep their tokens.
pub(crate) fn take(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<TableClauses, Error> {
    let mut clauses = TableClauses::default();
    if !is_create_table(sql, tokens) {
        return Ok(clauses);
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => depth += 1,
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

fn is_create_table(sql: &str, tokens: &[TokenWithSpan]) -> bool {
    let mut words = Words::new(sql, tokens);
    if !words.take(&["CREATE"]) {
        return false;
    }
    let _ = words.take(&["OR", "REPLACE"]);
    let _ = words.take(&["TEMP"]) || words.take(&["TEMPORARY"]);
    words.take(&["TABLE"])
}

fn list<T>(
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

fn partition_item(words: &mut Words<'_>) -> Result<PartitionItem, Error> {
    let first = words.ident()?;
    if !words.take_token(&Token::LParen) {
        return Ok(PartitionItem { transform: None, column: first });
    }
    let column = words.ident()?;
    if !words.take_token(&Token::RParen) {
        return Err(words.unexpected(")"));
    }
    Ok(PartitionItem { transform: Some(first.value.to_lowercase()), column })
}

fn sort_item(words: &mut Words<'_>) -> Result<SortItem, Error> {
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
