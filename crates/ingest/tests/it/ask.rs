//! What several tests ask of requests and of the log's directory.

use std::path::{Path, PathBuf};

use cenote_ingest::{Ack, WriteRequest};

pub(crate) fn with_ack(request: WriteRequest, ack: Ack) -> WriteRequest {
    WriteRequest { ack: Some(ack), ..request }
}

/// Files of the log.
pub(crate) fn segments(wal: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(wal).expect("lists").map(|entry| entry.expect("entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
    segments.sort();
    segments
}
