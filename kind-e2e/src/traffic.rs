//! Traffic between two ends of a cluster, and what became of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use terway_probe::{
    echo::{self, Server},
    icmp::Echo,
};

use crate::netns::Netns;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Echo requests.
    Icmp,
    /// A stream that comes back.
    Tcp,
    /// A datagram that comes back.
    Udp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Icmp, Self::Tcp, Self::Udp];
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// By what.
    pub protocol: Protocol,
    /// Bytes, without headers.
    pub bytes: usize,
    /// Of ICMP, which one of a row this is.
    pub sequence: u16,
    /// How long it may take.
    pub patience: Duration,
}

impl Load {
    /// So many bytes, within three seconds.
    pub fn new(protocol: Protocol, bytes: usize) -> Self {
        Self { protocol, bytes, sequence: 1, patience: Duration::from_secs(3) }
    }
}

/// Sends to an address and waits for what comes back; how long that took. For TCP and UDP a server listens in `at`
/// meanwhile. Blocks.
pub fn send(from: &Netns, at: Option<&Netns>, to: IpAddr, load: Load) -> io::Result<Duration> {
    let nobody = || {
        io::Error::new(io::ErrorKind::InvalidInput, "nobody is known to listen there; only ICMP can be sent")
    };
    let serve = || at.ok_or_else(nobody)?.run(|| Server::start(to));
    match load.protocol {
        Protocol::Icmp => {
            let echo = from.run(|| Echo::open(to, None))?;
            let answer = echo.ask(load.bytes, load.sequence, load.patience)?;
            answer.ok_or_else(|| {
                let text = format!("no answer within {:.1} s", load.patience.as_secs_f64());
                io::Error::new(io::ErrorKind::TimedOut, text)
            })
        }
        Protocol::Tcp => {
            let server = serve()?;
            let to: SocketAddr = server.tcp();
            from.run(|| echo::tcp(to, load.bytes, load.patience))
        }
        Protocol::Udp => {
            let server = serve()?;
            let to: SocketAddr = server.udp();
            from.run(|| echo::udp(to, None, load.bytes, load.patience))
        }
    }
}
