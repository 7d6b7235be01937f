//! An engine with pipelines.

use std::sync::{Arc, Weak};

use cenote_catalog::Pipeline;
use cenote_connect::Reach;
use cenote_stream::{Error, Limits, Run, Step, Streams};
use cenote_testkit::engine::{TestEngine, TestSession, node, node_with, node_with_clock, node_with_disk};
use cenote_vocab::{Clock, MemoryPool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes that all pipelines of a test may hold.
const STATE_BYTES: u64 = 64 << 20;

/// Where an epoch may crash, in order; behind the last it is committed, and what follows a commit is not done.
#[cfg(feature = "failpoints")]
pub(crate) const STEPS: [&str; 6] =
    ["epoch.cut", "epoch.run", "epoch.sink", "checkpoint.write", "epoch.stage", "epoch.commit"];
/// The other way to crash behind the commit: all is done, and nobody knows.
#[cfg(feature = "failpoints")]
pub(crate) const LAST_STEP: [&str; 1] = ["epoch.finish"];

/// A node without doors that runs pipelines.
pub(crate) struct World {
    pub(crate) node: TestEngine,
    pub(crate) client: TestSession,
    pub(crate) streams: Arc<Streams>,
    tasks: TaskTracker,
    outside: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(node().await).await
    }

    /// With so many bytes for what is spilled.
    pub(crate) async fn with_disk(bytes: u64) -> Self {
        Self::over(node_with_disk(bytes).await).await
    }

    /// By a clock that the test may move.
    pub(crate) async fn with_clock(clock: Clock) -> Self {
        Self::over(node_with_clock(clock).await).await
    }

    /// With so many bytes for queries.
    pub(crate) async fn with_memory(bytes: u64) -> Self {
        Self::over(node_with(bytes).await).await
    }

    async fn over(node: TestEngine) -> Self {
        let client = node.session().await;
        let tasks = TaskTracker::new();
        let streams = Arc::new(streams(&node, &tasks));
        let pipelines: Weak<Streams> = Arc::downgrade(&streams);
        node.engine.register_pipelines(pipelines);
        let outside = tempfile::tempdir().expect("a directory");
        Self { node, client, streams, tasks, outside }
    }

    /// Runs statements that succeed.
    pub(crate) async fn all(&self, statements: &[String]) {
        for sql in statements {
            self.client.rows(sql).await;
        }
    }

    /// Pipelines as another process over the same lake would run them.
    pub(crate) fn other_streams(&self) -> Streams {
        streams(&self.node, &self.tasks)
    }

    /// The pipeline of this name, as its row says.
    pub(crate) async fn pipeline(&self, name: &str) -> Pipeline {
        let all = self.node.lake.catalog.pipelines(&self.node.scope).await.expect("read");
        all.into_iter().find(|pipeline| pipeline.name == name).expect("it is there")
    }

    /// A directory outside of the lake.
    pub(crate) fn outside(&self) -> String {
        self.outside.path().display().to_string()
    }

    /// Opens a pipeline by hand.
    pub(crate) async fn open(&self, name: &str, limits: Limits) -> Result<Run, Error> {
        self.open_within(name, limits, STATE_BYTES).await
    }

    /// The same with so many bytes for what operators hold.
    pub(crate) async fn open_within(&self, name: &str, limits: Limits, bytes: u64) -> Result<Run, Error> {
        let parts = (self.node.engine.clone(), self.node.lake.clone(), self.node.ingest.clone());
        let memory = MemoryPool::node(bytes);
        Run::open(parts, memory, (limits, Reach::Everything), &self.node.scope, self.pipeline(name).await)
            .await
    }

    /// Runs epochs with a crash at each of these steps of each of them until there is nothing to do; answers how many crashes
    /// there were.
    #[cfg(feature = "failpoints")]
    pub(crate) async fn crash_at(&self, run: &mut Run, limits: Limits, steps: &[&'static str]) -> usize {
        let mut crashes = 0;
        for step in steps.iter().cycle() {
            fail::cfg(*step, "return").expect("a crash point");
            let outcome = run.step().await;
            fail::remove(*step);
            match outcome {
                Err(error) => assert_eq!(error.to_string(), format!("fail point {step}")),
                Ok(Step::Idle | Step::Finished) => {
                    assert_eq!(*step, steps[0], "an epoch was begun and is not there");
                    break;
                }
                Ok(Step::Committed(_)) => panic!("no crash at {step}"),
            }
            crashes += 1;
            *run = self.open("p", limits).await.expect("opens again");
        }
        crashes
    }

    pub(crate) async fn stop(self) {
        self.streams.stop().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.node.stop().await;
    }
}

fn streams(node: &TestEngine, tasks: &TaskTracker) -> Streams {
    let parts = (node.engine.clone(), node.lake.clone(), node.ingest.clone());
    Streams::new(
        parts,
        MemoryPool::node(STATE_BYTES),
        (Limits::default(), Reach::Everything),
        tasks,
        CancellationToken::new(),
    )
}

/// Epochs of so many rows.
pub(crate) fn epochs_of(rows: usize) -> Limits {
    Limits { epoch_rows: rows, ..Limits::default() }
}

/// Runs epochs until there is nothing to do; answers how many there were.
pub(crate) async fn drain(run: &mut Run) -> usize {
    let mut epochs = 0;
    while let Step::Committed(_) = run.step().await.expect("an epoch") {
        epochs += 1;
    }
    epochs
}
