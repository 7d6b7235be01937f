//! Once: a change that is sent again under the same `Idempotency-Key` is made once, and answered as the first time.
//!
//! The key is a producer of the ledger, as it is for writes of rows; its one epoch is in the commit itself, so that a commit and
//! its key are there together or not at all. What was asked and what was answered is the producer's state. An answer that is known
//! before the commit goes in with it; another is stored behind it by the attempt that committed, and given to nobody before: all
//! who ask get the same bytes. If the process dies between the two, all get what the commit itself tells.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cenote_catalog::{Commit, Producer};
use cenote_vocab::{Epoch, Txn};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::write_options::idempotency_key;
use crate::app::App;
use crate::call::Call;
use crate::database::selected;
use crate::problem::Problem;

/// Bytes of an answer that is kept (`idempotency_answer_bytes_max`); of a longer one a repeat gets what the commit tells.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// For how long a repeat waits for the answer of a request that has committed and not answered.
const PATIENCE: Duration = Duration::from_secs(2);
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TXN: HeaderName = HeaderName::from_static("x-cenote-txn");

/// A request that may have a key.
pub(super) struct Once<'a> {
    app: &'a App,
    call: &'a Call,
    key: Option<Key>,
    told: Told,
}

/// What a commit tells by itself whose answer was lost.
enum Told {
    /// Of a text of so many statements: that they were done.
    Statements(usize),
    /// The status, and what was asked for.
    Object(StatusCode, Value),
}

/// A key, and what is asked under it.
struct Key {
    /// As it was sent.
    text: String,
    /// Its name in the ledger.
    producer: String,
    /// Hash of what is asked.
    request: String,
    /// This request, among those that ask the same.
    attempt: Uuid,
}

/// The state of the key's producer.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Hash of what was asked.
    request: String,
    /// The request that committed: only what that one found out is the answer.
    #[serde(default)]
    attempt: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    body: String,
}

/// What the ledger says of a key.
struct Known {
    txn: Txn,
    state: Bytes,
    answer: Option<Answer>,
}

impl<'a> Once<'a> {
    /// The request for `what` (method and path) with this body.
    pub(super) fn of(app: &'a App, call: &'a Call, what: &str, body: &Value) -> Result<Self, Problem> {
        let mut once = Self { app, call, key: None, told: Told::Statements(0) };
        let Some(text) = idempotency_key(&call.headers)? else { return Ok(once) };
        let database = selected(&call.headers, &call.parameters)?.unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [what, &database, &body.to_string()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let request = hex::encode(hash.finalize());
        let producer = format!("client/{}/{text}", call.identity.token.name);
        once.key = Some(Key { text, producer, request, attempt: app.http.ids.uuid() });
        Ok(once)
    }

    /// The same, of a text of so many statements.
    pub(super) fn of_statements(self, statements: usize) -> Self {
        Self { told: Told::Statements(statements), ..self }
    }

    /// The same, of a change of an object.
    pub(super) fn of_object(self, status: StatusCode, object: Value) -> Self {
        Self { told: Told::Object(status, object), ..self }
    }

    /// The key, and what the commit is to keep beside it while its answer is not known.
    pub(super) fn key(&self) -> Option<(&str, Vec<u8>)> {
        self.key.as_ref().map(|key| (key.text.as_str(), key.kept(None).into()))
    }

    /// The answer to what was asked before under the key; `None` if there is no key, or it is free. 409 if something else was
    /// asked under it.
    pub(super) async fn answered(&self) -> Result<Option<Response>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Before the look: what is stored behind it rings.
            let mut kept = std::pin::pin!(self.app.kept.notified());
            kept.as_mut().enable();
            let Some(known) = self.known(key).await? else { return Ok(None) };
            if let Some(answer) = known.answer {
                return Ok(Some(respond(answer, known.txn, true)));
            }
            if tokio::time::timeout_at(until, kept).await.is_ok() {
                continue;
            }
            let answer = self.told(known.txn);
            self.keep(key, &known.state, answer).await?; // another may have been first: then its answer is found
        }
    }

    /// Applies a commit whose answer is known before it.
    pub(super) async fn apply(
        &self,
        commit: Commit,
        (status, body): (StatusCode, Value),
        refused: impl FnOnce(cenote_catalog::Error) -> Problem,
    ) -> Result<Response, Problem> {
        let answer = || Answer { status: status.as_u16(), body: body.to_string() };
        let producers = self.key.iter().map(|key| Producer {
            name: key.producer.clone(),
            epoch: Epoch(1),
            fence: None,
            state: Some(key.kept(Some(answer()))),
            tables: None,
        });
        let commit = Commit { producers: producers.collect(), ..commit };
        let committed = self.app.services()?.catalog.apply(commit).await.map_err(refused)?;
        match committed.superseded {
            true => {
                self.answered().await?.ok_or_else(|| Problem::internal("a key was used and is not known"))
            }
            false => Ok(respond(answer(), committed.txn, false)),
        }
    }

    /// The answer to a request that was done just now: this one if it is the one that committed, else what that one answers. `None`
    /// if nothing was committed under the key.
    pub(super) async fn settle(&self, status: StatusCode, body: &str) -> Result<Option<Response>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let Some(known) = self.known(key).await? else { return Ok(None) };
        if known.state != key.kept(None) {
            return self.answered().await; // a twin committed: this one only saw that it had
        }
        let whole = || Answer { status: status.as_u16(), body: body.to_owned() };
        let answer = if body.len() <= ANSWER_BYTES_MAX { whole() } else { self.told(known.txn) };
        if self.keep(key, &known.state, answer).await? {
            return Ok(Some(respond(whole(), known.txn, false)));
        }
        self.answered().await // one who waited too long told what the commit tells
    }

    async fn known(&self, key: &Key) -> Result<Option<Known>, Problem> {
        let catalog = &self.app.services()?.catalog;
        let found = catalog.producer(&self.call.identity.scope, &key.producer).await?;
        let Some((_, txn, state)) = found.filter(|(epoch, ..)| *epoch >= Epoch(1)) else { return Ok(None) };
        let state = state.unwrap_or_default();
        match serde_json::from_slice::<Kept>(&state) {
            Ok(kept) if kept.request == key.request => Ok(Some(Known { txn, state, answer: kept.answer })),
            _ => Err(Problem::conflict("idempotency key was used with another request")
                .with("reason", "idempotency_conflict")),
        }
    }

    /// Stores an answer behind the commit; false if there is one.
    async fn keep(&self, key: &Key, from: &Bytes, answer: Answer) -> Result<bool, Problem> {
        let (catalog, scope) = (&self.app.services()?.catalog, &self.call.identity.scope);
        let kept = key.kept(Some(answer));
        let is_first = catalog.replace_producer_state(scope, &key.producer, from, &kept).await?;
        self.app.kept.notify_waiters();
        Ok(is_first)
    }

    fn told(&self, txn: Txn) -> Answer {
        match &self.told {
            Told::Statements(statements) => {
                let result = json!({"command": null, "row_count": 0, "rows_affected": null, "txn": txn.0});
                let body = json!({"success": true, "results": vec![result; *statements]});
                Answer { status: 200, body: body.to_string() }
            }
            Told::Object(StatusCode::NO_CONTENT, _) => Answer { status: 204, body: String::new() },
            Told::Object(status, object) => {
                let mut told = object.clone();
                told["txn"] = txn.0.into();
                Answer { status: status.as_u16(), body: told.to_string() }
            }
        }
    }
}

impl Key {
    fn kept(&self, answer: Option<Answer>) -> Bytes {
        let kept = Kept { request: self.request.clone(), attempt: self.attempt, answer };
        serde_json::to_vec(&kept).unwrap_or_default().into()
    }
}

fn respond(answer: Answer, txn: Txn, replayed: bool) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(TXN, HeaderValue::from(txn.0));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
