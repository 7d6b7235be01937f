//! Floats as PostgreSQL prints them: the shortest digits that read back, with an exponent outside 1e-4 … 1e15.

/// The text of a double.
pub(super) fn text64(value: f64) -> String {
    text(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{value:e}"), 15)
}

/// The text of a single.
pub(super) fn text32(value: f32) -> String {
    text(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{value:e}"), 6)
}

/// `scientific` is Rust's form, such as `-1.25e-7`; `digits_max` is the exponent from which PostgreSQL uses one too.
fn text(is_nan: bool, is_infinite: bool, is_negative: bool, scientific: &str, digits_max: i32) -> String {
    if is_nan {
        return "NaN".to_owned();
    }
    let sign = if is_negative { "-" } else { "" };
    if is_infinite {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.trim_start_matches('-');
    if !(-4..digits_max).contains(&exponent) {
        let sign_of_exponent = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{sign_of_exponent}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_postgresql() {
        let expected = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100_000.0, "100000"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1.25e-7, "-1.25e-07"),
            (1e300, "1e+300"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in expected {
            assert_eq!(text64(value), text);
        }
        assert_eq!(text32(1.1), "1.1");
        assert_eq!(text32(1e6), "1e+06");
    }
}
