//! `filesystem`: the files of a directory or bucket, read once or as they come, or written.

mod file;
mod location;
mod options;
mod sink;
mod source;

pub use options::{FilesystemSinkOptions, FilesystemSourceOptions, Partitioning, Rolling, Strategy};
pub use sink::FilesystemSink;
pub use source::FilesystemSource;

/// Files that no commit has completed yet stand below this name; who reads the place leaves them out.
const IN_PROGRESS: &str = "__in_progress";
