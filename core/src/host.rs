//! The host kernel's network state, as far as the agent decides by it.

use std::{io, net::IpAddr};

use async_trait::async_trait;

use crate::id::{ContainerId, Mac};

/// What the kernel says is there for a pod: the host end of its link and the addresses routed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the host link, `cali` and eleven hexadecimal digits.
    pub link: String,
    /// Sandbox it was made for, kept as the link's alias.
    pub container: Option<ContainerId>,
    /// Addresses routed to it.
    pub addresses: Vec<IpAddr>,
}

/// Observes links and pod endpoints in the host's namespace.
#[async_trait]
pub trait HostNet: Send + Sync {
    /// Hardware addresses of the ENIs that the kernel sees, sorted.
    async fn nics(&self) -> io::Result<Vec<Mac>>;
    /// Pod endpoints present now, sorted by link name.
    async fn endpoints(&self) -> io::Result<Vec<Endpoint>>;
    /// Resolves when an ENI may have appeared or vanished since the last call.
    async fn nics_changed(&self);
}
