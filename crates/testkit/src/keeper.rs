//! A server that ends with the process that started it, however that ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs a program, and once standard input ends asks it to stop and removes its directory.
const SCRIPT: &str = r#"
"$@" >/dev/null 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$CENOTE_TEST_DIRECTORY"
"#;

/// Waits on a pipe that closes when this is dropped or the process dies: nextest tears nothing down.
#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Runs `command`, which stops on SIGINT; `directory` is its own and removed after it.
    pub(crate) fn start(command: &Command, directory: &Path) -> Self {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", SCRIPT, "keeper"]).arg(command.get_program()).args(command.get_args());
        keeper.env("CENOTE_TEST_DIRECTORY", directory).current_dir(directory);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(keeper.spawn().expect("sh starts"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let ended = self.0.wait();
        debug_assert!(ended.is_ok(), "a server of this test ends");
    }
}
