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

/// Where a pipeline keeps what does not fit into the catalog: `{tenant}/pipelines/{uuid}`.
pub fn pipeline_location(tenant: &str, pipeline: Uuid) -> Path {
    Path::from(format!("{tenant}/pipelines/{pipeline}"))
}

/// The state of a pipeline, under a name of its own.
pub fn pipeline_state(tenant: &str, pipeline: Uuid, object: Uuid) -> Path {
    Path::from(format!("{tenant}/pipelines/{pipeline}/{object}.state"))
}

/// The copy of such a state.
pub fn pipeline_state_copy(tenant: &str, pipeline: Uuid, object: Uuid) -> Path {
    Path::from(format!("{tenant}/pipelines/{pipeline}/{object}.copy"))
}

/// The path below the root of `relative`, as the catalog stores it, in the table at `location`.
pub fn object_path(location: &str, relative: &str) -> Path {
    Path::from(format!("{location}/{relative}"))
}
