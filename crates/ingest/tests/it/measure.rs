//! Numbers to look at by hand, in a profile that optimises: `cargo test --profile quick -p cenote-ingest -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use cenote_ingest::{Ack, IngestOptions, WalOptions};
use tokio_util::task::TaskTracker;

use crate::ask::with_ack;
use crate::node::{Disk, line_protocol};

const WRITERS: u64 = 12;
const ROWS: u64 = 1000;

fn body(request: u64) -> String {
    let line = |n: u64| {
        let (host, value) = (n % 1000, (n * 7919 + request) as f64 / 100.0);
        format!(
            "cpu,host=server{host:03} value={value},cpu_idle={:.2},cpu_user={:.2} {}",
            value / 7.0,
            value / 3.0,
            request * ROWS + n
        )
    };
    (0..ROWS).map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn rows_a_second_and_the_restart() {
    for (ack, requests) in [(Ack::Durable, 200), (Ack::Memory, 200), (Ack::Durable, 600)] {
        let disk = Arc::new(Disk::new().await);
        let options = IngestOptions { flush_bytes: u64::MAX, ..Disk::options() };
        let node = disk.open_with(options, WalOptions::at(disk.wal()), 4 << 30).await.expect("opens");
        let node = Arc::new(node);
        let bodies: Arc<Vec<String>> = Arc::new((0..20).map(body).collect());
        let began = Instant::now();
        let writers = (0..WRITERS).map(|writer| {
            let (disk, node, bodies) = (disk.clone(), node.clone(), bodies.clone());
            TaskTracker::new().spawn(async move {
                for request in 0..requests {
                    let body = &bodies[(request as usize + writer as usize) % bodies.len()];
                    node.ingest
                        .write(&disk.identity, with_ack(line_protocol(body), ack))
                        .await
                        .expect("stored");
                }
            })
        });
        for writer in futures::future::join_all(writers).await {
            writer.expect("no panic");
        }
        let (rows, elapsed) = (WRITERS * requests * ROWS, began.elapsed());
        let log = node.ingest.log_status().2;
        println!(
            "{}: {rows} rows in {elapsed:?}, {:.2} M rows/s, {log} bytes of log",
            ack.name(),
            rows as f64 / elapsed.as_secs_f64() / 1e6
        );
        let Ok(node) = Arc::try_unwrap(node) else { panic!("writers ended") };
        node.crash().await;
        let began = Instant::now();
        let node = disk.open_with(Disk::options(), WalOptions::at(disk.wal()), 4 << 30).await.expect("opens");
        let elapsed = began.elapsed();
        println!("restart in {elapsed:?}, {:.0} MB/s", log as f64 / elapsed.as_secs_f64() / 1e6);
        node.crash().await;
    }
}
