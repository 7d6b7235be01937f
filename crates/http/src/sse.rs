//! Server-sent events: how they are asked for, answered, kept alive and ended.

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cenote_catalog::Identity;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use serde_json::json;

use crate::NodeState;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// After so long without an event a comment shows that the stream is alive.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// That comment.
pub(crate) const SILENCE: &str = ": nothing new\n\n";
/// A waiting reader asks no more often than this, however many commits bring nothing for it.
pub(crate) const OTHERS_PAUSE: Duration = Duration::from_millis(20);
const MEDIA_TYPE: &str = "text/event-stream";

/// Whether the caller wants events.
pub(crate) fn is_asked(call: &Call) -> bool {
    call.header("accept").is_some_and(|accept| accept.contains(MEDIA_TYPE))
}

/// The response of these pieces.
pub(crate) fn respond(pieces: impl Stream<Item = impl Into<Bytes>> + Send + 'static) -> Response {
    let pieces = pieces.map(|piece| Ok::<Bytes, std::io::Error>(piece.into()));
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Something that is read page by page, as long as somebody listens.
pub(crate) trait Feed: Send + 'static {
    /// The next events as text; none: the stream is over.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, Problem>> + Send;
}

/// The response of a feed; it ends behind an event `error` if the feed fails.
pub(crate) fn follow(feed: impl Feed) -> Response {
    respond(stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(piece) => Some((piece?, Some(feed))),
            Err(problem) => {
                let data = json!({"error": problem.text, "status": problem.status.as_u16()});
                Some((format!("event: error\ndata: {data}\n\n").into_bytes(), None))
            }
        }
    }))
}

/// The page, or none if the node drains meanwhile. Fails if the caller's token has ended.
pub(crate) async fn listen<T>(
    app: &App,
    identity: &Identity,
    page: impl Future<Output = Result<T, Problem>>,
) -> Result<Option<T>, Problem> {
    app.services()?.catalog.check_tenant_works(&identity.scope).await?;
    if !app.services()?.catalog.is_valid(identity).await? {
        return Err(cenote_catalog::Error::Unauthenticated.into());
    }
    let mut state = app.http.state.clone();
    let draining = async move {
        // a closed channel is a node that is gone
        drop(state.wait_for(|state| *state == NodeState::Draining).await);
    };
    tokio::select! {
        page = page => page.map(Some),
        () = draining => Ok(None),
    }
}
