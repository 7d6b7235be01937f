//! What a partition means to the query of an asset: the filter on top of it, and the literals that stand for what a task knows.

use arrow::datatypes::{DataType, SchemaRef};
use cenote_catalog::{
    Asset, AssetSpec, Error as CatalogError, Partitioning, Period, SliceRange, SliceValue, Slices,
};
use cenote_vocab::{ErrorKind, Micros};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::Error;
use crate::parse::{quote, span_of, tokenize, unsupported};
use crate::plan::visible;

/// What a task knows of itself.
pub(super) struct Known<'a> {
    pub(super) slices: Option<(&'a Slices, SliceRange)>,
    pub(super) logical: Micros,
}

/// A call without arguments that is a literal of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Start,
    End,
    Value,
    Logical,
}

impl Call {
    fn of(name: &str) -> Option<Self> {
        match name {
            "partition_start" => Some(Self::Start),
            "partition_end" => Some(Self::End),
            "partition_value" => Some(Self::Value),
            "logical_time" => Some(Self::Logical),
            _ => None,
        }
    }

    fn literal(self, known: &Known<'_>) -> Result<String, Error> {
        let wrong = |text: &str| Error::new(ErrorKind::Invalid, text).with_sqlstate("42883");
        let instants = known.slices.and_then(|(slices, range)| slices.instants(range));
        match self {
            Self::Logical => Ok(instant(known.logical)),
            Self::Start | Self::End => {
                let (start, end) = instants.ok_or_else(|| {
                    wrong("partition_start() and partition_end() are of assets with partitions of time")
                })?;
                Ok(instant(if self == Self::Start { start } else { end }))
            }
            Self::Value => {
                let value = known.slices.and_then(|(slices, range)| slices.value(range.first));
                let value =
                    value.ok_or_else(|| wrong("partition_value() is of assets with partitions of a list"))?;
                Ok(value.literal())
            }
        }
    }
}

/// The query with literals where it asks what its task knows.
pub(super) fn with_literals(query: &str, known: &Known<'_>) -> Result<String, Error> {
    let tokens = tokenize(query)?;
    let (mut text, mut at) = (String::with_capacity(query.len()), 0);
    for (call, tokens) in calls(&tokens) {
        let (first, last) = (span_of(query, &tokens[0]), span_of(query, &tokens[2]));
        text.push_str(&query[at..first.start]);
        text.push_str(&call.literal(known)?);
        at = last.end;
    }
    text.push_str(&query[at..]);
    Ok(text)
}

/// True if the query asks for the one value of its partition.
fn asks_value(query: &str) -> bool {
    tokenize(query).is_ok_and(|tokens| calls(&tokens).any(|(call, _)| call == Call::Value))
}

fn calls(tokens: &[TokenWithSpan]) -> impl Iterator<Item = (Call, &[TokenWithSpan])> {
    tokens.windows(3).enumerate().filter_map(|(at, three)| {
        let is_method = at > 0 && tokens[at - 1].token == Token::Period;
        match (&three[0].token, &three[1].token, &three[2].token) {
            (Token::Word(word), Token::LParen, Token::RParen) if word.quote_style.is_none() && !is_method => {
                Some((Call::of(&word.value.to_lowercase())?, three))
            }
            _ => None,
        }
    })
}

fn instant(at: Micros) -> String {
    format!("CAST('{}' AS TIMESTAMPTZ)", at.rfc3339())
}

/// True of rows that lie in the slices: a condition on the column of the query, or of the table, that has that type.
pub(super) fn condition(slices: &Slices, range: SliceRange, data_type: &DataType) -> Result<String, Error> {
    let column = quote(slices.column());
    if slices.period().is_none() {
        let mut values = Vec::new();
        let mut null = false;
        for value in range.numbers().filter_map(|number| slices.value(number)) {
            match value {
                SliceValue::Null => null = true,
                other => values.push(other.literal()),
            }
        }
        let listed = (!values.is_empty()).then(|| format!("{column} IN ({})", values.join(", ")));
        let unknown = null.then(|| format!("{column} IS NULL"));
        return Ok(listed.into_iter().chain(unknown).collect::<Vec<_>>().join(" OR "));
    }
    let beyond = || {
        let text = format!("partition {} is beyond the calendar", slices.text(range));
        Error::from(CatalogError::Slice(text))
    };
    let (from, to) = match data_type {
        DataType::Date32 => {
            let (from, to) = slices.days(range).ok_or_else(beyond)?;
            (format!("DATE '{from}'"), format!("DATE '{to}'"))
        }
        DataType::Timestamp(_, zone) => {
            let (from, to) = slices.instants(range).ok_or_else(beyond)?;
            match zone {
                Some(_) => (instant(from), instant(to)),
                None => {
                    let naive =
                        |at: Micros| format!("CAST('{}' AS TIMESTAMP)", at.rfc3339().trim_end_matches('Z'));
                    (naive(from), naive(to))
                }
            }
        }
        other => return Err(wrong_type(slices, other)),
    };
    Ok(format!("{column} >= {from} AND {column} < {to}"))
}

/// Fails if what is said of a recipe's partitions does not go together.
pub(super) fn check_spec(asset: &Asset) -> Result<(), Error> {
    let spec = &asset.spec;
    if spec.partition.is_none() {
        return match spec.per_partition {
            true => Err(invalid("option per_partition is of assets with PARTITION BY")),
            false => Ok(()),
        };
    }
    if spec.eager {
        return Err(unsupported("EAGER of an asset with partitions"));
    }
    if asks_value(&asset.query) && !spec.per_partition {
        return Err(invalid("partition_value() is one value: it needs WITH (per_partition = true)"));
    }
    if asset.upstream.contains(&asset.table) && !spec.per_partition {
        return Err(invalid(
            "an asset that reads earlier partitions of itself needs WITH (per_partition = true)",
        ));
    }
    Ok(())
}

/// Fails if the query does not answer the column that the asset is cut by, in a type by which it can be.
pub(super) fn check_column(spec: &AssetSpec, outputs: &SchemaRef) -> Result<(), Error> {
    let (Some(said), Some(slices)) = (&spec.partition, spec.slices()?) else { return Ok(()) };
    let field = outputs.fields().iter().find(|field| visible(field.name()) == said.column());
    let Some(field) = field else {
        let text =
            format!("partitions are cut by column \"{}\", which the query does not answer", said.column());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42703"));
    };
    let fits = match (said, field.data_type()) {
        (Partitioning::Time { period, .. }, DataType::Date32) => *period != Period::Hour,
        (Partitioning::Time { .. }, data_type) => matches!(data_type, DataType::Timestamp(..)),
        (Partitioning::Values { values, .. }, data_type) => {
            values.iter().all(|value| holds(data_type, value))
        }
    };
    if fits { Ok(()) } else { Err(wrong_type(&slices, field.data_type())) }
}

fn holds(data_type: &DataType, value: &SliceValue) -> bool {
    match value {
        SliceValue::Null => true,
        SliceValue::Bool(_) => *data_type == DataType::Boolean,
        SliceValue::Int(_) => data_type.is_integer(),
        SliceValue::Text(_) => matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

fn wrong_type(slices: &Slices, data_type: &DataType) -> Error {
    let text =
        format!("column \"{}\" of type {data_type} cannot be cut by {}", slices.column(), slices.example());
    Error::new(ErrorKind::Invalid, text).with_sqlstate("42804")
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn days() -> Slices {
        let said = Partitioning::Time {
            column: "ts".into(),
            period: Period::Day,
            start: None,
            end: None,
            zone: "Europe/Rome".into(),
        };
        Slices::of(&said).unwrap()
    }

    #[test]
    fn a_task_fills_in_what_it_knows() {
        let days = days();
        let range = days.range("day=d:2026-01-01..2026-01-02").unwrap();
        let known = Known { slices: Some((&days, range)), logical: Micros(0) };
        let query = "SELECT 'partition_start()', PARTITION_START ( ), x.partition_end(), logical_time() -- partition_end()";
        assert_eq!(
            with_literals(query, &known).unwrap(),
            "SELECT 'partition_start()', CAST('2025-12-31T23:00:00.000000Z' AS TIMESTAMPTZ), x.partition_end(), \
             CAST('1970-01-01T00:00:00.000000Z' AS TIMESTAMPTZ) -- partition_end()"
        );
        let whole = Known { slices: None, logical: Micros(0) };
        assert!(
            with_literals("SELECT partition_end()", &whole)
                .unwrap_err()
                .to_string()
                .contains("partitions of time")
        );
        assert!(
            with_literals("SELECT partition_value()", &known).unwrap_err().to_string().contains("of a list")
        );
    }

    #[test]
    fn a_condition_is_half_open_and_fits_the_type_of_the_column() {
        let days = days();
        let range = days.range("day=d:2026-01-01..2026-01-02").unwrap();
        let of = |data_type: DataType| condition(&days, range, &data_type).unwrap();
        assert_eq!(of(DataType::Date32), "\"ts\" >= DATE '2026-01-01' AND \"ts\" < DATE '2026-01-03'");
        assert_eq!(
            of(DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
            "\"ts\" >= CAST('2025-12-31T23:00:00.000000Z' AS TIMESTAMPTZ) AND \"ts\" < CAST('2026-01-02T23:00:00.000000Z' AS TIMESTAMPTZ)"
        );
        assert!(
            of(DataType::Timestamp(TimeUnit::Millisecond, None))
                .contains("CAST('2026-01-02T23:00:00.000000' AS TIMESTAMP)")
        );
        let values = vec![SliceValue::Text("it's".into()), SliceValue::Null];
        let list = Slices::of(&Partitioning::Values { column: "r".into(), values }).unwrap();
        let all = SliceRange { first: 0, last: 1 };
        assert_eq!(condition(&list, all, &DataType::Utf8).unwrap(), "\"r\" IN ('it''s') OR \"r\" IS NULL");
    }
}
