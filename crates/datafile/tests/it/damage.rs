//! Damaged files give errors that name them, and nothing else.

use bytes::Bytes;
use cenote_vocab::{ErrorKind, Fault};

use super::*;

async fn written(level: Level, rows: i64) -> (Store, StoredFile, Bytes) {
    let store = Store::memory();
    let file = write(&store, options(&measurements(), level), &[measured(rows)]).await.unwrap().unwrap();
    let bytes = store.read(&path()).await.unwrap();
    (store, stored(&file), bytes)
}

fn assert_names_the_file(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(path().as_ref()), "{error}");
}

#[tokio::test]
async fn another_row_count_than_the_catalogs_is_damage() {
    let (store, file, _) = written(Level::Fresh, 60).await;
    let error = read(&store, &file, 61, &measurements(), None).await.unwrap_err();
    assert_names_the_file(&error);
    assert!(error.to_string().ends_with("expected 61 rows, found 60"), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_missing() {
    let error = read(&Store::memory(), &StoredFile::of_others(path(), 100), 1, &measurements(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Store(cenote_store::Error::Missing { .. })), "{error}");
}

#[tokio::test]
async fn a_cut_file_is_damage() {
    let (store, file, bytes) = written(Level::Fresh, 60).await;
    for kept in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        store.put(&path(), bytes.slice(..kept)).await.unwrap();
        let cut = StoredFile { bytes: kept as u64, ..file.clone() };
        for file in [&file, &cut, &StoredFile::of_others(path(), kept as u64)] {
            let error = read(&store, file, 60, &measurements(), None).await.unwrap_err();
            assert_names_the_file(&error);
        }
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_damage() {
    let (store, file, _) = written(Level::Fresh, 60).await;
    let mut wanted = measurements();
    wanted.fields[2].field_type = FieldType::Int64; // "message 0" is no number
    let error = read(&store, &file, 60, &wanted, None).await.unwrap_err();
    assert_names_the_file(&error);
    assert!(error.to_string().contains("column \"message\""), "{error}");
}

#[tokio::test]
async fn every_changed_byte_is_seen() {
    for level in [Level::Fresh, Level::Merged] {
        let (store, file, bytes) = written(level, 60).await;
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= mask;
                store.put(&path(), damaged.into()).await.unwrap();
                match read(&store, &file, 60, &measurements(), None).await {
                    Ok(_) => panic!("byte {at} of {} with {mask:x}", bytes.len()),
                    Err(error) => assert_names_the_file(&error),
                }
            }
        }
    }
}

/// Some columns of a file of several blocks: what is answered is right, and damage where it was read is seen.
#[tokio::test]
async fn a_changed_byte_is_never_another_value() {
    let rows = 20_000;
    let (store, file, bytes) = written(Level::Merged, rows).await;
    assert!(bytes.len() > 2 * 65_536, "{} bytes", bytes.len());
    let wanted = schema(vec![measurements().fields[0].clone(), measurements().fields[3].clone()]);
    let right = read(&store, &file, rows as u64, &wanted, None).await.unwrap();
    let mut seen = 0;
    for at in (0..bytes.len()).step_by(1_999) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x04;
        store.put(&path(), damaged.into()).await.unwrap();
        match read(&store, &file, rows as u64, &wanted, None).await {
            Ok(found) => assert_eq!(found, right, "byte {at}"),
            Err(error) => {
                assert_names_the_file(&error);
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} places were read");
}

/// What others wrote has no checksums of ours: a value may change unseen, the shape of the answer may not, nor may anything panic.
#[tokio::test]
async fn damage_in_files_of_others_does_not_change_their_shape() {
    let (store, file, bytes) = written(Level::Fresh, 60).await;
    let file = StoredFile::of_others(path(), file.bytes);
    let mut seen = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0xff;
        store.put(&path(), damaged.into()).await.unwrap();
        match read(&store, &file, 60, &measurements(), None).await {
            Ok(rows) => assert_eq!(rows.num_rows(), 60),
            Err(error) => {
                assert_names_the_file(&error);
                seen += 1;
            }
        }
    }
    assert!(seen > bytes.len() / 10, "{seen} of {} bytes were seen", bytes.len());
}
