//! The binary form of NUMERIC: base-10000 digits (PostgreSQL's `numeric_send`).

use bytes::{BufMut as _, BytesMut};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;

/// Writes a decimal text such as `-12.340`.
pub(super) fn write(text: &str, out: &mut BytesMut) {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    let padded_whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let padded_fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let mut weight = i16::try_from(padded_whole.len() / 4).unwrap_or(i16::MAX) - 1;
    let all = format!("{padded_whole}{padded_fraction}");
    let mut digits: Vec<u16> = all
        .as_bytes()
        .chunks(4)
        .map(|chunk| chunk.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    while digits.first() == Some(&0) {
        digits.remove(0);
        weight -= 1;
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        weight = 0;
    }
    out.put_i16(i16::try_from(digits.len()).unwrap_or(i16::MAX));
    out.put_i16(weight);
    out.put_u16(if is_negative && !digits.is_empty() { NEGATIVE } else { POSITIVE });
    out.put_i16(i16::try_from(fraction.len()).unwrap_or(i16::MAX));
    digits.iter().for_each(|digit| out.put_u16(*digit));
}

/// Reads the binary form as a decimal text; `None` if it is damaged, or no number.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let word = |n: usize| bytes.get(n * 2..n * 2 + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, sign, scale) = (usize::from(word(0)?), word(2)?, usize::from(word(3)?));
    let weight = i32::from(word(1)?.cast_signed());
    // PostgreSQL's own limits: 131072 digits before the point, 16383 after it.
    if sign == NAN || bytes.len() != 8 + count * 2 || scale > 16_383 || !(-4_096..=32_768).contains(&weight) {
        return None;
    }
    let digit = |place: i32| {
        let n = usize::try_from(weight - place).ok()?;
        if n < count { word(4 + n) } else { Some(0) }
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    for place in (0..=weight.max(0)).rev() {
        text.push_str(&format!("{:04}", if place > weight { 0 } else { digit(place)? }));
    }
    let start = usize::from(sign == NEGATIVE);
    let zeros = text[start..].len() - text[start..].trim_start_matches('0').len();
    text.replace_range(start..start + zeros.min(text.len() - start - 1), "");
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", if place > weight { 0 } else { digit(place)? }));
            place -= 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for text in [
            "0",
            "1",
            "-1",
            "1234.50",
            "10000",
            "99999999.00010001",
            "0.0001",
            "-0.5",
            "123456789012345678901234567890.12",
        ] {
            let mut out = BytesMut::new();
            write(text, &mut out);
            assert_eq!(read(&out).as_deref(), Some(text), "{out:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_postgresql() {
        let mut out = BytesMut::new();
        write("1234.50", &mut out);
        assert_eq!(out.as_ref(), [0, 2, 0, 0, 0, 0, 0, 2, 0x04, 0xd2, 0x13, 0x88]);
    }

    #[test]
    fn damaged_bytes_are_no_number() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0, 5, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(read(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
    }
}
