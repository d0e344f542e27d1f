//! What the router is to have for a state of the cloud, and the steps that lead there.
//!
//! Level-triggered: whoever missed a change finds it in the next state. An address that moves is taken from one
//! port before the other one gets it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use terway_core::{
    cloud::EniStatus,
    id::{EniId, InstanceId, Mac},
};
use terway_dataplane::pod::Gateways;
use terway_sim::cloud::CloudState;

/// A NIC of a node and its place at the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Instance that it is plugged into.
    pub instance: InstanceId,
    /// ENI.
    pub eni: EniId,
    /// Whether it is the instance's primary one, which the node is born with.
    pub primary: bool,
    /// Gateways of its vSwitch.
    pub gateways: Gateways,
    /// IPv4 block of its vSwitch.
    pub cidr: Ipv4Net,
    /// Addresses and prefixes that belong to it.
    pub owned: BTreeSet<IpNet>,
}

/// Ports by the NIC's hardware address.
pub type Ports = BTreeMap<Mac, Port>;

/// A change of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The NIC appears in its node.
    Plug(Mac, Port),
    /// The NIC vanishes.
    Unplug(Mac),
    /// These belong to the NIC from now on.
    Give(Mac, BTreeSet<IpNet>),
    /// These do not belong to it any more.
    Take(Mac, BTreeSet<IpNet>),
}

/// The gateways of a vSwitch: the third last address of its IPv4 block, and the first one of its IPv6 block, as
/// metadata tells.
pub fn gateways(cidr: Ipv4Net, ipv6: Option<Ipv6Net>) -> Gateways {
    let v4 = (u32::from(cidr.broadcast()) - 2).into();
    Gateways { v4, v6: ipv6.map(|block| (u128::from(block.network()) + 1).into()) }
}

/// Secondary NICs that are in their instances when nobody has seen them appear.
pub fn plugged(state: &CloudState) -> BTreeSet<Mac> {
    let there = state.enis.iter().filter(|it| it.eni.status == EniStatus::InUse && it.eni.instance.is_some());
    there.map(|it| it.eni.mac).collect()
}

/// What the router is to have: ports of the instances that are nodes here, of secondary NICs those `plugged`.
pub fn wanted(state: &CloudState, plugged: &BTreeSet<Mac>, nodes: impl Fn(&InstanceId) -> bool) -> Ports {
    let mut ports = Ports::new();
    for entry in &state.enis {
        let Some(instance) = entry.eni.instance.clone().filter(|instance| nodes(instance)) else { continue };
        let vswitch = state.vswitches.iter().find(|vswitch| vswitch.id == entry.eni.vswitch);
        let (Some(vswitch), true) = (vswitch, entry.primary_nic || plugged.contains(&entry.eni.mac)) else {
            continue;
        };
        let set = &entry.eni.addresses;
        let v4 = set.v4.iter().map(|ip| IpNet::from(std::net::IpAddr::V4(*ip)));
        let v6 = set.v6.iter().map(|ip| IpNet::from(std::net::IpAddr::V6(*ip)));
        let prefixes = set.prefixes.iter().copied().map(IpNet::V4);
        let port = Port {
            instance,
            eni: entry.eni.id.clone(),
            primary: entry.primary_nic,
            gateways: gateways(vswitch.cidr, vswitch.ipv6),
            cidr: vswitch.cidr,
            owned: v4.chain(v6).chain(prefixes).collect(),
        };
        ports.insert(entry.eni.mac, port);
    }
    ports
}

/// Steps from what there is to what is wanted: takes, unplugs, plugs, gives.
pub fn steps(now: &Ports, wanted: &Ports) -> Vec<Step> {
    // A NIC that came back elsewhere between two looks is another one.
    let same = |mac: &Mac, port: &Port| {
        let other = wanted.get(mac)?;
        (other.instance == port.instance && other.eni == port.eni).then_some(other)
    };
    let (mut takes, mut unplugs, mut plugs, mut gives) = (vec![], vec![], vec![], vec![]);
    for (mac, port) in now {
        let kept = same(mac, port);
        let gone = kept.map_or_else(BTreeSet::new, |it| port.owned.difference(&it.owned).copied().collect());
        if kept.is_none() {
            unplugs.push(Step::Unplug(*mac));
        } else if !gone.is_empty() {
            takes.push(Step::Take(*mac, gone));
        }
    }
    for (mac, port) in wanted {
        let before = now.get(mac).filter(|it| it.instance == port.instance && it.eni == port.eni);
        let had = before.map(|it| it.owned.clone()).unwrap_or_default();
        if before.is_none() {
            plugs.push(Step::Plug(*mac, Port { owned: BTreeSet::new(), ..port.clone() }));
        }
        let new: BTreeSet<IpNet> = port.owned.difference(&had).copied().collect();
        if !new.is_empty() {
            gives.push(Step::Give(*mac, new));
        }
    }
    takes.into_iter().chain(unplugs).chain(plugs).chain(gives).collect()
}

/// What a step does to the ports.
pub fn apply(ports: &mut Ports, step: &Step) {
    match step {
        Step::Plug(mac, port) => {
            ports.insert(*mac, port.clone());
        }
        Step::Unplug(mac) => {
            ports.remove(mac);
        }
        Step::Give(mac, nets) => {
            if let Some(port) = ports.get_mut(mac) {
                port.owned.extend(nets);
            }
        }
        Step::Take(mac, nets) => {
            if let Some(port) = ports.get_mut(mac) {
                port.owned.retain(|net| !nets.contains(net));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(eni: &str, owned: &[&str]) -> Port {
        let cidr = "10.0.0.0/24".parse().expect("valid");
        Port {
            instance: "i-n1".into(),
            eni: eni.into(),
            primary: false,
            gateways: gateways(cidr, Some("2001:db8::/64".parse().expect("valid"))),
            cidr,
            owned: owned.iter().map(|net| net.parse().expect("valid")).collect(),
        }
    }

    fn mac(last: u8) -> Mac {
        Mac([0, 0x16, 0x3e, 0, 0, last])
    }

    #[test]
    fn gateways_are_those_of_metadata() {
        let gateways = port("eni-1", &[]).gateways;
        assert_eq!(
            (gateways.v4, gateways.v6),
            ([10, 0, 0, 253].into(), Some("2001:db8::1".parse().expect("valid")))
        );
    }

    #[test]
    fn an_address_that_moves_is_taken_before_it_is_given() {
        let now = Ports::from([(mac(1), port("eni-1", &["10.0.0.1/32"])), (mac(2), port("eni-2", &[]))]);
        let wanted = Ports::from([(mac(1), port("eni-1", &[])), (mac(2), port("eni-2", &["10.0.0.1/32"]))]);
        let steps = steps(&now, &wanted);
        assert!(matches!(&steps[..], [Step::Take(..), Step::Give(..)]), "{steps:?}");
    }

    #[test]
    fn steps_lead_from_any_state_to_any_other() {
        let states = [
            Ports::new(),
            Ports::from([(mac(1), port("eni-1", &["10.0.0.1/32", "2001:db8::5/128"]))]),
            Ports::from([
                (mac(1), port("eni-2", &["10.0.0.2/32"])),
                (mac(2), port("eni-3", &["10.0.0.16/28"])),
            ]),
            Ports::from([(mac(1), port("eni-1", &["10.0.0.1/32"])), (mac(2), port("eni-3", &[]))]),
        ];
        for from in &states {
            for to in &states {
                let mut ports = from.clone();
                for step in steps(from, to) {
                    apply(&mut ports, &step);
                }
                assert_eq!(&ports, to);
            }
        }
    }
}
