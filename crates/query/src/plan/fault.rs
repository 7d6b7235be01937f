//! Errors of the engine's libraries become ours: kind, SQLSTATE, place, hint, and no internal text.

use arrow::error::ArrowError;
use cenote_vocab::{ErrorKind, nearest};
use datafusion::common::{DataFusionError, SchemaError, Span};
use datafusion::parquet::errors::ParquetError;
use sqlparser::parser::ParserError;

use super::visible_text;
use crate::Error;
use crate::error::{Place, lower_first};

/// The error of a statement whose text is `sql`.
pub(crate) fn of(error: DataFusionError, sql: &str) -> Error {
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| place_of(sql, span));
    map(&error, sql).or_place(place)
}

/// The error while batches stream; there is no place in the text any more.
pub(crate) fn while_running(error: DataFusionError) -> Error {
    map(&error, "")
}

/// Ours, on its way through a library.
pub(crate) fn outward(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn place_of(sql: &str, span: Span) -> Place {
    let length =
        if span.start.line == span.end.line { span.end.column.saturating_sub(span.start.column) } else { 1 };
    Place::at(sql, span.start.line, span.start.column, length)
}

fn map(error: &DataFusionError, sql: &str) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => map(inner, sql),
        DataFusionError::Shared(inner) => map(inner, sql),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => map(first, sql),
            None => internal("an empty list of errors"),
        },
        DataFusionError::External(inner) => external(inner.as_ref(), sql),
        DataFusionError::ArrowError(inner, _) => arrow(inner, sql),
        DataFusionError::SQL(inner, _) => syntax(inner, sql),
        DataFusionError::SchemaError(inner, _) => schema(inner),
        DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
            plan(&visible_text(message))
        }
        DataFusionError::NotImplemented(message) => {
            Error::new(ErrorKind::Unsupported, lower_first(first_line(message)))
        }
        DataFusionError::Execution(message) => value(message),
        DataFusionError::ResourcesExhausted(message) => exhausted(message),
        DataFusionError::ObjectStore(inner) => object_store(inner),
        DataFusionError::ParquetError(inner) => parquet(inner, sql),
        DataFusionError::IoError(inner) => {
            Error::new(ErrorKind::Unavailable, format!("input or output failed: {inner}"))
        }
        DataFusionError::ExecutionJoin(inner) if inner.is_cancelled() => {
            Error::new(ErrorKind::Cancelled, "canceling statement: the engine is stopping")
        }
        DataFusionError::ExecutionJoin(_) => internal("a task of the query ended early"),
        DataFusionError::Internal(message) => {
            tracing::error!(message, "internal error of the query engine");
            internal(first_line(message))
        }
        DataFusionError::Substrait(message) | DataFusionError::Ffi(message) => internal(first_line(message)),
    }
}

fn external(error: &(dyn std::error::Error + Send + Sync + 'static), sql: &str) -> Error {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return ours.clone();
    }
    if let Some(inner) = error.downcast_ref::<cenote_functions::Error>() {
        return Error::of(inner);
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return map(inner, sql);
    }
    if let Some(inner) = error.downcast_ref::<ArrowError>() {
        return arrow(inner, sql);
    }
    if let Some(inner) = error.downcast_ref::<ParquetError>() {
        return parquet(inner, sql);
    }
    if let Some(inner) = error.downcast_ref::<object_store::Error>() {
        return object_store(inner);
    }
    value(&error.to_string())
}

fn arrow(error: &ArrowError, sql: &str) -> Error {
    match error {
        ArrowError::ExternalError(inner) => external(inner.as_ref(), sql),
        ArrowError::DivideByZero => Error::new(ErrorKind::Invalid, "division by zero").with_sqlstate("22012"),
        ArrowError::ArithmeticOverflow(message) => Error::new(
            ErrorKind::Invalid,
            format!("value out of range: {}", lower_first(first_line(message))),
        )
        .with_sqlstate("22003"),
        ArrowError::MemoryError(message) => exhausted(message),
        ArrowError::NotYetImplemented(message) => {
            Error::new(ErrorKind::Unsupported, lower_first(first_line(message)))
        }
        ArrowError::IoError(message, _) => {
            Error::new(ErrorKind::Unavailable, lower_first(first_line(message)))
        }
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::SchemaError(message)
        | ArrowError::CsvError(message)
        | ArrowError::JsonError(message)
        | ArrowError::AvroError(message)
        | ArrowError::IpcError(message)
        | ArrowError::ParquetError(message)
        | ArrowError::CDataInterface(message) => value(message),
        other => value(&other.to_string()),
    }
}

fn syntax(error: &ParserError, sql: &str) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return Error::new(ErrorKind::Invalid, "statement is nested too deeply (128 levels at most)")
                .with_sqlstate("54001");
        }
    };
    let (text, place) = split_location(message);
    let error = Error::new(ErrorKind::Invalid, format!("syntax error: {}", lower_first(text)));
    match place {
        Some((line, column)) => {
            let length = word_length(sql, line, column);
            error.with_place(Place::at(sql, line, column, length))
        }
        None => error,
    }
}

/// Takes ` at Line: 2, Column: 6` off a message of the parser.
fn split_location(message: &str) -> (&str, Option<(u64, u64)>) {
    let Some((text, location)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = location.split_once(", Column: ") else { return (message, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (text, Some((line, column))),
        _ => (message, None),
    }
}

/// Characters of the word that begins at a place.
fn word_length(sql: &str, line: u64, column: u64) -> u64 {
    let index = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(0);
    let word = sql.split('\n').nth(index(line)).map_or(0, |text| {
        text.chars().skip(index(column)).take_while(|c| c.is_alphanumeric() || *c == '_').count()
    });
    word.max(1) as u64
}

fn schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let table = match &field.relation {
                Some(relation) => Some(relation.to_string()),
                None => {
                    let mut relations: Vec<String> = valid_fields
                        .iter()
                        .filter_map(|valid| valid.relation.as_ref().map(ToString::to_string))
                        .collect();
                    relations.sort();
                    relations.dedup();
                    (relations.len() == 1).then(|| relations.remove(0))
                }
            };
            let place = table.map_or_else(String::new, |table| format!(" in {table}"));
            let error =
                Error::new(ErrorKind::Invalid, format!("column \"{}\" does not exist{place}", field.name()))
                    .with_sqlstate("42703");
            let names = || valid_fields.iter().map(|valid| valid.name());
            let time = (field.name() == "timestamp").then(|| names().find(|name| *name == "time")).flatten();
            match time.or_else(|| nearest(field.name(), names())) {
                Some(name) => error.with_hint(format!("did you mean \"{name}\"?")),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(ErrorKind::Invalid, format!("column reference \"{}\" is ambiguous", field.name()))
                .with_sqlstate("42702")
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(ErrorKind::Invalid, format!("column name \"{name}\" is used more than once"))
                .with_sqlstate("42701")
        }
    }
}

fn plan(message: &str) -> Error {
    let line = first_line(message);
    if let Some(name) = line.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        let error =
            Error::new(ErrorKind::Invalid, format!("function {name} does not exist")).with_sqlstate("42883");
        return match message.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next()) {
            Some(near) if nearest(name, [near]).is_some() => error.with_hint(format!("did you mean {near}?")),
            _ => error,
        };
    }
    if let Some(rest) = line.split("No function matches the given name and argument types '").nth(1) {
        let call = rest.split('\'').next().unwrap_or_default();
        let error =
            Error::new(ErrorKind::Invalid, format!("function {call} does not exist")).with_sqlstate("42883");
        return match message.split("Candidate functions:").nth(1) {
            Some(candidates) => {
                let candidates: Vec<&str> =
                    candidates.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
                error.with_hint(format!("it takes {}", candidates.join(", ")))
            }
            None => error,
        };
    }
    if line.starts_with("table '") || line.starts_with("table function '") {
        let name = line.split('\'').nth(1).unwrap_or_default();
        return if line.starts_with("table function") {
            Error::new(ErrorKind::Invalid, format!("table function {name} does not exist"))
                .with_sqlstate("42883")
        } else {
            Error::new(ErrorKind::NotFound, format!("table \"{name}\" does not exist")).with_sqlstate("42P01")
        };
    }
    if line.contains("not supported") || line.contains("not implemented") {
        return Error::new(ErrorKind::Unsupported, lower_first(line));
    }
    let error = value(message);
    // what no rule knows is a rule of the language broken, not a bad value
    if error_code(message).is_none() { error.with_sqlstate(plan_code(line)) } else { error }
}

fn plan_code(line: &str) -> &'static str {
    if line.contains("GROUP BY") || line.contains("aggregate") {
        "42803"
    } else if line.contains("coerce") || line.contains("cast") || line.contains("type") {
        "42804"
    } else {
        "42601"
    }
}

/// A value that does not fit.
fn value(message: &str) -> Error {
    let message = message
        .trim_start_matches("Arrow error: ")
        .trim_start_matches("External error: ")
        .trim_start_matches("Optimizer rule 'simplify_expressions' failed caused by ");
    let text = lower_first(
        first_line(message).trim_start_matches("Parser error: ").trim_start_matches("Cast error: "),
    );
    Error::new(ErrorKind::Invalid, text).with_sqlstate(error_code(message).unwrap_or("22000"))
}

fn error_code(message: &str) -> Option<&'static str> {
    let lower = message.to_lowercase();
    let has = |word: &str| lower.contains(word);
    Some(if has("divide by zero") || has("division by zero") {
        "22012"
    } else if has("overflow") || has("out of range") || has("can't cast value") || has("too large") {
        "22003"
    } else if has("timestamp") && (has("parse") || has("cast") || has("convert"))
        || has("error parsing")
        || has("to value of date")
        || has("to value of time")
    {
        "22007"
    } else if has("cannot cast string") || has("cannot parse") || has("parser error") {
        "22P02"
    } else if has("interval") && has("invalid") {
        "22007"
    } else if has("non-nullable but contains null") {
        "23502"
    } else if has("subquery returned more than one row") || has("more than one row") {
        "21000"
    } else {
        return None;
    })
}

fn exhausted(message: &str) -> Error {
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let disk = line.contains("disk") || line.contains("temporary file");
    let what = if disk {
        "spill space is full (query.spill_max)"
    } else {
        "query memory is full (query.memory_limit)"
    };
    Error::new(ErrorKind::Exhausted, format!("{what}: {}", lower_first(&line))).with_sqlstate(if disk {
        "53100"
    } else {
        "53200"
    })
}

fn object_store(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::new(ErrorKind::Corrupt, format!("data file {path} is missing")).with_sqlstate("XX001")
        }
        other => {
            Error::new(ErrorKind::Unavailable, format!("storage failed: {}", first_line(&other.to_string())))
        }
    }
}

fn parquet(error: &ParquetError, sql: &str) -> Error {
    match error {
        ParquetError::External(inner) => external(inner.as_ref(), sql),
        other => Error::new(
            ErrorKind::Corrupt,
            format!("data file is damaged: {}", first_line(&other.to_string())),
        )
        .with_sqlstate("XX001"),
    }
}

fn internal(text: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("internal error: {}", lower_first(text)))
}

fn first_line(message: &str) -> &str {
    message.trim().lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Fault;

    use super::*;

    #[test]
    fn codes_follow_the_cause_through_wrappers() {
        let wrapped = DataFusionError::Context(
            "simplify".into(),
            Box::new(DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None)),
        );
        assert_eq!(of(wrapped, "SELECT 1/0").sqlstate().0, "22012");
        let ours = outward(Error::new(ErrorKind::Conflict, "taken"));
        let error =
            of(DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours))), None), "");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Conflict, "taken".to_owned()));
    }

    #[test]
    fn a_value_that_does_not_parse_is_told_from_one_that_does_not_fit() {
        let code = |message: &str| value(message).sqlstate().0;
        assert_eq!(code("Error parsing timestamp from 'x': error parsing date"), "22007");
        assert_eq!(code("Cannot cast string 'abc' to value of Int64 type"), "22P02");
        assert_eq!(code("Can't cast value 300 to type Int8"), "22003");
    }

    #[test]
    fn an_unknown_function_names_the_nearest() {
        let error = plan("Invalid function 'summ'.\nDid you mean 'sum'?");
        assert_eq!(error.sqlstate().0, "42883");
        assert_eq!(error.hint().as_deref(), Some("did you mean sum?"));
    }
}
