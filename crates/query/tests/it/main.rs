//! The engine over a real catalog (SQLite in memory), a real log and a store in memory.

mod access;
mod changes;
mod damage;
mod evolution;
mod history;
mod keyed;
mod lineage;
mod planning;
mod reading;
mod server;
mod sessions;
mod transactions;
mod vacuum;
mod writing;
