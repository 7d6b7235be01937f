//! Writes groups of records into segments; used by the log's thread alone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cenote_vocab::{Clock, Lsn, TableId};
use uuid::Uuid;

use super::Shape;
use super::log::{Start, Status};
use super::record::{self, Draft, Kind};
use super::segment::{self, SegmentHeader, SegmentStatus, SegmentWriter, Spare};

/// Records of at least this size are written from where they are; smaller ones are gathered first.
const GATHER_BYTES_MAX: u64 = 1 << 20;

/// Room that is kept behind each group for the mark that proves it.
const MARK_BYTES: u64 = record::HEADER_BYTES as u64;

/// The segment that is being written, and the one that comes next.
pub(super) struct Groups {
    dir: PathBuf,
    node: Uuid,
    segment_bytes: u64,
    clock: Clock,
    writer: SegmentWriter,
    spare: Option<Spare>,
    /// Shapes that this segment holds.
    known: HashSet<(TableId, i32)>,
    /// Small records of the group that is being written.
    gathered: Vec<u8>,
    next: Lsn,
    durable: Lsn,
    /// Bytes were written that no sync has covered.
    dirty: bool,
}

impl Groups {
    /// Begins the segment that follows the tail. It takes the tail's unproven records in, so nothing of them depends on pages
    /// that the disk may lack.
    pub(super) fn start(start: Start, status: &Status) -> io::Result<Self> {
        segment::remove_spare(&start.dir)?;
        let tail = start.tail;
        let first = Lsn(tail.durable.0 + 1);
        let shapes: HashMap<_, _> =
            start.shapes.iter().map(|shape| ((shape.table, shape.schema_no), shape)).collect();
        let mut drafts = Vec::with_capacity(tail.unproven.len());
        for (header, body) in &tail.unproven {
            let sections = record::sections(header, body).map_err(io::Error::other)?;
            let of = |section: &record::SectionHeader| {
                shapes.get(&(section.table, section.schema_no)).copied().cloned()
            };
            let shapes: Vec<Arc<Shape>> = sections.iter().filter_map(|(section, _)| of(section)).collect();
            drafts.push((Draft::again(header, body), shapes));
        }
        let bytes = segment::HEADER_BYTES as u64
            + MARK_BYTES
            + drafts.iter().map(|(draft, shapes)| draft.len() + shapes_bytes(shapes)).sum::<u64>();
        let spare = Spare::allocate(&start.dir, start.segment_bytes.max(bytes))?;
        let header = SegmentHeader { node: start.node, first, created: start.clock.now(), key: 0 };
        let mut groups = Self {
            writer: spare.begin(&header)?,
            dir: start.dir,
            node: start.node,
            segment_bytes: start.segment_bytes,
            clock: start.clock,
            spare: None,
            known: HashSet::new(),
            gathered: Vec::new(),
            next: first,
            durable: tail.durable,
            dirty: false,
        };
        let mut tables = HashMap::new();
        for (draft, shapes) in &mut drafts {
            groups.put(draft, shapes, &mut tables)?;
        }
        groups.send()?;
        groups.writer.give_name(&groups.dir, first)?;
        groups.durable = Lsn(groups.next.0 - 1);
        groups.dirty = false;

        let mut segments = status.segments.lock();
        for ((first_of, path, bytes), tables) in tail.segments.into_iter().zip(start.tables) {
            if first_of != first {
                segment::trim(&path, bytes);
                segments.push_back(SegmentStatus { first: first_of, path, bytes, tables });
            }
        }
        let path = groups.writer.path.clone();
        segments.push_back(SegmentStatus { first, path, bytes: groups.writer.bytes, tables });
        status.bytes.store(segments.iter().map(|segment| segment.bytes).sum(), Ordering::Relaxed);
        drop(segments);
        status.next.store(groups.next.0, Ordering::Release);
        Ok(groups)
    }

    /// Writes and syncs a group; answers the first place and the bytes. `StorageFull` without [`Groups::is_dirty`]: no
    /// segment could be allocated, and nothing was written.
    pub(super) fn write<'a>(
        &mut self,
        drafts: impl Iterator<Item = (&'a mut Draft, &'a [Arc<Shape>])>,
        status: &Status,
    ) -> io::Result<(Lsn, u64)> {
        let drafts: Vec<_> = drafts.collect();
        let all = drafts.iter().map(|(draft, shapes)| draft.len() + shapes_bytes(shapes)).sum();
        if self.writer.bytes + all + MARK_BYTES > self.writer.bytes_max {
            self.rotate(all, status)?;
        }
        let (first, before) = (self.next, self.writer.bytes);
        let mut tables = HashMap::new();
        for (draft, shapes) in drafts {
            self.put(draft, shapes, &mut tables)?;
        }
        self.send()?;
        self.sync()?;
        let bytes = self.writer.bytes - before;
        if let Some(segment) = status.segments.lock().back_mut() {
            segment.tables.extend(tables);
        }
        self.account(bytes, status);
        Ok((first, bytes))
    }

    /// Says on disk that all before is durable.
    pub(super) fn mark(&mut self, status: &Status) -> io::Result<()> {
        let mut mark = Draft::new(Kind::Mark, self.clock.now());
        mark.finish();
        if self.writer.bytes + mark.len() > self.writer.bytes_max {
            return Ok(()); // room is kept behind each group: this one has its mark
        }
        self.dirty = true;
        self.writer.write(mark.place(self.next, self.durable))?;
        self.sync()?;
        self.account(mark.len(), status);
        Ok(())
    }

    /// Begins a new segment with room for `bytes` of records.
    pub(super) fn rotate(&mut self, bytes: u64, status: &Status) -> io::Result<()> {
        if self.writer.bytes == segment::HEADER_BYTES as u64 && bytes == 0 {
            return Ok(()); // it is new
        }
        let wanted = self.segment_bytes.max(segment::HEADER_BYTES as u64 + bytes + MARK_BYTES);
        let spare = match self.spare.take() {
            Some(spare) if spare.bytes_max() >= wanted => spare,
            _ => Spare::allocate(&self.dir, wanted)?,
        };
        self.dirty = true;
        let header = SegmentHeader { node: self.node, first: self.next, created: self.clock.now(), key: 0 };
        let mut writer = spare.begin(&header)?;
        writer.give_name(&self.dir, self.next)?;
        self.dirty = false;
        let replaced = writer.path == self.writer.path;
        self.writer = writer;
        self.known.clear();
        let path = self.writer.path.clone();
        let mut segments = status.segments.lock();
        if replaced && let Some(empty) = segments.pop_back() {
            status.bytes.fetch_sub(empty.bytes, Ordering::Relaxed);
        }
        segments.push_back(SegmentStatus { first: self.next, path, bytes: 0, tables: HashMap::new() });
        drop(segments);
        self.account(segment::HEADER_BYTES as u64, status);
        Ok(())
    }

    /// Allocates the next segment if there is none; true if there is one then.
    pub(super) fn allocate_ahead(&mut self) -> bool {
        if self.spare.is_none() {
            // A full disk shows when the segment is needed.
            self.spare = Spare::allocate(&self.dir, self.segment_bytes).ok();
        }
        self.spare.is_some()
    }

    /// True if bytes were written that no sync has covered: after a failure nobody knows what the disk holds.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Puts a record at the next place, after the columns that this segment does not hold yet.
    fn put(
        &mut self,
        draft: &mut Draft,
        shapes: &[Arc<Shape>],
        tables: &mut HashMap<TableId, Lsn>,
    ) -> io::Result<()> {
        self.dirty = true;
        let unknown: Vec<_> =
            shapes.iter().filter(|shape| self.known.insert((shape.table, shape.schema_no))).collect();
        if !unknown.is_empty() {
            let mut schemas = Draft::new(Kind::Schemas, self.clock.now());
            unknown.iter().for_each(|shape| schemas.shape(shape.section()));
            schemas.finish();
            self.gathered.extend_from_slice(schemas.place(self.next, self.durable));
        }
        tables.extend(shapes.iter().map(|shape| (shape.table, self.next)));
        let bytes = draft.place(self.next, self.durable);
        if bytes.len() as u64 >= GATHER_BYTES_MAX {
            self.send()?;
            self.writer.write(bytes)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        self.next = Lsn(self.next.0 + 1);
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.writer.write(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.writer.sync()?;
        self.durable = Lsn(self.next.0 - 1);
        self.dirty = false;
        Ok(())
    }

    fn account(&self, bytes: u64, status: &Status) {
        if let Some(segment) = status.segments.lock().back_mut() {
            segment.bytes += bytes;
        }
        status.bytes.fetch_add(bytes, Ordering::Relaxed);
        status.next.store(self.next.0, Ordering::Release);
    }
}

/// An upper bound of what the columns of a record take, if its segment holds none of them yet.
fn shapes_bytes(shapes: &[Arc<Shape>]) -> u64 {
    let sections: u64 = shapes.iter().map(|shape| shape.section().len() as u64).sum();
    sections + (record::HEADER_BYTES as u64).next_multiple_of(8)
}
