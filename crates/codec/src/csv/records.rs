//! Bytes become records of cells (RFC 4180). Written here because an empty text in quotes must stay
//! apart from an empty cell, and errors name rows: the `csv` crates give neither.

use std::borrow::Cow;

use crate::Error;

/// One cell as it stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawCell<'a> {
    /// Without the outer quotes.
    text: &'a str,
    pub(crate) quoted: bool,
    /// Holds doubled quotes.
    escaped: bool,
}

impl<'a> RawCell<'a> {
    /// The cell's text, doubled quotes made one.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(self.text.replace("\"\"", "\"")) } else { Cow::Borrowed(self.text) }
    }
}

/// The records of a body, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: &'a str,
    delimiter: u8,
    /// Records given so far.
    count: u64,
}

impl<'a> Records<'a> {
    pub(crate) fn new(text: &'a str, delimiter: u8) -> Self {
        Self { rest: text, delimiter, count: 0 }
    }

    /// Records given so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Counts from 1 again.
    pub(crate) fn restart_count(&mut self) {
        self.count = 0;
    }

    /// Reads the next record into `cells`; false at the end. Empty lines are no records.
    pub(crate) fn read(&mut self, cells: &mut Vec<RawCell<'a>>) -> Result<bool, Error> {
        cells.clear();
        loop {
            match self.rest.as_bytes() {
                [] => return Ok(false),
                [b'\n', ..] => self.rest = &self.rest[1..],
                [b'\r', b'\n', ..] => self.rest = &self.rest[2..],
                _ => break,
            }
        }
        self.count += 1;
        loop {
            let (cell, length) = self.cell(cells.len() + 1)?;
            cells.push(cell);
            let rest = &self.rest[length..];
            let (ended, skipped) = match rest.as_bytes() {
                [] => (true, 0),
                [b'\n', ..] => (true, 1),
                [b'\r', b'\n', ..] => (true, 2),
                _ => (false, 1),
            };
            self.rest = &rest[skipped..];
            if ended {
                return Ok(true);
            }
        }
    }

    /// The cell at the front, and how many bytes it takes with its quotes.
    fn cell(&self, column: usize) -> Result<(RawCell<'a>, usize), Error> {
        let bytes = self.rest.as_bytes();
        if bytes.first() != Some(&b'"') {
            let ends = |index: &usize| match bytes[*index] {
                b'\n' => true,
                b'\r' => bytes.get(index + 1) == Some(&b'\n'),
                byte => byte == self.delimiter,
            };
            let end = (0..bytes.len()).find(ends).unwrap_or(bytes.len());
            return Ok((RawCell { text: &self.rest[..end], quoted: false, escaped: false }, end));
        }
        let broken = |what| Err(Error::Unprocessable(format!("row {}, column {column}: {what}", self.count)));
        let (mut end, mut escaped) = (1, false);
        loop {
            match bytes[end..].iter().position(|byte| *byte == b'"') {
                None => return broken("quotes are never closed"),
                Some(length) => end += length,
            }
            if bytes.get(end + 1) != Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        match &bytes[end + 1..] {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => {}
            [byte, ..] if *byte == self.delimiter => {}
            _ => return broken("text after closing quotes"),
        }
        Ok((RawCell { text: &self.rest[1..end], quoted: true, escaped }, end + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Vec<String>>, String> {
        let (mut records, mut cells, mut all) = (Records::new(text, b','), Vec::new(), Vec::new());
        while records.read(&mut cells).map_err(|error| error.to_string())? {
            all.push(cells.iter().map(|cell| cell.text().into_owned()).collect());
        }
        Ok(all)
    }

    #[test]
    fn records_end_outside_quotes() {
        assert_eq!(
            all("a,b\r\n1,\"x,\n\"\"y\"\"\"\n\n,\n").expect("valid"),
            [vec!["a", "b"], vec!["1", "x,\n\"y\""], vec!["", ""]]
        );
        assert_eq!(all("a,").expect("valid"), [["a", ""]]);
        assert_eq!(all("\"a").expect_err("open"), "row 1, column 1: quotes are never closed");
        assert_eq!(all("x\n1,\"a\"b").expect_err("junk"), "row 2, column 2: text after closing quotes");
    }

    #[test]
    fn an_empty_text_is_not_an_empty_cell() {
        let mut cells = Vec::new();
        Records::new("\"\",", b',').read(&mut cells).expect("valid");
        assert_eq!(cells.iter().map(|cell| cell.quoted).collect::<Vec<_>>(), [true, false]);
    }
}
