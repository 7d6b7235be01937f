//! Open windows for which there is no memory: the states of their groups as rows of tables, which go to disk and into commits
//! as those of other operators do.
//!
//! ```text
//! panes:     (start of the pane, groups, states)              windows that close are a range at the front
//! sessions:  (groups, session, states) and (end, groups)      those that are over are found by their end
//! ```
//! A group of a pane stands here once: what came for it later is in memory until it is put here too. A key of sessions is either
//! here or in memory: what is touched is taken back first, since new rows may join it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};

use super::phases::Phases;
use crate::Error;
use crate::epoch::Executor;
use crate::idle::Idle;
use crate::multiset::{Delta, HeldRow, Layout, Multiset};
use crate::session::{self, Groups};
use crate::window::{self, WindowKind, Windows};

/// Rows that become states at once.
const BATCH_ROWS: usize = 8192;
/// The column of panes' starts.
const START: &str = "_start";

/// Tables of open windows.
pub(super) enum Parked {
    Panes(Panes),
    Sessions(Sessions),
}

/// Panes of fixed windows, in the order of their time.
pub(super) struct Panes {
    windows: Windows,
    states: Columns,
    layout: Layout,
    start: RowConverter,
}

/// Sessions by key.
pub(super) struct Sessions {
    states: Columns,
    layout: Layout,
    /// A µs after the end of each session.
    ends: Idle,
}

/// Columns of states, as aggregation has them: groups, one of which is the window, then states.
struct Columns {
    schema: SchemaRef,
    groups: Groups,
}

impl Parked {
    /// Of states with these columns. `Unsupported` if one of their types has no order of bytes.
    pub(super) fn new(kind: WindowKind, schema: &SchemaRef, groups: Groups) -> Result<Self, Error> {
        let states = Columns { schema: schema.clone(), groups };
        match kind {
            WindowKind::Fixed(windows) => {
                let time = DataType::Timestamp(TimeUnit::Microsecond, None);
                let start = Arc::new(Field::new(START, time.clone(), false));
                let fields: Vec<Arc<Field>> = [start].into_iter().chain(states.others()).collect();
                let layout = Layout::new(Arc::new(Schema::new(fields)), groups.count)?;
                let start = RowConverter::new(vec![SortField::new(time)])?;
                Ok(Self::Panes(Panes { windows, states, layout, start }))
            }
            WindowKind::Session(_) => {
                let layout = Layout::new(Arc::new(schema.project(&states.keys_first())?), groups.count - 1)?;
                let ends = Idle::exactly(0, layout.key_fields())?;
                Ok(Self::Sessions(Sessions { states, layout, ends }))
            }
        }
    }

    pub(super) fn tables(&self) -> Vec<&Layout> {
        match self {
            Self::Panes(panes) => vec![&panes.layout],
            Self::Sessions(sessions) => vec![&sessions.layout, sessions.ends.layout()],
        }
    }

    /// True if some window may close when the watermark goes from one place to another.
    pub(super) fn closes(&self, held: &[Multiset], watermark: (i64, i64)) -> Result<bool, Error> {
        match (self, held) {
            (Self::Panes(panes), [held]) => Ok(panes.next_closing(held, None, watermark)?.is_some()),
            (Self::Sessions(sessions), [_, ends]) => sessions.ends.is_due(ends, watermark.1),
            _ => Err(wrong()),
        }
    }

    /// Takes back what new rows may join.
    pub(super) fn taken(
        &self,
        held: &[Multiset],
        rows: &[RecordBatch],
        deltas: &mut [Delta],
    ) -> Result<Option<RecordBatch>, Error> {
        match (self, held, deltas) {
            (Self::Panes(_), [_], _) => Ok(None),
            (Self::Sessions(sessions), [held, _], [delta, stamps]) => {
                sessions.taken(held, rows, (delta, stamps))
            }
            _ => Err(wrong()),
        }
    }

    /// States of windows that close when the watermark goes from one place to another; what no window needs then goes. `count` is
    /// told how many bytes were read, part by part.
    pub(super) fn closed(
        &self,
        held: &[Multiset],
        watermark: (i64, i64),
        deltas: &mut [Delta],
        count: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<Vec<RecordBatch>, Error> {
        match (self, held, deltas) {
            (Self::Panes(panes), [held], [delta]) => panes.closed(held, watermark, delta, count),
            (Self::Sessions(sessions), [held, ends], [delta, stamps]) => {
                sessions.closed((held, ends), watermark.1, (delta, stamps), count)
            }
            _ => Err(wrong()),
        }
    }

    /// All states that stay.
    pub(super) fn open(&self, held: &[Multiset], deltas: &[Delta]) -> Result<RecordBatch, Error> {
        let ([held, ..], [delta, ..]) = (held, deltas) else { return Err(wrong()) };
        let mut rows = Vec::new();
        for row in held.from(&[])? {
            let (row, _) = row?;
            if delta.weight(&row) == 0 {
                rows.push(row);
            }
        }
        self.states(rows.iter().map(AsRef::as_ref))
    }

    /// Puts states of open windows here.
    pub(super) async fn put(
        &self,
        (executor, phases): (&Executor<'_>, &Phases),
        held: &[Multiset],
        runs: Vec<RecordBatch>,
        deltas: &mut [Delta],
    ) -> Result<(), Error> {
        // Of equal states, as pieces of the rows may have them, a table would keep one.
        let mut merged = phases.merge(executor, runs).await?;
        match (self, held, deltas) {
            (Self::Panes(panes), [held], [delta]) => {
                let before = panes.of_same_groups(held, &merged)?;
                if !before.is_empty() {
                    before.iter().for_each(|(row, weight)| delta.add(row, -weight));
                    // What stood here came of earlier rows: functions of the order take states in it.
                    merged.insert(0, panes.states(before.iter().map(|(row, _)| row.as_ref()))?);
                    merged = phases.merge(executor, merged).await?;
                }
                delta.merge(&panes.layout.delta(&panes.rows(&merged)?)?);
                Ok(())
            }
            (Self::Sessions(sessions), [_, _], [delta, stamps]) => sessions.put(&merged, (delta, stamps)),
            _ => Err(wrong()),
        }
    }

    fn states<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch, Error> {
        match self {
            Self::Panes(panes) => panes.states(rows),
            Self::Sessions(sessions) => sessions.states(rows),
        }
    }
}

impl Panes {
    /// States as rows of the table.
    fn rows(&self, states: &[RecordBatch]) -> Result<Vec<RecordBatch>, Error> {
        let window = self.states.groups.window;
        let row = |batch: &RecordBatch| -> Result<RecordBatch, Error> {
            let start = Arc::new(window::starts(batch, window).clone()) as ArrayRef;
            let others = batch.columns().iter().enumerate().filter(|(at, _)| *at != window);
            let columns = [start].into_iter().chain(others.map(|(_, column)| column.clone())).collect();
            Ok(RecordBatch::try_new(self.layout.schema().clone(), columns)?)
        };
        states.iter().map(row).collect()
    }

    /// And back.
    fn states<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch, Error> {
        let rows = self.layout.batch(rows)?;
        let starts = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
        let mut columns = rows.columns()[1..].to_vec();
        columns.insert(self.states.groups.window, Arc::new(self.windows.panes(starts)));
        Ok(RecordBatch::try_new(self.states.schema.clone(), columns)?)
    }

    /// What stands here of the groups of these states, in order.
    fn of_same_groups<'a>(
        &self,
        held: &'a Multiset,
        states: &[RecordBatch],
    ) -> Result<Vec<HeldRow<'a>>, Error> {
        let mut keys = BTreeSet::new();
        if held.len() > 0 {
            for batch in self.rows(states)? {
                keys.extend(self.layout.keys_of(&batch)?);
            }
        }
        let mut rows = Vec::new();
        for key in &keys {
            rows.extend(held.of_key(key)?);
        }
        Ok(rows)
    }

    /// The bytes that rows of a pane begin with.
    fn bytes(&self, start: i64) -> Result<Box<[u8]>, Error> {
        let column = Arc::new(TimestampMicrosecondArray::from(vec![start]));
        Ok(self.start.convert_columns(&[column])?.row(0).data().into())
    }

    /// The start of the pane of a row.
    fn start(&self, row: &[u8]) -> Result<i64, Error> {
        let width = self.bytes(0)?.len();
        let parser = self.start.parser();
        let columns = self.start.convert_rows([parser.parse(&row[..width])])?;
        Ok(columns[0].as_primitive::<TimestampMicrosecondType>().value(0))
    }

    /// The start of the first pane behind one that a window needs which closes, or that no window needs then.
    fn next_closing(
        &self,
        held: &Multiset,
        behind: Option<i64>,
        (after, upto): (i64, i64),
    ) -> Result<Option<i64>, Error> {
        if held.len() == 0 || !self.windows.some_end((after, upto)) {
            return Ok(None);
        }
        let mut behind = behind;
        loop {
            let from = match behind.map(|start| start.checked_add(1)) {
                None => Box::default(),
                Some(Some(next)) => self.bytes(next)?,
                Some(None) => return Ok(None),
            };
            let Some((row, _)) = held.from(&from)?.next().transpose()? else { return Ok(None) };
            let start = self.start(&row)?;
            if start >= upto {
                return Ok(None);
            }
            if self.windows.closes(start, (after, upto)) || self.windows.is_over(start, upto) {
                return Ok(Some(start));
            }
            behind = Some(start);
        }
    }

    fn closed(
        &self,
        held: &Multiset,
        watermark: (i64, i64),
        delta: &mut Delta,
        mut count: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let (mut states, mut behind) = (Vec::new(), None);
        while let Some(start) = self.next_closing(held, behind, watermark)? {
            behind = Some(start);
            let (prefix, is_over) = (self.bytes(start)?, self.windows.is_over(start, watermark.1));
            let mut rows = held.from(&prefix)?.peekable();
            loop {
                let of_pane = |row: &Result<HeldRow<'_>, Error>| match row {
                    Ok((row, _)) => row.starts_with(&prefix),
                    Err(_) => true,
                };
                let part = std::iter::from_fn(|| rows.next_if(of_pane)).take(BATCH_ROWS);
                let part = part.collect::<Result<Vec<HeldRow<'_>>, Error>>()?;
                if part.is_empty() {
                    break;
                }
                if is_over {
                    count(goes(&part, delta))?;
                }
                let part = self.states(part.iter().map(|(row, _)| row.as_ref()))?;
                count(part.get_array_memory_size() as u64)?;
                states.push(part);
            }
        }
        Ok(states)
    }
}

impl Sessions {
    /// States as rows of the table.
    fn rows(&self, states: &[RecordBatch]) -> Result<Vec<RecordBatch>, Error> {
        let order = self.states.keys_first();
        Ok(states.iter().map(|batch| batch.project(&order)).collect::<Result<_, _>>()?)
    }

    /// And back.
    fn states<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch, Error> {
        let rows = self.layout.batch(rows)?;
        let Groups { count, window } = self.states.groups;
        let mut columns = rows.columns().to_vec();
        let session = columns.remove(count - 1);
        columns.insert(window, session);
        Ok(RecordBatch::try_new(self.states.schema.clone(), columns)?)
    }

    fn taken(
        &self,
        held: &Multiset,
        rows: &[RecordBatch],
        (delta, stamps): (&mut Delta, &mut Delta),
    ) -> Result<Option<RecordBatch>, Error> {
        if held.len() == 0 {
            return Ok(None);
        }
        let keys_first = self.states.keys_first();
        let mut keys = BTreeSet::new();
        for batch in rows {
            keys.extend(self.layout.keys_of(&batch.project(&keys_first[..self.states.groups.count - 1])?)?);
        }
        let (mut taken, mut of) = (Vec::new(), Vec::new());
        for key in keys {
            taken.extend(held.of_key(&key)?);
            of.resize(taken.len(), key);
        }
        taken.iter().for_each(|(row, weight)| delta.add(row, -weight));
        let taken = self.states(taken.iter().map(|(row, _)| row.as_ref()))?;
        self.ends.add_each(stamps, &of, self.over(&taken), -1)?;
        Ok(Some(taken).filter(|taken| taken.num_rows() > 0))
    }

    fn closed(
        &self,
        (held, ends): (&Multiset, &Multiset),
        watermark: i64,
        (delta, stamps): (&mut Delta, &mut Delta),
        mut count: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let mut keys = BTreeSet::new();
        for (stamp, of_stamp) in self.ends.between(ends, (i64::MIN, watermark))? {
            // Sessions of a key that were taken back went with their ends.
            let left = of_stamp.into_iter().filter(|key| !self.ends.is_forgotten(stamps, &stamp, key));
            let left: Vec<Box<[u8]>> = left.collect();
            left.iter().for_each(|key| self.ends.forget(stamps, &stamp, key));
            count(left.iter().map(|key| 2 * key.len() as u64).sum())?;
            keys.extend(left);
        }
        let window = self.states.groups.window;
        let (mut over, mut keys) = (Vec::new(), keys.into_iter().peekable());
        while keys.peek().is_some() {
            let mut rows = Vec::new();
            while let Some(key) = keys.next_if(|_| rows.len() < BATCH_ROWS) {
                rows.extend(held.of_key(&key)?.into_iter().filter(|(row, _)| delta.weight(row) == 0));
            }
            let states = self.states(rows.iter().map(|(row, _)| row.as_ref()))?;
            let mut ends = window::ends(&states, window).values().iter();
            rows.retain(|_| ends.next().is_some_and(|end| *end < watermark));
            count(goes(&rows, delta))?;
            let states = session::ended(&states, window, watermark, true)?;
            count(states.get_array_memory_size() as u64)?;
            over.extend(Some(states).filter(|states| states.num_rows() > 0));
        }
        Ok(over)
    }

    fn put(&self, states: &[RecordBatch], (delta, stamps): (&mut Delta, &mut Delta)) -> Result<(), Error> {
        for (states, rows) in states.iter().zip(self.rows(states)?) {
            self.ends.add_each(stamps, &self.layout.keys_of(&rows)?, self.over(states), 1)?;
            delta.merge(&self.layout.delta(&[rows])?);
        }
        Ok(())
    }

    /// When sessions are over, each its own.
    fn over(&self, states: &RecordBatch) -> Vec<i64> {
        let ends = window::ends(states, self.states.groups.window).values();
        ends.iter().map(|end| end.saturating_add(1)).collect()
    }
}

impl Columns {
    /// All but the window.
    fn others(&self) -> impl Iterator<Item = Arc<Field>> + '_ {
        let fields = self.schema.fields().iter().enumerate();
        fields.filter(|(at, _)| *at != self.groups.window).map(|(_, field)| field.clone())
    }

    /// Places of columns: groups but the window, the window, states.
    fn keys_first(&self) -> Vec<usize> {
        let Groups { count, window } = self.groups;
        let keys = (0..count).filter(|at| *at != window);
        keys.chain([window]).chain(count..self.schema.fields().len()).collect()
    }
}

/// Rows go; answers the bytes of them.
fn goes(rows: &[HeldRow<'_>], delta: &mut Delta) -> u64 {
    rows.iter().for_each(|(row, weight)| delta.add(row, -weight));
    rows.iter().map(|(row, _)| row.len() as u64).sum()
}

fn wrong() -> Error {
    Error::Invalid("state of other tables".to_owned())
}
