//! BEGIN, statements on several tables, COMMIT or ROLLBACK: own changes are seen inside, all or nothing afterwards.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::engine::Answer;
use super::rows::{RowChange, Target};
use super::table::State;
use super::world::{Checked, Done, World, equal, expect_count, refused};

/// What may stand in a transaction; ON CONFLICT needs a key, so only some tables take it.
const STATEMENTS: [RowChange; 7] = [
    RowChange::Insert { rows_max: 8 },
    RowChange::Insert { rows_max: 60 },
    RowChange::Delete,
    RowChange::Update,
    RowChange::Merge,
    RowChange::Replace,
    RowChange::Upsert,
];

impl World {
    /// A whole transaction.
    pub(super) async fn transact(&mut self, chance: &Chance) -> Checked<Done> {
        self.say("BEGIN").await?;
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        let mut unsupported = None;
        for _ in 0..chance.within(1, 5) {
            let at = chance.below(self.tables.len());
            let table = &self.tables[at];
            let what = *chance.pick(&STATEMENTS);
            if what == RowChange::Upsert && !table.keyed {
                continue;
            }
            let state = states.get(&at).unwrap_or(&table.state).clone();
            let mut target = Target { name: table.name, state: &state, next_key: &mut self.next_key };
            let change = target.draw(what, chance);
            let answer = self.engine.sql(&change.sql).await;
            if let Some(done) = refused(&answer, &change.sql)? {
                unsupported = Some(done);
                break;
            }
            expect_count(&answer, &change)?;
            let state = state.after(&change.effect);
            states.insert(at, state.clone());
            let sql = format!("SELECT * FROM {}", self.tables[at].name);
            match self.engine.ask(&sql).await {
                Answer::Done { lines, .. } => {
                    equal(&format!("{sql}, in the transaction"), &state.seen().lines(), &lines)?;
                }
                answer @ Answer::Refused { .. } => {
                    unsupported = refused(&answer, &sql)?;
                    break;
                }
            }
        }
        let commits = unsupported.is_none() && chance.percent(70);
        self.say(if commits { "COMMIT" } else { "ROLLBACK" }).await?;
        if commits {
            let changed = states.into_iter().map(|(at, state)| {
                let images = self.tables[at].state.images_until(&state);
                (at, state, images)
            });
            self.settle(changed.collect()).await?;
        }
        for at in 0..self.tables.len() {
            self.compare(at).await?;
        }
        if !commits {
            // statements of it may have flushed any of them before it was taken back
            self.flush_each(0..self.tables.len()).await?;
        }
        Ok(unsupported.unwrap_or(Done::Yes))
    }

    async fn say(&mut self, sql: &str) -> Checked<()> {
        match self.engine.sql(sql).await {
            Answer::Done { .. } => Ok(()),
            refused @ Answer::Refused { .. } => Err(format!("{sql}: {refused:?}")),
        }
    }
}
