//! Rules of recipes: what they mean, what they may read, which options they have.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use cenote_catalog::{
    Asset, AssetSpec, Code, Mapping, MaterializeRequest, Mode, Names, OnSchemaChange, Partitioning, Sameness,
    TableDef, TableKind,
};
use cenote_table::{Dedup, parse_duration};
use cenote_vocab::{ErrorKind, TableId, nearest};

use crate::Error;
use crate::parse::{unsupported, words};
use crate::plan::{refuse_materialized, visible};

/// Attempts, and seconds, beyond which an option is taken for a mistake.
const ATTEMPTS_MAX: u32 = 100;
/// Runs of an asset of which what they read may be kept.
const KEEP_RUNS_MAX: u32 = 100;
const TIMEOUT_MAX_S: u64 = 7 * 86_400;

/// What the recipe means: words and tables of its query, and how its rows come into the table.
pub(super) fn code_of(asset: &Asset) -> [u8; 32] {
    let mode = match asset.spec.mode {
        Mode::Replace => "replace",
        Mode::Append => "append",
        Mode::Merge => "merge",
    };
    let own = ["mode", mode, "key"].into_iter().map(str::to_owned);
    // Where its partitions begin and end, and which values there are, says nothing about any one of them.
    let cut = match &asset.spec.partition {
        None => Vec::new(),
        Some(Partitioning::Time { column, period, zone, .. }) => {
            vec!["partition".to_owned(), column.clone(), period.name().to_owned(), zone.clone()]
        }
        Some(Partitioning::Values { column, .. }) => vec!["partition".to_owned(), column.clone()],
    };
    let words: Vec<String> =
        words(&asset.query).into_iter().chain(own).chain(asset.spec.key.iter().cloned()).chain(cut).collect();
    let words = words.iter().map(String::as_str);
    Code::new(asset.query.clone(), words, asset.upstream.iter().copied()).id
}

/// Fails if the asset would read, over others, what it makes.
pub(super) fn refuse_cycle(assets: &[Asset], new: &Asset, names: &Names) -> Result<(), Error> {
    let mut path = Vec::new();
    let mut seen = BTreeSet::new();
    // Of itself it may read earlier partitions, if it says so.
    let reads_itself = new.spec.depends.iter().any(|said| said.table == new.table.0);
    let mut upstream = new.upstream.clone();
    upstream.retain(|table| *table != new.table || !reads_itself);
    if !reaches(assets, &upstream, new.table, &mut seen, &mut path) {
        return Ok(());
    }
    path.push(new.table);
    let name = |table: &TableId| {
        names.table_by_id(*table).map_or_else(|| table.to_string(), |table| table.full_name())
    };
    let mut cycle: Vec<String> = path.iter().rev().map(name).collect();
    cycle.push(name(&new.table));
    cycle.dedup();
    let text = format!("assets would depend on each other: {}", cycle.join(" reads "));
    Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42P17"))
}

/// True if a way upstream from these tables leads to `wanted`; `path` is that way, its end first.
fn reaches(
    assets: &[Asset],
    from: &[TableId],
    wanted: TableId,
    seen: &mut BTreeSet<TableId>,
    path: &mut Vec<TableId>,
) -> bool {
    for table in from {
        if *table == wanted {
            path.push(*table);
            return true;
        }
        let Some(asset) = assets.iter().find(|asset| asset.table == *table) else { continue };
        if seen.insert(*table) && reaches(assets, &asset.upstream, wanted, seen, path) {
            path.push(*table);
            return true;
        }
    }
    false
}

/// Fails if what is said of a dependency cannot be.
pub(super) fn check_mapping(
    assets: &[Asset],
    new: &Asset,
    (upstream, mapping): (&TableDef, Mapping),
) -> Result<(), Error> {
    let own = new.spec.slices()?;
    let said = |error: cenote_catalog::Error| {
        let text = format!("mapping {} of {}: {error}", mapping.text(), upstream.full_name());
        Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
    };
    if upstream.id == new.table {
        return mapping.check(own.as_ref(), own.as_ref(), Sameness::Itself).map_err(said);
    }
    let other = assets.iter().find(|asset| asset.table == upstream.id);
    let other = other.map(|asset| asset.spec.slices()).transpose()?.flatten();
    mapping.check(own.as_ref(), other.as_ref(), Sameness::Other).map_err(said)
}

/// A table that is there already is filled from now on: it must take the rows of the query.
pub(super) fn fits(table: &TableDef, outputs: &SchemaRef) -> Result<(), Error> {
    refuse_materialized(table)?;
    if table.kind != TableKind::Table {
        let text = format!("\"{}\" is a view, not a table", table.full_name());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42809"));
    }
    if Dedup::of(table)? == Dedup::Last {
        return Err(unsupported("an asset that fills a table with dedup = 'last'"));
    }
    for output in outputs.fields() {
        let name = visible(output.name());
        let wanted = cenote_datafile::field_type(output).map_err(cenote_table::Error::from)?;
        let is_there = table.schema.field(name).is_some_and(|field| field.field_type == wanted);
        if !is_there {
            let text =
                format!("table {} has no column \"{name}\" of type {}", table.full_name(), wanted.sql_name());
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42804"));
        }
    }
    Ok(())
}

pub(super) fn no_key(name: &str) -> Error {
    let text = format!("the key of the asset names column \"{name}\", which its query does not answer");
    Error::new(ErrorKind::Invalid, text).with_sqlstate("42703")
}

pub(super) fn check_key(spec: &AssetSpec, outputs: &SchemaRef) -> Result<(), Error> {
    let unknown =
        spec.key.iter().find(|name| outputs.fields().iter().all(|field| visible(field.name()) != *name));
    unknown.map_or(Ok(()), |name| Err(no_key(name)))
}

/// Options as `WITH` and `SET` say them.
pub(super) fn set_options(spec: &mut AssetSpec, options: &BTreeMap<String, String>) -> Result<(), Error> {
    const KNOWN: [&str; 11] = [
        "mode",
        "key",
        "attempts",
        "retry_backoff",
        "timeout",
        "priority",
        "on_schema_change",
        "description",
        "eager",
        "per_partition",
        "keep_runs",
    ];
    for (name, value) in options {
        let wrong = |rule: &str| {
            Error::new(ErrorKind::Invalid, format!("option {name} = '{value}': {rule}"))
                .with_sqlstate("22023")
        };
        match name.as_str() {
            "mode" => {
                spec.mode = match value.as_str() {
                    "replace" => Mode::Replace,
                    "append" => Mode::Append,
                    "merge" => Mode::Merge,
                    _ => return Err(wrong("one of replace, append, merge")),
                }
            }
            "key" => {
                spec.key = value.split(',').map(|name| name.trim().to_owned()).collect();
                spec.key.retain(|name| !name.is_empty());
            }
            "attempts" => {
                spec.attempts = value
                    .parse()
                    .ok()
                    .filter(|attempts| (1..=ATTEMPTS_MAX).contains(attempts))
                    .ok_or_else(|| wrong("a number from 1 to 100"))?;
            }
            "retry_backoff" | "timeout" => {
                let seconds = parse_duration(value).map(|duration| duration.as_secs());
                let seconds = seconds
                    .filter(|seconds| (1..=TIMEOUT_MAX_S).contains(seconds))
                    .ok_or_else(|| wrong("a duration of 1s to 7d such as 30s"))?;
                match name.as_str() {
                    "timeout" => spec.timeout_s = seconds,
                    _ => spec.retry_backoff_s = seconds,
                }
            }
            "priority" => {
                spec.priority = value
                    .parse()
                    .ok()
                    .filter(|priority| (-1_000..=1_000).contains(priority))
                    .ok_or_else(|| wrong("a number from -1000 to 1000"))?;
            }
            "on_schema_change" => {
                spec.on_schema_change = match value.as_str() {
                    "evolve" => OnSchemaChange::Evolve,
                    "fail" => OnSchemaChange::Fail,
                    "recreate" => return Err(unsupported("on_schema_change = 'recreate'")),
                    _ => return Err(wrong("one of evolve, fail")),
                }
            }
            "eager" | "per_partition" => {
                let flag = match value.as_str() {
                    "true" | "on" => true,
                    "false" | "off" => false,
                    _ => return Err(wrong("true or false")),
                };
                match name.as_str() {
                    "eager" => spec.eager = flag,
                    _ => spec.per_partition = flag,
                }
            }
            "description" => spec.description = Some(value.clone()).filter(|text| !text.is_empty()),
            "keep_runs" => {
                spec.keep_runs = value
                    .parse()
                    .ok()
                    .filter(|runs| *runs <= KEEP_RUNS_MAX)
                    .ok_or_else(|| wrong("a number from 0 to 100"))?;
            }
            "owner" | "labels" => {
                return Err(unsupported(&format!("option {name} of an asset")));
            }
            _ => {
                let text = format!("asset option {name} does not exist");
                let error = Error::new(ErrorKind::Invalid, text).with_sqlstate("22023");
                return Err(match nearest(name, KNOWN) {
                    Some(near) => error.with_hint(format!("did you mean {near}?")),
                    None => error,
                });
            }
        }
    }
    match (spec.mode, spec.key.is_empty()) {
        (Mode::Merge, true) => {
            let text = "mode = 'merge' needs option key, the columns that tell rows apart";
            Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("22023"))
        }
        _ => Ok(()),
    }
}

/// Options of a run as MATERIALIZE says them.
pub(super) fn set_run_options(
    asked: &mut MaterializeRequest,
    options: &BTreeMap<String, String>,
) -> Result<(), Error> {
    const KNOWN: [&str; 4] = ["chunk", "concurrency", "timeout", "priority"];
    for (name, value) in options {
        let wrong = |rule: &str| {
            let text = format!("option {name} = '{value}': {rule}");
            Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
        };
        let positive = || value.parse::<u32>().ok().filter(|number| *number > 0);
        match name.as_str() {
            "chunk" => asked.chunk = Some(positive().ok_or_else(|| wrong("a number from 1"))?.into()),
            "concurrency" => asked.concurrency = Some(positive().ok_or_else(|| wrong("a number from 1"))?),
            "timeout" => {
                let known = parse_duration(value).filter(|timeout| timeout.as_secs() >= 1);
                asked.timeout = Some(known.ok_or_else(|| wrong("a duration from 1s such as 30s"))?);
            }
            "priority" => {
                let known = value.parse::<i32>().ok().filter(|priority| (-1_000..=1_000).contains(priority));
                asked.priority = Some(known.ok_or_else(|| wrong("a number from -1000 to 1000"))?);
            }
            _ => match name.strip_prefix("label.") {
                Some(label) => drop(asked.labels.insert(label.to_owned(), value.clone())),
                None => {
                    let text = format!("option {name} of MATERIALIZE does not exist");
                    let error = Error::new(ErrorKind::Invalid, text).with_sqlstate("22023");
                    return Err(match nearest(name, KNOWN) {
                        Some(near) => error.with_hint(format!("did you mean {near}?")),
                        None => error,
                    });
                }
            },
        }
    }
    Ok(())
}
