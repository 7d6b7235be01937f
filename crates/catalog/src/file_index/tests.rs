use cenote_vocab::{Clock, FileId, Ids, LIVE, Micros};

use super::*;
use crate::{FileEntry, TimeWindow};

const TABLE: TableId = TableId(1);

fn file(id: i64, begin: i64, time_range: Option<(i64, i64)>) -> FileEntry {
    FileEntry {
        id: FileId(id),
        begin_txn: Txn(begin),
        end_txn: LIVE,
        partition: PartitionId(0),
        schema_no: 1,
        time_range,
        rows: 100,
        bytes: 1,
        deleted: None,
    }
}

fn append(id: i64, txn: i64) -> Delta {
    Delta { files: vec![file(id, txn, None)], ..Delta::new(Txn(txn)) }
}

fn ids(view: Option<View>, at: i64) -> Option<Vec<i64>> {
    Some(view?.visible(Txn(at), TimeWindow::ALL).files.iter().map(|file| file.id.0).collect())
}

/// A table as a list of files, looked through from end to end.
#[derive(Default)]
struct Plain {
    files: Vec<FileEntry>,
    vectors: HashMap<FileId, Vec<VectorEntry>>,
}

impl Plain {
    fn apply(&mut self, delta: &Delta) {
        self.files.extend(&delta.files);
        for vector in &delta.vectors {
            let versions = self.vectors.entry(vector.file).or_default();
            if let Some(before) = versions.last_mut() {
                before.end = vector.begin;
            }
            versions.push(*vector);
        }
        let ends: HashMap<FileId, Txn> = delta.ends.iter().copied().collect();
        for file in &mut self.files {
            file.end_txn = ends.get(&file.id).copied().unwrap_or(file.end_txn);
        }
    }

    fn visible(&self, at: Txn, window: TimeWindow) -> Vec<FileEntry> {
        let visible = |file: &&FileEntry| {
            let touches = file.time_range.is_none_or(|(low, high)| high >= window.from && low <= window.to);
            file.begin_txn <= at && at < file.end_txn && touches
        };
        let entry = |file: &FileEntry| {
            let versions = self.vectors.get(&file.id).map_or(&[][..], Vec::as_slice);
            let vector = versions.iter().find(|vector| vector.begin <= at && at < vector.end);
            FileEntry { deleted: vector.map(|vector| (vector.begin, vector.deleted)), ..*file }
        };
        self.files.iter().filter(visible).map(entry).collect()
    }
}

/// Some files come, some go, rows of some are deleted.
fn random_delta(ids: &Ids, plain: &Plain, txn: i64) -> Delta {
    let below = |bound: u64| ids.below(bound) as i64;
    let mut delta = Delta::new(Txn(txn));
    let next = plain.files.last().map_or(0, |file| file.id.0);
    for id in 1..=below(300) {
        let low = below(10_000);
        let range = (below(20) > 0).then_some((low, low + below(200)));
        delta.files.push(file(next + id, txn, range));
    }
    let live = plain.files.iter().filter(|file| file.end_txn == LIVE);
    for file in live.filter(|_| ids.below(20) == 0) {
        if ids.below(2) == 0 {
            delta.ends.push((file.id, Txn(txn)));
        } else {
            let deleted = 1 + ids.below(99);
            delta.vectors.push(VectorEntry { file: file.id, begin: Txn(txn), end: LIVE, deleted });
        }
    }
    delta
}

#[test]
fn every_version_and_window_shows_what_a_plain_list_shows() {
    let ids = Ids::seeded(7, Clock::manual(Micros(0)));
    let (indexes, mut plain) = (FileIndexes::new(), Plain::default());
    indexes.keep(TABLE, indexes.ticket(), TableIndex::new(Txn(0), Txn(0)));
    let mut floor = 0;
    for txn in 1..=60 {
        let delta = random_delta(&ids, &plain, txn);
        plain.apply(&delta);
        indexes.follow(TABLE, indexes.ticket(), Txn(txn - 1), delta);
        if txn == 20 {
            floor = txn - 5;
            indexes.raise_floor(TABLE, Txn(floor));
            assert!(indexes.view(TABLE, Txn(floor - 1), None).is_none(), "below the floor");
        }
        let at = Txn(floor + ids.below((txn - floor + 1) as u64) as i64);
        let from = ids.below(10_000) as i64;
        let to = from + ids.below(500) as i64;
        for window in [TimeWindow { from, to }, TimeWindow::ALL] {
            let view = indexes.view(TABLE, at, Some(Txn(txn))).expect("known");
            assert_eq!(view.visible(at, window).files, plain.visible(at, window), "{at} of {txn}");
        }
    }
    let ended = plain.files.iter().filter(|file| file.end_txn < LIVE).count();
    assert!(plain.files.len() > block::FILES_MAX && ended > plain.files.len() / 4);
    let live = plain.visible(Txn(60), TimeWindow::ALL);
    let before = indexes.bytes();
    indexes.raise_floor(TABLE, Txn(60));
    assert!(indexes.bytes() < before, "files that only older versions showed are dropped");
    assert_eq!(
        indexes.view(TABLE, Txn(60), None).expect("known").visible(Txn(60), TimeWindow::ALL).files,
        live
    );
}

#[test]
fn a_view_shows_nothing_that_happens_later() {
    let indexes = FileIndexes::new();
    indexes.keep(TABLE, indexes.ticket(), TableIndex::new(Txn(0), Txn(0)));
    indexes.follow(TABLE, indexes.ticket(), Txn(0), append(1, 1));
    let view = indexes.view(TABLE, Txn(1), None);
    let end = Delta { ends: vec![(FileId(1), Txn(2))], ..Delta::new(Txn(2)) };
    indexes.follow(TABLE, indexes.ticket(), Txn(1), end);
    assert_eq!(ids(view, 5), Some(vec![1]));
    assert_eq!(ids(indexes.view(TABLE, Txn(5), None), 5), Some(vec![]));
}

#[test]
fn a_table_that_missed_a_change_answers_only_what_it_knows() {
    let indexes = FileIndexes::new();
    indexes.keep(TABLE, indexes.ticket(), TableIndex::new(Txn(5), Txn(0)));
    let (ours, newest) = (Txn(5), Some(Txn(8)));
    indexes.follow(TABLE, indexes.ticket(), Txn(7), append(1, 8));
    assert_eq!(indexes.reached(TABLE), Some((ours, None)), "a change that does not follow is not applied");
    assert_eq!(ids(indexes.view(TABLE, Txn(8), newest), 8), None);
    assert_eq!(ids(indexes.view(TABLE, Txn(5), newest), 5), Some(vec![]));
    indexes.follow(TABLE, indexes.ticket(), ours, append(1, 8));
    assert_eq!(ids(indexes.view(TABLE, Txn(8), newest), 8), Some(vec![1]));
    indexes.follow(TABLE, indexes.ticket(), Txn(8), append(1, 9));
    assert_eq!(ids(indexes.view(TABLE, Txn(8), newest), 8), None, "out of order: nothing is trusted");
}

#[test]
fn what_was_read_before_something_was_forgotten_is_not_kept() {
    let indexes = FileIndexes::new();
    let ticket = indexes.ticket();
    indexes.forget();
    indexes.keep(TABLE, ticket, TableIndex::new(Txn(6), Txn(0)));
    assert_eq!(ids(indexes.view(TABLE, Txn(6), None), 6), None);
}

#[test]
fn the_table_asked_for_longest_ago_makes_room() {
    let indexes = FileIndexes { bytes_max: 10_000, ..FileIndexes::new() };
    let filled = || {
        let mut index = TableIndex::new(Txn(1), Txn(0));
        (1..=50).for_each(|id| index.push(&file(id, 1, None)));
        index
    };
    let known = |indexes: &FileIndexes| [1, 2, 3].map(|table| indexes.reached(TableId(table)).is_some());
    indexes.keep(TableId(1), indexes.ticket(), filled());
    indexes.keep(TableId(2), indexes.ticket(), filled());
    assert!(indexes.view(TableId(1), Txn(1), None).is_some());
    indexes.keep(TableId(3), indexes.ticket(), filled());
    assert_eq!(known(&indexes), [true, false, true]);
    assert!(indexes.bytes() <= 10_000);
    indexes.forget();
    assert_eq!((known(&indexes), indexes.bytes()), ([false; 3], 0));
}
