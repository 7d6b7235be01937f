//! The one error body of every path.
//!
//! A handler answers a [`Problem`]; the outermost layer renders it, because only there are the request's path (which
//! decides media type and `code`) and its id known.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use cenote_catalog::{Object, Privilege};
use cenote_query::Place;
use cenote_vocab::{ErrorKind, Fault};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::status;

/// What a client is told when a request fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// Of the answer.
    pub(crate) status: StatusCode,
    /// `error`, `detail` and `message`.
    pub(crate) text: String,
    /// The next step for the reader.
    pub(crate) hint: Option<String>,
    /// `Retry-After`, rounded up to seconds.
    pub(crate) retry_after: Option<Duration>,
    /// True if the same request may succeed later.
    pub(crate) retryable: bool,
    /// Further members; they win over the common ones.
    pub(crate) members: Map<String, Value>,
    /// True if the audit tells of it already.
    pub(crate) audited: bool,
}

impl Problem {
    /// A problem of a status that is not worth a retry.
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            hint: None,
            retry_after: None,
            retryable: false,
            members: Map::new(),
            audited: false,
        }
    }

    /// 400
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// 404
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// 409
    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// 403 in the words that clients test for.
    pub(crate) fn denied(privilege: Privilege, object: Object<'_>) -> Self {
        let text = format!("Permission denied: {} required", privilege.permission());
        Self::new(StatusCode::FORBIDDEN, text)
            .with("sqlstate", "42501")
            .with("privilege", privilege.word())
            .with("object", object.to_string())
    }

    /// 413, naming the limit.
    pub(crate) fn too_large(what: &str, bytes_max: u64, limit: &str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} is larger than {bytes_max} bytes ({limit})"))
    }

    /// 501: a path, format or feature that this build does not have.
    pub(crate) fn not_built(feature: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{feature} is not part of this release"))
            .with("sqlstate", "0A000")
    }

    /// 503 with the node's state as reason.
    pub(crate) fn not_ready(reason: &'static str) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}"))
            .with("sqlstate", if reason == "draining" { "57P01" } else { "57P03" })
            .with("reason", reason);
        problem.retryable = true;
        problem.retry_after = Some(RETRY_UNAVAILABLE);
        problem
    }

    /// 503: as many requests as the node takes at a time are being answered.
    pub(crate) fn busy() -> Self {
        let text = "the node answers as many requests as it can at a time (requests_in_flight_max)";
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, text).with("sqlstate", "53300");
        problem.retryable = true;
        problem.retry_after = Some(RETRY_EXHAUSTED);
        problem
    }

    /// 500; the text is for the log as well.
    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text).with("sqlstate", "XX000")
    }

    /// Any crate's failure, by the one table.
    pub(crate) fn of(fault: &dyn Fault) -> Self {
        let (kind, sqlstate) = (fault.kind(), fault.sqlstate().0);
        let mut problem = Self::new(status::of(kind, sqlstate), fault.to_string()).with("sqlstate", sqlstate);
        problem.hint = fault.hint();
        if (kind, sqlstate) == (ErrorKind::Denied, TENANT_SUSPENDED) {
            problem = problem.with("reason", "tenant_suspended");
        }
        problem.audited = fault.is_audited();
        problem.retryable =
            matches!(kind, ErrorKind::Unavailable | ErrorKind::Exhausted) || sqlstate == "40001";
        problem.retry_after = match problem.status.as_u16() {
            429 => Some(RETRY_EXHAUSTED),
            503 => Some(RETRY_UNAVAILABLE),
            507 => Some(RETRY_DISK_FULL),
            _ => None,
        };
        problem
    }

    /// A statement's failure: its report with the caret, and its place in `sql`, which holds the statement at `start`.
    pub(crate) fn sql(error: &cenote_query::Error, sql: &str, start: usize) -> Self {
        let Some(place) = error.place() else {
            return Self { text: error.report(sql), ..Self::of(error) };
        };
        let place = moved(place, &sql[..start.min(sql.len())]);
        let moved = cenote_query::Error::new(error.kind(), error.to_string()).with_place(place);
        let moved = match error.hint() {
            Some(hint) => moved.with_hint(hint),
            None => moved,
        };
        Self { text: moved.report(sql), ..Self::of(error) }
            .with("line", place.line)
            .with("column", place.column)
            .with("position", place.position)
            .with("length", place.length)
    }

    /// With one more member, or another value of a common one.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same, which the audit tells of.
    pub(crate) fn audited(mut self) -> Self {
        self.audited = true;
        self
    }

    /// With a next step for the reader.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The answer on `path`.
    pub(crate) fn render(&self, path: &str, request_id: &str) -> Response {
        let compatible = is_compatible(path);
        let code = if compatible { status::influx_code(self.status) } else { status::own_code(self.status) };
        let mut body = match json!({
            "success": false,
            "error": self.text,
            "detail": self.text,
            "message": self.text,
            "type": "about:blank",
            "title": status::title(self.status),
            "status": self.status.as_u16(),
            "code": code,
            "request_id": request_id,
            "retryable": self.retryable,
        }) {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        if let Some(hint) = &self.hint {
            body.insert("hint".into(), hint.as_str().into());
        }
        body.extend(self.members.clone());
        if is_of_catalog(path) && !body.contains_key("reason") {
            let sqlstate = self.members.get("sqlstate").and_then(Value::as_str);
            body.insert("reason".into(), status::reason(self.status, sqlstate.unwrap_or_default()).into());
        }
        let media_type = if compatible { "application/json" } else { "application/problem+json" };
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(wait) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The SQLSTATE of somebody whose tenant is suspended: who he is was proven, and he may not come in.
const TENANT_SUSPENDED: &str = "28000";
const RETRY_EXHAUSTED: Duration = Duration::from_secs(1);
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);
const RETRY_DISK_FULL: Duration = Duration::from_secs(10);

/// Paths of what exists: their errors have a reason each.
fn is_of_catalog(path: &str) -> bool {
    ["/api/v1/catalogs", "/api/v1/tables"].into_iter().any(|prefix| is_below(path, prefix))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths of Arc and InfluxDB: their clients read `application/json` and InfluxDB's words.
fn is_compatible(path: &str) -> bool {
    const OWN: [&str; 20] = [
        "/api/v1/sql",
        "/api/v1/queries",
        "/api/v1/status",
        "/api/v1/catalogs",
        "/api/v1/commits",
        "/api/v1/tables",
        "/api/v1/holds",
        "/api/v1/metadata",
        "/api/v1/browser",
        "/api/v1/events",
        "/api/v1/runs",
        "/api/v1/assets",
        "/api/v1/asset-graph",
        "/api/v1/checks",
        "/api/v1/lineage",
        "/api/v1/search",
        "/api/v1/grants",
        "/api/v1/roles",
        "/api/v1/authorize",
        "/api/v1/tenants",
    ];
    let below = |prefix: &str| is_below(path, prefix);
    let foreign = ["/api/v1", "/api/v2", "/api/v3", "/write", "/query", "/ping"];
    foreign.into_iter().any(below) && !OWN.into_iter().any(below)
}

/// The place of a statement's error in the whole text, whose part before the statement is `before`.
fn moved(place: Place, before: &str) -> Place {
    let lines = before.matches('\n').count() as u64;
    let tail = before.rsplit('\n').next().unwrap_or("").chars().count() as u64;
    Place {
        line: place.line + lines,
        column: if place.line == 1 { place.column + tail } else { place.column },
        position: place.position + before.chars().count() as u64,
        length: place.length,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<cenote_catalog::Error> for Problem {
    fn from(error: cenote_catalog::Error) -> Self {
        use cenote_catalog::Error;
        let problem = Self::of(&error);
        match error {
            Error::Unauthenticated => Self { text: "Invalid or expired token".into(), ..problem },
            Error::TokenNotFound => Self { text: "Token not found".into(), ..problem },
            Error::OutcomeUnknown(_) => problem.with("reason", "outcome_unknown"),
            Error::EventsExpired { floor, .. } => problem.with("floor", floor.0),
            _ => problem,
        }
    }
}

impl From<cenote_ingest::Error> for Problem {
    fn from(error: cenote_ingest::Error) -> Self {
        use cenote_ingest::Error;
        let mut problem = Self::of(&error);
        let wait = error.retry_after();
        problem.retry_after = wait.or(problem.retry_after);
        match error {
            Error::Catalog(_) | Error::Table(_) => problem,
            // a limit that no waiting helps against is one of size
            _ if error.kind() == ErrorKind::Exhausted && wait.is_none() => {
                Self { status: StatusCode::PAYLOAD_TOO_LARGE, retryable: false, retry_after: None, ..problem }
            }
            Error::Codec(cenote_codec::Error::Unprocessable(_)) => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..problem }
            }
            Error::IdempotencyConflict => problem.with("reason", "idempotency_conflict"),
            Error::LogClosed(_) | Error::OutcomeUnknown(_) => problem.with("reason", "outcome_unknown"),
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests;
