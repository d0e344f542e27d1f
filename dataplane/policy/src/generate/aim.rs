//! Questions aimed at what could matter: the addresses, edges of CIDRs and edges of port ranges of one cluster.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{address, rng::SplitMix};
use crate::{
    model::{ClusterPeer, ClusterPort, Direction, Peer, PortRef, Snapshot},
    reference::Question,
};

/// What to ask of a cluster.
#[derive(Clone, Debug)]
pub struct Aim<'a> {
    snapshot: &'a Snapshot,
    pods: Vec<&'a crate::model::Pod>,
    of_pods: Vec<IpAddr>,
    others: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl<'a> Aim<'a> {
    /// Collects what could matter in a cluster.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let mut blocks: Vec<&str> = Vec::new();
        let mut ports: BTreeSet<u16> = BTreeSet::from([0, 1, 80, 65535]);
        let mut range = |first: u16, last: u16| {
            for edge in [first, last] {
                ports.extend([edge.saturating_sub(1), edge, edge.saturating_add(1)]);
            }
        };
        for rule in snapshot.policies.values().flat_map(|p| p.ingress.iter().chain(&p.egress)) {
            for peer in &rule.peers {
                if let Peer::Block { cidr, except } = peer {
                    blocks.extend(std::iter::once(cidr).chain(except).map(String::as_str));
                }
            }
            for port in &rule.ports {
                if let Some(PortRef::Number(first)) = port.port {
                    range(first, port.end.unwrap_or(first));
                }
            }
        }
        for rule in snapshot.cluster_policies.values().flat_map(|p| p.ingress.iter().chain(&p.egress)) {
            for peer in &rule.peers {
                if let ClusterPeer::Networks(cidrs) = peer {
                    blocks.extend(cidrs.iter().map(String::as_str));
                }
            }
            for port in &rule.protocols {
                if let ClusterPort::Numbers { ports: Some((first, last)), .. } = port {
                    range(*first, *last);
                }
            }
        }
        let pods: Vec<_> = snapshot.pods.values().collect();
        ports.extend(pods.iter().flat_map(|pod| &pod.ports).map(|port| port.port));
        let of_pods: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| pod.ips.iter().copied()).collect();
        let mut others: BTreeSet<IpAddr> = blocks.into_iter().flat_map(edges).collect();
        others.extend(address::STRANGERS);
        others.retain(|address| !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()));
        Self {
            snapshot,
            pods,
            of_pods: of_pods.into_iter().collect(),
            others: others.into_iter().collect(),
            ports: ports.into_iter().collect(),
        }
    }

    /// The cluster.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// One question; `None` where there is no pod.
    pub fn question(&self, rng: &mut SplitMix) -> Option<Question<'a>> {
        if self.pods.is_empty() {
            return None;
        }
        let pod = rng.pick(&self.pods);
        let remotes = if self.of_pods.is_empty() || rng.one_in(3) { &self.others } else { &self.of_pods };
        let protocol = *rng.pick(&[6, 6, 6, 6, 17, 17, 17, 132, 132, 1, 58, 47, 50, 0, 255]);
        let port = match protocol {
            6 | 17 | 132 if rng.one_in(12) => (rng.next() >> 48) as u16,
            6 | 17 | 132 => *rng.pick(&self.ports),
            _ => 0,
        };
        Some(Question {
            pod: &pod.name,
            direction: *rng.pick(&[Direction::Ingress, Direction::Egress]),
            remote: *rng.pick(remotes),
            protocol,
            port,
        })
    }
}

/// Up to `count` questions of a seed; none where there is no pod.
pub fn questions(snapshot: &Snapshot, seed: u64, count: usize) -> Vec<Question<'_>> {
    let (aim, mut rng) = (Aim::new(snapshot), SplitMix::new(seed));
    (0..count).map_while(|_| aim.question(&mut rng)).collect()
}

/// The first and the last address of a CIDR, and those beside them.
fn edges(cidr: &str) -> Vec<IpAddr> {
    let Ok(net) = cidr.parse::<IpNet>() else { return Vec::new() };
    let net = net.trunc();
    match (net.network(), net.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u32::from(first), u32::from(last));
            let around = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
            around.into_iter().flatten().map(|bits| Ipv4Addr::from(bits).into()).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (u128::from(first), u128::from(last));
            let around = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
            around.into_iter().flatten().map(|bits| Ipv6Addr::from(bits).into()).collect()
        }
        _ => Vec::new(),
    }
}
