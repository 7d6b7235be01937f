//! The feed as server-sent events.
//!
//! The stream ends when the token ends, when the node drains, or after an event `error`.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use serde_json::json;

use super::{Page, Reader, place, shown};
use crate::NodeState;
use crate::app::App;
use crate::problem::Problem;

/// Events of one piece of the stream.
const PIECE: usize = 1_000;
/// After so long without an event a comment shows that the stream is alive.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The response; a problem of the first piece is answered with its own status.
pub(super) async fn respond(app: App, mut reader: Reader) -> Result<Response, Problem> {
    let first = reader.page(&app, PIECE).await?;
    let events = Events { app, reader, first: Some(first), over: false };
    let pieces = stream::unfold(events, |mut events| async move {
        let piece = events.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), events))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Events {
    app: App,
    reader: Reader,
    first: Option<Page>,
    over: bool,
}

impl Events {
    /// The next bytes; none: the stream is over.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        match self.page().await {
            Ok(page) => page.map(|page| written(&page)),
            Err(problem) => {
                self.over = true;
                let data = json!({"error": problem.text, "status": problem.status.as_u16()});
                Some(format!("event: error\ndata: {data}\n\n"))
            }
        }
    }

    async fn page(&mut self) -> Result<Option<Page>, Problem> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let identity = &self.reader.call.identity;
        if !self.app.services()?.catalog.is_valid(identity).await? {
            return Err(cenote_catalog::Error::Unauthenticated.into());
        }
        let mut state = self.app.http.state.clone();
        let draining = async move {
            // a closed channel is a node that is gone
            drop(state.wait_for(|state| *state == NodeState::Draining).await);
        };
        tokio::select! {
            page = self.reader.page_within(&self.app, PIECE, SILENCE_MAX) => Ok(Some(page?)),
            () = draining => Ok(None),
        }
    }
}

/// One event each. If there is none, only how far the feed is read, so that a reader of rare events resumes there.
fn written(page: &Page) -> String {
    if page.events.is_empty() {
        return format!(": nothing new\nid: {}\n\n", page.next);
    }
    page.events.iter().map(|event| format!("id: {}\ndata: {}\n\n", place(event), shown(event))).collect()
}
