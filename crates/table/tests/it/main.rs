//! Tables on a real catalog and a real store: every row that went in comes out, whatever is merged and collected meanwhile.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its own lines or in those that it shares"
)]

mod adopt;
mod changes;
mod collect;
mod compact;
#[cfg(feature = "failpoints")]
mod crash;
mod inline;
mod keyed;
mod publication;
mod restore;
mod retention;
mod row_ids;
mod scan;
mod verify;
mod world;
mod write;
