//! The store over the protocol of S3, against a small server in this process.

use cenote_store::Secret;

use super::s3_server::S3Server;
use super::*;

const KEY: &str = "a-very-secret-key";

fn options(server: &S3Server, prefix: &str) -> StorageOptions {
    StorageOptions {
        url: format!("s3://lake{prefix}"),
        region: "eu-north-1".into(),
        endpoint: server.endpoint(),
        access_key_id: "id".into(),
        secret_access_key: Secret::new(KEY),
        allow_http: true,
        virtual_hosted_style: false,
    }
}

#[tokio::test]
async fn s3_keeps_its_promises() {
    let server = S3Server::start().await;
    keeps_its_promises(Store::open(&options(&server, "")).unwrap()).await;
}

#[tokio::test]
async fn s3_keeps_its_promises_below_a_prefix() {
    let server = S3Server::start().await;
    let store = Store::open(&options(&server, "/warehouse/one")).unwrap();
    store.put(&some_path(), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(server.keys(), [format!("warehouse/one/{}", some_path())]);
    let found: Vec<_> = store.objects().list(None).try_collect().await.unwrap();
    assert_eq!(found.iter().map(|object| &object.location).collect::<Vec<_>>(), [&some_path()]);
    store.delete(&some_path()).await.unwrap();
    keeps_its_promises(store).await;
}

#[tokio::test]
async fn s3_takes_large_objects_in_parts_of_its_liking() {
    let server = S3Server::start().await;
    let store = Store::open(&options(&server, "")).unwrap();
    upload(&store, &some_path(), Bytes::from_static(b"small")).await;
    assert_eq!(server.parts_seen(), Vec::<usize>::new(), "a small object is one request");
    upload(&store, &some_path(), large()).await;
    let mut parts = server.parts_seen();
    parts.sort_unstable();
    assert_eq!(parts, [4 << 20, 8 << 20, 8 << 20]);
    assert_eq!(store.read(&some_path()).await.unwrap(), large());
}

#[tokio::test]
async fn s3_forgets_the_parts_of_a_dropped_upload() {
    let server = S3Server::start().await;
    let store = Store::open(&options(&server, "")).unwrap();
    let mut upload = store.upload(&some_path()).await.unwrap();
    upload.write(large()).await.unwrap();
    assert_eq!(server.uploads_open(), 1);
    drop(upload);
    let forgotten = async {
        while server.uploads_open() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), forgotten)
        .await
        .expect("the upload is given up");
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn s3_is_asked_again_when_it_is_busy() {
    let server = S3Server::start().await;
    let store = Store::open(&options(&server, "")).unwrap();
    server.refuse_next(2);
    store.put(&some_path(), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(store.read(&some_path()).await.unwrap(), "x");
}

#[tokio::test]
async fn a_secret_is_in_no_printed_form() {
    let server = S3Server::start().await;
    let options = options(&server, "/warehouse");
    let store = Store::open(&options).unwrap();
    for printed in [format!("{options:?}"), store.objects().to_string()] {
        assert!(!printed.contains(KEY), "{printed}");
    }
}

#[test]
fn plain_http_must_be_allowed() {
    let options = StorageOptions {
        url: "s3://lake".into(),
        region: "eu-north-1".into(),
        endpoint: "http://127.0.0.1:1".into(),
        access_key_id: "id".into(),
        secret_access_key: Secret::new(KEY),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Store::open(&options).unwrap().size(&some_path())).unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error}");
}
