//! Questions as people write them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::Serialize;

use crate::model::{Name, Protocol};

/// Why a question could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// An end that is neither a pod nor an address.
    #[error(
        "`{text}` is neither a pod nor an address: {why}; allowed are namespace/pod, pod, IPv4 and IPv6 addresses"
    )]
    End {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A port that is none.
    #[error(
        "`{text}` is no port: {why}; allowed are 80/TCP, 80, http/TCP, TCP (all of its ports) and icmp, with TCP, UDP or SCTP"
    )]
    Port {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A pod.
    Pod(Name),
    /// An address, a pod's or not.
    Address(IpAddr),
}

impl End {
    /// Reads `namespace/pod`, `pod` in a namespace that is given, or an address.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, AskError> {
        let wrong = |why| AskError::End { text: text.into(), why };
        if let Ok(address) = text.parse::<IpAddr>() {
            return match address {
                IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                    Err(wrong("IPv4 in IPv6 form is never on the wire"))
                }
                address => Ok(Self::Address(address)),
            };
        }
        let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
        if name.contains('/') {
            return Err(wrong("it has two slashes"));
        }
        if namespace.is_empty() || name.is_empty() {
            return Err(wrong("a part is empty"));
        }
        // Names of objects are DNS names; all else is a slip of the keyboard.
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !namespace.bytes().chain(name.bytes()).all(fits) {
            return Err(wrong("names have small letters, digits, - and . only"));
        }
        Ok(Self::Pod(Name::new(namespace, name)))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Where a flow goes to at its destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// A port by number.
    Number(u16, Protocol),
    /// A port by the name that the destination pod declares.
    Named(String, Protocol),
    /// All ports of a protocol: which of them pass?
    Every(Protocol),
    /// ICMP of the family that the addresses have.
    Icmp,
}

impl FromStr for Port {
    type Err = AskError;

    fn from_str(text: &str) -> Result<Self, AskError> {
        let wrong = |why| AskError::Port { text: text.into(), why };
        let protocol = |text: &str| match text {
            _ if text.eq_ignore_ascii_case("tcp") => Some(Protocol::Tcp),
            _ if text.eq_ignore_ascii_case("udp") => Some(Protocol::Udp),
            _ if text.eq_ignore_ascii_case("sctp") => Some(Protocol::Sctp),
            _ => None,
        };
        if text.eq_ignore_ascii_case("icmp") || text.eq_ignore_ascii_case("icmpv6") {
            return Ok(Self::Icmp);
        }
        if let Some(protocol) = protocol(text) {
            return Ok(Self::Every(protocol));
        }
        let (port, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((port, name)) => (port, protocol(name).ok_or_else(|| wrong("the protocol is not known"))?),
        };
        if port.is_empty() {
            return Err(wrong("the port is empty"));
        }
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = port.parse().map_err(|_| wrong("the number is above 65535"))?;
            return Ok(Self::Number(number, protocol));
        }
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if port.len() > 15 || !port.bytes().all(fits) || !port.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(wrong("a port's name has up to 15 small letters, digits and -"));
        }
        Ok(Self::Named(port.into(), protocol))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, protocol) => write!(f, "{number}/{protocol}"),
            Self::Named(name, protocol) => write!(f, "{name}/{protocol}"),
            Self::Every(protocol) => protocol.fmt(f),
            Self::Icmp => f.write_str("icmp"),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A question: may a flow be opened?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who opens it.
    pub from: End,
    /// Who is to take it.
    pub to: End,
    /// Where.
    pub port: Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_pods_and_addresses() {
        let pod = |namespace: &str, name: &str| Ok(End::Pod(Name::new(namespace, name)));
        assert_eq!(End::parse("shop/web-0", "x"), pod("shop", "web-0"));
        assert_eq!(End::parse("web-0", "x"), pod("x", "web-0"));
        assert_eq!(End::parse("10.0.0.1", "x"), Ok(End::Address([10, 0, 0, 1].into())));
        assert!(matches!(End::parse("fd00::1", "x"), Ok(End::Address(_))));
        for (text, why) in [
            ("a/b/c", "two slashes"),
            ("/b", "empty"),
            ("", "empty"),
            ("a/", "empty"),
            ("A/b", "small letters"),
            ("::ffff:10.0.0.1", "never on the wire"),
            ("10.0.0.1/8 ", "small letters"),
        ] {
            let error = End::parse(text, "x").expect_err(text).to_string();
            assert!(error.contains(why) && error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn ports_are_numbers_names_protocols() {
        for (text, port) in [
            ("80/TCP", Port::Number(80, Protocol::Tcp)),
            ("0", Port::Number(0, Protocol::Tcp)),
            ("53/udp", Port::Number(53, Protocol::Udp)),
            ("http", Port::Named("http".into(), Protocol::Tcp)),
            ("dns-1/UDP", Port::Named("dns-1".into(), Protocol::Udp)),
            ("SCTP", Port::Every(Protocol::Sctp)),
            ("icmp", Port::Icmp),
        ] {
            assert_eq!(text.parse(), Ok(port), "{text}");
        }
        for (text, why) in [
            ("80/HTTP", "protocol is not known"),
            ("65536/TCP", "above 65535"),
            ("/TCP", "empty"),
            ("", "empty"),
            ("Http/TCP", "small letters"),
            ("80-90", "small letters"),
        ] {
            let error = text.parse::<Port>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
