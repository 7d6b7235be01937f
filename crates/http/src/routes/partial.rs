//! The 400 of a write that stored only a part, in one body that every generation of clients reads (ingest page, 3.3).

use cenote_codec::RejectedLine;
use cenote_ingest::WriteOutcome;
use serde_json::{Value, json};

use crate::problem::Problem;

const PARTIAL: &str = "partial write of line protocol occurred";
const NOTHING: &str = "parsing failed for write_lp endpoint";

/// Some lines are stored, some are not.
pub(super) fn stored_some(outcome: &WriteOutcome) -> Problem {
    let reason = outcome.rejected.first().map_or_else(String::new, |first| place(first) + &first.reason);
    let message = format!("partial write: {reason}; dropped={}", outcome.rejected_lines);
    problem(PARTIAL, message, &outcome.rejected, outcome.rows, outcome.rejected_lines)
}

/// A line is bad and `accept_partial=false` was asked for: nothing is stored.
pub(super) fn refused(first: &RejectedLine) -> Problem {
    let message = format!("{}{}", place(first), first.reason);
    problem(NOTHING, message, std::slice::from_ref(first), 0, 1)
}

/// No line is good. `v3`: in the words of InfluxDB 3.
pub(super) fn stored_none(first: &RejectedLine, v3: bool) -> Problem {
    if v3 {
        let message = format!("partial write: {}{}; dropped=1", place(first), first.reason);
        return problem(PARTIAL, message, std::slice::from_ref(first), 0, 1);
    }
    let text = format!("unable to parse '{}': {}", first.line, first.reason);
    Problem::bad_request(text).with("data", data(std::slice::from_ref(first)))
}

fn problem(error: &str, message: String, rejected: &[RejectedLine], written: u64, dropped: u64) -> Problem {
    Problem::bad_request(error)
        .with("detail", message.as_str())
        .with("message", message)
        .with("data", data(rejected))
        .with("lines_written", written)
        .with("lines_rejected", dropped)
}

fn place(line: &RejectedLine) -> String {
    format!("line {}: ", line.number)
}

fn data(rejected: &[RejectedLine]) -> Value {
    let entry = |line: &RejectedLine| {
        json!({
            "error_message": line.reason,
            "line_number": line.number,
            "original_line": line.line,
        })
    };
    rejected.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use cenote_ingest::Ack;

    use super::*;

    fn line() -> RejectedLine {
        RejectedLine { number: 2, line: "cpu".into(), reason: "no fields were provided".into() }
    }

    #[test]
    fn a_partial_write_says_how_many_and_which() {
        let outcome = WriteOutcome {
            rows: 9,
            ack: Ack::Durable,
            txn: None,
            rejected: vec![line()],
            rejected_lines: 1,
            replaced_utf8: 0,
            replayed: false,
        };
        let problem = stored_some(&outcome);
        assert_eq!((problem.status.as_u16(), problem.text.as_str()), (400, PARTIAL));
        let expected = json!({
            "detail": "partial write: line 2: no fields were provided; dropped=1",
            "message": "partial write: line 2: no fields were provided; dropped=1",
            "data": [{"error_message": "no fields were provided", "line_number": 2, "original_line": "cpu"}],
            "lines_written": 9,
            "lines_rejected": 1,
        });
        assert_eq!(Value::Object(problem.members), expected);
    }

    #[test]
    fn a_write_without_a_good_line_speaks_the_clients_generation() {
        assert_eq!(stored_none(&line(), false).text, "unable to parse 'cpu': no fields were provided");
        assert_eq!(stored_none(&line(), true).text, PARTIAL);
        assert_eq!(refused(&line()).members["lines_written"], 0);
        assert_eq!(refused(&line()).text, NOTHING);
    }
}
