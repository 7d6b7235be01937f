//! Steps that must change no row: FLUSH, OPTIMIZE, VACUUM, stopping and starting; DROP with UNDROP; and retention.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_vocab::Clock;

use super::chance::Chance;
use super::rows;
use super::table::{Effect, Row, Rows, TIME};
use super::value::{DAY_SECONDS, seconds_since};
use super::world::{Checked, Done, World, refused};

/// The engine reads its clock later than a step does.
const SLACK_SECONDS: i64 = 3_600;

impl World {
    /// Line protocol of some rows.
    pub(super) async fn write(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let tags = self.tables[at].tags.clone();
        let Some((lines, new)) = rows::lines(&mut self.target(at), &tags, chance) else {
            return Ok(Done::Idle);
        };
        let answer = self.engine.write(&lines).await;
        refused(&answer, "a write")?;
        let state = self.tables[at].state.after(&Effect::Buffer(new));
        let images = vec![Some(state.committed.clone())];
        self.settle(vec![(at, state, images)]).await?;
        self.compare(at).await?;
        Ok(Done::Yes)
    }

    /// `FLUSH`, then the table shows the same.
    pub(super) async fn flush_and_compare(&mut self, at: usize) -> Checked<Done> {
        self.flush(at).await?;
        self.compare(at).await?;
        Ok(Done::Yes)
    }

    /// `OPTIMIZE` in one of its forms.
    pub(super) async fn optimize(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let mode = *chance.pick(&["", " FULL", " DELETES", " DRY RUN"]);
        self.without_effect(at, format!("OPTIMIZE TABLE {}{mode}", self.tables[at].name)).await
    }

    /// Another partitioning or order of the files to come.
    pub(super) async fn lay_out(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let layout = *chance.pick(&[
            "PARTITIONED BY (day(time))",
            "PARTITIONED BY (month(time), bucket(4, k))",
            "PARTITIONED BY (bucket(3, k))",
            "PARTITIONED BY (truncate(k, 50))",
            "UNPARTITIONED",
            "SORTED BY (k DESC, time)",
            "SORTED BY (time)",
            "UNSORTED",
        ]);
        self.without_effect(at, format!("ALTER TABLE {} SET {layout}", self.tables[at].name)).await
    }

    /// Runs a statement after which the table shows the same.
    async fn without_effect(&mut self, at: usize, sql: String) -> Checked<Done> {
        let answer = self.engine.sql(&sql).await;
        if let Some(done) = refused(&answer, &sql)? {
            return Ok(done);
        }
        let state = self.tables[at].state.clone();
        let images = vec![Some(state.committed.clone())];
        self.settle(vec![(at, state, images)]).await?;
        self.compare(at).await?;
        Ok(Done::Yes)
    }

    /// `VACUUM`: what is kept stays readable, also once the objects are gone.
    pub(super) async fn vacuum(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let tail =
            *chance.pick(&["", " KEEP 0 HOURS", " KEEP 0 HOURS FORCE", " KEEP 1 HOURS FORCE", " DRY RUN"]);
        let done = self.without_effect(at, format!("VACUUM TABLE {}{tail}", self.tables[at].name)).await?;
        self.take_floor(at, tail.contains(" 0 HOURS")).await?;
        self.check_objects(false).await?;
        self.check_all(chance).await?;
        Ok(done)
    }

    /// `retention`, once: files go whose rows are all from before a moment of the first week. Which rows share a file only the engine
    /// knows: what is left is taken from it, if no younger row is missing.
    pub(super) async fn expire(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        self.flush(at).await?;
        let name = self.tables[at].name;
        let until = chance.within(1, 8) * DAY_SECONDS;
        let keep = seconds_since(until, Clock::system().now());
        let statements = [
            format!("ALTER TABLE {name} SET (retention = '{keep}s')"),
            "RUN JOB retention".to_owned(),
            format!("ALTER TABLE {name} RESET (retention)"),
        ];
        for sql in &statements {
            if let Some(done) = refused(&self.engine.sql(sql).await, sql)? {
                return Ok(done);
            }
        }
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.lines(&format!("SELECT * FROM {name}")).await?.into_iter().skip(1) {
            *found.entry(line).or_default() += 1;
        }
        let before = self.tables[at].state.clone();
        let (mut left, mut gone) = (Rows::new(), Rows::new());
        for row in &before.committed.rows {
            match found.get_mut(&before.committed.line(row)) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    left.push(row.clone());
                }
                _ => gone.push(row.clone()),
            }
        }
        let is_young = |row: &&Arc<Row>| row[&TIME].order().is_none_or(|at| at >= until + SLACK_SECONDS);
        if let Some(young) = gone.iter().find(is_young) {
            return Err(format!("{}: took {}", statements[0], before.committed.line(young)));
        }
        let state = before.after(&Effect::Rewrite(left));
        let images = vec![Some(before.committed), Some(state.committed.clone())];
        self.settle(vec![(at, state, images)]).await?;
        self.compare(at).await?;
        Ok(if gone.is_empty() { Done::Idle } else { Done::Yes })
    }

    /// Collects all that can be: what is left is what the catalog names, and it reads as before.
    pub(super) async fn collect_all(&mut self, chance: &Chance) -> Checked<()> {
        let all = (0..self.tables.len()).map(|at| self.tables[at].name);
        for name in all.collect::<Vec<_>>() {
            let sql = format!("VACUUM TABLE {name} KEEP 0 HOURS FORCE ORPHANS");
            if let Some(done) = refused(&self.engine.sql(&sql).await, &sql)? {
                return Err(format!("{sql}: {done:?}"));
            }
        }
        for at in 0..self.tables.len() {
            self.take_floor(at, true).await?;
        }
        self.check_objects(true).await?;
        self.check_all(chance).await
    }

    /// Each object that the catalog names is there; where all was collected, there is no other.
    async fn check_objects(&self, is_collected: bool) -> Checked<()> {
        let named = self.lines("SELECT path FROM system.storage.files WHERE path IS NOT NULL").await?;
        let named: BTreeSet<String> = named.into_iter().skip(1).collect();
        let there = self.engine.objects();
        if let Some(missing) = named.difference(&there).next() {
            return Err(format!("{missing} is needed and was deleted"));
        }
        match there.difference(&named).next() {
            Some(stray) if is_collected => Err(format!("{stray} is there and nothing names it")),
            _ => Ok(()),
        }
    }

    /// Reads the floor of a table: it never falls, and is at the last change if nothing older was to be kept.
    pub(super) async fn take_floor(&mut self, at: usize, is_raised: bool) -> Checked<()> {
        let table = &self.tables[at];
        let sql =
            format!("SELECT history_floor FROM system.catalog.tables WHERE table_name = '{}'", table.name);
        let floor = self.lines(&sql).await?.get(1).and_then(|text| text.parse::<i64>().ok());
        let Some(floor) = floor else { return Err(format!("no floor of {}", table.name)) };
        let changed = table.history.last_change();
        let held = table.hold.as_ref().map(|(_, version)| *version);
        // Below a hold the floor rises only where there is something to collect.
        let lowest = if is_raised && held.is_none() { table.floor.max(changed) } else { table.floor };
        let highest = self.head.min(held.unwrap_or(i64::MAX)).max(table.floor);
        if !(lowest..=highest).contains(&floor) {
            return Err(format!("the floor of {} is {floor}, not in {lowest}..={highest}", table.name));
        }
        let table = &mut self.tables[at];
        table.floor = floor;
        let marks: Vec<i64> = table.marks.values().copied().collect();
        table.history.forget(floor, &marks);
        Ok(())
    }

    /// Stops in order, which flushes, and starts again.
    pub(super) async fn restart(&mut self) -> Checked<Done> {
        self.engine.restart().await;
        let all = (0..self.tables.len()).map(|at| {
            let state = self.tables[at].state.after(&Effect::Flush);
            let images = vec![Some(state.committed.clone())];
            (at, state, images)
        });
        self.settle(all.collect()).await?;
        self.compare_all().await
    }

    /// Ends as after a crash and starts again: what was acknowledged is there.
    pub(super) async fn crash(&mut self) -> Checked<Done> {
        self.engine.crash().await;
        self.settle(Vec::new()).await?;
        self.compare_all().await
    }

    async fn compare_all(&self) -> Checked<Done> {
        for at in 0..self.tables.len() {
            self.compare(at).await?;
        }
        Ok(Done::Yes)
    }

    /// `DROP TABLE`, a look, `UNDROP TABLE`.
    pub(super) async fn drop_and_undrop(&mut self, at: usize) -> Checked<Done> {
        self.flush(at).await?;
        let name = self.tables[at].name;
        // Asked first: a table that cannot come back is not dropped.
        let undrop = format!("UNDROP TABLE {name}");
        let answer = self.engine.sql(&undrop).await;
        if let super::engine::Answer::Refused { sqlstate, text } = &answer
            && !["42P07", "42P01"].contains(&sqlstate.as_str())
        {
            return match sqlstate.as_str() {
                "0A000" | "42601" => Ok(Done::Unsupported(text.clone())),
                _ => Err(format!("{undrop} over a table: {sqlstate} {text}")),
            };
        }
        let drop = format!("DROP TABLE {name}");
        refused(&self.engine.sql(&drop).await, &drop)?;
        let state = self.tables[at].state.clone();
        self.settle(vec![(at, state.clone(), vec![None])]).await?;
        self.check_version(at, self.head).await?;
        refused(&self.engine.sql(&undrop).await, &undrop)?;
        let images = vec![Some(state.committed.clone())];
        self.settle(vec![(at, state, images)]).await?;
        self.compare(at).await?;
        Ok(Done::Yes)
    }
}
