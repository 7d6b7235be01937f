//! `webhook`: a call for each row, or for a few together.

mod options;
mod sink;

pub use options::WebhookOptions;
pub use sink::WebhookSink;
