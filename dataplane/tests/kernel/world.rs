//! Namespaces without names: they live as long as their file descriptors, so nothing is left when a test ends,
//! however it ends.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write as _},
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use terway_core::{
    address::PodIps,
    id::{Mac, PodKey},
};
use terway_dataplane::{
    desired::desired,
    diff::{diff, diff_new},
    linux::{
        direct::{self, ApplyError},
        netns,
    },
    op::{Change, NetOp},
    pod::{Bandwidth, EniNet, Gateways, HostFacts, PodNet},
    state::{Link, LinkKind, NetState, Place, Side},
};

/// MAC of the veth that stands in for the ENI.
pub(crate) const ENI: Mac = Mac([0, 0x16, 0x3e, 0, 0, 7]);

/// Whether the kernel can be worked on. Says so aloud where it cannot.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        // Not by a macro: the test runner keeps what those print of tests that pass.
        let _ = io::stderr().write_all(b"SKIPPED: needs root, to make network namespaces; CI runs as root\n");
    }
    root
}

/// A network namespace of the test's own.
pub(crate) struct Ns {
    file: File,
    path: PathBuf,
}

impl Ns {
    pub(crate) fn new() -> Self {
        let file = thread::scope(|scope| scope.spawn(fresh).join()).expect("no panic").expect("a namespace");
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        Self { file, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Does something inside, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::within(self.file.as_fd(), || Ok(work())).expect("the namespace can be entered")
    }

    /// What iproute2 does inside.
    pub(crate) fn ip(&self, line: &str) {
        let status =
            self.run(|| Command::new("ip").args(line.split(' ')).status()).expect("iproute2 is there");
        assert!(status.success(), "ip {line}: {status}");
    }
}

#[expect(deprecated, reason = "unsafe for file descriptors and file systems only; a network is unshared")]
fn fresh() -> io::Result<File> {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
    netns::current()
}

/// A node with one ENI, and the fabric at the other end of it.
pub(crate) struct World {
    pub(crate) host: Ns,
    pub(crate) fabric: Ns,
}

impl World {
    pub(crate) fn new(mtu: u32) -> Self {
        let world = Self { host: Ns::new(), fabric: Ns::new() };
        let end = |mac, peer: &str| Link {
            mac,
            mtu,
            up: true,
            alias: None,
            index: 0,
            kind: LinkKind::Veth { peer: Some(peer.into()) },
        };
        let pair = Change::AddVeth {
            name: "eth1".into(),
            link: end(ENI, "gw0"),
            peer: end(Mac([0xee, 0xff, 0xff, 0xff, 0xff, 0xff]), "eth1"),
        };
        let up = |place, dev: &str| NetOp::new(place, Change::SetUp { dev: dev.into(), up: true });
        let ops = [NetOp::new(Place::Host, pair), up(Place::Pod, "gw0"), up(Place::Host, "eth1")];
        world.host.run(|| direct::apply(world.fabric.path(), &ops)).expect("an eni");
        world
    }

    pub(crate) fn facts(&self) -> HostFacts {
        self.host.run(direct::host_facts).expect("facts")
    }

    pub(crate) fn desired(&self, pod: &PodNet) -> NetState {
        desired(pod, &self.facts()).expect("valid")
    }

    pub(crate) fn observe(&self, pod: &PodNet, netns: &Ns) -> NetState {
        let facts = self.facts();
        self.host.run(|| direct::observe(Some(netns.path()), pod, &facts)).expect("observed")
    }

    pub(crate) fn apply(&self, netns: &Ns, ops: &[NetOp]) -> Result<(), ApplyError> {
        self.host.run(|| direct::apply(netns.path(), ops))
    }

    /// What ADD does.
    pub(crate) fn add(&self, pod: &PodNet, netns: &Ns) {
        let ops = diff_new(&self.observe(pod, netns), &self.desired(pod)).expect("no such interface yet");
        self.apply(netns, &ops).expect("applied");
    }

    /// What DEL does.
    pub(crate) fn delete(&self, pod: &PodNet, netns: Option<&Ns>) {
        let facts = self.facts();
        let path = netns.map(Ns::path);
        let ops =
            self.host.run(|| direct::observe(path, pod, &facts)).map(|it| diff(&it, &NetState::default()));
        let refused = self.host.run(|| direct::apply_all(path, &ops.expect("observed"))).expect("reached");
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// All that is on the host.
    pub(crate) fn everything(&self) -> Side {
        self.host.run(direct::observe_all).expect("observed")
    }
}

/// What the ENI is to be.
pub(crate) fn eni() -> EniNet {
    EniNet { mac: ENI, gateway: gateways(), node_ip: [10, 0, 0, 9].into(), mtu: 1500, pins: None }
}

fn gateways() -> Gateways {
    Gateways { v4: [10, 0, 1, 253].into(), v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfd)) }
}

/// The dual-stack pod `default/pod-<n>`.
pub(crate) fn pod(n: u8) -> PodNet {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into());
    PodNet {
        pod: PodKey::new("default", format!("pod-{n}")),
        container: format!("sandbox-{n}").into(),
        ifname: "eth0".into(),
        ips: PodIps { v4: Ipv4Addr::new(10, 0, 1, n), v6: Some(v6) },
        eni_mac: ENI,
        gateway: gateways(),
        mtu: 1500,
        default_route: true,
        extra_routes: Vec::new(),
        bandwidth: Bandwidth::default(),
        guard: None,
    }
}

/// With limits, extra routes and jumbo frames: all that can be asked for.
pub(crate) fn rich_pod(n: u8) -> PodNet {
    PodNet {
        mtu: 9000,
        extra_routes: vec![
            "192.168.0.0/16".parse().expect("valid"),
            "2001:db8:5::/48".parse().expect("valid"),
        ],
        bandwidth: Bandwidth { ingress: 12_500_000, egress: 10_000_000_000 },
        guard: None,
        ..pod(n)
    }
}

/// Names of what is on the host but for the ENI itself.
pub(crate) fn left_on(side: &Side) -> BTreeSet<String> {
    let objects =
        side.objects().filter(|object| object.dev() != Some("eth1")).map(|object| object.to_string());
    objects.chain(side.links.keys().filter(|name| *name != "eth1").cloned()).collect()
}
