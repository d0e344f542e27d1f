//! Instance metadata: who this instance is, and what the hypervisor says of its interfaces.
//!
//! Free of rate limits but late by seconds, and sometimes silent: it is a hint, never proof.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use async_trait::async_trait;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::id::{EniId, InstanceId, InstanceType, Mac, VSwitchId, VpcId, ZoneId};

/// Identity of the instance the agent runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// `instance-id`
    pub instance: InstanceId,
    /// `instance/instance-type`
    pub instance_type: InstanceType,
    /// `region-id`: names the endpoints of the API.
    pub region: Arc<str>,
    /// `zone-id`
    pub zone: ZoneId,
    /// `vpc-id`
    pub vpc: VpcId,
}

/// One interface as `network/interfaces/macs/<mac>/` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicMetadata {
    /// Hardware address.
    pub mac: Mac,
    /// ENI id.
    pub eni: EniId,
    /// vSwitch.
    pub vswitch: VSwitchId,
    /// Block of the vSwitch.
    pub cidr: Ipv4Net,
    /// VPC gateway (the third last usable address of the block, `.253` of a /24).
    pub gateway: Ipv4Addr,
    /// IPv6 block of the vSwitch and its gateway, where the vSwitch has one.
    pub ipv6: Option<(Ipv6Net, Ipv6Addr)>,
    /// All addresses.
    pub addresses: Vec<IpAddr>,
}

/// The metadata service did not answer usefully.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instance metadata `{path}` is not available: {reason}")]
pub struct MetadataError {
    /// What was read.
    pub path: &'static str,
    /// What happened.
    pub reason: String,
}

/// The metadata service of the instance.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// Who this is.
    async fn identity(&self) -> Result<InstanceIdentity, MetadataError>;
    /// All interfaces, the primary one included, sorted by MAC.
    async fn interfaces(&self) -> Result<Vec<NicMetadata>, MetadataError>;
}
