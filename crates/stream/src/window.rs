//! Fixed windows by panes: the arithmetic of time, and what it does to batches. Pure.
//!
//! ```text
//! slide 2, width 4, pane 2:    pane 0│pane 2│pane 4│pane 6      a row belongs to one pane,
//!                              └─ window 0 ─┘                   a window is all of its panes,
//!                                     └─ window 2 ─┘            a pane goes with its last window
//! ```

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, ListArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use crate::Error;
use crate::session::Sessions;

/// Panes of one window, at most.
const PANES_MAX: i64 = 100_000;

/// The type of a window, and of a pane: half open, µs.
pub(crate) fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

fn window_fields() -> Fields {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Fields::from(vec![Field::new("start", time.clone(), false), Field::new("end", time, false)])
}

/// What rows are grouped by in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WindowKind {
    /// Windows of one width.
    Fixed(Windows),
    /// As long as rows follow each other.
    Session(Sessions),
}

impl WindowKind {
    /// How long each is, µs, if all are as long.
    pub(crate) fn width(self) -> Option<i64> {
        match self {
            Self::Fixed(windows) => Some(windows.width()),
            Self::Session(_) => None,
        }
    }

    /// What instants belong to: their pane, or a session of their own.
    pub(crate) fn of(self, times: &TimestampMicrosecondArray) -> StructArray {
        match self {
            Self::Fixed(windows) => windows.panes(times),
            Self::Session(sessions) => sessions.of(times),
        }
    }
}

impl std::fmt::Display for WindowKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(windows) if windows.is_tumbling() => write!(f, "tumble of {}", length(windows.width)),
            Self::Fixed(windows) => {
                write!(f, "hop of {} every {}", length(windows.width), length(windows.slide))
            }
            Self::Session(sessions) => write!(f, "session with gaps of {}", length(sessions.gap())),
        }
    }
}

/// A length in µs for people.
fn length(micros: i64) -> String {
    format!("{:?}", std::time::Duration::from_micros(micros.unsigned_abs()))
}

/// Windows of one width that begin at every slide, counted from 1970-01-01 and an offset. In µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Windows {
    slide: i64,
    width: i64,
    offset: i64,
}

impl Windows {
    /// Windows that follow each other.
    pub(crate) fn tumble(width: i64, offset: i64) -> Result<Self, Error> {
        Self::checked("tumble", width, width, offset)
    }

    /// Windows that overlap, or leave gaps.
    pub(crate) fn hop(slide: i64, width: i64) -> Result<Self, Error> {
        Self::checked("hop", slide, width, 0)
    }

    fn checked(function: &str, slide: i64, width: i64, offset: i64) -> Result<Self, Error> {
        if slide <= 0 || width <= 0 {
            return Err(Error::Invalid(format!("the intervals of {function} must be longer than 0")));
        }
        let windows = Self { slide, width, offset };
        if width / windows.pane_width() > PANES_MAX {
            return Err(Error::Invalid(format!("a window of {function} has more than {PANES_MAX} panes")));
        }
        Ok(windows)
    }

    /// True for windows that follow each other: each instant is in one.
    pub(crate) fn is_tumbling(self) -> bool {
        self.slide == self.width
    }

    /// Every window begins and ends where a pane does.
    pub(crate) fn pane_width(self) -> i64 {
        let (mut a, mut b) = (self.slide, self.width);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// How long each is, µs.
    pub(crate) fn width(self) -> i64 {
        self.width
    }

    /// The start of the pane that an instant lies in.
    fn pane(self, time: i64) -> i64 {
        floor(time, self.pane_width(), self.offset)
    }

    /// The end of the last window that holds the pane; at or before the pane if none does.
    fn last_end(self, pane: i64) -> i64 {
        floor(pane, self.slide, self.offset).saturating_add(self.width)
    }

    /// The end of the last window that holds an instant.
    pub(crate) fn last_end_of(self, time: i64) -> i64 {
        self.last_end(self.pane(time))
    }

    /// Starts of the windows of a pane that end after `after` and at or before `upto`, the last first; others are not walked over.
    fn closing(self, pane: i64, after: i64, upto: i64) -> impl Iterator<Item = i64> {
        let last = floor(pane.min(upto.saturating_sub(self.width)), self.slide, self.offset);
        let starts = std::iter::successors(Some(last), move |start| start.checked_sub(self.slide));
        let end = move |start: &i64| start.saturating_add(self.width);
        // At the beginning of time there is no window that ends so early.
        starts.take_while(move |start| end(start) > after.max(pane)).filter(move |start| end(start) <= upto)
    }

    /// True if some window ends behind one instant and not behind another.
    pub(crate) fn some_end(self, (after, upto): (i64, i64)) -> bool {
        let last = floor(upto.saturating_sub(self.width), self.slide, self.offset);
        last.saturating_add(self.width) > after
    }

    /// True if some window of a pane ends behind one instant and not behind another.
    pub(crate) fn closes(self, pane: i64, (after, upto): (i64, i64)) -> bool {
        self.closing(pane, after, upto).next().is_some()
    }

    /// True if no window needs a pane any more.
    pub(crate) fn is_over(self, pane: i64, watermark: i64) -> bool {
        self.last_end(pane) <= watermark
    }

    /// How many windows of a pane end behind one instant and not behind another.
    fn count(self, pane: i64, (after, upto): (i64, i64)) -> u64 {
        // The windows that begin up to here, whichever the first is.
        let begun =
            |end: i64| end.saturating_sub(self.width).saturating_sub(self.offset).div_euclid(self.slide);
        let last = begun(upto.min(self.last_end(pane)));
        u64::try_from(last.saturating_sub(begun(after.max(pane)))).unwrap_or(0)
    }

    /// An end of windows about in the middle between two instants, if there is one.
    fn middle(self, (after, upto): (i64, i64)) -> Option<i64> {
        let middle = after.midpoint(upto).saturating_sub(self.width);
        let middle = floor(middle, self.slide, self.offset).saturating_add(self.width);
        (middle > after && middle < upto).then_some(middle)
    }

    /// The panes of instants.
    pub(crate) fn panes(self, times: &TimestampMicrosecondArray) -> StructArray {
        spans(times.values().iter().map(|time| self.pane(*time)), self.pane_width())
    }
}

impl Windows {
    /// The windows that each of these instants lies in.
    pub(crate) fn all(
        self,
        times: &TimestampMicrosecondArray,
    ) -> Result<ListArray, arrow::error::ArrowError> {
        let (mut starts, mut counts) = (Vec::new(), Vec::new());
        for time in times.values() {
            let before = starts.len();
            starts.extend(self.closing(self.pane(*time), i64::MIN, i64::MAX));
            counts.push(starts.len() - before);
        }
        let field = Arc::new(Field::new_list_field(window_type(), true));
        let spans = spans(starts.into_iter(), self.width);
        ListArray::try_new(field, OffsetBuffer::from_lengths(counts), Arc::new(spans), None)
    }
}

/// The largest multiple of `step` from `offset` on that is not after `time`.
fn floor(time: i64, step: i64, offset: i64) -> i64 {
    let since = time.saturating_sub(offset);
    since.saturating_sub(since.rem_euclid(step)).saturating_add(offset)
}

fn spans(starts: impl Iterator<Item = i64>, width: i64) -> StructArray {
    let starts: Vec<i64> = starts.collect();
    let ends: Vec<i64> = starts.iter().map(|start| start.saturating_add(width)).collect();
    span_array(starts, ends)
}

/// A column of windows, or panes.
pub(crate) fn span_array(starts: Vec<i64>, ends: Vec<i64>) -> StructArray {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(starts)),
        Arc::new(TimestampMicrosecondArray::from(ends)),
    ];
    StructArray::new(window_fields(), columns, None)
}

/// Starts of the windows, or panes, in a column.
pub(crate) fn starts(batch: &RecordBatch, column: usize) -> &TimestampMicrosecondArray {
    batch.column(column).as_struct().column(0).as_primitive::<TimestampMicrosecondType>()
}

/// Ends of the windows, or panes, in a column.
pub(crate) fn ends(batch: &RecordBatch, column: usize) -> &TimestampMicrosecondArray {
    batch.column(column).as_struct().column(1).as_primitive::<TimestampMicrosecondType>()
}

/// The rows that some window can still take, and those that came too late for all of theirs. `column` holds panes.
pub(crate) fn on_time(
    batch: &RecordBatch,
    column: usize,
    windows: Windows,
    watermark: i64,
) -> Result<(RecordBatch, RecordBatch), Error> {
    let panes = starts(batch, column).values();
    // Between windows with gaps rows belong nowhere.
    let end = |pane: &i64| Some(windows.last_end(*pane)).filter(|end| end > pane);
    let kept: BooleanArray =
        panes.iter().map(|pane| Some(end(pane).is_some_and(|end| end > watermark))).collect();
    if kept.true_count() == batch.num_rows() {
        return Ok((batch.clone(), batch.slice(0, 0)));
    }
    let late: BooleanArray =
        panes.iter().map(|pane| Some(end(pane).is_some_and(|end| end <= watermark))).collect();
    Ok((filter_record_batch(batch, &kept)?, filter_record_batch(batch, &late)?))
}

/// How many rows came too late for some of their windows, of rows that some window can still take. `column` holds panes.
pub(crate) fn partly_late(batch: &RecordBatch, column: usize, windows: Windows, watermark: i64) -> u64 {
    let panes = starts(batch, column).values().iter();
    panes.filter(|pane| windows.count(**pane, (i64::MIN, watermark)) > 0).count() as u64
}

/// Rows of panes as rows of the windows that close when the watermark goes from `after` to `upto`: one for each.
pub(crate) fn closing(
    panes: &RecordBatch,
    column: usize,
    windows: Windows,
    (after, upto): (i64, i64),
) -> Result<RecordBatch, Error> {
    let (mut rows, mut closed) = (Vec::new(), Vec::new());
    for (row, pane) in (0_u64..).zip(starts(panes, column).values()) {
        for start in windows.closing(*pane, after, upto) {
            rows.push(row);
            closed.push(start);
        }
    }
    let taken = take_record_batch(panes, &UInt64Array::from(rows))?;
    let mut columns = taken.columns().to_vec();
    columns[column] = Arc::new(spans(closed.into_iter(), windows.width));
    Ok(RecordBatch::try_new(taken.schema(), columns)?)
}

/// True if some window closes when the watermark goes from one place to another.
pub(crate) fn some_closes(
    panes: &RecordBatch,
    column: usize,
    windows: Windows,
    watermark: (i64, i64),
) -> bool {
    starts(panes, column).values().iter().any(|pane| windows.closes(*pane, watermark))
}

/// The time from one place of the watermark to another in two parts, if the rows of closing windows were more than so many.
pub(crate) fn halves(
    panes: &[RecordBatch],
    column: usize,
    windows: Windows,
    (after, upto): (i64, i64),
    rows_max: u64,
) -> Option<[(i64, i64); 2]> {
    let all = || panes.iter().flat_map(|panes| starts(panes, column).values());
    let rows: u64 = all().map(|pane| windows.count(*pane, (after, upto))).sum();
    if rows <= rows_max {
        return None;
    }
    let first = all().copied().min()?.max(after);
    let last = all().map(|pane| windows.last_end(*pane)).max()?.min(upto);
    let middle = windows.middle((first, last))?;
    Some([(after, middle), (middle, upto)])
}

/// The rows of panes that a window which is still open needs.
pub(crate) fn open(
    panes: &RecordBatch,
    column: usize,
    windows: Windows,
    watermark: i64,
) -> Result<RecordBatch, Error> {
    let kept = starts(panes, column).values().iter().map(|pane| Some(!windows.is_over(*pane, watermark)));
    let kept: BooleanArray = kept.collect();
    if kept.true_count() == panes.num_rows() {
        return Ok(panes.clone());
    }
    Ok(filter_record_batch(panes, &kept)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Schema;
    use proptest::prelude::*;

    use super::*;

    fn rows(windows: Windows, times: &[i64]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("window", window_type(), false),
        ]);
        let numbers = Int64Array::from_iter_values((0_i64..).take(times.len()));
        let panes = windows.panes(&TimestampMicrosecondArray::from(times.to_vec()));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(panes)]).expect("a batch")
    }

    fn spans_of(batch: &RecordBatch) -> Vec<(i64, i64, i64)> {
        let numbers = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        let (start, end) = (starts(batch, 1), ends(batch, 1));
        (0..batch.num_rows()).map(|row| (numbers.value(row), start.value(row), end.value(row))).collect()
    }

    #[test]
    fn an_instant_lies_in_one_pane_also_before_1970() {
        let windows = Windows::hop(4, 6).expect("fits");
        assert_eq!(windows.pane_width(), 2);
        let panes = spans_of(&rows(windows, &[0, 1, 2, -1, -2, -3]));
        let starts: Vec<i64> = panes.iter().map(|(_, start, _)| *start).collect();
        assert_eq!(starts, [0, 0, 2, -2, -2, -4]);
        let shifted = Windows::tumble(10, 3).expect("fits");
        assert_eq!(spans_of(&rows(shifted, &[2, 3, 13])), [(0, -7, 3), (1, 3, 13), (2, 13, 23)]);
    }

    #[test]
    fn windows_close_once_as_the_watermark_passes_their_ends() {
        let windows = Windows::hop(2, 4).expect("fits");
        let panes = rows(windows, &[1, 3]);
        let close = |after, upto| spans_of(&closing(&panes, 1, windows, (after, upto)).expect("closes"));
        assert_eq!(close(i64::MIN, 2), [(0, -2, 2)]);
        assert_eq!(close(2, 4), [(0, 0, 4), (1, 0, 4)]);
        assert_eq!(close(4, 5), []);
        assert_eq!(close(5, i64::MAX), [(1, 2, 6)]);
        assert!(windows.some_end((i64::MIN, i64::MAX)) && windows.some_end((3, 4)));
        assert!(!windows.some_end((4, 5)) && !windows.some_end((4, 4)));
        let left = |watermark| open(&panes, 1, windows, watermark).expect("filters").num_rows();
        assert_eq!([left(3), left(4), left(5), left(6)], [2, 1, 1, 0]);
    }

    /// The windows of a pane, one after the other.
    fn plain_walk(windows: Windows, pane: i64, after: i64, upto: i64) -> Vec<i64> {
        let last = floor(pane, windows.slide, windows.offset);
        let starts = std::iter::successors(Some(last), |start| Some(start - windows.slide));
        let holding = starts.take_while(|start| start + windows.width > pane);
        holding.filter(|start| (after + 1..=upto).contains(&(start + windows.width))).collect()
    }

    proptest! {
        #[test]
        fn the_windows_that_close_are_those_of_a_walk_over_all(
            (slide, width) in (1_i64..40, 1_i64..200),
            offset in -50_i64..50,
            times in proptest::collection::vec(-1000_i64..1000, 1..6),
            (after, ahead) in (-1200_i64..1200, 0_i64..300),
        ) {
            let windows = Windows { slide, width, offset };
            let panes = rows(windows, &times);
            for (after, upto) in [(after, after + ahead), (i64::MIN, after), (after, i64::MAX), (i64::MIN, i64::MAX)] {
                let mut some = false;
                for pane in starts(&panes, 1).values() {
                    let walked = plain_walk(windows, *pane, after.max(-10_000), upto.min(10_000));
                    prop_assert_eq!(windows.count(*pane, (after, upto)), walked.len() as u64);
                    some |= !walked.is_empty();
                    prop_assert_eq!(windows.closing(*pane, after, upto).collect::<Vec<_>>(), walked);
                }
                prop_assert_eq!(some_closes(&panes, 1, windows, (after, upto)), some);
            }
        }
    }

    #[test]
    fn it_takes_as_many_steps_as_windows_close_however_many_there_are() {
        // A walk over all windows of a pane would not end.
        let windows = Windows { slide: 1, width: 1 << 60, offset: 0 };
        let panes = rows(windows, &[0, 3]);
        let close = |span| spans_of(&closing(&panes, 1, windows, span).expect("closes")).len();
        assert_eq!([close((5, 5)), close((5, 8)), close((-4, 2))], [0, 6, 2]);
        assert!(some_closes(&panes, 1, windows, (0, i64::MAX)));
        assert!(!some_closes(&panes, 1, windows, (-4, 0)));
    }

    #[test]
    fn many_windows_close_in_parts_that_are_all_of_them() {
        let windows = Windows::hop(2, 60).expect("fits");
        let panes = [rows(windows, &[1, 3, 40, 41, 90]), rows(windows, &[-7, 5])];
        for whole in [(i64::MIN, i64::MAX), (10, 77), (i64::MIN, 4), (60, i64::MAX)] {
            let close = |part| -> Vec<(i64, i64, i64)> {
                panes
                    .iter()
                    .flat_map(|run| spans_of(&closing(run, 1, windows, part).expect("closes")))
                    .collect()
            };
            let (mut parts, mut closed) = (vec![whole], Vec::new());
            while let Some(part) = parts.pop() {
                match halves(&panes, 1, windows, part, 20) {
                    Some([first, second]) => parts.extend([second, first]),
                    None => {
                        let rows = close(part);
                        let counted: u64 = panes
                            .iter()
                            .flat_map(|run| starts(run, 1).values())
                            .map(|pane| windows.count(*pane, part))
                            .sum();
                        assert_eq!(rows.len() as u64, counted);
                        assert!(rows.len() <= 20, "{part:?}");
                        closed.extend(rows);
                    }
                }
            }
            let mut all = close(whole);
            all.sort_unstable();
            closed.sort_unstable();
            assert_eq!(closed, all);
        }
        assert_eq!(
            halves(&panes, 1, Windows::tumble(60, 0).expect("fits"), (0, 60), 1),
            None,
            "one window stays whole"
        );
    }

    #[test]
    fn a_row_is_late_when_its_last_window_is_over() {
        let windows = Windows::hop(2, 4).expect("fits");
        let batch = rows(windows, &[0, 1, 2, 5]);
        let (kept, late) = on_time(&batch, 1, windows, 4).expect("filters");
        assert_eq!((kept.num_rows(), late.num_rows()), (2, 2));
    }

    #[test]
    fn between_windows_with_gaps_rows_belong_nowhere_and_are_not_late() {
        let windows = Windows::hop(10, 4).expect("fits");
        let (kept, late) = on_time(&rows(windows, &[1, 5, 11]), 1, windows, i64::MIN).expect("filters");
        assert_eq!((kept.num_rows(), late.num_rows()), (2, 0));
    }

    #[test]
    fn intervals_are_bounded() {
        assert!(Windows::tumble(0, 0).is_err());
        assert!(Windows::hop(1, 200_000).is_err());
        assert!(Windows::hop(7, 10).is_ok());
    }
}
