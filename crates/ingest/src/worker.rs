//! Work of more than a moment leaves the threads that answer requests.

use crate::Error;

/// Runs `work` on a thread that may block. `Internal` if it panicked.
pub(crate) async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a worker ended: {error}")))
}
