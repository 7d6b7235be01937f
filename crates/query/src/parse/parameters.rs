//! `?` where a value is expected is the next parameter; where an operator is expected it is the JSON operator.

use cenote_vocab::ErrorKind;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::Error;

/// Words that a value follows.
const VALUE_AFTER: &[Keyword] = &[
    Keyword::ALL,
    Keyword::AND,
    Keyword::AS,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::ESCAPE,
    Keyword::FIRST,
    Keyword::FOR,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INTERVAL,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::NEXT,
    Keyword::NOT,
    Keyword::OF,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::OR,
    Keyword::QUALIFY,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::SET,
    Keyword::THEN,
    Keyword::TO,
    Keyword::WHEN,
    Keyword::WHERE,
];

/// Numbers the parameters that are written `?`. A text writes its parameters in one way.
pub(super) fn number(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    if !tokens.iter().any(|token| is_mark(&token.token)) {
        return Ok(tokens);
    }
    let named = tokens.iter().any(|token| matches!(token.token, Token::Placeholder(_)));
    let mut count = 0;
    let mut numbered: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let glued = glued(&token.token);
        let is_value = glued.is_some()
            || token.token == Token::Question && value_is_expected(numbered.last().map(|last| &last.token));
        if !is_value {
            numbered.push(token);
            continue;
        }
        count += 1;
        numbered.extend(glued.map(|operator| TokenWithSpan::new(operator, token.span)));
        numbered.push(TokenWithSpan::new(Token::Placeholder(format!("${count}")), token.span));
    }
    if named && count > 0 {
        let text = "parameters are written $1 or ?, not both in one statement";
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
    }
    Ok(numbered)
}

fn is_mark(token: &Token) -> bool {
    *token == Token::Question || glued(token).is_some()
}

/// `a>=?` is read as one operator: what stands before the mark.
fn glued(token: &Token) -> Option<Token> {
    let Token::CustomBinaryOperator(text) = token else { return None };
    Some(match text.strip_suffix('?')? {
        "=" => Token::Eq,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        "||" => Token::StringConcat,
        _ => return None,
    })
}

fn value_is_expected(before: Option<&Token>) -> bool {
    match before {
        Some(Token::Word(word)) => word.quote_style.is_none() && VALUE_AFTER.contains(&word.keyword),
        Some(
            Token::RParen
            | Token::RBracket
            | Token::RBrace
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::UnicodeStringLiteral(_),
        ) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::{Parsed, parse};

    fn numbered(sql: &str) -> String {
        match parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}")) {
            Parsed::Sql { statement, .. } => statement.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn marks_are_numbered_where_values_are_expected() {
        for (sql, parsed) in [
            ("SELECT ?, ? + 1", "SELECT $1, $2 + 1"),
            (
                "SELECT * FROM t WHERE a=? AND b>=? LIMIT ?",
                "SELECT * FROM t WHERE a = $1 AND b >= $2 LIMIT $3",
            ),
            ("INSERT INTO t VALUES (?, ?)", "INSERT INTO t VALUES ($1, $2)"),
            ("SELECT f(?) FROM t WHERE x IN (?, ?)", "SELECT f($1) FROM t WHERE x IN ($2, $3)"),
            ("SELECT a BETWEEN ? AND ?", "SELECT a BETWEEN $1 AND $2"),
            ("SELECT data ? 'k', data ? ?", "SELECT data ? 'k', data ? $1"),
            ("SELECT (a) ? 'k'", "SELECT (a) ? 'k'"),
            ("SELECT '?', \"?\"", "SELECT '?', \"?\""),
        ] {
            assert_eq!(numbered(sql), parsed);
        }
    }

    #[test]
    fn two_ways_in_one_text_are_refused() {
        assert!(parse("SELECT $1, ?").unwrap_err().to_string().contains("not both"));
    }
}
