//! What a script reads: tables of the lake, connector tables and views of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_connect::{Impulse, ImpulseOptions, LakeSource, Nexmark, NexmarkOptions, Options};
use cenote_query::StreamTables;
use cenote_vocab::TableId;
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use parking_lot::Mutex;

use crate::Error;
use crate::feed::{Feed, FeedId};

/// Where rows come from.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// A table of the lake.
    Lake(Arc<TableDef>),
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

/// Names of a script while it is planned.
pub(crate) struct Streams {
    functions: Vec<Arc<ScalarUDF>>,
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
    pub(crate) fn new(functions: Vec<Arc<ScalarUDF>>) -> Self {
        Self { functions, state: Mutex::default() }
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
        let feed = Feed::new(state.next_feed(), Arc::new(LakeSource::columns(table)));
        state.lake.insert(table.id, feed.clone());
        let kind = SourceKind::Lake(table.clone());
        state.sources.push(SourcePlan { name: table.full_name(), feed: feed.id, kind });
        Arc::new(feed)
    }

    fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        self.functions.clone()
    }
}
