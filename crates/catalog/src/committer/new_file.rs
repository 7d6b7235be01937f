//! Files that come: what must hold of them, and by what they are named.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::evolution::Layouts;
use crate::{Content, Error, NewFile, TableDef};

/// The first 128 bits of a SHA-256.
pub(crate) fn hash_128(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(bytes);
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    hash
}

/// The most bytes of an inline batch.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// What is wrong with where the rows are said to be.
fn content_fault(file: &NewFile) -> Option<String> {
    let Content::Inline(payload) = &file.content else {
        return file.path.is_empty().then(|| "its path must lie below the table's location".to_owned());
    };
    let bytes = payload.as_ref().map_or(0, Bytes::len);
    match () {
        () if bytes == 0 => Some("an inline batch comes without its payload".to_owned()),
        () if bytes > INLINE_BYTES_MAX => {
            Some(format!("its payload has {bytes} bytes, at most {INLINE_BYTES_MAX} are allowed"))
        }
        () if !file.path.is_empty() => Some("an inline batch has no path".to_owned()),
        () if file.spec_no != 0 => Some("an inline batch is in no partition".to_owned()),
        () => None,
    }
}

/// `Invalid` if the file cannot be one of the table. `layouts`: earlier specs and orders, loaded where a file names one.
pub(super) fn check_file(def: &TableDef, layouts: Option<&Layouts>, file: &NewFile) -> Result<(), Error> {
    let invalid = |reason: String| {
        Err(Error::Invalid(format!("data file {:?} of {}: {reason}", file.path, def.full_name())))
    };
    if file.rows == 0 {
        return invalid("it has no rows".into());
    }
    if let Some(reason) = content_fault(file) {
        return invalid(reason);
    }
    let outside = file.path.starts_with('/')
        || file.path.contains("://")
        || file.path.split('/').any(|part| part == "..");
    if outside || file.path.chars().any(char::is_control) {
        return invalid("its path must lie below the table's location".into());
    }
    if file.schema_no < 1 || file.schema_no > def.schema.no {
        return invalid(format!("schema {} is not one of 1 to {}", file.schema_no, def.schema.no));
    }
    let sort_no_max = layouts.map_or(0, |layouts| layouts.sort_no_max).max(def.sort.no);
    if file.sort_no < 0 || file.sort_no > sort_no_max {
        return invalid(format!("sort order {} is not one of 0 to {sort_no_max}", file.sort_no));
    }
    let earlier = || layouts.and_then(|layouts| layouts.specs.get(&file.spec_no));
    let parts = match file.spec_no {
        0 => 0,
        no if no == def.spec.no => def.spec.fields.len(),
        no => match earlier() {
            Some(spec) => spec.fields.len(),
            None => return invalid(format!("the table never had partition spec {no}")),
        },
    };
    if file.partition.len() != parts {
        return invalid(format!(
            "its tuple has {} parts, spec {} has {parts}",
            file.partition.len(),
            file.spec_no
        ));
    }
    if let Some((low, high)) = file.time_range
        && low > high
    {
        return invalid(format!("its times end at {high}, before they start at {low}"));
    }
    Ok(())
}
