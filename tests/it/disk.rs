//! A full disk: writes are refused, reads work, nothing is lost, writes resume.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cenote_testkit::process::Process;
use cenote_testkit::{eventually, needs};

/// A small file system in memory; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        debug_assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_gives_507_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount("64m") else {
        needs("the right to mount a tmpfs", false);
        return;
    };
    // Durable syncs of the log cannot be tested here; what is tested is the answer to a full disk.
    let settings = ["wal.segment_size=4MiB", "limits.disk_free_min=0", "ingest.flush_size=1GiB"];
    let process = Process::start(&disk.path().join("data"), &settings);
    let client = process.client();
    let mut acknowledged = 0;
    let full = loop {
        let lines: String = (0..500)
            .map(|n| format!("fill n={}i,pad=\"{}\" {}\n", acknowledged + n, pad(n), acknowledged + n))
            .collect();
        let answer = client.try_write(&lines).await.expect("an answer");
        if answer.status != 204 {
            break answer;
        }
        acknowledged += 500;
        assert!(acknowledged < 2_000_000, "64 MiB take only so much");
    };
    assert_eq!(full.status, 507, "{}", full.text);
    assert_eq!(full.json()["sqlstate"], "53100", "{}", full.text);
    assert!(full.header("retry-after").is_some());
    assert_eq!(client.number("SELECT count(*) FROM fill").await, acknowledged, "reads work");
    let ballast = Command::new("mount")
        .args(["-o", "remount,size=512m"])
        .arg(disk.path())
        .status()
        .expect("mount runs");
    assert!(ballast.success(), "the disk grows");
    let runtime = tokio::runtime::Handle::current();
    let resumed = client.clone();
    tokio::task::spawn_blocking(move || {
        eventually("writes to resume", Duration::from_secs(30), || {
            let answer = runtime.block_on(resumed.try_write("fill n=-1i 1")).expect("an answer");
            (answer.status == 204).then_some(())
        });
    })
    .await
    .expect("writes resume without a restart");
    assert_eq!(client.number("SELECT count(*) FROM fill").await, acknowledged + 1);
    process.kill();
    let process = Process::start(&disk.path().join("data"), &settings);
    assert_eq!(process.client().number("SELECT count(*) FROM fill").await, acknowledged + 1);
}

/// Text that does not compress well.
fn pad(n: i64) -> String {
    let mut state = n as u64 + 1;
    (0..128)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + (state % 26) as u8)
        })
        .collect()
}
