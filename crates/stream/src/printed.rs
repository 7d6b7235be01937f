//! Scripts whose bare queries are shown on standard output.

use cenote_query::{ScriptStatement, parse_script, split_script};

use crate::Error;

/// Begins the names of the tables that stand for standard output.
const NAME: &str = "cenote_stdout_";

/// The script, with each bare query as an INSERT into a table that prints its rows as lines of JSON.
pub fn printed(script: &str) -> Result<String, Error> {
    let mut parts = Vec::new();
    let mut queries = 0;
    for sql in split_script(script)? {
        if let [ScriptStatement::Query(query)] = parse_script(&sql)?.as_slice() {
            queries += 1;
            parts.push(format!("CREATE TABLE {NAME}{queries} WITH (connector = 'stdout', format = 'json')"));
            parts.push(format!("INSERT INTO {NAME}{queries} {query}"));
        } else {
            parts.push(sql);
        }
    }
    Ok(if queries == 0 { script.to_owned() } else { parts.join(";\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_queries_are_printed_and_the_rest_stays() {
        let script = "SET a = 1; -- first\nINSERT INTO t SELECT 1;";
        assert_eq!(printed(script).expect("parses"), script);
        assert_eq!(
            printed("SET a = 1;\nSELECT ';' FROM t;").expect("parses"),
            "SET a = 1;\nCREATE TABLE cenote_stdout_1 WITH (connector = 'stdout', format = 'json');\n\
             INSERT INTO cenote_stdout_1 SELECT ';' FROM t"
        );
    }
}
