//! Waiting until a pod's IPv6 addresses receive.
//!
//! The kernel acknowledges a new IPv6 address and makes it receivable afterwards, from a work queue of its own; what
//! arrives in between is dropped. It says so when it is done: by the route of the address in the local table.

use std::{collections::BTreeSet, io, net::Ipv6Addr, time::Duration};

use ipnet::IpNet;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    route::{RouteAddress, RouteAttribute, RouteType},
};
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::socket::messages;
use crate::{
    op::{Change, NetOp, Object},
    state::Place,
};

/// `RTNLGRP_IPV6_ROUTE`.
const GROUP: u32 = 11;

/// Most time between two words of the kernel. Its work queue is never that late but on a machine that stands still,
/// where a lost packet is the least trouble.
const PATIENCE: Duration = Duration::from_secs(1);

/// IPv6 addresses that changes give to a pod.
pub(super) fn expected(ops: &[NetOp]) -> BTreeSet<Ipv6Addr> {
    let inside = ops.iter().filter(|op| op.place == Place::Pod);
    let address = |op: &NetOp| match &op.change {
        Change::Add(Object::Address(address)) => match address.net {
            IpNet::V6(net) => Some(net.addr()),
            IpNet::V4(_) => None,
        },
        _ => None,
    };
    inside.filter_map(address).collect()
}

/// Addresses that are waited for.
pub(super) struct Arrivals {
    socket: netlink_sys::Socket,
    expected: BTreeSet<Ipv6Addr>,
}

impl Arrivals {
    /// Listens in the calling thread's namespace, from before the addresses are given.
    pub(super) fn listen(expected: BTreeSet<Ipv6Addr>) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(GROUP)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, expected })
    }

    /// Returns when all receive. Where the kernel does not say so in time, they are taken as they are.
    pub(super) fn wait(&mut self) {
        while !self.expected.is_empty() {
            let Ok((bytes, _)) = self.socket.recv_from_full() else { return };
            for message in messages(&bytes, &|_| true) {
                if let Some(address) = receives(message) {
                    self.expected.remove(&address);
                }
            }
        }
    }
}

/// The address that a message says is received from now on.
fn receives(message: NetlinkMessage<Message>) -> Option<Ipv6Addr> {
    let NetlinkPayload::InnerMessage(Message::NewRoute(route)) = message.payload else { return None };
    let local = route.header.kind == RouteType::Local && route.header.destination_prefix_length == 128;
    route.attributes.into_iter().filter(|_| local).find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(address),
        _ => None,
    })
}
