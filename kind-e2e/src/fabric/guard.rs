//! The VPC's security at the router: what comes in by an ENI's port passes only with a source that is assigned to
//! that ENI.
//!
//! It is an nf_tables chain before routing, so it holds for what is forwarded and for what the router itself would
//! answer, in both families. ARP is not concerned: an ENI resolves its gateway in the name of the node's primary
//! address, as it does in the real VPC, and a reverse path check would refuse that. What comes in anywhere else than
//! by a trusted link is dropped and counted, so that a new port passes nothing until it has addresses.

use std::{io, net::IpAddr};

use super::nft::{Ask, Attributes, Nft, NftError, attributes, find};

const TABLE: &str = "terway-e2e";
const CHAIN: &str = "sources";
const V4: &str = "owned4";
const V6: &str = "owned6";
/// Before everything else that looks at packets: the priority of the table `raw`.
const PRIORITY: i32 = -300;

/// Registers: the first 16 bytes in words of four, and the verdict.
const WORD_0: u32 = 8;
const WORD_1: u32 = 9;
const VERDICT: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// Keys of `meta`.
const IIF: u32 = 4;
const NFPROTO: u32 = 15;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// An address that may come in by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// Index of the router's end.
    pub(crate) port: u32,
    /// Address.
    pub(crate) ip: IpAddr,
}

impl Source {
    fn key(self) -> Vec<u8> {
        let mut key = self.port.to_ne_bytes().to_vec();
        match self.ip {
            IpAddr::V4(ip) => key.extend(ip.octets()),
            IpAddr::V6(ip) => key.extend(ip.octets()),
        }
        key
    }
}

/// The guard of one router.
pub(crate) struct Guard {
    nft: Nft,
}

impl Guard {
    /// Puts the guard up in the calling thread's namespace. `trusted`: indexes of links whose packets pass.
    pub(crate) fn new(trusted: &[u32]) -> Result<Self, NftError> {
        let opened = Nft::open();
        let mut nft = opened.map_err(|source| NftError { what: "open a socket".to_owned(), source })?;
        let none = Attributes::default;
        let hook = none().number(1, 0).number(2, PRIORITY.cast_unsigned());
        let mut asks = vec![
            (Ask::NewTable, none().text(1, TABLE)),
            (
                Ask::NewChain,
                none().text(1, TABLE).text(3, CHAIN).nest(4, hook).number(5, ACCEPT).text(7, "filter"),
            ),
            // Types as the program `nft` names them: index of a link, then an address.
            (Ask::NewSet, set(V4, 20 << 6 | 7, 8)),
            (Ask::NewSet, set(V6, 20 << 6 | 8, 20)),
        ];
        for index in trusted {
            asks.push(rule([meta(IIF), equals(&index.to_ne_bytes()), verdict(ACCEPT)]));
        }
        asks.push(owned(IPV4, 12, 4, V4));
        asks.push(owned(IPV6, 8, 16, V6));
        // Neighbours are found in the name of link-local addresses, and of none at all.
        let link_local = [is(IPV6), load(WORD_0, 8, 2), mask(&[0xff, 0xc0]), equals(&[0xfe, 0x80])];
        asks.push(rule([meta(NFPROTO)].into_iter().chain(link_local).chain([verdict(ACCEPT)])));
        let unspecified = [meta(NFPROTO), is(IPV6), load(WORD_0, 8, 16), equals(&[0; 16]), verdict(ACCEPT)];
        asks.push(rule(unspecified));
        asks.push(rule([expression("counter", none()), verdict(DROP)]));
        nft.batch(&asks)?;
        Ok(Self { nft })
    }

    /// Changes what may come in where, all at once. Each is given once, and taken only when it was given.
    pub(crate) fn change(&mut self, give: &[Source], take: &[Source]) -> Result<(), NftError> {
        let mut asks = Vec::new();
        for (ask, sources) in [(Ask::DelElements, take), (Ask::NewElements, give)] {
            for (name, v4) in [(V4, true), (V6, false)] {
                // Far below what an attribute's 16 bits of length can hold.
                let of_family: Vec<&Source> =
                    sources.iter().filter(|source| source.ip.is_ipv4() == v4).collect();
                for some in of_family.chunks(500) {
                    asks.push((ask, elements(name, some)));
                }
            }
        }
        if asks.is_empty() { Ok(()) } else { self.nft.batch(&asks) }
    }

    /// How many packets were dropped so far.
    pub(crate) fn dropped(&mut self) -> Result<u64, NftError> {
        let rules = self.nft.rules(TABLE)?;
        let count = rules.iter().find_map(|rule| {
            let expressions = attributes(find(rule, &[4])?);
            let counter = expressions.map(|(_, it)| it).find(|it| find(it, &[1]) == Some(b"counter\0"))?;
            Some(u64::from_be_bytes(find(counter, &[2, 2])?.try_into().ok()?))
        });
        count.ok_or_else(|| NftError {
            what: "read the counter of the guard".to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "the rule has gone"),
        })
    }
}

fn set(name: &str, key: u32, length: u32) -> Attributes {
    Attributes::default()
        .text(1, TABLE)
        .text(2, name)
        .number(3, 0)
        .number(4, key)
        .number(5, length)
        .number(10, 1)
}

fn elements(set: &str, sources: &[&Source]) -> Attributes {
    let list = sources.iter().fold(Attributes::default(), |list, source| {
        let key = Attributes::default().bytes(1, &source.key());
        list.nest(1, Attributes::default().nest(1, key))
    });
    Attributes::default().text(1, TABLE).text(2, set).nest(3, list)
}

fn rule(expressions: impl IntoIterator<Item = Attributes>) -> (Ask, Attributes) {
    let list = expressions.into_iter().fold(Attributes::default(), |list, it| list.nest(1, it));
    (Ask::NewRule, Attributes::default().text(1, TABLE).text(2, CHAIN).nest(4, list))
}

/// Accepts what is of a family and has link and source together in a set.
fn owned(family: u8, offset: u32, length: u32, set: &str) -> (Ask, Attributes) {
    let lookup = Attributes::default().text(1, set).number(2, WORD_0);
    rule([
        meta(NFPROTO),
        is(family),
        meta(IIF),
        load(WORD_1, offset, length),
        expression("lookup", lookup),
        verdict(ACCEPT),
    ])
}

fn expression(name: &str, data: Attributes) -> Attributes {
    Attributes::default().text(1, name).nest(2, data)
}

fn meta(key: u32) -> Attributes {
    expression("meta", Attributes::default().number(1, WORD_0).number(2, key))
}

/// Bytes of the network header into a register.
fn load(register: u32, offset: u32, length: u32) -> Attributes {
    let data = Attributes::default().number(1, register).number(2, 1).number(3, offset).number(4, length);
    expression("payload", data)
}

fn mask(mask: &[u8]) -> Attributes {
    let value = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
    let length = u32::try_from(mask.len()).expect("a register has 16 bytes");
    let data = Attributes::default().number(1, WORD_0).number(2, WORD_0).number(3, length);
    expression("bitwise", data.nest(4, value(mask)).nest(5, value(&vec![0; mask.len()])))
}

fn equals(value: &[u8]) -> Attributes {
    let data = Attributes::default().number(1, WORD_0).number(2, 0);
    expression("cmp", data.nest(3, Attributes::default().bytes(1, value)))
}

fn is(family: u8) -> Attributes {
    equals(&[family])
}

fn verdict(code: u32) -> Attributes {
    let verdict = Attributes::default().number(1, code);
    let data = Attributes::default().number(1, VERDICT).nest(2, Attributes::default().nest(2, verdict));
    expression("immediate", data)
}
