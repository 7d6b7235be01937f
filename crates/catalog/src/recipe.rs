//! What a task did: the recipe of its asset as it was then, what it read, and a mark of what came of it. By these it is done again.

use std::collections::{BTreeMap, BTreeSet};

use cenote_vocab::{Micros, TableId, Txn};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Asset, AssetSpec, Error, Mode};

/// By what a task that succeeded can be done again and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What it did.
    pub recipe: Recipe,
    /// Of the rows that it wrote, in whatever order.
    pub output_hash: [u8; 16],
    /// What is kept for it, beyond the history of the tables.
    pub kept: Kept,
}

/// Versions that are tagged so that a run can be done again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of so many of the last runs of the asset.
    pub runs: u32,
    /// What the task read.
    pub versions: BTreeSet<(TableId, Txn)>,
    /// The table that it looks into for the rows that it changes: as it was right before the commit.
    pub before: Option<TableId>,
}

impl Kept {
    /// What an asset wants to be kept of a task that read this.
    pub fn of(asset: &Asset, versions: BTreeSet<(TableId, Txn)>) -> Self {
        match asset.spec.keep_runs {
            0 => Self::default(),
            runs => Self { runs, versions, before: asset.changes_rows().then_some(asset.table) },
        }
    }
}

impl Asset {
    /// True if what it writes depends on the rows that its table has.
    pub fn changes_rows(&self) -> bool {
        self.spec.mode == Mode::Merge
    }

    /// The versions that a task of it reads: of what it depends on the snapshot of its run, or what the run had made (`outputs`),
    /// and what it names by a version of its own.
    pub fn versions(
        &self,
        snapshot: Txn,
        outputs: &BTreeMap<TableId, Txn>,
        inputs: &BTreeMap<TableId, Txn>,
    ) -> BTreeSet<(TableId, Txn)> {
        let upstream = self.upstream.iter();
        let read = upstream.map(|table| (*table, outputs.get(table).copied().unwrap_or(snapshot)));
        read.chain(inputs.iter().map(|(table, at)| (*table, *at))).collect()
    }
}

/// An asset as a task found it, in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The same for the same recipe.
    pub(crate) id: [u8; 32],
    pub(crate) text: String,
}

/// The stored form; it has a version because it outlives this binary.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    asset: Uuid,
    table: i64,
    owner: i64,
    search_path: Vec<String>,
    query: String,
    code: String,
    spec: AssetSpec,
    upstream: Vec<i64>,
}

impl Recipe {
    /// The recipe of an asset as it is now.
    pub fn of(asset: &Asset) -> Result<Self, Error> {
        let stored = Stored {
            version: 1,
            asset: asset.id,
            table: asset.table.0,
            owner: asset.owner,
            search_path: asset.search_path.clone(),
            query: asset.query.clone(),
            code: hex::encode(asset.code),
            spec: asset.spec.clone(),
            upstream: asset.upstream.iter().map(|table| table.0).collect(),
        };
        let text = serde_json::to_string(&stored).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { id: Sha256::digest(&text).into(), text })
    }

    /// The asset as it was.
    pub(crate) fn asset(text: &str) -> Result<Asset, Error> {
        let corrupt =
            |what: String| Error::Corrupt(format!("the recipe of a task cannot be understood: {what}"));
        let stored: Stored = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        let code = hex::decode(&stored.code).ok().and_then(|code| code.try_into().ok());
        Ok(Asset {
            id: stored.asset,
            table: TableId(stored.table),
            owner: stored.owner,
            search_path: stored.search_path,
            query: stored.query,
            code: code.ok_or_else(|| corrupt(format!("code {}", stored.code)))?,
            spec: stored.spec,
            upstream: stored.upstream.into_iter().map(TableId).collect(),
            paused: false,
            created: Micros(0),
            version: 0,
        })
    }
}

/// What a task did when it succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its asset as it was then.
    pub asset: Asset,
    /// Which partitions of it; `None` if it had none.
    pub partitions: Option<String>,
    /// At which its run read what it did not make.
    pub snapshot: Txn,
    /// The time that its run was about.
    pub logical: Micros,
    /// The time of its statements.
    pub started: Micros,
    /// What it read, and at which snapshot.
    pub inputs: BTreeMap<TableId, Txn>,
    /// The commit of its rows.
    pub output: Txn,
    /// How many.
    pub rows: i64,
    /// Of them, in whatever order.
    pub output_hash: [u8; 16],
}

impl Recorded {
    /// What its run had made when it read it: only that is newer than the snapshot. What is older was named by its version.
    pub fn outputs(&self) -> BTreeMap<TableId, Txn> {
        let made = self.inputs.iter().filter(|(_, at)| **at > self.snapshot);
        made.map(|(table, at)| (*table, *at)).collect()
    }

    /// The versions without which it cannot be done again.
    pub fn versions(&self) -> BTreeSet<(TableId, Txn)> {
        let mut versions = self.asset.versions(self.snapshot, &self.outputs(), &self.inputs);
        versions.extend(self.asset.changes_rows().then_some((self.asset.table, Txn(self.output.0 - 1))));
        versions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_read_as_it_was_written() {
        let asset = Asset {
            id: Uuid::from_u128(7),
            table: TableId(3),
            owner: 9,
            search_path: vec!["mart".into(), "default".into()],
            query: "SELECT 1".into(),
            code: [5; 32],
            spec: AssetSpec { key: vec!["a".into()], ..AssetSpec::default() },
            upstream: vec![TableId(1), TableId(2)],
            paused: false,
            created: Micros(0),
            version: 0,
        };
        let recipe = Recipe::of(&asset).unwrap();
        assert_eq!(Recipe::asset(&recipe.text).unwrap(), asset);
        let paused = Asset { paused: true, version: 8, ..asset.clone() };
        assert_eq!(Recipe::of(&paused).unwrap(), recipe, "what is not part of what a task does");
        assert_ne!(Recipe::of(&Asset { query: "SELECT 2".into(), ..asset }).unwrap().id, recipe.id);
        assert!(matches!(Recipe::asset("{}"), Err(Error::Corrupt(_))));
    }

    #[test]
    fn a_task_needs_the_snapshot_what_its_run_had_made_and_what_it_named() {
        let asset = Asset {
            id: Uuid::nil(),
            table: TableId(9),
            owner: 0,
            search_path: Vec::new(),
            query: String::new(),
            code: [0; 32],
            spec: AssetSpec { mode: Mode::Merge, keep_runs: 3, ..AssetSpec::default() },
            upstream: vec![TableId(1), TableId(2), TableId(3)],
            paused: false,
            created: Micros(0),
            version: 1,
        };
        let recorded = Recorded {
            asset: asset.clone(),
            partitions: None,
            snapshot: Txn(10),
            logical: Micros(0),
            started: Micros(0),
            inputs: BTreeMap::from([(TableId(1), Txn(10)), (TableId(2), Txn(12)), (TableId(3), Txn(4))]),
            output: Txn(20),
            rows: 0,
            output_hash: [0; 16],
        };
        assert_eq!(recorded.outputs(), BTreeMap::from([(TableId(2), Txn(12))]));
        let needed =
            [(1, 10), (2, 12), (3, 4), (3, 10), (9, 19)].map(|(table, at)| (TableId(table), Txn(at)));
        assert_eq!(recorded.versions(), BTreeSet::from(needed));
        let kept = Kept::of(&asset, BTreeSet::new());
        assert_eq!((kept.runs, kept.before), (3, Some(TableId(9))));
        let spec = AssetSpec { keep_runs: 0, ..asset.spec.clone() };
        assert_eq!(Kept::of(&Asset { spec, ..asset }, recorded.versions()), Kept::default());
    }
}
