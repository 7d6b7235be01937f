//! Results that change, as tables at the end of a terminal that are drawn anew with every epoch. Pure.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Rows of a table that are shown.
const SHOWN_MAX: usize = 20;
/// Different rows of a table that are kept for it; one that has more is not drawn any more.
const ROWS_MAX: usize = 100_000;
/// Long lines end at the edge; afterwards they do not.
const CUT_LINES: &str = "\u{1b}[?7l";
const WRAP_LINES: &str = "\u{1b}[?7h";

/// The tables of a terminal.
#[derive(Default)]
pub(super) struct Screen {
    tables: BTreeMap<String, Table>,
    /// Those with too many rows.
    left_out: BTreeSet<String>,
    /// Lines that they take now.
    lines: usize,
}

#[derive(Default)]
struct Table {
    columns: Vec<String>,
    rows: BTreeMap<Vec<String>, u64>,
}

impl Screen {
    /// Takes changes of a table: rows with what becomes of them behind. False if it has too many rows to be drawn.
    pub(super) fn change(&mut self, name: &str, changes: &RecordBatch) -> Result<bool, ArrowError> {
        if self.left_out.contains(name) {
            return Ok(false);
        }
        let Some(width) = changes.num_columns().checked_sub(1) else { return Ok(false) };
        let table = self.tables.entry(name.to_owned()).or_default();
        let schema = changes.schema();
        table.columns = schema.fields()[..width].iter().map(|field| plain(field.name())).collect();
        let options = FormatOptions::default().with_null("NULL");
        let cells = changes.columns()[..width].iter().map(|column| ArrayFormatter::try_new(column, &options));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let changed = changes.column(width).as_primitive::<Int64Type>().values();
        for (at, change) in changed.iter().enumerate() {
            let row: Vec<String> = cells.iter().map(|cell| plain(&cell.value(at).to_string())).collect();
            table.add(row, *change > 0);
        }
        if table.rows.len() > ROWS_MAX {
            self.tables.remove(name);
            self.left_out.insert(name.to_owned());
        }
        Ok(!self.left_out.contains(name))
    }

    /// What is sent to the terminal: the old tables go, these lines come, and behind them the tables as they are.
    pub(super) fn draw(&mut self, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if self.lines > 0 {
            out.extend_from_slice(format!("\u{1b}[{}F\u{1b}[J", self.lines).as_bytes());
        }
        out.extend_from_slice(lines);
        let drawn: Vec<String> = self.tables.values().flat_map(Table::lines).collect();
        self.lines = drawn.len();
        if !drawn.is_empty() {
            out.extend_from_slice(format!("{CUT_LINES}{}\n{WRAP_LINES}", drawn.join("\n")).as_bytes());
        }
        out
    }
}

impl Table {
    fn add(&mut self, row: Vec<String>, comes: bool) {
        if comes {
            *self.rows.entry(row).or_default() += 1;
        } else if let Some(count) = self.rows.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                self.rows.remove(&row);
            }
        }
    }

    /// Columns, a rule, and the first rows.
    fn lines(&self) -> Vec<String> {
        let all = self.rows.iter().flat_map(|(row, count)| (0..*count).map(move |_| row));
        let shown: Vec<&Vec<String>> = all.take(SHOWN_MAX).collect();
        let wide = |at: usize| {
            let cells = shown.iter().map(|row| row[at].chars().count());
            cells.chain([self.columns[at].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(wide).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join(" │ ").trim_end().to_owned()
        };
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        let mut lines = vec![line(&self.columns), rule.join("─┼─")];
        lines.extend(shown.iter().map(|row| line(row)));
        let count: u64 = self.rows.values().sum();
        let more = count.saturating_sub(shown.len() as u64);
        lines.push(match more {
            0 => format!("({count} rows)"),
            more => format!("({count} rows, {more} of them not shown)"),
        });
        lines
    }
}

/// Without what a terminal would take for a command.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use cenote_codec::record::{COMES, GOES, REPLACED, REPLACES, changing};

    use super::*;

    fn changes(rows: &[(&str, i64, i64)]) -> RecordBatch {
        let columns =
            Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
        let keys: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>());
        let number = |of: fn(&(&str, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int64Array>())
        };
        let columns_of = vec![keys, number(|row| row.1), number(|row| row.2)];
        RecordBatch::try_new(Arc::new(changing(&columns)), columns_of).expect("a batch")
    }

    fn drawn(screen: &mut Screen, lines: &str) -> String {
        String::from_utf8(screen.draw(lines.as_bytes())).expect("text")
    }

    #[test]
    fn a_table_is_drawn_over_what_it_was_and_lines_come_before_it() {
        let mut screen = Screen::default();
        assert_eq!(drawn(&mut screen, "x\n"), "x\n");
        assert!(screen.change("t", &changes(&[("a", 1, COMES), ("long one", 2, COMES)])).expect("drawn"));
        let table = "k        │ n\n─────────┼──\na        │ 1\nlong one │ 2\n(2 rows)\n";
        assert_eq!(drawn(&mut screen, ""), format!("{CUT_LINES}{table}{WRAP_LINES}"));
        let next = [("long one", 2, REPLACED), ("long one", 7, REPLACES), ("a", 1, GOES), ("gone", 1, GOES)];
        assert!(screen.change("t", &changes(&next)).expect("drawn"));
        let table = "k        │ n\n─────────┼──\nlong one │ 7\n(1 rows)\n";
        assert_eq!(
            drawn(&mut screen, "{}\n"),
            format!("\u{1b}[5F\u{1b}[J{{}}\n{CUT_LINES}{table}{WRAP_LINES}")
        );
    }

    #[test]
    fn many_rows_are_told_and_commands_of_a_terminal_are_none() {
        let mut screen = Screen::default();
        let rows: Vec<(String, i64, i64)> =
            (0..30).map(|at| (format!("k{at:02}\u{1b}[2J\n"), at, COMES)).collect();
        let rows: Vec<(&str, i64, i64)> = rows.iter().map(|row| (row.0.as_str(), row.1, row.2)).collect();
        assert!(screen.change("t", &changes(&rows)).expect("drawn"));
        let text = drawn(&mut screen, "");
        assert!(text.contains("k19\u{fffd}[2J\u{fffd} │ 19\n(30 rows, 10 of them not shown)\n"), "{text}");
        assert!(!text.contains("\u{1b}[2J") && screen.lines == 23, "{text}");
    }

    #[test]
    fn a_table_with_too_many_rows_is_drawn_no_more() {
        let mut screen = Screen::default();
        let rows: Vec<(&str, i64, i64)> = (0..=ROWS_MAX as i64).map(|at| ("a", at, COMES)).collect();
        assert!(!screen.change("t", &changes(&rows)).expect("taken"));
        assert!(!screen.change("t", &changes(&[("a", 1, GOES)])).expect("taken"));
        assert_eq!(drawn(&mut screen, ""), "");
    }
}
