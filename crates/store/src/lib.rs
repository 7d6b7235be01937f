//! Object storage, and the only place where paths are formed.
//!
//! ```text
//! {root}/{tenant}/tables/{table uuid}/data/{uuid}.parquet     data files, immutable
//!                                     dv/{uuid}.puffin        deletion vectors too large for the catalog
//! {root}/_cenote/meta/{tenant}/{catalog}/…                    published metadata
//! ```
//! A tenant may have a root of its own: paths stay the same, and their first part says below which root they are.
//! Invariant: what [`Store::put`] and [`Upload::finish`] have answered survives a power cut (local disk: file and
//! directory are synced).

mod error;
mod layout;
mod local;
mod location;
mod options;
mod roots;
mod s3;
mod store;
mod upload;

pub use error::Error;
pub use layout::{
    METADATA_POINTER, data_file, deletion_vector_file, metadata_file, metadata_location, metadata_manifest,
    object_path, pipeline_location, pipeline_state, pipeline_state_copy, table_location, tenant_locations,
};
pub use options::{Secret, StorageOptions};
pub use roots::RootCheck;
pub use store::{Listed, Store};
pub use upload::Upload;
