//! What happens around every handler.
//!
//! ```text
//! observe: id, span, panic, metrics, headers, error body ─► gate: paired headers, ready?, identity ─► handler
//! ```
//! Invariant: a path that is not in [`is_public`] reaches its handler only with a proven identity, on a ready node.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cenote_catalog::{AuditEntry, Caller, Identity};
use futures::FutureExt;
use http::{HeaderValue, Method, StatusCode, header};
use tracing::Instrument;

use crate::app::App;
use crate::auth::identify;
use crate::call::{PROTOCOL, RequestId, address};
use crate::database::check_pairs;
use crate::metrics::{RequestLabels, RouteLabels};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::routes::PREFIX;

const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_MAX: usize = 128;

/// The outermost layer: every request leaves with an id, counted, and with the one error body if it failed.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&app, &request);
    let path = request.uri().path().to_owned();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("http", request_id = %id, method, route = %route);
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response =
        answered.unwrap_or_else(|panic| Problem::internal(panic_text(&*panic)).into_response());
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = rendered(response, &problem, &path, &id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let (status, took) = (response.status().as_u16(), began.elapsed());
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    let labels = RequestLabels { method, route: route.clone(), status };
    app.metrics.requests.get_or_create(&labels).inc();
    app.metrics.durations.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    response
}

/// The inner layer: only public paths answer before the node is ready and without a credential.
pub(crate) async fn gate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check_pairs(request.headers())?;
    if is_public(request.uri().path()) {
        return Ok(next.run(request).await);
    }
    app.services()?;
    let Ok(_place) = app.in_flight.try_acquire() else {
        return Err(Problem::busy());
    };
    let parameters = Parameters::parse(request.uri().query().unwrap_or(""));
    let identity = identify(&app, request.headers(), &parameters, address(&request)).await?;
    let asked = Asked::of(&request, &identity);
    request.extensions_mut().insert(identity);
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN {
        asked.audit_denied(&app, response.extensions().get::<Problem>()).await?;
    }
    Ok(response)
}

/// A request as the audit tells of it.
struct Asked {
    identity: Identity,
    method: &'static str,
    route: Option<MatchedPath>,
    address: Option<std::net::IpAddr>,
    request_id: Option<Arc<str>>,
}

impl Asked {
    fn of(request: &Request, identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            method: method_name(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            address: address(request),
            request_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()),
        }
    }

    /// Notes that a right was lacking, unless that was noted where it was found out.
    async fn audit_denied(self, app: &App, problem: Option<&Problem>) -> Result<(), Problem> {
        let is_new =
            |problem: &&Problem| !problem.audited && problem.members.get("sqlstate") == Some(&"42501".into());
        let Some(problem) = problem.filter(is_new) else { return Ok(()) };
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let action = if route == "/api/v1/commits" { "commit_deny" } else { "request_deny" };
        let caller =
            Caller::of(&self.identity, PROTOCOL).at(self.address).by_request(self.request_id.as_deref());
        let entry = AuditEntry::refused(caller, action, &problem.text)
            .about(problem.members.get("object").and_then(|object| object.as_str()))
            .with_detail(Some(format!("{} {route}", self.method)));
        app.services()?.catalog.audit(Some(&self.identity.scope), entry).await;
        Ok(())
    }
}

/// Paths that need no credential (ingest page, 1). The path has no trailing slash any more.
fn is_public(path: &str) -> bool {
    // a signed URL is its own credential
    path.starts_with(PREFIX)
        || matches!(
            path,
            "/" | "/health"
                | "/healthz"
                | "/livez"
                | "/ready"
                | "/readyz"
                | "/ping"
                | "/api/v1/auth/verify"
                | "/openapi.json"
        )
}

/// The client's id if it is one, else a new one.
fn request_id(app: &App, request: &Request) -> Arc<str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(allowed)) {
        Some(id) => id.into(),
        None => app.http.ids.uuid().to_string().into(),
    }
}

fn rendered(response: Response, problem: &Problem, path: &str, id: &str) -> Response {
    if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id = id, error = problem.text, "request failed");
    }
    let mut rendered = problem.render(path, id);
    // a handler's own headers stay, such as Allow
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the request's handler panicked: {}", text.unwrap_or("without a text"))
}

/// A closed set: a client's invented methods are no labels.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
