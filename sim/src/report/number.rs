//! Numbers for people: grouped digits, three significant places, units that fit.

/// A whole number with its digits in threes: `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of any size with at most three significant places after the point.
pub(super) fn plain(n: f64) -> String {
    if !n.is_finite() {
        return "–".to_owned();
    }
    let places = match n.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{n:.places$}");
    if places == 0 {
        let sign = if n < 0.0 && text != "-0" { "-" } else { "" };
        return format!("{sign}{}", grouped(n.abs().round() as u64));
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number that may be missing.
pub(super) fn maybe(n: Option<f64>) -> String {
    n.map_or_else(|| "–".to_owned(), plain)
}

/// Milliseconds with the unit that fits: `850 µs`, `12.3 ms`, `4.2 s`, `2m05s`.
pub(super) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{} µs", plain((ms * 1000.0).round())),
        ms if ms < 999.5 => format!("{} ms", plain(ms)),
        ms if ms < 119_950.0 => format!("{} s", plain(ms / 1000.0)),
        ms => clock(ms / 1000.0),
    }
}

/// Milliseconds that may be missing.
pub(super) fn maybe_millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), millis)
}

/// Seconds as a length of time: `4.2 s`, `2m05s`, `1h02m`, `24h`.
pub(super) fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{} s", plain(seconds));
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes, seconds) {
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, 0) => format!("{h}h{m:02}m"),
        (h, m, s) => format!("{h}h{m:02}m{s:02}s"),
    }
}

/// Bytes in binary units.
pub(super) fn bytes(n: u64) -> String {
    let mut size = n as f64;
    for unit in ["B", "KiB", "MiB"] {
        if size < 1024.0 {
            return format!("{} {unit}", plain(size));
        }
        size /= 1024.0;
    }
    format!("{} GiB", plain(size))
}

/// A share of one, in percent.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{} %", plain(share * 100.0)))
}

/// `1 fault`, `2 faults`.
pub(super) fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(
            [plain(0.0), plain(0.184), plain(3.1), plain(42.25), plain(104_233.0)].join(" "),
            "0 0.184 3.1 42.2 104,233"
        );
        assert_eq!(plain(f64::NAN), "–");
        assert_eq!(
            [millis(0.85), millis(12.34), millis(4200.0), millis(125_000.0)].join(" "),
            "850 µs 12.3 ms 4.2 s 2m05s"
        );
        assert_eq!([clock(7.0), clock(3720.0), clock(86_400.0)].join(" "), "7 s 1h02m 24h");
        assert_eq!(bytes(512 * 1024 * 1024), "512 MiB");
        assert_eq!(percent(Some(0.314)), "31.4 %");
        assert_eq!(counted(1, "fault"), "1 fault");
    }
}
