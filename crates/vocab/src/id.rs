//! Newtypes for the numbers that the catalog gives out.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A managed catalog; below 2^20, belongs to exactly one tenant.
    CatalogId(i64)
);
number!(
    /// A schema of a catalog: `catalog_id · 2^32 + n`.
    SchemaId(i64)
);
number!(
    /// A table or view: `catalog_id · 2^32 + n`; the low 32 bits are its Postgres OID.
    TableId(i64)
);
number!(
    /// A data file of a table; dense per catalog.
    FileId(i64)
);
number!(
    /// A partition tuple of a table; 0 is the empty tuple.
    PartitionId(i64)
);
number!(
    /// A column for its whole life, whatever its name; never reused in a table. From 1.
    FieldId(i32)
);
number!(
    /// A transaction: the dense, increasing number of a commit in one catalog. 0 is before the first.
    Txn(i64)
);
number!(
    /// A place in the write-ahead log: one request; dense from 1.
    Lsn(u64)
);
number!(
    /// How far a producer has come; a commit whose epoch is not above the stored one is a no-op.
    Epoch(i64)
);
number!(
    /// The number that outdates an earlier holder of a lease or producer name.
    Fence(i64)
);

/// `end_txn` of what is still valid.
pub const LIVE: Txn = Txn(i64::MAX);

impl TableId {
    /// The catalog that the id was given out by.
    pub fn catalog(self) -> CatalogId {
        CatalogId(self.0 >> 32)
    }

    /// The Postgres object id: the low 32 bits.
    pub fn oid(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

impl SchemaId {
    /// The Postgres object id: the low 32 bits.
    pub fn oid(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}
