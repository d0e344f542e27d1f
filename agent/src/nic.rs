//! An ENI on the host: what network it is in, and what the kernel needs before pods can have its addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use terway_core::{
    address::Stack,
    cloud::{Action, VSwitchFilter},
    host::{Gateways, Mended, Nic},
    id::EniId,
};

use crate::{
    pool::{Phase, PoolEni},
    shared::Shared,
    store::Write,
};

/// Block and gateways of a vSwitch.
struct Network {
    cidr: Ipv4Net,
    gateway: Ipv4Addr,
    gateway6: Option<Ipv6Addr>,
}

impl Shared {
    /// Puts an ENI into use. False while its network is not known, or the host does not lead to it yet.
    pub(crate) async fn in_use(&self, id: &EniId) -> bool {
        let Some(net) = self.network_of(id).await else { return false };
        let Some(mac) = self.state().pool.enis.get(id).map(|eni| eni.mac) else { return true };
        // A pod may have an address of it the moment that it is in use.
        if !self.set_up(id, &Nic { mac, gateway: Gateways { v4: net.gateway, v6: net.gateway6 } }).await {
            return false;
        }
        let ticket = {
            let mut state = self.state();
            let now = self.now();
            let Some(eni) = state.pool.enis.get_mut(id) else { return true };
            eni.net = Some((net.cidr, net.gateway));
            eni.gateway6 = net.gateway6;
            eni.touched = now;
            if matches!(eni.phase, Phase::Attaching { .. } | Phase::Missing) {
                eni.phase = Phase::InUse;
            }
            let record = eni.record();
            self.store.submit(vec![Write::PutEni(record)])
        };
        self.kick.notify_one();
        ticket.durable().await.is_ok()
    }

    /// Block and gateways of an ENI's vSwitch: from a sibling in the same vSwitch, or the metadata.
    async fn network_of(&self, id: &EniId) -> Option<Network> {
        {
            let state = self.state();
            let eni = state.pool.enis.get(id)?;
            let sibling =
                state.pool.enis.values().find(|other| other.vswitch == eni.vswitch && other.net.is_some());
            if let Some(sibling) = sibling {
                let (cidr, gateway) = sibling.net?;
                return Some(Network { cidr, gateway, gateway6: sibling.gateway6 });
            }
        }
        match self.ports.metadata.interfaces().await {
            Ok(nics) if !nics.is_empty() => nics.into_iter().find(|nic| nic.eni == *id).map(|nic| Network {
                cidr: nic.cidr,
                gateway: nic.gateway,
                gateway6: nic.ipv6.map(|(_, gateway)| gateway),
            }),
            // The metadata is silent: the cloud knows the block too, for the price of a call. It does not tell
            // of IPv6, so a node whose pods need it waits.
            _ if self.state().pool.capacity.stack == Stack::Dual => None,
            _ => {
                self.ports.probe.sometimes("metadata-silent");
                self.network_from_cloud(id).await
            }
        }
    }

    async fn network_from_cloud(&self, id: &EniId) -> Option<Network> {
        let vswitch = self.state().pool.enis.get(id)?.vswitch.clone();
        let filter = VSwitchFilter::Id(vswitch);
        let found =
            self.call(Action::DescribeVSwitches, || self.ports.cloud.describe_vswitches(&filter, None)).await;
        let cidr = found.ok()?.rows.first()?.cidr;
        // The gateway is the third last address of the block: `.253` of a /24.
        let gateway = std::net::Ipv4Addr::from_bits(cidr.broadcast().to_bits() - 2);
        Some(Network { cidr, gateway, gateway6: None })
    }

    /// Makes the host lead to an ENI. False when that is not possible now.
    async fn set_up(&self, id: &EniId, nic: &Nic) -> bool {
        match self.ports.host.set_up(nic).await {
            Ok(mended) => {
                told("set up", id, &mended);
                mended.refused.is_empty()
            }
            Err(error) => {
                tracing::warn!(eni = %id, mac = %nic.mac, %error, "the interface of an ENI cannot be set up now");
                false
            }
        }
    }

    /// Makes the host lead to every ENI in use: it may have been booted, or worked on by others.
    pub(crate) async fn set_up_enis(&self) {
        let nics: Vec<(EniId, Nic)> = {
            let state = self.state();
            let used = state.pool.enis.values().filter(|eni| eni.phase == Phase::InUse);
            used.filter_map(|eni| Some((eni.id.clone(), nic_of(eni)?))).collect()
        };
        for (id, nic) in nics {
            self.set_up(&id, &nic).await;
        }
    }

    /// Takes from the host what led to an ENI that is about to leave. It leaves either way.
    pub(crate) async fn tear_down(&self, id: &EniId) {
        let Some(nic) = self.state().pool.enis.get(id).and_then(nic_of) else { return };
        match self.ports.host.tear_down(&nic).await {
            Ok(mended) => told("torn down", id, &mended),
            Err(error) => tracing::warn!(eni = %id, %error, "the interface of an ENI cannot be torn down"),
        }
    }
}

fn nic_of(eni: &PoolEni) -> Option<Nic> {
    let (_, v4) = eni.net?;
    Some(Nic { mac: eni.mac, gateway: Gateways { v4, v6: eni.gateway6 } })
}

fn told(done: &str, id: &EniId, mended: &Mended) {
    if !mended.objects.is_empty() {
        tracing::info!(eni = %id, changes = mended.objects.len(), "the interface of an ENI was {done}");
    }
    for refused in &mended.refused {
        tracing::warn!(eni = %id, "{refused}");
    }
}
