//! A change by a statement, which a request may ask for under an `Idempotency-Key`: done once, answered as the first time.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use cenote_query::Session;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{execute, failed};
use crate::app::App;
use crate::call::Call;
use crate::database;
use crate::problem::Problem;
use crate::routes::once::Once;

/// A change that is asked for.
pub(in crate::routes) struct Keyed<'a> {
    app: &'a App,
    call: &'a Call,
    once: Once<'a>,
    status: StatusCode,
}

impl<'a> Keyed<'a> {
    /// `what` is method and path, `sent` the body as far as it tells requests apart, `told` what a repeat is told if the first answer
    /// was lost.
    pub(in crate::routes) fn of(
        app: &'a App,
        call: &'a Call,
        (what, sent): (&str, &Value),
        (status, told): (StatusCode, Value),
    ) -> Result<Self, Problem> {
        let once = Once::of(app, call, what, sent)?.of_object(status, told);
        Ok(Self { app, call, once, status })
    }

    /// The answer, if the same was asked before under the same key.
    pub(in crate::routes) async fn answered(&self) -> Result<Option<Response>, Problem> {
        self.once.answered().await
    }

    /// A session whose next commit takes the key.
    pub(in crate::routes) async fn session(&self) -> Result<Session, Problem> {
        let call = self.call;
        let mut options = call.session(database::selected(&call.headers, &call.parameters)?);
        if let Some((key, _)) = self.once.key() {
            options.settings.push(("idempotency_key".into(), key.to_owned()));
        }
        let engine = &self.app.services()?.engine;
        let session = engine.open_session(call.identity.clone(), options).await.map_err(failed)?;
        if let Some((_, state)) = self.once.key() {
            session.identify_request(state);
        }
        Ok(session)
    }

    /// The answer to what was done, which is nothing if that is null; of what could not be done, if the same request has been done
    /// meanwhile, the answer of that one: it failed over what that one did.
    pub(in crate::routes) async fn end(self, done: Result<Value, Problem>) -> Result<Response, Problem> {
        let body = match done {
            Ok(Value::Null) => String::new(),
            Ok(value) => value.to_string(),
            Err(problem) => return self.once.answered().await?.ok_or(problem),
        };
        match self.once.settle(self.status, &body).await? {
            Some(settled) => Ok(settled),
            None => Ok(answer(self.status, body)),
        }
    }
}

/// Runs one statement, once under the request's key; its answer is known before it.
pub(in crate::routes) async fn state(
    app: &App,
    call: &Call,
    asked: (&str, &Value),
    sql: &str,
    (status, answer): (StatusCode, Value),
) -> Result<Response, Problem> {
    let keyed = Keyed::of(app, call, asked, (status, answer.clone()))?;
    if let Some(known) = keyed.answered().await? {
        return Ok(known);
    }
    let session = keyed.session().await?;
    let done = execute(&session, sql).await.map(|()| answer);
    keyed.end(done).await
}

fn answer(status: StatusCode, body: String) -> Response {
    if body.is_empty() {
        return status.into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 501 for a key on what takes none yet: it is never taken and forgotten.
pub(in crate::routes) fn takes_no_key(call: &Call, feature: &str) -> Result<(), Problem> {
    match call.header("idempotency-key") {
        None => Ok(()),
        Some(_) => Err(Problem::not_built(&format!("an Idempotency-Key on {feature}"))),
    }
}
