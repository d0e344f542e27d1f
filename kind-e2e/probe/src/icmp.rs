//! Echo requests over a raw socket.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, bind, ipproto, recv, sendto, socket,
    sockopt::{Timeout, set_socket_timeout},
};
use tokio::time::Instant;

/// Longest payload that fits into a packet of either family.
pub const LONGEST: usize = 65_507;
/// How often an IPv6 request is sent again. The kernel makes a new address receivable from a work queue of its own, a
/// moment after it was acknowledged, and nobody can wait for that; of IPv4 the very first packet must get through.
const AGAIN: Duration = Duration::from_millis(50);

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Where to.
    pub to: IpAddr,
    /// Bytes after the header, at most [`LONGEST`].
    pub bytes: usize,
    /// Tells requests of one socket apart.
    pub sequence: u16,
    /// How long the answer may take.
    pub patience: Duration,
    /// Address to send from, one of the namespace's own. None: what the kernel takes.
    pub source: Option<IpAddr>,
}

impl Echo {
    /// 56 bytes, as `ping` sends, with three seconds for the answer.
    pub fn new(to: IpAddr) -> Self {
        Self { to, bytes: 56, sequence: 1, patience: Duration::from_secs(3), source: None }
    }

    /// Sends it from the calling thread's namespace; how long the answer took that carries the bytes back. None when
    /// none came in time; an error when it could not even be sent.
    pub fn send(self) -> io::Result<Option<Duration>> {
        let (family, protocol, request, reply) = match self.to {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
        };
        let socket = socket(family, SocketType::RAW, Some(protocol))?;
        if let Some(source) = self.source {
            bind(&socket, &SocketAddr::new(source, 0))?;
        }
        let wait = if self.to.is_ipv4() { self.patience } else { AGAIN.min(self.patience) };
        set_socket_timeout(&socket, Timeout::Recv, Some(wait))?;
        let [high, low] = self.sequence.to_be_bytes();
        let mut packet = vec![request, 0, 0, 0, 0x7e, 0x11, high, low];
        packet.extend((0..self.bytes.min(LONGEST)).map(|n| (n % 251) as u8));
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut buffer = vec![0; 1 << 16];
        let start = Instant::now();
        while start.elapsed() < self.patience {
            sendto(&socket, &packet, SendFlags::empty(), &SocketAddr::new(self.to, 0))?;
            while let Ok((_, length)) = recv(&socket, &mut buffer[..], RecvFlags::empty()) {
                // IPv4 comes with its header, of twenty bytes without options.
                let answer = buffer.get(if self.to.is_ipv4() { 20 } else { 0 }..length).unwrap_or_default();
                if answer.first() == Some(&reply) && answer.get(4..) == Some(&packet[4..]) {
                    return Ok(Some(start.elapsed()));
                }
                if start.elapsed() >= self.patience {
                    break;
                }
            }
        }
        Ok(None)
    }
}

/// The internet checksum; of ICMPv6 the kernel makes its own.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_packet_with_its_checksum_is_nothing() {
        let mut packet = vec![8, 0, 0, 0, 0x7e, 0x11, 0, 1, 1, 2, 3];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }
}
