//! A running statement becomes a response: its beginning is held back, so that most failures get their own status.
//!
//! Invariant: an answer that was cut short never ends like a whole one. A failure after the status line ends the
//! transfer without its last chunk (HTTP/1.1) or with RST_STREAM (HTTP/2).

use std::io;
use std::time::Instant;

use arrow::error::ArrowError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cenote_query::{Error, Execution, Session};
use cenote_vocab::{Clock, ErrorKind};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::StreamBody;
use hyper::body::Frame;

use crate::encode::{Break, Encoder, Summary};
use crate::problem::Problem;

/// Bytes of an answer that are held back before its status line.
const HELD_BACK: usize = 1 << 20;
/// Bytes that are encoded before they are handed to the connection.
const CHUNK: usize = 64 << 10;
/// Values that are encoded on the thread that answers; more go to a thread for work.
const INLINE_VALUES_MAX: usize = 4_096;

/// A statement on its way out.
pub(crate) struct Answer {
    /// Dropped with the answer: a client that goes away cancels its statement.
    execution: Execution,
    /// Ends after the execution.
    _session: Session,
    /// Away while it works on another thread; gone if that thread panicked.
    encoder: Option<Box<dyn Encoder>>,
    media_type: &'static str,
    about: About,
    rows: u64,
}

/// What an answer says besides its rows.
pub(crate) struct About {
    /// The statement's text, for reports.
    pub(crate) sql: String,
    /// Where in the text the statement starts.
    pub(crate) start: usize,
    /// When the request began.
    pub(crate) began: Instant,
    /// Milliseconds until the execution was there.
    pub(crate) planner_ms: f64,
    /// Whether `profile` was asked for.
    pub(crate) profile: bool,
    /// `max_rows`
    pub(crate) rows_max: Option<u64>,
    /// For the answer's `timestamp`.
    pub(crate) clock: Clock,
}

/// Whether more bytes will come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Perhaps,
    No,
}

impl Answer {
    pub(crate) fn new(
        execution: Execution,
        session: Session,
        encoder: Box<dyn Encoder>,
        about: About,
    ) -> Self {
        let media_type = encoder.media_type();
        Self { execution, _session: session, encoder: Some(encoder), media_type, about, rows: 0 }
    }

    /// The response. Fails with the statement's problem as long as no byte has left.
    pub(crate) async fn respond(mut self) -> Result<Response, Problem> {
        let mut held = Vec::new();
        match self.hold_back(&mut held).await {
            Ok(More::Perhaps) => Ok(self.streamed(held)),
            Ok(More::No) => Ok(self.whole(held)),
            Err(error) => Err(Problem::sql(&error, &self.about.sql, self.about.start)),
        }
    }

    async fn hold_back(&mut self, held: &mut Vec<u8>) -> Result<More, Error> {
        let schema = self.execution.schema.clone();
        self.encoder()?.begin(&schema, held).map_err(unprintable)?;
        while held.len() < HELD_BACK {
            if self.more(held).await? == More::No {
                return Ok(More::No);
            }
        }
        Ok(More::Perhaps)
    }

    /// Appends the next batch, or what stands after the last, to `out`; nothing of it after a failure.
    async fn more(&mut self, out: &mut Vec<u8>) -> Result<More, Error> {
        let Some(batch) = self.execution.batches.next().await.transpose()? else {
            let summary = self.summary();
            self.encoder()?.end(&summary, out).map_err(unprintable)?;
            return Ok(More::No);
        };
        let rows = batch.num_rows() as u64;
        let whole_rows = out.len();
        let encoded = if batch.num_rows() * batch.num_columns() <= INLINE_VALUES_MAX {
            self.encoder()?.batch(&batch, out)
        } else {
            let mut encoder = self.encoder.take().ok_or_else(encoder_lost)?;
            let mut bytes = std::mem::take(out);
            let work = tokio::task::spawn_blocking(move || {
                let encoded = encoder.batch(&batch, &mut bytes);
                (encoder, bytes, encoded)
            });
            let (encoder, bytes, encoded) = work.await.map_err(|_| encoder_lost())?;
            self.encoder = Some(encoder);
            *out = bytes;
            encoded
        };
        if let Err(error) = encoded {
            out.truncate(whole_rows);
            return Err(unprintable(error));
        }
        self.rows += rows;
        Ok(More::Perhaps)
    }

    fn encoder(&mut self) -> Result<&mut Box<dyn Encoder>, Error> {
        self.encoder.as_mut().ok_or_else(encoder_lost)
    }

    fn summary(&self) -> Summary {
        let outcome = self.execution.outcome();
        Summary {
            rows: self.rows,
            execution_ms: milliseconds(self.about.began),
            planner_ms: self.about.planner_ms,
            timestamp: self.about.clock.now().rfc3339(),
            row_cap: self.about.rows_max.filter(|_| outcome.truncated),
            outcome,
            profile: self.about.profile,
        }
    }

    fn whole(self, bytes: Vec<u8>) -> Response {
        let mut response = Response::new(Body::from(bytes));
        self.write_head(response.headers_mut());
        self.write_counts(response.headers_mut());
        response
    }

    fn streamed(self, held: Vec<u8>) -> Response {
        let mut head = HeaderMap::new();
        self.write_head(&mut head);
        head.insert(
            header::TRAILER,
            HeaderValue::from_static(
                "x-row-count, x-execution-time-ms, arc-execution-time-ms, x-cenote-truncated",
            ),
        );
        let frames = stream::unfold(Step::Held(Box::new(self), held), Step::next);
        let mut response = Response::new(Body::new(StreamBody::new(frames)));
        *response.headers_mut() = head;
        response
    }

    fn write_head(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Ok(id) = HeaderValue::from_str(&self.execution.query_id) {
            headers.insert("x-cenote-query-id", id.clone());
            headers.insert("x-arc-query-id", id);
        }
        if let Some(txn) = self.execution.outcome().txn {
            headers.insert("x-cenote-txn", HeaderValue::from(txn.0));
        }
    }

    /// Row count and time: headers of an answer that fitted, trailers of one that did not.
    fn write_counts(&self, headers: &mut HeaderMap) {
        let took = HeaderValue::from_str(&format!("{:.3}", milliseconds(self.about.began)));
        headers.insert("x-row-count", HeaderValue::from(self.rows));
        if let Ok(took) = took {
            headers.insert("x-execution-time-ms", took.clone());
            headers.insert("arc-execution-time-ms", took);
        }
        if self.execution.outcome().truncated {
            headers.insert("x-cenote-truncated", HeaderValue::from_static("true"));
        }
    }
}

/// Where a streamed answer stands.
enum Step {
    Held(Box<Answer>, Vec<u8>),
    Send(Box<Answer>),
    Trailers(Box<Answer>),
    BreakOff,
    Over,
}

impl Step {
    async fn next(self) -> Option<(Result<Frame<Bytes>, io::Error>, Self)> {
        match self {
            Self::Held(answer, bytes) => Some((Ok(Frame::data(Bytes::from(bytes))), Self::Send(answer))),
            Self::Send(answer) => answer.chunk().await,
            Self::Trailers(answer) => {
                let mut trailers = HeaderMap::new();
                answer.write_counts(&mut trailers);
                Some((Ok(Frame::trailers(trailers)), Self::Over))
            }
            Self::BreakOff => {
                // once pending: the connection sends what it holds before it learns that nothing follows
                tokio::task::yield_now().await;
                let error = io::Error::other("the statement failed after its answer had begun");
                Some((Err(error), Self::Over))
            }
            Self::Over => None,
        }
    }
}

impl Answer {
    async fn chunk(mut self: Box<Self>) -> Option<(Result<Frame<Bytes>, io::Error>, Step)> {
        let mut bytes = Vec::new();
        let next = loop {
            match self.more(&mut bytes).await {
                Ok(More::Perhaps) if bytes.len() < CHUNK => {}
                Ok(More::Perhaps) => break Step::Send(self),
                Ok(More::No) => break Step::Trailers(self),
                Err(error) => {
                    tracing::debug!(query_id = self.execution.query_id, %error, "an answer broke off");
                    if let Ok(encoder) = self.encoder() {
                        encoder.fail(&Break::of(&error), &mut bytes);
                    }
                    break Step::BreakOff;
                }
            }
        };
        Some((Ok(Frame::data(Bytes::from(bytes))), next))
    }
}

/// A body that is written as it stands, without a value in between.
pub(crate) fn json(body: &impl serde::Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::internal(format!("answer: {error}")))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Milliseconds since `began`.
pub(crate) fn milliseconds(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

fn unprintable(error: ArrowError) -> Error {
    match error {
        ArrowError::NotYetImplemented(text) => {
            Error::new(ErrorKind::Unsupported, text).with_hint("ask for format arrow, or cast the column")
        }
        error => Error::new(ErrorKind::Internal, format!("answer: {error}")),
    }
}

fn encoder_lost() -> Error {
    Error::new(ErrorKind::Internal, "answer: the encoder panicked")
}
