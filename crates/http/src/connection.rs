//! Connections: accepted up to a limit, watched for clients that stall, ended in order.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::App;
use crate::call::Remote;

/// From the connection to the end of its first request's head (`header_timeout`).
const FIRST_HEAD_MAX: Duration = Duration::from_secs(10);
/// Between two requests, the next head included: longer than the usual 60 s of clients that send once a minute, so that it
/// is the client that ends an idle connection, not a race.
const NEXT_HEAD_MAX: Duration = Duration::from_secs(75);
/// A client that takes no byte for this long is cut off.
const STALL_MAX: Duration = Duration::from_secs(300);
/// How often HTTP/2 asks whether the other side is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Between two attempts to accept when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What the listeners of one door share.
pub(crate) struct Door {
    router: Router,
    /// Free places for connections.
    places: Arc<Semaphore>,
    open: Gauge,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Door {
    pub(crate) fn new(app: &App, router: Router, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let places = app.http.options.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        Self { router, places, open: app.metrics.open_connections(), tasks, stop }
    }

    /// Serves one listener until the stop, then lets running requests end.
    pub(crate) async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => self.admit(stream, remote, &connections),
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        Ok(())
    }

    fn admit(&self, stream: TcpStream, remote: SocketAddr, connections: &TaskTracker) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(%remote, "connection refused: limits.connections_max is reached");
            if let Err(error) = stream.try_write(FULL) {
                tracing::debug!(%error, "the refusal was not sent");
            }
            return;
        };
        self.open.inc();
        let (router, stop, open) = (self.router.clone(), self.stop.clone(), self.open.clone());
        self.tasks.spawn(connections.track_future(async move {
            if let Err(error) = converse(stream, Remote(remote), router, stop).await {
                tracing::debug!(%remote, %error, "connection ended");
            }
            open.dec();
            drop(place);
        }));
    }
}

async fn converse(
    stream: TcpStream,
    remote: Remote,
    router: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let began = Arc::new(AtomicBool::new(false));
    let seen = began.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(remote);
        router.clone().oneshot(request.map(axum::body::Body::new) as Request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
    let connection = builder.serve_connection(TokioIo::new(Watched::new(stream, STALL_MAX)), service);
    let mut connection = std::pin::pin!(connection);
    let mut first_head = std::pin::pin!(sleep(FIRST_HEAD_MAX));
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = &mut first_head, if waiting => {
                waiting = false;
                if !began.load(Ordering::Relaxed) {
                    return Err("no request came within header_timeout".into());
                }
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A stream whose writes fail when the other side has taken nothing for `stall_max`.
struct Watched<S> {
    stream: S,
    stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    fn new(stream: S, stall_max: Duration) -> Self {
        Self { stream, stall_max, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + self.stall_max)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_and_a_slow_one_is_not() {
        let (mut client, server) = duplex(4);
        let mut server = Watched::new(server, Duration::from_millis(50));
        server.write_all(b"1234").await.expect("fits");
        let slow = async {
            let mut taken = [0; 4];
            client.read_exact(&mut taken).await.expect("four bytes");
        };
        let (written, ()) = tokio::join!(server.write_all(b"5678"), slow);
        written.expect("the client took what was there");
        let error = server.write_all(b"9").await.expect_err("stalled");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
