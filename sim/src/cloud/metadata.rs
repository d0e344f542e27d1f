//! The port [`Metadata`]: what the host of an instance tells it, seconds late.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rand_chacha::ChaCha8Rng;
use terway_core::{
    cloud::{Eni, EniStatus},
    id::InstanceId,
    metadata::{InstanceIdentity, Metadata, MetadataError, NicMetadata},
};
use tokio::time::Instant;

use super::{FakeCloud, call::wait_until, draws::fork, world::World};
use crate::time;

/// What is wrong with the metadata of an instance; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataFault {
    /// Reads fail.
    pub unreachable: bool,
    /// No interface is listed.
    pub empty: bool,
    /// Interfaces are told as they were this long ago, at most as long as history is kept, instead
    /// of the model's lag.
    pub lag: Option<Duration>,
}

/// Metadata of one instance.
pub(super) struct InstanceMetadata {
    pub(super) cloud: Arc<FakeCloud>,
    pub(super) instance: InstanceId,
    pub(super) stream: Arc<Mutex<ChaCha8Rng>>,
}

impl InstanceMetadata {
    /// Waits for the answer; returns the age of what it tells.
    async fn ask(&self) -> Duration {
        let mut rng = fork(&mut self.stream.lock().expect("drawing does not panic"));
        let (latency, lag) = self
            .cloud
            .with(|world, _| (world.model.metadata.draw(&mut rng), world.model.metadata_lag.age(&mut rng)));
        wait_until(time::now() + latency).await;
        lag
    }
}

#[async_trait]
impl Metadata for InstanceMetadata {
    async fn identity(&self) -> Result<InstanceIdentity, MetadataError> {
        self.ask().await;
        let path = "instance-id";
        self.cloud.with(|world, _| {
            world.metadata_fault(&self.instance, path)?;
            let instance = world.instances.get(&self.instance).ok_or_else(|| gone(path))?;
            Ok(InstanceIdentity {
                instance: self.instance.clone(),
                instance_type: instance.kind.clone(),
                region: world.place.region.clone(),
                zone: instance.zone.clone(),
                vpc: world.place.vpc.clone(),
            })
        })
    }

    async fn interfaces(&self) -> Result<Vec<NicMetadata>, MetadataError> {
        let lag = self.ask().await;
        let path = "network/interfaces/macs/";
        self.cloud.with(|world, now| {
            let fault = world.metadata_fault(&self.instance, path)?;
            let lag = fault.lag.unwrap_or(lag).min(world.model.history());
            if fault.empty {
                return Ok(Vec::new());
            }
            Ok(world.nics_of(&self.instance, now - lag))
        })
    }
}

fn gone(path: &'static str) -> MetadataError {
    MetadataError { path, reason: "the instance does not exist".to_owned() }
}

impl World {
    fn metadata_fault(
        &self,
        instance: &InstanceId,
        path: &'static str,
    ) -> Result<MetadataFault, MetadataError> {
        let fault = self.instances.get(instance).ok_or_else(|| gone(path))?.metadata;
        if fault.unreachable {
            return Err(MetadataError { path, reason: "no answer".to_owned() });
        }
        Ok(fault)
    }

    /// NICs of an instance as of `then`, by MAC.
    fn nics_of(&mut self, id: &InstanceId, then: Instant) -> Vec<NicMetadata> {
        let Some(instance) = self.instances.get_mut(id) else { return Vec::new() };
        let enis = &self.enis;
        let held = &instance.enis;
        instance.seen.retain(|eni| held.contains(eni) || enis.get(eni).is_some_and(|was| !was.settled()));
        let Some(instance) = self.instances.get(id) else { return Vec::new() };
        let plugged = |eni: &&Arc<Eni>| {
            eni.instance.as_ref() == Some(id) && matches!(eni.status, EniStatus::InUse | EniStatus::Detaching)
        };
        let rows = instance.seen.iter().filter_map(|eni| self.enis.get(eni)?.at(then)).filter(plugged);
        let mut nics: Vec<NicMetadata> = rows.filter_map(|eni| self.nic_metadata(eni)).collect();
        nics.sort_by_key(|nic| nic.mac);
        nics
    }

    fn nic_metadata(&self, eni: &Eni) -> Option<NicMetadata> {
        let pool = self.vswitches.get(&eni.vswitch)?;
        let v4 = eni.addresses.v4.iter().copied().map(IpAddr::V4);
        let v6 = eni.addresses.v6.iter().copied().map(IpAddr::V6);
        Some(NicMetadata {
            mac: eni.mac,
            eni: eni.id.clone(),
            vswitch: eni.vswitch.clone(),
            cidr: pool.cidr,
            gateway: pool.gateway(),
            ipv6: pool.ipv6_gateway(),
            addresses: v4.chain(v6).collect(),
        })
    }
}
