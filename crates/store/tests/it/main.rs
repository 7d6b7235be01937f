//! What every store keeps: on local disk, in memory, and behind the protocol of S3.
#![expect(clippy::unwrap_used, reason = "functions of tests are tests")]

#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_server;

use bytes::Bytes;
use cenote_store::{Error, StorageOptions, Store, data_file, object_path, table_location};
use futures::TryStreamExt;
use object_store::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

/// More than one part.
const LARGE_BYTES: usize = 20 << 20;

fn open(url: impl Into<String>) -> Store {
    Store::open(&StorageOptions { url: url.into(), ..Default::default() }).unwrap()
}

fn local() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().join("objects").to_str().unwrap());
    (directory, store)
}

fn some_path() -> Path {
    object_path(&table_location("acme", Uuid::from_u128(7)), &data_file(Uuid::from_u128(9)))
}

fn large() -> Bytes {
    (0..LARGE_BYTES).map(|at| (at / 4099) as u8).collect()
}

/// Writes `bytes` in uneven pieces.
async fn upload(store: &Store, path: &Path, mut bytes: Bytes) {
    let mut upload = store.upload(path).await.unwrap();
    for size in [1, 3 << 20, 6 << 20].into_iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        upload.write(bytes.split_to(size.min(bytes.len()))).await.unwrap();
    }
    upload.finish().await.unwrap();
}

async fn keeps_its_promises(store: Store) {
    let path = some_path();
    assert!(
        matches!(store.read(&path).await, Err(Error::Missing { path: missing }) if missing == path.as_ref())
    );
    assert_eq!(store.size(&path).await.unwrap(), None);
    store.delete(&path).await.expect("deleting nothing is fine");

    store.put(&path, Bytes::from_static(b"one")).await.unwrap();
    store.put(&path, Bytes::from_static(b"two!")).await.unwrap();
    assert_eq!(store.read(&path).await.unwrap(), "two!");
    assert_eq!(store.size(&path).await.unwrap(), Some(4));

    let other = Path::from("acme/tables/other/dv/x.puffin");
    upload(&store, &other, large()).await;
    assert_eq!(store.read(&other).await.unwrap(), large());
    upload(&store, &other, Bytes::from_static(b"small")).await;
    assert_eq!(store.read(&other).await.unwrap(), "small");

    let mut listed: Vec<_> = store.list(&Path::from("acme")).try_collect().await.unwrap();
    listed.sort_by_key(|object| object.bytes);
    assert_eq!(listed.iter().map(|object| &object.path).collect::<Vec<_>>(), [&path, &other]);
    assert!(listed.iter().all(|object| object.modified.0 > 1_600_000_000_000_000));

    store.delete(&path).await.unwrap();
    assert_eq!(store.size(&path).await.unwrap(), None);

    assert!(store.create(&path, Bytes::from_static(b"first")).await.unwrap());
    assert!(!store.create(&path, Bytes::from_static(b"second")).await.unwrap());
    let parts: Vec<Bytes> = store.stream(&path, 1..4).await.unwrap().try_collect().await.unwrap();
    assert_eq!(parts.concat(), b"irs");
    assert!(store.stream(&Path::from("acme/none"), 0..1).await.is_err());
}

#[tokio::test]
async fn memory_keeps_its_promises() {
    keeps_its_promises(open("memory")).await;
}

#[tokio::test]
async fn local_disk_keeps_its_promises() {
    let (_directory, store) = local();
    keeps_its_promises(store).await;
}

#[tokio::test]
async fn objects_outlive_the_store_that_wrote_them() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    open(&url).put(&some_path(), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(open(&url).read(&some_path()).await.unwrap(), "x");
    let on_disk = directory.path().join(some_path().as_ref());
    assert_eq!(std::fs::read(on_disk).unwrap(), b"x");
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing_visible() {
    let (directory, store) = local();
    let mut upload = store.upload(&some_path()).await.unwrap();
    upload.write(large()).await.unwrap();
    drop(upload);
    assert_eq!(store.size(&some_path()).await.unwrap(), None);
    let listed: Vec<_> = store.list(&Path::default()).try_collect().await.unwrap();
    assert_eq!(listed, []);
    let data = directory.path().join("objects").join(some_path().as_ref()).parent().unwrap().to_owned();
    let removed = async {
        while std::fs::read_dir(&data).unwrap().next().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), removed).await.expect("the parts are removed");
}

#[tokio::test]
async fn the_librarys_view_has_the_same_root() {
    let (_directory, store) = local();
    store.put(&some_path(), Bytes::from_static(b"x")).await.unwrap();
    let found: Vec<_> = store.objects().list(None).try_collect().await.unwrap();
    assert_eq!(found.iter().map(|object| &object.location).collect::<Vec<_>>(), [&some_path()]);
}
