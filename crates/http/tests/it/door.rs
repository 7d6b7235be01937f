//! The listener: HTTP/1.1 and HTTP/2 on one port, and an orderly stop.

use cenote_http::NodeState;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::{door, options};

#[tokio::test]
async fn both_versions_share_the_port_and_a_stop_ends_idle_connections() {
    let (http, _state) = door(options(), NodeState::Starting);
    let registry = http.registry.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let serving = tasks.spawn(http.serve(listener, tasks.clone(), stop.clone()));

    let mut first = TcpStream::connect(address).await.expect("connected");
    first.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = vec![0; 17];
    first.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 204 No C");

    let second = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(second))
            .await
            .expect("prior knowledge");
    let connection = tasks.spawn(connection);
    let request = http::Request::get(format!("http://{address}/health")).body(Empty::<bytes::Bytes>::new());
    let response = sender.send_request(request.expect("a request")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    response.into_body().collect().await.expect("a body");

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry.lock()).expect("metrics");
    assert!(text.contains("connections{protocol=\"http\"} 2"), "{text}");
    assert!(text.contains("route=\"/ping\",status=\"204\"} 1"), "{text}");

    stop.cancel();
    serving.await.expect("no panic").expect("an orderly end");
    drop(sender);
    connection.await.expect("no panic").expect("closed in order");
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.expect("closed in order");
    TcpStream::connect(address).await.expect_err("nobody listens any more");
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so() {
    let options = cenote_http::HttpOptions { connections_max: 1, ..options() };
    let (http, _state) = door(options, NodeState::Starting);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let serving = tasks.spawn(http.serve(listener, tasks.clone(), stop.clone()));
    let mut first = TcpStream::connect(address).await.expect("connected");
    first.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    first.read_exact(&mut [0; 8]).await.expect("an answer");
    let mut second = TcpStream::connect(address).await.expect("connected");
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.expect("closed");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    stop.cancel();
    serving.await.expect("no panic").expect("an orderly end");
}
