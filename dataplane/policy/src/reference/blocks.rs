//! CIDRs as text.

use std::net::IpAddr;

/// An address as bits, and how many there are.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

/// Reads a CIDR strictly; `None` for whatever else is written, and for IPv4 in IPv6 form, which libraries read in
/// different ways. Bits of the host may be set: they do not count.
fn parse(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
    {
        return None;
    }
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = length.len() > 1 && length.starts_with('0');
    if !digits || leading_zero {
        return None;
    }
    let length: u32 = length.parse().ok()?;
    (length <= bits(address).1).then_some((address, length))
}

/// Whether a parsed CIDR contains an address; never one of the other family.
fn holds((network, length): (IpAddr, u32), address: IpAddr) -> bool {
    let ((network, width), (address, other)) = (bits(network), bits(address));
    if width != other {
        return false;
    }
    // A shift by all 128 bits has no result: a prefix of no bits.
    let prefix = |of: u128| of.checked_shr(width - length).unwrap_or(0);
    prefix(network) == prefix(address)
}

/// Whether an address is in a CIDR and in none of its holes. Text that is not valid anywhere in it makes all of it match
/// nothing: a hole that cannot be read must not be taken for none.
pub(super) fn contains(cidr: &str, except: &[String], address: IpAddr) -> bool {
    let Some(network) = parse(cidr) else { return false };
    let mut inside = holds(network, address);
    for hole in except {
        let Some(hole) = parse(hole) else { return false };
        if holds(hole, address) {
            inside = false;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(cidr: &str, except: &[&str], address: &str) -> bool {
        let except: Vec<String> = except.iter().map(ToString::to_string).collect();
        contains(cidr, &except, address.parse().expect("an address"))
    }

    #[test]
    fn a_prefix_ends_where_its_length_says() {
        assert!(has("10.1.2.0/24", &[], "10.1.2.0") && has("10.1.2.0/24", &[], "10.1.2.255"));
        assert!(!has("10.1.2.0/24", &[], "10.1.1.255") && !has("10.1.2.0/24", &[], "10.1.3.0"));
        assert!(has("10.1.2.3/32", &[], "10.1.2.3") && !has("10.1.2.3/32", &[], "10.1.2.2"));
        assert!(has("fd00::/127", &[], "fd00::1") && !has("fd00::/127", &[], "fd00::2"));
        assert!(has("fd00::5/128", &[], "fd00::5") && !has("fd00::5/128", &[], "fd00::4"));
    }

    #[test]
    fn a_length_of_zero_is_one_family_whole() {
        assert!(has("0.0.0.0/0", &[], "255.255.255.255") && !has("0.0.0.0/0", &[], "::1"));
        assert!(has("::/0", &[], "ffff::1") && !has("::/0", &[], "0.0.0.1"));
    }

    #[test]
    fn what_is_not_strictly_a_cidr_matches_nothing() {
        for text in [
            "",
            "10.0.0.0",
            "010.0.0.0/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/8 ",
            "10.0/8",
            "10.0.0.0/33",
        ] {
            assert!(!has(text, &[], "10.0.0.0"), "{text:?} was read as a CIDR");
            assert!(!has("10.0.0.0/8", &[text], "10.1.1.1"), "{text:?} was read as a hole");
        }
        assert!(!has("::ffff:10.0.0.0/104", &[], "10.0.0.1") && !has("::ffff:a00:0/0", &[], "fd00::1"));
    }
}
