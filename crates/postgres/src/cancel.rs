//! CancelRequest: comes on a connection of its own and names another by (pid, key).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use cenote_query::Session;
use parking_lot::Mutex;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;

/// Process number and secret, as the startup told them to the client.
type Key = (i32, Vec<u8>);

/// Sessions by their cancel key.
#[derive(Default)]
pub(crate) struct CancelKeys(Mutex<HashMap<Key, Weak<Session>>>);

impl CancelKeys {
    pub(crate) fn insert(&self, pid: i32, key: &SecretKey, session: &Arc<Session>) {
        self.0.lock().insert((pid, bytes(key)), Arc::downgrade(session));
    }

    pub(crate) fn remove(&self, pid: i32, key: &SecretKey) {
        self.0.lock().remove(&(pid, bytes(key)));
    }
}

fn bytes(key: &SecretKey) -> Vec<u8> {
    match key {
        SecretKey::I32(number) => number.to_be_bytes().to_vec(),
        SecretKey::Bytes(bytes) => bytes.to_vec(),
    }
}

/// Answers nothing, as PostgreSQL does: a wrong key must not be told from a right one.
pub(crate) struct Canceller(pub(crate) Arc<CancelKeys>);

#[async_trait]
impl CancelHandler for Canceller {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let key = (request.pid, bytes(&request.secret_key));
        let session = self.0.0.lock().get(&key).and_then(Weak::upgrade);
        if let Some(session) = session {
            session.cancel("canceling statement due to user request");
        }
    }
}
