//! Clauses about partitions of assets: how one is cut, what it depends on, which partitions are asked for.

use cenote_catalog::{Mapping, Partitioning, Period, SliceValue, Wanted};
use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::folded;
use super::words::Words;
use crate::Error;

/// What stands behind `PARTITION BY`: `(day(ts)) [START t] [END t] [TIMEZONE z]`, or `(region VALUES ('eu', 'us'))`.
pub(super) fn partitioning(words: &mut Words<'_>) -> Result<Partitioning, Error> {
    opened(words)?;
    let name = words.ident()?;
    if words.take_token(&Token::LParen) {
        let period = period(&name)?;
        let column = folded(&words.ident()?);
        closed(words)?;
        closed(words)?;
        return time(words, column, period);
    }
    words.expect(&["VALUES"])?;
    let values = super::clauses::list(words, value)?;
    closed(words)?;
    Ok(Partitioning::Values { column: folded(&name), values })
}

fn period(name: &Ident) -> Result<Period, Error> {
    Period::of(&name.value.to_lowercase()).ok_or_else(|| {
        let text =
            format!("partitions of time are cut by hour, day, week, month or year, got {}", name.value);
        Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
    })
}

fn time(words: &mut Words<'_>, column: String, period: Period) -> Result<Partitioning, Error> {
    let (mut start, mut end, mut zone) = (None, None, None);
    loop {
        let (slot, word) = match () {
            () if words.take(&["START"]) => (&mut start, "START"),
            () if words.take(&["END"]) => (&mut end, "END"),
            () if words.take(&["TIMEZONE"]) => (&mut zone, "TIMEZONE"),
            () => break,
        };
        if slot.replace(words.text()?).is_some() {
            return Err(
                Error::new(ErrorKind::Invalid, format!("{word} is given twice")).with_sqlstate("42601")
            );
        }
    }
    Ok(Partitioning::Time { column, period, start, end, zone: zone.unwrap_or_else(|| "UTC".to_owned()) })
}

fn value(words: &mut Words<'_>) -> Result<SliceValue, Error> {
    Ok(match () {
        () if words.take(&["NULL"]) => SliceValue::Null,
        () if words.take(&["TRUE"]) => SliceValue::Bool(true),
        () if words.take(&["FALSE"]) => SliceValue::Bool(false),
        () => match words.text() {
            Ok(text) => SliceValue::Text(text),
            Err(_) => SliceValue::Int(integer(words)?),
        },
    })
}

fn integer(words: &mut Words<'_>) -> Result<i64, Error> {
    let negative = words.take_token(&Token::Minus);
    let number = i64::try_from(words.number()?).map_err(|_| words.unexpected("a number of 64 bits"))?;
    Ok(if negative { -number } else { number })
}

/// What stands behind `DEPENDS ON`: `(a [MAPPING m], …)`.
pub(super) fn depends(words: &mut Words<'_>) -> Result<Vec<(Vec<Ident>, Mapping)>, Error> {
    super::clauses::list(words, |words| {
        let name = words.object_name()?;
        let mapping = if words.take(&["MAPPING"]) { mapping(words)? } else { Mapping::Identity };
        Ok((name, mapping))
    })
}

fn mapping(words: &mut Words<'_>) -> Result<Mapping, Error> {
    Ok(match () {
        () if words.take(&["IDENTITY"]) => Mapping::Identity,
        () if words.take(&["ALL"]) => Mapping::All,
        () if words.take(&["LATEST"]) => Mapping::Latest,
        () if words.take(&["WINDOW"]) => {
            opened(words)?;
            let from = integer(words)?;
            if !words.take_token(&Token::Comma) {
                return Err(words.unexpected(","));
            }
            let to = integer(words)?;
            closed(words)?;
            Mapping::Window { from, to }
        }
        () => return Err(words.unexpected("identity, all, latest or window(from, to)")),
    })
}

/// Which partitions MATERIALIZE asks for, if that is what comes next.
pub(super) fn wanted(words: &mut Words<'_>) -> Result<Option<Wanted>, Error> {
    Ok(Some(match () {
        () if words.take(&["PARTITION"]) => Wanted::Keys(vec![words.text()?]),
        () if words.take(&["PARTITIONS"]) => {
            let first = words.text()?;
            words.expect(&["TO"])?;
            Wanted::Range(first, words.text()?)
        }
        () if words.take(&["MISSING"]) => Wanted::Missing,
        () if words.take(&["STALE"]) => Wanted::Stale,
        () if words.take(&["FAILED"]) => Wanted::Failed,
        () => return Ok(None),
    }))
}

fn opened(words: &mut Words<'_>) -> Result<(), Error> {
    if words.take_token(&Token::LParen) { Ok(()) } else { Err(words.unexpected("(")) }
}

fn closed(words: &mut Words<'_>) -> Result<(), Error> {
    if words.take_token(&Token::RParen) { Ok(()) } else { Err(words.unexpected(")")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read<T>(sql: &str, of: impl Fn(&mut Words<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = of(&mut words)?;
        words.end()?;
        Ok(read)
    }

    #[test]
    fn an_asset_is_cut_by_time_or_by_a_list() {
        let days = read("(day(TS)) TIMEZONE 'Europe/Rome' START '2026-01-01'", partitioning).unwrap();
        let Partitioning::Time { column, period, start, end, zone } = days else { panic!("{days:?}") };
        assert_eq!(
            (column.as_str(), period, start.as_deref(), end),
            ("ts", Period::Day, Some("2026-01-01"), None)
        );
        assert_eq!(zone, "Europe/Rome");
        let list = read("(region VALUES ('eu', -7, true, NULL))", partitioning).unwrap();
        let values = vec![
            SliceValue::Text("eu".into()),
            SliceValue::Int(-7),
            SliceValue::Bool(true),
            SliceValue::Null,
        ];
        assert_eq!(list, Partitioning::Values { column: "region".into(), values });
    }

    #[test]
    fn mappings_and_partitions_are_read() {
        let on = read("(raw.rates MAPPING latest, orders MAPPING window(-6, 0), x)", depends).unwrap();
        let mappings: Vec<Mapping> = on.iter().map(|(_, mapping)| *mapping).collect();
        assert_eq!(mappings, [Mapping::Latest, Mapping::Window { from: -6, to: 0 }, Mapping::Identity]);
        assert_eq!(on[0].0.len(), 2);
        let range = Wanted::Range("day=2026-01-01".into(), "day=2026-01-09".into());
        assert_eq!(read("PARTITIONS 'day=2026-01-01' TO 'day=2026-01-09'", wanted).unwrap(), Some(range));
        assert_eq!(read("STALE", wanted).unwrap(), Some(Wanted::Stale));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (sql, expected) in [
            ("day(ts)", "expected ("),
            ("(minute(ts))", "cut by hour, day, week, month or year, got minute"),
            ("(ts)", "expected VALUES"),
            ("(day(ts)) START '1' START '2'", "START is given twice"),
            ("(region VALUES (x))", "expected a whole number"),
        ] {
            let error = read(sql, partitioning).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
        let error = read("(a MAPPING sideways)", depends).unwrap_err().to_string();
        assert!(error.contains("identity, all, latest or window"), "{error}");
    }
}
