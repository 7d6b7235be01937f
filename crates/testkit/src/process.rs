//! The real binary as a process: started, killed, started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::{eventually, free_port};

/// The `cenote` binary beside this test's own: `target/<profile>/cenote`.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = profile.join("cenote");
    assert!(binary.exists(), "{} is not built; run the tests by `make test`", binary.display());
    binary
}

/// A node as a process of its own. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// HTTP port.
    pub http: u16,
    /// Postgres port.
    pub postgres: u16,
    /// Its data directory.
    pub directory: PathBuf,
    /// How long it took from start to ready.
    pub ready_after: Duration,
}

impl Process {
    /// Starts `cenote serve` on `directory` with free ports and `settings` (`key=value`), and waits until it is ready.
    pub fn start(directory: &Path, settings: &[&str]) -> Self {
        let process = Self::start_unready(directory, settings);
        process.wait_until_ready()
    }

    /// Starts it and does not wait.
    pub fn start_unready(directory: &Path, settings: &[&str]) -> Self {
        let (http, postgres) = (free_port(), free_port());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.with_extension("log"))
            .expect("a log file");
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(directory)
            .args(["--listen", &format!("127.0.0.1:{http}")])
            .args(["--postgres-listen", &format!("127.0.0.1:{postgres}")])
            .args(["--set", "limits.disk_free_min=1MiB"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let child = command.spawn().expect("cenote starts");
        Self { child, http, postgres, directory: directory.to_owned(), ready_after: Duration::ZERO }
    }

    /// Waits for `/ready`.
    #[must_use]
    pub fn wait_until_ready(mut self) -> Self {
        let began = Instant::now();
        let address = ("127.0.0.1", self.http);
        eventually("the node to be ready", Duration::from_secs(60), || {
            if let Some(status) = self.child.try_wait().expect("its state") {
                let log = std::fs::read_to_string(self.directory.with_extension("log")).unwrap_or_default();
                panic!("cenote ended with {status}: {log}");
            }
            is_ready(address).then_some(())
        });
        self.ready_after = began.elapsed();
        self
    }

    /// A client with the first admin token.
    pub fn client(&self) -> Client {
        let token = std::fs::read_to_string(self.directory.join("admin.token")).expect("admin.token");
        Client::new(format!("http://127.0.0.1:{}", self.http), token.trim())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM, then its exit status.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().expect("ended")
    }

    /// SIGSTOP: it stands still, and keeps what it has open.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        send(&self.child, signal);
    }

    /// Its exit status, once it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.with_extension("log")).unwrap_or_default()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
            .expect("VmRSS")
            * 1024
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            debug_assert!(ended.is_ok(), "the process of this test ends");
        }
    }
}

/// SIGINT, as Ctrl-C sends it.
pub fn interrupt(child: &Child) {
    send(child, rustix::process::Signal::INT);
}

fn send(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("signalled");
}

/// Asks `/ready` with as little as possible: this is called until the node answers.
fn is_ready(address: (&str, u16)) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .and_then(|()| stream.write_all(b"GET /ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"));
    let mut answer = [0; 12];
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && &answer == b"HTTP/1.1 200"
}
