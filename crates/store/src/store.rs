//! One object store with a root.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cenote_vocab::Micros;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::local::LocalRoot;
use crate::location::Location;
use crate::roots::{Place, Roots, Routed};
use crate::{Error, RootCheck, StorageOptions, Upload};

/// Object storage below one root, and below those of tenants that have their own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// All roots as one.
    objects: Arc<dyn ObjectStore>,
    /// That of tenants which have none of their own.
    own: Place,
    roots: Arc<Roots>,
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

impl Store {
    /// Builds the store that `options.url` names; creates a local directory if it is not there.
    pub fn open(options: &StorageOptions) -> Result<Self, Error> {
        Ok(Self::at(open(options)?, Roots { options: options.clone(), ..Roots::default() }))
    }

    /// A store that lives as long as the process.
    pub fn memory() -> Self {
        Self::at(memory(), Roots::default())
    }

    fn at(own: Place, roots: Roots) -> Self {
        let roots = Arc::new(roots);
        let objects = Arc::new(Routed { own: own.objects.clone(), roots: roots.clone() });
        Self { objects, own, roots }
    }

    /// The same store, where tenants may have those roots of which `check` says so.
    #[must_use]
    pub fn with_roots(self, check: RootCheck) -> Self {
        let options = self.roots.options.clone();
        Self::at(self.own, Roots { options, check: Some(check), ..Roots::default() })
    }

    /// Fails if a URL is none, or may not be a tenant's root. Touches nothing.
    pub fn check_root(&self, url: &str) -> Result<(), Error> {
        let wrong = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
        let place = match Location::parse(url)? {
            Location::Memory => {
                return Err(wrong("a tenant's root outlives the process, which memory does not"));
            }
            Location::Directory(directory) if !directory.is_absolute() => {
                return Err(wrong("the directory of a tenant's root needs an absolute path"));
            }
            Location::Directory(directory) => directory.display().to_string(), // as it is read
            Location::S3 { .. } => url.to_owned(),
        };
        let unnamed = "is outside of what security.allowed_paths and security.allowed_urls name";
        let checked = match &self.roots.check {
            Some(check) => check(&place),
            None => Err(format!("{place} {unnamed}")),
        };
        checked.map_err(Error::Root)
    }

    /// From now on the tenant's objects are below this root. Creates a local directory if it is not there.
    pub fn mount(&self, tenant: &str, url: &str) -> Result<(), Error> {
        let place = open(&StorageOptions { url: url.to_owned(), ..self.roots.options.clone() })?;
        self.roots.mounted.write().insert(tenant.to_owned(), place);
        Ok(())
    }

    /// The tenant has no root of its own any more.
    pub fn unmount(&self, tenant: &str) {
        self.roots.mounted.write().remove(tenant);
    }

    /// The local disk that a path is on.
    fn local(&self, path: &Path) -> Option<Arc<LocalRoot>> {
        self.roots.of(path).map_or_else(|| self.own.local.clone(), |place| place.local)
    }

    /// The library's view of it, rooted: paths of [`crate::object_path`] are valid in it.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    /// Writes a whole object.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        self.put_payload(path, bytes.into()).await
    }

    /// Writes a whole object where none is; false if one stands there already, which stays. A store that cannot tell replaces it.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<bool, Error> {
        match self.objects.put_opts(path, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
            Err(object_store::Error::NotImplemented { .. }) => {
                self.put(path, bytes).await?;
                return Ok(true);
            }
            Err(source) => return Err(Error::from_store(path, source)),
        }
        self.make_durable(path).await?;
        Ok(true)
    }

    /// Begins an object that is written in parts.
    pub async fn upload(&self, path: &Path) -> Result<Upload, Error> {
        Ok(Upload::new(self.clone(), path.clone()))
    }

    /// Reads a whole object. `Missing` if it is not there.
    pub async fn read(&self, path: &Path) -> Result<Bytes, Error> {
        let failed = |source| Error::from_store(path, source);
        self.objects.get(path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    /// Reads some bytes of an object as they come. `Missing` if it is not there.
    pub async fn stream(
        &self,
        path: &Path,
        bytes: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(bytes)), ..GetOptions::default() };
        let found = self.objects.get_opts(path, options).await;
        let path = path.clone();
        let found = found.map_err(|source| Error::from_store(&path, source))?;
        Ok(found
            .into_stream()
            .map(move |part| part.map_err(|source| Error::from_store(&path, source)))
            .boxed())
    }

    /// Its size in bytes; `None` if it is not there.
    pub async fn size(&self, path: &Path) -> Result<Option<u64>, Error> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(Error::from_store(path, source)),
        }
    }

    /// Gives an object another path; one that stands there is replaced.
    pub async fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.objects.rename(from, to).await.map_err(|source| Error::from_store(from, source))?;
        self.make_durable(to).await
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::from_store(path, source)),
        }
    }

    /// All objects below `prefix`; uploads that are not finished are not among them.
    pub fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed, Error>> {
        let prefix = prefix.clone();
        let listed = self.objects.list(Some(&prefix)).map(move |object| match object {
            Ok(meta) => Ok(Listed {
                path: meta.location,
                bytes: meta.size,
                modified: Micros(meta.last_modified.timestamp_micros()),
            }),
            Err(source) => Err(Error::from_store(&prefix, source)),
        });
        listed.boxed()
    }

    /// Deletes what uploads below `prefix` left on a local disk when their process died, if it was last written at `before` or earlier;
    /// answers it by path and bytes. In a dry run nothing is deleted. These are no objects: [`Store::list`] does not show them, and
    /// nothing can name them. S3 keeps parts of unfinished uploads apart, where the library cannot list them: there it answers nothing, and
    /// a lifecycle rule of the bucket must give them up.
    pub async fn clear_cut_off(
        &self,
        prefix: &Path,
        before: Micros,
        dry_run: bool,
    ) -> Result<Vec<(String, u64)>, Error> {
        match self.local(prefix) {
            Some(local) => local.clear_cut_off(prefix, before, dry_run).await,
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn put_payload(&self, path: &Path, payload: PutPayload) -> Result<(), Error> {
        self.objects.put(path, payload).await.map_err(|source| Error::from_store(path, source))?;
        self.make_durable(path).await
    }

    /// Returns when the finished object survives a power cut.
    pub(crate) async fn make_durable(&self, path: &Path) -> Result<(), Error> {
        match self.local(path) {
            Some(root) => root.sync(path).await,
            None => Ok(()),
        }
    }
}

/// The one root that `options.url` names.
fn open(options: &StorageOptions) -> Result<Place, Error> {
    match Location::parse(&options.url)? {
        Location::Memory => Ok(memory()),
        Location::Directory(directory) => {
            let (root, objects) = LocalRoot::open(&directory)
                .map_err(|reason| Error::Url { url: options.url.clone(), reason })?;
            Ok(Place { objects: Arc::new(objects), local: Some(Arc::new(root)) })
        }
        Location::S3 { bucket, prefix } => {
            Ok(Place { objects: crate::s3::open(options, &bucket, &prefix)?, local: None })
        }
    }
}

fn memory() -> Place {
    Place { objects: Arc::new(InMemory::new()), local: None }
}
