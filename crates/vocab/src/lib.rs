//! The words that every crate of Cenote shares: ids, names, error kinds, time, chance, memory.
//!
//! Nothing here does I/O and nothing here knows Arrow, SQL or HTTP. Time and chance are *given*
//! ([`Clock`], [`Ids`]), never taken, so that a test can own them; memory is taken from one
//! [`MemoryPool`] per node, so that no part can grow without bound.
//!
//! ```
//! use cenote_vocab::{Clock, Micros};
//! let clock = Clock::manual(Micros(1_000_000));
//! clock.advance(std::time::Duration::from_secs(1));
//! assert_eq!(clock.now(), Micros(2_000_000));
//! ```

mod clock;
mod error;
mod field_type;
mod id;
mod ids;
mod memory;
mod name;
mod partition;
mod schema;
mod scope;

pub use clock::{Clock, Micros};
pub use error::{ErrorKind, Fault, SqlState};
pub use field_type::{FieldType, TimeUnit, UnknownType};
pub use id::{CatalogId, Epoch, Fence, FieldId, FileId, LIVE, Lsn, PartitionId, SchemaId, TableId, Txn};
pub use ids::Ids;
pub use memory::{MemoryPool, OutOfMemory, Reservation};
pub use name::{InvalidName, check_column, check_database, check_table, nearest};
pub use partition::{PartitionField, PartitionSpec, PartitionValue, Transform, Tuple};
pub use schema::{Field, SortField, SortOrder, TableSchema, WriteDefault};
pub use scope::{Permission, Permissions, Scope};
