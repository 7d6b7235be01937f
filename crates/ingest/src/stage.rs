//! The part of a write that only computes: decode, check rights, resolve, encode. Runs again when schemas changed.

use std::sync::Arc;

use bytes::Bytes;
use cenote_catalog::{Names, Privilege, TableDef};
use cenote_codec::{Decoded, RejectedLine, Rows};
use cenote_vocab::Txn;

use crate::decode::{NamedColumns, decode};
use crate::protocols::flags;
use crate::schema::{Change, Fitted, Resolved, Target};
use crate::wal::{BODY_BYTES_MAX, Draft, Kind, SECTIONS_MAX, SectionHeader, encode_rows};
use crate::write::{DIRECT_BYTES_MIN, Work, rows_bytes};
use crate::{Ack, Error, WriteOutcome};

/// A body on its way to rows that fit.
pub(crate) struct Stage {
    work: Arc<Work>,
    plain: Bytes,
    /// Kept for formats whose rows do not depend on what tables know.
    decoded: Option<Decoded>,
    summary: Summary,
}

/// What came of it.
pub(crate) enum Staged {
    /// All rows fit; `record` is there unless they go straight to files.
    Fits { tables: Vec<Fitted>, record: Option<Draft> },
    /// Tables must change first.
    Changes(Vec<Change>),
}

/// What the answer tells, besides its commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) rejected: Vec<RejectedLine>,
    pub(crate) rejected_lines: u64,
    pub(crate) replaced_utf8: u64,
}

impl Summary {
    pub(crate) fn outcome(self, ack: Ack, txn: Option<Txn>) -> WriteOutcome {
        WriteOutcome {
            rows: self.rows,
            ack,
            txn,
            rejected: self.rejected,
            rejected_lines: self.rejected_lines,
            replaced_utf8: self.replaced_utf8,
            replayed: false,
        }
    }
}

impl Stage {
    pub(crate) fn new(work: Arc<Work>, plain: Bytes) -> Self {
        Self { work, plain, decoded: None, summary: Summary::default() }
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.plain.len()
    }

    pub(crate) fn into_summary(self) -> Summary {
        self.summary
    }

    /// Decodes and resolves against these names.
    pub(crate) fn run(&mut self, names: &Names) -> Result<Staged, Error> {
        let mut decoded = match self.decoded.take() {
            Some(decoded) => decoded,
            None => self.decode(names)?,
        };
        self.summary = Summary {
            rows: decoded.rows(),
            rejected: std::mem::take(&mut decoded.rejected),
            rejected_lines: decoded.rejected_lines,
            replaced_utf8: decoded.replaced_utf8,
        };
        let staged = self.resolve(&decoded.tables, names)?;
        if matches!(staged, Staged::Changes(_)) && !self.work.format.reads_known_columns() {
            decoded.rejected = std::mem::take(&mut self.summary.rejected);
            self.decoded = Some(decoded);
        }
        Ok(staged)
    }

    fn decode(&self, names: &Names) -> Result<Decoded, Error> {
        let work = &*self.work;
        let known = NamedColumns { names, database: &work.database };
        let limits = work.inner.options.limits;
        let decoded = decode(&self.plain, &work.format, work.accept_partial, work.received, limits, &known)?;
        if (!work.accept_partial || decoded.rows() == 0)
            && let Some(first) = decoded.rejected.first()
        {
            return Err(cenote_codec::Error::NoValidLines { first: first.clone() }.into());
        }
        if decoded.rows() == 0 && work.format.is_lines() {
            return Err(Error::NoRecords);
        }
        Ok(decoded)
    }

    fn resolve(&self, tables: &[Rows], names: &Names) -> Result<Staged, Error> {
        let work = &*self.work;
        let inner = &*work.inner;
        let shape = |table: &TableDef| inner.tables.shape(work.identity.scope.tenant(), table);
        let target = Target {
            database: &work.database,
            names,
            options: &inner.options,
            widens: work.format.widens(),
            now: work.received,
            ids: &inner.lake.ids,
            shape: &shape,
        };
        let filled = || tables.iter().filter(|rows| rows.batch.num_rows() > 0);
        for rows in filled() {
            let is_there = names.table(&work.database, &rows.table).is_ok();
            let needed: &[Privilege] =
                if is_there { &[Privilege::Insert] } else { &[Privilege::Insert, Privilege::Create] };
            let lacks = |privilege: &&Privilege| {
                !work.identity.allows(**privilege, &work.database, Some(&rows.table))
            };
            if let Some(privilege) = needed.iter().find(lacks) {
                let object = format!("\"{}\".\"{}\"", work.database, rows.table);
                return Err(Error::Denied { privilege: *privilege, object });
            }
        }
        let (mut fitted, mut changes) = (Vec::new(), Vec::new());
        for rows in filled() {
            match target.resolve(rows)? {
                Resolved::Fits(rows) => fitted.push(rows),
                Resolved::Needs(change) => changes.push(change),
            }
        }
        if !changes.is_empty() {
            return Ok(Staged::Changes(changes));
        }
        let bytes: u64 = fitted.iter().map(|fitted| rows_bytes(&fitted.batch)).sum();
        let direct = work.key.is_some() || (work.ack == Ack::Committed && bytes > DIRECT_BYTES_MIN);
        let record = if direct || fitted.is_empty() { None } else { Some(record(work, &fitted)?) };
        Ok(Staged::Fits { tables: fitted, record })
    }
}

fn record(work: &Work, tables: &[Fitted]) -> Result<Draft, Error> {
    if tables.len() > SECTIONS_MAX {
        let bytes_max = SECTIONS_MAX as u64;
        return Err(Error::TooLarge {
            what: "number of tables of the request",
            bytes: tables.len() as u64,
            bytes_max,
        });
    }
    let mut record = Draft::new(Kind::Rows, work.received);
    for fitted in tables {
        let section = SectionHeader {
            table: fitted.table.id,
            schema_no: fitted.shape.schema_no,
            rows: u32::try_from(fitted.batch.num_rows()).map_err(|_| too_large(u64::MAX))?,
            time_range: fitted.time_range,
            flags: 0,
        };
        let encode = |out: &mut Vec<u8>| {
            let columns = encode_rows(&fitted.batch, &fitted.shape.schema, out);
            columns.map(|columns| columns | flags(&work.format))
        };
        record.rows(section, encode).map_err(|error| {
            Error::Internal(format!("rows of table {}: {error}", fitted.table.full_name()))
        })?;
    }
    record.finish();
    if record.body_bytes() > BODY_BYTES_MAX { Err(too_large(record.len())) } else { Ok(record) }
}

fn too_large(bytes: u64) -> Error {
    Error::TooLarge { what: "record of the request", bytes, bytes_max: BODY_BYTES_MAX as u64 }
}
