//! The promises on PostgreSQL: each test on a database of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::fixture::Fixture;

async fn start() -> Option<Fixture> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = url()?;
    let name = format!("cenote_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let options = PgConnectOptions::from_str(&server).expect("a URL");
    let mut connection = options.connect().await.expect("the server");
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
    connection.close().await.expect("closed");
    let (base, _) = server.rsplit_once('/').expect("a URL names a database");
    Some(Fixture::new(format!("{base}/{name}"), None, 3).await)
}

crate::all_promises!(start);

/// A server to test with: the one that `CENOTE_TEST_POSTGRES_URL` names, or one that this process starts; `None` if there are
/// no binaries (on CI that is a failure).
fn url() -> Option<String> {
    if let Ok(url) = std::env::var("CENOTE_TEST_POSTGRES_URL") {
        // The variable names a server, without a database.
        return Some(format!("{}/postgres", url.trim_end_matches('/')));
    }
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref().map(|server| server.url.clone())
}

/// A server that lives as long as this process: its keeper waits on a pipe that closes when the process dies.
struct Server {
    url: String,
    _keeper: Child,
}

/// Stops the server and removes its directory once standard input ends, however this process ends.
const KEEPER: &str = r#"
"$@" >/dev/null 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$CENOTE_TEST_DIRECTORY"
"#;

impl Server {
    fn start() -> Option<Self> {
        let Some(binaries) = find_binaries() else {
            assert!(std::env::var("CI").is_err(), "no PostgreSQL binaries on CI");
            eprintln!("skipped: no PostgreSQL binaries here");
            return None;
        };
        let directory =
            tempfile::Builder::new().prefix("cenote-postgres-").tempdir().expect("a directory").keep();
        let data = directory.join("data");
        let as_postgres = is_root();
        if as_postgres {
            run(Command::new("chown").arg("postgres:postgres").arg(&directory));
        }
        let mut init = command(as_postgres, &binaries.join("initdb"));
        init.args([
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        run(init.arg(&data));
        let port = free_port();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).env("CENOTE_TEST_DIRECTORY", &directory);
        let server = command(as_postgres, &binaries.join("postgres"));
        keeper.arg(server.get_program()).args(server.get_args());
        keeper.arg("-D").arg(&data).arg("-k").arg(&directory).arg("-p").arg(port.to_string());
        for setting in
            ["fsync=off", "full_page_writes=off", "max_connections=400", "listen_addresses=127.0.0.1"]
        {
            keeper.arg("-c").arg(setting);
        }
        let keeper =
            keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh");
        wait_until_ready(&binaries, &directory, port);
        Some(Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), _keeper: keeper })
    }
}

/// initdb and the server refuse to run as root.
fn command(as_postgres: bool, program: &Path) -> Command {
    if !as_postgres {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

fn find_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
    found.retain(|directory| directory.join("initdb").exists());
    found.sort();
    found.pop()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output().expect("started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn wait_until_ready(binaries: &Path, directory: &Path, port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut ready = Command::new(binaries.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(directory).arg("-p").arg(port.to_string());
        if ready.status().expect("pg_isready").success() {
            return;
        }
        assert!(Instant::now() < deadline, "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}
