//! A publication in memory: which files stay, and which are new. Nothing is stored here.

use std::collections::BTreeMap;

use arrow::array::new_null_array;
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cenote_catalog::{Publication, PublicationReader, PublishedKind, PublishedTable, published_tables};
use cenote_datafile::{decode_rows, encode_rows};
use cenote_store::metadata_file;
use cenote_vocab::{Scope, Txn};
use object_store::path::Path;

use super::{
    FORMAT, Manifest, ManifestFile, ManifestTable, Published, TableForm, hex_sha256, published_location,
};
use crate::worker::on_worker;
use crate::{Error, Lake};

/// Transactions in one new file of a log: a first publication reads a long history in parts.
const SEGMENT_TXNS_MAX: i64 = 100_000;
/// Files of a log below this are small …
const SMALL_BYTES: u64 = 8 << 20;
/// … and are merged with their neighbours when a table has more than so many.
const SMALL_FILES_MAX: usize = 16;

/// A manifest that is not stored yet, and the bytes of the files that only it names, by their paths.
pub(super) struct Draft {
    pub(super) manifest: Manifest,
    pub(super) files: BTreeMap<String, Bytes>,
}

impl Draft {
    /// What is to be published after `previous`.
    pub(super) async fn of(lake: &Lake, scope: &Scope, previous: Option<&Manifest>) -> Result<Self, Error> {
        let mut reader = lake.catalog.read_for_publication(scope).await?;
        let head = reader.head();
        let manifest = Manifest {
            format: FORMAT,
            manifest_id: previous.map_or(0, |previous| previous.manifest_id) + 1,
            previous: previous.map(|previous| previous.manifest_id),
            txn: head.txn.0,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            published_at: lake.clock.now().rfc3339(),
            tables: Vec::new(),
        };
        let mut draft = Self { manifest, files: BTreeMap::new() };
        for table in published_tables() {
            let before = previous.and_then(|previous| previous.table(table.name));
            let shown = Txn(previous.map_or(0, |previous| previous.txn));
            let files = match table.kind {
                PublishedKind::Objects if is_current(before, table) && head.ddl_txn <= shown => old(before),
                PublishedKind::Objects => {
                    vec![draft.whole(&mut reader, table, (head.ddl_txn, Some(head.ddl_txn))).await?]
                }
                PublishedKind::Rows => {
                    let whole = draft.whole(&mut reader, table, (head.txn, None)).await?;
                    let same = old(before).into_iter().find(|file| file.path == whole.path);
                    vec![same.unwrap_or(whole)]
                }
                PublishedKind::Log { .. } => {
                    // One that was not published before begins at the beginning.
                    let from = if before.is_some() { shown } else { Txn(0) };
                    let mut files = old(before);
                    files.extend(draft.segments(&mut reader, table, (from, head.txn)).await?);
                    files
                }
            };
            draft.manifest.tables.push(entry(table, files));
        }
        reader.close().await?;
        draft.merge(lake, scope).await?;
        draft.keep_new(previous);
        Ok(draft)
    }

    /// What a pass says that made this one visible, or would.
    pub(super) fn published(&self, publication: Publication) -> Published {
        let bytes = self.files.values().map(|bytes| bytes.len() as u64).sum();
        Published::New { publication, files: self.files.len() as u64, bytes }
    }

    async fn whole(
        &mut self,
        reader: &mut PublicationReader,
        table: &'static PublishedTable,
        (shown, named): (Txn, Option<Txn>),
    ) -> Result<ManifestFile, Error> {
        let rows = reader.rows(table, None).await?;
        self.add(table, rows, (shown.0, shown.0), named).await
    }

    /// New files of a log, for `from < txn <= to`.
    async fn segments(
        &mut self,
        reader: &mut PublicationReader,
        table: &'static PublishedTable,
        (from, to): (Txn, Txn),
    ) -> Result<Vec<ManifestFile>, Error> {
        let (mut files, mut after) = (Vec::new(), from);
        while after < to {
            let until = Txn(to.0.min(after.0 + SEGMENT_TXNS_MAX));
            let rows = reader.rows(table, Some((after, until))).await?;
            if rows.num_rows() > 0 {
                files.push(self.add(table, rows, (after.0 + 1, until.0), Some(until)).await?);
            }
            after = until;
        }
        Ok(files)
    }

    /// Encodes rows; the bytes are kept by their name. `named`: the transaction in the file itself, where its rows depend on one.
    async fn add(
        &mut self,
        table: &'static PublishedTable,
        rows: RecordBatch,
        (txn_min, txn_max): (i64, i64),
        named: Option<Txn>,
    ) -> Result<ManifestFile, Error> {
        let mut metadata =
            vec![("cenote.table", table.name.to_owned()), ("cenote.version", table.version.to_string())];
        metadata.extend(named.map(|txn| ("cenote.txn", txn.to_string())));
        let count = rows.num_rows() as u64;
        let encode = move || async move {
            let bytes = encode_rows(&rows, &metadata)?;
            let sha256 = hex_sha256(&bytes);
            Ok::<_, Error>((bytes, sha256))
        };
        let (bytes, sha256) = on_worker(encode).await?;
        let path = metadata_file(table.name, &sha256);
        let file = ManifestFile { path, sha256, bytes: bytes.len() as u64, rows: count, txn_min, txn_max };
        self.files.insert(file.path.clone(), bytes);
        Ok(file)
    }

    /// Merges small neighbours of logs that have many.
    async fn merge(&mut self, lake: &Lake, scope: &Scope) -> Result<(), Error> {
        for at in 0..self.manifest.tables.len() {
            let name = self.manifest.tables[at].name.clone();
            let Some(table) = published_tables().iter().find(|table| table.name == name) else { continue };
            let files = std::mem::take(&mut self.manifest.tables[at].files);
            let small = files.iter().filter(|file| file.bytes < SMALL_BYTES).count();
            let files = match (table.kind, small > SMALL_FILES_MAX) {
                (PublishedKind::Log { .. }, true) => self.merged(lake, scope, table, files).await?,
                _ => files,
            };
            self.manifest.tables[at] = entry(table, files);
        }
        Ok(())
    }

    async fn merged(
        &mut self,
        lake: &Lake,
        scope: &Scope,
        table: &'static PublishedTable,
        files: Vec<ManifestFile>,
    ) -> Result<Vec<ManifestFile>, Error> {
        let mut result = Vec::new();
        for group in groups(files) {
            let mut parts = Vec::with_capacity(group.len());
            for file in &group {
                let bytes = match self.files.get(&file.path) {
                    Some(bytes) => bytes.clone(),
                    None => {
                        lake.store
                            .read(&Path::from(format!("{}/{}", published_location(scope), file.path)))
                            .await?
                    }
                };
                parts.push(decode_rows(bytes)?);
            }
            let schema = table.schema();
            let parts: Option<Vec<RecordBatch>> = parts.iter().map(|part| completed(part, &schema)).collect();
            let (Some(first), Some(last), Some(parts), true) =
                (group.first(), group.last(), parts, group.len() > 1)
            else {
                result.extend(group); // alone, or of a newer version: read together with the others all the same
                continue;
            };
            let range = (first.txn_min, last.txn_max);
            let rows = concat_batches(&schema, &parts)?;
            result.push(self.add(table, rows, range, Some(Txn(range.1))).await?);
        }
        Ok(result)
    }

    /// Forgets bytes that the manifest does not name, or that are stored already.
    fn keep_new(&mut self, previous: Option<&Manifest>) {
        let stored: Vec<&str> =
            previous.map_or(Vec::new(), |manifest| manifest.files().map(|file| file.path.as_str()).collect());
        let named: Vec<&str> = self.manifest.files().map(|file| file.path.as_str()).collect();
        self.files.retain(|path, _| named.contains(&path.as_str()) && !stored.contains(&path.as_str()));
    }
}

/// Rows of this version or of an older one, whose missing columns are NULL; `None` if they are of neither.
fn completed(rows: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let known = |name: &str| schema.column_with_name(name).is_some();
    if !rows.schema().fields().iter().all(|field| known(field.name())) {
        return None;
    }
    let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), rows.num_rows()),
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect()).ok()
}

/// Neighbours that become one file: small ones, until they are a large one together.
fn groups(files: Vec<ManifestFile>) -> Vec<Vec<ManifestFile>> {
    let mut groups: Vec<Vec<ManifestFile>> = Vec::new();
    for file in files {
        let bytes = |group: &[ManifestFile]| group.iter().map(|file| file.bytes).sum::<u64>();
        match groups.last_mut() {
            Some(group) if file.bytes < SMALL_BYTES && bytes(group) < SMALL_BYTES => group.push(file),
            _ => groups.push(vec![file]),
        }
    }
    groups
}

fn is_current(before: Option<&ManifestTable>, table: &PublishedTable) -> bool {
    before.is_some_and(|before| before.version == table.version)
}

fn old(before: Option<&ManifestTable>) -> Vec<ManifestFile> {
    before.map(|before| before.files.clone()).unwrap_or_default()
}

fn entry(table: &PublishedTable, files: Vec<ManifestFile>) -> ManifestTable {
    let kind = match table.kind {
        PublishedKind::Log { .. } => TableForm::Log,
        PublishedKind::Objects | PublishedKind::Rows => TableForm::State,
    };
    ManifestTable {
        name: table.name.to_owned(),
        version: table.version,
        kind,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_become_one_and_large_ones_stay() {
        let file = |bytes: u64| ManifestFile {
            path: String::new(),
            sha256: String::new(),
            bytes,
            rows: 1,
            txn_min: 0,
            txn_max: 0,
        };
        let sizes = |sizes: &[u64]| {
            let groups = groups(sizes.iter().map(|size| file(size << 20)).collect());
            groups
                .iter()
                .map(|group| group.iter().map(|file| file.bytes >> 20).collect())
                .collect::<Vec<Vec<u64>>>()
        };
        assert_eq!(sizes(&[9, 1, 2, 6, 1, 8, 3]), [vec![9], vec![1, 2, 6], vec![1], vec![8], vec![3]]);
        assert!(sizes(&[]).is_empty());
    }
}
