//! One object store with a root.

use std::sync::Arc;

use bytes::Bytes;
use cenote_vocab::Micros;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::{Error, StorageOptions};

/// Object storage below one root. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
}

/// An object that a listing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Path below the root.
    pub path: Path,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Micros,
}

/// An object that is being written in parts. Dropped unfinished, nothing of it is visible.
pub struct Upload {
    _private: (),
}

impl Store {
    /// Builds the store that `options.url` names; creates a local directory if it is not there.
    pub fn open(_options: &StorageOptions) -> Result<Self, Error> {
        todo!()
    }

    /// A store that lives as long as the process.
    pub fn memory() -> Self {
        todo!()
    }

    /// The library's view of it, rooted: paths of [`crate::object_path`] are valid in it.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    /// Writes a whole object.
    pub async fn put(&self, _path: &Path, _bytes: Bytes) -> Result<(), Error> {
        todo!()
    }

    /// Begins an object that is written in parts.
    pub async fn upload(&self, _path: &Path) -> Result<Upload, Error> {
        todo!()
    }

    /// Reads a whole object. `Missing` if it is not there.
    pub async fn read(&self, _path: &Path) -> Result<Bytes, Error> {
        todo!()
    }

    /// Its size in bytes; `None` if it is not there.
    pub async fn size(&self, _path: &Path) -> Result<Option<u64>, Error> {
        todo!()
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete(&self, _path: &Path) -> Result<(), Error> {
        todo!()
    }

    /// All objects below `prefix`.
    pub fn list(&self, _prefix: &Path) -> BoxStream<'static, Result<Listed, Error>> {
        todo!()
    }
}

impl Upload {
    /// Adds bytes; parts are sent as they fill.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<(), Error> {
        todo!()
    }

    /// Makes the object visible and durable.
    pub async fn finish(self) -> Result<(), Error> {
        todo!()
    }
}
