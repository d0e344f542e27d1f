//! What the node is like, as far as ENIs and pods depend on it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use terway_core::spawn::{self, Spawner};
use terway_dataplane::{
    linux::{
        ObserveError,
        host::{Host, NodeNet},
        rtnl::Kernel,
    },
    pod::HostFacts,
    state::Side,
};

/// Why the node's network cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// No netlink.
    #[error("cannot open netlink sockets")]
    Netlink(#[source] io::Error),
    /// No dump.
    #[error("cannot read the node's network state")]
    Observe(#[from] ObserveError),
    /// No address.
    #[error("no IPv4 address of this node: {0}; give --node-ip")]
    NoAddress(&'static str),
}

/// The host's kernel, and the task that its messages need; and the node's own addresses.
pub(crate) async fn host(
    spawner: &std::sync::Arc<dyn Spawner>,
    given: Option<Ipv4Addr>,
    mtu: u32,
    pins: Option<PathBuf>,
) -> Result<(Host, Vec<IpAddr>), NodeError> {
    let (kernel, connection) = Kernel::open().map_err(NodeError::Netlink)?;
    spawn::spawn(spawner, "netlink", connection);
    let (facts, side) = (kernel.facts().await?, kernel.observe(&[]).await?);
    let node_ip = match given {
        Some(ip) => ip,
        None => address(&facts, &side)?,
    };
    tracing::info!(%node_ip, mtu, "the node's network");
    let primary = facts.primary.and_then(|mac| facts.enis.get(&mac));
    let on_it = side.addresses.iter().filter(|it| primary.is_some_and(|primary| it.dev == primary.name));
    let ips = on_it.map(|it| it.net.addr()).chain([node_ip.into()]).collect();
    Ok((Host::new(kernel, NodeNet { node_ip, mtu, pins }), ips))
}

/// The first address of the interface that the node's default route leaves by.
fn address(facts: &HostFacts, side: &Side) -> Result<Ipv4Addr, NodeError> {
    let primary = facts.primary.and_then(|mac| facts.enis.get(&mac));
    let primary = primary.ok_or(NodeError::NoAddress("no interface has the default route"))?;
    let on_it = side.addresses.iter().filter(|address| address.dev == primary.name);
    let mut v4 = on_it.filter_map(|address| match address.net.addr() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    });
    v4.next().ok_or(NodeError::NoAddress("the interface with the default route has none"))
}
