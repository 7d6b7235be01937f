//! Real servers that tests talk to. `xtask test` starts them once and names them in variables; without it each test
//! process starts its own, which dies with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::keeper::Keeper;
use crate::{eventually, free_port};

/// A server that ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it answers.
    pub url: String,
    _running: Running,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
enum Running {
    Kept(Keeper),
    Child(Killed),
}

/// A process that needs no clean stop.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        debug_assert!(ended.is_ok(), "a server of this test ends");
    }
}

/// The variable that names a running PostgreSQL: `postgres://user@host:port`, without a database.
pub const POSTGRES_VARIABLE: &str = "CENOTE_TEST_POSTGRES_URL";
/// The variable that names a running S3 server: `http://host:port`.
pub const S3_VARIABLE: &str = "CENOTE_TEST_S3_URL";

/// A new empty database on a real PostgreSQL; `None` if the machine has none.
pub fn postgres_database() -> Option<String> {
    static OWN: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = match std::env::var(POSTGRES_VARIABLE) {
        Ok(url) => url,
        Err(_) => OWN.get_or_init(|| start_postgres(false)).as_ref()?.url.clone(),
    };
    let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    // A thread of its own: the caller may be inside a runtime.
    let statement = format!("CREATE DATABASE {name}");
    let maintenance = format!("{server}/postgres");
    std::thread::spawn(move || execute(&maintenance, &statement)).join().expect("the database is created");
    Some(format!("{server}/{name}"))
}

fn execute(url: &str, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("PostgreSQL answers");
        tokio::select! {
            done = client.batch_execute(statement) => done.expect("the statement runs"),
            ended = connection => panic!("connection ended: {ended:?}"),
        }
    });
}

/// Starts a PostgreSQL server in a temporary directory; `None` if its programs are not there. Only a `durable` one syncs its files.
pub fn start_postgres(durable: bool) -> Option<Server> {
    let programs = postgres_programs()?;
    let directory = tempfile::Builder::new().prefix("cenote-postgres").tempdir().expect("a directory").keep();
    let root = rustix::process::geteuid().is_root();
    if root {
        // PostgreSQL refuses to run as root, and its user may not enter a private directory.
        run(Command::new("chown").arg("postgres").arg(&directory));
    }
    let data = directory.join("data");
    let as_owner = |program: &str| {
        let mut command = if root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(programs.join(program));
            command
        } else {
            Command::new(programs.join(program))
        };
        command.current_dir(&directory).stdin(Stdio::null());
        command
    };
    run(as_owner("initdb")
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
        .arg(&data));
    let port = free_port();
    let mut server = as_owner("postgres");
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(&directory);
    server.args(["-c", "max_connections=400"]);
    if !durable {
        server.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    let keeper = Keeper::start(&server, &directory);
    eventually("PostgreSQL", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
    });
    let url = format!("postgres://postgres@127.0.0.1:{port}");
    eventually("PostgreSQL to take statements", Duration::from_secs(30), || {
        ready(&programs, port).then_some(())
    });
    Some(Server { url, _running: Running::Kept(keeper) })
}

fn ready(programs: &Path, port: u16) -> bool {
    Command::new(programs.join("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .status()
        .is_ok_and(|status| status.success())
}

fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .max()
}

/// A new bucket on an S3 server; `None` if the machine has none. Answers (endpoint, bucket).
pub fn s3_bucket() -> Option<(String, String)> {
    static OWN: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let endpoint = match std::env::var(S3_VARIABLE) {
        Ok(url) => url,
        Err(_) => OWN.get_or_init(start_s3).as_ref()?.url.clone(),
    };
    let bucket = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let url = format!("{endpoint}/{bucket}");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let made = runtime.block_on(async { reqwest::Client::new().put(url).send().await });
        assert!(made.expect("the S3 server answers").status().is_success(), "the bucket is created");
    })
    .join()
    .expect("the bucket is created");
    Some((endpoint, bucket))
}

/// Starts the S3 double of the Python environment (`make deps`); `None` if it is not there.
pub fn start_s3() -> Option<Server> {
    let program = python_environment()?.join("bin/moto_server");
    if !program.exists() {
        return None;
    }
    let port = free_port();
    let child = Command::new("setpriv")
        .arg("--pdeathsig=KILL")
        .arg(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    eventually("the S3 server", Duration::from_secs(60), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
    });
    Some(Server { url: format!("http://127.0.0.1:{port}"), _running: Running::Child(Killed(child)) })
}

/// The Python environment with the clients that tests use: `.venv` of the checkout.
pub fn python_environment() -> Option<PathBuf> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    environment.join("bin/python").exists().then_some(environment)
}

/// What a script of `tests/clients` answers, as JSON, to what it is asked: JSON on its standard input.
pub fn ask_python(environment: &Path, script: &str, arguments: &[&str], asked: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(script);
    let mut child = Command::new(environment.join("bin/python"))
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("open").write_all(asked.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
