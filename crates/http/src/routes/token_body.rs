//! Bodies of the token API: what clients send, and how a token is shown.

use std::time::Duration;

use cenote_catalog::{Grant, NewToken, Token, TokenChange};
use cenote_vocab::{Clock, Micros, Permission, Permissions};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::super::database::checked;
use crate::problem::Problem;

/// Keys of a new or changed token; absent ones stay as they are, other keys are ignored (an Arc path).
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenBody {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    /// An array of words, or one text with commas.
    permissions: Option<Value>,
    grants: Option<Vec<Grant>>,
    default_database: Option<String>,
    expires_in: Option<String>,
    /// `Some(None)` for an explicit null: never.
    #[serde(default, deserialize_with = "present")]
    expires_at: Option<Option<String>>,
    enabled: Option<bool>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(value).map(Some)
}

impl TokenBody {
    /// The body; 400 says what is wrong.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
            .map_err(|error| Problem::bad_request(format!("Invalid request body: {error}")))
    }

    /// A new token; rights default to read and write, as Arc's do, unless grants are given.
    pub(super) fn into_new(self, clock: &Clock) -> Result<NewToken, Problem> {
        let expires = self.expires(clock)?.flatten();
        let permissions = self.permissions()?;
        let name = self.name.filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Problem::bad_request("Token name is required"))?;
        let grants = self.grants.unwrap_or_default();
        let usual = match grants.is_empty() {
            true => Permissions::NONE.with(Permission::Read).with(Permission::Write),
            false => Permissions::NONE,
        };
        Ok(NewToken {
            name,
            description: self.description.unwrap_or_default(),
            permissions: permissions.unwrap_or(usual),
            grants,
            default_database: self.default_database.as_deref().map(checked).transpose()?,
            expires,
        })
    }

    /// A new token of somebody who begins: all rights, and the name `admin`, unless it says otherwise.
    pub(super) fn into_admin(mut self, clock: &Clock) -> Result<NewToken, Problem> {
        self.name.get_or_insert_with(|| "admin".to_owned());
        let says_rights = self.permissions.is_some() || self.grants.is_some();
        let new = self.into_new(clock)?;
        Ok(if says_rights { new } else { NewToken { permissions: Permissions::ADMIN, ..new } })
    }

    /// What of a token changes.
    pub(super) fn into_change(self, clock: &Clock) -> Result<TokenChange, Problem> {
        if self.default_database.is_some() {
            let problem = Problem::bad_request("default_database of a token cannot be changed yet")
                .with("sqlstate", "0A000");
            return Err(problem.hinted("make a new token"));
        }
        Ok(TokenChange {
            expires: self.expires(clock)?,
            permissions: self.permissions()?,
            name: self.name,
            description: self.description,
            grants: self.grants,
            enabled: self.enabled,
        })
    }

    fn permissions(&self) -> Result<Option<Permissions>, Problem> {
        let words: Vec<&str> = match &self.permissions {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(list)) => {
                list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
            }
            Some(Value::Array(words)) => words
                .iter()
                .map(|word| {
                    word.as_str().ok_or_else(|| Problem::bad_request(format!("Invalid permission: {word}")))
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(Problem::bad_request(format!("Invalid permission: {other}"))),
        };
        let word = |word: &str| match word {
            "read" => Ok(Permission::Read),
            "write" => Ok(Permission::Write),
            "delete" => Ok(Permission::Delete),
            "admin" => Ok(Permission::Admin),
            other => Err(Problem::bad_request(format!("Invalid permission: {other}"))),
        };
        words.into_iter().map(word).collect::<Result<Permissions, _>>().map(Some)
    }

    fn expires(&self, clock: &Clock) -> Result<Option<Option<Micros>>, Problem> {
        if let Some(text) = self.expires_in.as_deref().filter(|text| !text.is_empty()) {
            let duration = duration(text).ok_or_else(|| {
                Problem::bad_request(format!(
                    "invalid expires_in {text:?}: expected a number and s, m, h, d or w, such as 24h"
                ))
            })?;
            return Ok(Some(Some(clock.now().plus(duration))));
        }
        match &self.expires_at {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(text)) => match Micros::of_rfc3339(text) {
                Some(at) => Ok(Some(Some(at))),
                None => Err(Problem::bad_request(format!("invalid expires_at {text:?}: expected RFC 3339"))),
            },
        }
    }
}

/// `24h`, `7d`: whole seconds, minutes, hours, days or weeks.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// A token as lists show it.
pub(super) fn shown(token: &Token) -> Map<String, Value> {
    let shown = json!({
        "id": token.id,
        "uuid": token.uuid,
        "name": token.name,
        "description": token.description,
        "permissions": words(token.permissions),
        "grants": token.grants,
        "default_database": token.default_database,
        "created_at": token.created.rfc3339(),
        "last_used_at": token.last_used.map(Micros::rfc3339),
        "enabled": token.enabled,
        "expires_at": token.expires.map(Micros::rfc3339),
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

/// The names of permissions.
pub(super) fn words(permissions: Permissions) -> Vec<String> {
    permissions.iter().map(|permission| permission.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: &str) -> Result<NewToken, Problem> {
        TokenBody::parse(body.as_bytes()).and_then(|body| body.into_new(&Clock::manual(Micros(0))))
    }

    #[test]
    fn permissions_are_a_list_or_a_text() {
        let listed = new(r#"{"name":"a","permissions":["read","admin"],"expires_in":"7d"}"#).expect("good");
        assert_eq!(words(listed.permissions), ["read", "admin"]);
        assert_eq!(listed.expires, Some(Micros(604_800_000_000)));
        assert_eq!(
            words(new(r#"{"name":"a","permissions":"read, write"}"#).expect("good").permissions),
            ["read", "write"]
        );
        assert_eq!(words(new(r#"{"name":"a"}"#).expect("good").permissions), ["read", "write"]);
    }

    #[test]
    fn a_restricted_token_has_grants_only() {
        let body = r#"{"name":"a","grants":[{"database":"prod*","permissions":["read"]}],"expires_at":null}"#;
        let token = new(body).expect("good");
        assert_eq!((token.permissions, token.expires), (Permissions::NONE, None));
        assert_eq!(token.grants[0].measurement, "*");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(new("{}").expect_err("no name").text, "Token name is required");
        assert_eq!(
            new(r#"{"name":"a","permissions":["fly"]}"#).expect_err("unknown").text,
            "Invalid permission: fly"
        );
        assert!(new(r#"{"name":"a","expires_in":"soon"}"#).expect_err("no number").text.contains("24h"));
    }

    #[test]
    fn a_change_leaves_what_is_absent() {
        let clock = Clock::manual(Micros(0));
        let change =
            TokenBody::parse(br#"{"expires_at":null,"enabled":false}"#).expect("good").into_change(&clock);
        let change = change.expect("good");
        assert_eq!((change.expires, change.enabled, change.name), (Some(None), Some(false), None));
    }
}
