//! A script as it is shown to people who may not know its secrets.

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
