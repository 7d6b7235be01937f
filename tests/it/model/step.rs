//! The steps of a run, how often each is taken, and what each does.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::columns::{self, ColumnChange};
use super::rows::RowChange;
use super::world::{Checked, Done, World};

/// Rows of a table from which on steps take rows away.
const ROWS_MAX: usize = 1500;

/// One kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rows(RowChange),
    Columns(ColumnChange),
    Write,
    Flush,
    Optimize,
    Vacuum,
    Retention,
    Layout,
    Ask,
    Travel,
    Changes,
    Tag,
    Hold,
    Restore,
    Undrop,
    Transaction,
    Restart,
    Crash,
    CrashAtPoint,
    CheckAll,
}

/// How often each is taken, of the sum of all.
const KINDS: [(Kind, usize); 36] = [
    (Kind::Rows(RowChange::Insert { rows_max: 8 }), 14),
    (Kind::Rows(RowChange::Insert { rows_max: 250 }), 5),
    (Kind::Rows(RowChange::Delete), 9),
    (Kind::Rows(RowChange::Update), 10),
    (Kind::Rows(RowChange::Merge), 7),
    (Kind::Rows(RowChange::Upsert), 7),
    (Kind::Rows(RowChange::Replace), 4),
    (Kind::Rows(RowChange::Truncate), 2),
    (Kind::Columns(ColumnChange::Add), 3),
    (Kind::Columns(ColumnChange::AddDefault), 3),
    (Kind::Columns(ColumnChange::AddAt), 2),
    (Kind::Columns(ColumnChange::Drop), 4),
    (Kind::Columns(ColumnChange::Rename), 3),
    (Kind::Columns(ColumnChange::Widen), 3),
    (Kind::Columns(ColumnChange::SetDefault), 4),
    (Kind::Columns(ColumnChange::DropDefault), 2),
    (Kind::Columns(ColumnChange::SetNotNull), 4),
    (Kind::Columns(ColumnChange::DropNotNull), 3),
    (Kind::Write, 12),
    (Kind::Flush, 6),
    (Kind::Optimize, 6),
    (Kind::Vacuum, 2),
    (Kind::Retention, 2),
    (Kind::Layout, 2),
    (Kind::Ask, 10),
    (Kind::Travel, 8),
    (Kind::Changes, 8),
    (Kind::Tag, 3),
    (Kind::Hold, 2),
    (Kind::Restore, 2),
    (Kind::Undrop, 2),
    (Kind::Transaction, 8),
    (Kind::Restart, 2),
    (Kind::Crash, 2),
    (Kind::CrashAtPoint, 3),
    (Kind::CheckAll, 2),
];

/// A step: its kind, and the seed of everything that it chooses. So a run stays a run when steps are taken out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    seed: u64,
}

/// The steps of a seed.
pub(super) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let chance = Chance::new(seed);
    let sum: usize = KINDS.iter().map(|(_, weight)| weight).sum();
    let kind = || {
        let mut place = chance.below(sum);
        let found = KINDS.iter().find(|(_, weight)| {
            let is_here = place < *weight;
            place = place.saturating_sub(*weight);
            is_here
        });
        found.map_or(Kind::CheckAll, |(kind, _)| *kind)
    };
    (0..count).map(|_| Step { kind: kind(), seed: chance.seed() }).collect()
}

/// How often each kind was done, and which the engine does not know.
#[derive(Debug, Default)]
pub(super) struct Tally {
    done: BTreeMap<String, usize>,
    idle: BTreeMap<String, usize>,
    unsupported: BTreeMap<String, (usize, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, kind: Kind, done: Done) {
        let name = format!("{kind:?}");
        match done {
            Done::Yes => *self.done.entry(name).or_default() += 1,
            Done::Idle => *self.idle.entry(name).or_default() += 1,
            Done::Unsupported(why) => {
                let (count, last) = self.unsupported.entry(name).or_default();
                (*count, *last) = (*count + 1, why);
            }
        }
    }

    /// The kinds that did nothing in the whole run.
    pub(super) fn never_done(&self) -> Vec<Kind> {
        // Without the feature nothing can be crashed at a point.
        let can_be_done = |kind: &Kind| *kind != Kind::CrashAtPoint || fail::has_failpoints();
        let was_done = |kind: &Kind| self.done.contains_key(&format!("{kind:?}"));
        KINDS.iter().map(|(kind, _)| *kind).filter(|kind| can_be_done(kind) && !was_done(kind)).collect()
    }

    /// The kinds that the engine refused at least once, with why.
    pub(super) fn unsupported(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.unsupported.iter().map(|(kind, (count, why))| (kind.as_str(), *count, why.as_str()))
    }

    /// For the person who reads the test's output.
    pub(super) fn summary(&self) -> String {
        let list = |counts: &BTreeMap<String, usize>| {
            let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            counts.join(", ")
        };
        let skipped: Vec<String> =
            self.unsupported().map(|(kind, count, why)| format!("\n  {kind} {count}: {why}")).collect();
        format!(
            "done: {}\nnothing to do: {}\nskipped: {}",
            list(&self.done),
            list(&self.idle),
            if skipped.is_empty() { "none".to_owned() } else { skipped.concat() }
        )
    }
}

/// Takes one step on both sides and compares what it touched.
pub(super) async fn take(world: &mut World, step: Step) -> Checked<Done> {
    let chance = Chance::new(step.seed);
    let at = chance.below(world.tables.len());
    let is_full = world.tables[at].state.committed.rows.len() > ROWS_MAX;
    match step.kind {
        Kind::Rows(RowChange::Upsert) => {
            let keyed = world.tables.iter().position(|table| table.keyed);
            let Some(at) = keyed else { return Ok(Done::Unsupported("PRIMARY KEY".to_owned())) };
            let change = world.target(at).draw(RowChange::Upsert, &chance);
            world.change(at, change).await
        }
        Kind::Rows(what) => {
            let what = if is_full { RowChange::Truncate } else { what };
            let change = world.target(at).draw(what, &chance);
            world.change(at, change).await
        }
        Kind::Columns(what) => {
            if what == ColumnChange::SetNotNull {
                let table = &world.tables[at];
                let fill = columns::fill(table.name, &table.state, &table.tags, &chance);
                let Some(fill) = fill else { return Ok(Done::Idle) };
                world.change(at, fill).await?;
            }
            let table = &world.tables[at];
            let change =
                columns::draw(what, table.name, &table.state, &table.tags, &mut world.next_column, &chance);
            let Some(change) = change else { return Ok(Done::Idle) };
            if matches!(what, ColumnChange::Widen | ColumnChange::SetNotNull) {
                // It may flush by itself, in a version of its own that nobody asked for.
                world.flush(at).await?;
            }
            world.change(at, change).await
        }
        Kind::Write => world.write(at, &chance).await,
        Kind::Flush => world.flush_and_compare(at).await,
        Kind::Optimize => world.optimize(at, &chance).await,
        Kind::Vacuum => world.vacuum(at, &chance).await,
        Kind::Retention => world.expire(at, &chance).await,
        Kind::Layout => world.lay_out(at, &chance).await,
        Kind::Ask => world.ask(at, &chance).await,
        Kind::Travel => world.travel(at, &chance).await,
        Kind::Changes => world.check_changes(at, &chance).await,
        Kind::Tag => world.tag(at, &chance).await,
        Kind::Hold => world.hold(at, &chance).await,
        Kind::Restore => world.restore(at, &chance).await,
        Kind::Undrop => world.drop_and_undrop(at).await,
        Kind::Transaction => world.transact(&chance).await,
        Kind::Restart => world.restart().await,
        Kind::Crash => world.crash().await,
        Kind::CrashAtPoint => world.crash_at_a_point(at, &chance).await,
        Kind::CheckAll => world.check_all(&chance).await.map(|()| Done::Yes),
    }
}
