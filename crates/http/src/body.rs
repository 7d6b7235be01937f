//! Reading a request's body, never more of it than allowed.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::problem::Problem;

/// Longest pause between two parts of a body (`body_timeout`).
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What a claimed length may reserve before bytes have come.
const RESERVED_MAX: u64 = 1 << 20;

/// The whole body; 413 as soon as it is longer than `bytes_max` (`limit` names it), 408 if the client stops sending.
pub(crate) async fn read(body: Body, bytes_max: u64, limit: &str) -> Result<Bytes, Problem> {
    read_paced(body, bytes_max, limit, PAUSE_MAX).await
}

async fn read_paced(
    mut body: Body,
    bytes_max: u64,
    limit: &str,
    pause_max: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large("the request's body", bytes_max, limit);
    let claimed = body.size_hint().lower();
    if claimed > bytes_max {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    let mut first = Bytes::new();
    loop {
        let next = tokio::time::timeout(pause_max, body.frame());
        let frame = match next.await {
            Err(_) => {
                let text = format!("no byte of the body came for {} s (body_timeout)", pause_max.as_secs());
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, text));
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Problem::bad_request(format!("the request's body broke off: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(part) = frame.into_data() else { continue };
        if (first.len() + whole.len() + part.len()) as u64 > bytes_max {
            return Err(too_large());
        }
        // most small bodies are one part: it is passed on without a copy
        if first.is_empty() && whole.is_empty() {
            first = part;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(
                usize::try_from(claimed.min(RESERVED_MAX)).unwrap_or(0).max(first.len() + part.len()),
            );
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&part);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    fn parts(parts: &[&'static str]) -> Body {
        Body::from_stream(stream::iter(parts.to_vec()).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn parts_are_joined_up_to_the_limit() {
        assert_eq!(read(parts(&["ab", "", "cd"]), 4, "limits.body_max").await.expect("fits"), "abcd");
        assert_eq!(read(Body::empty(), 0, "limits.body_max").await.expect("empty"), "");
        let problem = read(parts(&["ab", "cde"]), 4, "limits.body_max").await.expect_err("too long");
        assert_eq!(
            (problem.status.as_u16(), problem.text.as_str()),
            (413, "the request's body is larger than 4 bytes (limits.body_max)")
        );
    }

    #[tokio::test]
    async fn a_claimed_length_is_refused_before_a_byte_is_read() {
        let problem = read(Body::from("abcde"), 4, "limits.body_max").await.expect_err("too long");
        assert_eq!(problem.status.as_u16(), 413);
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_is_told_so() {
        let body =
            Body::from_stream(stream::once(async { Ok::<_, std::io::Error>("a") }).chain(stream::pending()));
        assert_eq!(
            read_paced(body, 4, "limits.body_max", Duration::ZERO).await.expect_err("pause").status.as_u16(),
            408
        );
    }
}
