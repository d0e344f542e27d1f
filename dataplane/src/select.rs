//! Which part of a node's state is one pod's, or one ENI's.
//!
//! A pod's part is what is on its host end, and whatever names its addresses: a route to them over another link
//! and a rule of any priority for them are in its way, so they are seen and the diff removes them.

use std::net::IpAddr;

use crate::{
    desired::{ENI_TABLE_BASE, host_net},
    op::{Object, sysctl_link},
    pod::PodNet,
    state::{MAIN_TABLE, Side},
};

/// The host's state as far as it concerns a pod whose host end is `link`.
pub fn of_pod(host: &Side, link: &str, ips: &[IpAddr]) -> Side {
    let ours = |net| ips.iter().any(|ip| host_net(*ip) == net);
    let mut side = pick(host, |object| match object {
        Object::Rule(rule) => ours(rule.select.net()),
        Object::Route(route) => route.dev == link || (route.table == MAIN_TABLE && ours(route.dst)),
        object => object.dev() == Some(link),
    });
    side.links.extend(host.links.get_key_value(link).map(|(name, link)| (name.clone(), link.clone())));
    side.sysctls.extend(host.sysctls.iter().map(|(key, value)| (key.clone(), *value)));
    side
}

/// The pod's state as far as it concerns one interface.
pub fn inside(pod_side: &Side, pod: &PodNet) -> Side {
    let mut side = pick(pod_side, |object| object.dev() == Some(&pod.ifname));
    let link = pod_side.links.get_key_value(&pod.ifname);
    side.links.extend(link.map(|(name, link)| (name.clone(), link.clone())));
    side.sysctls.clone_from(&pod_side.sysctls);
    side
}

/// The host's state as far as it concerns the ENI whose link is `link`: its address, what is in its table, and
/// the IPv6 route to its gateway. Other routes over it are the node's own.
pub fn of_eni(host: &Side, link: &str, gateways: &[IpAddr]) -> Side {
    let to_gateway = |dst| gateways.iter().any(|gateway| host_net(*gateway) == dst);
    let mut side = pick(host, |object| match object {
        Object::Route(route) => route.dev == link && (route.table > ENI_TABLE_BASE || to_gateway(route.dst)),
        Object::Address(address) => address.dev == link,
        _ => false,
    });
    side.links.extend(host.links.get_key_value(link).map(|(name, link)| (name.clone(), link.clone())));
    let settings = host.sysctls.iter().filter(|(key, _)| sysctl_link(key).is_none_or(|of| of == link));
    side.sysctls.extend(settings.map(|(key, value)| (key.clone(), *value)));
    side
}

fn pick(from: &Side, mut is: impl FnMut(&Object) -> bool) -> Side {
    let mut side = Side::default();
    for object in from.objects().filter(|object| is(object)) {
        side.insert(object);
    }
    side
}
