//! A text becomes tokens: split into statements, and the few spellings that the parser does not know rewritten.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word};

use super::dialect::DIALECT;
use super::parameters;
use crate::Error;
use crate::error::Place;
use cenote_vocab::ErrorKind;

/// `limits.sql_length_max`: bytes of one text.
pub(crate) const SQL_LENGTH_MAX: usize = 1 << 20;

/// The tokens of `sql` without white space and comments, each with its place.
pub(crate) fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>, Error> {
    if sql.len() > SQL_LENGTH_MAX {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "SQL text of {} bytes is longer than limits.sql_length_max ({SQL_LENGTH_MAX})",
                sql.len()
            ),
        )
        .with_sqlstate("54000"));
    }
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("syntax error: {}", crate::error::lower_first(&error.message)))
            .with_place(Place::at(sql, error.location.line, error.location.column, 1))
    })?;
    Ok(tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect())
}

/// The words of a text without white space and comments; names without quotes in small letters.
pub(crate) fn words(sql: &str) -> Vec<String> {
    let Ok(tokens) = tokenize(sql) else { return vec![sql.to_owned()] };
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::EOF | Token::SemiColon));
    words
        .map(|token| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
            other => other.to_string(),
        })
        .collect()
}

/// The statements of a text, by the semicolons between them; empty ones are left out.
pub(crate) fn split(sql: &str) -> Result<Vec<String>, Error> {
    let tokens = tokenize(sql)?;
    let lines = line_starts(sql);
    let mut statements = Vec::new();
    for statement in tokens.split(|token| token.token == Token::SemiColon) {
        let (Some(first), Some(last)) = (
            statement.iter().find(|token| token.token != Token::EOF),
            statement.iter().rfind(|token| token.token != Token::EOF),
        ) else {
            continue;
        };
        let (start, end) = (offset(sql, &lines, first.span.start), offset(sql, &lines, last.span.end));
        statements.push(sql[start..end].to_owned());
    }
    Ok(statements)
}

/// The text from a token to the end of the statement.
pub(crate) fn text_from<'a>(sql: &'a str, token: &TokenWithSpan) -> &'a str {
    sql[offset(sql, &line_starts(sql), token.span.start)..].trim_end().trim_end_matches(';')
}

/// The text from the first of these tokens to the last.
pub(super) fn text_of<'a>(sql: &'a str, tokens: &[TokenWithSpan]) -> &'a str {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return "" };
    let lines = line_starts(sql);
    &sql[offset(sql, &lines, first.span.start)..offset(sql, &lines, last.span.end)]
}

/// Where a token stands in the text, in bytes.
pub(crate) fn span_of(sql: &str, token: &TokenWithSpan) -> std::ops::Range<usize> {
    let lines = line_starts(sql);
    offset(sql, &lines, token.span.start)..offset(sql, &lines, token.span.end)
}

/// Byte offsets at which lines begin.
fn line_starts(sql: &str) -> Vec<usize> {
    std::iter::once(0).chain(sql.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The byte offset of a place that the tokenizer named (line and character, from 1).
fn offset(sql: &str, lines: &[usize], at: Location) -> usize {
    let line = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let characters = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(start) = lines.get(line).copied() else { return sql.len() };
    sql[start..].char_indices().nth(characters).map_or(sql.len(), |(byte, _)| start + byte)
}

/// Rewrites what the parser cannot read, place by place:
/// `?` becomes a parameter where a value is expected, `//` becomes the division token, `FOR VERSION|TIMESTAMP AS OF` loses its
/// `FOR`, of a tag it becomes `AT (TAG => …)`, `TABLE t` becomes `SELECT * FROM t`.
pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    let tokens = parameters::number(tokens)?;
    let mut rewritten = Vec::with_capacity(tokens.len() + 3);
    let mut taken = 0;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            _ if at < taken => {}
            Token::Div
                if tokens
                    .get(at + 1)
                    .is_some_and(|next| next.token == Token::Div && next.span.start == token.span.end) =>
            {
                rewritten.push(TokenWithSpan::new(Token::DuckIntDiv, token.span));
            }
            Token::Div
                if at > 0
                    && rewritten.last().is_some_and(|last: &TokenWithSpan| {
                        last.token == Token::DuckIntDiv && last.span.end == token.span.start
                    }) => {}
            Token::Word(word) if at == 0 && word.keyword == Keyword::TABLE && word.quote_style.is_none() => {
                rewritten.push(TokenWithSpan::new(Token::make_keyword("SELECT"), token.span));
                rewritten.push(TokenWithSpan::new(Token::Mul, token.span));
                rewritten.push(TokenWithSpan::new(Token::make_keyword("FROM"), token.span));
            }
            _ if is_version_clause(&tokens[at..]) => {
                if let Some(tag) = tokens.get(at + 4).filter(|tag| names_a_tag(&tokens[at + 1], tag)) {
                    let in_place = |one: Token| TokenWithSpan::new(one, tag.span);
                    rewritten.extend(
                        [
                            Token::make_keyword("AT"),
                            Token::LParen,
                            Token::make_word("TAG", None),
                            Token::RArrow,
                        ]
                        .map(in_place),
                    );
                    rewritten.extend([tag.clone(), in_place(Token::RParen)]);
                    taken = at + 5;
                }
            }
            _ => rewritten.push(token.clone()),
        }
    }
    Ok(rewritten)
}

/// True for `VERSION AS OF 'x'`.
fn names_a_tag(kind: &TokenWithSpan, version: &TokenWithSpan) -> bool {
    word_is(kind, "VERSION") && matches!(version.token, Token::SingleQuotedString(_))
}

/// True at the word FOR of `FOR VERSION AS OF` and `FOR TIMESTAMP AS OF`.
fn is_version_clause(tokens: &[TokenWithSpan]) -> bool {
    let [first, second, third, fourth, ..] = tokens else { return false };
    word_is(first, "FOR")
        && (word_is(second, "VERSION") || word_is(second, "TIMESTAMP"))
        && word_is(third, "AS")
        && word_is(fourth, "OF")
}

/// True if the token is this unquoted word, in any case.
pub(crate) fn word_is(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(wanted))
}

/// The name that a word token is, unquoted ones folded to lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A name that is taken as it stands.
pub(crate) fn quoted(name: &str, span: Span) -> Ident {
    let mut ident = Ident::with_quote('"', name);
    ident.span = span;
    ident
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_at_semicolons_outside_of_texts() {
        let text = " SELECT ';' ; -- a; comment\n\nINSERT INTO é VALUES ($$;$$) ;; ";
        assert_eq!(split(text).unwrap(), ["SELECT ';'", "INSERT INTO é VALUES ($$;$$)"]);
        assert_eq!(split(" ;; ").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_open_text_names_its_place() {
        let error = split("SELECT 1;\nSELECT 'a").unwrap_err();
        assert_eq!(error.place().map(|place| (place.line, place.column)), Some((2, 8)), "{error}");
    }

    #[test]
    fn a_long_text_names_the_limit() {
        let error = split(&" ".repeat(SQL_LENGTH_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("limits.sql_length_max"), "{error}");
    }
}
