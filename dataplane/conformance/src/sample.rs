//! ENIs and pods of the cases.

use std::net::{Ipv4Addr, Ipv6Addr};

use terway_core::{
    address::PodIps,
    host::{Bandwidth, Gateways, Nic, Owners, PodNet},
    id::{Mac, PodKey},
};

pub(crate) const ENI: Mac = Mac([0, 0x16, 0x3e, 0xaa, 0, 1]);
pub(crate) const OTHER: Mac = Mac([0, 0x16, 0x3e, 0xaa, 0, 2]);

pub(crate) fn gateways() -> Gateways {
    Gateways { v4: [10, 0, 1, 253].into(), v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfd)) }
}

pub(crate) fn nic(mac: Mac) -> Nic {
    Nic { mac, gateway: gateways() }
}

/// The dual-stack pod `default/pod-<n>` on an ENI.
pub(crate) fn pod(n: u8, eni_mac: Mac) -> PodNet {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into());
    PodNet {
        pod: PodKey::new("default", format!("pod-{n}")),
        container: format!("sandbox-{n}").into(),
        ifname: "eth0".into(),
        ips: PodIps { v4: Ipv4Addr::new(10, 0, 1, n), v6: Some(v6) },
        eni_mac,
        gateway: gateways(),
        mtu: 1500,
        default_route: true,
        extra_routes: Vec::new(),
        bandwidth: Bandwidth::default(),
        guard: None,
    }
}

/// These pods are alive, and all their addresses are of our ENIs.
pub(crate) fn owners(live: &[&PodNet], ours: &[&PodNet]) -> Owners {
    Owners {
        containers: live.iter().map(|pod| pod.container.clone()).collect(),
        in_use: live.iter().flat_map(|pod| pod.ips.iter()).collect(),
        ours: ours.iter().flat_map(|pod| pod.ips.iter()).collect(),
    }
}
