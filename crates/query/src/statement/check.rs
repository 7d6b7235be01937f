//! Checks of rows: each rule is a few queries of one value, and what their values mean.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{Check, CheckResult};
use cenote_vocab::Txn;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use crate::Error;
use crate::parse::{CheckRule, folded, literal, parse_rule, quote, span_of, tokenize, word_is};

/// The queries of a check, of one value each. `target` names the table, whose rows were others at `before`.
pub(super) fn queries(check: &Check, target: &str, before: Option<Txn>) -> Result<Vec<String>, Error> {
    Ok(rule_queries(&parse_rule(&check.rule)?, target, before))
}

/// The queries of a rule.
pub(super) fn rule_queries(rule: &CheckRule, target: &str, before: Option<Txn>) -> Vec<String> {
    let names = |columns: &[Ident]| columns.iter().map(|column| quote(&folded(column))).collect::<Vec<_>>();
    let count = format!("SELECT count(*) FROM {target}");
    match rule {
        CheckRule::NotNull(columns) => {
            let nulls: Vec<String> =
                names(columns).iter().map(|column| format!("{column} IS NULL")).collect();
            vec![format!("{count} WHERE {}", nulls.join(" OR "))]
        }
        CheckRule::Unique(columns) => {
            let key = names(columns).join(", ");
            vec![format!(
                "SELECT count(*) FROM (SELECT {key} FROM {target} GROUP BY {key} HAVING count(*) > 1) AS repeated"
            )]
        }
        CheckRule::RowCount { .. } => vec![count],
        CheckRule::RowCountRatio(_) => {
            let earlier = before.map(|before| format!("{count} FOR VERSION AS OF {before}"));
            std::iter::once(count).chain(earlier).collect()
        }
        CheckRule::Freshness(column, within) => {
            let (column, within) = (quote(&folded(column)), literal(within));
            vec![format!(
                "SELECT CASE WHEN max({column}) >= now() - INTERVAL {within} THEN 0 ELSE 1 END FROM {target}"
            )]
        }
        CheckRule::Query(query) => {
            let query = match before {
                Some(before) => with_previous(query, before),
                None => query.clone(),
            };
            vec![format!("SELECT count(*) FROM ({query}\n) AS violations")]
        }
    }
}

/// The query of a rule, where `previous(t)` is the table as it was.
fn with_previous(query: &str, before: Txn) -> String {
    let Ok(tokens) = tokenize(query) else { return query.to_owned() };
    let (mut text, mut at) = (String::with_capacity(query.len()), 0);
    for (place, token) in tokens.iter().enumerate() {
        let is_call = word_is(token, "PREVIOUS")
            && tokens.get(place + 1).is_some_and(|next| next.token == Token::LParen)
            && (place == 0 || tokens[place - 1].token != Token::Period);
        let inside = tokens.get(place + 2..).unwrap_or_default();
        let named =
            inside.iter().take_while(|next| matches!(next.token, Token::Word(_) | Token::Period)).count();
        let Some(end) = inside.get(named).filter(|end| is_call && named > 0 && end.token == Token::RParen)
        else {
            continue;
        };
        let (first, last) = (span_of(query, &inside[0]), span_of(query, &inside[named - 1]));
        text.push_str(&query[at..span_of(query, token).start]);
        text.push_str(&format!("{} FOR VERSION AS OF {before}", &query[first.start..last.end]));
        at = span_of(query, end).end;
    }
    text.push_str(&query[at..]);
    text
}

/// What the values of a check's queries mean. One that cannot run has failed.
pub(super) fn judge(check: &Check, answers: &[Vec<RecordBatch>], broken: Option<String>) -> CheckResult {
    let mut result = CheckResult {
        check: check.id,
        name: check.name.clone(),
        passed: false,
        severity: check.severity,
        value: None,
        message: None,
    };
    let values: Option<Vec<i64>> = answers.iter().map(|rows| value(rows)).collect();
    let (values, rule) = match (broken, values, parse_rule(&check.rule)) {
        (Some(error), ..) => {
            result.message = Some(format!("it cannot run: {error}"));
            return result;
        }
        (None, Some(values), Ok(rule)) if !values.is_empty() => (values, rule),
        _ => {
            result.message = Some("it answers no number".to_owned());
            return result;
        }
    };
    let (passed, value, wrong) = verdict(&rule, &values);
    result.passed = passed;
    result.value = Some(value);
    result.message = (!passed).then_some(wrong);
    result
}

/// Whether the values are as they should be; the value to be shown; what is wrong if they are not.
fn verdict(rule: &CheckRule, values: &[i64]) -> (bool, String, String) {
    let first = values[0];
    match rule {
        CheckRule::NotNull(_) => (first == 0, first.to_string(), format!("{first} rows hold NULL")),
        CheckRule::Unique(_) => {
            (first == 0, first.to_string(), format!("{first} keys are there more than once"))
        }
        CheckRule::RowCount { min, max } => {
            let rows = u64::try_from(first).unwrap_or(0);
            let fits = rows >= *min && max.is_none_or(|max| rows <= max);
            let wanted = max.map_or_else(|| format!("at least {min}"), |max| format!("{min} to {max}"));
            (fits, first.to_string(), format!("the table has {first} rows, not {wanted}"))
        }
        CheckRule::RowCountRatio(wanted) => {
            let before = values.get(1).copied().unwrap_or(0);
            let ratio = if before == 0 { 1.0 } else { first as f64 / before as f64 };
            let fits = wanted.parse::<f64>().is_ok_and(|wanted| before == 0 || ratio >= wanted);
            let wrong =
                format!("the table has {first} rows, before it had {before}: less than {wanted} of them");
            (fits, format!("{ratio:.3}"), wrong)
        }
        CheckRule::Freshness(column, within) => {
            let wrong = format!("the newest {} is not within {within}", column.value);
            (first == 0, first.to_string(), wrong)
        }
        CheckRule::Query(_) => (first == 0, first.to_string(), format!("{first} rows violate it")),
    }
}

/// The one number of an answer.
fn value(rows: &[RecordBatch]) -> Option<i64> {
    let batch = rows.iter().find(|batch| batch.num_rows() > 0)?;
    let column = cast(batch.columns().first()?, &DataType::Int64).ok()?;
    let column = column.as_primitive::<Int64Type>();
    (!column.is_null(0)).then(|| column.value(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(rule: &str, values: &[i64]) -> bool {
        verdict(&parse_rule(rule).unwrap(), values).0
    }

    #[test]
    fn a_rule_is_kept_up_to_its_very_bound() {
        for (rule, values, passed) in [
            ("NOT NULL (a)", &[0][..], true),
            ("NOT NULL (a)", &[1], false),
            ("ROW COUNT >= 2 AND <= 3", &[1], false),
            ("ROW COUNT >= 2 AND <= 3", &[3], true),
            ("ROW COUNT >= 2 AND <= 3", &[4], false),
            ("ROW COUNT RATIO >= 0.5", &[5, 10], true),
            ("ROW COUNT RATIO >= 0.5", &[4, 10], false),
            ("ROW COUNT RATIO >= 0.5", &[0, 0], true),
            ("QUERY (SELECT 1)", &[0], true),
            ("QUERY (SELECT 1)", &[2], false),
        ] {
            assert_eq!(passes(rule, values), passed, "{rule} {values:?}");
        }
    }

    #[test]
    fn queries_name_columns_as_they_are() {
        let of = |rule: &str| rule_queries(&parse_rule(rule).unwrap(), "t", Some(Txn(7)));
        assert_eq!(
            of("NOT NULL (A, \"B\")"),
            ["SELECT count(*) FROM t WHERE \"a\" IS NULL OR \"B\" IS NULL"]
        );
        assert_eq!(of("ROW COUNT RATIO >= 1")[1], "SELECT count(*) FROM t FOR VERSION AS OF 7");
        let was = "SELECT 'previous(t)' FROM previous ( m.\"T\" ) AS p JOIN t USING (a) WHERE t.previous(a) > previous(1)";
        assert_eq!(
            with_previous(was, Txn(7)),
            "SELECT 'previous(t)' FROM m.\"T\" FOR VERSION AS OF 7 AS p JOIN t USING (a) WHERE t.previous(a) > previous(1)"
        );
    }
}
