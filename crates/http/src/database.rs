//! Which database a request means, and header names with two spellings.

use cenote_vocab::check_database;
use http::HeaderMap;

use crate::parameters::Parameters;
use crate::problem::Problem;

/// The value of `x-cenote-{name}`, else of `x-arc-{name}`; empty counts as absent.
pub(crate) fn paired<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    ["x-cenote-", "x-arc-"].into_iter().find_map(|prefix| {
        headers
            .get(format!("{prefix}{name}"))
            .and_then(|value| value.to_str().ok())
            .filter(|text| !text.is_empty())
    })
}

/// 400 if a request carries `x-cenote-X` and `x-arc-X` with different values.
pub(crate) fn check_pairs(headers: &HeaderMap) -> Result<(), Problem> {
    for (name, value) in headers {
        let Some(rest) = name.as_str().strip_prefix("x-arc-") else { continue };
        let primary = headers.get(format!("x-cenote-{rest}"));
        if primary.is_some_and(|primary| primary != value) {
            return Err(Problem::bad_request(format!("headers x-cenote-{rest} and x-arc-{rest} differ")));
        }
    }
    Ok(())
}

/// The database of a request: header, then parameter. `None` leaves it to the token's default, then the configured one.
pub(crate) fn selected(headers: &HeaderMap, parameters: &Parameters) -> Result<Option<String>, Problem> {
    let name = paired(headers, "database").or_else(|| parameters.first(&["db", "database", "bucket"]));
    name.map(checked).transpose()
}

/// The database of a write: like [`selected`], with InfluxDB's retention policies (`rp`, `bucket=db/rp`) as part of the name.
///
/// `token_default` is only asked for when a policy needs a name to stand behind.
pub(crate) fn of_write(
    headers: &HeaderMap,
    parameters: &Parameters,
    token_default: Option<&str>,
) -> Result<Option<String>, Problem> {
    let named = paired(headers, "database").or_else(|| parameters.first(&["db", "database"]));
    let bucket = parameters.first(&["bucket"]);
    let (name, in_bucket) = match (named, bucket) {
        (Some(name), _) => (Some(name), None),
        (None, Some(bucket)) => match bucket.split_once('/') {
            Some((name, policy)) => (Some(name), Some(policy)),
            None => (Some(bucket), None),
        },
        (None, None) => (None, None),
    };
    let policy = parameters.first(&["rp"]).or(in_bucket).unwrap_or("");
    match (name, policy) {
        (None, "" | "autogen" | "default") => Ok(None),
        (Some(name), "" | "autogen" | "default") => checked(name).map(Some),
        (name, policy) => {
            let name = name.or(token_default).unwrap_or("default");
            checked(&format!("{name}_{policy}")).map(Some)
        }
    }
}

/// A database's name, or 400 with the rule that it breaks.
pub(crate) fn checked(name: &str) -> Result<String, Problem> {
    check_database(name)
        .map_err(|error| Problem::bad_request(error.to_string()).with("sqlstate", "42602"))?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn write(pairs: &[(&'static str, &'static str)], query: &str) -> Option<String> {
        of_write(&headers(pairs), &Parameters::parse(query), Some("mine")).expect("a good name")
    }

    #[test]
    fn headers_go_before_parameters() {
        assert_eq!(write(&[("x-arc-database", "a")], "db=b").as_deref(), Some("a"));
        assert_eq!(write(&[], "bucket=b&org=x").as_deref(), Some("b"));
        assert_eq!(write(&[], ""), None);
        assert_eq!(
            selected(&headers(&[]), &Parameters::parse("db=q")).expect("a name").as_deref(),
            Some("q")
        );
    }

    #[test]
    fn retention_policies_are_databases_of_their_own() {
        assert_eq!(write(&[], "db=a&rp=autogen").as_deref(), Some("a"));
        assert_eq!(write(&[], "db=a&rp=month").as_deref(), Some("a_month"));
        assert_eq!(write(&[], "bucket=a/month").as_deref(), Some("a_month"));
        assert_eq!(write(&[], "bucket=a/default").as_deref(), Some("a"));
        assert_eq!(write(&[], "rp=month").as_deref(), Some("mine_month"));
    }

    #[test]
    fn two_spellings_must_agree_and_names_follow_the_rule() {
        let both = headers(&[("x-cenote-database", "a"), ("x-arc-database", "b")]);
        assert_eq!(check_pairs(&both).expect_err("they differ").status.as_u16(), 400);
        check_pairs(&headers(&[("x-cenote-ack", "durable"), ("x-arc-ack", "durable")])).expect("they agree");
        let reserved =
            of_write(&HeaderMap::new(), &Parameters::parse("db=system"), None).expect_err("reserved");
        assert_eq!(reserved.text, "database name \"system\" is reserved");
    }
}
