//! Ports that carry as soon as their NIC is up.
//!
//! When a node takes a NIC up, the router's end gets its carrier, but its queue drops everything until the kernel's
//! link watch has run: milliseconds later, or a second when the kernel is busy. Asking for the link makes the kernel
//! do that first (since 6.8). So for each node a thread listens to its links and asks for the router's ends; a real
//! VPC is not deaf for a second either.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use terway_dataplane::{linux::direct, op::NetOp, state::Place};

use super::router::up;
use crate::netns::Netns;

/// `RTNLGRP_LINK`.
const LINKS: u32 = 1;
/// How long a thread sleeps at most before it sees that it is to end.
const TICK: Duration = Duration::from_millis(200);
/// What ports' names begin with.
const PORT: &str = "p0";

/// A node that is listened to; ends with this value.
#[derive(Debug)]
pub(super) struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens to the links of a node. `router`: by name, since the thread opens it for itself.
    pub(super) fn start(node: &Netns, router: &str) -> io::Result<Self> {
        let socket = node.run(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, 1 << (LINKS - 1)))?;
            Ok(socket)
        })?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TICK))?;
        let router = Netns::open(router).map_err(io::Error::other)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let listen = move || {
            while !stopped.load(Relaxed) {
                match socket.recv_from_full() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // An overrun has lost some: a reason to ask like any other.
                    _ => ask(&router),
                }
            }
        };
        let thread = Some(Builder::new().name("carrier".into()).spawn(listen)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // A panic there was printed there.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// Asks for all ports; each that is up stays so.
fn ask(router: &Netns) {
    let asked = router.run(|| {
        let side = direct::observe_all().map_err(io::Error::other)?;
        let ports = side.links.keys().filter(|name| name.starts_with(PORT));
        let ops: Vec<NetOp> = ports.map(|port| NetOp::new(Place::Host, up(port))).collect();
        direct::apply(router.path(), &ops).map_err(io::Error::other)
    });
    // A port that went meanwhile; or the router, at the end.
    if let Err(error) = asked {
        tracing::debug!(%error, "ports were not asked for");
    }
}
