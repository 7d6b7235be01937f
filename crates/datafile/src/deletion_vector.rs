//! Positions of deleted rows of one file, as the Puffin blob `deletion-vector-v1` of Iceberg's specification.

use std::io::Cursor;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use roaring::RoaringTreemap;

use crate::Error;

/// First bytes of the checked part.
const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];
/// Bytes of the length, of the magic and of the checksum, each.
const WORD: usize = 4;

/// Positions (from 0) of deleted rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeletionVector(RoaringTreemap);

impl DeletionVector {
    /// Deletes one row.
    pub fn insert(&mut self, position: u64) {
        self.0.insert(position);
    }

    /// Rows deleted here or in `other`.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Rows deleted here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// True if a row is deleted here and in `other`.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// With all rows of a range deleted too.
    #[must_use]
    pub fn with_range(&self, positions: Range<u64>) -> Self {
        let mut all = self.0.clone();
        all.insert_range(positions);
        Self(all)
    }

    /// With no row of a range deleted.
    #[must_use]
    pub fn without_range(&self, positions: Range<u64>) -> Self {
        let mut rest = self.0.clone();
        rest.remove_range(positions);
        Self(rest)
    }

    /// True if the row is deleted.
    pub fn contains(&self, position: u64) -> bool {
        self.0.contains(position)
    }

    /// How many rows are deleted.
    pub fn cardinality(&self) -> u64 {
        self.0.len()
    }

    /// About what it takes of memory.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.0.serialized_size()
    }

    /// True if no row is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Deleted positions, ascending.
    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter()
    }

    /// The blob: length (big endian), magic `D1 D3 39 64`, portable 64-bit Roaring bitmap, CRC-32 (big endian) of magic and bitmap.
    /// The length counts magic and bitmap.
    pub fn encode(&self) -> Bytes {
        let mut bitmap = self.0.clone();
        bitmap.optimize(); // runs of rows are what a DELETE by range leaves
        let checked = WORD + bitmap.serialized_size();
        let length = u32::try_from(checked).expect("a file has at most 2^32 rows, 512 MiB of bits");
        let mut blob = BytesMut::with_capacity(checked + 2 * WORD).writer();
        blob.get_mut().put_u32(length);
        blob.get_mut().put_slice(&MAGIC);
        bitmap.serialize_into(&mut blob).expect("memory takes every write");
        let mut blob = blob.into_inner();
        let checksum = crc32fast::hash(&blob[WORD..]);
        blob.put_u32(checksum);
        blob.freeze()
    }

    /// Reads a blob; `Corrupt` for a wrong magic, length, checksum, or a position at or above `row_count`.
    /// `object` names the blob in the error.
    pub fn decode(object: &str, blob: &[u8], row_count: u64) -> Result<Self, Error> {
        let corrupt = |reason: String| Error::Corrupt { object: object.to_owned(), reason };
        let Some((length, rest)) = blob.split_first_chunk::<WORD>() else {
            return Err(corrupt(format!("{} bytes are no deletion vector", blob.len())));
        };
        let Some((checked, checksum)) = rest.split_last_chunk::<WORD>() else {
            return Err(corrupt(format!("{} bytes are no deletion vector", blob.len())));
        };
        let announced = u32::from_be_bytes(*length);
        if usize::try_from(announced) != Ok(checked.len()) {
            return Err(corrupt(format!("length is {announced}, found {} bytes", checked.len())));
        }
        let Some(bitmap) = checked.strip_prefix(&MAGIC) else {
            return Err(corrupt("magic number is wrong".into()));
        };
        let (expected, found) = (u32::from_be_bytes(*checksum), crc32fast::hash(checked));
        if expected != found {
            return Err(corrupt(format!("checksum is {expected:08x}, found {found:08x}")));
        }
        let mut bytes = Cursor::new(bitmap);
        let positions = RoaringTreemap::deserialize_from(&mut bytes)
            .map_err(|error| corrupt(format!("bitmap does not read: {error}")))?;
        if bytes.position() != bitmap.len() as u64 {
            return Err(corrupt(format!(
                "{} bytes after the bitmap",
                bitmap.len() as u64 - bytes.position()
            )));
        }
        match positions.max() {
            Some(last) if last >= row_count => {
                Err(corrupt(format!("position {last} is not below the row count {row_count}")))
            }
            _ => Ok(Self(positions)),
        }
    }
}

impl FromIterator<u64> for DeletionVector {
    fn from_iter<I: IntoIterator<Item = u64>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{ErrorKind, Fault};
    use proptest::prelude::*;

    use super::*;

    /// The blob around `bitmap` with a right length and checksum, so that only the bitmap can be wrong.
    fn sealed(bitmap: &[u8]) -> Vec<u8> {
        let mut blob = ((WORD + bitmap.len()) as u32).to_be_bytes().to_vec();
        blob.extend(MAGIC);
        blob.extend(bitmap);
        let checksum = crc32fast::hash(&blob[WORD..]);
        blob.extend(checksum.to_be_bytes());
        blob
    }

    #[test]
    fn one_position_has_the_published_bytes() {
        let blob = DeletionVector::from_iter([3]).encode();
        // one 32-bit bitmap (8 bytes), key 0, cookie 12346, one container: key 0, cardinality 1, offset 16, value 3
        let bitmap =
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3A, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 3, 0];
        assert_eq!(blob, sealed(&bitmap));
    }

    #[test]
    fn a_position_at_the_row_count_is_damage() {
        let blob = DeletionVector::from_iter([0, 9]).encode();
        assert!(DeletionVector::decode("dv of file 1", &blob, 10).is_ok());
        let error = DeletionVector::decode("dv of file 1", &blob, 9).unwrap_err();
        assert_eq!(error.to_string(), "dv of file 1 is damaged: position 9 is not below the row count 9");
    }

    #[test]
    fn a_range_of_rows_stays_small() {
        let vector: DeletionVector = (0..1_000_000).collect();
        assert!(vector.encode().len() < 1024);
    }

    proptest! {
        #[test]
        fn a_vector_reads_back(positions in prop::collection::btree_set(0..20_000_000_u64, 0..300), start in 0..5_000_000_000_u64) {
            let vector: DeletionVector = positions.iter().copied().chain(start..start + 70).collect();
            let read = DeletionVector::decode("dv", &vector.encode(), u64::MAX).unwrap();
            prop_assert_eq!(read.positions().collect::<Vec<_>>(), vector.positions().collect::<Vec<_>>());
        }

        #[test]
        fn a_flipped_bit_is_damage(positions in prop::collection::vec(0..1_000_000_u64, 0..50), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut blob = positions.into_iter().collect::<DeletionVector>().encode().to_vec();
            let at = at.index(blob.len());
            blob[at] ^= 1_u8 << bit;
            let error = DeletionVector::decode("dv", &blob, u64::MAX).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        }

        #[test]
        fn a_cut_blob_is_damage(positions in prop::collection::vec(0..1_000_000_u64, 0..50), kept in any::<prop::sample::Index>()) {
            let blob = positions.into_iter().collect::<DeletionVector>().encode();
            prop_assert!(DeletionVector::decode("dv", &blob[..kept.index(blob.len())], u64::MAX).is_err());
        }

        #[test]
        fn a_wrong_bitmap_never_panics(bitmap in prop::collection::vec(any::<u8>(), 0..80), real in any::<bool>(), at in any::<prop::sample::Index>()) {
            let bitmap = if real {
                let mut bytes = (0..200).chain(90_000..90_100).collect::<DeletionVector>().encode()[8..].to_vec();
                let at = at.index(bytes.len());
                bytes[at] ^= bitmap.first().copied().unwrap_or(1);
                bytes
            } else {
                bitmap
            };
            if let Ok(vector) = DeletionVector::decode("dv", &sealed(&bitmap), 1_000_000) {
                prop_assert!(vector.positions().all(|position| position < 1_000_000));
            }
        }
    }
}
