//! What MERGE may say here and the parser does not know: `UPDATE *`, `INSERT *`, `DO NOTHING`. Each becomes a clause that
//! it knows, with a name in it that no column can have.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::word_is;

/// Every column of the target takes the value of the source's column of its name.
pub(crate) const ALL: &str = "\u{1f}all";
/// The row stays as it is.
pub(crate) const NOTHING: &str = "\u{1f}nothing";

/// Rewrites the actions of a MERGE; other statements keep their tokens.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.first().is_some_and(|first| word_is(first, "MERGE")) {
        return tokens;
    }
    let mut rewritten: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let after_then = rewritten.last().is_some_and(|last| word_is(last, "THEN"));
        let star = |rest: &mut std::iter::Peekable<_>| {
            rest.next_if(|next: &TokenWithSpan| next.token == Token::Mul).is_some()
        };
        if after_then && word_is(&token, "UPDATE") && star(&mut rest) {
            rewritten.extend(act(&token, true, ALL));
        } else if after_then && word_is(&token, "INSERT") && star(&mut rest) {
            rewritten.extend(act(&token, false, ALL));
        } else if after_then
            && word_is(&token, "DO")
            && rest.next_if(|next| word_is(next, "NOTHING")).is_some()
        {
            let updates = of_target(&rewritten);
            rewritten.extend(act(&token, updates, NOTHING));
        } else {
            rewritten.push(token);
        }
    }
    rewritten
}

/// `UPDATE SET "name" = 0` or `INSERT VALUES ("name")`, all at the place of one token.
fn act(at: &TokenWithSpan, updates: bool, name: &str) -> Vec<TokenWithSpan> {
    let name = Token::make_word(name, Some('"'));
    let zero = Token::Number("0".into(), false);
    let keyword = Token::make_keyword;
    let tokens = if updates {
        vec![keyword("UPDATE"), keyword("SET"), name, Token::Eq, zero]
    } else {
        vec![keyword("INSERT"), keyword("VALUES"), Token::LParen, name, Token::RParen]
    };
    tokens.into_iter().map(|token| TokenWithSpan::new(token, at.span)).collect()
}

/// True unless the clause that ends here began with `NOT MATCHED` or `NOT MATCHED BY TARGET`.
fn of_target(tokens: &[TokenWithSpan]) -> bool {
    let Some(matched) = tokens.iter().rposition(|token| word_is(token, "MATCHED")) else { return true };
    let not = matched > 0 && word_is(&tokens[matched - 1], "NOT");
    let by_source = tokens.get(matched + 1).is_some_and(|token| word_is(token, "BY"))
        && tokens.get(matched + 2).is_some_and(|token| word_is(token, "SOURCE"));
    !not || by_source
}

#[cfg(test)]
mod tests {
    use crate::parse::{Parsed, parse};

    fn actions(sql: &str) -> String {
        let Parsed::Sql { statement, .. } = parse(sql).unwrap() else { panic!("a statement of the parser") };
        statement.to_string().replace('\u{1f}', "#")
    }

    #[test]
    fn the_short_actions_become_clauses_that_the_parser_knows() {
        assert_eq!(
            actions(
                "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.x * 2 > 1 THEN UPDATE * \
                 WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED AND s.b THEN DO NOTHING WHEN NOT MATCHED THEN INSERT * \
                 WHEN NOT MATCHED BY SOURCE THEN DO NOTHING"
            ),
            "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.x * 2 > 1 THEN UPDATE SET \"#all\" = 0 \
             WHEN MATCHED THEN UPDATE SET \"#nothing\" = 0 WHEN NOT MATCHED AND s.b THEN INSERT VALUES (\"#nothing\") \
             WHEN NOT MATCHED THEN INSERT VALUES (\"#all\") \
             WHEN NOT MATCHED BY SOURCE THEN UPDATE SET \"#nothing\" = 0"
        );
    }
}
