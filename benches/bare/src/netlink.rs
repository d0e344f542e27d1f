//! Route netlink by hand: requests as bytes, one send for a batch, and its acknowledgements.

use std::{io, net::IpAddr, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
    send, socket_with,
};

/// Flags of `struct nlmsghdr`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;

/// `NLMSG_ERROR`, whose code is 0 for an acknowledgement.
const ERROR: u16 = 2;

/// Requests, one after the other.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last request begins.
    start: usize,
    requests: u32,
}

impl Batch {
    /// Begins a request that is acknowledged; `make` is for what must not be there yet.
    pub(crate) fn request(&mut self, kind: u16, make: bool, header: &[u8]) -> &mut Self {
        self.begin(kind, REQUEST | ACK | if make { CREATE | EXCL } else { 0 }, header)
    }

    /// Begins a request that is answered.
    pub(crate) fn question(&mut self, kind: u16, header: &[u8]) -> &mut Self {
        self.begin(kind, REQUEST, header)
    }

    fn begin(&mut self, kind: u16, flags: u16, header: &[u8]) -> &mut Self {
        self.start = self.bytes.len();
        self.requests += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.requests.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(header);
        self.end(self.start, 4);
        self
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.nest(kind, |batch| batch.bytes.extend(value))
    }

    pub(crate) fn address(&mut self, kind: u16, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => self.attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attribute(kind, &ip.octets()),
        }
    }

    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        inner(self);
        self.end(start, 2);
        self.end(self.start, 4);
        self
    }

    /// Bytes as they are: the header of a nested link.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Writes the length of what began there, in so many bytes, and fills up to a multiple of four.
    fn end(&mut self, start: usize, width: usize) {
        let length = (self.bytes.len() - start) as u32;
        let word = length.to_ne_bytes();
        let word = if width == 2 { (length as u16).to_ne_bytes().to_vec() } else { word.to_vec() };
        self.bytes[start..start + width].copy_from_slice(&word);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A socket in the namespace that it was opened in.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Hears of the groups in this set of bits, too.
    pub(crate) fn open(groups: u32) -> io::Result<Self> {
        // `NETLINK_ROUTE` is the protocol 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Sends a batch and reads the answer to each request. Interface indexes of answers that are links are returned.
    pub(crate) fn run(&self, batch: &Batch) -> io::Result<Vec<u32>> {
        let sent = send(&self.0, &batch.bytes, SendFlags::empty())?;
        if sent != batch.bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let (mut open, mut indexes) = (batch.requests, Vec::new());
        while open > 0 {
            self.hear(|kind, body| {
                open -= 1;
                let code = i32::from_ne_bytes(word(body, if kind == ERROR { 0 } else { 4 })?);
                match kind {
                    ERROR if code < 0 => return Err(io::Error::from_raw_os_error(-code)),
                    ERROR => {}
                    _ => indexes.push(code.cast_unsigned()),
                }
                Ok(())
            })?;
        }
        Ok(indexes)
    }

    /// Reads one datagram, message by message: kind and what is behind the header.
    pub(crate) fn hear(&self, mut each: impl FnMut(u16, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = [0; 1 << 14];
        let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let length = u32::from_ne_bytes(word(rest, 0)?) as usize;
            let message = rest.get(16..length).ok_or(io::ErrorKind::InvalidData)?;
            each(u16::from_ne_bytes([rest[4], rest[5]]), message)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

fn word(bytes: &[u8], at: usize) -> io::Result<[u8; 4]> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
