//! Parameters and headers of a write (ingest page, 2).

use cenote_codec::Precision;
use cenote_ingest::Ack;
use http::HeaderMap;

use crate::call::Call;
use crate::database::paired;
use crate::parameters::Parameters;
use crate::problem::Problem;

const PRECISIONS: &str = "n, ns, nanosecond, u, us, µ, microsecond, ms, millisecond, s, second, m, h, auto";

/// A unit of time by any of its names; another text is 400 with the list.
pub(super) fn precision(text: &str) -> Result<Precision, Problem> {
    Ok(match text {
        "n" | "ns" | "nanosecond" => Precision::Nanosecond,
        "u" | "us" | "µ" | "µs" | "microsecond" => Precision::Microsecond,
        "ms" | "millisecond" => Precision::Millisecond,
        "s" | "second" => Precision::Second,
        "m" => Precision::Minute,
        "h" => Precision::Hour,
        "auto" => Precision::Auto,
        other => {
            return Err(Problem::bad_request(format!(
                "invalid precision {other:?}: expected one of {PRECISIONS}"
            )));
        }
    })
}

/// `precision`, alias `time_unit`.
pub(super) fn precision_of(parameters: &Parameters) -> Result<Option<Precision>, Problem> {
    parameters.first(&["precision", "time_unit"]).map(precision).transpose()
}

/// Parameter `ack`, header `x-cenote-ack`, or InfluxDB 3's `no_sync=true`.
pub(super) fn ack(headers: &HeaderMap, parameters: &Parameters) -> Result<Option<Ack>, Problem> {
    if parameters.flag("no_sync")? == Some(true) {
        return Ok(Some(Ack::Memory));
    }
    match parameters.first(&["ack"]).or_else(|| paired(headers, "ack")) {
        None => Ok(None),
        Some("memory") => Ok(Some(Ack::Memory)),
        Some("durable") => Ok(Some(Ack::Durable)),
        Some("committed") => Ok(Some(Ack::Committed)),
        Some(other) => {
            Err(Problem::bad_request(format!("invalid ack {other:?}: expected memory, durable or committed")))
        }
    }
}

/// `table`, alias `measurement`, and their headers.
pub(super) fn table(call: &Call) -> Option<String> {
    let header = || ["table", "measurement"].into_iter().find_map(|name| paired(&call.headers, name));
    call.parameters.first(&["table", "measurement"]).or_else(header).map(str::to_owned)
}

/// The comma list `tags`.
pub(super) fn tags(parameters: &Parameters) -> Vec<String> {
    let list = parameters.first(&["tags"]).unwrap_or("");
    list.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// `time_format` of CSV.
pub(super) fn time_format(parameters: &Parameters) -> Result<Option<Precision>, Problem> {
    Ok(match parameters.first(&["time_format"]) {
        None => None,
        Some("epoch_s") => Some(Precision::Second),
        Some("epoch_ms") => Some(Precision::Millisecond),
        Some("epoch_us") => Some(Precision::Microsecond),
        Some("epoch_ns") => Some(Precision::Nanosecond),
        Some(other) => {
            let expected = "expected epoch_s, epoch_ms, epoch_us, epoch_ns or nothing";
            return Err(Problem::bad_request(format!("invalid time_format {other:?}: {expected}")));
        }
    })
}

/// `delimiter` of CSV: one ASCII character, or `\t`.
pub(super) fn delimiter(parameters: &Parameters) -> Result<u8, Problem> {
    match parameters.first(&["delimiter"]) {
        None => Ok(b','),
        Some("\\t" | "tab") => Ok(b'\t'),
        Some(text) if text.len() == 1 => Ok(text.as_bytes()[0]),
        Some(text) => {
            Err(Problem::bad_request(format!("delimiter must be one ASCII character, got {text:?}")))
        }
    }
}

/// `Idempotency-Key`: 1 to 255 printable ASCII characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::bad_request("Idempotency-Key must be 1 to 255 printable characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_unit_is_known_and_others_name_the_list() {
        assert_eq!(precision("µ").expect("known"), Precision::Microsecond);
        assert_eq!(precision("millisecond").expect("known"), Precision::Millisecond);
        assert!(precision("minute").expect_err("unknown").text.contains("nanosecond"));
    }

    #[test]
    fn no_sync_is_acknowledged_from_memory() {
        let headers = HeaderMap::new();
        assert_eq!(ack(&headers, &Parameters::parse("no_sync=true")).expect("known"), Some(Ack::Memory));
        assert_eq!(ack(&headers, &Parameters::parse("ack=committed")).expect("known"), Some(Ack::Committed));
        assert_eq!(ack(&headers, &Parameters::parse("ack=never")).expect_err("unknown").status.as_u16(), 400);
    }

    #[test]
    fn csv_parameters_are_checked() {
        assert_eq!(delimiter(&Parameters::parse("delimiter=%5Ct")).expect("a tab"), b'\t');
        assert_eq!(delimiter(&Parameters::parse("delimiter=%3B")).expect("one character"), b';');
        delimiter(&Parameters::parse("delimiter=ab")).expect_err("two characters");
        time_format(&Parameters::parse("time_format=epoch")).expect_err("no unit");
        assert_eq!(tags(&Parameters::parse("tags=host,%20region,")), ["host", "region"]);
    }
}
