//! Who can reach whom, asked with real packets.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use serde_json::Value;
use terway_e2e::{
    cluster::Cluster,
    netns::Netns,
    pod::{Pod, PodSpec},
    spec::ClusterSpec,
    target::Target,
    task::blocking,
};
use terway_probe::{
    echo::{self, Server},
    icmp::{Echo, USUAL},
    sctp,
};
use tokio::time::{Instant, sleep};

use crate::common::{self, PATIENCE};

/// How long an answer may take: a packet takes a tenth of a millisecond, and two cores are busy.
const ANSWER: Duration = Duration::from_millis(400);
/// Port that SCTP is sent to.
const SCTP_PORT: u16 = 9899;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp];
}

/// One cell of a matrix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) from: String,
    pub(crate) kind: Kind,
    pub(crate) v6: bool,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}/{}", self.from, self.kind, if self.v6 { 6 } else { 4 })
    }
}

/// A cluster that enforces policies.
pub(crate) async fn cluster(change: impl FnOnce(&mut ClusterSpec)) -> Cluster {
    common::cluster(|spec| {
        (spec.policy, spec.nodes) = (true, 2);
        change(spec);
    })
    .await
}

/// Runs a pod with a label `app`.
pub(crate) async fn pod(cluster: &Cluster, name: &str, node: usize) -> Pod {
    let spec = PodSpec::new("default", name, node).label("app", name);
    cluster.run_pod(&spec).await.expect("a pod")
}

pub(crate) fn policy(cluster: &Cluster, name: &str, spec: &Value) {
    cluster.apply_policy("default", name, spec).expect("a policy");
}

/// The namespace of one end.
pub(crate) fn netns(cluster: &Cluster, at: &Target) -> Netns {
    cluster.netns(at).expect("it is there").expect("it has one")
}

pub(crate) fn ip(cluster: &Cluster, of: &Target, v6: bool) -> IpAddr {
    let ips = cluster.ips(of).expect("it is there");
    ips.into_iter().find(|ip| ip.is_ipv6() == v6).expect("it has one of the family")
}

/// Servers of a pod, in one family.
pub(crate) struct Served {
    pub(crate) ip: IpAddr,
    pub(crate) echo: Server,
    _sctp: sctp::Server,
}

impl Served {
    pub(crate) fn start(cluster: &Cluster, at: &Target, v6: bool) -> Self {
        let ip = ip(cluster, at, v6);
        let (echo, sctp) = netns(cluster, at)
            .run(|| Ok((Server::start(ip)?, sctp::Server::start(SocketAddr::new(ip, SCTP_PORT))?)))
            .expect("servers");
        Self { ip, echo, _sctp: sctp }
    }

    /// Where a kind is served; ICMP has no ports.
    fn at(&self, kind: Kind) -> SocketAddr {
        match kind {
            Kind::Tcp => self.echo.tcp(),
            Kind::Udp => self.echo.udp(),
            Kind::Sctp => SocketAddr::new(self.ip, SCTP_PORT),
            Kind::Icmp => SocketAddr::new(self.ip, 0),
        }
    }
}

/// A port that was not used before, as a kernel gives them.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Relaxed)
}

/// Whether one packet, or connection, gets an answer.
fn reaches(from: &Netns, kind: Kind, to: SocketAddr, number: u16) -> bool {
    let sent = from.run(|| match kind {
        Kind::Tcp => echo::tcp(to, 100, ANSWER).map(drop),
        Kind::Udp => echo::udp(to, None, 100, ANSWER).map(drop),
        Kind::Sctp => sctp::init(to, port(), ANSWER).map(drop),
        Kind::Icmp => match Echo::open(to.ip(), None)?.ask(USUAL, number, ANSWER)? {
            Some(_) => Ok(()),
            None => Err(std::io::ErrorKind::TimedOut.into()),
        },
    });
    sent.is_ok()
}

/// Asks all cells at once; those that are reached.
pub(crate) async fn reached(cluster: &Cluster, from: &[Target], to: &Target, v6: &[bool]) -> BTreeSet<Cell> {
    let mut asked = Vec::new();
    let mut servers = Vec::new();
    for &v6 in v6 {
        let server = Arc::new(Served::start(cluster, to, v6));
        for (number, source) in from.iter().enumerate() {
            for kind in Kind::ALL {
                let (netns, to) = (netns(cluster, source), server.at(kind));
                let cell = Cell { from: source.to_string(), kind, v6 };
                let number = (number * 8 + kind as usize) as u16;
                asked.push(blocking(move || reaches(&netns, kind, to, number).then_some(cell)));
            }
        }
        servers.push(server);
    }
    let reached = join_all(asked).await.into_iter().flatten().collect();
    // Ending them waits for their threads.
    blocking(move || drop(servers)).await;
    reached
}

/// Waits until exactly these cells are reached, and looks once more that it stays so.
pub(crate) async fn becomes(
    cluster: &Cluster,
    (from, to): (&[Target], &Target),
    v6: &[bool],
    what: &str,
    wanted: impl Fn(&Cell) -> bool,
) {
    let all = from.iter().flat_map(|source| {
        Kind::ALL
            .into_iter()
            .flat_map(move |kind| v6.iter().map(move |&v6| Cell { from: source.to_string(), kind, v6 }))
    });
    let wanted: BTreeSet<Cell> = all.filter(|cell| wanted(cell)).collect();
    let start = Instant::now();
    loop {
        let found = reached(cluster, from, to, v6).await;
        if found == wanted {
            break;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: reached though it must not be: {:?}; not reached though it must be: {:?}",
            found.difference(&wanted).collect::<Vec<_>>(),
            wanted.difference(&found).collect::<Vec<_>>()
        );
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reached(cluster, from, to, v6).await, wanted, "{what}, a moment later");
}
