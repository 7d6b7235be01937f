//! Damaged files give errors that name them, and nothing else.

use bytes::Bytes;
use cenote_vocab::{ErrorKind, Fault};

use super::*;

async fn stored(level: Level) -> (Store, Bytes) {
    let store = Store::memory();
    write(&store, options(&measurements(), level), &[measured(60)]).await.unwrap().unwrap();
    let bytes = store.read(&path()).await.unwrap();
    (store, bytes)
}

fn assert_names_the_file(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(path().as_ref()), "{error}");
}

#[tokio::test]
async fn another_row_count_than_the_catalogs_is_damage() {
    let (store, bytes) = stored(Level::Fresh).await;
    let error = read(&store, bytes.len() as u64, 61, &measurements(), None).await.unwrap_err();
    assert_names_the_file(&error);
    assert!(error.to_string().ends_with("expected 61 rows, found 60"), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_missing() {
    let error = read(&Store::memory(), 100, 1, &measurements(), None).await.unwrap_err();
    assert!(matches!(error, Error::Store(cenote_store::Error::Missing { .. })), "{error}");
}

#[tokio::test]
async fn a_cut_file_is_damage() {
    let (store, bytes) = stored(Level::Fresh).await;
    for kept in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        store.put(&path(), bytes.slice(..kept)).await.unwrap();
        for size in [bytes.len(), kept] {
            let error = read(&store, size as u64, 60, &measurements(), None).await.unwrap_err();
            assert_names_the_file(&error);
        }
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_damage() {
    let (store, bytes) = stored(Level::Fresh).await;
    let mut wanted = measurements();
    wanted.fields[2].field_type = FieldType::Int64; // "message 0" is no number
    let error = read(&store, bytes.len() as u64, 60, &wanted, None).await.unwrap_err();
    assert_names_the_file(&error);
    assert!(error.to_string().contains("column \"message\""), "{error}");
}

/// A value may change unseen where pages have no checksum; the shape of the answer may not, nor may anything panic.
#[tokio::test]
async fn any_changed_byte_is_seen_or_changes_values_only() {
    for level in [Level::Fresh, Level::Merged] {
        let (store, bytes) = stored(level).await;
        let mut seen = 0;
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= mask;
                store.put(&path(), damaged.into()).await.unwrap();
                match read(&store, bytes.len() as u64, 60, &measurements(), None).await {
                    Ok(rows) => assert_eq!(rows.num_rows(), 60),
                    Err(error) => {
                        assert_names_the_file(&error);
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > bytes.len() / 10, "{seen} of {} bytes were seen", bytes.len());
    }
}
