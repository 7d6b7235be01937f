//! What InfluxDB 1.x clients ask besides writing: is it there, make my database, what is in it.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cenote_catalog::{Object, Privilege};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::databases::{make, names, readable};
use super::statement::is_form;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::database::{checked, selected};
use crate::parameters::Parameters;
use crate::problem::Problem;

/// The version that clients parse to choose a dialect.
const INFLUX_VERSION: &str = "1.8.10";
/// Bytes of a form.
const FORM_MAX: u64 = 1 << 20;

/// Is it there?
#[utoipa::path(
    get, path = "/ping", tag = "node", params(("verbose" = Option<bool>, Query)),
    responses((status = 204, description = "it is"), (status = 200, description = "with verbose=true: the version"))
)]
pub(super) async fn ping(request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::parse(request.uri().query().unwrap_or(""));
    let mut response = match parameters.flag("verbose")? {
        Some(true) => Json(json!({"version": INFLUX_VERSION})).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    response.headers_mut().insert("x-influxdb-version", HeaderValue::from_static(INFLUX_VERSION));
    response.headers_mut().insert("x-influxdb-build", HeaderValue::from_static("Cenote"));
    Ok(response)
}

/// InfluxQL: `CREATE DATABASE`, `SHOW DATABASES`, `SHOW MEASUREMENTS`.
#[utoipa::path(
    get, path = "/query", tag = "databases", params(("q" = String, Query), ("db" = Option<String>, Query)),
    responses((status = 200, description = "results"), (status = 400, description = "another statement"))
)]
pub(super) async fn query_get(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    run(&app, &call, &call.parameters).await
}

/// InfluxQL: `CREATE DATABASE`, `SHOW DATABASES`, `SHOW MEASUREMENTS`.
#[utoipa::path(
    post, path = "/query", tag = "databases",
    params(("q" = Option<String>, Query), ("db" = Option<String>, Query)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", example = "q=SHOW+DATABASES"),
    responses((status = 200, description = "results"), (status = 400, description = "another statement"))
)]
pub(super) async fn query_post(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let bytes = body::read(body, FORM_MAX, "form_max").await?;
    let form = if is_form(&call) {
        Parameters::parse(&String::from_utf8_lossy(&bytes))
    } else {
        Parameters::default()
    };
    run(&app, &call, &call.parameters.clone().and(form)).await
}

/// A statement of InfluxQL that this door knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Statement {
    CreateDatabase(String),
    ShowDatabases,
    ShowMeasurements(Option<String>),
}

async fn run(app: &App, call: &Call, parameters: &Parameters) -> Result<Json<Value>, Problem> {
    let text =
        parameters.first(&["q"]).ok_or_else(|| Problem::bad_request("missing required parameter \"q\""))?;
    let statements = text.split(';').filter(|statement| !statement.trim().is_empty()).map(parse);
    let statements = statements.collect::<Result<Vec<_>, _>>()?;
    let mut results = Vec::new();
    for (id, statement) in statements.into_iter().enumerate() {
        let series = match statement {
            Statement::CreateDatabase(name) => {
                create(app, call, &name).await?;
                None
            }
            Statement::ShowDatabases => Some(databases(app, call).await?),
            Statement::ShowMeasurements(on) => measurements(app, call, parameters, on).await?,
        };
        results.push(match series {
            Some(series) => json!({"statement_id": id, "series": [series]}),
            None => json!({"statement_id": id}),
        });
    }
    Ok(Json(json!({"results": results})))
}

/// A write makes its database too, so the right to write is enough; a database that is there is fine (InfluxQL).
async fn create(app: &App, call: &Call, name: &str) -> Result<(), Problem> {
    let name = checked(name)?;
    if !call.identity.allows(Privilege::Create, &name, None) {
        return Err(Problem::denied(Privilege::Create, Object::Schema(&name)));
    }
    make(app, call, &name).await
}

async fn databases(app: &App, call: &Call) -> Result<Value, Problem> {
    let (names, _) = names(app.services()?, call).await?;
    let values: Vec<Value> = readable(&names, call).map(|(name, _)| json!([name])).collect();
    Ok(json!({"name": "databases", "columns": ["name"], "values": values}))
}

async fn measurements(
    app: &App,
    call: &Call,
    parameters: &Parameters,
    on: Option<String>,
) -> Result<Option<Value>, Problem> {
    let selected = match on {
        Some(on) => Some(on),
        None => selected(&call.headers, parameters)?,
    };
    let wanted = selected.as_deref().or(call.identity.token.default_database.as_deref()).unwrap_or("default");
    let (names, _) = names(app.services()?, call).await?;
    let tables = readable(&names, call)
        .find(|(name, _)| *name == wanted)
        .map(|(_, tables)| tables)
        .unwrap_or_default();
    if tables.is_empty() {
        return Ok(None);
    }
    let values: Vec<Value> = tables.iter().map(|table| json!([table.name])).collect();
    Ok(Some(json!({"name": "measurements", "columns": ["name"], "values": values})))
}

fn parse(text: &str) -> Result<Statement, Problem> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    match upper.as_slice() {
        ["CREATE", "DATABASE", _] => Ok(Statement::CreateDatabase(unquoted(words[2]))),
        ["SHOW", "DATABASES"] => Ok(Statement::ShowDatabases),
        ["SHOW", "MEASUREMENTS"] => Ok(Statement::ShowMeasurements(None)),
        ["SHOW", "MEASUREMENTS", "ON", _] => Ok(Statement::ShowMeasurements(Some(unquoted(words[3])))),
        _ => {
            let problem =
                Problem::bad_request(format!("InfluxQL statement is not supported: {}", text.trim()));
            Err(problem.with("sqlstate", "0A000").hinted("send SQL to /api/v1/query"))
        }
    }
}

fn unquoted(name: &str) -> String {
    name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_that_clients_send_at_their_start_are_known() {
        assert_eq!(
            parse(" create database \"telegraf\"").expect("known"),
            Statement::CreateDatabase("telegraf".into())
        );
        assert_eq!(parse("SHOW DATABASES").expect("known"), Statement::ShowDatabases);
        assert_eq!(
            parse("show measurements on db").expect("known"),
            Statement::ShowMeasurements(Some("db".into()))
        );
        assert!(parse("SELECT * FROM cpu").expect_err("unknown").text.contains("SELECT * FROM cpu"));
        parse("CREATE DATABASE").expect_err("no name");
    }
}
