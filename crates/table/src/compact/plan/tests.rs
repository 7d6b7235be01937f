use cenote_catalog::{Content, LevelCounters, NewFile, VisibleVector};
use cenote_datafile::{DeletionVector, FileStatistics};
use cenote_vocab::{FileId, LIVE, PartitionSpec, SortOrder};

use super::*;
use crate::sample;

const TARGET: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

fn table() -> TableDef {
    TableDef {
        spec: PartitionSpec { no: 1, fields: Vec::new() },
        sort: SortOrder { no: 1, fields: Vec::new() },
        ..sample::table([])
    }
}

fn file(id: i64, level: i32, mebibytes: u64) -> DataFile {
    DataFile {
        id: FileId(id),
        begin_txn: Txn(10),
        end_txn: LIVE,
        file: Arc::new(NewFile {
            content: Content::Parquet,
            path: format!("data/{id}.parquet"),
            rows: 100,
            bytes: mebibytes * MIB,
            footer_bytes: 1,
            schema_no: 1,
            spec_no: 1,
            partition: vec![Some(5.into())],
            sort_no: 1,
            level,
            time_range: Some((id, id)),
            statistics: FileStatistics::default(),
            row_ids_stored: false,
        }),
        vector: None,
        row_id_start: 0,
        seq: 1,
    }
}

fn with_deleted(mut file: DataFile, rows: u64) -> DataFile {
    let vector = Arc::new((0..rows).collect::<DeletionVector>());
    file.vector = Some(VisibleVector { begin_txn: Txn(11), vector });
    file
}

fn in_spec(mut file: DataFile, spec_no: i32) -> DataFile {
    let new = Arc::make_mut(&mut file.file);
    new.spec_no = spec_no;
    new.partition.clear();
    file
}

fn planned(mode: OptimizeMode, cold: Option<i64>, files: Vec<DataFile>) -> Vec<PartitionPlan> {
    let table = table();
    let terms = Terms { table: &table, mode, target_bytes: TARGET, cold: cold.map(Txn) };
    terms.plan(files.into_iter().map(Arc::new).collect())
}

/// The only partition's jobs: action, level, ids of the files.
fn jobs(mode: OptimizeMode, cold: Option<i64>, files: Vec<DataFile>) -> Vec<(Action, Level, Vec<i64>)> {
    let plans = planned(mode, cold, files);
    assert_eq!(plans.len(), 1);
    let ids = |job: &Job| job.inputs.iter().map(|file| file.id.0).collect();
    plans[0].jobs.iter().map(|job| (job.action, job.level, ids(job))).collect()
}

#[test]
fn fresh_files_are_due_by_number_and_by_size() {
    let small = |number| (1..=number).map(|id| file(id, 0, 1)).collect::<Vec<_>>();
    assert_eq!(jobs(OptimizeMode::Due, None, small(7)), []);
    assert_eq!(planned(OptimizeMode::Due, None, small(5))[0].reason, "5 of 8 files");
    assert_eq!(
        jobs(OptimizeMode::Due, None, small(8)),
        [(Action::Merge, Level::Merged, (1..=8).collect::<Vec<_>>())]
    );
    assert_eq!(
        jobs(OptimizeMode::Due, None, vec![file(1, 0, 63), file(2, 0, 1)]),
        [(Action::Merge, Level::Merged, vec![1, 2])]
    );
}

#[test]
fn merged_files_are_due_again_and_small_ones_when_it_is_cold() {
    assert_eq!(jobs(OptimizeMode::Due, None, vec![file(1, 1, 100), file(2, 1, 100), file(3, 1, 100)]), []);
    let four = (1..=4).map(|id| file(id, 1, 100)).collect();
    assert_eq!(jobs(OptimizeMode::Due, None, four), [(Action::Merge, Level::Full, vec![1, 2, 3, 4])]);

    let small = || vec![file(1, 2, 600), file(2, 2, 100), file(3, 0, 1)];
    assert_eq!(jobs(OptimizeMode::Due, Some(9), small()), []);
    assert_eq!(jobs(OptimizeMode::Due, Some(10), small()), [(Action::Merge, Level::Full, vec![2, 3])]);
    assert_eq!(jobs(OptimizeMode::Due, Some(10), vec![file(1, 2, 600), file(2, 2, 100)]), []);
}

#[test]
fn small_files_that_fill_a_file_are_merged_once() {
    let files = || (1..=600).map(|id| file(id, 0, 1)).chain([file(601, 1, 100), file(602, 2, 100)]).collect();
    let all = (Action::Merge, Level::Full, (1..=601).collect::<Vec<_>>());
    assert_eq!(jobs(OptimizeMode::Due, None, files()), [all]);
}

#[test]
fn merges_leave_inline_batches_alone() {
    let inline = |id| {
        let mut file = file(id, 0, 1);
        Arc::make_mut(&mut file.file).content = Content::Inline(None);
        file
    };
    let files = |count| (1..=count).map(|id| file(id, 0, 1)).chain([inline(100), inline(101)]).collect();
    let merge = (Action::Merge, Level::Merged, (1..=8).collect::<Vec<_>>());
    assert_eq!(jobs(OptimizeMode::Merges, None, files(8)), std::slice::from_ref(&merge));
    assert_eq!(jobs(OptimizeMode::Merges, None, files(7)), []);
    let flush = (Action::Flush, Level::Fresh, vec![100, 101]);
    assert_eq!(jobs(OptimizeMode::Due, None, files(8)), [flush.clone(), merge]);
    assert_eq!(jobs(OptimizeMode::Inline, None, files(8)), [flush]);
}

#[test]
fn a_file_is_due_when_a_fifth_of_it_is_deleted() {
    let files = |deleted| vec![with_deleted(file(1, 2, 600), deleted), file(2, 2, 600)];
    assert_eq!(jobs(OptimizeMode::Due, None, files(19)), []);
    assert_eq!(jobs(OptimizeMode::Due, None, files(20)), [(Action::Deletes, Level::Full, vec![1])]);
    assert_eq!(jobs(OptimizeMode::Deletes, None, files(1)), [(Action::Deletes, Level::Full, vec![1])]);
    assert_eq!(jobs(OptimizeMode::Deletes, None, vec![file(1, 0, 1), file(2, 0, 1)]), []);
}

#[test]
fn full_leaves_only_what_is_full_and_current() {
    assert_eq!(jobs(OptimizeMode::Full, None, vec![file(1, 0, 1)]), []);
    assert_eq!(
        jobs(OptimizeMode::Full, None, vec![file(1, 0, 1), file(2, 2, 600), file(3, 0, 1)]),
        [(Action::Merge, Level::Full, vec![1, 3])]
    );
    assert_eq!(jobs(OptimizeMode::Full, None, vec![file(1, 2, 600), file(2, 2, 10)]), []);
    let mut unsorted = file(1, 2, 600);
    Arc::make_mut(&mut unsorted.file).sort_no = 0;
    assert_eq!(jobs(OptimizeMode::Full, None, vec![unsorted]), [(Action::Merge, Level::Full, vec![1])]);
}

#[test]
fn mixed_files_are_split_when_they_are_cold_or_at_once_by_full() {
    let mixed = || vec![in_spec(file(1, 0, 1), 0)];
    assert_eq!(jobs(OptimizeMode::Due, Some(9), mixed()), []);
    assert_eq!(jobs(OptimizeMode::Due, Some(10), mixed()), [(Action::Merge, Level::Full, vec![1])]);
    assert_eq!(jobs(OptimizeMode::Full, None, mixed()), [(Action::Merge, Level::Full, vec![1])]);
    // Apart from the files of the present spec.
    assert_eq!(planned(OptimizeMode::Full, None, vec![in_spec(file(1, 0, 1), 0), file(2, 0, 1)]).len(), 2);
}

#[test]
fn a_job_is_bounded_by_files_and_bytes() {
    let many = (1..=2_001).map(|id| file(id, 0, 0)).collect();
    let sizes: Vec<usize> = jobs(OptimizeMode::Full, None, many).iter().map(|job| job.2.len()).collect();
    assert_eq!(sizes, [2_000, 1]);
    let large = vec![file(1, 0, 600), file(2, 0, 600), file(3, 0, 100), file(4, 0, 2_000)];
    let ids: Vec<Vec<i64>> = jobs(OptimizeMode::Full, None, large).into_iter().map(|job| job.2).collect();
    assert_eq!(ids, [vec![1], vec![2, 3], vec![4]]);
}

#[test]
fn a_full_file_that_finds_no_company_is_left_alone() {
    let table = table();
    let plan = |mebibytes| {
        let terms =
            Terms { table: &table, mode: OptimizeMode::Due, target_bytes: 8 * TARGET, cold: Some(Txn(10)) };
        let plans = terms.plan((1..=3).map(|id| Arc::new(file(id, 2, mebibytes))).collect());
        plans[0].jobs.iter().map(|job| job.inputs.len()).collect::<Vec<_>>()
    };
    assert_eq!(plan(300), [3]);
    assert_eq!(plan(400), [2]);
    assert_eq!(plan(600), [0_usize; 0]);
}

proptest::proptest! {
    #[test]
    fn counters_never_hide_work(
        files in proptest::collection::vec((0..3_i32, 1..700_u64, 0..100_u64, 0..2_i32), 1..16),
        cold in proptest::option::of(9..11_i64),
    ) {
        let files: Vec<DataFile> = (1_i64..).zip(&files).map(|(id, (level, size, deleted, spec_no))| {
            let file = file(id, *level, *size);
            let file = if *deleted > 50 { with_deleted(file, *deleted) } else { file };
            if *spec_no == 0 { in_spec(file, 0) } else { file }
        }).collect();
        for plan in planned(OptimizeMode::Due, cold, files.clone()) {
            let there = files.iter().filter(|file| file.file.spec_no == plan.spec_no);
            let level = |wanted: std::ops::RangeInclusive<i32>| {
                let of = there.clone().filter(|file| wanted.contains(&file.file.level));
                LevelCounters { files: of.clone().count() as u64, bytes: of.map(|file| file.file.bytes).sum() }
            };
            let counters = PartitionCounters {
                table: cenote_vocab::TableId(1),
                id: cenote_vocab::PartitionId(1),
                spec_no: plan.spec_no,
                tuple: String::new(),
                live: level(0..=2),
                fresh: level(0..=0),
                merged: level(1..=1),
                inline: LevelCounters::default(),
                deleted_rows: there.clone().map(|file| file.file.rows - file.live_rows()).sum(),
                last_txn: Txn(10),
            };
            let allowed = merge_may_be_due(&counters, 1, TARGET, cold.is_some_and(|cold| cold >= 10));
            proptest::prop_assert!(allowed || plan.jobs.is_empty(), "{}", plan.reason);
        }
    }
}
