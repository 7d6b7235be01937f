//! Rows of a table for which there is no memory, in files of this process: sorted runs, read block by block.
//!
//! ```text
//! file:    block │ block │ …     a block: (length u32 LE, weight i64 LE, row)*, zstd with a checksum
//! memory:  of each block its first row and its place; of each run the block that was read last
//! ```
//! A run is written once and only read afterwards; runs of about a size become one, so each row is written a few times. What is
//! held is the sum of all runs. Files are a cache: they go with the process, whose start reads state from where the commit says.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::{DiskManager, SpillFile, SpillWriter};
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

use crate::Error;

/// Bytes of a block before it is compressed, about.
const BLOCK_BYTES: usize = 16 << 10;
/// Fast rather than small.
const LEVEL: i32 = 1;
/// Runs of a table, at most.
const RUNS_MAX: usize = 4;
/// Runs of which no two could be merged, at most: each is asked for every key.
const RUNS_LIMIT: usize = 4 * RUNS_MAX;
/// Bytes before a row.
const HEAD: usize = 12;
/// Memory of a place beside the row, about.
const PLACE_BYTES: u64 = 64;

/// A row and how often it is there.
pub(crate) type Row = (Box<[u8]>, i64);

/// The runs of a table.
pub(crate) struct Spilled {
    disk: Arc<DiskManager>,
    /// The largest first.
    runs: Vec<SortedRun>,
}

struct SortedRun {
    /// Deleted when it is dropped.
    file: Arc<dyn SpillFile>,
    reader: Mutex<Reader>,
    places: Vec<Place>,
    /// Of the places, about.
    memory: u64,
    rows: u64,
}

struct Reader {
    file: File,
    last: Option<(usize, Arc<Block>)>,
}

/// Where a block is.
struct Place {
    first: Box<[u8]>,
    offset: u64,
    bytes: usize,
    plain_bytes: usize,
}

/// A block that was read.
struct Block {
    bytes: Vec<u8>,
    /// Where each row begins and ends, with its weight.
    rows: Vec<(usize, usize, i64)>,
}

impl std::fmt::Debug for Spilled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spilled").field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}

impl Spilled {
    /// None yet; files are made by `disk`.
    pub(crate) fn new(disk: Arc<DiskManager>) -> Self {
        Self { disk, runs: Vec::new() }
    }

    /// Adds rows, which come in order. After an error nothing was added.
    pub(crate) fn add<'a>(&mut self, rows: impl Iterator<Item = (&'a [u8], i64)>) -> Result<(), Error> {
        let mut writer = RunWriter::begin(&self.disk)?;
        for (row, weight) in rows {
            writer.add(row, weight)?;
        }
        self.runs.extend(writer.finish()?);
        Ok(())
    }

    /// Merges runs that are about as large as those behind them; fewer, or none, where there is no room for all of them.
    ///
    /// `Spill` if more than [`RUNS_LIMIT`] could not become fewer. All rows are there after an error too.
    pub(crate) fn tidy(&mut self) -> Result<(), Error> {
        let Some(last) = self.runs.len().checked_sub(1) else { return Ok(()) };
        let (mut from, mut rows) = (last, self.runs[last].rows);
        while from > 0 && (from >= RUNS_MAX || self.runs[from - 1].rows <= 2 * rows) {
            from -= 1;
            rows += self.runs[from].rows;
        }
        let mut failed = None;
        while from < last {
            match self.merge(from) {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(error),
            }
            from = (from + last).div_ceil(2);
        }
        match failed {
            Some(error) if self.runs.len() > RUNS_LIMIT => Err(error),
            Some(error) => {
                tracing::info!(%error, runs = self.runs.len(), "runs of state stay as many as they are: they are slower to read, and right");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes one run of those from one on. After an error all are as they were.
    fn merge(&mut self, from: usize) -> Result<(), Error> {
        let mut writer = RunWriter::begin(&self.disk)?;
        for row in Merged::of(&self.runs[from..], &[])? {
            let (row, weight) = row?;
            writer.add(&row, weight)?;
        }
        let merged = writer.finish()?;
        self.runs.truncate(from);
        self.runs.extend(merged);
        Ok(())
    }

    /// Rows in order, from the first on that is not before these bytes.
    pub(crate) fn from(&self, bytes: &[u8]) -> Result<Merged<'_>, Error> {
        Merged::of(&self.runs, bytes)
    }

    /// Rows in the files; one that is in several counts as often.
    pub(crate) fn rows(&self) -> u64 {
        self.runs.iter().map(|run| run.rows).sum()
    }

    /// Memory of what is known of the files, about.
    pub(crate) fn memory(&self) -> u64 {
        self.runs.iter().map(|run| run.memory + 2 * BLOCK_BYTES as u64).sum()
    }

    /// Bytes of the files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.runs.iter().filter_map(|run| run.file.size()).sum()
    }
}

impl SortedRun {
    fn block(&self, at: usize) -> Result<Arc<Block>, Error> {
        let mut reader = self.reader.lock();
        if let Some((_, block)) = reader.last.as_ref().filter(|(last, _)| *last == at) {
            return Ok(block.clone());
        }
        let place = &self.places[at];
        let mut packed = vec![0; place.bytes];
        reader.file.seek(SeekFrom::Start(place.offset)).map_err(Error::Spill)?;
        reader.file.read_exact(&mut packed).map_err(Error::Spill)?;
        let bytes = Decompressor::new().and_then(|mut plain| plain.decompress(&packed, place.plain_bytes));
        let block = Arc::new(Block::parse(bytes.map_err(Error::Spill)?).ok_or_else(cut_off)?);
        reader.last = Some((at, block.clone()));
        Ok(block)
    }
}

impl Block {
    /// `None` if it is cut off.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let (mut rows, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
            let weight = i64::from_le_bytes(bytes.get(at + 4..at + HEAD)?.try_into().ok()?);
            let (from, to) = (at + HEAD, at + HEAD + length);
            bytes.get(from..to)?;
            rows.push((from, to, weight));
            at = to;
        }
        Some(Self { bytes, rows })
    }

    fn row(&self, at: usize) -> Option<(&[u8], i64)> {
        self.rows.get(at).map(|(from, to, weight)| (&self.bytes[*from..*to], *weight))
    }
}

/// A place in a run.
struct Cursor<'a> {
    run: &'a SortedRun,
    /// `None` behind the last.
    block: Option<Arc<Block>>,
    next_block: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first row that is not before these bytes.
    fn seek(run: &'a SortedRun, bytes: &[u8]) -> Result<Self, Error> {
        let at = run.places.partition_point(|place| place.first.as_ref() <= bytes).saturating_sub(1);
        let mut cursor = Self { run, block: None, next_block: at, at: 0 };
        cursor.load()?;
        if let Some(block) = &cursor.block {
            cursor.at = block.rows.partition_point(|(from, to, _)| &block.bytes[*from..*to] < bytes);
            if cursor.at == block.rows.len() {
                cursor.load()?;
            }
        }
        Ok(cursor)
    }

    fn load(&mut self) -> Result<(), Error> {
        self.block = match self.next_block < self.run.places.len() {
            true => Some(self.run.block(self.next_block)?),
            false => None,
        };
        (self.at, self.next_block) = (0, self.next_block + 1);
        Ok(())
    }

    fn row(&self) -> Option<(&[u8], i64)> {
        self.block.as_ref()?.row(self.at)
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.at += 1;
        match self.row() {
            Some(_) => Ok(()),
            None => self.load(),
        }
    }
}

/// Rows of runs in order, equal ones added up.
pub(crate) struct Merged<'a> {
    cursors: Vec<Cursor<'a>>,
}

impl<'a> Merged<'a> {
    fn of(runs: &'a [SortedRun], from: &[u8]) -> Result<Self, Error> {
        let cursors = runs.iter().map(|run| Cursor::seek(run, from)).collect::<Result<_, _>>()?;
        Ok(Self { cursors })
    }

    fn next_row(&mut self) -> Result<Option<Row>, Error> {
        loop {
            let least = self.cursors.iter().filter_map(Cursor::row).map(|(row, _)| row).min();
            let Some(least) = least.map(Box::<[u8]>::from) else { return Ok(None) };
            let mut sum = 0;
            for cursor in &mut self.cursors {
                while let Some((row, weight)) = cursor.row()
                    && *row == *least
                {
                    sum += weight;
                    cursor.advance()?;
                }
            }
            if sum != 0 {
                return Ok(Some((least, sum)));
            }
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row();
        if row.is_err() {
            self.cursors.clear();
        }
        row.transpose()
    }
}

/// Writes a run.
struct RunWriter {
    file: Arc<dyn SpillFile>,
    writer: Box<dyn SpillWriter>,
    compressor: Compressor<'static>,
    block: Vec<u8>,
    first: Box<[u8]>,
    offset: u64,
    places: Vec<Place>,
    rows: u64,
}

impl RunWriter {
    fn begin(disk: &Arc<DiskManager>) -> Result<Self, Error> {
        let file = disk.create_tmp_file("state of a pipeline").map_err(failed)?;
        let writer = file.open_writer().map_err(failed)?;
        let mut compressor = Compressor::new(LEVEL).map_err(Error::Spill)?;
        compressor.include_checksum(true).map_err(Error::Spill)?;
        Ok(Self {
            file,
            writer,
            compressor,
            block: Vec::new(),
            first: Box::default(),
            offset: 0,
            places: Vec::new(),
            rows: 0,
        })
    }

    fn add(&mut self, row: &[u8], weight: i64) -> Result<(), Error> {
        if self.block.is_empty() {
            self.first = row.into();
        }
        let length = u32::try_from(row.len()).map_err(|_| Error::Invalid("a row of 4 GiB".to_owned()))?;
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(&weight.to_le_bytes());
        self.block.extend_from_slice(row);
        self.rows += 1;
        match self.block.len() >= BLOCK_BYTES {
            true => self.end_block(),
            false => Ok(()),
        }
    }

    fn end_block(&mut self) -> Result<(), Error> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = self.compressor.compress(&self.block).map_err(Error::Spill)?;
        self.writer.write_all(&packed).map_err(Error::Spill)?;
        let first = std::mem::take(&mut self.first);
        let (bytes, plain_bytes) = (packed.len(), self.block.len());
        self.places.push(Place { first, offset: self.offset, bytes, plain_bytes });
        self.offset += bytes as u64;
        self.block.clear();
        Ok(())
    }

    /// `None` if there are no rows.
    fn finish(mut self) -> Result<Option<SortedRun>, Error> {
        self.end_block()?;
        self.writer.flush().map_err(Error::Spill)?;
        self.writer.finish().map_err(failed)?;
        if self.rows == 0 {
            return Ok(None);
        }
        let path = self.file.path().ok_or_else(cut_off)?;
        let file = File::open(path).map_err(Error::Spill)?;
        let reader = Mutex::new(Reader { file, last: None });
        let memory = self.places.iter().map(|place| place.first.len() as u64 + PLACE_BYTES).sum();
        Ok(Some(SortedRun { file: self.file, reader, places: self.places, memory, rows: self.rows }))
    }
}

fn failed(error: DataFusionError) -> Error {
    Error::Spill(std::io::Error::other(error))
}

fn cut_off() -> Error {
    Error::Spill(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    fn disk(bytes_max: u64) -> Arc<DiskManager> {
        let builder = DiskManagerBuilder::default().with_max_temp_directory_size(bytes_max);
        Arc::new(builder.build().expect("a directory"))
    }

    fn key(number: u64) -> Vec<u8> {
        let long = if number.is_multiple_of(97) { "x".repeat(9000) } else { String::new() };
        [&number.to_be_bytes()[..], long.as_bytes()].concat()
    }

    #[test]
    fn runs_are_the_sum_of_what_was_added_and_stay_few() {
        let mut spilled = Spilled::new(disk(1 << 30));
        let mut expected: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for round in 0..40_u64 {
            let mut rows: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            for at in 0..500_u64 {
                let number = (round * 7919 + at * 104_729) % 4001;
                rows.insert(key(number), if (round + at).is_multiple_of(3) { -1 } else { 1 });
            }
            for (row, weight) in &rows {
                *expected.entry(row.clone()).or_default() += weight;
            }
            spilled.add(rows.iter().map(|(row, weight)| (&row[..], *weight))).expect("written");
            spilled.tidy().expect("merged");
            assert!(spilled.runs.len() <= RUNS_MAX + 1, "{} runs", spilled.runs.len());
        }
        expected.retain(|_, weight| *weight != 0);
        for from in [Vec::new(), key(1), key(1940), key(1941), key(5000)] {
            let got: Vec<Row> = spilled.from(&from).expect("read").collect::<Result<_, _>>().expect("rows");
            let wanted =
                expected.range(from..).map(|(row, weight)| (row.clone().into_boxed_slice(), *weight));
            assert_eq!(got, wanted.collect::<Vec<_>>());
        }
        let files = spilled.disk.used_disk_space();
        assert_eq!(files, spilled.disk_bytes(), "files that were merged are gone");
        assert!(spilled.memory() < 1 << 20, "{}", spilled.memory());
    }

    #[test]
    fn a_full_disk_is_told_and_changes_nothing() {
        let disk = disk(64 << 10);
        let mut spilled = Spilled::new(disk.clone());
        let few: Vec<Vec<u8>> = (1..90).map(key).collect();
        spilled.add(few.iter().map(|row| (&row[..], 1))).expect("there is room");
        let noise = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        let mut many: Vec<Vec<u8>> = (0..20_000_u64).map(|at| [noise(at), noise(at + 1)].concat()).collect();
        many.sort();
        let error = spilled.add(many.iter().map(|row| (&row[..], 1))).expect_err("there is none");
        assert!(error.to_string().contains("max_temp_directory_size"), "{error}");
        assert_eq!(spilled.rows(), 89);
        assert_eq!(spilled.from(&[]).expect("read").count(), 89);
        assert_eq!(disk.used_disk_space(), spilled.disk_bytes());
    }

    /// Rows of this many bytes in all that do not compress.
    fn noise(seed: u64, bytes: usize) -> Vec<Vec<u8>> {
        let word = |at: u64| (seed << 32 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let row = |at: u64| {
            (0..16).flat_map(move |word_at| word(at * 16 + word_at).wrapping_mul(word_at + 3).to_be_bytes())
        };
        let mut rows: Vec<Vec<u8>> = (0..bytes as u64 / 128).map(|at| row(at).collect()).collect();
        rows.sort();
        rows
    }

    #[test]
    fn where_there_is_no_room_to_merge_all_fewer_runs_become_one() {
        let mut spilled = Spilled::new(disk(1 << 20));
        // Each as large as those behind it, about.
        for (seed, (kib, runs)) in (1..).zip([(300, 1), (250, 2), (130, 3), (70, 3), (1, 4), (1, 4)]) {
            let rows = noise(seed, kib << 10);
            spilled.add(rows.iter().map(|row| (&row[..], 1))).expect("there is room");
            spilled.tidy().expect("fewer find room, or none become one");
            assert_eq!(spilled.runs.len(), runs, "after {kib} KiB");
        }
        assert_eq!(spilled.from(&[]).expect("read").count(), (752 << 10) / 128);
    }

    #[test]
    fn runs_that_never_become_one_are_an_error_in_the_end() {
        let mut spilled = Spilled::new(disk(1 << 30));
        for number in 0..=RUNS_LIMIT as u64 {
            spilled.add([(&key(number)[..], 1)].into_iter()).expect("written");
            // The newest is damaged, and there is none without it.
            let path = spilled.runs.last().and_then(|run| run.file.path()).expect("a file").to_owned();
            std::fs::write(path, b"").expect("cut off");
            let tidied = spilled.tidy();
            assert_eq!(tidied.is_err(), number == RUNS_LIMIT as u64, "after {number} runs: {tidied:?}");
        }
    }
}
