//! Texts without what is none of a reader's business: the secrets of a script, the data of a statement.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::{span_of, tokenize};

/// What stands for a value.
const MASK: &str = "'***'";

/// The script without the values of options that are secrets. A text that cannot be read shows nothing.
pub fn masked(script: &str) -> String {
    let Ok(tokens) = tokenize(script) else { return MASK.to_owned() };
    let mut shown = String::with_capacity(script.len());
    let mut from = 0;
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.token == Token::Eq) {
        let Some(value) = tokens.get(at + 1) else { break };
        if !is_secret(&option_before(&tokens[..at])) {
            continue;
        }
        let span = span_of(script, value);
        if span.start < from {
            continue;
        }
        shown.push_str(&script[from..span.start]);
        shown.push_str(MASK);
        // All of `[a, b]`.
        let end = match value.token == Token::LBracket {
            true => tokens[at..].iter().find(|token| token.token == Token::RBracket),
            false => Some(value),
        };
        from = end.map_or(script.len(), |end| span_of(script, end).end);
    }
    shown.push_str(&script[from..]);
    shown
}

/// A change of rows without the rows: no texts, and nothing of lists of VALUES. It is kept for as long as history is, and who erases
/// rows must not have to erase statements. Other statements are as they were.
pub(crate) fn without_data(sql: &str) -> String {
    let Ok(tokens) = tokenize(sql) else { return sql.to_owned() };
    let changes = [Keyword::INSERT, Keyword::UPDATE, Keyword::DELETE, Keyword::MERGE, Keyword::WITH];
    if !tokens.first().is_some_and(|first| changes.iter().any(|word| is_word(first, *word))) {
        return sql.to_owned();
    }
    let (mut shown, mut from, mut at) = (String::new(), 0, 0);
    while let Some(token) = tokens.get(at) {
        let rows = is_word(token, Keyword::VALUES)
            && tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
        if rows {
            let last = end_of_rows(&tokens, at + 1);
            shown.push_str(&sql[from..span_of(sql, &tokens[at + 1]).start]);
            shown.push_str("(…)");
            (from, at) = (span_of(sql, &tokens[last]).end, last);
        } else if is_text(&token.token) {
            let span = span_of(sql, token);
            shown.push_str(&sql[from..span.start]);
            shown.push_str("'…'");
            from = span.end;
        }
        at += 1;
    }
    shown.push_str(&sql[from..]);
    shown
}

/// The last token of `(…), (…)`, which begin at `first`.
fn end_of_rows(tokens: &[TokenWithSpan], first: usize) -> usize {
    let (mut depth, mut last) = (0_usize, first);
    for (at, token) in tokens.iter().enumerate().skip(first) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth > 0 => {
                depth -= 1;
                last = at;
            }
            Token::Comma => {}
            _ if depth == 0 => break,
            _ => {}
        }
    }
    last
}

fn is_word(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == keyword && word.quote_style.is_none())
}

fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::HexStringLiteral(_)
    )
}

/// The name of the option whose value follows, in lower case.
fn option_before(tokens: &[TokenWithSpan]) -> String {
    let mut parts = Vec::new();
    for token in tokens.iter().rev() {
        match &token.token {
            Token::SingleQuotedString(text) if parts.is_empty() => return text.to_lowercase(),
            Token::Word(word) if parts.len() % 2 == 0 => parts.push(word.value.to_lowercase()),
            Token::Period if parts.len() % 2 == 1 => parts.push(".".to_owned()),
            _ => break,
        }
    }
    parts.reverse();
    parts.concat()
}

fn is_secret(option: &str) -> bool {
    ["secret", "password", "token", "headers", "client_configs"].iter().any(|word| option.contains(word))
        || (option.starts_with("storage.") && option.contains("key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_kept_without_its_rows_and_texts() {
        for (sql, kept) in [
            (
                "INSERT INTO t (a, b) VALUES (1, 'x'), (now(), f('y', (2))) RETURNING a",
                "INSERT INTO t (a, b) VALUES (…) RETURNING a",
            ),
            ("UPDATE t SET name = 'Ada' WHERE id = 7", "UPDATE t SET name = '…' WHERE id = 7"),
            ("DELETE FROM t WHERE name = E'A\\'da'", "DELETE FROM t WHERE name = '…'"),
            (
                "MERGE INTO t USING (VALUES (1, 'x')) s(k, v) ON t.k = s.k WHEN NOT MATCHED THEN INSERT VALUES (s.k, 'y')",
                "MERGE INTO t USING (VALUES (…)) s(k, v) ON t.k = s.k WHEN NOT MATCHED THEN INSERT VALUES (…)",
            ),
            ("insert into t select * from s where c = $1", "insert into t select * from s where c = $1"),
            ("CREATE TABLE t (a INT) WITH (x = 'y')", "CREATE TABLE t (a INT) WITH (x = 'y')"),
            ("INSERT INTO \"values\" VALUES (1)", "INSERT INTO \"values\" VALUES (…)"),
        ] {
            assert_eq!(without_data(sql), kept);
        }
    }

    #[test]
    fn values_of_secret_options_are_not_shown_and_all_others_are() {
        let script = "CREATE TABLE t (a INT) WITH (connector = 'webhook', endpoint = 'http://x/', headers = 'Authorization: Bearer abc',\n \
                      'storage.secret_access_key' = 'abc', storage.aws_access_key_id = 'abc', token=abc, PASSWORD = ['abc', 'abc'], client_configs = 'ssl.key.pem=abc', schema_registry.api_secret = 'abc', key = 'k');\n\
                      INSERT INTO t SELECT a FROM s WHERE b = 'abcd'";
        let shown = masked(script);
        assert!(!shown.contains("abc'") && !shown.contains("abc,") && !shown.contains("Bearer"), "{shown}");
        for kept in [
            "endpoint = 'http://x/', headers = '***',\n",
            "token='***', PASSWORD = '***', client_configs = '***', schema_registry.api_secret = '***', key = 'k');",
            "b = 'abcd'",
        ] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert_eq!(masked("SELECT 'a"), MASK);
        assert_eq!(masked("SELECT 1 FROM t"), "SELECT 1 FROM t");
    }
}
