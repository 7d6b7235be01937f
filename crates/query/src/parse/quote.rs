//! Names and texts as SQL writes them.

/// A name in double quotes.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_within_are_doubled_and_nothing_else_is_changed() {
        assert_eq!(literal("a'b\\"), "'a''b\\'");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
