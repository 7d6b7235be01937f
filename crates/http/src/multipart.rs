//! `multipart/form-data` (RFC 7578) of a body that is held whole: the parts are slices of it.

use bytes::Bytes;

use crate::problem::Problem;

/// Most parts of one form.
const PARTS_MAX: usize = 64;
/// Longest head of one part.
const HEAD_MAX: usize = 8 << 10;

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

/// The fields of a form in their order; 400 says what is wrong with it.
pub(crate) fn parts(content_type: &str, body: &Bytes) -> Result<Vec<Part>, Problem> {
    let boundary = boundary(content_type)
        .ok_or_else(|| invalid("Content-Type must be multipart/form-data with a boundary"))?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // the first delimiter may stand at the very start, without the line end before it
    let mut at = if body.starts_with(&delimiter[2..]) {
        delimiter.len() - 2
    } else {
        position(body, &delimiter).ok_or_else(|| invalid("no boundary in the body"))? + delimiter.len()
    };
    let mut parts = Vec::new();
    while !body[at..].starts_with(b"--") {
        let rest = &body[at..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest[blanks..].starts_with(b"\r\n") {
            return Err(invalid("a boundary does not end its line"));
        }
        if parts.len() == PARTS_MAX {
            return Err(invalid(&format!("more than {PARTS_MAX} fields")));
        }
        let head_start = at + blanks;
        let window = &body[head_start..body.len().min(head_start + HEAD_MAX)];
        let head_length =
            position(window, b"\r\n\r\n").ok_or_else(|| invalid("a field has no end of its headers"))?;
        let start = head_start + head_length + 4;
        // an empty part ends in the line end of its head
        let length =
            position(&body[start - 2..], &delimiter).ok_or_else(|| invalid("a field does not end"))?;
        let end = (start - 2 + length).max(start);
        let name = name(&body[head_start..start - 2]).ok_or_else(|| invalid("a field has no name"))?;
        parts.push(Part { name, content: body.slice(start..end) });
        at = start - 2 + length + delimiter.len();
    }
    Ok(parts)
}

fn invalid(text: &str) -> Problem {
    Problem::bad_request(format!("invalid multipart form: {text}"))
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn boundary(content_type: &str) -> Option<String> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))
}

/// `name` of the part's Content-Disposition.
fn name(head: &[u8]) -> Option<String> {
    String::from_utf8_lossy(head).split("\r\n").find_map(|line| {
        let (header, value) = line.split_once(':')?;
        let (kind, parameters) = value.split_once(';')?;
        let wanted = header.trim().eq_ignore_ascii_case("content-disposition") && kind.trim() == "form-data";
        wanted.then(|| parameter(parameters, "name"))?
    })
}

/// The value of one of `a=b; c="d"`; browsers send quotes inside of names as `%22`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    parameters.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xYz\"";

    fn read(body: &'static str) -> Result<Vec<(String, Bytes)>, String> {
        let parts = parts(TYPE, &Bytes::from_static(body.as_bytes())).map_err(|problem| problem.text)?;
        Ok(parts.into_iter().map(|part| (part.name, part.content)).collect())
    }

    #[test]
    fn fields_keep_their_bytes_and_their_order() {
        let body = "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\
                    a,b\r\n--xY\r\n\r\n--xYz\r\ncontent-disposition: form-data; name=table\r\n\r\n\r\n--xYz--\r\n";
        let expected =
            vec![("file".to_owned(), Bytes::from("a,b\r\n--xY\r\n")), ("table".to_owned(), Bytes::new())];
        assert_eq!(read(body), Ok(expected));
        assert_eq!(read("--xYz--"), Ok(vec![]));
    }

    #[test]
    fn every_cut_of_a_form_is_refused_and_none_panics() {
        let whole = "preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz--";
        for end in 0..whole.len() {
            read(&whole[..end]).expect_err("cut short");
        }
        assert_eq!(read(whole).expect("whole").len(), 1);
    }

    #[test]
    fn other_media_types_are_refused() {
        parts("text/csv", &Bytes::new()).expect_err("no form");
        parts("multipart/form-data", &Bytes::new()).expect_err("no boundary");
    }
}
