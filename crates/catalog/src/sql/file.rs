//! Rows of `cn_file`, `cn_bounds` and `cn_dv`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cenote_datafile::{DeletionVector, FileStatistics};
use cenote_vocab::{FileId, LIVE, TableId, TableSchema, Txn};

use super::object::expect;
use super::state::{PARTITION_COLUMNS, decode_partition};
use super::{Cell, Failure, Kind, Row, Transaction, inline};
use crate::changes::VectorSpan;
use crate::committer::{FileRow, KnownFile, Partition, VectorRow, VectorVersion, Writes, hash_128};
use crate::registry::{BOUNDS, FILE, VECTOR};
use crate::tuple::parse_tuple;
use crate::{Content, DataFile, Error, NewFile, PartitionKey, VisibleVector};

/// Files of one question for details.
const PAGE_FILES: usize = 1_000;

/// A file that a commit names, with its partition.
pub(crate) struct FoundFile {
    pub(crate) table: TableId,
    pub(crate) id: FileId,
    pub(crate) file: KnownFile,
    pub(crate) partition: Partition,
}

/// A file that came after a base; its statistics are still encoded.
pub(crate) struct FoundArrival {
    pub(crate) table: TableId,
    pub(crate) file: FileId,
    pub(crate) begin: Txn,
    pub(crate) schema_no: i32,
    pub(crate) partition: PartitionKey,
    pub(crate) statistics: Option<Vec<u8>>,
}

/// These files, live or ended, with their live vectors. Files that have no row are left out.
///
/// `end_txn + 0`: a vector is found by its file, never by going through all that are live.
pub(crate) async fn known(
    transaction: &mut Transaction,
    files: &[(TableId, FileId)],
) -> Result<Vec<FoundFile>, Failure> {
    let rows: Vec<Vec<Cell>> =
        files.iter().map(|(table, file)| vec![(*table).into(), (*file).into()]).collect();
    let text = format!(
        "SELECT f.table_id, f.file_id, f.end_txn, COALESCE(t.ops, 0), f.row_count, f.size_bytes, f.level, f.format, \
         d.begin_txn, d.payload, {PARTITION_COLUMNS} FROM v CROSS JOIN cn_file f \
         JOIN cn_partition p ON p.table_id = f.table_id AND p.partition_id = f.partition_id \
         LEFT JOIN cn_table_txn t ON t.table_id = f.table_id AND t.txn = f.end_txn \
         LEFT JOIN cn_dv d ON d.table_id = f.table_id AND d.file_id = f.file_id AND d.end_txn + 0 = {LIVE} \
         WHERE f.table_id = v.id AND f.file_id = v.file"
    );
    let mut found = Vec::new();
    for mut row in transaction.query_with(&[("id", Kind::Int), ("file", Kind::Int)], &rows, &text).await? {
        let (table, id) = (TableId(row.int()?), FileId(row.int()?));
        let end = Txn(row.int()?);
        let bits = row.small()?;
        let (rows, bytes, level) = (row.count()?, row.count()?, row.small()?);
        let content = content(id, table, &row.text()?)?;
        let vector = decode_vector(&mut row, table, id, rows)?;
        let (partition_id, partition) = decode_partition(&mut row)?;
        let ended = (end != LIVE).then_some((end, bits));
        let file = KnownFile {
            ended,
            rows,
            bytes,
            level,
            content,
            partition: partition_id,
            vector,
            versions: Vec::new(),
        };
        found.push(FoundFile { table, id, file, partition });
    }
    Ok(found)
}

/// Vectors of these files that were live after a base, oldest first: (table, file, version).
pub(crate) async fn versions(
    transaction: &mut Transaction,
    files: &[(TableId, FileId, Txn)],
) -> Result<Vec<(TableId, FileId, VectorVersion)>, Failure> {
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|(table, file, base)| vec![(*table).into(), (*file).into(), (*base).into()])
        .collect();
    let text = "SELECT d.table_id, d.file_id, f.row_count, d.begin_txn, d.payload, COALESCE(t.ops, 0) \
                FROM v CROSS JOIN cn_dv d JOIN cn_file f ON f.table_id = d.table_id AND f.file_id = d.file_id \
                LEFT JOIN cn_table_txn t ON t.table_id = d.table_id AND t.txn = d.begin_txn \
                WHERE d.table_id = v.id AND d.file_id = v.file AND d.end_txn + 0 > v.base \
                ORDER BY d.table_id, d.file_id, d.begin_txn";
    let columns = [("id", Kind::Int), ("file", Kind::Int), ("base", Kind::Int)];
    let mut found = Vec::new();
    for mut row in transaction.query_with(&columns, &rows, text).await? {
        let (table, file, rows) = (TableId(row.int()?), FileId(row.int()?), row.count()?);
        if let Some(visible) = decode_vector(&mut row, table, file, rows)? {
            let version =
                VectorVersion { begin: visible.begin_txn, ops: row.small()?, vector: visible.vector };
            found.push((table, file, version));
        }
    }
    Ok(found)
}

/// Files that came after a base by transactions that changed rows, gone or not.
pub(crate) async fn arrivals(
    transaction: &mut Transaction,
    tables: &[(TableId, Txn)],
) -> Result<Vec<FoundArrival>, Failure> {
    let rows: Vec<Vec<Cell>> =
        tables.iter().map(|(table, base)| vec![(*table).into(), (*base).into()]).collect();
    let text = "SELECT f.table_id, f.file_id, f.begin_txn, f.schema_no, p.spec_no, p.tuple_hash, b.stats \
                FROM v CROSS JOIN cn_file f \
                JOIN cn_table_txn t ON t.table_id = f.table_id AND t.txn = f.begin_txn AND t.data_change = 1 \
                JOIN cn_partition p ON p.table_id = f.table_id AND p.partition_id = f.partition_id \
                LEFT JOIN cn_bounds b ON b.table_id = f.table_id AND b.file_id = f.file_id \
                WHERE f.table_id = v.id AND f.begin_txn > v.base";
    let mut found = Vec::new();
    for mut row in transaction.query_with(&[("id", Kind::Int), ("base", Kind::Int)], &rows, text).await? {
        found.push(FoundArrival {
            table: TableId(row.int()?),
            file: FileId(row.int()?),
            begin: Txn(row.int()?),
            schema_no: row.small()?,
            partition: PartitionKey { spec_no: row.small()?, tuple_hash: row.array()? },
            statistics: row.optional_bytes()?,
        });
    }
    Ok(found)
}

fn decode_vector(
    row: &mut Row,
    table: TableId,
    file: FileId,
    rows: u64,
) -> Result<Option<VisibleVector>, Error> {
    let (begin, payload) = (row.optional_int()?, row.optional_bytes()?);
    let (Some(begin), Some(payload)) = (begin, payload) else { return Ok(None) };
    let object = format!("deletion vector of file {file} of table {table} at {begin}");
    let vector = Arc::new(DeletionVector::decode(&object, &payload, rows)?);
    Ok(Some(VisibleVector { begin_txn: Txn(begin), vector }))
}

/// Asks for files as [`decode`] reads them; the conditions say which statistics and which files.
fn files_text(bounds: &str, filter: &str) -> String {
    format!(
        "SELECT f.file_id, f.begin_txn, f.end_txn, f.format, f.path, f.row_count, f.size_bytes, f.footer_size, f.row_id_start, \
         f.seq, f.row_ids_stored, f.schema_no, f.spec_no, f.sort_no, f.level, f.t_min, f.t_max, p.tuple, b.stats \
         FROM cn_file f JOIN cn_partition p ON p.table_id = f.table_id AND p.partition_id = f.partition_id \
         LEFT JOIN cn_bounds b ON b.table_id = f.table_id AND b.file_id = f.file_id AND {bounds} \
         WHERE {filter}"
    )
}

/// Whether statistics are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// They are.
    Read,
    /// They are not.
    LeaveOut,
}

/// The files named, without vectors; those that have no row are left out.
pub(crate) async fn named(
    transaction: &mut Transaction,
    table: TableId,
    files: &[FileId],
    statistics: Statistics,
    schemas: &HashMap<i32, Arc<TableSchema>>,
) -> Result<Vec<DataFile>, Failure> {
    let bounds = match statistics {
        Statistics::Read => "1 = 1",
        Statistics::LeaveOut => "1 = 0",
    };
    let columns = [("id", Kind::Int), ("file", Kind::Int)];
    let text = files_text(bounds, "(f.table_id, f.file_id) IN (SELECT v.id, v.file FROM v)");
    let mut found = Vec::with_capacity(files.len());
    for page in files.chunks(PAGE_FILES) {
        let page: Vec<Vec<Cell>> = page.iter().map(|file| vec![table.into(), (*file).into()]).collect();
        for row in transaction.query_with(&columns, &page, &text).await? {
            found.push(decode(row, table, schemas)?);
        }
    }
    Ok(found)
}

/// The versions of deletion vectors named: (file, begin, rows of the file).
pub(crate) async fn vectors_named(
    transaction: &mut Transaction,
    table: TableId,
    vectors: &[(FileId, Txn, u64)],
) -> Result<Vec<((FileId, Txn), Arc<DeletionVector>)>, Failure> {
    let columns = [("id", Kind::Int), ("file", Kind::Int), ("seen", Kind::Int), ("row_count", Kind::Int)];
    let text = "SELECT v.file, v.row_count, d.begin_txn, d.payload FROM v CROSS JOIN cn_dv d \
                WHERE d.table_id = v.id AND d.file_id = v.file AND d.begin_txn = v.seen";
    let mut found = Vec::with_capacity(vectors.len());
    for page in vectors.chunks(PAGE_FILES) {
        let cells = |(file, begin, rows): &(FileId, Txn, u64)| {
            vec![table.into(), (*file).into(), (*begin).into(), (*rows).into()]
        };
        let page: Vec<Vec<Cell>> = page.iter().map(cells).collect();
        for mut row in transaction.query_with(&columns, &page, text).await? {
            let (file, rows) = (FileId(row.int()?), row.count()?);
            if let Some(VisibleVector { begin_txn, vector }) = decode_vector(&mut row, table, file, rows)? {
                found.push(((file, begin_txn), vector));
            }
        }
    }
    Ok(found)
}

/// Files of a table that came, went or lost rows after one transaction up to another, without statistics and vectors.
pub(crate) async fn touched(
    transaction: &mut Transaction,
    table: TableId,
    (after, to): (Txn, Txn),
    schemas: &HashMap<i32, Arc<TableSchema>>,
) -> Result<BTreeMap<FileId, Arc<DataFile>>, Failure> {
    let filters = [
        "f.table_id = ? AND f.begin_txn > ? AND f.begin_txn <= ?",
        "f.table_id = ? AND f.end_txn > ? AND f.end_txn <= ?",
        "f.table_id = ? AND f.file_id IN \
         (SELECT v.file_id FROM cn_dv v WHERE v.table_id = f.table_id AND v.begin_txn > ? AND v.begin_txn <= ?)",
    ];
    let mut files = BTreeMap::new();
    for filter in filters {
        let text = files_text("1 = 0", filter);
        let statement = transaction.statement(&text).bind(table).bind(after).bind(to);
        for row in transaction.query(statement).await? {
            let file = decode(row, table, schemas)?;
            files.insert(file.id, Arc::new(file));
        }
    }
    Ok(files)
}

/// Vectors of `files` that began or ended after one transaction up to another.
pub(crate) async fn vectors(
    transaction: &mut Transaction,
    table: TableId,
    (after, to): (Txn, Txn),
    files: &BTreeMap<FileId, Arc<DataFile>>,
) -> Result<Vec<VectorSpan>, Failure> {
    let mut spans = BTreeMap::new();
    for bound in ["begin_txn", "end_txn"] {
        let text = format!(
            "SELECT file_id, end_txn, begin_txn, payload FROM cn_dv \
             WHERE table_id = ? AND {bound} > ? AND {bound} <= ?"
        );
        let statement = transaction.statement(&text).bind(table).bind(after).bind(to);
        for mut row in transaction.query(statement).await? {
            let (file, end) = (FileId(row.int()?), Txn(row.int()?));
            let Some(rows) = files.get(&file).map(|file| file.file.rows) else { continue };
            if let Some(VisibleVector { begin_txn, vector }) = decode_vector(&mut row, table, file, rows)? {
                spans.insert((file, begin_txn), VectorSpan { file, begin: begin_txn, end, vector });
            }
        }
    }
    Ok(spans.into_values().collect())
}

/// `Unsupported` for a format that this binary does not read.
fn content(file: FileId, table: TableId, format: &str) -> Result<Content, Error> {
    Content::of_format(format).ok_or_else(|| {
        Error::Unsupported(format!(
            "file {file} of table {table} has format {format}, which this node does not read"
        ))
    })
}

/// A file without its vector.
fn decode(mut row: Row, table: TableId, schemas: &HashMap<i32, Arc<TableSchema>>) -> Result<DataFile, Error> {
    let id = FileId(row.int()?);
    let (begin_txn, end_txn) = (Txn(row.int()?), Txn(row.int()?));
    let content = content(id, table, &row.text()?)?;
    let path = match content {
        Content::Parquet => row.text()?,
        Content::Inline(_) => row.optional_text()?.unwrap_or_default(),
    };
    let (rows, bytes) = (row.count()?, row.count()?);
    let footer = row.int()?;
    let (row_id_start, seq, row_ids_stored) = (row.int()?, row.int()?, row.small()? != 0);
    let (schema_no, spec_no, sort_no, level) = (row.small()?, row.small()?, row.small()?, row.small()?);
    let time_range = row.optional_int()?.zip(row.optional_int()?);
    let tuple = row.text()?;
    let partition = parse_tuple(&tuple)
        .ok_or_else(|| Error::Corrupt(format!("table {table} has partition tuple {tuple}")))?;
    let schema = schemas.get(&schema_no).ok_or_else(|| {
        Error::Corrupt(format!("file {id} of table {table} has unknown schema {schema_no}"))
    })?;
    let statistics = match row.optional_bytes()? {
        Some(blob) => FileStatistics::decode(&blob, schema)?,
        None => FileStatistics::default(),
    };
    let footer_bytes =
        u32::try_from(footer).map_err(|_| Error::Corrupt(format!("footer of {footer} bytes")))?;
    let file = NewFile {
        content,
        path,
        rows,
        bytes,
        footer_bytes,
        schema_no,
        spec_no,
        partition,
        sort_no,
        level,
        time_range,
        statistics,
        row_ids_stored,
    };
    Ok(DataFile { id, begin_txn, end_txn, file: Arc::new(file), vector: None, row_id_start, seq })
}

/// When each live file of a table came, its columns and its statistics.
pub(crate) async fn live_statistics(
    transaction: &mut Transaction,
    table: TableId,
    schemas: &HashMap<i32, Arc<TableSchema>>,
) -> Result<Vec<(Txn, Arc<TableSchema>, FileStatistics)>, Failure> {
    let text = files_text("1 = 1", &format!("f.table_id = ? AND f.end_txn = {LIVE}"));
    let statement = transaction.statement(&text).bind(table);
    let schema = |file: &DataFile| schemas.get(&file.file.schema_no).cloned().unwrap_or_default();
    let mut live = Vec::new();
    for row in transaction.query(statement).await? {
        let file = decode(row, table, schemas)?;
        live.push((file.begin_txn, schema(&file), file.file.statistics.clone()));
    }
    Ok(live)
}

/// Ends and adds files and vectors.
pub(crate) async fn write(transaction: &mut Transaction, writes: &Writes) -> Result<(), Failure> {
    let ends = writes.file_ends.iter();
    let ends: Vec<Vec<Cell>> =
        ends.map(|(table, file, end)| vec![(*table).into(), (*file).into(), (*end).into()]).collect();
    let text = format!(
        "UPDATE cn_file SET end_txn = v.txn FROM v \
         WHERE cn_file.table_id = v.id AND cn_file.file_id = v.file AND cn_file.end_txn = {LIVE}"
    );
    let columns = [("id", Kind::Int), ("file", Kind::Int), ("txn", Kind::Int)];
    let changed = transaction.execute_with(&columns, &ends, &text).await?;
    expect("cn_file", changed, ends.len())?;

    let ends = writes.vector_ends.iter().map(|(table, file, begin, end)| {
        vec![(*table).into(), (*file).into(), (*begin).into(), (*end).into()]
    });
    let ends: Vec<Vec<Cell>> = ends.collect();
    let text = format!(
        "UPDATE cn_dv SET end_txn = v.txn FROM v WHERE cn_dv.table_id = v.id AND cn_dv.file_id = v.file \
         AND cn_dv.begin_txn = v.seen AND cn_dv.end_txn = {LIVE}"
    );
    let columns = [("id", Kind::Int), ("file", Kind::Int), ("seen", Kind::Int), ("txn", Kind::Int)];
    let changed = transaction.execute_with(&columns, &ends, &text).await?;
    expect("cn_dv", changed, ends.len())?;

    transaction.insert(&FILE, &writes.files.iter().map(file_cells).collect::<Vec<_>>()).await?;
    let bounds = writes.files.iter().filter(|row| !row.file.statistics.columns.is_empty());
    let bounds = bounds
        .map(|row| vec![row.table.into(), row.id.into(), row.file.statistics.encode(&row.schema).into()]);
    transaction.insert(&BOUNDS, &bounds.collect::<Vec<_>>()).await?;
    inline::write(transaction, &writes.files).await?;
    transaction.insert(&VECTOR, &writes.vectors.iter().map(vector_cells).collect::<Vec<_>>()).await
}

fn file_cells(row: &FileRow) -> Vec<Cell> {
    let file = &row.file;
    let path = Some(&file.path).filter(|_| !file.is_inline());
    vec![
        row.table.into(),
        row.id.into(),
        row.begin.into(),
        LIVE.into(),
        file.content.format().into(),
        path.map(String::as_str).into(),
        path.map(|path| object_hash(&object_path(&row.def.location, path))).into(),
        file.rows.into(),
        file.bytes.into(),
        i64::from(file.footer_bytes).into(),
        row.row_id_start.into(),
        file.row_ids_stored.into(),
        row.seq.into(),
        file.schema_no.into(),
        file.spec_no.into(),
        row.partition.into(),
        file.sort_no.into(),
        file.level.into(),
        file.time_range.map(|range| range.0).into(),
        file.time_range.map(|range| range.1).into(),
        Cell::Null,
        Cell::Null,
        0_i64.into(),
        Cell::Null,
        Cell::Null,
        row.origin.chars().take(64).collect::<String>().into(),
    ]
}

fn vector_cells(row: &VectorRow) -> Vec<Cell> {
    vec![
        row.table.into(),
        row.file.into(),
        row.begin.into(),
        row.end.into(),
        row.vector.cardinality().into(),
        row.vector.encode().to_vec().into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]
}

/// Ids of live files.
pub(crate) async fn live_ids(transaction: &mut Transaction, table: TableId) -> Result<Vec<FileId>, Failure> {
    let text =
        format!("SELECT file_id FROM cn_file WHERE table_id = ? AND end_txn = {LIVE} ORDER BY file_id");
    let statement = transaction.statement(&text).bind(table);
    let mut ids = Vec::new();
    for mut row in transaction.query(statement).await? {
        ids.push(FileId(row.int()?));
    }
    Ok(ids)
}

/// The path below the storage root of a file of the table at `location`.
pub(crate) fn object_path(location: &str, path: &str) -> String {
    format!("{location}/{path}")
}

/// By what objects are found again.
pub(crate) fn object_hash(path: &str) -> [u8; 16] {
    hash_128(path.as_bytes())
}
