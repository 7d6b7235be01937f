//! A crash at a fail point in the middle of something: afterwards the table is as before it or as after it.

use super::chance::Chance;
use super::columns::{self, ColumnChange};
use super::engine::Answer;
use super::rows::{self, Change, RowChange};
use super::table::Effect;
use super::world::{Checked, Done, World, equal};

/// Where it may strike. Each answers an error there; the crash follows.
const POINTS: [&str; 16] = [
    "wal.append",
    "wal.sync",
    "wal.rotate",
    "wal.truncate",
    "flush.seal",
    "flush.file",
    "flush.commit",
    "commit.lock",
    "commit.check",
    "commit.write",
    "commit.commit",
    "commit.answer",
    "compact.file",
    "compact.commit",
    "gc.purge",
    "gc.sweep",
];

/// What may be under way. The first is a write.
const STATEMENTS: [Option<RowChange>; 6] = [
    None,
    Some(RowChange::Insert { rows_max: 40 }),
    Some(RowChange::Delete),
    Some(RowChange::Update),
    Some(RowChange::Merge),
    Some(RowChange::Replace),
];

impl World {
    /// Arms a point, runs something, crashes, looks.
    pub(super) async fn crash_at_a_point(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        if !fail::has_failpoints() {
            return Ok(Done::Idle); // built without the feature
        }
        let before = self.tables[at].state.clone();
        let point = *chance.pick(&POINTS);
        // A few times: a statement gives up, a flush, which has no client, goes on.
        let times = *chance.pick(&["1*return", "5*return", "1*off->1*return"]);
        self.engine.note(&format!("fail point {point} = {times}"));
        let under_way = self.under_way(at, chance);
        fail::cfg(point, times).map_err(|error| format!("fail point {point}: {error}"))?;
        let (answer, effect) = match under_way {
            UnderWay::Write(lines, new) => (self.engine.write(&lines).await, Effect::Buffer(new)),
            UnderWay::Sql(change) => (self.engine.sql(&change.sql).await, change.effect),
        };
        fail::remove(point);
        self.engine.crash().await;
        let after = before.after(&effect);
        let sql = format!("SELECT * FROM {}", self.tables[at].name);
        let found = self.lines(&sql).await?;
        let is_done = matches!(answer, Answer::Done { .. });
        let (old, new) = (before.seen().lines(), after.seen().lines());
        if is_done || found != old {
            equal(&format!("{sql}, after the crash (before it: {answer:?})"), &new, &found)?;
        }
        let state = if is_done || found == new { after } else { before.clone() };
        self.note_and_flush(at, before, state).await?;
        self.take_floor(at, false).await?;
        for other in 0..self.tables.len() {
            self.compare(other).await?;
        }
        Ok(Done::Yes)
    }

    /// Flushes, so that it is known again what only the buffer holds.
    async fn note_and_flush(
        &mut self,
        at: usize,
        before: super::table::State,
        now: super::table::State,
    ) -> Checked<()> {
        let flush = format!("FLUSH {}", self.tables[at].name);
        let flushed = self.engine.sql(&flush).await;
        if matches!(flushed, Answer::Refused { .. }) {
            return Err(format!("{flush}: {flushed:?}"));
        }
        let images = vec![
            Some(before.flushed().committed),
            Some(now.committed.clone()),
            Some(now.flushed().committed),
        ];
        self.settle(vec![(at, now.flushed(), images)]).await
    }

    fn under_way(&mut self, at: usize, chance: &Chance) -> UnderWay {
        let name = self.tables[at].name;
        let still = |sql: String, effect: Effect| UnderWay::Sql(Change { sql, effect, count: None });
        let same = Effect::Append(Vec::new());
        match chance.below(8) {
            0 => return still(format!("FLUSH {name}"), Effect::Flush),
            1 | 2 => return still(format!("OPTIMIZE TABLE {name} FULL"), same),
            3 => return still(format!("VACUUM TABLE {name} KEEP 0 HOURS FORCE"), same),
            4 => {
                let (table, next) = (&self.tables[at], &mut self.next_column);
                let add = columns::draw(ColumnChange::Add, name, &table.state, &table.tags, next, chance);
                if let Some(change) = add {
                    return UnderWay::Sql(change);
                }
            }
            _ => {}
        }
        let statement = *chance.pick(&STATEMENTS);
        let tags = self.tables[at].tags.clone();
        if let Some(what) = statement {
            return UnderWay::Sql(self.target(at).draw(what, chance));
        }
        match rows::lines(&mut self.target(at), &tags, chance) {
            Some((lines, new)) => UnderWay::Write(lines, new),
            None => still(format!("OPTIMIZE TABLE {name}"), same),
        }
    }
}

/// What the crash interrupts.
enum UnderWay {
    Write(String, super::table::Rows),
    Sql(Change),
}
