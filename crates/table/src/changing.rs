//! Tables whose rows an open transaction has changed.
//!
//! What compaction rewrites meanwhile would be a conflict for that transaction, which only its client can begin again. So
//! compaction by itself leaves such tables alone, for a while; who asks for it gets it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{Micros, TableId};
use parking_lot::Mutex;

/// A transaction that is open for longer holds nothing up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Knows them, of this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Changing(Arc<Mutex<HashMap<TableId, Vec<Micros>>>>);

impl Changing {
    /// From now until the answer is dropped a transaction changes the table's rows.
    #[must_use]
    pub fn begin(&self, table: TableId, now: Micros) -> ChangingGuard {
        self.0.lock().entry(table).or_default().push(now);
        ChangingGuard { changing: self.clone(), table, since: now }
    }

    /// True while a transaction that is not too old changes the table's rows.
    pub fn is(&self, table: TableId, now: Micros) -> bool {
        let oldest = now.minus(PATIENCE);
        self.0.lock().get(&table).is_some_and(|since| since.iter().any(|since| *since >= oldest))
    }
}

/// A transaction that changes a table's rows, until it is dropped.
#[derive(Debug)]
pub struct ChangingGuard {
    changing: Changing,
    table: TableId,
    since: Micros,
}

impl Drop for ChangingGuard {
    fn drop(&mut self) {
        let mut tables = self.changing.0.lock();
        if let Some(since) = tables.get_mut(&self.table) {
            if let Some(at) = since.iter().position(|since| *since == self.since) {
                since.swap_remove(at);
            }
            if since.is_empty() {
                tables.remove(&self.table);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_changing_until_the_last_transaction_ends_or_all_are_old() {
        let (changing, table, now) = (Changing::default(), TableId(1), Micros(1_000_000_000));
        let first = changing.begin(table, now);
        let second = changing.begin(table, now);
        drop(first);
        assert!(changing.is(table, now) && !changing.is(TableId(2), now));
        assert!(!changing.is(table, now.plus(PATIENCE).plus(Duration::from_micros(1))));
        drop(second);
        assert!(!changing.is(table, now));
        assert!(changing.0.lock().is_empty());
    }
}
