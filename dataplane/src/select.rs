//! Which part of a node's state is one pod's, or one ENI's.
//!
//! A pod's part is what is on its host end, and whatever names its addresses: a route to them over another link
//! and a rule of any priority for them are in its way, so they are seen and the diff removes them.

use std::net::IpAddr;

use ipnet::IpNet;
use terway_core::host::Endpoint;

use crate::{
    desired::{ENI_TABLE_BASE, host_net},
    name,
    op::sysctl_link,
    pod::PodNet,
    state::{MAIN_TABLE, Route, Side},
};

/// The host's state as far as it concerns a pod whose host end is `link`.
pub fn of_pod(host: &Side, link: &str, ips: &[IpAddr]) -> Side {
    let ours = |net| ips.iter().any(|ip| host_net(*ip) == net);
    let mut side = on_link(host, link);
    let routes = host.routes.iter();
    side.routes.extend(routes.filter(|it| it.table == MAIN_TABLE && ours(it.dst)).cloned());
    side.rules.extend(host.rules.iter().filter(|it| ours(it.select.net())).cloned());
    side.links.extend(host.links.get_key_value(link).map(|(name, link)| (name.clone(), link.clone())));
    side.sysctls.extend(host.sysctls.iter().map(|(key, value)| (key.clone(), *value)));
    side
}

/// The pod's state as far as it concerns one interface.
pub fn inside(pod_side: &Side, pod: &PodNet) -> Side {
    let mut side = on_link(pod_side, &pod.ifname);
    let link = pod_side.links.get_key_value(&pod.ifname);
    side.links.extend(link.map(|(name, link)| (name.clone(), link.clone())));
    side.sysctls.clone_from(&pod_side.sysctls);
    side
}

/// The host's state as far as it concerns the ENI whose link is `link`: its address, what is in its table, and
/// routes to its gateway. Other routes over it are the node's own.
pub fn of_eni(host: &Side, link: &str, gateways: &[IpAddr]) -> Side {
    let to_gateway = |dst| gateways.iter().any(|gateway| host_net(*gateway) == dst);
    let ours = |route: &&Route| route.table > ENI_TABLE_BASE || to_gateway(route.dst);
    let mut side = Side {
        addresses: host.addresses.iter().filter(|it| it.dev == link).cloned().collect(),
        programs: host.programs.iter().filter(|it| it.dev == link).cloned().collect(),
        routes: host.routes.iter().filter(|it| it.dev == link).filter(ours).cloned().collect(),
        ..Side::default()
    };
    side.links.extend(host.links.get_key_value(link).map(|(name, link)| (name.clone(), link.clone())));
    let settings = host.sysctls.iter().filter(|(key, _)| sysctl_link(key).is_none_or(|of| of == link));
    side.sysctls.extend(settings.map(|(key, value)| (key.clone(), *value)));
    side
}

/// Host ends of pods with their sandboxes and the addresses that are routed to them, sorted by name.
pub fn endpoints(host: &Side) -> Vec<Endpoint> {
    let is_host = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    let routed = |link: &str| {
        let here = host.routes.iter().filter(|route| route.table == MAIN_TABLE && route.dev == link);
        here.map(|route| route.dst).filter(is_host).map(|net| net.addr()).collect()
    };
    let ends = host.links.iter().filter(|(name, _)| name.starts_with(name::HOST_PREFIX));
    ends.map(|(link, end)| Endpoint {
        link: link.clone(),
        index: end.index,
        container: name::owner(link, end.alias.as_deref(), end.mac).map(|(container, _)| container),
        addresses: routed(link),
    })
    .collect()
}

/// All that is on a link, without it and its settings. A full node has thousands of objects, and this is asked for
/// each pod: only what is taken is copied.
fn on_link(from: &Side, link: &str) -> Side {
    Side {
        addresses: from.addresses.iter().filter(|it| it.dev == link).cloned().collect(),
        neighbours: from.neighbours.iter().filter(|it| it.dev == link).cloned().collect(),
        routes: from.routes.iter().filter(|it| it.dev == link).cloned().collect(),
        programs: from.programs.iter().filter(|it| it.dev == link).cloned().collect(),
        qdiscs: from.qdiscs.iter().filter(|it| it.dev == link).cloned().collect(),
        ..Side::default()
    }
}
