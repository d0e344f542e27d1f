//! What a cluster is like: its ends, what gets from one to another, what kernels and cloud have.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use serde::Serialize;
use terway_core::cloud::Eni;
use terway_dataplane::{linux::direct, state::Side};

use super::{Cluster, ClusterError};
use crate::{
    fabric::Fabric,
    netns::Netns,
    pod::Pod,
    spec::{OUTSIDE, OUTSIDE_V6},
    target::Target,
    task::blocking,
    traffic::{self, Load},
    vpc::VpcError,
};

/// What a cluster is like.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Nodes.
    pub nodes: Vec<NodeStatus>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Packets dropped by the router since their source was not their ENI's.
    pub spoofed: u64,
}

/// What a node is like.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its instance.
    pub instance: String,
    /// Its zone.
    pub zone: String,
    /// Its namespace.
    pub netns: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Number of its agent's process, if that runs.
    pub daemon: Option<u32>,
    /// Whether its agent serves.
    pub ready: bool,
    /// Its ENIs, the primary one included.
    pub enis: Vec<Eni>,
}

impl Cluster {
    /// Addresses of one end, IPv4 first.
    pub fn ips(&self, target: &Target) -> Result<Vec<IpAddr>, ClusterError> {
        Ok(match target {
            Target::Pod(key) => self.pod(key)?.ips,
            Target::Node(number) => self.node(*number)?.ips.clone(),
            Target::Outside => vec![OUTSIDE[0].into(), OUTSIDE_V6[0].into()],
            Target::Ip(ip) => vec![*ip],
        })
    }

    /// Namespace of one end; none of a bare address.
    pub fn netns(&self, target: &Target) -> Result<Option<Netns>, ClusterError> {
        let name = match target {
            Target::Pod(key) => self.pod(key)?.netns,
            Target::Node(number) => {
                self.node(*number)?;
                self.names.node(*number)
            }
            Target::Outside => self.names.outside(),
            Target::Ip(_) => return Ok(None),
        };
        Ok(Some(Netns::open(&name)?))
    }

    /// Sends from one end to the other, in one family; how long it took, or why it did not get there.
    pub async fn send(
        &self,
        from: &Target,
        to: &Target,
        v6: bool,
        load: Load,
    ) -> Result<io::Result<Duration>, ClusterError> {
        let nowhere = |target: &Target| ClusterError::Unknown {
            what: "end with an address of that family and a namespace",
            name: target.to_string(),
            known: "pods, nodes and outside; IPv6 with --ip-stack dual".to_owned(),
        };
        let ip = self.ips(to)?.into_iter().find(|ip| ip.is_ipv6() == v6).ok_or_else(|| nowhere(to))?;
        // An address that the cloud gave a moment ago is the router's concern first.
        self.vpc.settled().await;
        let (source, at) = (self.netns(from)?.ok_or_else(|| nowhere(from))?, self.netns(to)?);
        Ok(blocking(move || traffic::send(&source, at.as_ref(), ip, load)).await)
    }

    /// What the kernel of a node has: links, addresses, routes, rules, neighbours.
    pub async fn kernel(&self, number: usize) -> Result<Side, ClusterError> {
        let node = Arc::clone(self.node(number)?);
        let name = node.name.clone();
        let seen = blocking(move || node.netns.run(|| direct::observe_all().map_err(io::Error::other))).await;
        seen.map_err(|source| ClusterError::Look { node: name, source })
    }

    /// What it is like.
    pub async fn status(&self) -> Result<Status, ClusterError> {
        let state = self.vpc.cloud.state();
        let mut nodes = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let of_node = |eni: &&Eni| eni.instance.as_ref() == Some(&node.instance);
            nodes.push(NodeStatus {
                name: node.name.clone(),
                instance: node.instance.to_string(),
                zone: self.spec.zone_name(index + 1),
                netns: node.netns.name().to_owned(),
                ips: node.ips.clone(),
                daemon: node.daemon_pid(),
                ready: node.daemon_pid().is_some() && node.serves().await,
                enis: state.enis.iter().map(|it| &it.eni).filter(of_node).cloned().collect(),
            });
        }
        let spoofed = self.vpc.with_fabric(Fabric::dropped).await.map_err(VpcError::from)?;
        Ok(Status { name: self.spec.name.clone(), nodes, pods: self.all_pods(), spoofed })
    }
}
