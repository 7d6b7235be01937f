//! Catalogs with their schemas and tables, as objects. What changes them runs as the statement of SQL that says the same, so that rights,
//! checks, audit and the one commit are its; only what is read and answered is of this door.
//!
//! An object carries an `etag`: a change that says `If-Match` is made only if the object is still so, and that is decided in the commit.

pub(super) mod schemas;
pub(super) mod tables;

mod requested;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{CATALOG_NAME, Expected, Names, Privilege, SchemaDef, TableDef};
use cenote_query::{Error, ObjectEdit};
use cenote_vocab::{ErrorKind, Fault, Micros, Txn};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::databases::names;
use super::once::Once;
use super::page::Limits;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// Entries of a page of what exists.
const LIMITS: Limits = Limits { usual: 100, max: 1_000 };

/// A schema with its tables and views by name.
type InSchema = (SchemaDef, BTreeMap<String, Arc<TableDef>>);

/// The catalogs that the caller may know of.
#[utoipa::path(
    get, path = "/api/v1/catalogs", tag = "databases",
    responses((status = 200, description = "`catalogs`", body = Object,
        example = json!({"catalogs": [{"id": "019b…", "object_id": 1, "name": "lake", "kind": "managed",
            "created_at": "2026-01-01T00:00:00Z", "txn": 4711}], "next_cursor": null})))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["limit", "cursor", "u", "p"])?;
    let catalogs = match call.identity.allows_somewhere(Privilege::Use) {
        true => vec![shown(&app, &call).await?],
        false => Vec::new(),
    };
    Ok(Json(json!({"catalogs": catalogs, "next_cursor": null})))
}

/// There is one catalog of ours, and others cannot be made yet.
#[utoipa::path(
    post, path = "/api/v1/catalogs", tag = "databases",
    responses((status = 403, description = "it takes MANAGE"), (status = 501, description = "not part of this release"))
)]
pub(super) async fn create(call: Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    Err(Problem::not_built("making catalogs besides \"lake\""))
}

/// One catalog.
#[utoipa::path(
    get, path = "/api/v1/catalogs/{catalog}", tag = "databases", params(("catalog" = String, Path)),
    responses((status = 200, description = "the catalog", body = Object), (status = 404, description = "no such catalog"))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(catalog): Path<String>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["u", "p"])?;
    known(&call, &catalog)?;
    Ok(Json(shown(&app, &call).await?))
}

/// Nothing of a catalog can be changed yet.
#[utoipa::path(
    patch, path = "/api/v1/catalogs/{catalog}", tag = "databases", params(("catalog" = String, Path)),
    responses((status = 403, description = "it takes MANAGE"), (status = 501, description = "not part of this release"))
)]
pub(super) async fn change(Path(catalog): Path<String>, call: Call) -> Result<Json<Value>, Problem> {
    known(&call, &catalog)?;
    call.require(Privilege::Manage)?;
    Err(Problem::not_built("changing a catalog"))
}

/// The catalog of the tenant stays.
#[utoipa::path(
    delete, path = "/api/v1/catalogs/{catalog}", tag = "databases", params(("catalog" = String, Path)),
    responses((status = 403, description = "it takes MANAGE"), (status = 501, description = "not part of this release"))
)]
pub(super) async fn delete(Path(catalog): Path<String>, call: Call) -> Result<Json<Value>, Problem> {
    known(&call, &catalog)?;
    call.require(Privilege::Manage)?;
    Err(Problem::not_built("dropping a catalog"))
}

/// 404 for a catalog that there is not, or that the caller may not know.
fn known(call: &Call, catalog: &str) -> Result<(), Problem> {
    match catalog == CATALOG_NAME && call.identity.allows_somewhere(Privilege::Use) {
        true => Ok(()),
        false => {
            Err(Problem::not_found(format!("catalog \"{catalog}\" does not exist")).with("sqlstate", "3D000"))
        }
    }
}

/// The one catalog, as `system.catalog.catalogs` has it.
async fn shown(app: &App, call: &Call) -> Result<Value, Problem> {
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let head = catalog.head(scope).await?;
    let rows = catalog.system_rows(scope, "catalog.catalogs").await?;
    let column = |name: &str| {
        let column = rows.column_by_name(name).filter(|column| column.len() == 1 && column.is_valid(0));
        column.ok_or_else(|| Problem::internal(format!("a catalog without {name}")))
    };
    let text = |name: &str| Ok::<_, Problem>(column(name)?.as_string::<i32>().value(0).to_owned());
    let number = column("id")?.as_primitive::<Int64Type>().value(0);
    let created = column("created_at")?.as_primitive::<TimestampMicrosecondType>().value(0);
    Ok(json!({
        "id": text("uuid")?,
        "object_id": number,
        "name": text("name")?,
        "kind": text("kind")?,
        "created_at": Micros(created).rfc3339(),
        "txn": head.txn.0,
    }))
}

/// All names as they are now.
async fn present(app: &App, call: &Call, catalog: &str) -> Result<Arc<Names>, Problem> {
    known(call, catalog)?;
    Ok(names(app.services()?, call).await?.0)
}

/// A schema that the caller may know of.
fn schema_of<'a>(names: &'a Names, call: &Call, schema: &str) -> Result<&'a InSchema, Problem> {
    let found = names.schemas.get(schema);
    found.filter(|_| call.identity.allows(Privilege::Use, schema, None)).ok_or_else(|| {
        Problem::not_found(format!("schema \"{schema}\" does not exist")).with("sqlstate", "3F000")
    })
}

/// How a change that is asked for is told in lists of statements and in the history.
fn said(method: &str, catalog: &str, rest: &[&str]) -> String {
    format!("{method} /api/v1/catalogs/{catalog}/{}", rest.join("/"))
}

/// What `If-Match` asks for, compared with what is there: 412 if it is another.
fn if_match(
    call: &Call,
    etag: &str,
    expected: impl FnOnce() -> Expected,
) -> Result<Option<Expected>, Problem> {
    let Some(wanted) = call.header("if-match") else { return Ok(None) };
    let mut wanted = wanted.split(',').map(str::trim).peekable();
    if wanted.peek() == Some(&"*") {
        return Ok(None); // it is there
    }
    match wanted.any(|wanted| wanted == etag) {
        true => Ok(Some(expected())),
        false => Err(Problem::new(StatusCode::PRECONDITION_FAILED, format!("the object is {etag} by now"))
            .with("sqlstate", "P0004")),
    }
}

/// A change that is asked for.
struct Asked<'a> {
    app: &'a App,
    call: &'a Call,
    once: Once<'a>,
    said: String,
    status: StatusCode,
}

impl<'a> Asked<'a> {
    /// `object` is what a repeat is told if the first answer was lost.
    fn new(
        app: &'a App,
        call: &'a Call,
        said: String,
        sent: &Value,
        (status, object): (StatusCode, Value),
    ) -> Result<Self, Problem> {
        let once = Once::of(app, call, &said, sent)?.of_object(status, object);
        Ok(Self { app, call, once, said, status })
    }

    /// The answer, if the same was asked before under the same key.
    async fn answered(&self) -> Result<Option<Response>, Problem> {
        self.once.answered().await
    }

    /// Makes the change, unless the same was asked for before, and answers with the object as `shown` finds it then.
    async fn make(
        &self,
        edit: &ObjectEdit,
        expected: Option<Expected>,
        shown: impl Future<Output = Result<String, Problem>>,
    ) -> Result<Response, Problem> {
        match self.change(edit, expected).await {
            Ok(txn) => self.answer(txn, shown.await?).await,
            // the same request may have been done meanwhile: then it failed over what that one did
            Err(problem) => self.once.answered().await?.ok_or(problem),
        }
    }

    async fn change(&self, edit: &ObjectEdit, expected: Option<Expected>) -> Result<Option<Txn>, Problem> {
        let mut options = self.call.session(None);
        if let Some((key, _)) = self.once.key() {
            options.settings.push(("idempotency_key".into(), key.to_owned()));
        }
        let engine = &self.app.services()?.engine;
        let session = engine.open_session(self.call.identity.clone(), options).await.map_err(failed)?;
        if let Some((_, state)) = self.once.key() {
            session.identify_request(state);
        }
        session.change_object(&self.said, edit, expected).await.map_err(failed)
    }

    /// The answer to what was done, or needed not to be.
    async fn answer(&self, txn: Option<Txn>, body: String) -> Result<Response, Problem> {
        if txn.is_some()
            && let Some(settled) = self.once.settle(self.status, &body).await?
        {
            return Ok(settled);
        }
        let mut response = written(body);
        *response.status_mut() = self.status;
        if let Some(txn) = txn {
            response.headers_mut().insert("x-cenote-txn", HeaderValue::from(txn.0));
        }
        Ok(response)
    }
}

fn written(body: String) -> Response {
    let is_there = !body.is_empty();
    let mut response = Response::new(body.into());
    if is_there {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// An object and its `etag`.
fn tagged(body: &impl Serialize, etag: &str) -> Result<Response, Problem> {
    let mut response = written(text(body)?);
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Nothing: what was dropped has no body.
async fn nothing() -> Result<String, Problem> {
    Ok(String::new())
}

fn text(body: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(body).map_err(|error| Problem::internal(format!("answer: {error}")))
}

/// On these paths what cannot be done yet is 501, as it is where a path is missing.
fn failed(error: Error) -> Problem {
    let problem = Problem::of(&error);
    match error.kind() {
        ErrorKind::Unsupported => Problem { status: StatusCode::NOT_IMPLEMENTED, ..problem },
        _ => problem,
    }
}
