//! The feed as server-sent events.
//!
//! The stream ends when the token ends, when the node drains, or after an event `error`.

use axum::response::Response;

use super::{Page, Reader, place, shown};
use crate::app::App;
use crate::problem::Problem;
use crate::sse::{self, SILENCE_MAX};

/// Events of one piece of the stream.
const PIECE: usize = 1_000;

/// The response; a problem of the first piece is answered with its own status.
pub(super) async fn respond(app: App, mut reader: Reader) -> Result<Response, Problem> {
    let first = reader.page(&app, PIECE).await?;
    Ok(sse::follow(Events { app, reader, first: Some(first) }))
}

struct Events {
    app: App,
    reader: Reader,
    first: Option<Page>,
}

impl sse::Feed for Events {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let page = match self.first.take() {
            Some(first) => Some(first),
            None => {
                let identity = self.reader.call.identity.clone();
                let page = self.reader.page_within(&self.app, PIECE, SILENCE_MAX);
                sse::listen(&self.app, &identity, page).await?
            }
        };
        Ok(page.map(|page| written(&page).into_bytes()))
    }
}

/// One event each. If there is none, only how far the feed is read, so that a reader of rare events resumes there.
fn written(page: &Page) -> String {
    if page.events.is_empty() {
        return format!(": nothing new\nid: {}\n\n", page.next);
    }
    page.events.iter().map(|event| format!("id: {}\ndata: {}\n\n", place(event), shown(event))).collect()
}
