//! Durations as people write them: `1h30m`, `300s`, `1.5s`, `250ms`.
//!
//! The form of Go's `time.ParseDuration`, which is what users of Kubernetes know, without the sign. A number
//! without a unit is refused, `0` excepted: nobody can tell whether `300` was meant as seconds or milliseconds.
//! Printing is exact to the nanosecond and shortest in units: parsing what was printed gives the same value.

use std::fmt::Write as _;
use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is empty")]
    Empty,
    /// A number is missing, or is not one.
    #[error("`{0}` does not start with a number")]
    Number(String),
    /// A number has no unit.
    #[error("`{0}` has no unit; write h, m, s, ms, us or ns")]
    NoUnit(String),
    /// The unit is not one that is known.
    #[error("`{0}` is not a unit; write h, m, s, ms, us or ns")]
    Unit(String),
    /// Durations do not go backwards.
    #[error("`{0}` is negative")]
    Negative(String),
    /// More than 2⁶⁴ nanoseconds (584 years), or finer than a nanosecond.
    #[error("`{0}` is out of range")]
    Range(String),
}

/// Nanoseconds in a unit.
fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(DurationError::Empty);
    }
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if trimmed.starts_with('-') {
        return Err(DurationError::Negative(text.to_owned()));
    }
    let mut rest = trimmed;
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_ends);
        let unit_ends = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (name, next) = after.split_at(unit_ends);
        if number.is_empty() {
            return Err(DurationError::Number(rest.to_owned()));
        }
        if name.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let scale = unit(name).ok_or_else(|| DurationError::Unit(name.to_owned()))?;
        let part = scaled(number, scale, text)?;
        nanos = nanos.checked_add(part).ok_or_else(|| DurationError::Range(text.to_owned()))?;
        rest = next;
    }
    Ok(Duration::from_nanos(nanos))
}

/// `number × scale` in nanoseconds, exactly; `text` is what to complain about.
fn scaled(number: &str, scale: u64, text: &str) -> Result<u64, DurationError> {
    let range = || DurationError::Range(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(DurationError::Number(text.to_owned()));
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| range())? };
    let mut nanos = whole.checked_mul(scale).ok_or_else(range)?;
    let mut weight = scale;
    for digit in fraction.bytes().map(|b| u64::from(b - b'0')) {
        let tenths = weight * digit;
        // A digit worth less than a nanosecond would be lost in silence.
        if !tenths.is_multiple_of(10) || (weight == 0 && digit != 0) {
            return Err(range());
        }
        nanos = nanos.checked_add(tenths / 10).ok_or_else(range)?;
        weight /= 10;
    }
    Ok(nanos)
}

/// Writes a duration, shortest units that are exact: `1h30m`, `1.5s`, `250ms`, `0s`. Beyond 2⁶⁴ nanoseconds
/// it prints the longest that can be read back.
pub fn print(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (scale, name) = [(1_000_000, "ms"), (1_000, "us"), (1, "ns")]
            .into_iter()
            .find(|(scale, _)| nanos >= *scale)
            .expect("one nanosecond is the smallest and nanos is not zero");
        return decimal(nanos, scale, name);
    }
    let mut text = String::new();
    let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
    let (minutes, seconds) = (rest / 60_000_000_000, rest % 60_000_000_000);
    for (count, name) in [(hours, "h"), (minutes, "m")] {
        if count > 0 {
            write!(text, "{count}{name}").expect("writing to a String cannot fail");
        }
    }
    if seconds > 0 {
        text.push_str(&decimal(seconds, 1_000_000_000, "s"));
    }
    text
}

/// `nanos / scale` with as many decimals as it takes.
fn decimal(nanos: u64, scale: u64, name: &str) -> String {
    let fraction = nanos % scale;
    if fraction == 0 {
        return format!("{}{name}", nanos / scale);
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}{name}", nanos / scale, digits.trim_end_matches('0'))
}

/// A whole number of milliseconds that may be negative, as a clock step is: `-1h`, `30s`.
pub fn parse_step(text: &str) -> Result<i64, DurationError> {
    let trimmed = text.trim();
    let (sign, size) = match trimmed.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let millis =
        i64::try_from(parse(size)?.as_millis()).map_err(|_| DurationError::Range(text.to_owned()))?;
    Ok(sign * millis)
}

/// Writes a signed step of milliseconds.
pub fn print_step(millis: i64) -> String {
    let size = print(Duration::from_millis(millis.unsigned_abs()));
    if millis < 0 { format!("-{size}") } else { size }
}

/// `#[serde(with = "terway_chaos::duration::text")]`: a duration as its text.
pub mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::print(*duration))
    }

    /// Reads the text form; a bare number is refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("1h30m", 5_400_000),
            ("300s", 300_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("0", 0),
            (".5m", 30_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        assert_eq!(parse(""), Err(DurationError::Empty));
        assert_eq!(parse("300"), Err(DurationError::NoUnit("300".into())));
        assert_eq!(parse("3 days"), Err(DurationError::Unit(" days".into())));
        assert_eq!(parse("-5s"), Err(DurationError::Negative("-5s".into())));
        assert_eq!(parse("s"), Err(DurationError::Number("s".into())));
        assert_eq!(parse("1.2.3s"), Err(DurationError::Number("1.2.3s".into())));
        assert_eq!(parse("99999999999h"), Err(DurationError::Range("99999999999h".into())));
        assert_eq!(parse("0.01ns"), Err(DurationError::Range("0.01ns".into())));
        assert_eq!(parse("0.1ns"), Err(DurationError::Range("0.1ns".into())));
    }

    #[test]
    fn prints_as_people_would() {
        for text in ["1h30m", "5m", "12m3.5s", "250ms", "1.5us", "0s", "24h"] {
            assert_eq!(print(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn steps_keep_their_sign() {
        assert_eq!(parse_step("-1h"), Ok(-3_600_000));
        assert_eq!(print_step(-3_600_000), "-1h");
        assert_eq!(parse_step("+30s"), Ok(30_000));
    }

    proptest! {
        #[test]
        fn printed_durations_read_back(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn short_durations_read_back(nanos in 0_u64..5_000_000_000) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.hmsun µ]{0,12}") {
            let _ = parse(&text);
            let _ = parse_step(&text);
        }
    }
}
