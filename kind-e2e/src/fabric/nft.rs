//! The little of nf_tables that a guard needs, as netlink messages.
//!
//! Messages of one batch are applied together or not at all. Numbers are those of `linux/netfilter/nf_tables.h`.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFPROTO_INET`: IPv4 and IPv6 alike.
const FAMILY: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// What is asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    NewTable,
    NewChain,
    NewRule,
    NewSet,
    NewElements,
    DelElements,
}

impl Ask {
    fn kind(self) -> u16 {
        match self {
            Self::NewTable => 0,
            Self::NewChain => 3,
            Self::NewRule => 6,
            Self::NewSet => 9,
            Self::NewElements => 12,
            Self::DelElements => 14,
        }
    }

    fn flags(self) -> u16 {
        match self {
            Self::NewRule => CREATE | APPEND,
            Self::DelElements => 0,
            _ => CREATE,
        }
    }
}

/// Attributes, each a length, a type and a value, padded to four bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("attributes are far shorter than 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// Numbers are in network order here.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn nest(self, kind: u16, inner: Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// Why the kernel did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("nf_tables: {what}: {source}")]
pub(crate) struct NftError {
    pub(crate) what: String,
    #[source]
    pub(crate) source: io::Error,
}

/// A socket of the namespace that it was opened in.
pub(crate) struct Nft {
    socket: Socket,
    sequence: u32,
}

impl Nft {
    /// A socket in the calling thread's namespace, where it stays.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All of these, or none.
    pub(crate) fn batch(&mut self, asks: &[(Ask, Attributes)]) -> Result<(), NftError> {
        let failed = |source| NftError { what: "the kernel cannot be reached".to_owned(), source };
        let mut bytes = Vec::new();
        let first = self.sequence;
        self.push(&mut bytes, BATCH_BEGIN, REQUEST, SUBSYSTEM, &Attributes::default());
        for (ask, attributes) in asks {
            let kind = SUBSYSTEM << 8 | ask.kind();
            self.push(&mut bytes, kind, REQUEST | ACK | ask.flags(), 0, attributes);
        }
        self.push(&mut bytes, BATCH_END, REQUEST, SUBSYSTEM, &Attributes::default());
        self.socket.send(&bytes, 0).map_err(failed)?;
        let (mut open, mut refused) = (asks.len(), None);
        while open > 0 {
            let (answer, _) = self.socket.recv_from_full().map_err(failed)?;
            for message in messages(&answer).filter(|message| message.kind == ERROR) {
                open -= 1;
                let code = message.body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                if code == 0 || refused.is_some() {
                    continue;
                }
                let index = (message.sequence.wrapping_sub(first) as usize).wrapping_sub(1);
                let what = asks.get(index).map_or("batch".to_owned(), |(ask, _)| format!("{ask:?}"));
                let error = NftError { what, source: io::Error::from_raw_os_error(-code) };
                // What is wrong with the batch as a whole is told once.
                if asks.get(index).is_none() {
                    return Err(error);
                }
                refused = Some(error);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Bodies of all rules of a table, without their headers.
    pub(crate) fn rules(&mut self, table: &str) -> Result<Vec<Vec<u8>>, NftError> {
        let failed = |source| NftError { what: "list rules".to_owned(), source };
        let mut bytes = Vec::new();
        let attributes = Attributes::default().text(1, table);
        self.push(&mut bytes, SUBSYSTEM << 8 | 7, REQUEST | DUMP, 0, &attributes);
        self.socket.send(&bytes, 0).map_err(failed)?;
        let mut rules = Vec::new();
        loop {
            let (answer, _) = self.socket.recv_from_full().map_err(failed)?;
            for message in messages(&answer) {
                match message.kind {
                    DONE => return Ok(rules),
                    ERROR => {
                        let code = message.body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        return Err(failed(io::Error::from_raw_os_error(-code)));
                    }
                    _ => rules.extend(message.body.get(4..).map(<[u8]>::to_vec)),
                }
            }
        }
    }

    fn push(&mut self, to: &mut Vec<u8>, kind: u16, flags: u16, resource: u16, attributes: &Attributes) {
        let length = u32::try_from(HEADER + 4 + attributes.0.len()).expect("batches are small");
        to.extend(length.to_ne_bytes());
        to.extend(kind.to_ne_bytes());
        to.extend(flags.to_ne_bytes());
        to.extend(self.sequence.to_ne_bytes());
        to.extend([0; 4]);
        let family = if kind == BATCH_BEGIN || kind == BATCH_END { 0 } else { FAMILY };
        to.extend([family, 0]);
        to.extend(resource.to_be_bytes());
        to.extend(&attributes.0);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The value of an attribute, found by types from outside to inside; of several of a type the first one.
pub(crate) fn find<'a>(mut bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    for wanted in path {
        bytes = attributes(bytes).find(|(kind, _)| kind == wanted)?.1;
    }
    Some(bytes)
}

/// Types and values of attributes that stand side by side.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header: &[u8; 4] = bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(4..length)?;
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !NESTED;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}
