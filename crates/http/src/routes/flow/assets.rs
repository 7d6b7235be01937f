//! Assets: listed, looked into, made, changed, dropped.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_query::{literal, quote};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keyed::Keyed;
use super::sent::{read, understood};
use super::{STATUSES, execute, failed, quoted, runs, session, shape, takes_nothing};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::page::{self, one_of};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    query: String,
    #[serde(default)]
    partition: Option<Partition>,
    #[serde(default)]
    depends_on: Vec<Dependency>,
    #[serde(default)]
    schedule: Option<Schedule>,
    #[serde(default)]
    eager: bool,
    #[serde(default)]
    options: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Partition {
    column: String,
    #[serde(default)]
    period: Option<String>,
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    end: Option<String>,
    #[serde(default)]
    timezone: Option<String>,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    table: String,
    #[serde(default)]
    mapping: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    cron: String,
    #[serde(default)]
    timezone: Option<String>,
    #[serde(default)]
    if_stale: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    paused: Option<bool>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    options: BTreeMap<String, Value>,
}

/// The assets that the caller may know of, by name.
#[utoipa::path(
    get, path = "/api/v1/assets", tag = "flow",
    params(
        ("schema" = Option<String>, Query), ("kind" = Option<String>, Query), ("owner" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "missing, running, failed, stale, fresh"),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object))
)]
pub(in crate::routes) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters
        .only(&["schema", "kind", "owner", "status", "limit", "cursor", "db", "database", "u", "p"])?;
    one_of(&call, "kind", &["sql"])?;
    one_of(&call, "status", &STATUSES)?;
    let mut assets = session(&app, &call).await?.assets().await.map_err(failed)?;
    let wanted = |name: &str, own: &str| call.parameters.first(&[name]).is_none_or(|wanted| wanted == own);
    assets.retain(|view| {
        wanted("schema", &view.name.0)
            && wanted("owner", view.owner.as_deref().unwrap_or(""))
            && wanted("status", view.status)
    });
    let (assets, next) = page::part(&call, assets, |view| view.name.clone())?;
    let data: Vec<Value> = assets.iter().map(shape::asset).collect();
    Ok(Json(json!({"data": data, "nextCursor": next})))
}

/// One asset.
#[utoipa::path(
    get, path = "/api/v1/assets/{key}", tag = "flow", params(("key" = String, Path, description = "schema.name")),
    responses((status = 200, description = "the asset", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn one(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    let view = session(&app, &call).await?.asset(&key).await.map_err(failed)?;
    Ok(Json(shape::asset(&view)))
}

/// Makes an asset, or gives it another recipe. What is not said is as if it never was.
#[utoipa::path(
    put, path = "/api/v1/assets/{key}", tag = "flow",
    params(
        ("key" = String, Path, description = "schema.name"),
        ("Idempotency-Key" = Option<String>, Header, description = "make it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json",
        example = json!({"query": "SELECT ts, sum(amount) AS amount FROM raw.orders GROUP BY ts",
            "partition": {"column": "ts", "period": "day", "start": "2026-01-01", "timezone": "Europe/Rome"},
            "dependsOn": [{"table": "raw.orders", "mapping": "identity"}],
            "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Rome", "ifStale": true}, "options": {"attempts": 5}})),
    responses((status = 200, description = "the asset", body = Object), (status = 400, description = "a recipe that cannot be"))
)]
pub(in crate::routes) async fn put(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let sent = read(body).await?;
    let put: Put = understood(sent.clone())?;
    let sql = statement(&name_of(&key)?, &put)?;
    let (what, told) = (format!("PUT /api/v1/assets/{key}"), (StatusCode::OK, json!({"assetKey": key})));
    let keyed = Keyed::of(&app, &call, (&what, &sent), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        execute(&session, &sql).await?;
        let view = session.asset(&key).await.map_err(failed)?;
        Ok(shape::asset(&view))
    };
    keyed.end(done.await).await
}

/// Holds an asset or lets it go on, gives it another name in its schema, changes options: all of it, or nothing.
#[utoipa::path(
    patch, path = "/api/v1/assets/{key}", tag = "flow",
    params(
        ("key" = String, Path, description = "schema.name"),
        ("Idempotency-Key" = Option<String>, Header, description = "change it once under this key"),
    ),
    request_body(content = Object, content_type = "application/json",
        example = json!({"paused": true, "options": {"attempts": 5}})),
    responses((status = 200, description = "the asset", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn change(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
    body: Body,
) -> Result<Response, Problem> {
    takes_nothing(&call)?;
    let sent = read(body).await?;
    let change: Change = understood(sent.clone())?;
    let (what, told) = (format!("PATCH /api/v1/assets/{key}"), (StatusCode::OK, json!({"assetKey": key})));
    let keyed = Keyed::of(&app, &call, (&what, &sent), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        let mut name = session.asset(&key).await.map_err(failed)?.name;
        if let Some(sql) = alteration(&name, &change)? {
            execute(&session, &sql).await?;
        }
        name.1 = change.name.unwrap_or(name.1);
        let view = session.asset(&quoted(&name)).await.map_err(failed)?;
        Ok(shape::asset(&view))
    };
    keyed.end(done.await).await
}

/// Forgets the recipe; the table stays, unless `cascade` is true.
#[utoipa::path(
    delete, path = "/api/v1/assets/{key}", tag = "flow",
    params(
        ("key" = String, Path, description = "schema.name"), ("cascade" = Option<bool>, Query, description = "its table too"),
        ("force" = Option<bool>, Query, description = "also while others read it"),
        ("Idempotency-Key" = Option<String>, Header, description = "drop it once under this key"),
    ),
    responses(
        (status = 204, description = "it is gone"), (status = 404, description = "no such asset"),
        (status = 409, description = "it runs, or others read its table"),
    )
)]
pub(in crate::routes) async fn delete(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    call.parameters.only(&["cascade", "force", "db", "database", "u", "p"])?;
    let word = |name: &str, word: &'static str| {
        Ok::<_, Problem>(if call.parameters.flag(name)?.unwrap_or(false) { word } else { "" })
    };
    let how = format!("{}{}", word("cascade", " CASCADE")?, word("force", " FORCE")?);
    let (what, told) = (format!("DELETE /api/v1/assets/{key}"), (StatusCode::NO_CONTENT, Value::Null));
    let keyed = Keyed::of(&app, &call, (&what, &json!(how)), told)?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = async {
        let name = session.asset(&key).await.map_err(failed)?.name;
        execute(&session, &format!("DROP ASSET {}{how}", quoted(&name))).await?;
        Ok(Value::Null)
    };
    keyed.end(done.await).await
}

/// How an asset is and why, and what keeps it from running; with `partition` the same of one partition.
#[utoipa::path(
    get, path = "/api/v1/assets/{key}/explain", tag = "flow",
    params(("key" = String, Path, description = "schema.name"), ("partition" = Option<String>, Query)),
    responses(
        (status = 200, description = "why", body = Object,
            example = json!({"state": "stale", "reasons": [{"code": "UPSTREAM_CHANGED", "upstream": "raw.orders", "recordedTxn": 41,
                "currentTxn": 43, "by": {"txn": 43, "runId": null}, "text": "raw.orders was read at 41 and changed at 43"}],
                "lastRun": {"runId": "019b…", "state": "SUCCEEDED", "completedAt": "2026-01-02T06:00:01.000000Z"}, "openRun": null,
                "nextTick": "2026-01-03T06:00:00.000000Z", "eager": {"verdict": "waiting", "conditions": [
                    {"condition": "upstream_changed", "met": false, "detail": "nothing that it reads has changed since it was looked at", "children": []}]},
                "steps": []})),
        (status = 404, description = "no such asset"),
    )
)]
pub(in crate::routes) async fn explain(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["partition", "db", "database", "u", "p"])?;
    let partition = call.parameters.first(&["partition"]);
    let why = session(&app, &call).await?.explain_asset(&key, partition).await.map_err(failed)?;
    Ok(Json(shape::explanation(&why)))
}

/// The runs of an asset, newest first.
#[utoipa::path(
    get, path = "/api/v1/assets/{key}/runs", tag = "flow",
    params(
        ("key" = String, Path, description = "schema.name"), ("state" = Option<String>, Query),
        ("trigger" = Option<String>, Query), ("since" = Option<String>, Query), ("until" = Option<String>, Query),
        ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`data` and `nextCursor`", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn of_asset(
    State(app): State<App>,
    Path(key): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters
        .only(&["state", "trigger", "since", "until", "limit", "cursor", "db", "database", "u", "p"])?;
    runs::listed(&app, &call, Some(&key)).await
}

/// Schema and name of a key.
pub(super) fn name_of(key: &str) -> Result<(String, String), Problem> {
    match key.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() && !name.contains('.') => {
            Ok((schema.to_owned(), name.to_owned()))
        }
        _ => Err(Problem::bad_request(format!("an asset is named schema.name, got {key:?}"))),
    }
}

/// The statement that makes the asset.
fn statement(name: &(String, String), put: &Put) -> Result<String, Problem> {
    let mut sql = format!("CREATE OR REPLACE ASSET {}", quoted(name));
    if let Some(partition) = &put.partition {
        sql.push_str(&partition_clause(partition)?);
    }
    if !put.depends_on.is_empty() {
        let one = |said: &Dependency| {
            let mapping = said.mapping.as_deref().unwrap_or("identity");
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "(), -".contains(letter);
            match mapping.chars().all(is_plain) {
                true => Ok(format!("{} MAPPING {mapping}", quoted(&name_of(&said.table)?))),
                false => Err(Problem::bad_request(format!("there is no mapping {mapping:?}"))),
            }
        };
        let said: Vec<String> = put.depends_on.iter().map(one).collect::<Result<_, _>>()?;
        sql.push_str(&format!(" DEPENDS ON ({})", said.join(", ")));
    }
    if let Some(schedule) = &put.schedule {
        sql.push_str(&format!(" SCHEDULE {}", literal(&schedule.cron)));
        if let Some(zone) = &schedule.timezone {
            sql.push_str(&format!(" TIMEZONE {}", literal(zone)));
        }
        if schedule.if_stale {
            sql.push_str(" IF STALE");
        }
    }
    if put.eager {
        sql.push_str(" EAGER");
    }
    if !put.options.is_empty() {
        sql.push_str(&format!(" WITH ({})", options(&put.options)?));
    }
    sql.push_str(" AS ");
    sql.push_str(&put.query);
    Ok(sql)
}

/// The one statement that changes the asset; `None` if nothing is to be changed.
fn alteration(name: &(String, String), change: &Change) -> Result<Option<String>, Problem> {
    let mut actions = Vec::new();
    if !change.options.is_empty() {
        actions.push(format!("SET ({})", options(&change.options)?));
    }
    actions.extend(change.paused.map(|paused| if paused { "PAUSE" } else { "RESUME" }.to_owned()));
    actions.extend(change.name.as_ref().map(|to| format!("RENAME TO {}", quote(to))));
    Ok((!actions.is_empty()).then(|| format!("ALTER ASSET {} {}", quoted(name), actions.join(", "))))
}

fn partition_clause(said: &Partition) -> Result<String, Problem> {
    let column = quote(&said.column);
    let Some(period) = &said.period else {
        let values: Vec<String> = said.values.iter().map(value).collect::<Result<_, _>>()?;
        if values.is_empty() || said.start.is_some() || said.end.is_some() || said.timezone.is_some() {
            let text = "partition has a period such as day, with start, end and timezone, or values";
            return Err(Problem::bad_request(text));
        }
        return Ok(format!(" PARTITION BY ({column} VALUES ({}))", values.join(", ")));
    };
    if !period.chars().all(|letter| letter.is_ascii_alphabetic()) || !said.values.is_empty() {
        return Err(Problem::bad_request(format!("there is no period {period:?} with these members")));
    }
    let mut sql = format!(" PARTITION BY ({period}({column}))");
    for (word, text) in [("START", &said.start), ("END", &said.end), ("TIMEZONE", &said.timezone)] {
        if let Some(text) = text {
            sql.push_str(&format!(" {word} {}", literal(text)));
        }
    }
    Ok(sql)
}

fn value(value: &Value) -> Result<String, Problem> {
    match value {
        Value::Null => Ok("NULL".to_owned()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if number.is_i64() => Ok(number.to_string()),
        Value::String(text) => Ok(literal(text)),
        other => Err(Problem::bad_request(format!(
            "a value of partitions is a text, a whole number, a boolean or null, got {other}"
        ))),
    }
}

fn options(said: &BTreeMap<String, Value>) -> Result<String, Problem> {
    let one = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            other => {
                return Err(Problem::bad_request(format!(
                    "option {name} is a text, a number or a boolean, got {other}"
                )));
            }
        };
        Ok(format!("{} = {}", literal(name), literal(&text)))
    };
    Ok(said.iter().map(one).collect::<Result<Vec<_>, _>>()?.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(body: Value) -> Result<String, String> {
        let put: Put = serde_json::from_value(body).expect("a body");
        statement(&("mart".into(), "daily".into()), &put).map_err(|problem| problem.text)
    }

    #[test]
    fn a_body_becomes_the_statement_that_says_the_same() {
        let body = json!({
            "query": "SELECT 1 AS ts",
            "partition": {"column": "ts", "period": "day", "start": "2026-01-01", "timezone": "Europe/Rome"},
            "depends_on": [{"table": "raw.orders", "mapping": "window(-6, 0)"}],
            "schedule": {"cron": "0 6 * * *", "if_stale": true},
            "options": {"attempts": 5, "description": "it's"},
        });
        assert_eq!(
            put(body).expect("a statement"),
            "CREATE OR REPLACE ASSET \"mart\".\"daily\" PARTITION BY (day(\"ts\")) START '2026-01-01' TIMEZONE 'Europe/Rome' \
             DEPENDS ON (\"raw\".\"orders\" MAPPING window(-6, 0)) SCHEDULE '0 6 * * *' IF STALE \
             WITH ('attempts' = '5', 'description' = 'it''s') AS SELECT 1 AS ts"
        );
        let list = json!({"query": "SELECT 1", "partition": {"column": "r", "values": ["e'u", 7, null]}});
        assert!(put(list).expect("a statement").contains("PARTITION BY (\"r\" VALUES ('e''u', 7, NULL)) AS"));
    }

    #[test]
    fn changes_are_one_statement() {
        let sql = |body: Value| {
            let change: Change = serde_json::from_value(body).expect("a body");
            alteration(&("mart".into(), "daily".into()), &change).map_err(|problem| problem.text)
        };
        let all = json!({"options": {"attempts": 5}, "paused": true, "name": "su\"ms"});
        let expected = "ALTER ASSET \"mart\".\"daily\" SET ('attempts' = '5'), PAUSE, RENAME TO \"su\"\"ms\"";
        assert_eq!(sql(all), Ok(Some(expected.to_owned())));
        assert_eq!(sql(json!({})), Ok(None));
    }

    #[test]
    fn what_would_leave_its_place_is_refused() {
        for partition in [
            json!({"column": "r"}),
            json!({"column": "r", "period": "day(x)) AS SELECT 1 --"}),
            json!({"column": "r", "values": [1.5]}),
            json!({"column": "r", "values": ["eu"], "start": "2026-01-01"}),
        ] {
            assert!(
                put(json!({"query": "SELECT 1", "partition": partition.clone()})).is_err(),
                "{partition}"
            );
        }
        let mapping =
            json!({"query": "SELECT 1", "depends_on": [{"table": "a.b", "mapping": "all; DROP TABLE x"}]});
        assert!(put(mapping).expect_err("refused").contains("no mapping"));
    }
}
