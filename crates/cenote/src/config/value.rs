//! What the text of a value means: sizes, shares, durations, lists.

use std::time::Duration;

use super::{Key, Kind};

/// Why `text` is not a value of `key`.
pub(super) fn check(key: &Key, text: &str) -> Result<(), String> {
    match key.kind {
        Kind::Text | Kind::Secret => Ok(()),
        Kind::Switch if matches!(text, "true" | "false") => Ok(()),
        Kind::Switch => Err(format!("expected true or false, got {text:?}")),
        Kind::Number { min, max } => match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            _ => Err(format!("expected a whole number from {min} to {max}, got {text:?}")),
        },
        Kind::Duration => duration(text).map(drop),
        Kind::DurationOrEmpty if text.is_empty() => Ok(()),
        Kind::DurationOrEmpty => duration(text).map(drop),
        Kind::Size => size(text).map(drop),
        Kind::SizeUpTo(max) => match size(text)? {
            bytes if bytes <= max => Ok(()),
            _ => Err(format!("expected a size of at most {max} bytes, got {text:?}")),
        },
        Kind::Share { .. } => share(text, 0).map(drop),
        Kind::Addresses => list(text).iter().try_for_each(|address| {
            address
                .parse::<std::net::SocketAddr>()
                .map(drop)
                .map_err(|_| format!("expected an address such as 127.0.0.1:8000, got {address:?}"))
        }),
        Kind::OneOf(words) if words.contains(&text) => Ok(()),
        Kind::OneOf(_) => Err(format!("expected {}, got {text:?}", key.kind.word())),
    }
}

/// Bytes: a number with `B`, `kB…TB` (powers of 1000), `KiB…TiB` (of 1024), or bare.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a size such as 64MiB, got {text:?}");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A size, or a percentage of `whole`.
pub(super) fn share(text: &str, whole: u64) -> Result<u64, String> {
    let Some(percent) = text.strip_suffix('%') else { return size(text) };
    match percent.parse::<u64>() {
        Ok(percent) if percent <= 100 => Ok(whole / 100 * percent),
        _ => Err(format!("expected a size such as 64MiB or a share from 0% to 100%, got {text:?}")),
    }
}

/// A number with `us`, `ms`, `s`, `m`, `h` or `d`, or `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let wrong = || format!("expected a duration such as 250ms, 5s or 7d, got {text:?}");
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let micros: u64 = match text[digits..].trim_start() {
        "" if number == 0 => 1,
        "" => return Err(format!("a duration needs a unit: {number}s or {number}ms?")),
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(wrong)
}

/// A comma-separated list, or a JSON list of texts.
pub(super) fn list(text: &str) -> Vec<String> {
    if let Ok(items) = serde_json::from_str::<Vec<String>>(text) {
        return items;
    }
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
