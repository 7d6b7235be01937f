//! `single_file`: one file of the local disk, read once or written.

mod options;
mod sink;
mod source;

pub use options::SingleFileOptions;
pub use sink::SingleFileSink;
pub use source::SingleFileSource;
