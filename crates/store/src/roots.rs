//! Tenants whose objects are below a root of their own: the first part of a path says whose it is.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::RwLock;

use crate::StorageOptions;
use crate::layout::tenant_of;
use crate::local::LocalRoot;

/// One root.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// On local disk only: the store's promises end at the page cache, ours do not.
    pub(crate) local: Option<Arc<LocalRoot>>,
}

/// Says whether a directory, or a URL of another store, may be a tenant's root, and if not, why.
pub type RootCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// How roots of tenants are opened, and those that are.
#[derive(Default)]
pub(crate) struct Roots {
    /// Everything but the URL.
    pub(crate) options: StorageOptions,
    /// `None`: no URL may be one.
    pub(crate) check: Option<RootCheck>,
    pub(crate) mounted: RwLock<HashMap<String, Place>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("mounted", &self.mounted.read().keys()).finish_non_exhaustive()
    }
}

impl Roots {
    /// The root of the tenant that a path is of; `None` if it has none of its own.
    pub(crate) fn of(&self, path: &Path) -> Option<Place> {
        let mounted = self.mounted.read();
        if mounted.is_empty() {
            return None;
        }
        mounted.get(tenant_of(path)?.as_str()).cloned()
    }
}

/// The library's view of all roots as one.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) own: Arc<dyn ObjectStore>,
    pub(crate) roots: Arc<Roots>,
}

impl Routed {
    fn of(&self, path: &Path) -> Arc<dyn ObjectStore> {
        self.roots.of(path).map_or_else(|| self.own.clone(), |place| place.objects)
    }

    fn of_prefix(&self, prefix: Option<&Path>) -> Arc<dyn ObjectStore> {
        prefix.map_or_else(|| self.own.clone(), |prefix| self.of(prefix))
    }

    /// The store of both paths.
    fn of_both(&self, from: &Path, to: &Path) -> Result<Arc<dyn ObjectStore>> {
        let (source, target) = (self.of(from), self.of(to));
        if Arc::ptr_eq(&source, &target) {
            return Ok(source);
        }
        Err(object_store::Error::NotSupported {
            source: format!("{from} and {to} are below different roots").into(),
        })
    }
}

impl fmt::Display for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.own, f)
    }
}

#[async_trait]
impl ObjectStore for Routed {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.of(location).put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.of(location).put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.of(location).get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.of(location).get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let routed = self.clone();
        let delete = move |path: Path| {
            let store = routed.of(&path);
            async move { store.delete(&path).await.map(|()| path) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.of_prefix(prefix).list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.of_prefix(prefix).list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.of_prefix(prefix).list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.of_both(from, to)?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.of_both(from, to)?.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Store};

    #[tokio::test]
    async fn objects_of_a_tenant_are_below_its_root_and_those_of_others_are_not() {
        let (own, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let url = |directory: &tempfile::TempDir| directory.path().display().to_string();
        let options = StorageOptions { url: url(&own), ..StorageOptions::default() };
        let allowed = url(&root);
        let check: RootCheck =
            Arc::new(move |url: &str| if url == allowed { Ok(()) } else { Err("not that one".to_owned()) });
        let store = Store::open(&options).unwrap().with_roots(check);
        for (wrong, said) in
            [("/", "not that one"), ("memory", "memory"), ("data", "absolute"), ("gs://a", "neither")]
        {
            let error = store.check_root(wrong).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        store.check_root(&url(&root)).unwrap();
        store.mount("acme", &url(&root)).unwrap();
        let paths = ["acme/tables/a", "_cenote/meta/acme/lake/m/1", "acme2/tables/a", "_cenote/meta/other/m"];
        for path in paths {
            store.put(&Path::from(path), "rows".into()).await.unwrap();
            let at = |directory: &tempfile::TempDir| directory.path().join(path).exists();
            let is_own = path.contains("acme/");
            assert_eq!((at(&root), at(&own)), (is_own, !is_own), "{path}");
            assert_eq!(store.read(&Path::from(path)).await.unwrap(), "rows", "{path}");
        }
        let mut listed = store.list(&Path::from("acme"));
        assert_eq!(listed.try_next().await.unwrap().unwrap().path, Path::from("acme/tables/a"));
        store.rename(&Path::from("acme/tables/a"), &Path::from("acme/tables/b")).await.unwrap();
        assert!(store.rename(&Path::from("acme/tables/b"), &Path::from("acme2/b")).await.is_err());
        store.delete(&Path::from("acme/tables/b")).await.unwrap();
        assert!(!root.path().join("acme/tables/b").exists());
        store.unmount("acme");
        let gone = store.read(&Path::from("_cenote/meta/acme/lake/m/1")).await;
        assert!(matches!(gone, Err(Error::Missing { .. })), "{gone:?}");
    }

    #[tokio::test]
    async fn without_a_word_of_the_configuration_no_url_is_a_root() {
        let error = Store::memory().check_root("s3://bucket/a").unwrap_err();
        assert!(error.to_string().contains("security.allowed"), "{error}");
    }
}
