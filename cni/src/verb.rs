//! What each verb does, one module each, and what they share.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use terway_core::{
    address::PodIps,
    id::{ContainerId, Mac, PodKey},
    rpc::NetConf,
};
use terway_dataplane::pod::{Bandwidth, Gateways, PodNet};
use terway_rpc::{
    spool::{self, Pending, SpoolError},
    wire::{GetInfoRequest, ReleaseIpRequest},
};

use crate::{
    config::{Config, Datapath},
    env::Env,
    result::CniResult,
};

pub mod add;
pub mod check;
pub mod del;
pub mod gc;
pub mod status;

/// Given to an allocation: the agent gives up at 118 s, with a cause.
const ALLOC_DEADLINE: Duration = Duration::from_secs(120);
/// Given to a release. It takes a commit to the disk; what takes longer is hung, and the spool is there.
const RELEASE_DEADLINE: Duration = Duration::from_secs(20);
/// Given to a question that is answered from memory.
const INFO_DEADLINE: Duration = Duration::from_secs(5);

/// A call: configuration and environment.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// stdin.
    pub config: &'a Config,
    /// Environment.
    pub env: &'a Env,
    /// When the process started, by the agent's clock for durable times: `CLOCK_BOOTTIME` in milliseconds.
    pub started_at_boot_ms: u64,
}

impl Call<'_> {
    fn pod(&self) -> PodKey {
        PodKey::new(&*self.env.args.namespace, &*self.env.args.name)
    }

    fn info_request(&self) -> GetInfoRequest {
        GetInfoRequest {
            pod_name: self.env.args.name.clone(),
            pod_namespace: self.env.args.namespace.clone(),
            container: self.env.container.clone(),
        }
    }

    fn pending(&self, reason: String) -> Pending {
        Pending {
            network: self.config.name.clone(),
            container: self.env.container.clone(),
            ifname: self.env.ifname.clone(),
            pod_namespace: self.env.args.namespace.clone(),
            pod_name: self.env.args.name.clone(),
            pod_uid: self.env.args.uid.clone(),
            reason,
        }
    }

    fn release_request(&self, reason: String) -> ReleaseIpRequest {
        self.pending(reason).into()
    }

    /// Writes a release down for the agent to take when it is back.
    fn spool(&self, reason: String) -> Result<(), SpoolError> {
        spool::put(&spool::folder(&self.config.socket), &self.pending(reason)).map(drop)
    }

    /// What an interface of the agent's answer is to be.
    fn pod_net(&self, conf: &NetConf, datapath: &Datapath) -> PodNet {
        PodNet {
            pod: self.pod(),
            container: ContainerId::from(&*self.env.container),
            ifname: conf.ifname.clone(),
            ips: conf.ips,
            eni_mac: conf.mac,
            gateway: Gateways { v4: conf.gateway, v6: conf.gateway6 },
            mtu: datapath.mtu,
            default_route: conf.default_route,
            extra_routes: conf.extra_routes.clone(),
            bandwidth: datapath.bandwidth.unwrap_or(conf.bandwidth),
            guard: conf.guard.clone(),
        }
    }

    /// What an interface was, as far as a result tells: enough to take it down, not to build it.
    fn pod_net_of(&self, result: &CniResult) -> PodNet {
        let mine = |index: u32| {
            let interface = result.interfaces.get(index as usize);
            interface.is_some_and(|it| it.name == self.env.ifname && !it.sandbox.is_empty())
        };
        let addresses =
            result.ips.iter().filter(|ip| ip.interface.is_none_or(mine)).map(|ip| ip.address.addr());
        let (mut v4, mut v6) = (None, None);
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4 = v4.or(Some(address)),
                IpAddr::V6(address) => v6 = v6.or(Some(address)),
            }
        }
        PodNet {
            pod: self.pod(),
            container: ContainerId::from(&*self.env.container),
            ifname: self.env.ifname.clone(),
            // No pod has the unspecified address, so nothing of another one is selected by it.
            ips: PodIps { v4: v4.unwrap_or(Ipv4Addr::UNSPECIFIED), v6 },
            eni_mac: Mac([0; 6]),
            gateway: Gateways { v4: Ipv4Addr::UNSPECIFIED, v6: None },
            mtu: 0,
            default_route: false,
            extra_routes: Vec::new(),
            bandwidth: Bandwidth::default(),
            guard: None,
        }
    }
}
