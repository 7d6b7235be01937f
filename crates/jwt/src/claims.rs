//! What a token whose signature holds says of its bearer.

use std::collections::BTreeSet;

use cenote_vocab::Micros;
use serde_json::{Map, Value};

use crate::{Bearer, Error, LEEWAY, Options};

/// The most roles that are read.
const ROLES_MAX: usize = 256;
const MICROS: f64 = 1e6;

pub(crate) fn bearer(claims: &Map<String, Value>, options: &Options, now: Micros) -> Result<Bearer, Error> {
    let expires =
        instant(claims.get("exp")).ok_or(Error::Refused("the token's exp is no number of seconds"))?;
    if expires.plus(LEEWAY) <= now {
        return Err(Error::Refused("the token is expired"));
    }
    if let Some(begins) = claims.get("nbf") {
        let begins =
            instant(Some(begins)).ok_or(Error::Refused("the token's nbf is no number of seconds"))?;
        if begins > now.plus(LEEWAY) {
            return Err(Error::Refused("the token is not valid yet"));
        }
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let subject = text("sub").ok_or(Error::Refused("the token's sub is no text"))?.to_owned();
    let tenant = match claims.get(&options.tenant_claim) {
        Some(_) => text(&options.tenant_claim).map(str::to_owned),
        None => options.default_tenant.clone(),
    };
    let tenant = tenant.ok_or(Error::Refused("the token names no tenant (jwt.tenant_claim)"))?;
    Ok(Bearer {
        subject,
        tenant,
        roles: roles(claims.get(&options.roles_claim)),
        expires: expires.plus(LEEWAY),
    })
}

/// Seconds since 1970, with a fraction or not.
fn instant(seconds: Option<&Value>) -> Option<Micros> {
    let seconds = seconds?.as_f64().filter(|seconds| seconds.is_finite())?;
    Some(Micros((seconds * MICROS) as i64))
}

fn roles(claim: Option<&Value>) -> Vec<String> {
    let names: Vec<&str> = match claim {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(names)) => names.split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    let names: BTreeSet<&str> = names.into_iter().filter(|name| !name.is_empty()).take(ROLES_MAX).collect();
    names.into_iter().map(str::to_owned).collect()
}
