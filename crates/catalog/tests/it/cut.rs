//! The connection to PostgreSQL breaks, at COMMIT or anywhere: each commit takes effect exactly once, whichever side was cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use cenote_catalog::Op;
use cenote_vocab::Txn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fixture::Fixture;
use crate::{postgres, serial};

/// What happens to the next COMMIT.
const PASS: u8 = 0;
/// The server never sees it.
const CUT_BEFORE: u8 = 1;
/// The server does it, and its answer is lost.
const CUT_AFTER: u8 = 2;

const COMMIT: &[u8] = b"COMMIT\0";
/// Of so many messages one is cut, in a storm.
const STORM: u64 = 400;

/// A door to the server that can be slammed.
struct Proxy {
    port: u16,
    next: Arc<AtomicU8>,
    /// Messages since a storm began; 0: there is none.
    storm: Arc<AtomicU64>,
}

impl Proxy {
    /// A fixture that speaks through a proxy; `None` where no server can be had.
    async fn fixture(tasks: &TaskTracker, stop: &CancellationToken, seed: u64) -> Option<(Self, Fixture)> {
        let url = postgres::database().await?;
        let (head, database) = url.rsplit_once('/').expect("a database");
        let (login, address) = head.rsplit_once('@').expect("a user");
        let proxy = Self::start(address.to_owned(), tasks, stop).await;
        let through = format!("{login}@127.0.0.1:{}/{database}", proxy.port);
        let fixture = Fixture::new(through, None, seed).await;
        Some((proxy, fixture))
    }

    async fn start(server: String, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let next = Arc::new(AtomicU8::new(PASS));
        let storm = Arc::new(AtomicU64::new(0));
        let cuts = Cuts { next: next.clone(), storm: storm.clone() };
        let (pairs, ended) = (tasks.clone(), stop.clone());
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                let pair = carry(client, server, cuts.clone());
                let ended = ended.clone();
                pairs.spawn(async move { ended.run_until_cancelled(pair).await });
            }
        };
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(accept).await });
        Self { port, next, storm }
    }
}

/// Which messages are cut.
#[derive(Clone)]
struct Cuts {
    next: Arc<AtomicU8>,
    storm: Arc<AtomicU64>,
}

impl Cuts {
    fn of(&self, said: &[u8]) -> u8 {
        if said.windows(COMMIT.len()).any(|window| window == COMMIT) {
            let cut = self.next.swap(PASS, Ordering::AcqRel);
            if cut != PASS {
                return cut;
            }
        }
        let calm = self.storm.load(Ordering::Acquire) == 0;
        match if calm { 0 } else { self.storm.fetch_add(1, Ordering::AcqRel) } {
            message if message == 0 || !message.is_multiple_of(STORM) => PASS,
            message if message % (2 * STORM) == 0 => CUT_BEFORE,
            _ => CUT_AFTER,
        }
    }
}

async fn carry(client: TcpStream, server: TcpStream, cuts: Cuts) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let deaf = CancellationToken::new();
    let answers = pass(from_server, to_client, deaf.clone());
    let questions = ask(from_client, to_server, cuts, deaf.clone());
    tokio::join!(answers, questions);
}

/// What the client says, until a message that is to be cut.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cuts: Cuts, deaf: CancellationToken) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let said = &bytes[..count];
        let cut = cuts.of(said);
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
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let Some((proxy, fixture)) = Proxy::fixture(&tasks, &stop, 21).await else { return };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committers_whose_connections_break_anywhere_end_in_some_serial_order() {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let Some((proxy, fixture)) = Proxy::fixture(&tasks, &stop, 22).await else { return };
    let (table, other) = (fixture.create("cpu").await, fixture.other("node-2").await);
    proxy.storm.store(1, Ordering::Release);
    serial::end_in_some_serial_order(&fixture, &other, table).await;
    let messages = proxy.storm.swap(0, Ordering::AcqRel);
    assert!(messages > 2 * STORM, "connections broke on both sides: {messages} messages");
    stop.cancel();
}
