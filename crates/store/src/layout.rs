//! The paths of objects.

use object_store::path::Path;
use uuid::Uuid;

/// The root of all published metadata.
const METADATA: &str = "_cenote/meta";

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

/// Where the published metadata of a tenant's catalog is: `_cenote/meta/{tenant}/{catalog}`. No tenant's name begins with `_`.
pub fn metadata_location(tenant: &str, catalog: &str) -> String {
    format!("{METADATA}/{tenant}/{catalog}")
}

/// The hint to the newest manifest, below the metadata's location.
pub const METADATA_POINTER: &str = "current.json";

/// A manifest's path below the metadata's location; all have names of one length, so that they are listed in order.
pub fn metadata_manifest(manifest_id: i64) -> String {
    format!("m/{manifest_id:020}.json")
}

/// A published file's path below the metadata's location: its name is the first half of its SHA-256 in hex.
pub fn metadata_file(table: &str, sha256: &str) -> String {
    format!("t/{table}/{}.parquet", sha256.get(..32).unwrap_or(sha256))
}

/// The tenant whose object, or whose place, a path below the root names; `None` for what is nobody's.
pub(crate) fn tenant_of(path: &Path) -> Option<String> {
    let mut parts = path.parts();
    let first = parts.next()?;
    let mut metadata = METADATA.split('/');
    if Some(first.as_ref()) != metadata.next() {
        return Some(first.as_ref().to_owned());
    }
    let is_metadata = parts.next().is_some_and(|part| Some(part.as_ref()) == metadata.next());
    parts.next().filter(|_| is_metadata).map(|part| part.as_ref().to_owned())
}

/// Where all objects of a tenant are.
pub fn tenant_locations(tenant: &str) -> [Path; 2] {
    [Path::from(tenant), Path::from(format!("{METADATA}/{tenant}"))]
}

/// The path below the root of `relative`, as the catalog stores it, in the table at `location`.
pub fn object_path(location: &str, relative: &str) -> Path {
    Path::from(format!("{location}/{relative}"))
}
