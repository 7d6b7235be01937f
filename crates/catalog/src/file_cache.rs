//! Files of tables in memory: decoded once, kept fresh by own commits, exact for every snapshot from a given one on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cenote_vocab::{FileId, LIVE, TableId, Txn};

use crate::committer::{FileRow, VectorRow, Writes};
use crate::{DataFile, TimeWindow, VisibleVector};

/// Files of all tables that are kept, at most; the table that was asked for longest ago goes first.
const FILES_MAX: usize = 2_000_000;
/// Versions of a table's files that have ended, beyond a quarter of its live ones, are kept up to this many.
const ENDED_MAX: usize = 1_000;

/// What a table's files were from one transaction to before another.
#[derive(Debug)]
struct Version {
    from: Txn,
    to: Txn,
    file: Arc<DataFile>,
}

/// Files of one table.
#[derive(Debug)]
pub(crate) struct TableFiles {
    /// Exact for every snapshot from here on …
    from: Txn,
    /// … that is not after a change of the table that is not known here: the last known one.
    last_txn: Txn,
    history_floor: Txn,
    files: BTreeMap<FileId, Vec<Version>>,
    ended: usize,
    used: u64,
}

/// All that are kept.
#[derive(Debug, Default)]
pub(crate) struct FileCache {
    tables: HashMap<TableId, TableFiles>,
    /// The last change of each table that was published here: a read that began before it is not kept.
    published: HashMap<TableId, Txn>,
    /// Grows when something is forgotten, for the same reason.
    generation: u64,
    turn: u64,
}

impl FileCache {
    /// The table's files as of `at`, if they are known. `last_txn`: the table's last change as just read, or `None` while this
    /// process is the only one that writes. Also answers the history floor.
    pub(crate) fn files(
        &mut self,
        table: TableId,
        at: Txn,
        last_txn: Option<Txn>,
        window: Option<TimeWindow>,
    ) -> Option<(Vec<Arc<DataFile>>, Txn)> {
        self.turn += 1;
        let entry = self.tables.get_mut(&table)?;
        if at < entry.from || last_txn.is_some_and(|last| last != entry.last_txn) {
            return None;
        }
        entry.used = self.turn;
        let visible = entry.files.values().filter_map(|versions| {
            versions
                .iter()
                .rev()
                .find(|version| version.from <= at && at < version.to)
                .map(|version| &version.file)
        });
        let files =
            visible.filter(|file| window.is_none_or(|window| touches(file, window))).cloned().collect();
        Some((files, entry.history_floor))
    }

    /// What a read must show to be kept.
    pub(crate) fn ticket(&self) -> u64 {
        self.generation
    }

    /// Keeps the live files of a table as they were read, with `ticket`, when its last change was `last_txn`.
    pub(crate) fn keep(
        &mut self,
        table: TableId,
        ticket: u64,
        (last_txn, history_floor): (Txn, Txn),
        files: &[Arc<DataFile>],
    ) {
        if ticket != self.generation || self.published.get(&table).is_some_and(|newest| *newest > last_txn) {
            return;
        }
        self.turn += 1;
        let version = |file: &Arc<DataFile>| Version { from: file.begin_txn, to: LIVE, file: file.clone() };
        let entry = TableFiles {
            from: last_txn,
            last_txn,
            history_floor,
            files: files.iter().map(|file| (file.id, vec![version(file)])).collect(),
            ended: 0,
            used: self.turn,
        };
        self.tables.insert(table, entry);
        self.shrink();
    }

    /// Drops what is known of a table, or of all.
    pub(crate) fn forget(&mut self, table: Option<TableId>) {
        self.generation += 1;
        match table {
            Some(table) => drop(self.tables.remove(&table)),
            None => self.tables.clear(),
        }
    }

    /// Follows a group: `last_txns` are the last changes of its tables before it.
    pub(crate) fn publish(&mut self, writes: &Writes, last_txns: &[(TableId, Txn)]) {
        let before: HashMap<TableId, Txn> = last_txns.iter().copied().collect();
        let mut fresh: HashMap<TableId, Txn> = HashMap::new();
        for tally in &writes.tallies {
            let last = fresh.entry(tally.table).or_default();
            *last = (*last).max(tally.txn);
        }
        for (table, last) in &fresh {
            self.published.insert(*table, *last);
            let known =
                self.tables.get(table).is_some_and(|entry| before.get(table) == Some(&entry.last_txn));
            if !known {
                self.tables.remove(table);
            } else if let Some(entry) = self.tables.get_mut(table) {
                entry.last_txn = *last;
            }
        }
        for row in &writes.files {
            if let Some(entry) = self.tables.get_mut(&row.table) {
                entry.add(row);
            }
        }
        let mut vectors: Vec<&VectorRow> = writes.vectors.iter().collect();
        vectors.sort_by_key(|row| row.begin);
        for row in vectors {
            if let Some(entry) = self.tables.get_mut(&row.table) {
                entry.set_vector(row);
            }
        }
        for (table, file, end) in &writes.file_ends {
            if let Some(entry) = self.tables.get_mut(table) {
                entry.end(*file, *end);
            }
        }
        for table in fresh.keys() {
            if let Some(entry) = self.tables.get_mut(table) {
                entry.trim();
            }
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.tables.len() > 1
            && self.tables.values().map(|entry| entry.files.len()).sum::<usize>() > FILES_MAX
        {
            let oldest = self.tables.iter().min_by_key(|(_, entry)| entry.used).map(|(table, _)| *table);
            drop(oldest.and_then(|table| self.tables.remove(&table)));
        }
    }
}

impl TableFiles {
    fn add(&mut self, row: &FileRow) {
        let file = Arc::new(DataFile {
            id: row.id,
            begin_txn: row.begin,
            end_txn: LIVE,
            file: row.file.clone(),
            vector: None,
            row_id_start: row.row_id_start,
            seq: row.seq,
        });
        self.files.insert(row.id, vec![Version { from: row.begin, to: LIVE, file }]);
    }

    fn set_vector(&mut self, row: &VectorRow) {
        let Some(versions) = self.files.get_mut(&row.file) else { return };
        let Some(last) = versions.last_mut() else { return };
        last.to = row.begin;
        self.ended += 1;
        let vector = Some(VisibleVector { begin_txn: row.begin, vector: row.vector.clone() });
        let file = Arc::new(DataFile { vector, ..(*last.file).clone() });
        versions.push(Version { from: row.begin, to: LIVE, file });
    }

    fn end(&mut self, file: FileId, end: Txn) {
        let Some(versions) = self.files.get_mut(&file) else { return };
        for version in versions.iter_mut() {
            version.to = version.to.min(end);
            version.file = Arc::new(DataFile { end_txn: end, ..(*version.file).clone() });
        }
        self.ended += 1;
    }

    /// Drops ended versions once they are many, beside the files that are known; older snapshots are then asked from the database.
    fn trim(&mut self) {
        if self.ended <= ENDED_MAX + self.files.len() / 4 {
            return;
        }
        self.from = self.last_txn;
        let last = self.last_txn;
        self.files.retain(|_, versions| {
            versions.retain(|version| version.to > last);
            !versions.is_empty()
        });
        self.ended = 0;
    }
}

/// False only if the file's times lie outside the window.
pub(crate) fn touches(file: &DataFile, window: TimeWindow) -> bool {
    file.file.time_range.is_none_or(|(low, high)| high >= window.from && low <= window.to)
}

#[cfg(test)]
mod tests {
    use cenote_datafile::{DeletionVector, FileStatistics};
    use cenote_vocab::PartitionId;

    use super::*;
    use crate::committer::Tally;
    use crate::{NewFile, TableDef, TableKind};

    const TABLE: TableId = TableId(1);

    fn def() -> Arc<TableDef> {
        Arc::new(TableDef {
            id: TABLE,
            uuid: uuid::Uuid::nil(),
            schema_id: cenote_vocab::SchemaId(1),
            schema_name: "default".into(),
            name: "cpu".into(),
            kind: TableKind::Table,
            schema: Arc::default(),
            spec: Default::default(),
            sort: Default::default(),
            time_field: None,
            location: "default/tables/x".into(),
            properties: BTreeMap::new(),
            comment: None,
            begin_txn: Txn(1),
        })
    }

    fn file(time_range: Option<(i64, i64)>) -> Arc<NewFile> {
        Arc::new(NewFile {
            path: "data/x.parquet".into(),
            rows: 10,
            bytes: 1,
            footer_bytes: 1,
            schema_no: 1,
            spec_no: 0,
            partition: vec![],
            sort_no: 0,
            level: 0,
            time_range,
            statistics: FileStatistics::default(),
            row_ids_stored: false,
        })
    }

    fn group(txn: i64) -> Writes {
        let tally = Tally { table: TABLE, txn: Txn(txn), ..Tally::default() };
        Writes { tallies: vec![tally], ..Writes::default() }
    }

    fn append(txn: i64) -> Writes {
        let row = FileRow {
            table: TABLE,
            id: FileId(txn),
            begin: Txn(txn),
            partition: PartitionId(0),
            row_id_start: 0,
            seq: txn,
            def: def(),
            schema: Arc::default(),
            file: file(None),
            origin: String::new(),
        };
        Writes { files: vec![row], ..group(txn) }
    }

    fn ids(cache: &mut FileCache, at: i64) -> Option<Vec<i64>> {
        let (files, _) = cache.files(TABLE, Txn(at), None, None)?;
        Some(files.iter().map(|file| file.id.0).collect())
    }

    #[test]
    fn every_snapshot_from_the_first_read_on_is_exact_until_it_is_trimmed() {
        let mut cache = FileCache::default();
        let ticket = cache.ticket();
        cache.keep(TABLE, ticket, (Txn(0), Txn(0)), &[]);
        let last = |txn: i64| [(TABLE, Txn(txn - 1))];
        cache.publish(&append(1), &last(1));
        cache.publish(&append(2), &last(2));
        let vector = VectorRow {
            table: TABLE,
            file: FileId(1),
            begin: Txn(3),
            end: LIVE,
            vector: Arc::new(DeletionVector::from_iter([4])),
        };
        cache.publish(&Writes { vectors: vec![vector], ..group(3) }, &last(3));
        cache.publish(&Writes { file_ends: vec![(TABLE, FileId(1), Txn(4))], ..group(4) }, &last(4));
        for (at, wanted) in [(0, vec![]), (1, vec![1]), (2, vec![1, 2]), (3, vec![1, 2]), (4, vec![2])] {
            assert_eq!(ids(&mut cache, at), Some(wanted), "at {at}");
        }
        let rows = |cache: &mut FileCache, at| {
            cache
                .files(TABLE, Txn(at), None, None)
                .map(|(files, _)| files.iter().map(|file| file.live_rows()).sum())
        };
        assert_eq!((rows(&mut cache, 2), rows(&mut cache, 3)), (Some(20_u64), Some(19)));

        let mut txn = 4;
        for _ in 0..2 * ENDED_MAX {
            txn += 1;
            cache.publish(&append(txn), &last(txn));
            txn += 1;
            let ends = vec![(TABLE, FileId(txn - 1), Txn(txn))];
            cache.publish(&Writes { file_ends: ends, ..group(txn) }, &last(txn));
        }
        assert_eq!(ids(&mut cache, 4), None, "too old by now: the database is asked");
        assert_eq!(ids(&mut cache, txn), Some(vec![2]));
    }

    #[test]
    fn a_read_that_missed_a_commit_is_not_kept() {
        let mut cache = FileCache::default();
        let ticket = cache.ticket();
        cache.publish(&append(6), &[(TABLE, Txn(5))]);
        cache.keep(TABLE, ticket, (Txn(5), Txn(0)), &[]);
        assert_eq!(ids(&mut cache, 6), None);
        let ticket = cache.ticket();
        cache.forget(None);
        cache.keep(TABLE, ticket, (Txn(6), Txn(0)), &[]);
        assert_eq!(ids(&mut cache, 6), None);
    }

    #[test]
    fn a_group_that_does_not_follow_what_is_known_ends_it() {
        let mut cache = FileCache::default();
        let ticket = cache.ticket();
        cache.keep(TABLE, ticket, (Txn(5), Txn(0)), &[]);
        cache.publish(&append(8), &[(TABLE, Txn(7))]);
        assert_eq!(ids(&mut cache, 8), None);
    }

    #[test]
    fn only_files_outside_a_window_are_left_out() {
        let of = |time_range| DataFile {
            id: FileId(1),
            begin_txn: Txn(1),
            end_txn: LIVE,
            file: file(time_range),
            vector: None,
            row_id_start: 0,
            seq: 1,
        };
        let window = TimeWindow { from: 10, to: 20 };
        let touched = [Some((0, 9)), Some((0, 10)), Some((20, 30)), Some((21, 30)), None];
        assert_eq!(touched.map(|range| touches(&of(range), window)), [false, true, true, false, true]);
    }
}
