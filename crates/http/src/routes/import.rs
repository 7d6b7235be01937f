//! Import of a whole file as a form, committed before it is answered.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use cenote_catalog::Privilege;
use cenote_ingest::{Ack, WriteRequest};
use cenote_vocab::Micros;
use serde_json::{Value, json};

use super::write::csv_format;
use super::write_options::{idempotency_key, table};
use crate::answer::milliseconds;
use crate::app::App;
use crate::call::Call;
use crate::multipart::{Part, parts};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::{Services, body, database};

/// Bytes of a form: it is held in memory until it is decoded, whatever `limits.import_max` allows.
const BODY_MAX: u64 = 512 << 20;

/// Imports a CSV file, plain or compressed: form field `file`; parameters as of `/api/v1/write/csv`, also as form fields.
#[utoipa::path(
    post, path = "/api/v1/import/csv", tag = "write",
    params(("db" = String, Query, description = "or header x-cenote-database"), ("measurement" = String, Query)),
    request_body(content = Object, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "committed, with row count and txn"), (status = 400, description = "no database or file"),
        (status = 413, description = "larger than limits.import_max"), (status = 422, description = "a cell that does not fit"),
    )
)]
pub(super) async fn csv(State(app): State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    let began = Instant::now();
    call.require_somewhere(Privilege::Insert)?;
    let bytes_max = app.http.options.import_max.min(BODY_MAX);
    let body = body::read(body, bytes_max, "limits.import_max").await?;
    let (file, fields) = fields(call.header("content-type").unwrap_or(""), &body)?;
    let parameters = call.parameters.clone().and(fields);
    let token_default = call.identity.token.default_database.as_deref();
    let Some(database) = database::of_write(&call.headers, &parameters, token_default)? else {
        return Err(Problem::bad_request("database is required for an import"));
    };
    let measurement = parameters.first(&["table", "measurement"]).map(str::to_owned).or_else(|| table(&call));
    let Some(measurement) = measurement else {
        return Err(Problem::bad_request("measurement is required for an import"));
    };
    let services = app.services()?;
    let request = WriteRequest {
        database: Some(database.clone()),
        format: csv_format(Some(measurement.clone()), &parameters)?,
        body: file,
        ack: Some(Ack::Committed),
        accept_partial: false,
        idempotency_key: idempotency_key(&call.headers)?,
        caller: Some(call.caller()),
    };
    let outcome = services.ingest.write(&call.identity, request).await?;
    let stored = stored(services, &call, &database, &measurement, outcome.txn).await?;
    Ok(Json(json!({
        "status": "ok",
        "result": {
            "database": database,
            "measurement": measurement,
            "rows_imported": outcome.rows,
            "partitions_created": stored.partitions,
            "time_range_min": stored.times.map(|(min, _)| Micros(min).rfc3339()),
            "time_range_max": stored.times.map(|(_, max)| Micros(max).rfc3339()),
            "columns": stored.columns,
            "duration_ms": milliseconds(began),
            "txn": outcome.txn,
        },
    })))
}

/// The field `file` and all other fields.
fn fields(content_type: &str, body: &Bytes) -> Result<(Bytes, Parameters), Problem> {
    let (files, texts): (Vec<Part>, Vec<Part>) =
        parts(content_type, body)?.into_iter().partition(|part| part.name == "file");
    let file = files.into_iter().map(|part| part.content).find(|content| !content.is_empty());
    let file =
        file.ok_or_else(|| Problem::bad_request("form field \"file\" is required and must not be empty"))?;
    let text = |part: Part| (part.name, String::from_utf8_lossy(&part.content).into_owned());
    Ok((file, Parameters::of(texts.into_iter().map(text).collect())))
}

/// What an import made, by the catalog.
#[derive(Default)]
struct Stored {
    /// Those of the files; few rows are one inline batch, whatever their partitions will be.
    partitions: usize,
    times: Option<(i64, i64)>,
    columns: Vec<String>,
}

async fn stored(
    services: &Services,
    call: &Call,
    database: &str,
    measurement: &str,
    txn: Option<cenote_vocab::Txn>,
) -> Result<Stored, Problem> {
    let Some(txn) = txn else {
        return Ok(Stored::default());
    };
    let scope = &call.identity.scope;
    let names = services.catalog.names(scope, txn).await?;
    let table = names.table(database, measurement)?;
    let mut files = services.catalog.visible_files(scope, table, txn, None).await?.files;
    files.retain(|file| file.begin_txn == txn);
    let partitions: BTreeSet<_> = files.iter().map(|file| file.partition).collect();
    let ranges = files.iter().filter_map(|file| file.time_range);
    Ok(Stored {
        partitions: partitions.len(),
        times: ranges.reduce(|(min, max), (from, to)| (min.min(from), max.max(to))),
        columns: table.schema.fields.iter().map(|field| field.name.clone()).collect(),
    })
}
