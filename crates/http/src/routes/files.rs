//! The gateway of signed URLs: one object, whole or a part of it, to anybody who has its URL.
//!
//! Whatever is wrong with a URL gets the same answer. That it was refused is audited, for whoever signed it, and nothing of it goes
//! into the audit or a log.

use std::ops::Range;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cenote_catalog::{AuditEntry, Caller};
use cenote_table::published_location;
use cenote_vocab::Scope;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::call::{PROTOCOL, RequestId, address};
use crate::problem::Problem;
use crate::signed::{Ticket, escaped, is_plain_path};

/// Everything below needs no token.
pub(crate) const PREFIX: &str = "/files/";
/// The pattern of all of it; the document cannot say that a path has many parts.
const PATTERN: &str = "/files/{ticket}/{*path}";
/// Of all that is signed; the door does not compress it.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.apache.parquet";

/// The routes; HEAD is GET without its body.
pub(super) fn add(routes: Router<App>) -> Router<App> {
    routes.route(PATTERN, get(read).options(options))
}

/// A file by its signed URL; HEAD works too. One range at a time.
#[utoipa::path(
    get, path = "/files/{ticket}/{path}", tag = "metadata",
    params(
        ("ticket" = String, Path, description = "expiry, key and signature"), ("path" = String, Path),
        ("Range" = Option<String>, Header, description = "`bytes=a-b`, `bytes=a-` or `bytes=-n`"),
        ("If-None-Match" = Option<String>, Header), ("If-Range" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the file", body = Vec<u8>, content_type = "application/vnd.apache.parquet"),
        (status = 206, description = "the range"), (status = 304, description = "it is known"),
        (status = 403, description = "the URL is not valid, or has expired"), (status = 404, description = "the file is gone"),
        (status = 416, description = "several ranges, or one outside of the file"),
    )
)]
pub(super) async fn read(State(app): State<App>, request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let answered = serve(&app, method, path, request.headers()).await;
    let outcome = match &answered {
        Ok(response) if response.status() == StatusCode::RANGE_NOT_SATISFIABLE => "range",
        Ok(_) => "served",
        Err(refusal) => refusal.reason,
    };
    app.metrics.file_asked(outcome);
    if let Err(refusal) = &answered
        && refusal.problem.status == StatusCode::FORBIDDEN
    {
        tracing::info!(reason = refusal.reason, "signed url refused");
        let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let caller = Caller::stranger(PROTOCOL).at(address(&request)).by_request(id);
        refusal.audit(&app, caller).await;
    }
    open_to_all(answered.unwrap_or_else(|refusal| refusal.problem.into_response()))
}

/// Why a file is not served.
struct Refusal {
    /// A word for the books.
    reason: &'static str,
    problem: Problem,
    /// Whose key the URL names, if that is known.
    scope: Option<Scope>,
}

impl Refusal {
    /// The one answer to every URL that proves nothing.
    fn of_url(reason: &'static str, scope: Option<Scope>) -> Self {
        let problem = Problem::new(StatusCode::FORBIDDEN, "the URL is not valid, or has expired");
        Self { reason, problem, scope }
    }

    /// Something else than the URL is wrong.
    fn failed(problem: Problem) -> Self {
        Self { reason: "failed", problem, scope: None }
    }

    async fn audit(&self, app: &App, caller: Caller) {
        let Ok(services) = app.services() else { return };
        let entry = AuditEntry::refused(caller, "url_read_deny", self.reason);
        services.catalog.audit(self.scope.as_ref(), entry).await;
    }
}

/// What a browser asks before it sends a range: it may, from anywhere.
#[utoipa::path(
    options, path = "/files/{ticket}/{path}", tag = "metadata",
    params(("ticket" = String, Path), ("path" = String, Path)),
    responses((status = 204, description = "GET and HEAD with Range, If-None-Match and If-Range"))
)]
pub(super) async fn options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (header::ALLOW, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Range, If-None-Match, If-Range"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    open_to_all(response)
}

async fn serve(app: &App, method: &Method, path: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let services = app.services().map_err(Refusal::failed)?;
    let Ok(_place) = app.in_flight.try_acquire() else {
        return Err(Refusal { reason: "busy", problem: Problem::busy(), scope: None });
    };
    let path = proven(app, path).await?;
    // What the store says names the object: it stays here.
    let unavailable = |_| Refusal::failed(Problem::not_ready("storage"));
    let size = services.lake.store.size(&path.as_str().into()).await.map_err(unavailable)?;
    let gone = || Refusal { reason: "gone", problem: Problem::not_found("the file is gone"), scope: None };
    let size = size.ok_or_else(gone)?;
    let etag = etag(&path);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|known| matches_any(known, &etag)) {
        return Ok(described(StatusCode::NOT_MODIFIED, &etag).into_response());
    }
    let range =
        text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|known| known.trim() == etag));
    let (status, part) = match asked(range, size) {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Nothing => {
            let mut response = described(StatusCode::RANGE_NOT_SATISFIABLE, &etag).into_response();
            insert(&mut response, header::CONTENT_RANGE, format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let body = if *method == Method::HEAD || part.is_empty() {
        Body::empty()
    } else {
        let bytes = services.lake.store.stream(&path.as_str().into(), part.clone()).await;
        Body::from_stream(bytes.map_err(unavailable)?)
    };
    let mut response = described(status, &etag).into_response();
    *response.body_mut() = body;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    insert(&mut response, header::CONTENT_LENGTH, (part.end - part.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        insert(&mut response, header::CONTENT_RANGE, format!("bytes {}-{}/{size}", part.start, part.end - 1));
    }
    Ok(response)
}

/// The path that the URL proves the right to read.
async fn proven(app: &App, path: &str) -> Result<String, Refusal> {
    let whole = path.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/'));
    let Some((ticket, path)) = whole else { return Err(Refusal::of_url("malformed", None)) };
    let path = percent_decode_str(path).decode_utf8().ok().filter(|path| is_plain_path(path));
    let (Some(ticket), Some(path)) = (Ticket::parse(ticket), path) else {
        return Err(Refusal::of_url("malformed", None));
    };
    let has_ended = !ticket.is_valid(app.http.clock.now());
    let key = app.keys.of(app, &ticket.kid).await.map_err(Refusal::failed)?;
    let Some((scope, key)) = key else {
        return Err(Refusal::of_url(if has_ended { "expired" } else { "unknown_key" }, None));
    };
    // The signature says so already; nothing but these could have been signed.
    let own = [format!("{}/", published_location(&scope)), format!("{}/tables/", scope.tenant())];
    if !ticket.is_of(&key, &scope, &path) || !own.iter().any(|place| path.starts_with(place)) {
        return Err(Refusal::of_url("signature", Some(scope)));
    }
    if has_ended {
        return Err(Refusal::of_url("expired", Some(scope)));
    }
    let services = app.services().map_err(Refusal::failed)?;
    match services.catalog.check_tenant_works(&scope).await {
        Ok(()) => Ok(path.into_owned()),
        Err(cenote_catalog::Error::TenantGone) => Err(Refusal::of_url("unknown_key", None)),
        Err(error @ cenote_catalog::Error::TenantSuspended(_)) => {
            Err(Refusal { reason: "tenant_suspended", problem: error.into(), scope: Some(scope) })
        }
        Err(error) => Err(Refusal::failed(error.into())),
    }
}

/// An object never changes, so that its name tells one from another; that of published metadata is of its SHA-256.
fn etag(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("\"{}\"", escaped(name.strip_suffix(".parquet").unwrap_or(name)))
}

fn matches_any(known: &str, etag: &str) -> bool {
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == etag)
}

/// What is answered of a file.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// What a `Range` header asks for of `size` bytes. One that is not understood counts as none.
fn asked(range: Option<&str>, size: u64) -> Asked {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    if spec.contains(',') {
        return Asked::Nothing;
    }
    let number = |text: &str| -> Option<u64> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let part = match spec.trim().split_once('-') {
        Some(("", last)) => match number(last) {
            Some(last) => size.saturating_sub(last)..size,
            None => return Asked::Whole,
        },
        Some((first, "")) => match number(first) {
            Some(first) => first..size,
            None => return Asked::Whole,
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Asked::Whole,
        },
        None => return Asked::Whole,
    };
    if part.start < part.end { Asked::Part(part) } else { Asked::Nothing }
}

type Described = (StatusCode, [(HeaderName, String); 3]);

fn described(status: StatusCode, etag: &str) -> Described {
    let headers = [
        (header::ETAG, etag.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "private, immutable".to_owned()),
    ];
    (status, headers)
}

fn insert(response: &mut Response, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Any page of any origin may read what it has a URL for.
fn open_to_all(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Length, Content-Range, Accept-Ranges, ETag"),
    );
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_in_its_three_forms() {
        for (range, wanted) in [
            ("bytes=0-3", Asked::Part(0..4)),
            ("bytes=4-", Asked::Part(4..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=8-30", Asked::Part(8..10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=10-12", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=0-1,3-4", Asked::Nothing),
            ("bytes=5-3", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("lines=1-2", Asked::Whole),
        ] {
            assert_eq!(asked(Some(range), 10), wanted, "{range}");
        }
        assert_eq!(asked(None, 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-0"), 0), Asked::Nothing);
    }

    #[test]
    fn a_tag_is_known_among_others_and_weakly() {
        let own = etag("_cenote/meta/t/lake/t/catalog.tables/0a1b.parquet");
        assert_eq!(own, "\"0a1b\"");
        for known in ["\"0a1b\"", "\"x\", \"0a1b\"", "W/\"0a1b\"", "*"] {
            assert!(matches_any(known, &own), "{known}");
        }
        assert!(!matches_any("\"x\"", &own));
    }
}
