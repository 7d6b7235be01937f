//! What a script reads: tables of the lake, connector tables and views of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_connect::{Impulse, ImpulseOptions, LakeMode, LakeSource, Nexmark, NexmarkOptions, Options};
use cenote_query::StreamTables;
use cenote_table::RowKey;
use cenote_vocab::TableId;
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use parking_lot::Mutex;

use crate::Error;
use crate::feed::{Feed, FeedId};
use crate::plan::is_keyed;

/// Where rows come from.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// A table of the lake.
    Lake(Arc<TableDef>, LakeMode),
    /// The counter.
    Impulse(ImpulseOptions),
    /// The auction house.
    Nexmark(NexmarkOptions),
}

/// A source that a pipeline reads.
#[derive(Clone, Debug)]
pub(crate) struct SourcePlan {
    /// Its name in the script, or the table's full name: what its position is kept under.
    pub(crate) name: String,
    pub(crate) feed: FeedId,
    pub(crate) kind: SourceKind,
}

/// What is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptKind {
    /// A script that writes tables. Changes are read of tables whose rows have a key, of others what is inserted.
    Pipeline,
    /// The query of a view, which is always right: changes are read of all tables, and only keys that are kept are trusted.
    View,
}

/// Names of a script while it is planned.
pub(crate) struct Streams {
    functions: Vec<Arc<ScalarUDF>>,
    kind: ScriptKind,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name: what the script has made.
    local: BTreeMap<String, Arc<dyn TableProvider>>,
    lake: BTreeMap<TableId, Feed>,
    sources: Vec<SourcePlan>,
    feeds: FeedId,
}

impl Streams {
    pub(crate) fn new(functions: Vec<Arc<ScalarUDF>>, kind: ScriptKind) -> Self {
        Self { functions, kind, state: Mutex::default() }
    }

    /// Makes a connector table known.
    pub(crate) fn add_connector(&self, name: &str, options: BTreeMap<String, String>) -> Result<(), Error> {
        let mut options = Options::new(options);
        let connector = options.require("connector")?;
        let (kind, columns) = match connector.as_str() {
            "impulse" => (SourceKind::Impulse(ImpulseOptions::take(&mut options)?), Impulse::columns()),
            "nexmark" => (SourceKind::Nexmark(NexmarkOptions::take(&mut options)?), Nexmark::columns()),
            other => return Err(Error::Unsupported(format!("connector '{other}'"))),
        };
        options.end()?;
        let mut state = self.state.lock();
        let feed = Feed::new(state.next_feed(), Arc::new(columns));
        state.sources.push(SourcePlan { name: name.to_owned(), feed: feed.id, kind });
        state.add(name, Arc::new(feed))
    }

    /// Makes a view known.
    pub(crate) fn add_view(&self, name: &str, sql: String, plan: LogicalPlan) -> Result<(), Error> {
        self.state.lock().add(name, Arc::new(ViewTable::new(plan, Some(sql))))
    }

    /// A feed that no other has.
    pub(crate) fn next_feed(&self) -> FeedId {
        self.state.lock().next_feed()
    }

    /// True for the query of a view.
    pub(crate) fn is_view(&self) -> bool {
        self.kind == ScriptKind::View
    }

    /// Where the columns of a table's key are; `None` if it has none, or one that nobody keeps.
    fn key_places(&self, table: &TableDef) -> Option<Vec<usize>> {
        if self.is_view() {
            return Some(RowKey::of_dedup(table).ok()??.places().to_vec());
        }
        let key = RowKey::of(table).ok().flatten()?;
        is_keyed(table).unwrap_or(false).then(|| key.places().to_vec())
    }

    /// True if something depends on the ids of a table's rows.
    pub(crate) fn shows_ids(&self, table: TableId) -> bool {
        self.state.lock().lake.get(&table).is_some_and(Feed::shows_ids)
    }

    /// The sources that were named so far.
    pub(crate) fn sources(&self) -> Vec<SourcePlan> {
        self.state.lock().sources.clone()
    }
}

impl State {
    fn next_feed(&mut self) -> FeedId {
        self.feeds += 1;
        self.feeds
    }

    fn add(&mut self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), Error> {
        match self.local.insert(name.to_owned(), table) {
            None => Ok(()),
            Some(_) => Err(Error::Invalid(format!("table \"{name}\" is made twice"))),
        }
    }
}

impl StreamTables for Streams {
    fn local(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.state.lock().local.get(name).cloned()
    }

    fn lake(&self, table: &Arc<TableDef>) -> Arc<dyn TableProvider> {
        let mut state = self.state.lock();
        if let Some(feed) = state.lake.get(&table.id) {
            return Arc::new(feed.clone());
        }
        let columns = Arc::new(LakeSource::columns(table));
        // An option that cannot be understood is told by the one who reads the table.
        let mode = match self.is_view() || is_keyed(table).unwrap_or(true) {
            true => LakeMode::Changes,
            false => LakeMode::Append,
        };
        let feed = match mode {
            LakeMode::Append => Feed::new(state.next_feed(), columns),
            LakeMode::Changes => Feed::changes(state.next_feed(), columns, self.key_places(table)),
        };
        state.lake.insert(table.id, feed.clone());
        let kind = SourceKind::Lake(table.clone(), mode);
        state.sources.push(SourcePlan { name: table.full_name(), feed: feed.id, kind });
        Arc::new(feed)
    }

    fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        self.functions.clone()
    }
}
