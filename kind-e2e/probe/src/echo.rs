//! A server that sends back what it gets, and clients that compare.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::time::Instant;

/// How long a server's threads sleep at most before they see that they are to end.
const TICK: Duration = Duration::from_millis(100);
/// Most connections that wait to be served; each is served to its end before the next one.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server over TCP and UDP. Its sockets stay in the namespace that they were made in; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    tcp: SocketAddr,
    udp: SocketAddr,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens at an address of the calling thread's namespace, on any free ports.
    pub fn start(at: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((at, 0))?;
        listener.set_nonblocking(true)?;
        let socket = UdpSocket::bind((at, 0))?;
        socket.set_read_timeout(Some(TICK))?;
        let (tcp, udp) = (listener.local_addr()?, socket.local_addr()?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let stopped = Arc::clone(&stop);
        threads.push(Builder::new().name("echo-tcp".into()).spawn(move || streams(&listener, &stopped))?);
        let stopped = Arc::clone(&stop);
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        let serve = move || datagrams(&socket, &stopped, &count);
        threads.push(Builder::new().name("echo-udp".into()).spawn(serve)?);
        Ok(Self { tcp, udp, stop, received, threads })
    }

    /// Where TCP is served.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// How many datagrams have come, whoever sent them.
    pub fn datagrams(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Where UDP is served.
    pub fn udp(&self) -> SocketAddr {
        self.udp
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there was printed there.
            let _ended = thread.join();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a listener has no time-out; its thread polls until it is to end"
)]
fn streams(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match listener.accept() {
            // A client that goes away is the client's to notice.
            Ok((stream, _)) => drop(echo(stream)),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(&buffer[..length])?;
    }
}

fn datagrams(socket: &UdpSocket, stop: &AtomicBool, received: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            received.fetch_add(1, Relaxed);
            // As above.
            let _gone = socket.send_to(&buffer[..length], from);
        }
    }
}

/// Sends bytes over TCP from the calling thread's namespace and reads them back; how long that took.
pub fn tcp(to: SocketAddr, bytes: usize, patience: Duration) -> io::Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let sent = pattern(bytes);
    let mut writer = stream.try_clone()?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            writer.write_all(&sent)?;
            writer.shutdown(Shutdown::Write)
        });
        let mut read = Vec::with_capacity(bytes);
        stream.read_to_end(&mut read)?;
        writing.join().map_err(|_| io::Error::other("the writer panicked"))??;
        same(&sent, &read)
    })?;
    Ok(start.elapsed())
}

/// Sends one datagram of so many bytes and waits for it to come back; sent again every half second, as whoever uses
/// UDP must. `from`: the address to send from; none: what the kernel takes.
pub fn udp(to: SocketAddr, from: Option<IpAddr>, bytes: usize, patience: Duration) -> io::Result<Duration> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((from.unwrap_or(any), 0))?;
    socket.set_read_timeout(Some(patience.min(Duration::from_millis(500))))?;
    socket.connect(to)?;
    let (sent, start, mut buffer) = (pattern(bytes), Instant::now(), vec![0; 1 << 16]);
    loop {
        socket.send(&sent)?;
        match socket.recv(&mut buffer) {
            Ok(length) => return same(&sent, &buffer[..length]).map(|()| start.elapsed()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < patience => {}
            Err(error) => return Err(error),
        }
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 253) as u8).collect()
}

fn same(sent: &[u8], read: &[u8]) -> io::Result<()> {
    if sent == read {
        return Ok(());
    }
    let text = format!("{} bytes came back of {}, or others than were sent", read.len(), sent.len());
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_comes_back_over_both() {
        let server = Server::start([127, 0, 0, 1].into()).expect("loopback is there");
        tcp(server.tcp(), 1 << 20, PATIENCE).expect("back over TCP");
        udp(server.udp(), None, 1000, PATIENCE).expect("back over UDP");
    }

    #[test]
    fn where_nobody_listens_nothing_comes_back() {
        let server = Server::start([127, 0, 0, 1].into()).expect("loopback is there");
        let (tcp_was, udp_was) = (server.tcp(), server.udp());
        drop(server);
        tcp(tcp_was, 1, PATIENCE).expect_err("refused");
        udp(udp_was, None, 1, PATIENCE).expect_err("refused");
    }
}
