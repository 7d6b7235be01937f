//! Bytes become MessagePack tokens. Every length is checked against the bytes that are left.

use std::borrow::Cow;

use rmp::Marker;

use crate::Error;
use crate::item::{NESTING_MAX, malformed, too_deep};
use crate::value::Value;

/// The extension type of timestamps.
const TIMESTAMP: i8 = -1;

/// A scalar, or the head of an array or map whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Beyond what 64 signed bits hold.
    Huge(u64),
    Float(f64),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Extension(i8, &'a [u8]),
    Array(usize),
    Map(usize),
}

impl Token<'_> {
    /// As error texts name it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Huge(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Binary(_) => "bin",
            Self::Extension(..) => "ext",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
        }
    }
}

impl<'a> Token<'a> {
    /// The value of a cell. An error for what no column can hold.
    pub(super) fn value(self) -> Result<Value<'a>, Error> {
        Ok(match self {
            Self::Nil => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Binary(bytes) => Value::Binary(bytes),
            Self::Extension(TIMESTAMP, bytes) => Value::Timestamp(timestamp(bytes)?),
            Self::Huge(value) => {
                return Err(malformed(format!("integer {value} is above 9223372036854775807")));
            }
            Self::Extension(number, _) => {
                return Err(malformed(format!("extension type {number} is not supported")));
            }
            Self::Array(_) | Self::Map(_) => {
                return Err(malformed(format!("value is a nested {}, expected a scalar", self.type_name())));
            }
        })
    }
}

/// Microseconds of the three layouts of the timestamp extension.
fn timestamp(bytes: &[u8]) -> Result<i64, Error> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (seconds, nanos) = match bytes.len() {
        4 => (number(bytes) as i64, 0),
        8 => ((number(bytes) & ((1 << 34) - 1)) as i64, number(bytes) >> 34),
        12 => (number(&bytes[4..]) as i64, number(&bytes[..4])),
        length => return Err(malformed(format!("timestamp of {length} bytes, expected 4, 8 or 12"))),
    };
    if nanos > 999_999_999 {
        return Err(malformed(format!("timestamp with {nanos} nanoseconds")));
    }
    let micros = crate::Precision::Second.micros(seconds).map(|start| start.0 + (nanos / 1000) as i64);
    micros.ok_or_else(|| malformed(format!("timestamp {seconds} s is outside years 1 to 9999")))
}

/// A place in a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes on behind `count` bytes, which the caller has looked at.
    pub(super) fn step(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| self.short(count))?;
        self.bytes = rest;
        Ok(taken)
    }

    #[cold]
    fn short(&self, count: usize) -> Error {
        malformed(format!("msgpack: {count} bytes claimed, {} bytes are left", self.bytes.len()))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.short(N))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Error> {
        Ok(self.array::<N>()?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>, Error> {
        let number = i8::from_be_bytes(self.array()?);
        Ok(Token::Extension(number, self.take(length)?))
    }

    /// The length of an array or map, each of whose entries needs at least `entry` bytes.
    fn claim(&mut self, length: usize, entry: usize) -> Result<usize, Error> {
        if length > self.bytes.len() / entry {
            return Err(malformed(format!(
                "msgpack: an array or map claims {length} entries, {} bytes are left",
                self.bytes.len()
            )));
        }
        Ok(length)
    }

    /// The next token; the elements of an array or map come after it.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Error> {
        let [first] = self.array()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(value) => Token::Int(i64::from(value)),
            Marker::FixNeg(value) => Token::Int(i64::from(value)),
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::U8 => Token::Int(i64::from(u8::from_be_bytes(self.array()?))),
            Marker::U16 => Token::Int(i64::from(u16::from_be_bytes(self.array()?))),
            Marker::U32 => Token::Int(i64::from(u32::from_be_bytes(self.array()?))),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.array()?);
                i64::try_from(value).map_or(Token::Huge(value), Token::Int)
            }
            Marker::I8 => Token::Int(i64::from(i8::from_be_bytes(self.array()?))),
            Marker::I16 => Token::Int(i64::from(i16::from_be_bytes(self.array()?))),
            Marker::I32 => Token::Int(i64::from(i32::from_be_bytes(self.array()?))),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f64::from(f32::from_be_bytes(self.array()?))),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => Token::Text(self.take(usize::from(length))?),
            Marker::Str8 => Token::Text(self.take_counted::<1>()?),
            Marker::Str16 => Token::Text(self.take_counted::<2>()?),
            Marker::Str32 => Token::Text(self.take_counted::<4>()?),
            Marker::Bin8 => Token::Binary(self.take_counted::<1>()?),
            Marker::Bin16 => Token::Binary(self.take_counted::<2>()?),
            Marker::Bin32 => Token::Binary(self.take_counted::<4>()?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.length::<1>().and_then(|length| self.extension(length))?,
            Marker::Ext16 => self.length::<2>().and_then(|length| self.extension(length))?,
            Marker::Ext32 => self.length::<4>().and_then(|length| self.extension(length))?,
            Marker::FixArray(length) => Token::Array(self.claim(usize::from(length), 1)?),
            Marker::Array16 => {
                self.length::<2>().and_then(|length| self.claim(length, 1)).map(Token::Array)?
            }
            Marker::Array32 => {
                self.length::<4>().and_then(|length| self.claim(length, 1)).map(Token::Array)?
            }
            Marker::FixMap(length) => Token::Map(self.claim(usize::from(length), 2)?),
            Marker::Map16 => self.length::<2>().and_then(|length| self.claim(length, 2)).map(Token::Map)?,
            Marker::Map32 => self.length::<4>().and_then(|length| self.claim(length, 2)).map(Token::Map)?,
            Marker::Reserved => return Err(malformed("msgpack: byte 0xc1 has no meaning")),
        })
    }

    fn take_counted<const N: usize>(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length::<N>()?;
        self.take(length)
    }

    /// The bytes of the next value with all that is inside it, at `depth` arrays and maps from the top.
    pub(super) fn value_span(&mut self, depth: usize) -> Result<&'a [u8], Error> {
        let start = self.bytes;
        let mut ahead = *self;
        if !matches!(ahead.token()?, Token::Array(_) | Token::Map(_)) {
            *self = ahead;
            return Ok(&start[..start.len() - self.bytes.len()]);
        }
        let mut left_by_level = vec![1usize];
        while let Some(left) = left_by_level.last_mut() {
            if *left == 0 {
                left_by_level.pop();
                continue;
            }
            *left -= 1;
            let first = self.bytes.first().copied();
            let entries = match self.token()? {
                Token::Array(length) => length,
                Token::Map(length) => 2 * length,
                _ => {
                    // Runs of one type of number are most of what there is.
                    if let Some(first @ (0xca | 0xcb | 0xd2 | 0xd3 | 0xcf)) = first {
                        *left -= self.skip_run(first, *left);
                    }
                    continue;
                }
            };
            if depth + left_by_level.len() > NESTING_MAX {
                return Err(too_deep());
            }
            left_by_level.push(entries);
        }
        Ok(&start[..start.len() - self.bytes.len()])
    }

    fn skip_run(&mut self, first: u8, count_max: usize) -> usize {
        let size = if matches!(first, 0xca | 0xd2) { 5 } else { 9 };
        let run = self.bytes.chunks_exact(size).take(count_max).take_while(|value| value[0] == first).count();
        self.step(run * size);
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_every_layout() {
        for (bytes, token) in [
            (&b"\x7f"[..], Token::Int(127)),
            (b"\xe0", Token::Int(-32)),
            (b"\xcc\xff", Token::Int(255)),
            (b"\xcd\x01\x00", Token::Int(256)),
            (b"\xd1\xff\xfe", Token::Int(-2)),
            (b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", Token::Int(i64::MAX)),
            (b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", Token::Huge(1 << 63)),
            (b"\xca\x3f\x80\x00\x00", Token::Float(1.0)),
            (b"\xa2hi", Token::Text(b"hi")),
            (b"\xda\x00\x02hi", Token::Text(b"hi")),
            (b"\xc4\x01\xff", Token::Binary(b"\xff")),
            (b"\xd6\xff\0\0\0\x01", Token::Extension(-1, b"\0\0\0\x01")),
            (b"\xc7\x00\x05", Token::Extension(5, b"")),
            (b"\x91\x01", Token::Array(1)),
            (b"\xde\x00\x01\x01\x01", Token::Map(1)),
        ] {
            assert_eq!(Reader::new(bytes).token().expect("valid"), token);
        }
    }

    #[test]
    fn claims_beyond_the_body_are_refused() {
        for bytes in [
            &b"\xdd\xff\xff\xff\xff\x01"[..],
            b"\xdf\xff\xff\xff\xff\x01",
            b"\xdb\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
            b"\xcb\x00",
            b"\xc1",
            b"",
        ] {
            assert!(Reader::new(bytes).token().is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn timestamps_floor_to_microseconds() {
        assert_eq!(timestamp(&5u32.to_be_bytes()).expect("32 bit"), 5_000_000);
        let packed = 1_999u64 << 34 | 5;
        assert_eq!(timestamp(&packed.to_be_bytes()).expect("64 bit"), 5_000_001);
        let long = [&999_999_999u32.to_be_bytes()[..], &(-1i64).to_be_bytes()].concat();
        assert_eq!(timestamp(&long).expect("96 bit"), -1);
        assert!(timestamp(&[0; 5]).is_err());
        assert!(timestamp(&(u64::MAX).to_be_bytes()).is_err());
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = |levels: usize| [vec![0x91; levels], vec![0x01]].concat();
        assert_eq!(Reader::new(&deep(64)).value_span(0).expect("64 levels").len(), 65);
        let error = Reader::new(&deep(65)).value_span(0).expect_err("65 levels");
        assert!(error.to_string().contains("nesting_max"), "{error}");
        assert!(Reader::new(&deep(100_000)).value_span(0).is_err());
    }
}
