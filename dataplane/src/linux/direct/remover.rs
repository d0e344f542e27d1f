//! The removal of a pair, without waiting for what comes after it.
//!
//! The kernel takes a pair out of both namespaces in a millisecond, and then keeps whoever asked for it until all
//! memory of it is free, fifteen more. A thread would keep its process with it, so a helper asks: this program once
//! more, with [`ARGUMENT`]. It is started early, while there is other work, and told the link's index in time. The one
//! who is waited for hears from the kernel that the link is gone, looks, and ends.

use std::{
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{
        RecvFlags, recv,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use tokio::time::Instant;

use super::socket::Socket;
use crate::{
    linux::encode,
    op::Change,
    state::{Link, LinkKind},
};

/// What makes a program the helper: its only argument.
pub const ARGUMENT: &str = "remove-link";

/// `RTNLGRP_LINK`.
const GROUP: u32 = 1;

/// How long to listen before looking whether the helper still lives.
const TURN: Duration = Duration::from_millis(50);
/// Most time in all. The kernel takes a link out in milliseconds; whoever waits longer removes it by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// A helper that waits for its link.
#[derive(Debug)]
pub struct Remover(Child);

impl Remover {
    /// Starts this program once more. In the calling thread's namespace; nothing of ours stays open in it.
    pub fn start() -> io::Result<Self> {
        let mut helper = Command::new("/proc/self/exe");
        helper.arg(ARGUMENT).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        helper.spawn().map(Self)
    }

    /// Has a link removed; returns when it is gone. The helper is left to itself: it ends when the kernel lets it.
    pub fn remove(mut self, link: &str) -> io::Result<()> {
        let mut socket = Socket::open()?;
        let found = socket.indexes([link])?;
        let Some(index) = found.get(link) else { return Ok(()) };
        let mut events = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        events.bind_auto()?;
        events.add_membership(GROUP)?;
        set_socket_timeout(&events, Timeout::Recv, Some(TURN))?;
        let mut stdin = self.0.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{index} {link}").as_bytes())?;
        drop(stdin);
        let mut buffer = Vec::with_capacity(16 << 10);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            buffer.clear();
            // A word that was lost in the crowd is as good as one that was heard: the link is looked for. The answer
            // waits for whoever changes links, so a pair that is half removed is not seen.
            let heard = match recv(&events, spare_capacity(&mut buffer), RecvFlags::empty()) {
                Ok(_) => tells_of(&buffer, *index),
                Err(Errno::NOBUFS) => true,
                Err(Errno::AGAIN | Errno::INTR) => false,
                Err(error) => return Err(error.into()),
            };
            if heard && gone(&mut socket, *index)? {
                return Ok(());
            }
            if self.0.try_wait()?.is_some() {
                break;
            }
        }
        if gone(&mut socket, *index)? { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

fn gone(socket: &mut Socket, index: u32) -> io::Result<bool> {
    Ok(socket.links(vec![encode::get_link_at(index)])?.iter().all(Option::is_none))
}

/// Whether a datagram tells that a link has gone: `RTM_DELLINK`, and in `struct ifinfomsg` its index.
fn tells_of(datagram: &[u8], index: u32) -> bool {
    const DELLINK: [u8; 2] = 17u16.to_ne_bytes();
    datagram.get(4..6) == Some(&DELLINK) && datagram.get(20..24) == Some(&index.to_ne_bytes())
}

/// What the helper does: removes the link that stdin tells, or nothing when it ends without a word.
pub fn help(stdin: &mut dyn Read) -> io::Result<()> {
    let mut text = String::new();
    stdin.read_to_string(&mut text)?;
    let Some((index, name)) = text.split_once(' ') else { return Ok(()) };
    let index: u32 = index.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    // Only how it is named matters for the request.
    let kind = LinkKind::Veth { peer: None };
    let link = Link { mac: terway_core::id::Mac([0; 6]), mtu: 0, up: false, alias: None, index: 0, kind };
    let change = Change::DelLink { name: name.into(), link };
    let known = |_: &str| Some(index);
    let request = encode::request(&change, &encode::Names { index: &known, other: None });
    let packet = request.map_err(io::Error::other)?.into_iter().collect();
    let (answers, _) = Socket::open()?.exchange(packet)?;
    answers.into_iter().collect()
}
