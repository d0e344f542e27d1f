//! What a pod is given: an IPv4 address and, in dual stack, an IPv6 address on the same ENI.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Addresses in an IPv4 prefix that the cloud hands out whole: a /28.
pub const ADDRESSES_PER_PREFIX: u32 = 16;

/// Address families a pod gets. IPv6 without IPv4 is not offered by node-local pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// IPv4 only.
    #[default]
    Ipv4,
    /// One IPv4 and one IPv6 address, both on one ENI.
    Dual,
}

/// How IPv4 addresses are obtained on an ENI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grain {
    /// Single secondary addresses (and the ENI's primary one).
    #[default]
    Address,
    /// Whole /28 prefixes; the ENI's primary address stays unused.
    Prefix,
}

/// The addresses of one pod interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodIps {
    /// IPv4 address; always there.
    pub v4: Ipv4Addr,
    /// IPv6 address in dual stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6: Option<Ipv6Addr>,
}

impl PodIps {
    /// Each address in turn, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(IpAddr::V4(self.v4)), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }
}

impl fmt::Display for PodIps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.v6 {
            None => write!(f, "{}", self.v4),
            Some(v6) => write!(f, "{},{v6}", self.v4),
        }
    }
}

impl fmt::Debug for PodIps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of addresses and prefixes of one ENI, as the cloud reports or is asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSet {
    /// Single IPv4 addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub v4: Vec<Ipv4Addr>,
    /// Single IPv6 addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub v6: Vec<Ipv6Addr>,
    /// IPv4 /28 prefixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Ipv4Net>,
}

impl AddressSet {
    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.prefixes.is_empty()
    }
}

/// How many of each kind are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressCount {
    /// Single IPv4 addresses.
    pub v4: u32,
    /// Single IPv6 addresses.
    pub v6: u32,
    /// IPv4 /28 prefixes.
    pub prefixes: u32,
}

impl AddressCount {
    /// True when nothing is asked for.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}
