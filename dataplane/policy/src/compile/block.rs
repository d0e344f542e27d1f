//! Blocks of addresses, with holes.

use std::net::IpAddr;

use crate::{
    layout::{Addr, addr_of, mapped},
    memory::masked,
};

/// A prefix over sixteen bytes; IPv4 in mapped form, its length counted from the mapped form's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) addr: Addr,
    pub(super) bits: u8,
}

/// Where IPv4 stands.
const V4: Prefix = Prefix { addr: mapped([0; 4]), bits: 96 };

impl Prefix {
    pub(super) fn contains(&self, addr: &Addr) -> bool {
        masked(addr, u32::from(self.bits)) == self.addr
    }

    fn is_v4(&self) -> bool {
        V4.covers(self)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(&other.addr)
    }

    /// The last address in it.
    pub(super) fn last(&self) -> Addr {
        let rest = if self.bits >= 128 { 0 } else { u128::MAX >> self.bits };
        (u128::from_be_bytes(self.addr) | rest).to_be_bytes()
    }
}

/// Addresses in a prefix but not in its holes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    pub(super) prefix: Prefix,
    pub(super) holes: Box<[Prefix]>,
}

impl Block {
    /// Whether all of a prefix is in it. Only asked for prefixes that no hole splits.
    pub(super) fn has(&self, prefix: &Prefix) -> bool {
        self.prefix.covers(prefix) && !self.holes.iter().any(|hole| hole.covers(prefix))
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = Prefix> + use<'_> {
        std::iter::once(self.prefix).chain(self.holes.iter().copied())
    }

    /// All addresses: those of IPv4, and those of IPv6.
    pub(super) fn everything() -> [Self; 2] {
        let all = Prefix { addr: [0; 16], bits: 0 };
        [Self { prefix: V4, holes: Box::default() }, Self { prefix: all, holes: Box::new([V4]) }]
    }

    /// From what stands in the policy. An error says which text is not a CIDR; the block then matches nothing, holes
    /// or not, because a guess could open what was meant closed.
    pub(super) fn parse(cidr: &str, except: &[String]) -> Result<Self, String> {
        let prefix = parse(cidr)?;
        let mut holes = except.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        // A hole of the other family, or beside the block, is none.
        holes.retain(|hole| hole.is_v4() == prefix.is_v4() && (prefix.covers(hole) || hole.covers(&prefix)));
        // IPv4 stands inside of ::/0 here, but is no part of it.
        if prefix.bits < V4.bits && prefix.covers(&V4) {
            holes.push(V4);
        }
        holes.sort_unstable();
        holes.dedup();
        Ok(Self { prefix, holes: holes.into() })
    }
}

/// Where an address is in respect of a block as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Inside,
    Outside,
    /// In this hole.
    Hole(&'a str),
    /// The block matches nothing, because of this.
    Unreadable(String),
}

/// Looks where an address is, for explanations.
pub(crate) fn place<'a>(cidr: &str, except: &'a [String], ip: IpAddr) -> Place<'a> {
    let addr = addr_of(ip);
    let here = Prefix { addr, bits: 128 };
    match Block::parse(cidr, except) {
        Err(problem) => Place::Unreadable(problem),
        Ok(block) if block.has(&here) => Place::Inside,
        Ok(block) if block.prefix.contains(&addr) => except
            .iter()
            .find(|hole| parse(hole).is_ok_and(|hole| hole.contains(&addr)))
            // IPv4 in ::/0.
            .map_or(Place::Outside, |hole| Place::Hole(hole)),
        Ok(_) => Place::Outside,
    }
}

/// Parses a CIDR strictly, and cuts off host bits. IPv6 that stands for IPv4 is refused: libraries disagree about it.
fn parse(text: &str) -> Result<Prefix, String> {
    let wrong = |why: &str| format!("{text:?} is not a CIDR: {why}");
    let (addr, bits) = text.split_once('/').ok_or_else(|| wrong("no /"))?;
    let addr: IpAddr = addr.parse().map_err(|_| wrong("the address does not parse"))?;
    if bits.is_empty()
        || bits.len() > 3
        || !bits.bytes().all(|byte| byte.is_ascii_digit())
        || (bits.len() > 1 && bits.starts_with('0'))
    {
        return Err(wrong("the prefix length does not parse"));
    }
    let bits: u8 = bits.parse().map_err(|_| wrong("the prefix length is too large"))?;
    let (addr, offset, most) = match addr {
        IpAddr::V4(v4) => (mapped(v4.octets()), 96, 32),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return Err(wrong("IPv4 in mapped form is not supported"));
        }
        IpAddr::V6(v6) => (v6.octets(), 0, 128),
    };
    if bits > most {
        return Err(wrong("the prefix length is too large"));
    }
    let bits = bits + offset;
    Ok(Prefix { addr: masked(&addr, u32::from(bits)), bits })
}
