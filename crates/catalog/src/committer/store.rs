//! Writes a group, set by set.

use cenote_vocab::CatalogId;

use super::events::tell_behind;
use super::world::World;
use super::writes::Writes;
use crate::sql::{
    Failure, Transaction, asset, audit, event, file, grant, head, history, lineage, object, producer, state,
    tenant,
};

/// Writes everything of the group into its transaction, the head last.
pub(super) async fn store(
    transaction: &mut Transaction,
    catalog: CatalogId,
    world: &World,
    writes: &Writes,
) -> Result<(), Failure> {
    file::write(transaction, writes).await?;
    object::write(transaction, catalog, writes).await?;
    let touched = || world.tables.iter().filter(|(_, work)| work.touched);
    let states: Vec<_> = touched().map(|(table, work)| (*table, &work.state)).collect();
    state::write_states(transaction, catalog, &states).await?;
    let mut partitions = Vec::new();
    for (table, work) in touched() {
        let known = work.partitions.iter().filter(|(id, _)| work.touched_partitions.contains(id));
        partitions.extend(known.map(|(id, partition)| (*table, *id, partition)));
    }
    state::write_partitions(transaction, &partitions).await?;
    let producers = world.producers.iter().filter(|(name, _)| world.touched_producers.contains(*name));
    let standings: Vec<_> = producers.map(|(name, standing)| (name.as_str(), standing)).collect();
    producer::write(transaction, catalog, world.head.committed, &standings, &writes.epochs).await?;
    history::insert(transaction, catalog, &writes.txns, &writes.tallies).await?;
    lineage::insert(transaction, catalog, &writes.txns, &writes.tallies).await?;
    let mut events = writes.events.clone();
    for (txn, change) in &writes.flow {
        let told = asset::apply(transaction, catalog, change, (*txn, world.head.committed)).await?;
        tell_behind(&mut events, *txn, told);
    }
    event::insert(transaction, catalog, &events).await?;
    for (txn, change) in &writes.access {
        grant::apply(transaction, catalog, change, (*txn, world.head.committed)).await?;
    }
    for (txn, change) in &writes.tenants {
        tenant::apply(transaction, change, (*txn, world.head.committed)).await?;
    }
    let audited: Vec<_> = writes.audit.iter().map(|row| (catalog, row.clone())).collect();
    audit::insert(transaction, &audited).await?;
    head::write(transaction, catalog, &world.head).await
}
