//! The real engine: SQL over the Postgres wire, writes over HTTP, and everything that was said to it.

use std::collections::BTreeSet;

use cenote_testkit::client::{Client, postgres};
use cenote_testkit::node::{CatalogKind, StorageKind, TestNode};
use tokio_postgres::SimpleQueryMessage;

use super::world::Checked;

/// What a door answered.
#[derive(Debug)]
pub(super) enum Answer {
    Done {
        /// The names of the columns, then the rows as text, sorted; empty if it answers none.
        lines: Vec<String>,
        /// Rows that it changed or answered.
        count: u64,
    },
    Refused {
        sqlstate: String,
        text: String,
    },
}

/// A node and one session on it.
pub(super) struct Engine {
    node: TestNode,
    http: Client,
    session: tokio_postgres::Client,
    /// What was said to it, so that a person can say it again.
    said: Vec<String>,
}

impl Engine {
    /// `None` if the machine lacks a server for it.
    pub(super) async fn start(catalog: CatalogKind) -> Option<Self> {
        // Nothing but a step flushes, compacts or lets rows go, and the log rotates now and then.
        let settings = [
            ("ingest.flush_interval", "24h"),
            ("ingest.flush_age", "24h"),
            ("compaction.enabled", "false"),
            ("retention.enabled", "false"),
            ("wal.segment_size", "64KiB"),
            // An object that something still needs would be missed at once.
            ("table.orphan_grace", "0s"),
        ];
        let node = TestNode::with(catalog, StorageKind::Disk, &settings).await?;
        let http = node.client();
        let session = postgres(&node.postgres(&http)).await.expect("connected");
        Some(Self { node, http, session, said: Vec::new() })
    }

    /// Runs one statement in the session.
    pub(super) async fn sql(&mut self, sql: &str) -> Answer {
        self.said.push(format!("{sql};"));
        self.ask(sql).await
    }

    /// The same for a question that changes nothing and needs no record.
    pub(super) async fn ask(&self, sql: &str) -> Answer {
        let messages = match self.session.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => {
                let (sqlstate, text) = error.as_db_error().map_or_else(
                    || ("08006".to_owned(), error.to_string()),
                    |error| (error.code().code().to_owned(), error.message().to_owned()),
                );
                return Answer::Refused { sqlstate, text };
            }
        };
        let (mut names, mut rows, mut count) = (None, Vec::new(), 0);
        for message in &messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    names = Some(columns.iter().map(|column| column.name()).collect::<Vec<_>>().join("|"));
                }
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|n| row.get(n).unwrap_or("NULL"));
                    rows.push(cells.collect::<Vec<_>>().join("|"));
                }
                SimpleQueryMessage::CommandComplete(changed) => count = *changed,
                _ => {}
            }
        }
        rows.sort_unstable();
        Answer::Done { lines: names.into_iter().chain(rows).collect(), count }
    }

    /// Writes line protocol with times in µs.
    pub(super) async fn write(&mut self, lines: &str) -> Answer {
        self.said.push(format!("-- line protocol:\n{}", lines.trim_end()));
        match self.http.try_write(lines).await {
            Ok(answer) if answer.status == 204 => Answer::Done { lines: Vec::new(), count: 0 },
            Ok(answer) => Answer::Refused { sqlstate: answer.status.to_string(), text: answer.text },
            Err(error) => Answer::Refused { sqlstate: "08006".to_owned(), text: error.to_string() },
        }
    }

    /// Keeps all of a table from a version on; the hold's id.
    pub(super) async fn hold(&mut self, table: &str, version: i64) -> Checked<String> {
        self.note(&format!("hold {table} from {version} on"));
        let body = serde_json::json!({ "table": table, "txn": version, "ttl": 604_800 }).to_string();
        let sent =
            self.http.send("POST", "/api/v1/holds", &[("content-type", "application/json")], body).await;
        let answer = sent.map_err(|error| error.to_string())?;
        match answer.json()["hold_id"].as_str() {
            Some(id) if answer.status == 201 => Ok(id.to_owned()),
            _ => Err(format!("a hold of {table} from {version}: {} {}", answer.status, answer.text)),
        }
    }

    /// Ends a hold.
    pub(super) async fn release_hold(&mut self, id: &str) -> Checked<()> {
        self.note(&format!("hold {id} ends"));
        let sent = self.http.send("DELETE", &format!("/api/v1/holds/{id}"), &[], "").await;
        let answer = sent.map_err(|error| error.to_string())?;
        if answer.status == 204 { Ok(()) } else { Err(format!("end of hold {id}: {}", answer.text)) }
    }

    /// Files of tables in the store, by their paths in the catalog.
    pub(super) fn objects(&self) -> BTreeSet<String> {
        let lake = self.node.directory().join("lake");
        let (mut files, mut directories) = (BTreeSet::new(), vec![lake.join("default/tables")]);
        while let Some(directory) = directories.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for path in entries.map(|entry| entry.expect("an entry").path()) {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files.insert(path.strip_prefix(&lake).expect("below").display().to_string());
                }
            }
        }
        files
    }

    /// The number of the newest transaction.
    pub(super) async fn head(&self) -> i64 {
        self.node.head().await
    }

    /// Ends without flushing and starts again.
    pub(super) async fn crash(&mut self) {
        self.said.push("-- crash and restart".to_owned());
        self.node.crash().await;
        self.connect().await;
    }

    /// Stops in order and starts again.
    pub(super) async fn restart(&mut self) {
        self.said.push("-- stop and restart".to_owned());
        self.node.restart().await;
        self.connect().await;
    }

    /// Notes what is done to the node without its doors.
    pub(super) fn note(&mut self, what: &str) {
        self.said.push(format!("-- {what}"));
    }

    /// The last things said to it.
    pub(super) fn said(&self, last: usize) -> String {
        self.said[self.said.len().saturating_sub(last)..].join("\n")
    }

    async fn connect(&mut self) {
        self.http = self.node.client();
        self.session = postgres(&self.node.postgres(&self.http)).await.expect("connected");
    }
}
