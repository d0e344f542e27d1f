//! One interface of an answer in domain types: parsed and checked once, here.
//!
//! Conversions in both directions. A trunk or an unknown attachment is refused rather than built as something
//! else.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use terway_core::{
    address::PodIps,
    host::{Bandwidth, Guard},
    id::{ContainerId, EniId, Mac, PodKey, PodUid},
    rpc::{self, NetConf},
};

use crate::wire::{self, IpSet, IpType};

/// An answer that cannot be built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// A field that must be there is not.
    #[error("`{field}` is missing in the agent's answer")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field does not parse.
    #[error("`{field}` is `{value}` in the agent's answer; expected {expected}")]
    Malformed {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// An attachment that this datapath does not build.
    #[error(
        "`{field}` is `{value}` in the agent's answer; this node's datapath builds addresses of shared ENIs only"
    )]
    Unsupported {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// Not exactly one interface has the default route.
    #[error("{count} interfaces of the agent's answer have `DefaultRoute`; expected one of {interfaces}")]
    DefaultRoutes {
        /// How many have it.
        count: usize,
        /// How many there are.
        interfaces: usize,
    },
}

/// The interfaces of an answer. None at all is an answer too: no record.
///
/// Where no interface is marked for the default route, `eth0` gets it, as in the original.
pub fn interfaces(ip_type: i32, confs: &[wire::NetConf]) -> Result<Vec<NetConf>, InvalidAnswer> {
    if confs.is_empty() {
        return Ok(Vec::new());
    }
    if IpType::try_from(ip_type) != Ok(IpType::EniMultiIp) {
        let value =
            IpType::try_from(ip_type).map_or_else(|_| ip_type.to_string(), |known| format!("{known:?}"));
        return Err(InvalidAnswer::Unsupported { field: "IPType", value });
    }
    let mut interfaces = confs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if interfaces.iter().all(|interface| !interface.default_route)
        && let Some(eth0) = interfaces.iter_mut().find(|interface| interface.ifname == "eth0")
    {
        eth0.default_route = true;
    }
    let count = interfaces.iter().filter(|interface| interface.default_route).count();
    if count != 1 {
        return Err(InvalidAnswer::DefaultRoutes { count, interfaces: interfaces.len() });
    }
    Ok(interfaces)
}

fn parse<T: std::str::FromStr>(
    field: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<Option<T>, InvalidAnswer> {
    if text.is_empty() {
        return Ok(None);
    }
    let malformed = |_| InvalidAnswer::Malformed { field, value: text.to_owned(), expected };
    text.parse().map(Some).map_err(malformed)
}

fn read(conf: &wire::NetConf) -> Result<NetConf, InvalidAnswer> {
    let missing = |field| InvalidAnswer::Missing { field };
    let basic = conf.basic.clone().ok_or(missing("BasicInfo"))?;
    let eni = conf.eni.clone().ok_or(missing("ENIInfo"))?;
    if eni.trunk {
        return Err(InvalidAnswer::Unsupported { field: "Trunk", value: "true".into() });
    }
    if eni.erdma {
        return Err(InvalidAnswer::Unsupported { field: "eRDMA", value: "true".into() });
    }
    let pod_ip = basic.pod_ip.unwrap_or_default();
    let cidr = basic.pod_cidr.unwrap_or_default();
    let gateway = basic.gateway.unwrap_or_default();
    let v4: Option<Ipv4Addr> = parse("PodIP.IPv4", &pod_ip.ipv4, "an IPv4 address")?;
    let mac = Mac::try_from(eni.mac.to_ascii_lowercase()).map_err(|_| InvalidAnswer::Malformed {
        field: "MAC",
        value: eni.mac.clone(),
        expected: "six hexadecimal octets",
    })?;
    let mut extra_routes = Vec::with_capacity(conf.extra_routes.len());
    for route in &conf.extra_routes {
        extra_routes.extend(parse::<IpNet>("ExtraRoutes.Dst", &route.dst, "a block such as `10.1.0.0/16`")?);
    }
    let pod = conf.pod.clone().unwrap_or_default();
    Ok(NetConf {
        ips: PodIps {
            v4: v4.ok_or(missing("PodIP.IPv4"))?,
            v6: parse("PodIP.IPv6", &pod_ip.ipv6, "an IPv6 address")?,
        },
        cidr: parse::<Ipv4Net>("PodCIDR.IPv4", &cidr.ipv4, "an IPv4 block")?
            .ok_or(missing("PodCIDR.IPv4"))?,
        gateway: parse("GatewayIP.IPv4", &gateway.ipv4, "an IPv4 address")?
            .ok_or(missing("GatewayIP.IPv4"))?,
        eni: EniId::from(eni.id),
        mac,
        ifname: if conf.ifname.is_empty() { "eth0".into() } else { conf.ifname.clone() },
        default_route: conf.default_route,
        gateway6: parse("GatewayIP.IPv6", &gateway.ipv6, "an IPv6 address")?,
        extra_routes,
        bandwidth: Bandwidth { ingress: pod.ingress, egress: pod.egress },
        guard: guard(conf)?,
    })
}

/// A link without programs, or programs without a link, would be one that is not governed.
fn guard(conf: &wire::NetConf) -> Result<Option<Guard>, InvalidAnswer> {
    match (conf.link, conf.pins.as_str()) {
        (0, "") => Ok(None),
        (0, _) => Err(InvalidAnswer::Missing { field: "Link" }),
        (_, "") => Err(InvalidAnswer::Missing { field: "Pins" }),
        (link, pins) => Ok(Some(Guard { link, pins: pins.into() })),
    }
}

impl From<&NetConf> for wire::NetConf {
    fn from(conf: &NetConf) -> Self {
        let set = |ipv4: String, ipv6: Option<Ipv6Addr>| {
            Some(IpSet { ipv4, ipv6: ipv6.map(|v6| v6.to_string()).unwrap_or_default() })
        };
        let gateway = set(conf.gateway.to_string(), conf.gateway6);
        Self {
            basic: Some(wire::BasicInfo {
                pod_ip: set(conf.ips.v4.to_string(), conf.ips.v6),
                pod_cidr: set(conf.cidr.to_string(), None),
                gateway: gateway.clone(),
                service_cidr: None,
            }),
            eni: Some(wire::EniInfo {
                mac: conf.mac.to_string(),
                gateway,
                id: conf.eni.as_str().to_owned(),
                ..wire::EniInfo::default()
            }),
            pod: Some(wire::Pod {
                ingress: conf.bandwidth.ingress,
                egress: conf.bandwidth.egress,
                priority: String::new(),
            }),
            ifname: conf.ifname.clone(),
            extra_routes: conf.extra_routes.iter().map(|net| wire::Route { dst: net.to_string() }).collect(),
            default_route: conf.default_route,
            link: conf.guard.as_ref().map_or(0, |guard| guard.link),
            pins: conf.guard.as_ref().map(|guard| guard.pins.display().to_string()).unwrap_or_default(),
        }
    }
}

/// An answer to ADD, from what the agent knows of the pod's interfaces.
pub fn alloc_reply(interfaces: &[NetConf]) -> wire::AllocIpReply {
    wire::AllocIpReply {
        success: true,
        ip_type: IpType::EniMultiIp as i32,
        ipv4: !interfaces.is_empty(),
        ipv6: interfaces.iter().any(|interface| interface.ips.v6.is_some()),
        net_confs: interfaces.iter().map(wire::NetConf::from).collect(),
    }
}

/// An answer to CHECK.
pub fn info_reply(interfaces: &[NetConf]) -> wire::GetInfoReply {
    let wire::AllocIpReply { success, ip_type, ipv4, ipv6, net_confs } = alloc_reply(interfaces);
    wire::GetInfoReply { ip_type, success, ipv4, ipv6, net_confs, error: wire::InfoError::None as i32 }
}

impl From<wire::AllocIpRequest> for rpc::AllocIpRequest {
    fn from(request: wire::AllocIpRequest) -> Self {
        Self {
            pod: PodKey::new(request.pod_namespace, request.pod_name),
            container: ContainerId::from(request.container),
            netns: request.netns,
            ifname: request.ifname,
            uid: PodUid::from(request.pod_uid),
            network: request.network,
        }
    }
}

impl From<wire::ReleaseIpRequest> for rpc::ReleaseIpRequest {
    fn from(request: wire::ReleaseIpRequest) -> Self {
        Self {
            pod: PodKey::new(request.pod_namespace, request.pod_name),
            container: ContainerId::from(request.container),
            reason: request.reason,
        }
    }
}

impl From<wire::GetInfoRequest> for rpc::GetIpInfoRequest {
    fn from(request: wire::GetInfoRequest) -> Self {
        Self {
            pod: PodKey::new(request.pod_namespace, request.pod_name),
            container: ContainerId::from(request.container),
        }
    }
}

#[cfg(test)]
mod tests;
