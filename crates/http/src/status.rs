//! The one table from error kinds to statuses (query page, 2.7), and the words that clients of InfluxDB test for.

use cenote_vocab::ErrorKind;
use http::StatusCode;

/// The status of a failure. The code tells a timeout and a full disk from other exhausted limits.
pub(crate) fn of(kind: ErrorKind, sqlstate: &str) -> StatusCode {
    match (kind, sqlstate) {
        (ErrorKind::Invalid | ErrorKind::Unsupported, _) => StatusCode::BAD_REQUEST,
        (ErrorKind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (ErrorKind::Denied, _) => StatusCode::FORBIDDEN,
        (ErrorKind::NotFound, "22023") => StatusCode::GONE,
        (ErrorKind::NotFound, _) => StatusCode::NOT_FOUND,
        (ErrorKind::Conflict, "P0004") => StatusCode::PRECONDITION_FAILED,
        (ErrorKind::Conflict, _) => StatusCode::CONFLICT,
        (ErrorKind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (ErrorKind::Exhausted, "57014") => StatusCode::GATEWAY_TIMEOUT,
        (ErrorKind::Exhausted, "53100") => StatusCode::INSUFFICIENT_STORAGE,
        (ErrorKind::Exhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (ErrorKind::Cancelled, _) => client_closed(),
        (ErrorKind::Corrupt | ErrorKind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// 499: the caller, or an administrator, ended it.
pub(crate) fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The word of InfluxDB's `code` for a status.
pub(crate) fn influx_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 | 410 => "not found",
        405 => "method not allowed",
        409 | 412 => "conflict",
        413 => "request too large",
        415 => "unsupported media type",
        429 => "too many requests",
        501 => "not implemented",
        503 | 504 | 507 => "unavailable",
        400..=499 => "invalid",
        _ => "internal error",
    }
}

/// The word of `code` on Cenote's own paths (metadata page, 4).
pub(crate) fn own_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 | 410 => "NOT_FOUND",
        406 => "NOT_ACCEPTABLE",
        408 | 504 => "REQUEST_TIMEOUT",
        409 => "CONFLICT",
        412 => "PRECONDITION_FAILED",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        422 => "UNPROCESSABLE_ENTITY",
        429 => "TOO_MANY_REQUESTS",
        501 => "NOT_IMPLEMENTED",
        400..=499 => "BAD_REQUEST",
        _ => "INTERNAL",
    }
}

/// The stable word of `reason` on the paths of what exists.
pub(crate) fn reason(status: StatusCode, sqlstate: &str) -> &'static str {
    match (status.as_u16(), sqlstate) {
        (_, "3D000") => "catalog_not_found",
        (_, "3F000") => "schema_not_found",
        (_, "42P01") => "table_not_found",
        (404, "42703") => "column_not_found",
        (_, "42P06" | "42P07" | "42701") => "already_exists",
        (409, "2BP01") => "in_use",
        (401, _) => "unauthenticated",
        (403, _) => "denied",
        (404, _) => "not_found",
        (409, _) => "conflict",
        (410, _) => "expired",
        (412, _) => "changed",
        (413 | 429 | 507, _) => "limit",
        (501, _) => "unsupported",
        (503 | 504, _) => "unavailable",
        (400..=499, _) => "invalid",
        _ => "internal",
    }
}

/// The phrase of `title`.
pub(crate) fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or(if status.as_u16() == 499 {
        "Client Closed Request"
    } else {
        "Error"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_differ_by_their_code() {
        assert_eq!(of(ErrorKind::Exhausted, "53400").as_u16(), 429);
        assert_eq!(of(ErrorKind::Exhausted, "57014").as_u16(), 504);
        assert_eq!(of(ErrorKind::Exhausted, "53100").as_u16(), 507);
        assert_eq!(of(ErrorKind::Cancelled, "57014").as_u16(), 499);
        assert_eq!(of(ErrorKind::Conflict, "P0004").as_u16(), 412);
        assert_eq!(of(ErrorKind::NotFound, "42P01").as_u16(), 404);
        assert_eq!(of(ErrorKind::NotFound, "22023").as_u16(), 410);
    }

    #[test]
    fn every_status_has_both_words() {
        assert_eq!(influx_code(StatusCode::UNPROCESSABLE_ENTITY), "invalid");
        assert_eq!(influx_code(client_closed()), "invalid");
        assert_eq!(own_code(StatusCode::INSUFFICIENT_STORAGE), "INTERNAL");
        assert_eq!(title(client_closed()), "Client Closed Request");
    }
}
