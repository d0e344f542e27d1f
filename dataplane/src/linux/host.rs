//! The port [`HostNet`] on a node's kernel.

use std::{io, net::Ipv4Addr, path::PathBuf};

use async_trait::async_trait;
use terway_core::{
    host::{Endpoint, HostNet, Mended, Nic, Owners, PodNet},
    id::Mac,
};
use tokio::time::{Duration, sleep};

use super::{
    rtnl::{Kernel, KernelError},
    run::ObserveError,
};
use crate::{op::NetOp, pod::EniNet};

/// After a look at the kernel that failed, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(1);

/// What is the same for all ENIs and pods of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNet {
    /// The node's own IPv4 address, which ENIs answer from.
    pub node_ip: Ipv4Addr,
    /// MTU of ENIs and pods in bytes; 0 takes that of the primary interface.
    pub mtu: u32,
    /// Folder of pins, where policy is enforced.
    pub pins: Option<PathBuf>,
}

/// The host's kernel as the agent uses it.
#[derive(Clone)]
pub struct Host {
    kernel: Kernel,
    node: NodeNet,
}

impl Host {
    /// The kernel behind these sockets, on a node like this.
    pub fn new(kernel: Kernel, node: NodeNet) -> Self {
        Self { kernel, node }
    }

    fn eni(&self, nic: &Nic) -> EniNet {
        let NodeNet { node_ip, mtu, pins } = self.node.clone();
        EniNet { mac: nic.mac, gateway: nic.gateway, node_ip, mtu, pins }
    }

    fn pods(&self, pods: &[PodNet]) -> Vec<PodNet> {
        pods.iter().map(|pod| PodNet { mtu: self.node.mtu, ..pod.clone() }).collect()
    }
}

fn unseen(error: ObserveError) -> io::Error {
    match error {
        ObserveError::Dump { ref source, .. } | ObserveError::Namespace { ref source, .. } => {
            io::Error::new(source.kind(), error)
        }
    }
}

/// What was done; an error only where nothing could be looked at, or the interface is not there.
fn outcome(done: Result<Vec<NetOp>, KernelError>) -> io::Result<Mended> {
    match done {
        Ok(ops) => Ok(Mended { objects: kinds(&ops), refused: Vec::new() }),
        Err(KernelError::Observe(error)) => Err(unseen(error)),
        Err(error @ KernelError::EniGone { .. }) => Err(io::Error::new(io::ErrorKind::NotFound, error)),
        Err(error) => Ok(Mended { objects: Vec::new(), refused: vec![error.to_string()] }),
    }
}

fn kinds(ops: &[NetOp]) -> Vec<&'static str> {
    ops.iter().map(|op| op.change.kind()).collect()
}

#[async_trait]
impl HostNet for Host {
    async fn nics(&self) -> io::Result<Vec<Mac>> {
        self.kernel.nics().await.map_err(unseen)
    }

    async fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        self.kernel.endpoints().await.map_err(unseen)
    }

    async fn nics_changed(&self, seen: &[Mac]) {
        if let Err(error) = self.kernel.nics_changed(seen).await {
            tracing::warn!(%error, "the node's interfaces cannot be seen");
            sleep(PAUSE).await;
        }
    }

    async fn set_up(&self, nic: &Nic) -> io::Result<Mended> {
        outcome(self.kernel.set_up(&self.eni(nic)).await)
    }

    async fn tear_down(&self, nic: &Nic) -> io::Result<Mended> {
        outcome(self.kernel.tear_down(&self.eni(nic)).await)
    }

    async fn lacking(&self, pods: &[PodNet]) -> io::Result<Vec<usize>> {
        let lacking = self.kernel.lacking(&self.pods(pods)).await.map_err(unseen)?;
        let told = |pod: &PodNet| {
            let key = (pod.pod.clone(), pod.ifname.clone());
            lacking.ops.contains_key(&key) || lacking.unable.iter().any(|(unable, _)| *unable == key)
        };
        Ok(pods.iter().enumerate().filter(|(_, pod)| told(pod)).map(|(index, _)| index).collect())
    }

    async fn repair(&self, pods: &[PodNet]) -> io::Result<Mended> {
        let repaired = self.kernel.repair(&self.pods(pods)).await.map_err(unseen)?;
        let refused = |((pod, ifname), error): &(_, KernelError)| format!("{ifname} of pod {pod}: {error}");
        Ok(Mended {
            objects: repaired.done.values().flat_map(|ops| kinds(ops)).collect(),
            refused: repaired.unable.iter().map(refused).collect(),
        })
    }

    async fn sweep(&self, owners: &(dyn Fn() -> Owners + Send + Sync)) -> io::Result<Mended> {
        let applied = self.kernel.sweep(owners).await.map_err(unseen)?;
        let mut mended = Mended {
            objects: kinds(&applied.done),
            refused: applied.refused.iter().map(ToString::to_string).collect(),
        };
        // Links that went took their programs along; what is pinned of them is of no use to anybody.
        if let Some(Err(error)) = self.node.pins.as_deref().map(terway_guard::remove_dead) {
            mended.refused.push(format!("cannot remove pins of links that are gone: {error}"));
        }
        Ok(mended)
    }

    async fn drifted(&self) {
        self.kernel.drifted().await;
    }
}
