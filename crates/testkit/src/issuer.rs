//! An issuer of bearer tokens, a double: signs with Ed25519 keys of a seed, and tells its keys, or is away.

use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::double::{Request, serve};

/// It, and who asked it.
pub struct Issuer {
    /// Where: its keys are at `/keys`, its discovery where OpenID Connect has it.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// `None`: it is away.
    keys: Option<Value>,
    asked: usize,
}

impl Issuer {
    /// Starts it, away.
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let url = serve(move |request: &Request| {
            if request.path.ends_with("/openid-configuration") {
                let own = format!("http://{}", request.header("host").unwrap_or_default());
                return (
                    "200 OK".to_owned(),
                    json!({"issuer": own, "jwks_uri": format!("{own}/keys")}).to_string(),
                );
            }
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.asked += 1;
            match &state.keys {
                Some(keys) => ("200 OK".to_owned(), keys.to_string()),
                None => ("503 Away".to_owned(), String::new()),
            }
        });
        Self { url, state }
    }

    /// Has these keys from now on, each an id and the seed of the key.
    pub fn holds(&self, keys: &[(&str, u8)]) {
        let jwk = |(id, seed): &(&str, u8)| {
            let mut jwk = Jwk::from_encoding_key(&key(*seed), Algorithm::EdDSA).expect("a key");
            jwk.common.key_id = Some((*id).to_owned());
            jwk
        };
        self.change(|state| state.keys = Some(json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()})));
    }

    /// Answers 503 when it is asked for its keys.
    pub fn goes_away(&self) {
        self.change(|state| state.keys = None);
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A token of these claims, by the key of an id and a seed.
pub fn signed(claims: &Value, (id, seed): (&str, u8)) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &key(seed)).expect("signed")
}

/// A token of these claims, by a shared secret.
pub fn signed_by_secret(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).expect("signed")
}

/// An Ed25519 key of a seed (PKCS #8: RFC 8410, 7).
fn key(seed: u8) -> EncodingKey {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[head.as_slice(), &[seed; 32]].concat())
}
