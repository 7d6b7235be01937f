//! One commit on the catalog as the group knows it: all of it, or an error and nothing. Pure; no database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cenote_vocab::{Micros, SchemaId, TableId, Txn};

use super::world::World;
use super::writes::{Tally, TxnRow, Writes};
use crate::ledger::{self, Standing, Verdict};
use crate::{Commit, Committed, Error, Names, ObjectChange, Op, RetireKind, TableChange, TableDef};

/// The most tables that one commit may change.
pub(crate) const TABLES_PER_COMMIT_MAX: usize = 1_000;
/// The most files that one commit may add, or name.
pub(crate) const FILES_PER_COMMIT_MAX: usize = 10_000;
/// The most bytes of a producer's name, and of the state that is kept beside its epoch.
const PRODUCER_NAME_BYTES_MAX: usize = 255;
const PRODUCER_STATE_BYTES_MAX: usize = 1 << 20;

/// What one commit came to.
pub(crate) enum Outcome {
    /// It was there already, or changed nothing: no row is written.
    Nothing(Committed),
    /// The catalog after it, and the rows it writes.
    Applied(Box<World>, Box<Writes>, Committed),
}

/// A commit while it is applied.
pub(crate) struct Step<'a> {
    pub(super) world: World,
    pub(super) commit: &'a Commit,
    pub(super) txn: Txn,
    pub(super) writes: Writes,
    pub(super) tallies: BTreeMap<TableId, Tally>,
    /// Definitions before the commit of the tables whose definition it touches.
    pub(super) before: BTreeMap<TableId, Option<Arc<TableDef>>>,
    /// Names before the commit.
    pub(super) names_before: Arc<Names>,
    pub(super) schemas_touched: BTreeSet<SchemaId>,
    /// Tables whose columns are stored already, though they were not there before the commit.
    pub(super) undropped: BTreeSet<TableId>,
    /// Tables of this commit that were not created because their name is taken.
    pub(super) not_created: BTreeSet<TableId>,
    pub(super) committed: Committed,
}

/// Applies `commit` to a copy of `world`.
pub(crate) fn apply(world: &World, commit: &Commit, now: Micros) -> Result<Outcome, Error> {
    check_limits(commit)?;
    if let Some((txn, deleted_rows)) = world.commits.get(&commit.commit_id) {
        let (deleted_rows, own) = (*deleted_rows, replay(world, commit, *txn));
        let committed = Committed { deleted_rows, superseded: false, ..own };
        return Ok(Outcome::Nothing(committed));
    }
    let verdict = ledger::judge(
        commit,
        |name| world.standing(name),
        |name, epoch| world.epochs.get(&(name.to_owned(), epoch)).copied(),
    )?;
    if verdict.nothing_left {
        return Ok(Outcome::Nothing(replay(world, commit, verdict.first.unwrap_or(world.head.txn))));
    }
    let mut step = Step::new(world, commit);
    for change in &commit.objects {
        step.change_object(change)?;
    }
    for change in &commit.tables {
        if !verdict.left_out.contains(&change.table) && !step.not_created.contains(&change.table) {
            step.change_table(change)?;
        }
    }
    step.finish(&verdict, now)
}

fn check_limits(commit: &Commit) -> Result<(), Error> {
    if commit.tables.len() > TABLES_PER_COMMIT_MAX {
        return Err(Error::Limit(format!(
            "commit changes {} tables, at most {TABLES_PER_COMMIT_MAX} are allowed",
            commit.tables.len()
        )));
    }
    for producer in &commit.producers {
        check_producer_name(&producer.name)?;
        let bytes = producer.state.as_ref().map_or(0, |state| state.len());
        if bytes > PRODUCER_STATE_BYTES_MAX {
            return Err(Error::Limit(format!(
                "state of producer {} has {bytes} bytes, at most {PRODUCER_STATE_BYTES_MAX} are allowed",
                producer.name
            )));
        }
    }
    let files: usize = commit.tables.iter().flat_map(|change| &change.ops).map(files_of).sum();
    if files > FILES_PER_COMMIT_MAX {
        return Err(Error::Limit(format!(
            "commit names {files} files, at most {FILES_PER_COMMIT_MAX} are allowed"
        )));
    }
    Ok(())
}

/// `Invalid` for a name that cannot be stored.
pub(crate) fn check_producer_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > PRODUCER_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "producer name has 1 to {PRODUCER_NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(())
}

/// Rows go by somebody's will, not by their age.
fn takes_rows(op: &Op) -> bool {
    match op {
        Op::DeleteRows { .. } | Op::Replace { .. } | Op::Restore { .. } => true,
        Op::Retire { kind, .. } => *kind == RetireKind::Delete,
        Op::Append { .. } | Op::Rewrite { .. } | Op::Alter(_) => false,
    }
}

fn files_of(op: &Op) -> usize {
    match op {
        Op::Append { files } => files.len(),
        Op::DeleteRows { .. } => 1,
        Op::Retire { files, .. } => files.len(),
        Op::Replace { retire, append, .. } => retire.len() + append.len(),
        Op::Restore { retire, files, .. } => retire.len() + files.len(),
        Op::Rewrite { inputs, outputs } => inputs.len() + outputs.len(),
        Op::Alter(_) => 0,
    }
}

/// The answer to a commit that was there already, as far as the catalog still shows it.
fn replay(world: &World, commit: &Commit, txn: Txn) -> Committed {
    let mut committed = Committed { replayed: true, superseded: true, ..nothing(txn) };
    for change in &commit.tables {
        if let Some(def) = world.def(change.table) {
            committed.schemas.insert(change.table, (*def.schema).clone());
        }
    }
    for change in &commit.objects {
        match change {
            ObjectChange::CreateSchema { name, .. } => {
                if let Ok((schema, _)) = world.names.schema(name) {
                    committed.created_schemas.push((name.clone(), schema.id));
                }
            }
            ObjectChange::CreateTable(new) => {
                if let Some(def) = world.def(new.id) {
                    committed.created_tables.push(new.id);
                    committed.schemas.insert(new.id, (*def.schema).clone());
                }
            }
            _ => {}
        }
    }
    committed
}

/// The answer to a commit that changes nothing.
pub(crate) fn nothing(txn: Txn) -> Committed {
    Committed {
        txn,
        replayed: false,
        superseded: false,
        deleted_rows: 0,
        schemas: BTreeMap::new(),
        discarded: Vec::new(),
        created_schemas: Vec::new(),
        created_tables: Vec::new(),
    }
}

impl<'a> Step<'a> {
    fn new(world: &World, commit: &'a Commit) -> Self {
        let txn = Txn(world.head.txn.0 + 1);
        Self {
            world: world.clone(),
            commit,
            txn,
            writes: Writes::default(),
            tallies: BTreeMap::new(),
            before: BTreeMap::new(),
            names_before: world.names.clone(),
            schemas_touched: BTreeSet::new(),
            undropped: BTreeSet::new(),
            not_created: BTreeSet::new(),
            committed: nothing(txn),
        }
    }

    fn change_table(&mut self, change: &TableChange) -> Result<(), Error> {
        if change.base > self.world.head.txn {
            return Err(Error::SnapshotFuture { asked: change.base, head: self.world.head.txn });
        }
        if change.ops.iter().any(|op| matches!(op, Op::Rewrite { .. })) {
            return self.rewrite(change);
        }
        let Some(def) = self.world.def(change.table).cloned() else {
            return self.change_missing_table(change);
        };
        if def.append_only() && change.ops.iter().any(takes_rows) {
            return Err(Error::AppendOnly(def.full_name()));
        }
        self.check_read_set(change, &def)?;
        self.check_columns(change, &def)?;
        for op in &change.ops {
            match op {
                Op::Append { files } => self.append(change, files)?,
                Op::DeleteRows { file, positions, kind, .. } => {
                    self.delete_rows(change, *file, positions, *kind)?
                }
                Op::Retire { files, kind } => self.retire_files(change, files, *kind)?,
                Op::Replace { filter, retire, append } => self.replace(change, filter, retire, append)?,
                Op::Restore { to, retire, files } => self.restore(change, *to, retire, files)?,
                Op::Alter(alter) => self.alter(change, alter)?,
                Op::Rewrite { .. } => {} // never here: see above
            }
        }
        Ok(())
    }

    /// What a transaction does to a table is counted here.
    pub(super) fn tally(&mut self, table: TableId, base: Txn, ops: i32) -> &mut Tally {
        let txn = self.txn;
        let work = self.world.table_mut(table);
        work.touched = true;
        let seq = work.state.table_seq + 1;
        let tally = self.tallies.entry(table).or_insert(Tally { table, txn, base, seq, ..Tally::default() });
        tally.ops |= ops;
        tally
    }

    /// The table's new definition; the old one is remembered once.
    pub(super) fn redefine(&mut self, table: TableId, def: Option<TableDef>) {
        let work = self.world.table_mut(table);
        let old = std::mem::replace(&mut work.def, def.map(Arc::new));
        if let Some(new) = &work.def {
            work.schemas.insert(new.schema.no, new.schema.clone());
        }
        let new = work.def.clone();
        let names = Arc::make_mut(&mut self.world.names);
        if let Some(old) = &old
            && let Some((_, tables)) = names.schemas.get_mut(&old.schema_name)
            && tables.get(&old.name).is_some_and(|listed| listed.id == table)
        {
            tables.remove(&old.name);
        }
        if let Some(new) = new
            && let Some((_, tables)) = names.schemas.get_mut(&new.schema_name)
        {
            tables.insert(new.name.clone(), new);
        }
        self.before.entry(table).or_insert(old);
    }

    fn finish(mut self, verdict: &Verdict, now: Micros) -> Result<Outcome, Error> {
        self.settle_definitions();
        self.settle_schemas();
        let ddl = !self.schemas_touched.is_empty()
            || !self.writes.tables.is_empty()
            || !self.writes.table_ends.is_empty();
        let says_more =
            !self.writes.flow.is_empty() || !self.writes.access.is_empty() || !self.writes.tenants.is_empty();
        if self.tallies.is_empty() && !ddl && verdict.fresh.is_empty() && !says_more {
            let head = self.world.head.txn;
            return Ok(Outcome::Nothing(Committed { txn: head, ..self.committed }));
        }
        let head = &mut self.world.head;
        head.txn = self.txn;
        head.committed = now.max(Micros(head.committed.0 + 1));
        if ddl {
            head.ddl_txn = self.txn;
            Arc::make_mut(&mut self.world.names).ddl_txn = self.txn;
        }
        let committed_at = head.committed;
        if (ddl || self.is_audited()) && self.commit.facts.caller.actor.is_some() {
            self.writes.audit.push(self.audited(committed_at));
        }
        self.settle_tallies();
        self.tell_flow();
        self.tell_access();
        self.tell_tenants();
        self.settle_events();
        for at in &verdict.fresh {
            let producer = &self.commit.producers[*at];
            let standing = Standing {
                epoch: producer.epoch,
                txn: self.txn,
                fence: self.world.standing(&producer.name).fence,
                state: producer.state.clone(),
            };
            self.world.producers.insert(producer.name.clone(), standing);
            self.world.touched_producers.insert(producer.name.clone());
            self.world.epochs.insert((producer.name.clone(), producer.epoch), self.txn);
            self.writes.epochs.push((producer.name.clone(), producer.epoch, self.txn));
        }
        self.world.commits.insert(self.commit.commit_id, (self.txn, self.committed.deleted_rows));
        self.writes.txns.push(TxnRow {
            txn: self.txn,
            committed: committed_at,
            commit_id: self.commit.commit_id,
            facts: self.commit.facts.clone(),
        });
        Ok(Outcome::Applied(Box::new(self.world), Box::new(self.writes), self.committed))
    }
}
