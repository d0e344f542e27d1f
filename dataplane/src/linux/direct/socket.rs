//! A blocking route netlink socket: batches of changes, lookups by name, dumps.

use std::{collections::BTreeMap, io};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP_INTR, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{RouteNetlinkMessage as Message, link::LinkMessage};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};

use crate::linux::{
    decode::{self, SeenLink},
    encode::{self, Packet},
    snapshot::Snapshot,
};

/// What became of each change.
pub(super) type Answers = Vec<io::Result<()>>;

/// How often a dump is begun anew because the state changed under it.
const DUMP_ATTEMPTS: usize = 8;

/// Bytes that a datagram may have. The kernel's own are at most 32 KiB, but for a description of one link that has
/// very many virtual functions, for which nobody asks here. Of the buffer only what is used is ever touched.
const LONGEST: usize = 64 << 10;

/// The kind of message below which netlink's own are (`NLMSG_MIN_TYPE`).
const FIRST_KIND: u16 = 16;

pub(super) struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket in the calling thread's namespace, where it stays.
    pub(super) fn open() -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        inner.bind_auto()?;
        inner.connect(&SocketAddr::new(0, 0))?;
        // An error need not bring back the request.
        inner.set_cap_ack(true)?;
        Ok(Self { inner, sequence: 0, buffer: Vec::with_capacity(LONGEST) })
    }

    /// Sends changes in one call and returns the answer to each, and what the kernel echoes of new links.
    ///
    /// The kernel works them off in order and always tells of a refusal, so only the last has to be acknowledged:
    /// when its answer is there, silence about another one is its success.
    pub(super) fn exchange(&mut self, mut packets: Vec<Packet>) -> io::Result<(Answers, Vec<SeenLink>)> {
        let mut echoes = Vec::new();
        let Some(last) = packets.len().checked_sub(1) else { return Ok((Vec::new(), echoes)) };
        for packet in &mut packets[..last] {
            packet.header.flags &= !NLM_F_ACK;
        }
        let first = self.send(packets)?;
        let mut answers: Answers = (0..=last).map(|_| Ok(())).collect();
        loop {
            for message in self.receive()? {
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                let error = match message.payload {
                    NetlinkPayload::Error(error) => error,
                    NetlinkPayload::InnerMessage(Message::NewLink(link)) => {
                        echoes.extend(decode::link(&link));
                        continue;
                    }
                    _ => continue,
                };
                let Some(answer) = answers.get_mut(index) else { continue };
                if error.code.is_some() {
                    *answer = Err(error.to_io());
                }
                if index == last {
                    return Ok((answers, echoes));
                }
            }
        }
    }

    /// Indexes of links by name; those that are not there are left out.
    pub(super) fn indexes<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<BTreeMap<String, u32>> {
        let mut wanted: Vec<&str> = names.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let links = self.links(wanted.iter().map(|name| encode::get_link(name)).collect())?;
        let found = wanted.into_iter().zip(links);
        Ok(found.filter_map(|(name, link)| Some((name.to_string(), link?.header.index))).collect())
    }

    /// The answer to each question for one link; none where there is no such link.
    pub(super) fn links(&mut self, questions: Vec<Packet>) -> io::Result<Vec<Option<LinkMessage>>> {
        let mut links: Vec<Option<LinkMessage>> = questions.iter().map(|_| None).collect();
        let mut open = links.len();
        if open == 0 {
            return Ok(links);
        }
        let first = self.send(questions)?;
        while open > 0 {
            for message in self.receive()? {
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                let Some(slot) = links.get_mut(index) else { continue };
                open -= 1;
                match message.payload {
                    NetlinkPayload::InnerMessage(Message::NewLink(link)) => *slot = Some(link),
                    NetlinkPayload::Error(error) if error.raw_code() == -Errno::NODEV.raw_os_error() => {}
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {
                        return Err(io::Error::other("the kernel's description of a link is not understood"));
                    }
                }
            }
        }
        Ok(links)
    }

    /// Asks for links, and takes no interest in the answers: being asked is what makes the kernel get to them.
    pub(super) fn touch(&mut self, indexes: impl Iterator<Item = u32>) -> io::Result<()> {
        let questions: Vec<Packet> = indexes.map(encode::get_link_at).collect();
        let mut open = questions.len();
        if open > 0 {
            self.send(questions)?;
        }
        while open > 0 {
            open = open.saturating_sub(self.receive_some(&|_| false)?.len());
        }
        Ok(())
    }

    /// The answer to a question that has one message for its answer.
    pub(super) fn ask(&mut self, question: Packet) -> io::Result<Message> {
        let first = self.send(vec![question])?;
        loop {
            for message in self.receive()? {
                if message.header.sequence_number != first {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => return Ok(message),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => return Err(io::Error::other("the kernel's answer is not understood")),
                }
            }
        }
    }

    /// All that is in the namespace.
    pub(super) fn snapshot(&mut self) -> io::Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        for request in encode::dumps() {
            for message in self.dump(&request, |_| true)? {
                snapshot.take(&message);
            }
        }
        Ok(snapshot)
    }

    /// Of a dump what `look` takes by its bytes; the rest is not even decoded.
    pub(super) fn dump(
        &mut self,
        request: &Packet,
        look: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.dump_once(request, &look)? {
                return Ok(messages);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("the state changed during each of {DUMP_ATTEMPTS} dumps"),
        ))
    }

    /// None: the state changed under the dump, and it may be incomplete.
    fn dump_once(
        &mut self,
        request: &Packet,
        look: &impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<Vec<Message>>> {
        let first = self.send(vec![request.clone()])?;
        let (mut messages, mut whole) = (Vec::new(), true);
        loop {
            for message in self.receive_some(look)? {
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
        self.receive_some(&|_| true)
    }

    fn receive_some(&mut self, look: &impl Fn(&[u8]) -> bool) -> io::Result<Vec<NetlinkMessage<Message>>> {
        self.buffer.clear();
        let (_, length) = recv(&self.inner, spare_capacity(&mut self.buffer), RecvFlags::TRUNC)?;
        if length > self.buffer.len() {
            let text =
                format!("the kernel's answer has {length} bytes, of which {} are read", self.buffer.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(messages(&self.buffer, look))
    }
}

/// The messages that a datagram consists of. Of those with content that `look` does not take, only the header.
pub(super) fn messages(datagram: &[u8], look: &impl Fn(&[u8]) -> bool) -> Vec<NetlinkMessage<Message>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize) {
        let Some(message) = rest.get(..length).filter(|_| length >= 16) else { break };
        let control = u16::from_ne_bytes([message[4], message[5]]) < FIRST_KIND;
        let read = (control || look(message)).then(|| NetlinkMessage::deserialize(message).ok()).flatten();
        messages.push(read.unwrap_or_else(|| header_of(message)));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// The header alone, for whoever waits: of a message that is not looked at, or not understood, the kernel being newer
/// than we are.
fn header_of(message: &[u8]) -> NetlinkMessage<Message> {
    let mut header = NetlinkHeader::default();
    let word =
        |at: usize| message.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
    header.flags = message.get(6..8).and_then(|half| half.try_into().ok()).map_or(0, u16::from_ne_bytes);
    header.sequence_number = word(8).unwrap_or_default();
    NetlinkMessage::new(header, NetlinkPayload::Noop)
}
