//! The beginning of an SCTP association over raw sockets, INIT and its answer: kernels mostly lack the rest.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, bind, ipproto, recvfrom, sendto, socket,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use tokio::time::Instant;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// How long a server sleeps at most before it sees that it is to end.
const TICK: Duration = Duration::from_millis(100);

fn open(at: IpAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket(family, SocketType::RAW, Some(ipproto::SCTP))?)
}

/// A packet of one chunk without parameters.
fn packet(ports: [u16; 2], chunk: u8) -> Vec<u8> {
    let mut packet = Vec::with_capacity(32);
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend([0; 8]);
    // Flags, length, initiate tag, window, streams each way, first TSN.
    packet.extend([chunk, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// Ports and chunk of a packet; of IPv4 it comes with its header.
fn read(bytes: &[u8], v4: bool) -> Option<([u16; 2], u8)> {
    let skip = if v4 { usize::from(bytes.first()? & 15) * 4 } else { 0 };
    let packet = bytes.get(skip..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    Some(([port(0)?, port(2)?], *packet.get(12)?))
}

/// The checksum of SCTP, bit by bit: packets are few.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    !sum
}

/// Answers every INIT to its port until it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at an address of the calling thread's namespace.
    pub fn start(at: SocketAddr) -> io::Result<Self> {
        let socket = open(at.ip())?;
        bind(&socket, &SocketAddr::new(at.ip(), 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TICK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Relaxed) {
                let Ok((_, length, Some(from))) = recvfrom(&socket, &mut buffer[..], RecvFlags::empty())
                else {
                    continue;
                };
                let (Some(([source, to], INIT)), Ok(mut from)) =
                    (read(&buffer[..length], at.is_ipv4()), SocketAddr::try_from(from))
                else {
                    continue;
                };
                from.set_port(0);
                if to == at.port() {
                    // Whoever asked may have gone.
                    let _ = sendto(&socket, &packet([to, source], INIT_ACK), SendFlags::empty(), &from);
                }
            }
        };
        let thread = Some(Builder::new().name("sctp".into()).spawn(serve)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// Sends an INIT from a port of the calling thread's namespace and waits for the answer; how long that took.
pub fn init(to: SocketAddr, from: u16, patience: Duration) -> io::Result<Duration> {
    let socket = open(to.ip())?;
    let begun = Instant::now();
    sendto(&socket, &packet([from, to.port()], INIT), SendFlags::empty(), &SocketAddr::new(to.ip(), 0))?;
    let mut buffer = [0; 2048];
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
        match recvfrom(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, length, _))
                if read(&buffer[..length], to.is_ipv4()) == Some(([to.port(), from], INIT_ACK)) =>
            {
                return Ok(begun.elapsed());
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_is_read_as_it_was_made() {
        assert_eq!(read(&packet([7, 9], INIT), false), Some(([7, 9], INIT)));
    }
}
