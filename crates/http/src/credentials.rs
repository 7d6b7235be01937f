//! Where a request may carry its token; the first place that holds something counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use crate::parameters::Parameters;

/// The secret that a request shows, in this order: Bearer, `Token`, Basic, the bare header, `x-api-key`, `?u=&p=`.
///
/// `Some("")` for an `Authorization` that cannot be read: a wrong credential, not a missing one.
pub(crate) fn secret(headers: &HeaderMap, parameters: &Parameters) -> Option<String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("").trim().to_owned());
    if let Some(value) = text(header::AUTHORIZATION)
        && let Some(secret) = authorization(&value)
    {
        return Some(secret);
    }
    if let Some(key) = headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim)
        && !key.is_empty()
    {
        return Some(key.to_owned());
    }
    parameters.first(&["p"]).or_else(|| parameters.first(&["u"])).map(str::to_owned)
}

fn authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "" => None,
        "bearer" | "token" => (!rest.is_empty()).then(|| rest.to_owned()),
        "basic" => Some(basic(rest)),
        // a bare token has no spaces; another scheme is a wrong credential
        _ => Some(if rest.is_empty() { value.to_owned() } else { String::new() }),
    }
}

/// The password of `user:password`, or the user if the password is empty.
fn basic(encoded: &str) -> String {
    let decoded =
        STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or((decoded.as_str(), ""));
    if password.is_empty() { user.to_owned() } else { password.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &str)], query: &str) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")));
        secret(&headers.collect(), &Parameters::parse(query))
    }

    #[test]
    fn each_place_is_read_in_its_order() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(found(&[("authorization", "Bearer a")], "p=b").as_deref(), Some("a"));
        assert_eq!(found(&[("authorization", "token a"), ("x-api-key", "b")], "").as_deref(), Some("a"));
        assert_eq!(found(&[("authorization", &basic("user:secret"))], "").as_deref(), Some("secret"));
        assert_eq!(found(&[("authorization", &basic(":secret"))], "").as_deref(), Some("secret"));
        assert_eq!(found(&[("authorization", &basic("secret:"))], "").as_deref(), Some("secret"));
        assert_eq!(found(&[("authorization", "cnt_raw")], "").as_deref(), Some("cnt_raw"));
        assert_eq!(found(&[("x-api-key", "key")], "u=x&p=y").as_deref(), Some("key"));
        assert_eq!(found(&[], "u=x&p=y").as_deref(), Some("y"));
        assert_eq!(found(&[], "u=x").as_deref(), Some("x"));
    }

    #[test]
    fn nothing_is_missing_and_nonsense_is_wrong() {
        assert_eq!(found(&[], "db=x"), None);
        assert_eq!(found(&[("authorization", "Bearer ")], ""), None);
        assert_eq!(found(&[("authorization", "Basic ???")], "").as_deref(), Some(""));
        assert_eq!(found(&[("authorization", "Digest a=b")], "").as_deref(), Some(""));
    }
}
