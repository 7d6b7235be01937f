//! Metadata as files: what `system.*` shows, for readers that have nothing but the store.
//!
//! ```text
//! lease ─ rows of one head ─► files (named by their content) ─► manifest ─► row of the catalog ─► current.json
//!                                    publish.file    publish.manifest  publish.commit     publish.pointer
//! ```
//! Invariants: a manifest is visible once the catalog has its row, and then never changes; every file that it names was stored
//! before it; a crash between any two steps leaves the manifest before it as it was, and the next pass ends what was begun.

mod collect;
mod draft;
mod manifest;

use std::time::Duration;

use bytes::Bytes;
use cenote_catalog::{CATALOG_NAME, Lease, Publication};
use cenote_store::{METADATA_POINTER, metadata_location, metadata_manifest};
use cenote_vocab::{Scope, Txn};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Error, Lake};
use draft::Draft;
use manifest::FORMAT;

pub use manifest::{Manifest, ManifestFile, ManifestTable, TableForm};

/// How long a publisher that died keeps another process waiting. A pass may take longer: the fence decides.
const LEASE_TTL: Duration = Duration::from_secs(60);
/// Objects written or looked at at a time.
pub(crate) const CONCURRENT: usize = 8;
/// A pass that finds a manifest of a crashed one ends that one first; more than one cannot be there.
const TRIES_MAX: usize = 3;

/// What came of a pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// There is a new manifest, with so many files and bytes that were not there before.
    New {
        /// Its row.
        publication: Publication,
        /// Files written.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Nothing changed since the newest one.
    Unchanged,
    /// Another process publishes.
    Busy,
}

/// The newest manifest and its row.
type Newest = Option<(Publication, Manifest)>;

impl Lake {
    /// Publishes the catalog's metadata if anything changed since the last time; with `dry_run` only says what would be written.
    pub async fn publish_metadata(&self, scope: &Scope, dry_run: bool) -> Result<Published, Error> {
        let Some(lease) = self.catalog.take_publisher(scope, LEASE_TTL).await? else {
            return Ok(Published::Busy);
        };
        let published = self.publish_under(scope, &lease, dry_run).await;
        let released = self.catalog.release_publisher(&lease).await;
        let published = published?;
        released?;
        Ok(published)
    }

    /// The manifest of a publication. It must be there as it was written: `Missing` or `Corrupt` if it is not.
    pub async fn manifest(&self, publication: &Publication) -> Result<Manifest, Error> {
        let bytes = self.store.read(&Path::from(publication.path.as_str())).await?;
        if hex_sha256(&bytes) != publication.sha256 {
            return Err(damaged(&publication.path, "its SHA-256 is not that of its publication"));
        }
        Manifest::parse(&publication.path, &bytes)
    }

    async fn publish_under(&self, scope: &Scope, lease: &Lease, dry_run: bool) -> Result<Published, Error> {
        for _ in 0..TRIES_MAX {
            let newest = self.newest(scope).await?;
            if let Some((publication, _)) = newest.as_ref().filter(|_| !dry_run) {
                self.repair_pointer(scope, publication).await?;
            }
            let draft = Draft::of(self, scope, newest.as_ref().map(|(_, manifest)| manifest)).await?;
            if newest.as_ref().is_some_and(|(_, manifest)| manifest.tables == draft.manifest.tables) {
                return Ok(Published::Unchanged);
            }
            if dry_run {
                let publication = self.publication(scope, &draft.manifest, &draft.manifest.to_bytes()?);
                return Ok(draft.published(publication));
            }
            if let Some(publication) = self.write(scope, lease, &newest, &draft).await? {
                return Ok(draft.published(publication));
            }
        }
        Err(Error::Internal("manifests of another publisher appear again and again".to_owned()))
    }

    /// Stores a draft and makes it visible. `None` if the manifest of a crashed pass stood in its place: that one is visible now.
    async fn write(
        &self,
        scope: &Scope,
        lease: &Lease,
        newest: &Newest,
        draft: &Draft,
    ) -> Result<Option<Publication>, Error> {
        let location = published_location(scope);
        let put = |(path, bytes): (String, Bytes)| async move {
            fail::fail_point!("publish.file", |_| Err(Error::Internal("fail point publish.file".to_owned())));
            Ok::<_, Error>(self.store.put(&Path::from(path), bytes).await?)
        };
        let files = draft.files.iter().map(|(path, bytes)| (format!("{location}/{path}"), bytes.clone()));
        let files: Vec<_> = files.collect();
        stream::iter(files).map(put).buffer_unordered(CONCURRENT).try_collect::<Vec<()>>().await?;
        fail::fail_point!("publish.manifest", |_| Err(Error::Internal(
            "fail point publish.manifest".to_owned()
        )));
        let bytes = draft.manifest.to_bytes()?;
        let publication = self.publication(scope, &draft.manifest, &bytes);
        let path = Path::from(publication.path.as_str());
        if !self.store.create(&path, bytes.clone()).await? {
            if let Some(left) = self.left_behind(scope, &path, newest).await? {
                self.show(scope, lease, &left).await?;
                return Ok(None);
            }
            self.store.put(&path, bytes).await?; // what stands there is no whole manifest: nobody may ever read it
        }
        self.show(scope, lease, &publication).await?;
        Ok(Some(publication))
    }

    /// Makes a stored manifest visible, then points to it.
    async fn show(&self, scope: &Scope, lease: &Lease, publication: &Publication) -> Result<(), Error> {
        fail::fail_point!("publish.commit", |_| Err(Error::Internal("fail point publish.commit".to_owned())));
        self.catalog.publish(scope, publication, lease).await?;
        fail::fail_point!("publish.pointer", |_| Err(Error::Internal(
            "fail point publish.pointer".to_owned()
        )));
        self.point_to(scope, publication).await
    }

    /// The newest manifest. One that cannot be read any more counts as none, but for its number: all is written anew.
    async fn newest(&self, scope: &Scope) -> Result<Newest, Error> {
        let Some(publication) = self.catalog.newest_publication(scope).await? else { return Ok(None) };
        match self.manifest(&publication).await {
            Ok(manifest) => Ok(Some((publication, manifest))),
            Err(
                error @ (Error::Store(cenote_store::Error::Missing { .. })
                | Error::DataFile(cenote_datafile::Error::Corrupt { .. })),
            ) => {
                tracing::error!(%error, "a published manifest is lost; all metadata is published anew");
                let manifest = Manifest::lost(publication.manifest_id);
                Ok(Some((publication, manifest)))
            }
            Err(error) => Err(error),
        }
    }

    /// The manifest that a crashed pass left at `path`, if all of it is there.
    async fn left_behind(
        &self,
        scope: &Scope,
        path: &Path,
        newest: &Newest,
    ) -> Result<Option<Publication>, Error> {
        let bytes = self.store.read(path).await?;
        let Ok(manifest) = Manifest::parse(path.as_ref(), &bytes) else { return Ok(None) };
        let publication = self.publication(scope, &manifest, &bytes);
        let before = newest.as_ref().map(|(publication, _)| publication.manifest_id);
        let shown = newest.as_ref().map_or(Txn(0), |(publication, _)| publication.txn);
        let follows = manifest.previous == before && Txn(manifest.txn) >= shown;
        if !follows || Path::from(publication.path.as_str()) != *path {
            return Ok(None);
        }
        let location = published_location(scope);
        let there = |file: &ManifestFile| {
            let (path, bytes) = (Path::from(format!("{location}/{}", file.path)), file.bytes);
            async move { Ok::<_, Error>(self.store.size(&path).await? == Some(bytes)) }
        };
        let files: Vec<_> = manifest.files().map(there).collect();
        let there: Vec<bool> = stream::iter(files).buffer_unordered(CONCURRENT).try_collect().await?;
        Ok(there.into_iter().all(|there| there).then_some(publication))
    }

    fn publication(&self, scope: &Scope, manifest: &Manifest, bytes: &[u8]) -> Publication {
        Publication {
            manifest_id: manifest.manifest_id,
            txn: Txn(manifest.txn),
            path: format!("{}/{}", published_location(scope), metadata_manifest(manifest.manifest_id)),
            sha256: hex_sha256(bytes),
            files: manifest.files().count() as u64,
            bytes: manifest.files().map(|file| file.bytes).sum(),
            published: self.clock.now(),
        }
    }

    async fn repair_pointer(&self, scope: &Scope, publication: &Publication) -> Result<(), Error> {
        let path = Path::from(format!("{}/{METADATA_POINTER}", published_location(scope)));
        let points_to = match self.store.read(&path).await {
            Ok(bytes) => serde_json::from_slice::<serde_json::Value>(&bytes).ok(),
            Err(cenote_store::Error::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if points_to.is_some_and(|pointer| pointer["manifest_id"] == publication.manifest_id) {
            return Ok(());
        }
        self.point_to(scope, publication).await
    }

    async fn point_to(&self, scope: &Scope, publication: &Publication) -> Result<(), Error> {
        let pointer = json!({
            "format": FORMAT,
            "manifest": metadata_manifest(publication.manifest_id),
            "manifest_id": publication.manifest_id,
            "txn": publication.txn.0,
            "published_at": publication.published.rfc3339(),
        });
        let path = Path::from(format!("{}/{METADATA_POINTER}", published_location(scope)));
        Ok(self.store.put(&path, pointer.to_string().into()).await?)
    }
}

/// Where the published metadata of the tenant's catalog is, below the storage root.
pub fn published_location(scope: &Scope) -> String {
    metadata_location(scope.tenant(), CATALOG_NAME)
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn damaged(object: &str, reason: &str) -> Error {
    Error::DataFile(cenote_datafile::Error::Corrupt { object: object.to_owned(), reason: reason.to_owned() })
}
