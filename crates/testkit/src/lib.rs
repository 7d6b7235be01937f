//! What tests stand on: real servers on free ports, a process to kill, a node in this process, clients for its doors.
//!
//! ```text
//! lake (catalog, store) ─► ingest (log, buffer) ─► engine (sessions)      parts, without doors
//! double (a server that answers what it is told): issuer (of bearer tokens) · kafka (a cluster and a schema registry)
//! node (all of it, with its doors) · process (the real binary) · services (PostgreSQL, S3)
//! ```
//!
//! A test that needs a program of the machine says so with [`needs`]: with `CI=true` a missing one fails the test, else
//! the test is skipped and says what is missing.

pub mod client;
pub mod double;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "ingest")]
pub mod ingest;
#[cfg(feature = "issuer")]
pub mod issuer;
#[cfg(feature = "kafka")]
pub mod kafka;
mod keeper;
#[cfg(feature = "lake")]
pub mod lake;
#[cfg(feature = "node")]
pub mod node;
pub mod process;
pub mod services;

/// True if `present`; otherwise panics in CI, and elsewhere prints that the test is skipped.
pub fn needs(program: &str, present: bool) -> bool {
    if present {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "needs {program}; run make deps");
    #[expect(clippy::print_stderr, reason = "a skipped test tells why")]
    {
        eprintln!("skipped: needs {program}; run make deps");
    }
    if let Some(list) = std::env::var_os("CENOTE_TEST_SKIPPED") {
        let list = std::fs::OpenOptions::new().create(true).append(true).open(list);
        let noted =
            list.and_then(|mut list| std::io::Write::write_all(&mut list, format!("{program}\n").as_bytes()));
        debug_assert!(noted.is_ok(), "the list of skipped tests can be written");
    }
    false
}

/// How much of something a test does: the variable's number, or `small` where nobody asked for more.
pub fn number_of(variable: &str, small: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return small };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"))
}

/// A port of 127.0.0.1 that was free just now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// What has not come about after this long does not come.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Asks until `holds`, for at most `patience`; waits 10 ms in between. Panics with `what` was waited for.
///
/// For what another task does and tells nobody.
pub async fn settles(what: &str, patience: std::time::Duration, mut holds: impl AsyncFnMut() -> bool) {
    let settled = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(patience, settled).await.is_ok(), "gave up waiting for {what}");
}

/// Calls `check` until it answers something, for at most `patience`; waits 20 ms in between.
///
/// For waiting on programs that cannot tell when they are ready.
pub fn eventually<T>(what: &str, patience: std::time::Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(began.elapsed() < patience, "gave up waiting for {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
