//! Parameters of a query string or a form.

use cenote_vocab::Micros;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// Names and values in their order; empty values count as absent, as clients send them for "not set".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=1&b=two%20words+here`.
    pub(crate) fn parse(text: &str) -> Self {
        let decode =
            |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// Pairs that are decoded already.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// These first, then those of `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The first value that is not empty of the first of `names` that has one.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|wanted| {
            self.0
                .iter()
                .find(|(name, value)| name == wanted && !value.is_empty())
                .map(|(_, value)| value.as_str())
        })
    }

    /// `true`/`false` (also `1`/`0`); another value is 400.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.first(&[name]) {
            None => Ok(None),
            Some("true" | "1" | "True" | "TRUE") => Ok(Some(true)),
            Some("false" | "0" | "False" | "FALSE") => Ok(Some(false)),
            Some(other) => {
                Err(Problem::bad_request(format!("parameter {name} must be true or false, got {other:?}")))
            }
        }
    }

    /// A number; anything else is 400.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Problem::bad_request(format!("parameter {name} must be a number, got {text:?}")))
        };
        self.first(&[name]).map(parse).transpose()
    }

    /// 400 if there is a parameter besides `known`: Cenote's own paths refuse what they would not heed.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad_request(format!("unknown parameter {name:?}"))
                .hinted(format!("this path takes {}", known.join(", ")))),
        }
    }
}

/// An instant of a parameter or a member; 400 names it if the text is none.
pub(crate) fn instant(name: &str, text: &str) -> Result<Micros, Problem> {
    Micros::of_rfc3339(text).ok_or_else(|| {
        Problem::bad_request(format!("{name} must be a time such as 2026-01-01T00:00:00Z, got {text:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_the_first_full_one_wins() {
        let parameters = Parameters::parse("db=&database=my%2Ddb&q=SHOW+MEASUREMENTS&flag&n=x");
        assert_eq!(parameters.first(&["db", "database"]), Some("my-db"));
        assert_eq!(parameters.first(&["q"]), Some("SHOW MEASUREMENTS"));
        assert_eq!(parameters.flag("flag").expect("absent"), None);
        assert_eq!(parameters.number("n").expect_err("not a number").status.as_u16(), 400);
        assert!(parameters.only(&["db", "database", "q", "flag"]).expect_err("n").text.contains("\"n\""));
    }
}
