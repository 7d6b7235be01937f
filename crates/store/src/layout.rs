//! The paths of objects.

use object_store::path::Path;
use uuid::Uuid;

/// A table's place below the root: `{tenant}/tables/{uuid}`.
pub fn table_location(tenant: &str, table: Uuid) -> String {
    format!("{tenant}/tables/{table}")
}

/// A data file's path below its table's location.
pub fn data_file(file: Uuid) -> String {
    format!("data/{file}.parquet")
}

/// A deletion-vector file's path below its table's location.
pub fn deletion_vector_file(file: Uuid) -> String {
    format!("dv/{file}.puffin")
}

/// The path below the root of `relative`, as the catalog stores it, in the table at `location`.
pub fn object_path(location: &str, relative: &str) -> Path {
    Path::from(format!("{location}/{relative}"))
}
