//! What happened in the catalog, in the order of its commits: pages that a client asks for, or events as they come.

mod stream;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cenote_catalog::{Event, Privilege};
use cenote_vocab::Txn;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::sse;

/// Events of a page, if `limit` does not say another number; most of them.
const LIMIT: u64 = 500;
const LIMIT_MAX: u64 = 5_000;
/// Events that are read at a time; those that nobody asked for are left out then.
const READ: usize = 1_000;
/// How often one page reads on while it finds nothing that was asked for: then it answers how far it got.
const READS_MAX: usize = 20;
/// Longest wait for news.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Events after a transaction, in order; `next` is the transaction to ask for then. Transactions are never cut: a page may hold
/// more than `limit` events for the sake of one. With `Accept: text/event-stream` they come as they happen until the client
/// goes, each with its place as `id`, and `Last-Event-ID` resumes.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "metadata",
    params(
        ("after" = Option<i64>, Query, description = "everything up to this transaction is known; of a stream without it: from now on"),
        ("kinds" = Option<String>, Query, description = "a comma list such as run.*,table.committed"),
        ("object" = Option<String>, Query, description = "an object's id, or schema.name"),
        ("run_id" = Option<String>, Query), ("limit" = Option<u64>, Query, description = "500 without it, 5000 at most"),
        ("wait_ms" = Option<u64>, Query, description = "wait for an event, 30000 at most"),
        ("Last-Event-ID" = Option<String>, Header, description = "of a stream: instead of after"),
    ),
    responses(
        (status = 200, description = "events, next and head", body = Object,
            example = json!({"events": [{"txn": 7, "n": 0, "id": "7.0", "at": "2026-01-01T00:00:00.000000Z", "kind": "table.created",
                "object": {"type": "table", "id": "4294967297", "schema": "default", "name": "cpu"}, "operation": "create_table",
                "actor": "admin", "payload": null}], "next": 9, "head": 9})),
        (status = 400, description = "a bad parameter, or a transaction above the newest"),
        (status = 410, description = "events that are no longer kept; `floor` says from where on they are"),
    )
)]
pub(super) async fn events(State(app): State<App>, call: Call) -> Result<Response, Problem> {
    call.require_somewhere(Privilege::Use)?;
    call.parameters.only(&["after", "kinds", "object", "run_id", "limit", "wait_ms", "u", "p"])?;
    let as_stream = sse::is_asked(&call);
    let mut reader = Reader::of(&app, call, as_stream).await?;
    if as_stream {
        return stream::respond(app, reader).await;
    }
    let limit = reader.call.parameters.number("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}")));
    }
    let wait = Duration::from_millis(reader.call.parameters.number("wait_ms")?.unwrap_or(0));
    if wait > WAIT_MAX {
        let text = format!("wait_ms must be at most {}, got {}", WAIT_MAX.as_millis(), wait.as_millis());
        return Err(Problem::bad_request(text));
    }
    let page = reader.page_within(&app, usize::try_from(limit).unwrap_or(usize::MAX), wait).await?;
    let events: Vec<Value> = page.events.iter().map(shown).collect();
    Ok(Json(json!({"events": events, "next": page.next.0, "head": page.head.0})).into_response())
}

/// A place in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Everything up to here is known.
    after: Txn,
    /// Of the transaction behind it, everything up to this place is known too.
    within: Option<i64>,
}

impl Place {
    /// `txn`, or `txn.n` as events have it.
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        match text.split_once('.') {
            None => Some(Self { after: Txn(number(text)?), within: None }),
            Some((txn, n)) => Some(Self { after: Txn((number(txn)? - 1).max(0)), within: Some(number(n)?) }),
        }
    }

    fn knows(self, event: &Event) -> bool {
        event.txn <= self.after
            || self.within.is_some_and(|n| event.txn.0 == self.after.0 + 1 && event.n <= n)
    }
}

/// One reader of the feed, and what it asked for.
struct Reader {
    call: Call,
    place: Place,
    kinds: Vec<String>,
    object: Option<String>,
    run: Option<Uuid>,
}

/// Some events.
struct Page {
    events: Vec<Event>,
    /// Everything up to here has been answered.
    next: Txn,
    /// The newest transaction.
    head: Txn,
}

impl Reader {
    async fn of(app: &App, call: Call, as_stream: bool) -> Result<Self, Problem> {
        let parameter = |name: &str| call.parameters.first(&[name]).map(str::to_owned);
        let last = call.header("last-event-id").filter(|_| as_stream).map(str::to_owned);
        let place = match (last, parameter("after")) {
            (Some(last), _) => Place::parse(&last)
                .ok_or_else(|| Problem::bad_request(format!("Last-Event-ID is no place: {last:?}")))?,
            (None, Some(after)) => Place::parse(&after)
                .filter(|place| place.within.is_none())
                .ok_or_else(|| Problem::bad_request(format!("after must be a transaction, got {after:?}")))?,
            (None, None) if as_stream => {
                let head = app.services()?.catalog.head(&call.identity.scope).await?;
                Place { after: head.txn, within: None }
            }
            (None, None) => {
                return Err(Problem::bad_request("after is required: a transaction")
                    .hinted("0 stands for everything that is kept"));
            }
        };
        let run = parameter("run_id").map(|id| {
            id.parse::<Uuid>().map_err(|_| Problem::bad_request(format!("run_id {id:?} is no UUID")))
        });
        let kinds = parameter("kinds").unwrap_or_default();
        let kinds = kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty()).map(str::to_owned);
        let kinds = kinds.collect();
        Ok(Self { kinds, object: parameter("object"), run: run.transpose()?, place, call })
    }

    /// The next events; if there are none, those that a commit within `wait` brings.
    async fn page_within(&mut self, app: &App, limit: usize, wait: Duration) -> Result<Page, Problem> {
        let mut page = self.page(app, limit).await?;
        let catalog = &app.services()?.catalog;
        let news = async {
            while page.events.is_empty() {
                let waits = page.next >= page.head;
                if waits {
                    catalog.changed(&self.call.identity.scope, page.head).await;
                }
                page = self.page(app, limit).await?;
                if waits && page.events.is_empty() {
                    tokio::time::sleep(sse::OTHERS_PAUSE).await; // nothing of the commit was asked for
                }
            }
            Ok::<(), Problem>(())
        };
        // if nothing comes in time, the empty page is the answer
        if let Ok(outcome) = tokio::time::timeout(wait, news).await {
            outcome?;
        }
        Ok(page)
    }

    async fn page(&mut self, app: &App, limit: usize) -> Result<Page, Problem> {
        let catalog = &app.services()?.catalog;
        let mut page = Page { events: Vec::new(), next: self.place.after, head: Txn(0) };
        for _ in 0..READS_MAX {
            let read = catalog.events(&self.call.identity.scope, page.next, READ).await?;
            (page.next, page.head) = (read.next, read.head);
            let wanted = read.events.into_iter().filter(|event| self.wants(event));
            page.next = take(&mut page.events, wanted, limit).unwrap_or(page.next);
            if page.events.len() >= limit || page.next >= page.head {
                break;
            }
        }
        if page.next > self.place.after {
            self.place = Place { after: page.next, within: None };
        }
        Ok(page)
    }

    /// True for what was asked for and may be seen.
    fn wants(&self, event: &Event) -> bool {
        let kind = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => event.kind.starts_with(beginning),
            None => event.kind == *wanted,
        };
        let is_object = |object: &String| {
            let full = event.schema.iter().chain(&event.name).cloned().collect::<Vec<_>>().join(".");
            event.object_id == *object || full == *object
        };
        let of_run = |run: &Uuid| event.run == Some(*run) || event.object_id == run.to_string();
        (self.kinds.is_empty() || self.kinds.iter().any(kind))
            && self.object.as_ref().is_none_or(is_object)
            && self.run.as_ref().is_none_or(of_run)
            && !self.place.knows(event)
            && self.may_see(event)
    }

    /// What the caller may know of; what has no name, by the right to read all metadata.
    fn may_see(&self, event: &Event) -> bool {
        let identity = &self.call.identity;
        match (&event.schema, &event.name) {
            (Some(schema), name) => identity.allows(Privilege::Use, schema, name.as_deref()),
            _ => identity.allows_everywhere(Privilege::ReadMetadata),
        }
    }
}

/// Takes events, whole transactions, until there are `limit`; answers how far that goes if there are more.
fn take(events: &mut Vec<Event>, more: impl Iterator<Item = Event>, limit: usize) -> Option<Txn> {
    for event in more {
        if events.len() >= limit && events.last().is_some_and(|last| last.txn != event.txn) {
            return Some(Txn(event.txn.0 - 1));
        }
        events.push(event);
    }
    None
}

fn shown(event: &Event) -> Value {
    let payload: Option<Value> = event.payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "txn": event.txn.0,
        "n": event.n,
        "id": place(event),
        "at": event.at.rfc3339(),
        "kind": event.kind,
        "object": {"type": event.object_type, "id": event.object_id, "schema": event.schema, "name": event.name},
        "operation": event.operation,
        "actor": event.actor,
        "request_id": event.request_id,
        "run_id": event.run,
        "payload": payload,
    })
}

fn place(event: &Event) -> String {
    format!("{}.{}", event.txn, event.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(txn: i64, n: i64) -> Event {
        Event {
            txn: Txn(txn),
            n,
            at: cenote_vocab::Micros(0),
            kind: String::new(),
            object_type: String::new(),
            object_id: String::new(),
            schema: None,
            name: None,
            operation: String::new(),
            actor: None,
            request_id: None,
            run: None,
            payload: None,
        }
    }

    #[test]
    fn a_place_is_a_transaction_or_an_event_of_one() {
        let place = Place::parse("7.2").expect("a place");
        let known = [(6, 9), (7, 2), (7, 3), (8, 0)].map(|(txn, n)| place.knows(&event(txn, n)));
        assert_eq!(known, [true, true, false, false]);
        let place = Place::parse("7").expect("a place");
        assert!(place.knows(&event(7, 3)) && !place.knows(&event(8, 0)));
        for bad in ["", "x", "-1", "1.x", "1.2.3", "."] {
            assert!(Place::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_page_ends_between_transactions() {
        let events = || [(1, 0), (2, 0), (2, 1), (4, 0)].map(|(txn, n)| event(txn, n)).into_iter();
        for (limit, count, next) in [(1, 1, Some(1)), (2, 3, Some(3)), (3, 3, Some(3)), (4, 4, None)] {
            let mut taken = Vec::new();
            let reached = take(&mut taken, events(), limit);
            assert_eq!((taken.len(), reached), (count, next.map(Txn)), "{limit}");
        }
    }
}
