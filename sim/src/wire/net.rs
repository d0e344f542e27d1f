//! The simulated network; nothing else in the simulator knows its crate, but for the clock.
//!
//! A host never sees what happens on another within one tick, and a packet takes at least the shortest
//! latency; so hosts that run one after another on one thread look as if they ran side by side.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use terway_core::spawn::{Spawner, Task};
use turmoil::net::{TcpListener, TcpStream};

use super::link::{Link, Passage};
use crate::{endpoint::serve::Accept, ports::EPOCH, root, scenario::WireModel};

/// Host of the cloud's endpoint.
pub const CLOUD: &str = "cloud";
/// Host of the API server.
pub const API_SERVER: &str = "apiserver";
/// Host of the control plane.
pub const CONTROL_PLANE: &str = "controlplane";
/// Segments that may be on their way on one connection. What waits is memory, not time: a window that
/// fills would be another model.
const WINDOW: usize = 4_096;

/// Ports of outgoing connections. All there are: the network forgets to take back the port of a connection
/// that was refused, or given up before it was there.
const PORTS: std::ops::RangeInclusive<u16> = 1_024..=65_535;

/// The host of a zone.
pub fn host_of(zone: &str) -> String {
    format!("zone-host-{zone}")
}

/// The network with its hosts.
pub struct Net {
    sim: turmoil::Sim<'static>,
    usual: (Duration, Duration),
}

impl Net {
    /// A network without hosts. No run on it takes longer than `longest`, and an hour.
    pub fn new(seed: u64, model: &WireModel, longest: Duration) -> Self {
        let sim = turmoil::Builder::new()
            .epoch(SystemTime::UNIX_EPOCH + EPOCH)
            .rng_seed(seed)
            .tick_duration(model.tick)
            .min_message_latency(model.latency.0)
            .max_message_latency(model.latency.1)
            .simulation_duration(longest + Duration::from_hours(1))
            .tcp_capacity(WINDOW)
            .ephemeral_ports(PORTS)
            .build();
        Self { sim, usual: model.latency }
    }

    /// Adds a host that does this until the run ends.
    pub fn host<F>(&mut self, name: &str, software: impl Fn() -> F + 'static)
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        self.sim.host(name, move || {
            let software = software();
            async move { software.await.map_err(Into::into) }
        });
    }

    /// Adds the host whose end is the end of the run.
    pub fn ends_with(&mut self, name: &str, software: impl Future<Output = ()> + 'static) {
        self.sim.client(name, async move {
            software.await;
            Ok(())
        });
    }

    /// Time that has passed.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Lets one tick pass. True when the host is done that the run ends with.
    pub fn step(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        self.sim.step()
    }

    /// Puts the links of zones to the cloud into these states.
    pub fn apply(&self, changes: &[(String, Link)]) {
        for (zone, link) in changes {
            let zone = host_of(zone);
            let zone = zone.as_str();
            self.sim.repair(zone, CLOUD);
            match link.passage() {
                Passage::Open => {}
                Passage::Half => self.sim.partition_oneway(CLOUD, zone),
                Passage::Closed => self.sim.partition(zone, CLOUD),
            }
            self.sim.set_link_latency(zone, CLOUD, self.usual.0 + link.lag());
            self.sim.set_link_max_message_latency(zone, CLOUD, self.usual.1 + link.lag());
        }
    }
}

/// Takes connections on a port of this host.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// Opens connections to hosts by name.
#[derive(Clone, Copy, Debug)]
pub struct Connector;

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Stream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(async move {
            let host = to.host().ok_or_else(|| io::Error::other("the address names no host"))?;
            let stream = TcpStream::connect((host, to.port_u16().unwrap_or(80))).await?;
            Ok(Stream(TokioIo::new(stream)))
        })
    }
}

/// A connection, as the client's pool wants it.
#[derive(Debug)]
pub struct Stream(TokioIo<TcpStream>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tasks of a client's connections, as part of whoever has the client.
#[derive(Clone)]
pub struct Tasks(pub Arc<dyn Spawner>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn("connection", Box::pin(task));
    }
}

/// Tasks of the world on this host.
pub struct OfTheWorld;

impl Spawner for OfTheWorld {
    fn spawn(&self, _name: &'static str, task: Task) {
        root::spawn(task);
    }

    fn block(&self, _name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        Box::pin(async move { work() })
    }
}
