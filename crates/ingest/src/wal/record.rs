//! One record: a header of 48 bytes, a body, zeros to the next multiple of 8. All numbers are little endian.
//!
//! ```text
//!  0 "CNR1"  4 body length u32   8 LSN u64        16 durable LSN u64   24 receipt µs i64
//! 32 kind u8 33 flags u8 (0)    34 sections u16   36 CRC-32C of body   40 zero u32   44 CRC-32C of bytes 0-43
//! ```
//! Body of kind rows, per table: table id u64, schema number u32, rows u32, min time i64, max time i64, payload length
//! u32, flags u32, payload. Kinds 2 and 3 carry the place that the next rows will take; they take none themselves.

use bytes::Bytes;
use cenote_vocab::{Lsn, Micros, TableId};

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 48;
/// Most bytes of a body; a larger request is refused.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
/// Most tables in one record: its header counts them in 16 bits.
pub(crate) const SECTIONS_MAX: usize = u16::MAX as usize;

pub(crate) const MAGIC: [u8; 4] = *b"CNR1";
const SECTION_HEADER_BYTES: usize = 40;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One request.
    Rows = 1,
    /// Columns of tables that follow in this segment.
    Schemas = 2,
    /// Nothing: it says that all before it is durable.
    Mark = 3,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub body_bytes: u32,
    /// The record's place; for kinds that take none, that of the next rows.
    pub lsn: Lsn,
    /// The highest place known to be synced when this was written.
    pub durable: Lsn,
    /// When the request came.
    pub received: Micros,
    /// What the body holds.
    pub kind: Kind,
    /// Tables in the body.
    pub sections: u16,
    /// CRC-32C of the body.
    pub body_crc: u32,
}

/// What stands before each table's payload in a body of kind rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionHeader {
    /// The table.
    pub table: TableId,
    /// Its schema number when the rows came.
    pub schema_no: i32,
    /// Rows in the payload.
    pub rows: u32,
    /// Smallest and largest time in µs.
    pub time_range: Option<(i64, i64)>,
    /// Bit 0: the payload begins with the ids of its columns. Bits 8 to 15: by which protocol the rows came; 0: not said.
    pub flags: u32,
}

/// A record whose place is not known yet.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    header: Header,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.durable.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.received.0.to_le_bytes());
        out[32] = self.kind as u8;
        out[34..36].copy_from_slice(&self.sections.to_le_bytes());
        out[36..40].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..44]);
        out[44..48].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` if it is not one, is damaged, or is of a version that is not known.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[0..4] != MAGIC || crc32c::crc32c(&bytes[..44]) != u32_at(bytes, 44)? || bytes[33] != 0 {
            return None;
        }
        let kind = match bytes[32] {
            1 => Kind::Rows,
            2 => Kind::Schemas,
            3 => Kind::Mark,
            _ => return None,
        };
        let body_bytes = u32_at(bytes, 4)?;
        (body_bytes as usize <= BODY_BYTES_MAX).then_some(())?;
        Some(Self {
            body_bytes,
            lsn: Lsn(u64_at(bytes, 8)?),
            durable: Lsn(u64_at(bytes, 16)?),
            received: Micros(u64_at(bytes, 24)?.cast_signed()),
            kind,
            sections: u16::from_le_bytes([bytes[34], bytes[35]]),
            body_crc: u32_at(bytes, 36)?,
        })
    }

    /// Bytes from this record's start to the next one's.
    pub(crate) fn record_bytes(&self) -> u64 {
        (HEADER_BYTES as u64 + u64::from(self.body_bytes)).next_multiple_of(8)
    }
}

impl Draft {
    /// An empty record of this kind.
    pub(crate) fn new(kind: Kind, received: Micros) -> Self {
        let header =
            Header { body_bytes: 0, lsn: Lsn(0), durable: Lsn(0), received, kind, sections: 0, body_crc: 0 };
        Self { bytes: vec![0; HEADER_BYTES], header }
    }

    /// A record that was read, to be written once more.
    pub(crate) fn again(header: &Header, body: &[u8]) -> Self {
        let mut draft = Self::new(header.kind, header.received);
        draft.bytes.extend_from_slice(body);
        draft.header.sections = header.sections;
        draft.finish();
        draft
    }

    /// Adds a table's rows; `payload` appends them.
    pub(crate) fn rows<E>(
        &mut self,
        section: SectionHeader,
        payload: impl FnOnce(&mut Vec<u8>) -> Result<u32, E>,
    ) -> Result<(), E> {
        let at = self.bytes.len();
        let (min, max) = section.time_range.unwrap_or((i64::MAX, i64::MIN));
        self.bytes.extend_from_slice(&section.table.0.to_le_bytes());
        self.bytes.extend_from_slice(&section.schema_no.to_le_bytes());
        self.bytes.extend_from_slice(&section.rows.to_le_bytes());
        self.bytes.extend_from_slice(&min.to_le_bytes());
        self.bytes.extend_from_slice(&max.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        let start = self.bytes.len();
        let flags = payload(&mut self.bytes)?;
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        // A payload beyond 32 bits makes the body larger than BODY_BYTES_MAX, which the caller refuses.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[at + 32..at + 36].copy_from_slice(&length.to_le_bytes());
        self.bytes[at + 36..at + 40].copy_from_slice(&flags.to_le_bytes());
        self.header.sections = self.header.sections.saturating_add(1);
        Ok(())
    }

    /// Adds an encoded section of kind schemas.
    pub(crate) fn shape(&mut self, section: &[u8]) {
        self.bytes.extend_from_slice(section);
        self.header.sections = self.header.sections.saturating_add(1);
    }

    /// Ends the body: length and checksum. On the request's task, so that the log's thread need not read the bytes.
    pub(crate) fn finish(&mut self) {
        let body = &self.bytes[HEADER_BYTES..];
        self.header.body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.header.body_crc = crc32c::crc32c(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Bytes of the whole record.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of the body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.header.body_bytes as usize
    }

    /// The record's bytes at its place.
    pub(crate) fn place(&mut self, lsn: Lsn, durable: Lsn) -> &[u8] {
        self.header.lsn = lsn;
        self.header.durable = durable;
        self.bytes[..HEADER_BYTES].copy_from_slice(&self.header.encode());
        &self.bytes
    }
}

/// The tables of a body of kind rows, each with its payload. An error text if the body contradicts itself.
pub fn sections(header: &Header, body: &Bytes) -> Result<Vec<(SectionHeader, Bytes)>, String> {
    let mut sections =
        Vec::with_capacity(usize::from(header.sections).min(body.len() / SECTION_HEADER_BYTES));
    let mut at = 0;
    for index in 0..header.sections {
        let (section, payload_bytes) =
            section_header(body, at).ok_or_else(|| format!("section {index} is cut short"))?;
        let start = at + SECTION_HEADER_BYTES;
        let end = start
            .checked_add(payload_bytes)
            .filter(|end| *end <= body.len())
            .ok_or_else(|| format!("section {index} claims {payload_bytes} bytes, the body has fewer"))?;
        sections.push((section, body.slice(start..end)));
        at = end;
    }
    if at == body.len() {
        Ok(sections)
    } else {
        Err(format!("{} bytes after the last section", body.len() - at))
    }
}

fn section_header(body: &[u8], at: usize) -> Option<(SectionHeader, usize)> {
    let bytes = body.get(at..at.checked_add(SECTION_HEADER_BYTES)?)?;
    let (min, max) = (u64_at(bytes, 16)?.cast_signed(), u64_at(bytes, 24)?.cast_signed());
    let section = SectionHeader {
        table: TableId(u64_at(bytes, 0)?.cast_signed()),
        schema_no: u32_at(bytes, 8)?.cast_signed(),
        rows: u32_at(bytes, 12)?,
        time_range: (min <= max).then_some((min, max)),
        flags: u32_at(bytes, 36)?,
    };
    Some((section, u32_at(bytes, 32)? as usize))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_reads_back(
            lsn in any::<u64>(),
            durable in any::<u64>(),
            received in any::<i64>(),
            tables in proptest::collection::vec(
                (any::<i64>(), any::<i32>(), any::<u32>(), proptest::option::of((-9i64..9, 9i64..99)), proptest::collection::vec(any::<u8>(), 0..40)),
                0..5,
            ),
        ) {
            let mut draft = Draft::new(Kind::Rows, Micros(received));
            let mut wanted = Vec::new();
            for (table, schema_no, rows, time_range, mut payload) in tables {
                let section = SectionHeader { table: TableId(table), schema_no, rows, time_range, flags: 7 };
                draft
                    .rows(section, |out| {
                        out.extend_from_slice(&payload);
                        Ok::<_, String>(7)
                    })
                    .expect("payload");
                payload.resize(payload.len().next_multiple_of(8), 0);
                wanted.push((section, Bytes::from(payload)));
            }
            draft.finish();
            let bytes = draft.place(Lsn(lsn), Lsn(durable)).to_vec();
            prop_assert_eq!(bytes.len() % 8, 0);
            let header = Header::decode(bytes[..HEADER_BYTES].try_into().expect("48 bytes")).expect("a header");
            prop_assert_eq!((header.lsn, header.durable, header.received), (Lsn(lsn), Lsn(durable), Micros(received)));
            prop_assert_eq!(header.record_bytes(), bytes.len() as u64);
            let body = Bytes::from(bytes).slice(HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize);
            prop_assert_eq!(header.body_crc, crc32c::crc32c(&body));
            prop_assert_eq!(sections(&header, &body).expect("sections"), wanted);
        }

        #[test]
        fn arbitrary_bodies_are_refused_without_a_panic(
            count in any::<u16>(),
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = Header {
                body_bytes: 0, lsn: Lsn(1), durable: Lsn(0), received: Micros(0), kind: Kind::Rows, sections: count, body_crc: 0,
            };
            let read = sections(&header, &Bytes::from(body));
            prop_assert!(read.is_err() || read.is_ok_and(|sections| sections.len() == usize::from(count)));
        }
    }

    #[test]
    fn each_flipped_bit_of_a_header_is_seen() {
        let header = Header {
            body_bytes: 40,
            lsn: Lsn(9),
            durable: Lsn(8),
            received: Micros(5),
            kind: Kind::Mark,
            sections: 0,
            body_crc: 3,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
    }
}
