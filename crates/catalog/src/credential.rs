//! Secrets of tokens: their form, what is stored instead of them, and who proved one lately.

use std::collections::HashMap;
use std::fmt;

use cenote_vocab::{CatalogId, Ids, Micros, Permission, Permissions};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{Error, Identity};

const PREFIX: &str = "cnt_";
const PUBLIC_CHARS: usize = 8;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// A given (bootstrap) secret has at least so many characters.
const GIVEN_CHARS_MIN: usize = 32;
/// … and at most so many.
const GIVEN_CHARS_MAX: usize = 1_024;
/// Rounds of PBKDF2 in SCRAM-SHA-256 (RFC 7677 asks for 4096 at least).
pub(crate) const ITERATIONS: u32 = 4_096;
/// For how long a proven secret is believed.
const CACHE_MICROS: i64 = 30_000_000;
/// Proven secrets that are remembered, at most.
const CACHE_MAX: usize = 10_000;
/// Between two notes of a token's last use.
const LAST_USED_MICROS: i64 = 60_000_000;

/// What is stored of a secret.
#[derive(Clone)]
pub(crate) struct Verifier {
    pub(crate) hash: [u8; 32],
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// A new secret: `cnt_`, 8 characters to tell tokens apart, `_`, 256 random bits, a checksum.
pub(crate) fn mint(ids: &Ids) -> String {
    let public = ids.bytes::<PUBLIC_CHARS>();
    let public: String = public.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % 62])).collect();
    let body = format!("{PREFIX}{public}_{}", base62(&ids.bytes::<32>(), SECRET_CHARS));
    let checksum = checksum(&body);
    format!("{body}{checksum}")
}

/// The number that `bytes` are, big endian, in base 62, padded to `chars` characters.
fn base62(bytes: &[u8], chars: usize) -> String {
    let mut digits = vec![0_u8; chars];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in digits.iter_mut().rev() {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 62) as u8;
            carry /= 62;
        }
    }
    digits.iter().map(|digit| char::from(ALPHABET[usize::from(*digit)])).collect()
}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_CHARS)
}

/// False for a secret that starts as ours do and is damaged: it need not be looked up.
pub(crate) fn may_be_valid(secret: &str) -> bool {
    if !secret.starts_with(PREFIX) {
        return (GIVEN_CHARS_MIN..=GIVEN_CHARS_MAX).contains(&secret.chars().count());
    }
    let length = PREFIX.len() + PUBLIC_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
    secret.len() == length
        && secret.is_ascii()
        && checksum(&secret[..length - CHECKSUM_CHARS]) == secret[length - CHECKSUM_CHARS..]
}

/// `Invalid` for a given secret that could never be used; the secret is not repeated.
pub(crate) fn check_given(secret: &str) -> Result<(), Error> {
    if secret.starts_with(PREFIX) && !may_be_valid(secret) {
        return Err(Error::Invalid(format!(
            "a given token that starts with {PREFIX} must be a whole one: its checksum is wrong"
        )));
    }
    if !may_be_valid(secret) || secret.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "a given token has {GIVEN_CHARS_MIN} to {GIVEN_CHARS_MAX} characters, none of them a control character"
        )));
    }
    Ok(())
}

/// By what a secret is found.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl Verifier {
    /// Of a secret. Takes a few milliseconds.
    pub(crate) fn of(secret: &str, salt: [u8; 16]) -> Self {
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(secret.as_bytes(), &salt, ITERATIONS);
        let client_key = hmac(&salted, b"Client Key");
        Self {
            hash: hash(secret),
            salt: salt.to_vec(),
            iterations: ITERATIONS,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, b"Server Key"),
        }
    }

    /// For a user who does not exist: the same each time, and nothing fits it.
    pub(crate) fn mock(server_secret: &[u8], user: &str) -> Self {
        let derive = |what: &str| hmac(server_secret, format!("{what}\0{user}").as_bytes());
        Self {
            hash: [0; 32],
            salt: derive("salt")[..16].to_vec(),
            iterations: ITERATIONS,
            stored_key: derive("stored key"),
            server_key: derive("server key"),
        }
    }
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// `read,write`, as stored.
pub(crate) fn permissions_text(permissions: Permissions) -> String {
    permissions.iter().map(|permission| permission.to_string()).collect::<Vec<_>>().join(",")
}

pub(crate) fn permissions_from_text(text: &str) -> Result<Permissions, Error> {
    text.split(',').filter(|word| !word.is_empty()).map(permission).collect()
}

fn permission(word: &str) -> Result<Permission, Error> {
    Ok(match word {
        "read" => Permission::Read,
        "write" => Permission::Write,
        "delete" => Permission::Delete,
        "admin" => Permission::Admin,
        other => return Err(Error::Corrupt(format!("permission {other:?} of a token"))),
    })
}

/// Who proved a secret lately.
#[derive(Debug)]
pub(crate) struct CredentialCache {
    /// Unknown users get verifiers that are derived from this.
    server_secret: Vec<u8>,
    proven: Mutex<Proven>,
}

#[derive(Debug, Default)]
struct Proven {
    by_hash: HashMap<[u8; 32], (Identity, Micros)>,
    last_used: HashMap<(CatalogId, i64), Micros>,
    /// Grows with every change of any token, so that a read that began before is not remembered after.
    generation: u64,
}

impl CredentialCache {
    pub(crate) fn new(server_secret: Vec<u8>) -> Self {
        Self { server_secret, proven: Mutex::default() }
    }

    pub(crate) fn server_secret(&self) -> &[u8] {
        &self.server_secret
    }

    /// The identity behind a hash, if it was proven in the last 30 s; and the generation to remember a read by.
    pub(crate) fn identity(&self, hash: &[u8; 32], now: Micros) -> (Option<Identity>, u64) {
        let proven = self.proven.lock();
        let known =
            proven.by_hash.get(hash).filter(|(_, until)| now < *until).map(|(identity, _)| identity.clone());
        (known, proven.generation)
    }

    /// The identity behind a token's id, if it was proven in the last 30 s.
    pub(crate) fn is_proven(&self, catalog: CatalogId, id: i64, now: Micros) -> Option<Identity> {
        let proven = self.proven.lock();
        let mut entries = proven.by_hash.values().filter(|(_, until)| now < *until);
        entries
            .find(|(identity, _)| identity.scope.catalog() == catalog && identity.token.id == id)
            .map(|(identity, _)| identity.clone())
    }

    /// Remembers what was read while the cache was of `generation`.
    pub(crate) fn note(&self, hash: [u8; 32], identity: &Identity, now: Micros, generation: u64) {
        let mut proven = self.proven.lock();
        if proven.generation != generation {
            return;
        }
        if proven.by_hash.len() >= CACHE_MAX {
            proven.by_hash.retain(|_, (_, until)| now < *until);
        }
        if proven.by_hash.len() < CACHE_MAX {
            proven.by_hash.insert(hash, (identity.clone(), Micros(now.0.saturating_add(CACHE_MICROS))));
        }
    }

    /// True at most once a minute per token: its use is to be noted.
    pub(crate) fn is_use_due(&self, catalog: CatalogId, id: i64, now: Micros) -> bool {
        let mut proven = self.proven.lock();
        let last = proven.last_used.get(&(catalog, id)).copied();
        let due = last.is_none_or(|last| now.0 - last.0 >= LAST_USED_MICROS);
        if due {
            proven.last_used.insert((catalog, id), now);
        }
        due
    }

    /// A token changed: nothing that is remembered of it holds.
    pub(crate) fn forget(&self, catalog: CatalogId, id: i64) {
        let mut proven = self.proven.lock();
        proven.generation += 1;
        proven
            .by_hash
            .retain(|_, (identity, _)| identity.scope.catalog() != catalog || identity.token.id != id);
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Clock;

    use super::*;

    #[test]
    fn a_minted_secret_has_its_form_and_one_wrong_character_is_seen() {
        let ids = Ids::seeded(3, Clock::manual(Micros(0)));
        let secret = mint(&ids);
        assert_eq!(secret.len(), 62);
        assert!(may_be_valid(&secret), "{secret}");
        for at in 0..secret.len() {
            let mut damaged = secret.clone().into_bytes();
            damaged[at] = if damaged[at] == b'x' { b'y' } else { b'x' };
            let damaged = String::from_utf8(damaged).expect("ascii");
            assert!(!may_be_valid(&damaged) || !damaged.starts_with("cnt_"), "{damaged}");
        }
        assert_ne!(mint(&ids), secret);
    }

    #[test]
    fn given_secrets_are_long_or_refused() {
        assert!(check_given("short").is_err());
        assert!(check_given(&"a".repeat(32)).is_ok());
        assert!(check_given("cnt_not_a_whole_one_but_long_enough_to_pass").is_err());
    }

    #[test]
    fn base62_is_a_number_in_base_62() {
        assert_eq!(base62(&[0, 0], 3), "000");
        assert_eq!(base62(&[0, 61], 3), "00z");
        assert_eq!(base62(&[1, 0], 3), "048");
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_verifier_fits_the_example_of_the_rfc() {
        use base64::Engine as _;
        let salt =
            base64::engine::general_purpose::STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = Verifier::of("pencil", salt.try_into().expect("16 bytes"));
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&verifier.server_key, auth);
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn permissions_are_stored_as_words() {
        let permissions = Permissions::NONE.with(Permission::Read).with(Permission::Delete);
        assert_eq!(permissions_text(permissions), "read,delete");
        assert_eq!(permissions_from_text("read,delete").expect("words"), permissions);
        assert_eq!(permissions_from_text("").expect("none"), Permissions::NONE);
    }
}
