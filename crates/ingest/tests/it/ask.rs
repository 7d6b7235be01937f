//! What most tests ask a node, besides what the crash tests ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cenote_catalog::TableDef;
use cenote_ingest::{Ack, Error, Format, WriteOutcome, WriteRequest};

use crate::node::{Disk, Node, line_protocol};

impl Disk {
    /// Columns of a table with their types, `time` left out.
    pub(crate) async fn columns(&self, name: &str) -> BTreeMap<String, String> {
        let table = self.table(name).await;
        let fields = table.schema.fields.iter().filter(|field| field.name != "time");
        fields.map(|field| (field.name.clone(), field.field_type.to_string())).collect()
    }
}

impl Node {
    pub(crate) async fn json(&self, disk: &Disk, table: &str, body: &str) -> Result<WriteOutcome, Error> {
        self.ingest.write(&disk.identity, json(table, body)).await
    }

    pub(crate) async fn flush(&self, disk: &Disk, table: &str) {
        let table = disk.table(table).await;
        self.ingest.flush(&disk.scope, &table).await.expect("flushes");
    }

    /// Rows as one statement counts them.
    pub(crate) async fn count(&self, disk: &Disk, table: &TableDef) -> u64 {
        let mut pin = self.ingest.pin(&[table.id]);
        let head = disk.lake.catalog.head(&disk.scope).await.expect("head");
        let producer = self.ingest.producer(table.id);
        let epoch = disk.lake.catalog.epoch_at(&disk.scope, &producer, head.txn).await.expect("epoch");
        pin.close();
        let buffered: u64 =
            pin.batches(table.id, epoch).iter().map(|buffered| buffered.batch.num_rows() as u64).sum();
        let files = disk.lake.catalog.files(&disk.scope, table, head.txn, None).await.expect("files");
        buffered + files.iter().map(|file| file.live_rows()).sum::<u64>()
    }
}

pub(crate) fn json(table: &str, body: &str) -> WriteRequest {
    WriteRequest {
        format: Format::Json {
            table: Some(table.to_owned()),
            time_column: None,
            precision: None,
            tags: Vec::new(),
        },
        accept_partial: false,
        ..line_protocol(body)
    }
}

pub(crate) fn with_ack(request: WriteRequest, ack: Ack) -> WriteRequest {
    WriteRequest { ack: Some(ack), ..request }
}

/// Files of the log.
pub(crate) fn segments(wal: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(wal).expect("lists").map(|entry| entry.expect("entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
    segments.sort();
    segments
}
