//! `EXPLAIN (FORMAT …)`: PostgreSQL's names of formats are not the engine's.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::word_is;
use super::unsupported;
use crate::Error;

/// Puts the engine's name of a format in the place of PostgreSQL's; other statements keep their tokens.
pub(super) fn rewrite(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    if !tokens.first().is_some_and(|first| word_is(first, "EXPLAIN"))
        || tokens.get(1).is_none_or(|second| second.token != Token::LParen)
    {
        return Ok(tokens);
    }
    let end = tokens.iter().position(|token| token.token == Token::RParen).unwrap_or(0);
    let Some(at) = tokens[..end].iter().position(|token| word_is(token, "FORMAT")) else { return Ok(tokens) };
    let Some(format) = tokens.get_mut(at + 1) else { return Ok(tokens) };
    let name = match &format.token {
        Token::Word(word) => word.value.to_lowercase(),
        Token::SingleQuotedString(text) => text.to_lowercase(),
        _ => return Ok(tokens),
    };
    match name.as_str() {
        "json" => format.token = Token::make_word("pgjson", None),
        // what is answered without a format, which goes with more of the other options
        "text" => {
            let comma = |at: usize| tokens.get(at).is_some_and(|token| token.token == Token::Comma);
            let gone = match (comma(at - 1), comma(at + 2)) {
                (true, _) => at - 1..at + 2,
                (false, true) => at..at + 3,
                (false, false) => at - 1..at + 3, // the parentheses as well
            };
            tokens.drain(gone);
        }
        "xml" | "yaml" => {
            return Err(unsupported(&format!("EXPLAIN (FORMAT {})", name.to_uppercase()))
                .with_hint("formats are TEXT, JSON, TREE, GRAPHVIZ"));
        }
        _ => {}
    }
    Ok(tokens)
}
