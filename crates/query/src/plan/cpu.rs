//! Threads of their own for planning and for plans: what computes for seconds holds up no socket and no timer.

use std::sync::Arc;

use cenote_vocab::ErrorKind;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};

use crate::Error;

/// Batches that wait for their reader.
const READY_MAX: usize = 2;

/// Bytes of stack that a thread needs which walks the tree of a statement, as deep as the parser lets it become. Only what
/// is used of it becomes memory.
pub const STACK_BYTES: usize = 64 << 20;

/// The runtime on which plans run.
pub(crate) struct Cpu {
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Cpu {
    /// Starts `threads` threads.
    pub(crate) fn new(threads: usize) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Unavailable, format!("threads of queries: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// What `work` computes, on a thread that is not one of those that run plans. Whoever waits may stop waiting.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else { return Ok(work()) };
        runtime
            .spawn_blocking(work)
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: planning: {error}")))
    }

    /// The rows of a plan. Dropping the stream ends the plan at its next pause.
    pub(crate) fn stream(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        task: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let Some(runtime) = &self.runtime else { return execute_stream(plan, task) };
        let mut builder = RecordBatchReceiverStream::builder(plan.schema(), READY_MAX);
        let ready = builder.tx();
        let work = async move {
            let mut batches = execute_stream(plan, task)?;
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                if ready.send(batch).await.is_err() || failed {
                    break; // nobody reads on, or there is nothing more to read
                }
            }
            Ok(())
        };
        builder.spawn_on(work, runtime.handle());
        Ok(builder.build())
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // waiting here would block the thread that drops the engine
        }
    }
}
