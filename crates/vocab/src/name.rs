//! Rules for names that come from outside, and the nearest name for a misspelled one.

/// A name that breaks a rule; the text names the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} name {name:?} {rule}")]
pub struct InvalidName {
    /// What was to be named: database, table, column.
    pub object: &'static str,
    /// The name, cut to a length that can be shown.
    pub name: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

const SHOWN_MAX: usize = 80;
const RESERVED_DATABASES: [&str; 5] = ["system", "internal", "_internal", "information_schema", "pg_catalog"];
const SYSTEM_COLUMNS: [&str; 7] =
    ["_row_id", "_file", "_pos", "_txn", "_committed_at", "_change_type", "_last_updated_sequence_number"];

/// A schema's name: a letter, then up to 63 letters, digits, `_` or `-`.
pub fn check_database(name: &str) -> Result<(), InvalidName> {
    let invalid = |rule| Err(InvalidName { object: "database", name: shown(name), rule });
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return invalid("must start with a letter");
    }
    if name.len() > 64 {
        return invalid("is longer than 64 characters");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return invalid("may hold letters, digits, _ and - only");
    }
    if RESERVED_DATABASES.contains(&name) {
        return invalid("is reserved");
    }
    Ok(())
}

/// A table's name: 1 to 128 characters, first a letter or `_`, none of `/ \ " ' ;`.
pub fn check_table(name: &str) -> Result<(), InvalidName> {
    let invalid = |rule| Err(InvalidName { object: "table", name: shown(name), rule });
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return invalid("must start with a letter or _");
    }
    if name.chars().count() > 128 || name.len() > 255 {
        return invalid("is longer than 128 characters");
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '"' | '\'' | ';')) {
        return invalid("may not hold control characters or any of / \\ \" ' ;");
    }
    if name.ends_with(char::is_whitespace) {
        return invalid("may not end in a space");
    }
    Ok(())
}

/// A column's name: 1 to 255 bytes, no control characters, not a system column.
pub fn check_column(name: &str) -> Result<(), InvalidName> {
    let invalid = |rule| Err(InvalidName { object: "column", name: shown(name), rule });
    if name.is_empty() {
        return invalid("is empty");
    }
    if name.len() > 255 {
        return invalid("is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return invalid("may not hold control characters");
    }
    if SYSTEM_COLUMNS.contains(&name) {
        return invalid("is a system column");
    }
    Ok(())
}

/// The candidate that `name` most likely means: equal but for case, or at most two edits away.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.chars().count().max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_systems_fit_and_dangerous_ones_do_not() {
        assert_eq!(check_table("go.gc.pause-ns total"), Ok(()));
        assert_eq!(check_table("a/b").expect_err("slash").object, "table");
        assert_eq!(check_table("").expect_err("empty").rule, "must start with a letter or _");
        assert_eq!(check_database("my-db"), Ok(()));
        assert_eq!(check_database("system").expect_err("reserved").rule, "is reserved");
        assert_eq!(check_column("_txn").expect_err("system").rule, "is a system column");
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("hst", ["host", "usage"]), Some("host"));
        assert_eq!(nearest("USAGE", ["host", "usage"]), Some("usage"));
        assert_eq!(nearest("ab", ["xy"]), None);
    }
}
