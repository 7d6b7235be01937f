//! What a group of commits must know, asked for set by set under the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cenote_datafile::FileStatistics;
use cenote_vocab::{CatalogId, Epoch, FileId, TableId, Txn};

use super::new_file::hash_128;
use super::world::{Arrived, HeadRow, TableWork, World};
use crate::ledger;
use crate::sql::{Failure, Transaction, file, history, hold, object, producer, state};
use crate::tuple::tuple_text;
use crate::widening::Findings;
use crate::{Alter, Commit, DataFile, Error, Names, NewFile, ObjectChange, Op, ReadSet, TableChange};

/// Tables and producers that are remembered from group to group, at most.
const REMEMBERED_MAX: usize = 10_000;

/// What the committer remembers between groups. True only as long as nobody else wrote: the head row tells.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    head: Option<HeadRow>,
    names: Option<Arc<Names>>,
    tables: HashMap<TableId, Arc<TableWork>>,
    producers: HashMap<String, ledger::Standing>,
}

impl Remembered {
    /// Keeps what is true after a group.
    pub(super) fn keep(&mut self, world: World) {
        self.head = Some(world.head);
        self.names = Some(world.names);
        if self.tables.len() + world.tables.len() > REMEMBERED_MAX {
            self.tables.clear();
        }
        if self.producers.len() + world.producers.len() > REMEMBERED_MAX {
            self.producers.clear();
        }
        for (id, mut work) in world.tables {
            if work.def.is_none() {
                self.tables.remove(&id);
                continue;
            }
            Arc::make_mut(&mut work).end_group();
            self.tables.insert(id, work);
        }
        self.producers.extend(world.producers);
    }

    /// Forgets everything: the next group reads anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn check(&mut self, head: &HeadRow) {
        if self.head.is_none_or(|known| (known.txn, known.committed) != (head.txn, head.committed)) {
            let names = self.names.take().filter(|names| names.ddl_txn == head.ddl_txn);
            *self = Self { names, ..Self::default() };
        }
    }
}

/// Asks for everything that `commits` and claims of `claims` depend on.
pub(super) async fn load(
    transaction: &mut Transaction,
    catalog: CatalogId,
    head: HeadRow,
    remembered: &mut Remembered,
    commits: &[&Commit],
    claims: &[&str],
) -> Result<World, Failure> {
    remembered.check(&head);
    let names = match remembered.names.clone() {
        Some(names) => names,
        None => Arc::new(object::names(transaction, catalog, head.txn, head.ddl_txn).await?),
    };
    let mut world = World {
        head,
        names,
        tables: HashMap::new(),
        producers: HashMap::new(),
        touched_producers: BTreeSet::new(),
        epochs: HashMap::new(),
        dropped: HashMap::new(),
        commits: HashMap::new(),
    };
    let ids: Vec<_> = commits.iter().map(|commit| commit.commit_id).collect();
    if !ids.is_empty() {
        world.commits = history::known_commits(transaction, catalog, &ids).await?;
    }
    load_producers(transaction, catalog, &mut world, remembered, commits, claims).await?;
    load_tables(transaction, catalog, &mut world, remembered, commits).await?;
    load_partitions(transaction, &mut world, commits).await?;
    load_files(transaction, &mut world, commits).await?;
    load_read_sets(transaction, &mut world, commits).await?;
    load_schemas(transaction, &mut world, commits).await?;
    load_dropped(transaction, catalog, &mut world, commits).await?;
    load_tagged(transaction, catalog, &mut world, commits).await?;
    load_layouts(transaction, &mut world, commits).await?;
    Ok(world)
}

async fn load_producers(
    transaction: &mut Transaction,
    catalog: CatalogId,
    world: &mut World,
    remembered: &Remembered,
    commits: &[&Commit],
    claims: &[&str],
) -> Result<(), Failure> {
    let producers = || commits.iter().flat_map(|commit| &commit.producers);
    let mut wanted: BTreeSet<&str> = claims.iter().copied().collect();
    for producer in producers() {
        wanted.insert(&producer.name);
        wanted.extend(ledger::parent(&producer.name));
    }
    let mut missing = Vec::new();
    for name in wanted {
        match remembered.producers.get(name) {
            Some(standing) => drop(world.producers.insert(name.to_owned(), standing.clone())),
            None => missing.push(name.to_owned()),
        }
    }
    world.producers.extend(producer::standings(transaction, catalog, &missing).await?);
    for name in missing {
        world.producers.entry(name).or_default();
    }
    let old: Vec<(String, Epoch)> = producers()
        .filter(|producer| producer.epoch <= world.standing(&producer.name).epoch)
        .map(|producer| (producer.name.clone(), producer.epoch))
        .collect();
    world.epochs = producer::epochs(transaction, catalog, &old).await?;
    Ok(())
}

/// Tables that the commits change, create, rename or drop, as the names are at the head.
fn tables_of(names: &Names, commits: &[&Commit]) -> BTreeSet<TableId> {
    let mut tables = BTreeSet::new();
    for commit in commits {
        tables.extend(commit.tables.iter().map(|change| change.table));
        for change in &commit.objects {
            match change {
                ObjectChange::CreateTable(new) => {
                    tables.insert(new.id);
                    tables.extend(names.table(&new.schema, &new.name).ok().map(|def| def.id));
                }
                ObjectChange::DropTable { schema, name, .. } => {
                    tables.extend(names.table(schema, name).ok().map(|def| def.id));
                }
                ObjectChange::DropSchema { name, .. } => {
                    let listed = names.schema(name).ok().map(|(_, tables)| tables.values().map(|def| def.id));
                    tables.extend(listed.into_iter().flatten());
                }
                ObjectChange::RenameTable { table, .. } => drop(tables.insert(*table)),
                ObjectChange::Flow(_) | ObjectChange::Access(_) | ObjectChange::Tenant(_) => {}
                // What is dropped has no name: see `load_dropped`.
                ObjectChange::CreateSchema { .. }
                | ObjectChange::SetSchemaOptions { .. }
                | ObjectChange::UndropTable { .. }
                | ObjectChange::Expect(_) => {}
            }
        }
    }
    tables
}

async fn load_tables(
    transaction: &mut Transaction,
    catalog: CatalogId,
    world: &mut World,
    remembered: &Remembered,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let mut missing = Vec::new();
    // An id of another catalog is as good as none: the commit will not find the table.
    for table in tables_of(&world.names, commits).into_iter().filter(|table| table.catalog() == catalog) {
        match remembered.tables.get(&table) {
            Some(work) => drop(world.tables.insert(table, work.clone())),
            None => missing.push(table),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let states = state::states(transaction, &missing).await?;
    let missing: BTreeSet<TableId> = missing.into_iter().collect();
    let defs: HashMap<TableId, _> = world
        .names
        .tables()
        .filter(|def| missing.contains(&def.id))
        .map(|def| (def.id, def.clone()))
        .collect();
    for (table, state) in states {
        let work = world.table_mut(table);
        work.state = state;
        work.def = defs.get(&table).cloned();
        if let Some(def) = &work.def {
            work.schemas.insert(def.schema.no, def.schema.clone());
        }
    }
    Ok(())
}

/// Files that come, new ones and those of earlier versions.
fn new_files<'a>(commits: &'a [&'a Commit]) -> impl Iterator<Item = (TableId, &'a NewFile)> {
    commits.iter().flat_map(|commit| &commit.tables).flat_map(|change| {
        change.ops.iter().flat_map(move |op| {
            let (new, back): (&[NewFile], &[Arc<DataFile>]) = match op {
                Op::Append { files } | Op::Replace { append: files, .. } => (files, &[]),
                Op::Rewrite { outputs, .. } => (outputs, &[]),
                Op::Restore { files, .. } => (&[], files),
                Op::DeleteRows { .. } | Op::Retire { .. } | Op::Alter(_) => (&[], &[]),
            };
            let back = back.iter().map(|file| file.file.as_ref());
            new.iter().chain(back).map(move |file| (change.table, file))
        })
    })
}

async fn load_partitions(
    transaction: &mut Transaction,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let mut missing = BTreeSet::new();
    for (table, file) in new_files(commits) {
        let hash = hash_128(tuple_text(&file.partition).as_bytes());
        let known = world.table(table).is_none_or(|work| work.tuples.contains_key(&(file.spec_no, hash)));
        if !known {
            missing.insert((table, file.spec_no, hash));
        }
    }
    let missing: Vec<_> = missing.into_iter().collect();
    for (table, id, partition) in state::partitions(transaction, &missing).await? {
        let work = world.table_mut(table);
        work.tuples.insert((partition.spec_no, partition.tuple_hash), id);
        work.partitions.insert(id, partition);
    }
    Ok(())
}

async fn load_files(
    transaction: &mut Transaction,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    // With the oldest base of those who name it.
    let mut named: BTreeMap<(TableId, FileId), Txn> = BTreeMap::new();
    for change in commits.iter().flat_map(|commit| &commit.tables) {
        if world.table(change.table).is_none() {
            continue;
        }
        for file in files_named(change) {
            let base = named.entry((change.table, file)).or_insert(change.base);
            *base = (*base).min(change.base);
        }
    }
    let keys: Vec<_> = named.keys().copied().collect();
    let mut changed = Vec::new();
    for found in file::known(transaction, &keys).await? {
        let work = world.table_mut(found.table);
        let (id, partition) = (found.file.partition, found.partition);
        work.tuples.insert((partition.spec_no, partition.tuple_hash), id);
        work.partitions.entry(id).or_insert(partition);
        let base = named.get(&(found.table, found.id)).copied().unwrap_or_default();
        let vector = found.file.vector.as_ref();
        if found.file.ended.is_some() || vector.is_some_and(|visible| visible.begin_txn > base) {
            changed.push((found.table, found.id, base));
        }
        work.files.insert(found.id, found.file);
    }
    for (table, file, version) in file::versions(transaction, &changed).await? {
        if let Some(known) = world.table_mut(table).files.get_mut(&file) {
            known.versions.push(version);
        }
    }
    Ok(())
}

/// Files that a change names, more than once perhaps.
fn files_named(change: &TableChange) -> Vec<FileId> {
    let mut files = Vec::new();
    for op in &change.ops {
        match op {
            Op::DeleteRows { file, .. } => files.push(*file),
            Op::Retire { files: gone, .. }
            | Op::Replace { retire: gone, .. }
            | Op::Restore { retire: gone, .. } => files.extend(gone),
            Op::Rewrite { inputs, .. } => files.extend(inputs.iter().map(|input| input.file)),
            Op::Append { .. } | Op::Alter(_) => {}
        }
    }
    if let ReadSet::Files(read) = &change.read {
        files.extend(read);
    }
    files
}

/// What happened since to tables that a change read, or of which it replaces a region.
async fn load_read_sets(
    transaction: &mut Transaction,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let (mut whole, mut regions) = (BTreeSet::new(), BTreeMap::new());
    for change in commits.iter().flat_map(|commit| &commit.tables) {
        if world.table(change.table).is_none() {
            continue;
        }
        if change.read == ReadSet::All {
            whole.insert(change.table);
        }
        let replaces = change.ops.iter().any(|op| matches!(op, Op::Replace { .. }));
        if replaces || matches!(change.read, ReadSet::Rows(_)) {
            let base = regions.entry(change.table).or_insert(change.base);
            *base = (*base).min(change.base);
        }
    }
    let whole: Vec<_> = whole.into_iter().collect();
    for (table, txn) in history::last_data_txns(transaction, &whole).await? {
        world.table_mut(table).last_data_txn = Some(txn);
    }
    let regions: Vec<_> = regions.into_iter().collect();
    load_arrivals(transaction, world, &regions).await
}

async fn load_arrivals(
    transaction: &mut Transaction,
    world: &mut World,
    regions: &[(TableId, Txn)],
) -> Result<(), Failure> {
    for found in file::arrivals(transaction, regions).await? {
        let known = |world: &World| {
            world.table(found.table).and_then(|work| work.schemas.get(&found.schema_no).cloned())
        };
        if known(world).is_none() {
            let schemas = object::table_schemas(transaction, found.table).await?;
            world.table_mut(found.table).schemas.extend(schemas);
        }
        let Some(schema) = known(world) else {
            return Err(Error::Corrupt(format!(
                "file {} of table {} has unknown schema {}",
                found.file, found.table, found.schema_no
            ))
            .into());
        };
        let statistics = match &found.statistics {
            Some(blob) => FileStatistics::decode(blob, &schema).map_err(Error::from)?,
            None => FileStatistics::default(),
        };
        let arrived =
            Arrived { file: found.file, begin: found.begin, partition: found.partition, statistics, schema };
        world.table_mut(found.table).arrivals.push(Arc::new(arrived));
    }
    Ok(())
}

/// The last dropped tables of the names that are to come back.
async fn load_dropped(
    transaction: &mut Transaction,
    catalog: CatalogId,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    for change in commits.iter().flat_map(|commit| &commit.objects) {
        let ObjectChange::UndropTable { schema, name } = change else { continue };
        let Some((table, end)) = object::last_dropped(transaction, catalog, schema, name).await? else {
            continue;
        };
        let before = object::names(transaction, catalog, Txn(end.0 - 1), Txn(end.0 - 1)).await?;
        let state = state::states(transaction, &[table]).await?.remove(&table);
        if let (Some(def), Some(state)) = (before.table_by_id(table), state) {
            world.dropped.insert((schema.clone(), name.clone()), def.clone());
            world.table_mut(table).state = state;
        }
    }
    Ok(())
}

/// Versions that tags keep, for tables that are to be restored.
async fn load_tagged(
    transaction: &mut Transaction,
    catalog: CatalogId,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let changes = commits.iter().flat_map(|commit| &commit.tables);
    let restored: BTreeSet<TableId> = changes
        .filter(|change| change.ops.iter().any(|op| matches!(op, Op::Restore { .. })))
        .map(|change| change.table)
        .filter(|table| world.table(*table).is_some())
        .collect();
    if restored.is_empty() {
        return Ok(());
    }
    let holds = hold::all(transaction, catalog, world.head.committed).await?;
    for table in restored {
        let tags = holds.iter().filter(|hold| hold.name.is_some() && hold.concerns(table));
        world.table_mut(table).tagged = tags.map(|tag| tag.txn).collect();
    }
    Ok(())
}

/// Older schemas that files were written with, and statistics where they decide about a change of columns.
async fn load_schemas(
    transaction: &mut Transaction,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let mut older: BTreeMap<TableId, bool> = BTreeMap::new();
    for (table, file) in new_files(commits) {
        if world
            .table(table)
            .is_some_and(|work| work.def.is_some() && !work.schemas.contains_key(&file.schema_no))
        {
            older.entry(table).or_insert(false);
        }
    }
    for (table, _) in alters(commits).filter(|(_, alter)| alter.needs_findings()) {
        if world.table(table).is_some() {
            older.insert(table, true);
        }
    }
    for (table, statistics) in older {
        let schemas = object::table_schemas(transaction, table).await?;
        let mut findings = None;
        if statistics {
            let mut known = Findings::default();
            for (begin, schema, statistics) in file::live_statistics(transaction, table, &schemas).await? {
                known.add(begin, schema, Arc::new(statistics));
            }
            findings = Some(known);
        }
        let work = world.table_mut(table);
        work.schemas.extend(schemas);
        work.findings = findings;
    }
    Ok(())
}

/// Partition specs and sort orders before the present ones, where they are changed or a file is of one.
async fn load_layouts(
    transaction: &mut Transaction,
    world: &mut World,
    commits: &[&Commit],
) -> Result<(), Failure> {
    let earlier = |table: &TableId, file: &NewFile| {
        world.def(*table).is_some_and(|def| {
            (file.spec_no != 0 && file.spec_no != def.spec.no) || file.sort_no > def.sort.no
        })
    };
    let of_files = new_files(commits).filter(|(table, file)| earlier(table, file)).map(|(table, _)| table);
    let changed = alters(commits).filter(|(_, alter)| alter.needs_layouts()).map(|(table, _)| table);
    let mut tables: BTreeSet<TableId> = of_files.chain(changed).collect();
    tables.retain(|table| world.table(*table).is_some());
    for table in tables {
        let layouts = object::layouts(transaction, table).await?;
        world.table_mut(table).layouts = Some(layouts);
    }
    Ok(())
}

fn alters<'a>(commits: &'a [&'a Commit]) -> impl Iterator<Item = (TableId, &'a Alter)> {
    commits.iter().flat_map(|commit| &commit.tables).flat_map(|change| {
        change.ops.iter().filter_map(|op| match op {
            Op::Alter(alter) => Some((change.table, alter)),
            _ => None,
        })
    })
}
