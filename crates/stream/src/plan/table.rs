//! `CREATE TABLE` of a script: what it reads, with the columns that are made from those of its rows, and what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use cenote_connect::{Column, Connector, Declaration, EVENT_TIME, Options, Reach, SourceOptions};
use cenote_datafile::sql_schema;
use cenote_query::{ScriptTable, ScriptValue, Session, StreamTables, quote};
use cenote_vocab::TableSchema;
use datafusion::common::{Column as ColumnName, ExprSchema};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use super::hidden::{hidden_column, with_hidden};
use super::{check, lineage, narrow};
use crate::Error;
use crate::feed::Feed;
use crate::options::{BadData, IdleTimeout};
use crate::streams::{EventTime, Shape, SinkPlan, SourceKind, SourcePlan, Streams};

/// The column of what is over when a row is seen.
pub(super) const WATERMARK: &str = "\u{1f}watermark";

/// Options of every source, whatever its connector.
struct Common {
    event_time: EventTime,
    bad_data: Option<BadData>,
    idle: IdleTimeout,
    /// Columns, as Arroyo's scripts named them before there was WATERMARK.
    event_time_field: Option<String>,
    watermark_field: Option<String>,
}

impl Common {
    fn take(options: &mut BTreeMap<String, String>) -> Result<Self, Error> {
        let event_time = match options.remove("event_time").as_deref() {
            None => EventTime::Source,
            Some("ingest") => EventTime::Ingest,
            Some(other) => {
                return Err(Error::Invalid(format!("option 'event_time' is 'ingest', got '{other}'")));
            }
        };
        Ok(Self {
            event_time,
            bad_data: options.remove("bad_data").as_deref().map(BadData::parse).transpose()?,
            idle: match options.remove("idle_micros") {
                Some(idle) => IdleTimeout::parse(&idle)?,
                None => IdleTimeout::OfPipeline,
            },
            event_time_field: options.remove("event_time_field"),
            watermark_field: options.remove("watermark_field"),
        })
    }
}

/// Makes a table of a script known.
pub(super) async fn table(
    session: &Session,
    streams: &Arc<Streams>,
    reach: &Reach,
    table: ScriptTable,
) -> Result<(), Error> {
    let columns = arrow_columns(&table);
    let connector = table.options.as_ref().and_then(|options| options.get("connector")).map(String::as_str);
    let is_lookup = table
        .options
        .as_ref()
        .is_some_and(|options| options.get("type").is_some_and(|used| used == "lookup"));
    if table.temporary || is_lookup {
        return Box::pin(lookup(session, streams, &table, columns)).await;
    }
    if matches!(connector, None | Some("memory")) {
        return memory(streams, &table, columns);
    }
    let mut options = table.options.clone().unwrap_or_default();
    let common = Common::take(&mut options)?;
    let given = columns.iter().zip(&table.columns).filter_map(|(field, column)| match &column.value {
        ScriptValue::Stored => Some(Column { field: field.as_ref().clone(), metadata: None }),
        ScriptValue::Metadata(key) => {
            Some(Column { field: field.as_ref().clone(), metadata: Some(key.clone()) })
        }
        ScriptValue::Generated(_) => None,
    });
    let has_generated = table.columns.iter().any(|column| matches!(column.value, ScriptValue::Generated(_)));
    if !table.partitioned.is_empty() {
        options.insert("partitioning.fields".to_owned(), table.partitioned.join(","));
    }
    let declaration = Declaration {
        name: table.name.clone(),
        columns: given.collect(),
        has_key: !table.primary_key.is_empty(),
        has_generated,
        options: Options::new(options),
    };
    match Connector::of(declaration).map_err(|error| made(&table.name, error))? {
        Connector::Sink(options) => {
            if has_generated || table.columns.iter().any(|column| column.value != ScriptValue::Stored) {
                return Err(Error::Invalid(format!("sink '{}' has columns that nobody writes", table.name)));
            }
            if table.watermark.is_some()
                || common.event_time_field.is_some()
                || common.watermark_field.is_some()
            {
                return Err(Error::Invalid(format!("sink '{}' has no event time", table.name)));
            }
            options.check_reach(reach)?;
            let columns = (!columns.is_empty()).then(|| Arc::new(Schema::new(columns)));
            if let Some(columns) = &columns {
                options.check(columns)?;
            }
            let name = table.name.to_lowercase();
            streams.add_sink(&table.name, SinkPlan { name, options, bad_data: common.bad_data, columns })
        }
        Connector::Source(options) => {
            options.check_reach(reach)?;
            source(session, streams, &table, (options, columns), common).await
        }
    }
}

/// Where the fault of a connector's table is.
fn made(table: &str, error: cenote_connect::Error) -> Error {
    match error {
        cenote_connect::Error::Options(reason) => {
            Error::Invalid(format!("Failed to create table {table} caused by {reason}"))
        }
        error => error.into(),
    }
}

/// Declared columns as Arrow has them.
fn arrow_columns(table: &ScriptTable) -> Vec<FieldRef> {
    let fields = table.columns.iter().map(|column| column.field.clone()).collect();
    sql_schema(&TableSchema { no: 0, fields }).fields().to_vec()
}

fn memory(streams: &Streams, table: &ScriptTable, columns: Vec<FieldRef>) -> Result<(), Error> {
    let of_it = |what: &str| Err(Error::Invalid(format!("memory table '{}' has {what}", table.name)));
    if columns.is_empty() {
        return of_it("no columns");
    }
    if table.columns.iter().any(|column| column.value != ScriptValue::Stored) {
        return of_it("a generated column");
    }
    if table.watermark.is_some() {
        return of_it("a watermark");
    }
    let mut options = table.options.clone().unwrap_or_default();
    options.remove("connector");
    Options::new(options).end()?;
    streams.add_memory(&table.name, Arc::new(Schema::new(columns)))
}

/// A table of the lake under a name of the script, whose rows are found by its key.
async fn lookup(
    session: &Session,
    streams: &Arc<Streams>,
    table: &ScriptTable,
    columns: Vec<FieldRef>,
) -> Result<(), Error> {
    let mut options = Options::new(table.options.clone().unwrap_or_default());
    let connector = options.require("connector")?;
    if connector != "lake" {
        return Err(Error::Unsupported(format!("a lookup table with connector '{connector}'")));
    }
    drop(options.take("type"));
    let from = options.require("table")?;
    options.end()?;
    if table.columns.iter().any(|column| column.value != ScriptValue::Stored) || table.watermark.is_some() {
        return Err(Error::Invalid(format!("lookup table '{}' has columns that nobody stores", table.name)));
    }
    let tables: Arc<dyn StreamTables> = streams.clone();
    let sql = format!("SELECT * FROM {from}");
    streams.look_up(true);
    let planned = Box::pin(session.plan_query(&sql, &tables)).await;
    streams.look_up(false);
    let (mut plan, _) = planned?;
    if !columns.is_empty() {
        let given = plan.schema().columns();
        let chosen = columns.iter().map(|field| {
            let same = |column: &&ColumnName| column.name.eq_ignore_ascii_case(field.name());
            given.iter().find(same).cloned().ok_or_else(|| {
                Error::Invalid(format!(
                    "column \"{}\" of lookup table '{}' is no column of {from}",
                    field.name(),
                    table.name
                ))
            })
        });
        let chosen = chosen.collect::<Result<Vec<ColumnName>, _>>()?;
        // They are called what the table calls them.
        let columns = columns.iter().zip(&chosen);
        let columns = columns.map(|(field, column)| field.as_ref().clone().with_name(&column.name));
        let columns = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let chosen = LogicalPlanBuilder::from(plan).project(chosen.into_iter().map(Expr::Column))?.build()?;
        plan = fitted(chosen, &columns, &table.name)?;
    }
    let key = streams.lookups().pop().map(|lookup| lookup.key_names()).unwrap_or_default();
    if key.is_empty() {
        return Err(Error::Invalid(format!("table {from} has no PRIMARY KEY to look its rows up by")));
    }
    let same = |a: &[String], b: &[String]| {
        a.len() == b.len() && a.iter().all(|name| b.iter().any(|other| other.eq_ignore_ascii_case(name)))
    };
    if !(table.columns.is_empty() || same(&table.primary_key, &key)) {
        return Err(Error::Invalid(format!(
            "lookup table '{}' needs the PRIMARY KEY of {from}, which is ({})",
            table.name,
            key.join(", ")
        )));
    }
    streams.add_view(&table.name, sql, plan)
}

async fn source(
    session: &Session,
    streams: &Arc<Streams>,
    table: &ScriptTable,
    (options, columns): (SourceOptions, Vec<FieldRef>),
    common: Common,
) -> Result<(), Error> {
    let columns_given = Arc::new(options.columns());
    let raw = match options.is_changelog() {
        true => {
            let has_time =
                [&common.event_time_field, &common.watermark_field].into_iter().any(Option::is_some);
            if has_time || table.watermark.is_some() {
                return Err(Error::Invalid(format!(
                    "table '{}' reads changes: its rows may be taken back, and have no event time",
                    table.name
                )));
            }
            Feed::logged(streams.next_feed(), columns_given, key_places(table, &options.columns())?)
        }
        false => Feed::new(streams.next_feed(), columns_given),
    };
    let planned = SourcePlan {
        name: table.name.clone(),
        feed: raw.id,
        kind: SourceKind::Connector(Arc::new(options)),
        shape: None,
        event_time: common.event_time,
        read: BTreeSet::new(),
        bad_data: common.bad_data,
        idle: common.idle,
    };
    streams.add_source(planned, raw.clone())?;
    let watermark = match (&table.watermark, common.event_time_field, common.watermark_field) {
        (Some(watermark), None, None) => Some((watermark.column.clone(), watermark.expression.clone())),
        (Some(_), ..) => {
            return Err(Error::Invalid(format!(
                "table '{}' has both WATERMARK and event_time_field or watermark_field",
                table.name
            )));
        }
        (None, Some(column), watermark) => {
            Some((column, Some(watermark.map_or_else(String::new, |name| quote(&name)))))
        }
        (None, None, Some(_)) => {
            return Err(Error::Invalid(format!(
                "table '{}' has a watermark_field and no event_time_field",
                table.name
            )));
        }
        (None, None, None) => None,
    };
    let generated = table.columns.iter().any(|column| matches!(column.value, ScriptValue::Generated(_)));
    if watermark.is_none() && !generated {
        return Ok(());
    }
    let shaped = Shaped { table, columns: &columns, watermark };
    let plan = shaped.plan(session, streams).await?;
    let Some(mut planned) = streams.take_source(&table.name) else { return Ok(()) };
    let visible: Vec<Field> = plan
        .logical
        .schema()
        .fields()
        .iter()
        .take(plan.visible)
        .map(|field| {
            Field::new(field.name(), field.data_type().clone(), field.is_nullable())
                .with_metadata(field.metadata().clone())
        })
        .collect();
    let time = shaped
        .watermark
        .as_ref()
        .and_then(|(column, _)| visible.iter().position(|field| field.name().eq_ignore_ascii_case(column)));
    let feed = Feed::new(streams.next_feed(), Arc::new(Schema::new(visible))).with_time(time);
    let state = narrow(plan.state);
    let optimized = state.optimize(&plan.logical)?;
    let physical = state.create_physical_plan(&optimized).await?;
    planned.feed = feed.id;
    let text = lineage::text(&optimized, &|_| table.name.to_lowercase())?;
    let made = shaped.made();
    let time = shaped.watermark.as_ref().map(|(column, _)| column.clone());
    planned.shape =
        Some(Shape { raw: raw.id, plan: physical, schema: feed.batches().clone(), text, made, time });
    streams.add_source(planned, feed)
}

/// Where the columns of a table's PRIMARY KEY are.
fn key_places(table: &ScriptTable, columns: &Schema) -> Result<Vec<usize>, Error> {
    let place = |name: &String| {
        let is_it = |field: &FieldRef| field.name().eq_ignore_ascii_case(name);
        columns.fields().iter().position(is_it).ok_or_else(|| {
            Error::Invalid(format!(
                "PRIMARY KEY of table '{}' names \"{name}\", which is no column",
                table.name
            ))
        })
    };
    table.primary_key.iter().map(place).collect()
}

/// What is to be made of the rows of a connector.
struct Shaped<'a> {
    table: &'a ScriptTable,
    columns: &'a [FieldRef],
    /// The column of the event time, and what is over: an empty text means by the usual delay.
    watermark: Option<(String, Option<String>)>,
}

/// The plan that makes it.
struct ShapePlan {
    /// The table's columns, the event time, what is over.
    logical: LogicalPlan,
    visible: usize,
    state: datafusion::execution::session_state::SessionState,
}

impl Shaped<'_> {
    async fn plan(&self, session: &Session, streams: &Arc<Streams>) -> Result<ShapePlan, Error> {
        let tables: Arc<dyn StreamTables> = streams.clone();
        let name = quote(&self.table.name);
        let items = self.items();
        let inner = format!("SELECT {} FROM {name}", items.join(", "));
        let expression = self.watermark.as_ref().and_then(|(_, expression)| expression.as_deref());
        let sql = match expression.filter(|expression| !expression.is_empty()) {
            Some(expression) => {
                format!("SELECT *, ({expression}) AS {} FROM ({inner}) AS {name}", quote(WATERMARK))
            }
            None => inner,
        };
        let (plan, state) = Box::pin(session.plan_query(&sql, &tables)).await?;
        let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        check::functions(&analyzed)?;
        check::no_window(&analyzed)?;
        let timed = with_hidden(&analyzed, &[EVENT_TIME])?;
        let logical = self.typed(timed)?;
        let logical = state.analyzer().execute_and_check(logical, state.config_options(), |_, _| {})?;
        Ok(ShapePlan { logical, visible: items.len(), state })
    }

    /// What expressions make.
    fn made(&self) -> Vec<String> {
        let columns = self.table.columns.iter();
        let generated = columns.filter(|column| matches!(column.value, ScriptValue::Generated(_)));
        let says =
            |(_, expression): &&(String, Option<String>)| expression.as_ref().is_some_and(|e| !e.is_empty());
        let watermark = self.watermark.as_ref().filter(says).map(|_| "WATERMARK".to_owned());
        generated.map(|column| format!("column \"{}\"", column.field.name)).chain(watermark).collect()
    }

    /// The columns in their order.
    fn items(&self) -> Vec<String> {
        if self.table.columns.is_empty() {
            return vec!["*".to_owned()];
        }
        let item = |column: &cenote_query::ScriptColumn| {
            let name = quote(&column.field.name);
            match &column.value {
                ScriptValue::Generated(expression) => format!("({expression}) AS {name}"),
                ScriptValue::Stored | ScriptValue::Metadata(_) => name,
            }
        };
        self.table.columns.iter().map(item).collect()
    }

    /// Columns in the types that they declare; behind them the event time and what is over.
    fn typed(&self, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let given = plan.schema().columns();
        let mut exprs: Vec<Expr> = Vec::new();
        for (column, field) in given.iter().zip(self.columns) {
            let is = plan.schema().field_from_column(column)?.data_type().clone();
            let expr = Expr::Column(column.clone());
            let expr = if is == *field.data_type() { expr } else { cast(expr, field.data_type().clone()) };
            exprs.push(expr.alias(field.name()));
        }
        let named = |name: &str| {
            let found = given.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            found.cloned().ok_or_else(|| {
                Error::Invalid(format!(
                    "column \"{name}\" of the WATERMARK of table '{}' does not exist",
                    self.table.name
                ))
            })
        };
        let time = |column: ColumnName| match plan.schema().field_from_column(&column)?.data_type() {
            DataType::Timestamp(..) => Ok::<_, Error>(cast(Expr::Column(column), micros.clone())),
            other => Err(Error::Invalid(format!(
                "column \"{}\" of a WATERMARK is {other}, no TIMESTAMP",
                column.name
            ))),
        };
        let (happened, over) = match &self.watermark {
            None => (hidden_column(&plan, 1)?, None),
            Some((column, expression)) => {
                let happened = time(named(column)?)?;
                let over = match expression.as_deref() {
                    None => Some(happened.clone()),
                    Some("") => None,
                    Some(_) => Some(time(named(WATERMARK)?)?),
                };
                (happened, over)
            }
        };
        exprs.push(happened.alias(EVENT_TIME));
        if let Some(over) = over {
            exprs.push(over.alias(WATERMARK));
        }
        Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
    }
}

/// The columns of rows that go to a sink: those that it declares, by position, or their own.
pub(super) fn fitted(plan: LogicalPlan, columns: &SchemaRef, target: &str) -> Result<LogicalPlan, Error> {
    let given = plan.schema().columns();
    if given.len() != columns.fields().len() {
        return Err(Error::Invalid(format!(
            "table '{target}' has {} columns, the query gives {}",
            columns.fields().len(),
            given.len()
        )));
    }
    let exprs = given.iter().zip(columns.fields()).map(|(column, field)| {
        let is = plan.schema().field_from_column(column)?.data_type().clone();
        let expr = Expr::Column(column.clone());
        let expr = if is == *field.data_type() { expr } else { cast(expr, field.data_type().clone()) };
        Ok(expr.alias(field.name()))
    });
    let exprs = exprs.collect::<Result<Vec<_>, Error>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

/// The columns of a query whose rows go to a sink that declares none. A field of a struct is named as the field, if no other
/// column is; of several columns of a name all but the first are numbered.
pub(super) fn columns_of(plan: &LogicalPlan) -> SchemaRef {
    let fields = plan.schema().fields();
    let named = |name: &str| fields.iter().filter(|field| field_name(field.name()) == name).count();
    let mut taken = BTreeSet::new();
    let mut unique = |name: &str| {
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        // Names match in any case.
        names.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
    };
    let fields = fields.iter().map(|field| {
        let name = field_name(field.name());
        let name = if named(name) == 1 { name } else { field.name() };
        field.as_ref().clone().with_name(unique(name)).with_nullable(true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// `start` of `w[start]`, which is what the planner calls `w.start`.
fn field_name(name: &str) -> &str {
    let field = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).map(|(_, field)| field);
    field.filter(|field| !field.is_empty() && !field.chars().all(|c| c.is_ascii_digit())).unwrap_or(name)
}
