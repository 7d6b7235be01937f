//! Signed URLs of published metadata, and the script that lets DuckDB read them.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use cenote_catalog::{
    AuditEntry, AuditOutcome, Privilege, Publication, SystemKind, published_tables, system_tables,
};
use cenote_query::{literal, quote};
use cenote_table::{Manifest, ManifestFile, published_location};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::metadata;
use crate::app::App;
use crate::body;
use crate::call::Call;
use crate::problem::Problem;
use crate::signed::{Signer, is_plain_path};

/// Bytes of a request's body (`browser_body_max`).
const BODY_MAX: u64 = 1 << 20;
/// The groups of tables that are published.
const DOMAINS: [&str; 5] = ["catalog", "lineage", "flow", "access", "meta"];

/// Which files.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    domain: Option<String>,
    paths: Vec<String>,
    tables: Vec<String>,
    all: bool,
    manifest_id: Option<i64>,
    ttl_seconds: Option<i64>,
}

/// Why nothing is signed: a word for the books, and the answer.
pub(super) struct Refusal(pub(super) &'static str, pub(super) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self("failed", problem)
    }
}

/// Files of one manifest, each with its table.
struct Chosen {
    publication: Publication,
    manifest: Manifest,
    files: Vec<(String, ManifestFile)>,
}

/// URLs of files of a manifest, which any reader may fetch until they expire: by group, table, path, or all. All or none.
#[utoipa::path(
    post, path = "/api/v1/browser/urls", tag = "metadata",
    request_body(content = Object, content_type = "application/json",
        example = json!({"tables": ["catalog.tables"], "ttl_seconds": 900})),
    responses(
        (status = 200, description = "one entry per file", body = Object,
            example = json!({"urls": [{"path": "t/catalog.tables/0f.parquet", "url": "http://localhost:8000/files/…", "table": "catalog.tables",
                "sha256": "0f…", "bytes": 2048, "rows": 12}], "ttl_seconds": 900, "expires_at": "2026-01-01T00:15:00.000000Z", "manifest_id": 42, "txn": 90211})),
        (status = 400, description = "a bad body, or an unknown group"),
        (status = 403, description = "`reason` is path_traversal, private_artifact or not_in_allowlist"),
        (status = 404, description = "nothing is published"), (status = 410, description = "the manifest was collected"),
        (status = 429, description = "100 requests per minute and tenant"),
    )
)]
pub(super) async fn urls(State(app): State<App>, call: Call, body: Body) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["u", "p"])?;
    let bytes = body::read(body, BODY_MAX, "browser_body_max").await?;
    let wanted: Wanted = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))?;
    let (chosen, signer) = booked(&app, &call, "metadata", sign(&app, &call, &wanted).await).await?;
    let location = published_location(&call.identity.scope);
    let urls = chosen.files.iter().map(|(table, file)| {
        json!({
            "path": file.path,
            "url": signer.url(&format!("{location}/{}", file.path)),
            "table": table,
            "sha256": file.sha256,
            "bytes": file.bytes,
            "rows": file.rows,
        })
    });
    Ok(Json(json!({
        "urls": urls.collect::<Vec<_>>(),
        "ttl_seconds": signer.ttl,
        "expires_at": signer.expires_at(),
        "manifest_id": chosen.publication.manifest_id,
        "txn": chosen.publication.txn.0,
    })))
}

/// Gives the tenant another key for signing. URLs of the one before stay valid until they expire.
#[utoipa::path(
    post, path = "/api/v1/browser/keys/rotate", tag = "metadata",
    responses((status = 200, description = "`kid`, the public id of the new key", body = Object))
)]
pub(super) async fn rotate(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    call.parameters.only(&["u", "p"])?;
    let key = app.services()?.catalog.rotate_signing_key(&call.identity.scope).await?;
    call.audit_done(&app, "rotate_signing_key", format!("signing key {}", key.kid)).await?;
    Ok(Json(json!({"kid": key.kid})))
}

/// A script for DuckDB: one view per published table, over signed URLs of its files.
#[utoipa::path(
    get, path = "/api/v1/metadata/duckdb.sql", tag = "metadata",
    params(
        ("tables" = Option<String>, Query, description = "names with commas between; all without it"),
        ("ttl" = Option<i64>, Query, description = "seconds, 900 without it, 3600 at most"),
        ("manifest_id" = Option<i64>, Query, description = "the newest without it"),
    ),
    responses(
        (status = 200, description = "SQL", body = String, content_type = "application/sql"),
        (status = 403, description = "a table that is not published"),
        (status = 404, description = "nothing is published"), (status = 410, description = "the manifest was collected"),
    )
)]
pub(super) async fn duckdb(
    State(app): State<App>,
    call: Call,
) -> Result<([(header::HeaderName, &'static str); 1], String), Problem> {
    call.parameters.only(&["tables", "ttl", "manifest_id", "u", "p"])?;
    let number = |name: &str| -> Result<Option<i64>, Problem> {
        Ok(call.parameters.number(name)?.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    };
    let tables = call.parameters.first(&["tables"]).unwrap_or("");
    let tables: Vec<String> =
        tables.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let wanted = Wanted {
        all: tables.is_empty(),
        tables,
        manifest_id: number("manifest_id")?,
        ttl_seconds: number("ttl")?,
        ..Wanted::default()
    };
    let (chosen, signer) = booked(&app, &call, "metadata", sign(&app, &call, &wanted).await).await?;
    let location = published_location(&call.identity.scope);
    let shown = |name: &str| wanted.all || wanted.tables.iter().any(|table| table == name);
    let mut script = format!(
        "-- Cenote's metadata as of transaction {}, manifest {}; its URLs expire at {}.\n",
        chosen.publication.txn,
        chosen.publication.manifest_id,
        signer.expires_at()
    );
    let mut groups = BTreeSet::new();
    for table in chosen.manifest.tables.iter().filter(|table| shown(&table.name)) {
        let Some((group, name)) = table.name.split_once('.') else { continue };
        if groups.insert(group) {
            script += &format!("CREATE SCHEMA IF NOT EXISTS {};\n", quote(group));
        }
        let urls = table.files.iter().map(|file| literal(&signer.url(&format!("{location}/{}", file.path))));
        let urls = urls.collect::<Vec<_>>().join(", ");
        let rows = match table.files.is_empty() {
            true => no_rows(&table.name),
            false => format!("SELECT * FROM read_parquet([{urls}], union_by_name = true)"),
        };
        script += &format!("CREATE OR REPLACE VIEW {}.{} AS {rows};\n", quote(group), quote(name));
    }
    Ok(([(header::CONTENT_TYPE, "application/sql; charset=utf-8")], script))
}

/// Counts, audits and logs what came of a request for URLs: never the URLs, nor what was asked for.
pub(super) async fn booked<T>(
    app: &App,
    call: &Call,
    object: &str,
    result: Result<T, Refusal>,
) -> Result<T, Problem> {
    let (outcome, reason) = match &result {
        Ok(_) => (AuditOutcome::Allow, "signed"),
        Err(Refusal(reason, _)) => (AuditOutcome::Deny, *reason),
    };
    app.metrics.url_minted(outcome.word(), reason);
    tracing::info!(
        tenant = call.identity.scope.tenant(),
        token = call.identity.token.name,
        outcome = outcome.word(),
        reason,
        "signed urls asked for"
    );
    let action = format!("url_mint_{}", outcome.word());
    let entry = match outcome {
        AuditOutcome::Allow => {
            AuditEntry { reason: Some(reason.to_owned()), ..AuditEntry::done(call.caller(), &action, object) }
        }
        AuditOutcome::Deny => AuditEntry::refused(call.caller(), &action, reason).about(Some(object)),
    };
    app.services()?.catalog.audit(Some(&call.identity.scope), entry).await;
    result.map_err(|Refusal(_, problem)| problem.audited())
}

/// 429 for a tenant that asks too often.
pub(super) fn check_rate(app: &App, call: &Call) -> Result<(), Refusal> {
    let Some(wait) = app.mints.count(call.identity.scope.catalog(), app.http.clock.now()) else {
        return Ok(());
    };
    let text = "too many requests for signed URLs in this minute (100 per tenant)";
    let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, text).with("sqlstate", "53400");
    problem.retryable = true;
    problem.retry_after = Some(wait);
    Err(Refusal("rate_limited", problem))
}

/// Everything that must hold before anything is signed, in its order.
async fn sign(app: &App, call: &Call, wanted: &Wanted) -> Result<(Chosen, Signer), Refusal> {
    check_rate(app, call)?;
    call.require(Privilege::ReadMetadata).map_err(|problem| Refusal("permission", problem))?;
    check_known(wanted)?;
    if wanted.paths.iter().any(|path| !is_plain_path(path)) {
        return Err(refused(
            "path_traversal",
            "a path is relative, without .., backslash, % or control characters",
        ));
    }
    check_exposure(wanted)?;
    let publication = metadata::chosen(app, call, wanted.manifest_id).await?;
    let manifest = app.services()?.lake.manifest(&publication).await.map_err(|error| Problem::of(&error))?;
    let files = members(wanted, &manifest)?;
    let signer = Signer::of(app, call, wanted.ttl_seconds).await?;
    Ok((Chosen { publication, manifest, files }, signer))
}

fn check_known(wanted: &Wanted) -> Result<(), Refusal> {
    if let Some(domain) = &wanted.domain
        && !DOMAINS.contains(&domain.as_str())
    {
        let text = format!("unknown domain, expected one of {}", DOMAINS.join(", "));
        return Err(Refusal("domain_unknown", Problem::bad_request(text)));
    }
    if wanted.domain.is_none() && wanted.paths.is_empty() && wanted.tables.is_empty() && !wanted.all {
        let problem = Problem::bad_request("nothing is asked for: name domain, paths, tables or all");
        return Err(Refusal("nothing_asked", problem));
    }
    Ok(())
}

/// 403 for what is for admins only, whether or not there are files of it.
fn check_exposure(wanted: &Wanted) -> Result<(), Refusal> {
    let private = |name: &str| system_tables().iter().any(|table| table.name == name && table.private);
    let of_paths = wanted.paths.iter().filter_map(|path| path.strip_prefix("t/")?.split('/').next());
    let of_domain = |domain: &str| {
        let all = system_tables().iter().filter(|table| table.name.split('.').next() == Some(domain));
        let private: Vec<bool> = all.map(|table| table.private).collect();
        !private.is_empty() && private.into_iter().all(|private| private)
    };
    if wanted.tables.iter().map(String::as_str).chain(of_paths).any(private)
        || wanted.domain.as_deref().is_some_and(of_domain)
    {
        return Err(refused("private_artifact", "what is for administrators only is not published"));
    }
    Ok(())
}

/// The files that are meant, once each; 403 if one is not of the manifest.
fn members(wanted: &Wanted, manifest: &Manifest) -> Result<Vec<(String, ManifestFile)>, Refusal> {
    let unknown_table = wanted.tables.iter().any(|name| manifest.table(name).is_none());
    let unknown_path = wanted.paths.iter().any(|path| !manifest.files().any(|file| file.path == *path));
    if unknown_table || unknown_path {
        return Err(refused("not_in_allowlist", "the manifest does not name all that is asked for"));
    }
    let of_domain =
        |name: &str| wanted.domain.is_some() && name.split('.').next() == wanted.domain.as_deref();
    let mut files = Vec::new();
    for table in &manifest.tables {
        let whole = wanted.all || of_domain(&table.name) || wanted.tables.contains(&table.name);
        let meant = table.files.iter().filter(|file| whole || wanted.paths.contains(&file.path));
        files.extend(meant.map(|file| (table.name.clone(), file.clone())));
    }
    Ok(files)
}

fn refused(reason: &'static str, text: &str) -> Refusal {
    Refusal(
        reason,
        Problem::new(StatusCode::FORBIDDEN, text).with("reason", reason).with("sqlstate", "42501"),
    )
}

/// A table that has no file yet, with its columns.
fn no_rows(table: &str) -> String {
    let live = published_tables().iter().find(|published| published.name == table).and_then(|p| p.live());
    let columns = live.map_or(&[][..], |live| live.columns).iter().map(|column| {
        let kind = match column.kind {
            SystemKind::Integer => "BIGINT",
            SystemKind::Text => "VARCHAR",
            SystemKind::Boolean => "BOOLEAN",
            SystemKind::Time => "TIMESTAMP",
        };
        format!("NULL::{kind} AS {}", quote(column.name))
    });
    let columns: Vec<String> = columns.collect();
    let columns = if columns.is_empty() { "NULL AS \"none\"".to_owned() } else { columns.join(", ") };
    format!("SELECT {columns} WHERE false")
}
