//! Where the parts of a line end. Everything here works on byte positions and copies nothing.

/// The byte at `at`; the end of the body is the end of a line.
#[inline]
pub(super) fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(b'\n')
}

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) end: usize,
    /// True if it holds backslashes, some of which may be escapes.
    pub(super) escaped: bool,
}

/// Bytes that end a measurement, or may.
const MEASUREMENT: u8 = 1;
/// Bytes that end a key, or may.
const KEY: u8 = 2;
/// Bytes that end a tag's value, or may.
const TAG: u8 = 4;

/// For each byte, in which parts it needs a look.
const STOPS: [u8; 256] = {
    let mut stops = [0; 256];
    stops[b'\\' as usize] = MEASUREMENT | KEY | TAG;
    stops[b'\n' as usize] = MEASUREMENT | KEY | TAG;
    stops[b' ' as usize] = MEASUREMENT | KEY | TAG;
    stops[b',' as usize] = MEASUREMENT | KEY | TAG;
    stops[b'=' as usize] = KEY | TAG;
    stops
};

/// The measurement that begins at `at`: up to a comma or space, `\,` and `\ ` aside.
pub(super) fn measurement(body: &[u8], at: usize) -> Part {
    scan(body, at, MEASUREMENT)
}

/// The key that begins at `at`: up to `=`, comma or space, escaped ones aside.
pub(super) fn key(body: &[u8], at: usize) -> Part {
    scan(body, at, KEY)
}

/// The tag's value that begins at `at`: up to a comma, space or `=`, escaped ones aside.
#[inline]
pub(super) fn tag_value(body: &[u8], at: usize) -> Part {
    scan(body, at, TAG)
}

#[inline]
fn scan(body: &[u8], at: usize, part: u8) -> Part {
    let mut escaped = false;
    let mut end = at;
    loop {
        while end < body.len() && STOPS[usize::from(body[end])] & part == 0 {
            end += 1;
        }
        if byte(body, end) != b'\\' {
            return Part { end, escaped };
        }
        escaped = true;
        end += if is_escape(byte(body, end + 1)) { 2 } else { 1 };
    }
}

/// True if a backslash before this byte, in names and tag values, takes its meaning away.
/// A measurement has no meaning for `=`, so that `\=` in it is two characters either way.
fn is_escape(byte: u8) -> bool {
    matches!(byte, b',' | b'=' | b' ')
}

/// The text whose first quote is at `at - 1`: `end` is its closing quote. `None` if it is never closed.
#[inline]
pub(super) fn text(body: &[u8], at: usize) -> Option<Part> {
    let mut escaped = false;
    let mut end = at;
    loop {
        end += memchr::memchr2(b'"', b'\\', body.get(end..)?)?;
        if body[end] == b'"' {
            return Some(Part { end, escaped });
        }
        escaped = true;
        end += if matches!(byte(body, end + 1), b'"' | b'\\') { 2 } else { 1 };
    }
}

/// Behind the spaces at `at`.
#[inline]
pub(super) fn skip_spaces(body: &[u8], mut at: usize) -> usize {
    while byte(body, at) == b' ' {
        at += 1;
    }
    at
}

/// True if `at` is the end of a line: `\n`, `\r\n` or the end of the body.
#[inline]
pub(super) fn is_line_end(body: &[u8], at: usize) -> bool {
    match byte(body, at) {
        b'\n' => true,
        b'\r' => byte(body, at + 1) == b'\n',
        _ => false,
    }
}

/// The newline, or the end of the body, that ends the line which begins at `start`, bad as it may be:
/// the first newline that is in no quoted value of a field.
pub(super) fn line_end(body: &[u8], start: usize) -> usize {
    let mut at = start;
    while byte(body, at) != b' ' {
        match byte(body, at) {
            b'\n' => return at,
            b'\\' if is_escape(byte(body, at + 1)) => at += 2,
            _ => at += 1,
        }
    }
    loop {
        match byte(body, at) {
            b'\n' => return at.min(body.len()),
            b'\\' if is_escape(byte(body, at + 1)) => at += 2,
            b'=' if byte(body, at + 1) == b'"' => match text(body, at + 2) {
                Some(part) => at = part.end + 1,
                None => return body.len(),
            },
            _ => at += 1,
        }
    }
}

/// Appends a name or tag value without its escapes.
pub(super) fn unescape_name(raw: &[u8], of_measurement: bool, out: &mut Vec<u8>) {
    unescape(raw, out, |byte| is_escape(byte) && !(of_measurement && byte == b'='));
}

/// Appends a text without its escapes.
pub(super) fn unescape_text(raw: &[u8], out: &mut Vec<u8>) {
    unescape(raw, out, |byte| matches!(byte, b'"' | b'\\'));
}

fn unescape(raw: &[u8], out: &mut Vec<u8>, escapes: impl Fn(u8) -> bool) {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'\\' && raw.get(at + 1).is_some_and(|byte| escapes(*byte)) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_at_unescaped_delimiters() {
        let part = |end, escaped| Part { end, escaped };
        assert_eq!(measurement(b"a=b,c", 0), part(3, false));
        assert_eq!(measurement(br"a\ b\,c d", 0), part(7, true));
        assert_eq!(key(br"a\=b=1", 0), part(4, true));
        assert_eq!(tag_value(br"a\b\\,c", 0), part(7, true));
        assert_eq!(tag_value(b"abc", 1), part(3, false));
        assert_eq!(text(br#"a\"b\\" 1"#, 0), Some(part(6, true)));
        assert_eq!(text(b"abc", 0), None);
    }

    #[test]
    fn a_bad_line_ends_at_a_newline_outside_quotes() {
        for (body, end) in [
            ("cpu\nmem v=1", 3),
            ("m x=bad,s=\"a\nb\" 1\nm", 17),
            ("m,t=\"a\nb v=1", 6),
            ("m s=\"a\nb", 8),
            ("m s\\=\"a\nb", 7),
            ("m v=1", 5),
            ("", 0),
        ] {
            assert_eq!(line_end(body.as_bytes(), 0), end, "{body}");
        }
    }

    #[test]
    fn only_escapes_lose_their_backslash() {
        let plain = |raw: &[u8], of_measurement| {
            let mut out = Vec::new();
            unescape_name(raw, of_measurement, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(plain(br"a\,b\ c\=d\x\\", false), r"a,b c=d\x\\");
        assert_eq!(plain(br"a\,b\ c\=d", true), r"a,b c\=d");
        let mut out = Vec::new();
        unescape_text(br#"\"\\\n\"#, &mut out);
        assert_eq!(out, br#""\\n\"#);
    }
}
