//! Files that come: what must hold of them, and how their tuples are named.

use sha2::{Digest, Sha256};

use crate::{Error, NewFile, TableDef};

/// The first 128 bits of a SHA-256.
pub(crate) fn hash_128(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(bytes);
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    hash
}

/// A partition tuple as canonical JSON.
pub(crate) fn tuple_text(tuple: &[Option<i64>]) -> String {
    let parts: Vec<String> =
        tuple.iter().map(|part| part.map_or("null".to_owned(), |unit| unit.to_string())).collect();
    format!("[{}]", parts.join(","))
}

/// `Invalid` if the file cannot be one of the table.
pub(super) fn check_file(def: &TableDef, file: &NewFile) -> Result<(), Error> {
    let invalid = |reason: String| {
        Err(Error::Invalid(format!("data file {:?} of {}: {reason}", file.path, def.full_name())))
    };
    if file.rows == 0 {
        return invalid("it has no rows".into());
    }
    let outside = file.path.starts_with('/')
        || file.path.contains("://")
        || file.path.split('/').any(|part| part == "..");
    if file.path.is_empty() || outside || file.path.chars().any(char::is_control) {
        return invalid("its path must lie below the table's location".into());
    }
    if file.schema_no < 1 || file.schema_no > def.schema.no {
        return invalid(format!("schema {} is not one of 1 to {}", file.schema_no, def.schema.no));
    }
    if file.sort_no < 0 || file.sort_no > def.sort.no {
        return invalid(format!("sort order {} is not one of 0 to {}", file.sort_no, def.sort.no));
    }
    let parts = match file.spec_no {
        0 => 0,
        no if no == def.spec.no => def.spec.fields.len(),
        no => return invalid(format!("partition spec {no} is not the table's, {}", def.spec.no)),
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
