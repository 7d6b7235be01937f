//! Versions of the past against what was recorded, the change feed, tags and RESTORE.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::Chance;
use super::condition::{Condition, key};
use super::engine::Answer;
use super::history::Shown;
use super::rows::Change;
use super::table::{Effect, Image};
use super::value::Value;
use super::world::{Checked, Done, World, equal, refused};

/// Versions of one table that a check of everything reads at most.
const VERSIONS_MAX: usize = 12;

impl World {
    /// Reads a table at one version: as recorded, or gone.
    pub(super) async fn check_version(&mut self, at: usize, version: i64) -> Checked<()> {
        let table = &self.tables[at];
        let sql = format!("SELECT * FROM {} FOR VERSION AS OF {version}", table.name);
        let is_kept = version >= table.floor || table.marks.values().any(|marked| *marked == version);
        let answer = self.engine.ask(&sql).await;
        if !is_kept {
            return match &answer {
                Answer::Refused { sqlstate, text } if sqlstate == "22023" => {
                    let marks = || table.marks.values().copied();
                    let after = marks().filter(|marked| *marked > version).fold(table.floor, i64::min);
                    let neighbours = match marks().filter(|marked| *marked < version).max() {
                        Some(before) => format!("are {before} and {after}"),
                        None => format!("the oldest is {after}"),
                    };
                    let is_named = text.contains("no longer kept") && text.ends_with(&neighbours);
                    is_named.then_some(()).ok_or_else(|| format!("{sql}: {text:?}, expected {neighbours:?}"))
                }
                // Of names that the version does not know nothing more can be said.
                Answer::Refused { sqlstate, .. } if sqlstate == "42P01" => Ok(()),
                _ => Err(format!("{sql} below the floor {}: {}", table.floor, brief(&answer))),
            };
        }
        let candidates = table.history.at(version);
        let shown = candidates.iter().find(|shown| shows(&answer, shown));
        let Some(shown) = shown.cloned() else {
            let wanted = candidates.last().cloned().flatten().map(|image| image.lines()).unwrap_or_default();
            return match &answer {
                Answer::Done { lines, .. } => equal(&sql, &wanted, lines),
                Answer::Refused { .. } => Ok(()),
            }
            .and_then(|()| Err(format!("{sql}: {}, not one of {}", brief(&answer), candidates.len())));
        };
        if candidates.len() > 1 {
            self.tables[at].history.pin(version, shown);
        }
        Ok(())
    }

    /// Reads one random version, of those that are kept and those that are not.
    pub(super) async fn travel(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let low = (self.tables[at].floor - 3).max(1);
        let version = chance.within(low, self.head + 1);
        self.engine.note(&format!("{} at version {version}", self.tables[at].name));
        self.check_version(at, version).await?;
        if chance.percent(30) && version >= self.tables[at].floor {
            self.check_instant(at, version).await?;
        }
        Ok(Done::Yes)
    }

    /// The time of a version names that version.
    async fn check_instant(&self, at: usize, version: i64) -> Checked<()> {
        let sql = format!("SELECT committed_at FROM system.catalog.transactions WHERE txn = {version}");
        let Some(instant) = self.lines(&sql).await?.get(1).cloned() else {
            return Err(format!("{sql}: no such transaction"));
        };
        let name = self.tables[at].name;
        let by_number = self.engine.ask(&format!("SELECT * FROM {name} FOR VERSION AS OF {version}")).await;
        let sql = format!("SELECT * FROM {name} FOR TIMESTAMP AS OF '{instant}'");
        match (by_number, self.engine.ask(&sql).await) {
            (Answer::Done { lines: wanted, .. }, Answer::Done { lines, .. }) => equal(&sql, &wanted, &lines),
            (Answer::Refused { sqlstate: wanted, .. }, Answer::Refused { sqlstate, .. })
                if wanted == sqlstate =>
            {
                Ok(())
            }
            (by_number, by_time) => {
                Err(format!("{sql}: {}, by its number {}", brief(&by_time), brief(&by_number)))
            }
        }
    }

    /// Asks with a condition, so that files are left out, and for counts and bounds, which statistics may answer.
    pub(super) async fn ask(&self, at: usize, chance: &Chance) -> Checked<Done> {
        let table = &self.tables[at];
        let mut image = table.state.seen();
        let mut from = table.name.to_owned();
        let version = chance.within(table.floor.max(table.history.first() + 1), self.head + 1);
        if chance.percent(40)
            && let Some(old) = only(table.history.at(version))
        {
            (image, from) = (old.as_ref().clone(), format!("{from} FOR VERSION AS OF {version}"));
        }
        if chance.percent(80) {
            let condition = Condition::draw(&image, chance);
            image.rows.retain(|row| condition.holds(row));
            from = format!("{from} WHERE {}", condition.sql());
        }
        let sql = format!("SELECT * FROM {from}");
        equal(&sql, &image.lines(), &self.lines(&sql).await?)?;
        let keys = || image.rows.iter().map(|row| key(row));
        let column = chance.pick(&image.columns);
        let known = image.rows.iter().filter(|row| *column.of_row(row) != Value::Null).count();
        let shown = |bound: Option<i64>| bound.map_or("NULL".to_owned(), |bound| bound.to_string());
        let wanted = format!("{}|{}|{}|{known}", image.rows.len(), shown(keys().min()), shown(keys().max()));
        let sql = format!("SELECT count(*), min(k), max(k), count({}) FROM {from}", column.name);
        equal(&sql, &[wanted], &self.lines(&sql).await?[1..])?;
        Ok(Done::Yes)
    }

    /// Reads every table now and at every version that is kept (of many: some), one below the floor, and all tags.
    pub(super) async fn check_all(&mut self, chance: &Chance) -> Checked<()> {
        for at in 0..self.tables.len() {
            self.compare(at).await?;
            let table = &self.tables[at];
            let mut versions = table.history.versions(table.floor);
            while versions.len() > VERSIONS_MAX {
                versions.swap_remove(chance.below(versions.len()));
            }
            versions.extend(table.marks.values());
            versions.extend((table.floor > 1).then_some(table.floor - 1));
            versions.push(self.head);
            for version in versions {
                self.check_version(at, version).await?;
            }
            let names: Vec<(String, i64)> =
                self.tables[at].marks.iter().map(|(name, version)| (name.clone(), *version)).collect();
            for (mark, version) in names {
                let by_name = format!("SELECT * FROM {} FOR VERSION AS OF '{mark}'", self.tables[at].name);
                let by_number = format!("SELECT * FROM {} FOR VERSION AS OF {version}", self.tables[at].name);
                equal(&by_name, &self.lines(&by_number).await?, &self.lines(&by_name).await?)?;
            }
        }
        Ok(())
    }

    /// Rebuilds a later version from an earlier one and the changes in between.
    pub(super) async fn check_changes(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let table = &self.tables[at];
        let versions = table.history.versions(table.floor);
        if versions.len() < 2 {
            return Ok(Done::Idle);
        }
        let from = chance.below(versions.len() - 1);
        let to = from + 1 + chance.below((versions.len() - from - 1).min(12));
        let (from, to) = (versions[from], versions[to]);
        let (Some(old), Some(new)) = (only(table.history.at(from)), only(table.history.at(to))) else {
            return Ok(Done::Idle);
        };
        let names: Vec<&str> = new.columns.iter().map(|column| column.name.as_str()).collect();
        let sql = format!(
            "SELECT _change_type, {} FROM table_changes('{}', {from}, {to}, expired => true)",
            names.join(", "),
            table.name
        );
        let answer = self.engine.sql(&sql).await;
        if let Answer::Refused { text, .. } = &answer
            && text.contains("table_changes")
        {
            return Ok(Done::Unsupported(text.clone()));
        }
        if let Some(done) = refused(&answer, &sql)? {
            return Ok(done);
        }
        let Answer::Done { lines, .. } = answer else { return Ok(Done::Idle) };
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for line in old.in_columns(new.columns.clone()).lines().into_iter().skip(1) {
            *rows.entry(line).or_default() += 1;
        }
        for line in lines.iter().skip(1) {
            let (kind, row) = line.split_once('|').unwrap_or((line, ""));
            let by = match kind {
                "insert" | "update_postimage" => 1,
                "delete" | "update_preimage" => -1,
                other => return Err(format!("{sql}: a change of type {other}")),
            };
            *rows.entry(row.to_owned()).or_default() += by;
        }
        if let Some((row, count)) = rows.iter().find(|(_, count)| **count < 0) {
            return Err(format!("{sql}: takes away {} rows that were not there: {row}", -count));
        }
        let mut rebuilt: Vec<String> =
            rows.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count as usize)).collect();
        rebuilt.insert(0, names.join("|"));
        equal(&sql, &new.lines(), &rebuilt)?;
        Ok(Done::Yes)
    }

    /// Makes a tag of a kept version, or drops one.
    pub(super) async fn tag(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        let table = &self.tables[at];
        if let Some(mark) = table.marks.keys().next().cloned()
            && (table.marks.len() > 3 || chance.percent(30))
        {
            let sql = format!("DROP TAG {mark} ON TABLE {}", table.name);
            let answer = self.engine.sql(&sql).await;
            if let Some(done) = refused(&answer, &sql)? {
                return Ok(done);
            }
            self.tables[at].marks.remove(&mark);
            return self.settle(Vec::new()).await.map(|()| Done::Yes);
        }
        let mut versions = table.history.versions(table.floor);
        // a version that a DROP made has no table to mark
        versions.retain(|version| only(table.history.at(*version)).is_some());
        if versions.is_empty() {
            return Ok(Done::Idle);
        }
        let (version, mark) = (*chance.pick(&versions), format!("mark{}", chance.below(1_000_000)));
        let sql = format!("CREATE TAG {mark} ON TABLE {} AS OF VERSION {version}", table.name);
        let answer = self.engine.sql(&sql).await;
        if let Some(done) = refused(&answer, &sql)? {
            return Ok(done);
        }
        self.tables[at].marks.insert(mark, version);
        self.settle(Vec::new()).await?;
        Ok(Done::Yes)
    }

    /// Makes a hold of a kept version, or ends it.
    pub(super) async fn hold(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        if let Some((id, _)) = self.tables[at].hold.take() {
            self.engine.release_hold(&id).await?;
            return Ok(Done::Yes);
        }
        let table = &self.tables[at];
        let versions = table.history.versions(table.floor);
        let Some(version) = (!versions.is_empty()).then(|| *chance.pick(&versions)) else {
            return Ok(Done::Idle);
        };
        let id = self.engine.hold(table.name, version).await?;
        self.tables[at].hold = Some((id, version));
        Ok(Done::Yes)
    }

    /// `RESTORE`: the rows of a kept version in the columns of now.
    pub(super) async fn restore(&mut self, at: usize, chance: &Chance) -> Checked<Done> {
        self.flush(at).await?;
        let table = &self.tables[at];
        let versions = table.history.versions(table.floor);
        let version = if versions.is_empty() { return Ok(Done::Idle) } else { *chance.pick(&versions) };
        let Some(image) = only(table.history.at(version)) else { return Ok(Done::Idle) };
        let columns = &table.state.committed.columns;
        if columns
            .iter()
            .any(|column| column.required && image.column(column.id).is_none_or(|old| !old.required))
        {
            return Ok(Done::Idle); // rows of then may not fit
        }
        let sql = format!("RESTORE TABLE {} TO VERSION {version}", table.name);
        let has_rules = columns.iter().any(|column| column.required && !column.is_fixed());
        let change = Change { sql, effect: Effect::Rewrite(image.rows.clone()), count: None };
        Ok(match self.change(at, change).await? {
            // A file of then may hold rows without a value that are deleted from it: it does not come again under the rule.
            Done::Unsupported(why) if has_rules && why.contains("cannot be put back") => Done::Idle,
            done => done,
        })
    }
}

fn only(shown: Vec<Shown>) -> Option<Arc<Image>> {
    if shown.len() == 1 { shown.into_iter().next().flatten() } else { None }
}

/// True if this is what the image shows; a table that is not there is refused by name.
fn shows(answer: &Answer, shown: &Shown) -> bool {
    match (answer, shown) {
        (Answer::Done { lines, .. }, Some(image)) => *lines == image.lines(),
        (Answer::Refused { sqlstate, .. }, None) => sqlstate == "42P01",
        _ => false,
    }
}

fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Done { lines, .. } => format!("{} lines", lines.len()),
        Answer::Refused { sqlstate, text } => format!("{sqlstate} {text}"),
    }
}
