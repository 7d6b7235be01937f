//! Work that takes a processor for long leaves the threads that answer requests.

use std::future::Future;

use tokio::runtime::Handle;

use crate::Error;

/// Runs what `work` begins to its end on a thread of its own, also if the caller stops waiting.
pub(crate) async fn on_worker<T, W>(work: impl FnOnce() -> W + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    W: Future<Output = Result<T, Error>>,
{
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work()))
        .await
        .map_err(|error| Error::Internal(format!("a worker ended: {error}")))?
}
