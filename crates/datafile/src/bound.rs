//! Bounds as they are kept: long texts and bytes are cut, and never to the inside of the values they bound.

use crate::Value;

/// Longest text or bytes of a bound.
const BOUND_BYTES_MAX: usize = 32;

/// As much of a value as decides its bound: a little over [`BOUND_BYTES_MAX`] bytes, so that a later cut is seen.
pub(crate) fn prefix(value: Value) -> Value {
    match value {
        Value::Text(mut text) => {
            if let Some(end) = (BOUND_BYTES_MAX + 1..text.len()).find(|at| text.is_char_boundary(*at)) {
                text.truncate(end);
                text.shrink_to_fit();
            }
            Value::Text(text)
        }
        Value::Bytes(mut bytes) => {
            bytes.truncate(BOUND_BYTES_MAX + 1);
            bytes.shrink_to_fit();
            Value::Bytes(bytes)
        }
        other => other,
    }
}

/// A value at or below `min` in at most 32 bytes, and whether it is `min` itself. Zero becomes −0.0.
pub(crate) fn cut_min(min: Value) -> (Value, bool) {
    match min {
        Value::Text(mut text) if text.len() > BOUND_BYTES_MAX => {
            text.truncate(text.floor_char_boundary(BOUND_BYTES_MAX));
            (Value::Text(text), false)
        }
        Value::Bytes(mut bytes) if bytes.len() > BOUND_BYTES_MAX => {
            bytes.truncate(BOUND_BYTES_MAX);
            (Value::Bytes(bytes), false)
        }
        Value::Float(0.0) => (Value::Float(-0.0), true),
        min => (min, true),
    }
}

/// A value at or above `max` in at most 32 bytes, and whether it is `max` itself; `None` if there is no such value.
/// Zero becomes +0.0.
pub(crate) fn cut_max(max: Value) -> (Option<Value>, bool) {
    match max {
        Value::Text(mut text) if text.len() > BOUND_BYTES_MAX => {
            text.truncate(text.floor_char_boundary(BOUND_BYTES_MAX));
            (next_text(text).map(Value::Text), false)
        }
        Value::Bytes(mut bytes) if bytes.len() > BOUND_BYTES_MAX => {
            bytes.truncate(BOUND_BYTES_MAX);
            (next_bytes(bytes).map(Value::Bytes), false)
        }
        Value::Float(0.0) => (Some(Value::Float(0.0)), true),
        max => (Some(max), true),
    }
}

/// The shortest text above all that begin with `text`, not longer than it.
pub fn next_text(mut text: String) -> Option<String> {
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'), // surrogates are no characters
            last => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next.filter(|next| next.len_utf8() == last.len_utf8()) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// The shortest bytes above all that begin with `bytes`, not longer than them.
pub fn next_bytes(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn max_of(text: &str) -> (Option<Value>, bool) {
        cut_max(prefix(Value::Text(text.to_owned())))
    }

    #[test]
    fn a_cut_maximum_is_incremented_where_it_can_be() {
        let long = "a".repeat(40);
        assert_eq!(max_of(&long), (Some(Value::Text("a".repeat(31) + "b")), false));
        let ends_high = "a".repeat(31) + "\u{7f}zz";
        assert_eq!(max_of(&ends_high), (Some(Value::Text("a".repeat(30) + "b")), false));
        assert_eq!(max_of(&"\u{10FFFF}".repeat(20)), (None, false));
        assert_eq!(cut_max(Value::Bytes(vec![0xff; 33])), (None, false));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let long = "x".to_owned() + &"é".repeat(30);
        let (min, exact) = cut_min(prefix(Value::Text(long.clone())));
        assert_eq!((min, exact), (Value::Text("x".to_owned() + &"é".repeat(15)), false));
    }

    #[test]
    fn thirty_two_bytes_are_kept() {
        let text = Value::Text("z".repeat(32));
        assert_eq!(cut_min(prefix(text.clone())), (text.clone(), true));
        assert_eq!(cut_max(prefix(text.clone())), (Some(text), true));
    }

    #[test]
    fn zero_is_bounded_by_both_zeros() {
        let (min, _) = cut_min(Value::Float(0.0));
        let (max, _) = cut_max(Value::Float(-0.0));
        assert!(matches!(min, Value::Float(zero) if zero.is_sign_negative()));
        assert!(matches!(max, Some(Value::Float(zero)) if zero.is_sign_positive()));
    }
}
