//! `pl_` and a ULID: the id of a pipeline, sorted by when it was made.

use uuid::Uuid;

use crate::problem::Problem;

const PREFIX: &str = "pl_";
/// Crockford's alphabet.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters of 128 bits.
const LENGTH: usize = 26;

/// As clients see it.
pub(super) fn shown(id: Uuid) -> String {
    let bits = id.as_u128();
    let letters = (0..LENGTH).rev().map(|at| char::from(LETTERS[((bits >> (5 * at)) & 31) as usize]));
    PREFIX.chars().chain(letters).collect()
}

/// What a client sent: that, or a UUID as `system.stream` shows it. 404 for what is neither.
pub(super) fn parse(text: &str) -> Result<Uuid, Problem> {
    let bits = text.strip_prefix(PREFIX).filter(|letters| letters.len() == LENGTH).and_then(|letters| {
        letters.bytes().try_fold(0_u128, |bits, letter| {
            let value = LETTERS.iter().position(|known| *known == letter.to_ascii_uppercase())?;
            bits.checked_mul(32)?.checked_add(value as u128)
        })
    });
    let id = bits.map(Uuid::from_u128).or_else(|| text.parse().ok());
    id.ok_or_else(|| Problem::not_found(format!("pipeline {text:?} does not exist")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        for bits in [0, 1, u128::MAX, 0x0198_a3f0_7d1c_7c52_9b1e_0000_0000_0001] {
            let id = Uuid::from_u128(bits);
            assert_eq!(shown(id).len(), PREFIX.len() + LENGTH);
            assert_eq!(parse(&shown(id)).expect("one"), id);
            assert_eq!(parse(&id.to_string()).expect("one"), id);
        }
        for text in ["", "pl_", "pl_ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "pl_0000000000000000000000000U", "x"] {
            assert_eq!(parse(text).expect_err(text).status.as_u16(), 404, "{text}");
        }
    }
}
