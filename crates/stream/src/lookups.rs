//! Tables of the lake that the rows of an epoch are joined with: their rows as of one transaction.
//!
//! A small table is held whole until it changes. Of a larger one the rows of an epoch's keys are read, and those that were
//! asked for lately are kept until it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::{concat, take};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use cenote_connect::LookupTable;
use cenote_vocab::{FileId, Txn};
use tokio::sync::Mutex;

use crate::Error;
use crate::feed::FeedId;
use crate::multiset::Layout;

/// Rows of a larger one that are kept take this, about.
const KEPT_BYTES: usize = 8 << 20;

/// All lookup tables of a pipeline.
#[derive(Default)]
pub(crate) struct Lookups {
    tables: BTreeMap<FeedId, Mutex<Looked>>,
    nodes: Vec<String>,
    at: Txn,
    whole_bytes: usize,
}

struct Looked {
    table: LookupTable,
    /// Places of its key among its columns.
    key: Vec<usize>,
    known: Option<Known>,
}

/// What is known of a table.
struct Known {
    at: Txn,
    content: Vec<(FileId, u64)>,
    rows: KnownRows,
}

enum KnownRows {
    All(Vec<RecordBatch>),
    Lately(Lately),
}

/// Rows by key, those that were asked for lately: when the young ones are too many, they become the old ones.
#[derive(Default)]
struct Lately {
    young: HashMap<Key, Option<Row>>,
    old: HashMap<Key, Option<Row>>,
    bytes: usize,
}

type Key = Box<[u8]>;
type Row = Box<[u8]>;

impl Lookups {
    /// None yet; tables up to so many bytes are held whole.
    pub(crate) fn new(whole_bytes: usize) -> Self {
        Self { whole_bytes, ..Self::default() }
    }

    pub(crate) fn add(&mut self, feed: FeedId, table: LookupTable, key: Vec<usize>) {
        self.nodes.push(table.node());
        self.tables.insert(feed, Mutex::new(Looked { table, key, known: None }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What lineage calls the tables.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.nodes.clone()
    }

    /// Makes what is durable readable.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        for looked in self.tables.values() {
            looked.lock().await.table.settle().await?;
        }
        Ok(())
    }

    /// The transaction as of which rows are looked up from now on.
    pub(crate) fn look_at(&mut self, at: Txn) {
        self.at = at;
    }

    /// The rows of a table with these keys, and perhaps others.
    pub(crate) async fn rows(&self, feed: FeedId, keys: &[Vec<ArrayRef>]) -> Result<Vec<RecordBatch>, Error> {
        let Some(looked) = self.tables.get(&feed) else {
            return Err(Error::Invalid("a lookup table that nobody opened".to_owned()));
        };
        let mut looked = looked.lock().await;
        looked.know(self.at, self.whole_bytes).await?;
        looked.rows(self.at, keys).await
    }
}

impl Looked {
    /// Sees to it that what is known is of this transaction.
    async fn know(&mut self, at: Txn, whole_bytes: usize) -> Result<(), Error> {
        if self.known.as_ref().is_some_and(|known| known.at == at) {
            return Ok(());
        }
        let files = self.table.files(at).await?;
        let content = files.content();
        match &mut self.known {
            Some(known) if known.content == content => known.at = at,
            known => {
                let rows = match self.table.all(&files, whole_bytes).await? {
                    Some(rows) => KnownRows::All(rows),
                    None => KnownRows::Lately(Lately::default()),
                };
                *known = Some(Known { at, content, rows });
            }
        }
        Ok(())
    }

    async fn rows(&mut self, at: Txn, keys: &[Vec<ArrayRef>]) -> Result<Vec<RecordBatch>, Error> {
        let lately = match self.known.as_mut().map(|known| &mut known.rows) {
            Some(KnownRows::All(rows)) => return Ok(rows.clone()),
            Some(KnownRows::Lately(lately)) => lately,
            None => return Ok(Vec::new()),
        };
        let keys = whole_columns(keys)?;
        let fields = keys.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let encoded = converter.convert_columns(&keys)?;
        let (mut seen, mut found, mut missing) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (at, key) in (0_u64..).zip(encoded.iter()) {
            if !seen.insert(key.data().to_vec()) {
                continue;
            }
            match lately.find(key.data()) {
                Some(row) => found.extend(row),
                None => missing.push(at),
            }
        }
        let layout = Layout::new(self.table.columns(), 0)?;
        let mut batches = vec![layout.batch(found.iter().map(AsRef::as_ref))?];
        if !missing.is_empty() {
            let places = UInt64Array::from(missing);
            let asked: Vec<ArrayRef> =
                keys.iter().map(|column| take(column, &places, None)).collect::<Result<_, _>>()?;
            let read = self.table.of_keys(at, asked.clone()).await?;
            for key in &converter.convert_columns(&asked)? {
                lately.keep(key.data().into(), None);
            }
            for batch in &read {
                let own: Vec<ArrayRef> = self.key.iter().map(|at| batch.column(*at).clone()).collect();
                for (at, key) in converter.convert_columns(&own)?.iter().enumerate() {
                    let row = layout.delta(&[batch.slice(at, 1)])?;
                    lately.keep(key.data().into(), row.iter().next().map(|(row, _)| row.into()));
                }
            }
            batches.extend(read);
        }
        Ok(batches)
    }
}

impl Lately {
    /// What is known of a key: its row, or that it has none.
    fn find(&mut self, key: &[u8]) -> Option<Option<Row>> {
        if let Some(row) = self.young.get(key) {
            return Some(row.clone());
        }
        let (key, row) = self.old.remove_entry(key)?;
        self.keep(key, row.clone());
        Some(row)
    }

    fn keep(&mut self, key: Key, row: Option<Row>) {
        self.bytes += key.len() + row.as_ref().map_or(0, |row| row.len()) + ENTRY_BYTES;
        self.young.insert(key, row);
        if self.bytes > KEPT_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

/// Memory of an entry beside its bytes, about.
const ENTRY_BYTES: usize = 64;

/// Columns of all batches, one behind the other.
fn whole_columns(batches: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>, Error> {
    let width = batches.first().map_or(0, Vec::len);
    let column = |at: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|columns| columns[at].as_ref()).collect();
        concat(&parts)
    };
    Ok((0..width).map(column).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_asked_for_stay_and_others_go() {
        let mut lately = Lately::default();
        let key = |number: u32| -> Key { number.to_be_bytes().into() };
        let row: Row = vec![7_u8; 1000].into();
        lately.keep(key(0), Some(row.clone()));
        for number in 1..20_000 {
            lately.keep(key(number), Some(row.clone()));
            if number % 1000 == 0 {
                assert_eq!(lately.find(&key(0)), Some(Some(row.clone())), "{number}");
            }
        }
        assert_eq!(lately.find(&key(1)), None);
        assert!((lately.young.len() + lately.old.len()) * 1000 <= KEPT_BYTES + 2000);
        lately.keep(key(3), None);
        assert_eq!(lately.find(&key(3)), Some(None), "that there is none is known");
    }
}
