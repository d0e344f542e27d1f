//! Two pods, and what is measured between them.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;
use terway_e2e::{cluster::Cluster, netns::Netns, target::Target};
use tokio::time::Instant;

use crate::server;

/// How far apart pods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// On one node: two links, two programs each.
    Node,
    /// On two nodes: through ENIs and the VPC.
    Nodes,
}

impl Path {
    pub(crate) const ALL: [Self; 2] = [Self::Node, Self::Nodes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "same node",
            Self::Nodes => "two nodes",
        }
    }
}

/// Namespaces of client and server, and the server's address.
pub(crate) struct Side {
    client: Netns,
    server: Netns,
    ip: std::net::IpAddr,
}

impl Side {
    pub(crate) fn of(cluster: &Cluster, path: Path) -> Self {
        let client = Target::pod(if path == Path::Node { "near" } else { "far" });
        let netns = |target: &Target| cluster.netns(target).expect("it is there").expect("it has one");
        let ip = cluster.ips(&server()).expect("it is there")[0];
        Self { client: netns(&client), server: netns(&server()), ip }
    }

    /// Serves connections in the server's namespace until one says nothing.
    fn serve(&self) -> (SocketAddr, JoinHandle<()>) {
        let listener = self.server.run(|| TcpListener::bind((self.ip, 0))).expect("a listener");
        let at = listener.local_addr().expect("it has one");
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                stream.set_nodelay(true).expect("set");
                let (mut byte, mut any) = ([0], false);
                while stream.read(&mut byte).is_ok_and(|length| length == 1) {
                    any = true;
                    if stream.write_all(&byte).is_err() {
                        break;
                    }
                }
                if !any {
                    return;
                }
            }
        };
        (at, thread::Builder::new().spawn(serve).expect("a thread"))
    }
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0])
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One byte there and back over one connection: median and 99th percentile, in microseconds.
pub(crate) fn rr(side: &Side, seconds: u64) -> (f64, f64) {
    let (at, server) = side.serve();
    let mut samples = side
        .client
        .run(|| {
            let mut stream = connect(at)?;
            let (mut samples, begun) = (Vec::new(), Instant::now());
            while begun.elapsed() < Duration::from_secs(seconds) {
                let one = Instant::now();
                ask(&mut stream)?;
                samples.push(one.elapsed().as_secs_f64() * 1e6);
            }
            drop(stream);
            connect(at).map(drop)?;
            Ok(samples)
        })
        .expect("answers");
    server.join().expect("it does not panic");
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}

/// A connection, one byte there and back, its end: median in microseconds. Each is a first packet for both ends.
pub(crate) fn crr(side: &Side, seconds: u64) -> f64 {
    let (at, server) = side.serve();
    let mut samples = side
        .client
        .run(|| {
            let (mut samples, begun) = (Vec::new(), Instant::now());
            while begun.elapsed() < Duration::from_secs(seconds) {
                let one = Instant::now();
                ask(&mut connect(at)?)?;
                samples.push(one.elapsed().as_secs_f64() * 1e6);
            }
            connect(at).map(drop)?;
            Ok(samples)
        })
        .expect("answers");
    server.join().expect("it does not panic");
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Throughput of one TCP stream by iperf3, in Gbit/s at the receiver.
pub(crate) fn iperf(side: &Side, seconds: u64) -> f64 {
    let ip = side.ip.to_string();
    let mut command = Command::new("iperf3");
    command.args(["-s", "-1", "-B", &ip]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = side.server.run(|| command.spawn()).expect("started");
    let mut tries = 0;
    let figure = loop {
        let mut command = Command::new("iperf3");
        command.args(["-c", &ip, "-J", "-t", &seconds.to_string()]).stdin(Stdio::null());
        let output = side.client.run(|| command.output()).expect("started");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        // An error is a report, too.
        if report["error"].is_null()
            && let Some(bits) = report["end"]["sum_received"]["bits_per_second"].as_f64()
        {
            break bits / 1e9;
        }
        // It takes the server a moment to listen.
        tries += 1;
        assert!(tries < 50, "{}", String::from_utf8_lossy(&output.stdout));
        thread::park_timeout(Duration::from_millis(50));
    };
    // Told to end after one client it mostly does.
    server.kill().expect("it is ours");
    server.wait().expect("it has ended");
    figure
}
