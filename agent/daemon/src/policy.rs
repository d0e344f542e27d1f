//! Policy on this node: programs and maps, the node's own addresses, the ranges of services.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use k8s_openapi::api::{core::v1::Node, networking::v1::ServiceCIDR};
use kube::{Api, api::ListParams};
use terway_agent::{
    PolicyPort,
    policy::{PolicyMeter, PolicySettings},
};
use terway_bpf::{Method, Options, Origin, Programs, Sizes, events::Events, port::KernelMaps};
use terway_core::{id::NodeName, spawn::Spawner};
use terway_policy::{
    compile::{NodeRule, Whom},
    layout::{CONTROL_BLOCK_METADATA, CONTROL_KEEP_ESTABLISHED, CONTROL_NODE_CLOSED, EGRESS, INGRESS},
    packet::protocol,
};
use tokio::time::{Duration, timeout};

use crate::{config::policy::PolicyConf, metrics::Metrics};

/// Bit of the mark of packets that go to a service and are not judged yet. None of kube-proxy's (0x4000, 0x8000), of the
/// portmap plugin's (0x2000) or of those that other agents are known to use.
const PENDING_MARK: u32 = 0x1000;
/// Denials told per second and processor, at most; others are counted.
const EVENT_RATE: u32 = 100;
/// Most that a question to the API server may take.
const CALL: Duration = Duration::from_secs(10);

/// Why policy cannot be enforced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// Programs or maps.
    #[error("policy cannot be enforced on this node: failed to {0}")]
    Programs(#[source] Box<terway_bpf::Error>),
    /// What was left could not be taken away.
    #[error("policy is switched off, and what enforced it cannot be taken away from {}", .pins.display())]
    Remains {
        /// Folder of the pins.
        pins: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<terway_bpf::Error> for PolicyError {
    fn from(error: terway_bpf::Error) -> Self {
        Self::Programs(Box::new(error))
    }
}

/// Seconds from the sight of a policy to its being in force, and what could not be put in force.
struct Meter(Arc<Metrics>);

impl PolicyMeter for Meter {
    fn synced(&self, after: Duration) {
        self.0.policy_sync.observe(after.as_secs_f64());
    }

    fn failed(&self) {
        self.0.policy_errors.inc();
    }
}

/// What is known of the node.
pub(crate) struct Place<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) pins: &'a Path,
    pub(crate) kube: &'a kube::Client,
}

/// What enforces policy, for the agent and for those who tell of it.
pub(crate) struct Enforced {
    pub(crate) port: PolicyPort,
    pub(crate) maps: Arc<KernelMaps>,
    pub(crate) events: Events,
}

/// Loads the programs, or adopts what an earlier agent left.
pub(crate) async fn start(
    conf: &PolicyConf,
    place: Place<'_>,
    spawner: &Arc<dyn Spawner>,
    metrics: Arc<Metrics>,
) -> Result<Enforced, PolicyError> {
    let programs = load(conf, place.pins, spawner).await?;
    let services = if conf.services.is_empty() { services(place.kube).await } else { conf.services.clone() };
    if services.is_empty() {
        tracing::warn!(
            reason = "ServiceRangeUnknown",
            "no range of services is known: rules of egress are asked for the addresses of services, not for what is behind them; set `service_cidr` in eni_conf"
        );
    }
    let mut node_ips: BTreeSet<IpAddr> = place.ips.iter().copied().collect();
    node_ips.extend(addresses(place.kube, place.name).await);
    tracing::info!(?node_ips, ?services, pins = %place.pins.display(), "policy is enforced by this agent");
    let mut flags = 0;
    for (on, flag) in [
        (conf.block_metadata, CONTROL_BLOCK_METADATA),
        (conf.keep_established, CONTROL_KEEP_ESTABLISHED),
        (conf.node_closed, CONTROL_NODE_CLOSED),
    ] {
        flags |= if on { flag } else { 0 };
    }
    let settings = PolicySettings {
        node_ips: node_ips.into_iter().collect(),
        flags,
        node_rules: node_rules(conf),
        hz: terway_bpf::programs::ticks_per_second()?,
        pins: place.pins.to_owned(),
        pending_mark: if services.is_empty() { 0 } else { PENDING_MARK },
        services,
        event_rate: EVENT_RATE,
        sample: conf.sample,
    };
    let events = programs.events()?;
    let maps = Arc::new(KernelMaps::of(programs, spawner.clone())?);
    let port = PolicyPort { maps: maps.clone(), meter: Arc::new(Meter(metrics)), settings };
    Ok(Enforced { port, maps, events })
}

/// Denials of protocols, both ways; errors about known flows and neighbour discovery are never asked about. And of ports,
/// to who comes from outside of the cluster.
fn node_rules(conf: &PolicyConf) -> Vec<NodeRule> {
    let blocked = |(name, protocol): &(String, u8)| {
        let rule = |direction| NodeRule {
            name: format!("blocked_protocols {name}"),
            direction,
            protocol: *protocol,
            ports: (0, u16::MAX),
            whom: Whom::Everyone,
        };
        [rule(INGRESS), rule(EGRESS)]
    };
    let privileged = |port: &u16| {
        [protocol::TCP, protocol::UDP].map(|protocol| NodeRule {
            name: format!("privileged_ports {port}"),
            direction: INGRESS,
            protocol,
            ports: (*port, *port),
            whom: Whom::Outside,
        })
    };
    conf.blocked.iter().flat_map(blocked).chain(conf.privileged.iter().flat_map(privileged)).collect()
}

/// The verifier takes a good part of a second.
async fn load(conf: &PolicyConf, pins: &Path, spawner: &Arc<dyn Spawner>) -> Result<Programs, PolicyError> {
    let options = Options {
        pins: pins.to_owned(),
        sizes: Sizes { crossings: conf.map_size, flows: conf.max_flows, ..Sizes::default() },
        method: Method::Best,
    };
    let (done, loaded) = tokio::sync::oneshot::channel();
    let work = move || {
        let programs = Programs::load(&options).and_then(|mut programs| {
            // Where nothing else is in force the plugin may have them at once; where other maps are, when these are filled.
            if !matches!(programs.origin(), Origin::Fresh { instead: true, .. }) {
                programs.publish()?;
            }
            Ok(programs)
        });
        // Whoever asked has ended.
        drop(done.send(programs));
    };
    spawner.block("policy-load", Box::new(work)).await;
    match loaded.await {
        Ok(programs) => Ok(programs?),
        // The process ends: so does this.
        Err(_) => std::future::pending().await,
    }
}

/// Takes away what an agent enforced policy with before it was switched off.
pub(crate) fn remove(pins: &Path) -> Result<(), PolicyError> {
    let removed = terway_bpf::programs::remove_all(pins)
        .map_err(|source| PolicyError::Remains { pins: pins.into(), source })?;
    if removed {
        tracing::info!(pins = %pins.display(), "policy is switched off: its programs were taken from all links");
    }
    Ok(())
}

/// Addresses that the node has by the API server.
async fn addresses(kube: &kube::Client, name: &NodeName) -> Vec<IpAddr> {
    let api: Api<Node> = Api::all(kube.clone());
    let node = match timeout(CALL, api.get_opt(name.as_str())).await {
        Ok(Ok(node)) => node,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the node's addresses cannot be had from the API server; those of its interface count");
            None
        }
        Err(_) => None,
    };
    let listed = node.and_then(|node| node.status).and_then(|status| status.addresses).unwrap_or_default();
    let own = listed.iter().filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"));
    own.filter_map(|address| address.address.parse().ok()).collect()
}

/// Ranges of services by the API server, which tells them since 1.33.
async fn services(kube: &kube::Client) -> Vec<IpNet> {
    let api: Api<ServiceCIDR> = Api::all(kube.clone());
    let listed = match timeout(CALL, api.list(&ListParams::default())).await {
        Ok(Ok(listed)) => listed.items,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the API server does not tell the ranges of services");
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let blocks = listed.into_iter().filter_map(|range| range.spec).filter_map(|spec| spec.cidrs);
    blocks.flatten().filter_map(|block| block.parse().ok()).collect()
}
