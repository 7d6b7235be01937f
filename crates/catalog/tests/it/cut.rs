//! The connection to PostgreSQL breaks at COMMIT: the commit takes effect exactly once, whichever side was cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cenote_catalog::Op;
use cenote_vocab::Txn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fixture::Fixture;
use crate::postgres;

/// What happens to the next COMMIT.
const PASS: u8 = 0;
/// The server never sees it.
const CUT_BEFORE: u8 = 1;
/// The server does it, and its answer is lost.
const CUT_AFTER: u8 = 2;

const COMMIT: &[u8] = b"COMMIT\0";

/// A door to the server that can be slammed.
struct Proxy {
    port: u16,
    next: Arc<AtomicU8>,
}

impl Proxy {
    async fn start(server: String, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let next = Arc::new(AtomicU8::new(PASS));
        let (cut, pairs, ended) = (next.clone(), tasks.clone(), stop.clone());
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                let pair = carry(client, server, cut.clone());
                let ended = ended.clone();
                pairs.spawn(async move { ended.run_until_cancelled(pair).await });
            }
        };
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(accept).await });
        Self { port, next }
    }
}

async fn carry(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let deaf = CancellationToken::new();
    let answers = pass(from_server, to_client, deaf.clone());
    let questions = ask(from_client, to_server, next, deaf.clone());
    tokio::join!(answers, questions);
}

/// What the client says, until a COMMIT that is to be cut.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, next: Arc<AtomicU8>, deaf: CancellationToken) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let said = &bytes[..count];
        let commits = said.windows(COMMIT.len()).any(|window| window == COMMIT);
        let cut = if commits { next.swap(PASS, Ordering::AcqRel) } else { PASS };
        if cut == CUT_BEFORE {
            break;
        }
        if cut == CUT_AFTER {
            deaf.cancel();
        }
        if to.write_all(said).await.is_err() || cut == CUT_AFTER {
            break;
        }
    }
    deaf.cancel();
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, deaf: CancellationToken) {
    // A connection that breaks is what this is about.
    drop(deaf.run_until_cancelled(tokio::io::copy(&mut from, &mut to)).await);
    drop(to);
    // What the server still says is read: if it were not, a reset might reach it before the COMMIT that it was sent.
    drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_at_commit_applies_it_once() {
    let Some(url) = postgres::database().await else { return };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (head, database) = url.rsplit_once('/').expect("a database");
    let (login, address) = head.rsplit_once('@').expect("a user");
    let proxy = Proxy::start(address.to_owned(), &tasks, &stop).await;
    let fixture = Fixture::new(format!("{login}@127.0.0.1:{}/{database}", proxy.port), None, 21).await;
    let table = fixture.create("cpu").await;
    let mut replayed = 0;
    for round in 0..6 {
        let cut = if round % 2 == 0 { CUT_BEFORE } else { CUT_AFTER };
        let before = fixture.head().await;
        proxy.next.store(cut, Ordering::Release);
        let append = vec![Op::Append { files: vec![fixture.file(1)] }];
        let committed = fixture.change(table, append).await.expect("offered again");
        assert_eq!(proxy.next.load(Ordering::Acquire), PASS, "the cut was met");
        assert_eq!(committed.txn, Txn(before.0 + 1));
        // What became of a COMMIT whose connection went is the server's to say: once is what counts.
        assert!(cut == CUT_AFTER || !committed.replayed, "round {round}");
        replayed += u32::from(committed.replayed);
        assert_eq!(fixture.head().await, committed.txn);
    }
    assert_eq!(fixture.live_rows(table).await, 6);
    assert!(replayed > 0, "no lost answer was found again");
    stop.cancel();
}
