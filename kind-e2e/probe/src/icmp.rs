//! Echo requests over a raw socket.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, bind, ipproto, recv, sendto, socket,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use tokio::time::Instant;

/// Longest payload that fits into a packet of either family.
pub const LONGEST: usize = 65_507;
/// What `ping` sends.
pub const USUAL: usize = 56;
/// Identifier of all requests; requests of a socket are told apart by their sequence number.
const IDENTIFIER: [u8; 2] = [0x7e, 0x11];

/// An open socket: nothing is left to do before a packet leaves.
#[derive(Debug)]
pub struct Echo {
    socket: OwnedFd,
    to: IpAddr,
}

impl Echo {
    /// A socket in the calling thread's namespace, where it stays. `source`: the address to send from, one of the
    /// namespace's own; none: what the kernel takes.
    pub fn open(to: IpAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let (family, protocol) = match to {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let socket = socket(family, SocketType::RAW, Some(protocol))?;
        if let Some(source) = source {
            bind(&socket, &SocketAddr::new(source, 0))?;
        }
        Ok(Self { socket, to })
    }

    /// Sends one request of that many bytes, at most [`LONGEST`], once; how long the answer took that carries them
    /// back. None when none came in time; an error when it could not even be sent.
    pub fn ask(&self, bytes: usize, sequence: u16, patience: Duration) -> io::Result<Option<Duration>> {
        let (request, reply) = if self.to.is_ipv4() { (8, 0) } else { (128, 129) };
        let [high, low] = sequence.to_be_bytes();
        let mut packet = vec![request, 0, 0, 0, IDENTIFIER[0], IDENTIFIER[1], high, low];
        packet.extend((0..bytes.min(LONGEST)).map(|n| (n % 251) as u8));
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut buffer = vec![0; 1 << 16];
        let start = Instant::now();
        sendto(&self.socket, &packet, SendFlags::empty(), &SocketAddr::new(self.to, 0))?;
        loop {
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            // A time-out of nothing would be none.
            set_socket_timeout(&self.socket, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // IPv4 comes with its header, of twenty bytes without options.
            let answer = buffer.get(if self.to.is_ipv4() { 20 } else { 0 }..length).unwrap_or_default();
            if answer.first() == Some(&reply) && answer.get(4..) == Some(&packet[4..]) {
                return Ok(Some(start.elapsed()));
            }
        }
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
