//! What a manifest says: the tables, and the files of each.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::damaged;
use crate::Error;

/// The format of manifests and of the pointer to the newest.
pub(super) const FORMAT: u32 = 1;

/// One state of the metadata: the files that make it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]
    pub format: u32,
    /// Dense per catalog, from 1.
    pub manifest_id: i64,
    /// The one before.
    pub previous: Option<i64>,
    /// Everything up to this transaction.
    pub txn: i64,
    /// Who wrote it.
    pub server_version: String,
    /// RFC 3339.
    pub published_at: String,
    /// In the order of their declaration.
    pub tables: Vec<ManifestTable>,
}

/// One published table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTable {
    /// `catalog.tables`, …
    pub name: String,
    /// Grows with columns.
    pub version: i32,
    /// Whether its files are all of it, or follow each other.
    pub kind: TableForm,
    /// In all files.
    pub rows: u64,
    /// Of all files.
    pub bytes: u64,
    /// Read together, they are the table.
    pub files: Vec<ManifestFile>,
}

/// Whether a table is written whole, or gets files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableForm {
    /// One file.
    State,
    /// One file after the other, by `txn`.
    Log,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Below the metadata's location.
    pub path: String,
    /// Of its bytes, in hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Of a log: the first transaction that may be in it. Of a state: the one that it shows.
    pub txn_min: i64,
    /// Of a log: the last transaction that may be in it.
    pub txn_max: i64,
}

impl Manifest {
    /// `Corrupt` for bytes that are no manifest of a format that is known.
    pub(super) fn parse(object: &str, bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(object, &error.to_string()))?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(damaged(object, &format!("it has format {other}, {FORMAT} is known"))),
        }
    }

    /// What stands in for one that is lost: it shows nothing.
    pub(super) fn lost(manifest_id: i64) -> Self {
        Self {
            format: FORMAT,
            manifest_id,
            previous: None,
            txn: 0,
            server_version: String::new(),
            published_at: String::new(),
            tables: Vec::new(),
        }
    }

    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Result<Bytes, Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(bytes.into())
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&ManifestTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &ManifestFile> {
        self.tables.iter().flat_map(|table| &table.files)
    }
}
