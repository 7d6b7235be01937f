//! Rows of `cn_inline`: the payloads of inline batches.

use std::collections::HashMap;

use cenote_vocab::{FileId, TableId};

use super::{Cell, Failure, Kind, Transaction};
use crate::Error;
use crate::committer::{FileRow, Payload};
use crate::registry::INLINE;

/// How payloads are encoded: an Arrow IPC stream whose buffers are in ZSTD.
const ENCODING: &str = "arrow-ipc-zstd";
/// Payloads of one answer: at most 64 MiB.
const PAGE_FILES: usize = 64;

/// Adds the payloads that come with these files.
pub(crate) async fn write(transaction: &mut Transaction, files: &[FileRow]) -> Result<(), Failure> {
    let (mut new, mut copies): (Vec<Vec<Cell>>, Vec<Vec<Cell>>) = (Vec::new(), Vec::new());
    for file in files {
        match &file.payload {
            Payload::None => {}
            Payload::New(bytes) => {
                new.push(vec![file.table.into(), file.id.into(), ENCODING.into(), bytes.to_vec().into()]);
            }
            Payload::Of(other) => copies.push(vec![file.table.into(), file.id.into(), (*other).into()]),
        }
    }
    transaction.insert(&INLINE, &new).await?;
    if copies.is_empty() {
        return Ok(());
    }
    // a row that is of this group too is there by now
    let sources: Vec<Vec<Cell>> = copies.iter().map(|row| vec![row[0].clone(), row[2].clone()]).collect();
    let text = "SELECT i.file_id, i.encoding, i.payload FROM v CROSS JOIN cn_inline i \
                WHERE i.table_id = v.id AND i.file_id = v.file";
    let mut found: HashMap<i64, (Cell, Cell)> = HashMap::new();
    for mut row in transaction.query_with(&[("id", Kind::Int), ("file", Kind::Int)], &sources, text).await? {
        found.insert(row.int()?, (row.cell()?, row.cell()?));
    }
    let copied = copies.into_iter().map(|mut row| {
        let missing = || Error::Corrupt(format!("inline batch {:?} has lost its payload", row[2]));
        let known = match row[2] {
            Cell::Int(id) => found.get(&id),
            _ => None,
        };
        let (encoding, payload) = known.cloned().ok_or_else(missing)?;
        row.truncate(2);
        row.extend([encoding, payload]);
        Ok::<_, Error>(row)
    });
    let copied: Vec<Vec<Cell>> = copied.collect::<Result<_, _>>()?;
    transaction.insert(&INLINE, &copied).await
}

/// The payloads of these files; those that have none are left out.
pub(crate) async fn payloads(
    transaction: &mut Transaction,
    table: TableId,
    files: &[FileId],
) -> Result<HashMap<FileId, Vec<u8>>, Failure> {
    let columns = [("id", Kind::Int), ("file", Kind::Int)];
    let text = "SELECT i.file_id, i.encoding, i.payload FROM v CROSS JOIN cn_inline i \
                WHERE i.table_id = v.id AND i.file_id = v.file";
    let mut found = HashMap::with_capacity(files.len());
    for page in files.chunks(PAGE_FILES) {
        let page: Vec<Vec<Cell>> = page.iter().map(|file| vec![table.into(), (*file).into()]).collect();
        for mut row in transaction.query_with(&columns, &page, text).await? {
            let (file, encoding) = (FileId(row.int()?), row.text()?);
            if encoding != ENCODING {
                let reason = format!("inline batch {file} of table {table} is encoded as {encoding}");
                return Err(Error::Unsupported(reason).into());
            }
            found.insert(file, row.bytes()?);
        }
    }
    Ok(found)
}

/// True if the file still has its row.
pub(crate) async fn is_kept(
    transaction: &mut Transaction,
    table: TableId,
    file: FileId,
) -> Result<bool, Failure> {
    let text = "SELECT file_id FROM cn_file WHERE table_id = ? AND file_id = ?";
    let statement = transaction.statement(text).bind(table).bind(file);
    Ok(transaction.row(statement).await?.is_some())
}
