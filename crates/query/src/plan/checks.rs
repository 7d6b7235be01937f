//! Clauses that parse and that the planner would drop without a word: each is refused by name.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{Query, Select, SetExpr, Spanned, TableFactor, Visit, Visitor};

use crate::Error;
use crate::error::Place;
use crate::parse::{files_denied, unsupported};

/// Table functions that read files.
const FILE_FUNCTIONS: [&str; 12] = [
    "read_parquet",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_ndjson",
    "read_avro",
    "read_arrow",
    "parquet_scan",
    "parquet_metadata",
    "csv_scan",
    "glob",
];

/// Most columns that an answer names one by one.
const COLUMNS_MAX: usize = 4096;

/// Refuses what would be ignored.
pub(crate) fn check(statement: &AnyStatement, sql: &str) -> Result<(), Error> {
    let flow = match statement {
        AnyStatement::Statement(statement) => statement.visit(&mut Checks { sql }),
        AnyStatement::Explain(explain) => return check(&explain.statement, sql),
        _ => ControlFlow::Continue(()),
    };
    match flow {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Checks<'a> {
    sql: &'a str,
}

impl Checks<'_> {
    fn refuse(&self, what: &str, at: &impl Spanned) -> ControlFlow<Box<Error>> {
        let start = at.span().start;
        let error = unsupported(what);
        ControlFlow::Break(Box::new(if start.line == 0 {
            error
        } else {
            error.with_place(Place::at(self.sql, start.line, start.column, 1))
        }))
    }
}

impl Visitor for Checks<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if !query.locks.is_empty() {
            return self.refuse("FOR UPDATE and FOR SHARE", query);
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return self.refuse("FOR XML, FOR JSON, SETTINGS and FORMAT", query);
        }
        match &*query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.refuse("a statement that writes inside of WITH", query)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        let refused = [
            ("SELECT INTO", select.into.is_some()),
            ("PREWHERE", select.prewhere.is_some()),
            ("CONNECT BY", !select.connect_by.is_empty()),
            ("DISTRIBUTE BY", !select.distribute_by.is_empty()),
            ("SELECT AS VALUE and SELECT AS STRUCT", select.value_table_mode.is_some()),
            ("select modifiers", select.select_modifiers.is_some()),
        ];
        if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
            return self.refuse(what, select);
        }
        if select.projection.len() > COLUMNS_MAX {
            let text = format!(
                "{} columns are more than an answer may have ({COLUMNS_MAX})",
                select.projection.len()
            );
            return ControlFlow::Break(Box::new(
                Error::new(cenote_vocab::ErrorKind::Invalid, text).with_sqlstate("54011"),
            ));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table {
                name,
                args,
                with_hints,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let function =
                    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
                if args.is_some()
                    && let Some(function) = function.as_deref().filter(|name| FILE_FUNCTIONS.contains(name))
                {
                    return ControlFlow::Break(Box::new(files_denied(function)));
                }
                let refused = [
                    ("TABLESAMPLE", sample.is_some()),
                    ("WITH ORDINALITY", *with_ordinality),
                    ("a table hint", !with_hints.is_empty() || !index_hints.is_empty()),
                    ("PARTITION selection", !partitions.is_empty()),
                    ("a JSON path of a table", json_path.is_some()),
                ];
                match refused.iter().find(|(_, present)| *present) {
                    Some((what, _)) => self.refuse(what, factor),
                    None => ControlFlow::Continue(()),
                }
            }
            TableFactor::Derived { sample: Some(_), .. } => self.refuse("TABLESAMPLE", factor),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => self.refuse("PIVOT", factor),
            TableFactor::MatchRecognize { .. } => self.refuse("MATCH_RECOGNIZE", factor),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Fault;

    use super::*;
    use crate::parse::{Parsed, parse};

    fn code(sql: &str) -> Option<&'static str> {
        let Parsed::Sql { statement, .. } = parse(sql).unwrap() else { panic!("a query") };
        check(&statement, sql).err().map(|error| error.sqlstate().0)
    }

    #[test]
    fn what_the_planner_would_drop_is_refused() {
        for sql in [
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM (SELECT * FROM t TABLESAMPLE SYSTEM (10)) x",
            "SELECT * INTO u FROM t",
            "EXPLAIN SELECT * FROM t FOR SHARE",
        ] {
            assert_eq!(code(sql), Some("0A000"), "{sql}");
        }
        assert_eq!(code("SELECT * FROM read_parquet('/etc/passwd')"), Some("42501"));
        assert_eq!(code("WITH a AS (SELECT 1) SELECT * FROM a, generate_series(1, 2)"), None);
    }
}
