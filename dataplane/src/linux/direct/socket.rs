//! A blocking route netlink socket: batches of changes, lookups by name, dumps.

use std::{collections::BTreeMap, io};

use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

use crate::linux::{
    encode::{self, Packet},
    snapshot::Snapshot,
};

/// How often a dump is begun anew because the state changed under it.
const DUMP_ATTEMPTS: usize = 8;

pub(super) struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    /// A socket in the calling thread's namespace, where it stays.
    pub(super) fn open() -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        inner.bind_auto()?;
        inner.connect(&SocketAddr::new(0, 0))?;
        // An error need not bring back the request.
        inner.set_cap_ack(true)?;
        Ok(Self { inner, sequence: 0 })
    }

    /// Sends changes in one call and returns the answer to each.
    pub(super) fn exchange(&mut self, packets: Vec<Packet>) -> io::Result<Vec<io::Result<()>>> {
        if packets.is_empty() {
            return Ok(Vec::new());
        }
        let count = packets.len();
        let first = self.send(packets)?;
        let mut answers: Vec<Option<io::Result<()>>> = (0..count).map(|_| None).collect();
        let mut open = count;
        while open > 0 {
            for message in self.receive()? {
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                let NetlinkPayload::Error(error) = message.payload else { continue };
                let Some(slot @ None) = answers.get_mut(index) else { continue };
                *slot = Some(error.code.map_or(Ok(()), |_| Err(error.to_io())));
                open -= 1;
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Indexes of links by name; those that are not there are left out.
    pub(super) fn indexes<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<BTreeMap<String, u32>> {
        let mut wanted: Vec<&str> = names.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut indexes = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(indexes);
        }
        let first = self.send(wanted.iter().map(|name| encode::get_link(name)).collect())?;
        let mut open = wanted.len();
        while open > 0 {
            for message in self.receive()? {
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                let Some(name) = wanted.get(index) else { continue };
                open -= 1;
                match message.payload {
                    NetlinkPayload::InnerMessage(Message::NewLink(link)) => {
                        indexes.insert((*name).to_string(), link.header.index);
                    }
                    NetlinkPayload::Error(error) if error.raw_code() == -Errno::NODEV.raw_os_error() => {}
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {
                        return Err(io::Error::other(format!(
                            "the kernel's description of {name} is not understood"
                        )));
                    }
                }
            }
        }
        Ok(indexes)
    }

    /// All that is in the namespace.
    pub(super) fn snapshot(&mut self) -> io::Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        for request in encode::dumps() {
            for message in self.dump(&request)? {
                snapshot.take(&message);
            }
        }
        Ok(snapshot)
    }

    fn dump(&mut self, request: &Packet) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.dump_once(request)? {
                return Ok(messages);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("the state changed during each of {DUMP_ATTEMPTS} dumps"),
        ))
    }

    /// None: the state changed under the dump, and it may be incomplete.
    fn dump_once(&mut self, request: &Packet) -> io::Result<Option<Vec<Message>>> {
        let first = self.send(vec![request.clone()])?;
        let (mut messages, mut whole) = (Vec::new(), true);
        loop {
            for message in self.receive()? {
                if message.header.sequence_number != first {
                    continue;
                }
                whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => messages.push(message),
                    NetlinkPayload::Done(_) => return Ok(whole.then_some(messages)),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// Sends requests in one call; returns the sequence number of the first.
    fn send(&mut self, packets: Vec<Packet>) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        let mut buffer = Vec::new();
        for mut packet in packets {
            self.sequence = self.sequence.wrapping_add(1);
            packet.header.sequence_number = self.sequence;
            packet.finalize();
            let start = buffer.len();
            buffer.resize(start + packet.buffer_len().next_multiple_of(4), 0);
            packet.serialize(&mut buffer[start..start + packet.buffer_len()]);
        }
        let sent = self.inner.send(&buffer, 0)?;
        if sent != buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("{sent} of {} bytes sent", buffer.len()),
            ));
        }
        Ok(first)
    }

    /// One datagram's messages.
    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<Message>>> {
        let (bytes, _) = self.inner.recv_from_full()?;
        Ok(messages(&bytes))
    }
}

/// The messages that a datagram consists of.
pub(super) fn messages(datagram: &[u8]) -> Vec<NetlinkMessage<Message>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize) {
        let Some(message) = rest.get(..length).filter(|_| length >= 16) else { break };
        messages.push(NetlinkMessage::deserialize(message).unwrap_or_else(|_| unknown(message)));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// A message that is not understood, the kernel being newer than we are: its header alone, for whoever waits.
fn unknown(message: &[u8]) -> NetlinkMessage<Message> {
    let mut header = NetlinkHeader::default();
    let word =
        |at: usize| message.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
    header.flags = message.get(6..8).and_then(|half| half.try_into().ok()).map_or(0, u16::from_ne_bytes);
    header.sequence_number = word(8).unwrap_or_default();
    NetlinkMessage::new(header, NetlinkPayload::Noop)
}
