//! Connectors: where the rows of pipelines come from.
//!
//! ```text
//! position ─ read(position, rows) ─► batches, the position behind them ─ the epoch's commit ─► committed(position)
//! ```
//! One folder each: `options`, `source`. Invariants: a position is a text that says all that is needed to go on; the rows
//! behind a position are the same, in the same order, whoever asks and however often, until it was committed; a source
//! keeps nothing that is not in its position.

mod error;
mod impulse;
mod lake;
mod nexmark;
mod options;
mod pace;
mod source;

pub use error::Error;
pub use impulse::{Impulse, ImpulseOptions};
pub use lake::{LakeMode, LakeSource};
pub use nexmark::{Nexmark, NexmarkOptions};
pub use options::{Options, interval_micros};
pub use source::{EVENT_TIME, Pulled, ROW_ID, Source, WEIGHT, Wanted, changed, stamped};
