//! The real kernel against the suite that the simulator's model passes too.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use terway_core::{
    host::{HostNet, PodNet},
    id::{ContainerId, Mac},
};
use terway_dataplane::{
    desired::desired,
    diff::diff_new,
    linux::{
        direct::ApplyError,
        host::{Host, NodeNet},
        rtnl::Kernel,
    },
    op::{Change, NetOp},
    state::{Link, LinkKind, Place, Side},
};
use terway_host_conformance::{CASES, Machine};

use crate::world::{Ns, World, root};

struct Real<'a> {
    world: &'a World,
    host: Host,
    sandboxes: Mutex<BTreeMap<ContainerId, Ns>>,
    nics: Mutex<BTreeMap<Mac, String>>,
}

impl Real<'_> {
    /// What the kernel said, as it said it.
    fn told(refused: Result<(), ApplyError>) -> io::Result<()> {
        refused.map_err(|error| match error {
            ApplyError::Namespace { source, .. } => source,
            ApplyError::Refused { refused, .. } => {
                let kind = refused.source.kind();
                io::Error::new(kind, refused.to_string())
            }
        })
    }
}

impl Machine for Real<'_> {
    fn net(&self) -> &dyn HostNet {
        &self.host
    }

    fn plug(&self, mac: Mac) {
        let mut nics = self.nics.lock().unwrap_or_else(PoisonError::into_inner);
        let number = nics.len() + 2;
        let name = format!("eth{number}");
        let end = |mac, peer: String| Link {
            mac,
            mtu: 1500,
            up: false,
            alias: None,
            index: 0,
            kind: LinkKind::Veth { peer: Some(peer) },
        };
        let far = format!("gw{number}");
        let far_mac = Mac([0xee, 0xff, 0xff, 0xff, 0xff, number as u8]);
        let pair = Change::AddVeth {
            name: name.clone(),
            link: end(mac, far.clone()),
            peer: end(far_mac, name.clone()),
        };
        let up = NetOp::new(Place::Pod, Change::SetUp { dev: far, up: true });
        self.world.apply(&self.world.fabric, &[NetOp::new(Place::Host, pair), up]).expect("plugged");
        nics.insert(mac, name);
    }

    fn unplug(&self, mac: Mac) {
        let name = self.nics.lock().unwrap_or_else(PoisonError::into_inner).remove(&mac).expect("plugged");
        self.world.host.ip(&format!("link del {name}"));
    }

    fn add_pod(&self, pod: &PodNet) -> io::Result<()> {
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let netns = sandboxes.entry(pod.container.clone()).or_insert_with(Ns::new);
        let wanted = desired(pod, &self.world.facts()).map_err(io::Error::other)?;
        let ops = diff_new(&self.world.observe(pod, netns), &wanted)
            .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
        Self::told(self.world.apply(netns, &ops))
    }

    fn remove_sandbox(&self, container: &ContainerId) {
        let netns = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        let netns = netns.expect("there");
        // A namespace ends some time after the last who holds it; its links are what is looked at.
        netns.ip("link del eth0");
    }

    fn tamper(&self, op: &NetOp) -> io::Result<()> {
        let netns = Ns::new();
        Self::told(self.world.apply(&netns, std::slice::from_ref(op)))
    }

    fn host(&self) -> Side {
        Side { sysctls: BTreeMap::new(), ..self.world.everything() }
    }
}

#[test]
fn the_kernel_does_what_the_suite_demands() {
    if !root() {
        return;
    }
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let outcome = std::panic::catch_unwind(|| {
            let world = World::new(1500);
            world.host.run(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let (kernel, connection) = Kernel::open().expect("a socket");
                    let node = NodeNet { node_ip: [10, 0, 0, 9].into(), mtu: 1500, pins: None };
                    let machine = Real {
                        world: &world,
                        host: Host::new(kernel, node),
                        sandboxes: Mutex::default(),
                        nics: Mutex::default(),
                    };
                    tokio::select! {
                        biased;
                        () = connection => panic!("the connection ended"),
                        () = case(&machine) => {}
                    }
                });
            });
        });
        println!("{name}: {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
