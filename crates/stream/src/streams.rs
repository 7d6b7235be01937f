//! What a script reads and writes: tables of the lake, and tables, views and named streams of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use cenote_catalog::TableDef;
use cenote_connect::{LakeMode, LakeSource, SinkOptions, SourceOptions};
use cenote_query::StreamTables;
use cenote_table::RowKey;
use cenote_vocab::{ErrorKind, TableId};
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use crate::Error;
use crate::feed::{Feed, FeedId};
use crate::lineage::{Lineage, Meaning};
use crate::options::{BadData, IdleTimeout};
use crate::plan::is_keyed;

/// Where rows come from.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// A table of the lake.
    Lake(Arc<TableDef>, LakeMode),
    /// A connector.
    Connector(Arc<SourceOptions>),
}

/// What makes the rows of a table of those of its connector.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Rows of the connector.
    pub(crate) raw: FeedId,
    /// The table's columns, when each row happened, and what is over by then.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// The table's columns and when each row happened.
    pub(crate) schema: SchemaRef,
    /// The plan as a text, to know it again.
    pub(crate) text: String,
    /// Columns that are made from others, and WATERMARK if it is more than a column: for messages.
    pub(crate) made: Vec<String>,
    /// The column that says when a row happened, if the table names one.
    pub(crate) time: Option<String>,
}

/// When rows of a source happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventTime {
    /// What the source says.
    Source,
    /// The instant of the epoch.
    Ingest,
    /// Nobody asks.
    Unasked,
}

/// A source that a pipeline reads.
#[derive(Clone, Debug)]
pub(crate) struct SourcePlan {
    /// Its name in the script, or the table's full name: what its position is kept under.
    pub(crate) name: String,
    pub(crate) feed: FeedId,
    pub(crate) kind: SourceKind,
    pub(crate) shape: Option<Shape>,
    pub(crate) event_time: EventTime,
    /// Of a table: the columns that are read.
    pub(crate) read: BTreeSet<usize>,
    /// What becomes of rows that cannot be used; `None`: what the pipeline says.
    pub(crate) bad_data: Option<BadData>,
    /// How long its silence is waited for.
    pub(crate) idle: IdleTimeout,
}

impl SourcePlan {
    /// What its positions are positions in.
    pub(crate) fn identity(&self) -> String {
        match &self.kind {
            SourceKind::Lake(table, mode) => format!("table {} {mode:?}", table.id),
            SourceKind::Connector(options) => options.identity(),
        }
    }

    /// True if its rows may be taken back.
    pub(crate) fn is_changelog(&self) -> bool {
        match &self.kind {
            SourceKind::Lake(_, mode) => *mode == LakeMode::Changes,
            SourceKind::Connector(options) => options.is_changelog(),
        }
    }

    /// The table, if it is one of the lake.
    pub(crate) fn lake_table(&self) -> Option<&Arc<TableDef>> {
        match &self.kind {
            SourceKind::Lake(table, _) => Some(table),
            SourceKind::Connector(_) => None,
        }
    }

    /// Names it.
    pub(crate) fn table(&self) -> Option<TableId> {
        Some(self.lake_table()?.id)
    }

    /// What its rows are.
    pub(crate) fn lineage(&self) -> String {
        let shape = self.shape.as_ref().map_or("", |shape| shape.text.as_str());
        let time = match self.event_time {
            EventTime::Source => "",
            EventTime::Ingest => " at ingest",
            EventTime::Unasked => " unasked",
        };
        format!("{}{time}\n{shape}", self.identity())
    }
}

/// A table that rows of a pipeline are joined with by its key.
#[derive(Clone, Debug)]
pub(crate) struct LookupPlan {
    pub(crate) feed: Feed,
    pub(crate) table: Arc<TableDef>,
    /// Places of its key among its columns.
    pub(crate) key: Vec<usize>,
}

impl LookupPlan {
    /// The columns of its key.
    pub(crate) fn key_names(&self) -> Vec<String> {
        let fields = self.key.iter().filter_map(|at| self.table.schema.fields.get(*at));
        fields.map(|field| field.name.clone()).collect()
    }
}

/// A sink that a pipeline writes.
#[derive(Clone, Debug)]
pub(crate) struct SinkPlan {
    /// Its name in the script, in lower case: what its state is kept under.
    pub(crate) name: String,
    pub(crate) options: SinkOptions,
    /// What becomes of rows that are refused there; `None`: as the pipeline says.
    pub(crate) bad_data: Option<BadData>,
    /// `None` until something is written, where the table declares no columns.
    pub(crate) columns: Option<SchemaRef>,
}

/// What a name of a script is.
#[derive(Clone)]
enum Local {
    /// Rows of a connector.
    Source(Feed),
    /// A query with a name.
    View(Arc<dyn TableProvider>),
    /// Rows go there; by number.
    Sink(usize),
    /// What was written is read under another name.
    Memory { columns: SchemaRef, written: Vec<LogicalPlan>, is_read: bool },
}

/// Where an INSERT of a script goes.
pub(crate) enum Target {
    /// A sink, by number.
    Sink(usize),
    /// A named stream of these columns.
    Memory(SchemaRef),
    /// A table of the lake.
    Lake,
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
    /// By name in lower case: what the script has made.
    local: BTreeMap<String, Local>,
    lake: BTreeMap<TableId, Feed>,
    /// Views of the lake that were looked into.
    views: BTreeMap<TableId, Arc<TableDef>>,
    sources: Vec<SourcePlan>,
    sinks: Vec<SinkPlan>,
    /// Of what operators emit.
    lineage: BTreeMap<FeedId, String>,
    lookups: Vec<LookupPlan>,
    /// Tables of the lake that are named now are looked at by their key.
    looks_up: bool,
    feeds: FeedId,
}

impl Streams {
    pub(crate) fn new(functions: Vec<Arc<ScalarUDF>>, kind: ScriptKind) -> Self {
        Self { functions, kind, state: Mutex::default() }
    }

    /// Makes the rows of a connector known under a name; what is made of them may take their place.
    pub(crate) fn add_source(&self, source: SourcePlan, feed: Feed) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.add(&source.name, Local::Source(feed))?;
        state.sources.push(source);
        Ok(())
    }

    /// Takes the source of a name, with its feed, back.
    pub(crate) fn take_source(&self, name: &str) -> Option<SourcePlan> {
        let mut state = self.state.lock();
        let at = state.sources.iter().position(|source| source.name == name)?;
        state.local.remove(&name.to_lowercase());
        Some(state.sources.remove(at))
    }

    /// Makes a sink known.
    pub(crate) fn add_sink(&self, name: &str, sink: SinkPlan) -> Result<(), Error> {
        let mut state = self.state.lock();
        let number = state.sinks.len();
        state.add(name, Local::Sink(number))?;
        state.sinks.push(sink);
        Ok(())
    }

    /// A sink without a name of the script's, which shows rows.
    pub(crate) fn add_preview(&self) -> usize {
        let mut state = self.state.lock();
        let number = state.sinks.len();
        let name = format!("preview_{}", number + 1);
        state.sinks.push(SinkPlan { name, options: SinkOptions::Preview, bad_data: None, columns: None });
        number
    }

    /// Makes a named stream known.
    pub(crate) fn add_memory(&self, name: &str, columns: SchemaRef) -> Result<(), Error> {
        self.state.lock().add(name, Local::Memory { columns, written: Vec::new(), is_read: false })
    }

    /// Makes a view known.
    pub(crate) fn add_view(&self, name: &str, sql: String, plan: LogicalPlan) -> Result<(), Error> {
        self.state.lock().add(name, Local::View(Arc::new(ViewTable::new(plan, Some(sql)))))
    }

    /// What an INSERT into this name of one part writes. An error for what cannot be written.
    pub(crate) fn target(&self, name: &str) -> Result<Target, Error> {
        let no =
            |kind| Error::Invalid(format!("attempted to insert into table '{name}', but it is a {kind}"));
        match self.state.lock().local.get(&name.to_lowercase()) {
            None => Ok(Target::Lake),
            Some(Local::Sink(number)) => Ok(Target::Sink(*number)),
            Some(Local::Memory { is_read: true, .. }) => {
                Err(Error::Invalid(format!("memory table '{name}' is written after it was read")))
            }
            Some(Local::Memory { columns, .. }) => Ok(Target::Memory(columns.clone())),
            Some(Local::Source(_)) => Err(no("source")),
            Some(Local::View(_)) => Err(no("view")),
        }
    }

    /// Adds rows to a named stream.
    pub(crate) fn write_memory(&self, name: &str, rows: LogicalPlan) {
        if let Some(Local::Memory { written, .. }) = self.state.lock().local.get_mut(&name.to_lowercase()) {
            written.push(rows);
        }
    }

    /// The columns of a sink; those of its first rows, if it declares none.
    pub(crate) fn sink_columns(&self, number: usize, first: impl FnOnce() -> SchemaRef) -> Option<SinkPlan> {
        let mut state = self.state.lock();
        let sink = state.sinks.get_mut(number)?;
        sink.columns.get_or_insert_with(first);
        Some(sink.clone())
    }

    /// Says what the rows of a feed follow from.
    pub(crate) fn note_lineage(&self, feed: FeedId, lineage: String) {
        self.state.lock().lineage.insert(feed, lineage);
    }

    /// What the rows of a feed follow from.
    pub(crate) fn lineage_of(&self, feed: FeedId) -> String {
        let state = self.state.lock();
        let source = state.sources.iter().find(|source| source.feed == feed).map(SourcePlan::lineage);
        let lookup = || {
            let lookup = state.lookups.iter().find(|lookup| lookup.feed.id == feed)?;
            Some(format!("look-up table {}", lookup.table.id))
        };
        source.or_else(lookup).or_else(|| state.lineage.get(&feed).cloned()).unwrap_or_default()
    }

    /// Whether tables of the lake that are named from now on are looked at by their key.
    pub(crate) fn look_up(&self, looks_up: bool) {
        self.state.lock().looks_up = looks_up;
    }

    /// Tables that are looked at by their key.
    pub(crate) fn lookups(&self) -> Vec<LookupPlan> {
        self.state.lock().lookups.clone()
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

    /// The sources that were named so far; what is read of tables is known once all plans are made.
    pub(crate) fn sources(&self) -> Vec<SourcePlan> {
        let state = self.state.lock();
        let mut sources = state.sources.clone();
        for source in &mut sources {
            let SourceKind::Lake(table, _) = &source.kind else { continue };
            let Some(feed) = state.lake.get(&table.id) else { continue };
            source.read = feed.read();
            if !feed.shows_times() {
                source.event_time = EventTime::Unasked;
            }
        }
        sources
    }

    /// Views of the lake that were looked into.
    pub(crate) fn views(&self) -> BTreeMap<TableId, Arc<TableDef>> {
        self.state.lock().views.clone()
    }

    /// What the names of the lake mean.
    pub(crate) fn lineage(&self) -> Lineage {
        let mut tables: BTreeMap<String, (Arc<TableDef>, BTreeSet<usize>)> = BTreeMap::new();
        let lookups = self.lookups().into_iter().map(|lookup| {
            let read = lookup.feed.read().into_iter().chain(lookup.key).collect();
            (lookup.table, read)
        });
        let sources = self.sources().into_iter().filter_map(|source| match source.kind {
            SourceKind::Lake(table, _) => Some((table, source.read)),
            SourceKind::Connector(_) => None,
        });
        for (table, read) in sources.chain(lookups) {
            tables.entry(table.full_name()).or_insert((table, BTreeSet::new())).1.extend(read);
        }
        let tables = tables.into_iter().map(|(name, (table, read))| (name, Meaning::table(&table, &read)));
        let views = self.views().into_values();
        let views = views.filter_map(|view| Some((view.full_name(), Meaning::view(&view)?)));
        tables.chain(views).collect()
    }

    /// The sinks that were named so far.
    pub(crate) fn sinks(&self) -> Vec<SinkPlan> {
        self.state.lock().sinks.clone()
    }
}

impl State {
    fn next_feed(&mut self) -> FeedId {
        self.feeds += 1;
        self.feeds
    }

    fn add(&mut self, name: &str, local: Local) -> Result<(), Error> {
        match self.local.insert(name.to_lowercase(), local) {
            None => Ok(()),
            Some(_) => Err(Error::Invalid(format!("table \"{name}\" is made twice"))),
        }
    }
}

/// All rows of several plans.
fn union(plans: &[LogicalPlan]) -> datafusion::common::Result<Option<LogicalPlan>> {
    let Some((first, rest)) = plans.split_first() else { return Ok(None) };
    let mut all = LogicalPlanBuilder::from(first.clone());
    for plan in rest {
        all = all.union(plan.clone())?;
    }
    all.build().map(Some)
}

impl StreamTables for Streams {
    fn local(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, cenote_query::Error> {
        let invalid = |message: String| cenote_query::Error::new(ErrorKind::Invalid, message);
        match self.state.lock().local.get_mut(&name.to_lowercase()) {
            None => Ok(None),
            Some(Local::Source(feed)) => Ok(Some(Arc::new(feed.clone()))),
            Some(Local::View(view)) => Ok(Some(view.clone())),
            Some(Local::Sink(_)) => {
                Err(invalid(format!("attempted to read from table '{name}', but it is a sink")))
            }
            Some(Local::Memory { written, is_read, .. }) => {
                *is_read = true;
                let rows = union(written).map_err(|error| invalid(error.to_string()))?;
                let rows = rows.ok_or_else(|| {
                    invalid(format!("Can't query from memory table {name} without first inserting into it."))
                })?;
                Ok(Some(Arc::new(ViewTable::new(rows, None))))
            }
        }
    }

    fn lake(&self, table: &Arc<TableDef>) -> Arc<dyn TableProvider> {
        let mut state = self.state.lock();
        if state.looks_up {
            // Without a key there is nothing to look up by; who opens the table tells.
            let key = RowKey::of(table).ok().flatten().filter(|_| !table.key_fields.is_empty());
            let key = key.map_or_else(Vec::new, |key| key.places().to_vec());
            let feed = Feed::lookup(state.next_feed(), Arc::new(LakeSource::columns(table)), key.clone());
            state.lookups.push(LookupPlan { feed: feed.clone(), table: table.clone(), key });
            return Arc::new(feed);
        }
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
        // A change that is read twice must say the same twice: the instant of the epoch would not.
        let feed = match mode == LakeMode::Changes && table.time_column().is_none() {
            true => feed.timeless(),
            false => feed,
        };
        let time = table.time_column().map(|time| time.id);
        let feed = feed.with_time(table.schema.fields.iter().position(|field| Some(field.id) == time));
        state.lake.insert(table.id, feed.clone());
        state.sources.push(SourcePlan {
            name: table.full_name(),
            feed: feed.id,
            kind: SourceKind::Lake(table.clone(), mode),
            shape: None,
            event_time: EventTime::Source,
            read: BTreeSet::new(),
            bad_data: None,
            idle: IdleTimeout::OfPipeline,
        });
        Arc::new(feed)
    }

    fn reads_view(&self, view: &Arc<TableDef>) {
        // That of a materialized view changes with the table of its rows, which is a source.
        if view.materialized().is_none() {
            self.state.lock().views.insert(view.id, view.clone());
        }
    }

    fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        self.functions.clone()
    }
}
