//! Rates as the annotations `k8s.aliyun.com/ingress-bandwidth` and `egress-bandwidth` have them: bytes per second,
//! in units of 1024.

/// A text that is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate; expected a number above 0 and a unit, such as `500K`, `10M`, `1.5GiB`")]
pub struct InvalidRate(pub String);

/// Bytes per second. Units are B, K, M, G and T, also with `B` or `iB` after them, in either case.
pub fn parse(text: &str) -> Result<u64, InvalidRate> {
    let bad = || InvalidRate(text.to_owned());
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let value: f64 = trimmed[..digits].parse().map_err(|_| bad())?;
    let unit = trimmed[digits..].trim_start().to_ascii_uppercase();
    let power = match unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit) {
        "" if unit == "B" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(bad()),
    };
    let bytes = value * 1024f64.powi(power);
    // Beyond what a double counts exactly there is no network.
    if bytes >= 1.0 && bytes <= 2f64.powi(53) { Ok(bytes as u64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_of_1024_and_of_either_case() {
        for (text, bytes) in [
            ("1B", 1),
            ("10k", 10 << 10),
            ("10KB", 10 << 10),
            ("10 KiB", 10 << 10),
            ("1.5M", 3 << 19),
            ("2gib", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "10", "0K", "-1M", "10X", "M", "1iB", "1.2.3M", "9999999999T", "10 bits"] {
            assert_eq!(parse(text), Err(InvalidRate(text.into())), "{text}");
        }
    }
}
