//! Declared: the ledger of producers.

use super::{Table, bytes, id, name, nullable, time};

/// How far each producer is, and its newest fence.
pub(crate) const PRODUCER: Table = Table::new(
    "cn_producer",
    &[
        id("catalog_id"),
        name("producer"),
        id("epoch"),
        id("txn"),
        id("fence"),
        nullable(bytes("state")),
        time("updated_us"),
    ],
    &["catalog_id", "producer"],
)
.hot();

/// Which transaction each epoch became.
pub(crate) const PRODUCER_LOG: Table = Table::new(
    "cn_producer_log",
    &[id("catalog_id"), name("producer"), id("epoch"), id("txn")],
    &["catalog_id", "producer", "epoch"],
)
.indexes(&[("txn", &["catalog_id", "txn"])]);
