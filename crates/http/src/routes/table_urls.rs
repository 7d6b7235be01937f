//! Signed URLs of a table's own files, for readers that know Parquet and not Cenote.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use cenote_catalog::Privilege;
use cenote_table::{Predicate, Scan};
use cenote_vocab::Txn;
use serde::Deserialize;
use serde_json::{Value, json};

use super::browser::{Refusal, booked, check_rate};
use super::tables::find;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;
use crate::signed::{Signer, is_plain_path};

/// Bytes of a request's body (`table_urls_body_max`).
const BODY_MAX: u64 = 64 << 10;
/// Files of one answer (`table_urls_max`).
const FILES_MAX: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    txn: Option<i64>,
    #[serde(rename = "where")]
    condition: Option<String>,
    ttl_seconds: Option<i64>,
}

/// URLs of the files that hold the table's rows as of `txn`; with `where`, of those that may hold rows for which it is true. Rows
/// that are in no file yet are not among them.
#[utoipa::path(
    post, path = "/api/v1/tables/{table}/urls", tag = "tables",
    params(("table" = String, Path, description = "id, name, or schema.name"), ("database" = Option<String>, Query)),
    request_body(content = Object, content_type = "application/json",
        example = json!({"txn": 4711, "where": "time > '2026-01-01'", "ttl_seconds": 900})),
    responses(
        (status = 200, description = "one entry per file", body = Object),
        (status = 400, description = "a bad body or condition, or more than 10000 files"),
        (status = 403, description = "no right to read the table"), (status = 404, description = "no such table"),
        (status = 409, description = "`not_plain_files`: rows are deleted by vectors, or are kept in the catalog; `unsigned_path`: \
            a file whose name no URL can have"),
        (status = 429, description = "100 requests per minute and tenant"),
    )
)]
pub(super) async fn urls(
    State(app): State<App>,
    Path(table): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["db", "database", "u", "p"])?;
    let bytes = body::read(body, BODY_MAX, "table_urls_body_max").await?;
    let wanted: Wanted = match bytes.is_empty() {
        true => Wanted::default(),
        false => serde_json::from_slice(&bytes)
            .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))?,
    };
    let (scan, signer) = booked(&app, &call, "data", sign(&app, &call, &table, &wanted).await).await?;
    let urls = scan.files.iter().map(|file| {
        let path = file.path.to_string();
        json!({
            "url": signer.url(&path),
            "path": path,
            "bytes": file.entry.file.bytes,
            "rows": file.entry.file.rows,
        })
    });
    Ok(Json(json!({
        "urls": urls.collect::<Vec<_>>(),
        "ttl_seconds": signer.ttl,
        "expires_at": signer.expires_at(),
        "txn": scan.txn.0,
    })))
}

async fn sign(app: &App, call: &Call, table: &str, wanted: &Wanted) -> Result<(Scan, Signer), Refusal> {
    check_rate(app, call)?;
    let services = app.services()?;
    let table =
        find(app, call, table, Privilege::Select).await.map_err(|problem| Refusal("permission", problem))?;
    let scope = &call.identity.scope;
    let at = match wanted.txn {
        Some(txn) => Txn(txn),
        None => services.catalog.head(scope).await.map_err(Problem::from)?.txn,
    };
    let predicate = match &wanted.condition {
        None => Predicate::True,
        Some(condition) => {
            let session = services.engine.open_session(call.identity.clone(), call.session(None)).await;
            let session = session.map_err(|error| Problem::of(&error))?;
            session.condition_on(&table, condition).await.map_err(|error| Problem::of(&error))?
        }
    };
    let scan =
        services.lake.scan(scope, &table, at, &predicate).await.map_err(|error| Problem::of(&error))?;
    if scan.files.iter().any(|file| file.entry.file.is_inline() || file.entry.vector.is_some()) {
        let text = format!("table {} has rows that are not in plain files", table.full_name());
        let problem = Problem::conflict(text)
            .with("reason", "not_plain_files")
            .with("sqlstate", "55000")
            .hinted(format!("OPTIMIZE TABLE {} FULL", table.full_name()));
        return Err(Refusal("not_plain_files", problem));
    }
    let mut paths = scan.files.iter().map(|file| file.path.to_string());
    if let Some(path) = paths.find(|path| !is_plain_path(path)) {
        let text = format!("file {path:?} of table {} has a name that is not signed", table.full_name());
        let problem = Problem::conflict(text)
            .with("reason", "unsigned_path")
            .with("sqlstate", "55000")
            .hinted("letters, digits and = / . _ - + : , @ and spaces are; OPTIMIZE TABLE … FULL writes other files");
        return Err(Refusal("unsigned_path", problem));
    }
    if scan.files.len() > FILES_MAX {
        let text =
            format!("{} files, at most {FILES_MAX} are signed at a time (table_urls_max)", scan.files.len());
        return Err(Refusal("too_many_files", Problem::bad_request(text)));
    }
    Ok((scan, Signer::of(app, call, wanted.ttl_seconds).await?))
}
