//! Buckets: the 32-bit Murmur3 hash of a value's bytes, as Iceberg's specification lays them out.

use cenote_datafile::Value;
use cenote_vocab::{FieldType, TimeUnit};

/// The bucket of a value, of `count`; `None` for a value that has none.
pub(crate) fn bucket(value: &Value, field_type: &FieldType, count: u32) -> Option<i64> {
    let hash = hash(value, field_type)? & 0x7fff_ffff;
    Some(i64::from(hash % count))
}

fn hash(value: &Value, field_type: &FieldType) -> Option<u32> {
    Some(match (value, field_type) {
        (Value::Integer(unscaled), FieldType::Decimal { .. }) => murmur3(&shortest(*unscaled)),
        (Value::Integer(instant), FieldType::Timestamp(unit) | FieldType::TimestampTz(unit)) => {
            hash_integer(micros(*instant, *unit))
        }
        (Value::Integer(integer), _) => hash_integer(*integer),
        (Value::Text(text), _) => murmur3(text.as_bytes()),
        (Value::Bytes(bytes), _) => murmur3(bytes),
        (Value::Boolean(_) | Value::Float(_), _) => return None,
    })
}

/// Eight bytes, whatever the width of the column: it may be widened.
fn hash_integer(integer: i128) -> u32 {
    murmur3(&(integer as u64).to_le_bytes()) // of UBIGINT the bits
}

fn micros(instant: i128, unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => instant * 1_000_000,
        TimeUnit::Milli => instant * 1_000,
        TimeUnit::Micro => instant,
        TimeUnit::Nano => instant.div_euclid(1_000),
    }
}

/// As few bytes, big-endian, as keep the sign.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let fill = if value < 0 { 0xff } else { 0 };
    let keeps_sign = |at: usize| bytes[at] != fill || (bytes[at + 1] ^ fill) & 0x80 != 0;
    let start = (0..bytes.len() - 1).find(|at| keeps_sign(*at)).unwrap_or(bytes.len() - 1);
    bytes[start..].to_vec()
}

/// MurmurHash3, x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |block: u32| block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let mut block = [0; 4];
        block[..tail.len()].copy_from_slice(tail);
        hash ^= scramble(u32::from_le_bytes(block));
    }
    hash ^= bytes.len() as u32; // columns of 4 GiB in a value there are none
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        let uuid = uuid::Uuid::parse_str("f79c3e09-677c-4bbd-a479-3f349cb785e7").unwrap();
        let micro = FieldType::Timestamp(TimeUnit::Micro);
        for (value, field_type, expected) in [
            (Value::Integer(34), FieldType::Int32, 2_017_239_379),
            (Value::Integer(34), FieldType::Int64, 2_017_239_379),
            (Value::Integer(1420), FieldType::Decimal { precision: 9, scale: 2 }, -500_754_589),
            (Value::Integer(17_486), FieldType::Date, -653_330_422),
            (Value::Integer(81_068_000_000), FieldType::Time, -662_762_989),
            (Value::Integer(1_510_871_468_000_000), micro, -2_047_944_441),
            (Value::Integer(1_510_871_468_000_001_001), FieldType::Timestamp(TimeUnit::Nano), -1_207_196_810),
            (Value::Text("iceberg".into()), FieldType::String, 1_210_000_089),
            (Value::Bytes(uuid.as_bytes().to_vec()), FieldType::Uuid, 1_488_055_340),
            (Value::Bytes(vec![0, 1, 2, 3]), FieldType::Binary, -188_683_207),
        ] {
            assert_eq!(hash(&value, &field_type).map(|hash| hash as i32), Some(expected), "{value:?}");
        }
    }

    #[test]
    fn a_decimal_is_as_short_as_its_sign_allows() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-1, vec![0xff]),
            (-128, vec![0x80]),
            (-129, vec![0xff, 0x7f]),
        ] {
            assert_eq!(shortest(value), bytes, "{value}");
        }
    }
}
