//! What on a node belongs to no pod, and what live pods lack.
//!
//! Only what is provably ours is ever removed: a link whose MAC follows from its own alias, a rule that has our
//! priority, form and table and names an address of our ENIs. A stale rule is not harmless: it sends the next
//! owner of the address into the wrong table.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use terway_core::id::{ContainerId, PodKey};

use crate::{
    desired::{DesiredError, ENI_TABLE_BASE, FROM_POD, TO_POD, desired, host_net},
    difference, name,
    op::{Change, NetOp, Object},
    pod::{HostFacts, PodNet},
    select,
    state::{LinkKind, MAIN_TABLE, NetState, Place, Rule, Select, Side},
};

/// Who is entitled to objects on the node. A pod whose ADD is under way is among them.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Sandboxes that have a network.
    pub containers: BTreeSet<ContainerId>,
    /// Addresses that pods have.
    pub in_use: BTreeSet<IpAddr>,
    /// Addresses of our ENIs, in use or not.
    pub ours: BTreeSet<IpAddr>,
}

/// The removal of what belongs to no owner: rules first, then links with all that is on them.
pub fn orphans(host: &Side, owners: &Owners) -> Vec<NetOp> {
    let rules = host.rules.iter().filter(|rule| is_orphan(rule, owners));
    let mut ops: Vec<NetOp> =
        rules.map(|rule| NetOp::new(Place::Host, Change::Del(Object::Rule(rule.clone())))).collect();
    for (name, link) in &host.links {
        let owner = name::owner(name, link.alias.as_deref(), link.mac);
        let dead = owner.is_some_and(|(container, _)| !owners.containers.contains(&container));
        if dead && matches!(link.kind, LinkKind::Veth { .. }) {
            ops.push(NetOp::new(Place::Host, Change::DelLink { name: name.clone(), link: link.clone() }));
        }
    }
    ops
}

fn is_orphan(rule: &Rule, owners: &Owners) -> bool {
    let form = match rule.select {
        Select::To(_) => rule.priority == TO_POD && rule.table == MAIN_TABLE,
        Select::From(_) => rule.priority == FROM_POD && rule.table > ENI_TABLE_BASE,
    };
    let ip = rule.select.net().addr();
    form && rule.select.net() == host_net(ip) && owners.ours.contains(&ip) && !owners.in_use.contains(&ip)
}

/// An interface of a pod: a pod may have several.
pub type PodIf = (PodKey, String);

/// What live pods lack, and for whom nothing can be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// What each lacks on the host, in the order of repair; those that lack nothing are not in it.
    pub ops: BTreeMap<PodIf, Vec<NetOp>>,
    /// Those for which no state can be wanted: the ENI has left, say. The others do not wait for them.
    pub unable: Vec<(PodIf, DesiredError)>,
}

/// What live pods lack on the host. A pod without its host end is left out: the pair went with its sandbox, and
/// only a new ADD can make another.
pub fn repairs(host: &Side, pods: &[PodNet], facts: &HostFacts) -> Repairs {
    let mut repairs = Repairs::default();
    for pod in pods {
        let key = (pod.pod.clone(), pod.ifname.clone());
        let wanted = match desired(pod, facts) {
            Ok(wanted) => NetState::of_host(wanted.host),
            Err(error) => {
                repairs.unable.push((key, error));
                continue;
            }
        };
        let link = name::host_veth_name(&pod.pod, &pod.ifname);
        let ips: Vec<IpAddr> = pod.ips.iter().collect();
        let mut actual = NetState::of_host(select::of_pod(host, &link, &ips));
        let (Some(end), Some(want)) = (actual.host.links.get_mut(&link), wanted.host.links.get(&link)) else {
            continue;
        };
        // Another sandbox's: the pod was made anew and the agent has not heard.
        if end.mac != want.mac {
            continue;
        }
        // The other end is not seen from here.
        end.kind.clone_from(&want.kind);
        let ops = difference::repair(&actual, &wanted);
        if !ops.is_empty() {
            repairs.ops.insert(key, ops);
        }
    }
    repairs
}

#[cfg(test)]
mod tests {
    use terway_core::{address::PodIps, id::Mac};

    use super::*;
    use crate::desired::tests::{dual, facts};

    fn host() -> Side {
        desired(&dual(), &facts()).expect("valid").host
    }

    fn owners(live: bool) -> Owners {
        let ips: BTreeSet<IpAddr> = dual().ips.iter().collect();
        if live {
            Owners { containers: [dual().container].into(), in_use: ips.clone(), ours: ips }
        } else {
            Owners { ours: ips, ..Owners::default() }
        }
    }

    #[test]
    fn what_a_live_pod_has_is_no_orphan_and_all_of_a_dead_ones_is() {
        assert_eq!(orphans(&host(), &owners(true)), []);
        let ops = orphans(&host(), &owners(false));
        let mut state = NetState { host: host(), pod: Side::default() };
        for op in &ops {
            op.change(&mut state);
        }
        state.host.sysctls.clear();
        assert_eq!(state.host, Side::default(), "{ops:?}");
    }

    #[test]
    fn what_is_like_ours_but_not_provably_so_stays() {
        let mut side = Side::default();
        let calico =
            crate::state::Link { mac: Mac([0xee; 6]), ..host().links.into_values().next().expect("one") };
        side.links.insert("cali0123456789a".into(), calico);
        let net = |text: &str| text.parse().expect("valid");
        for (priority, select, table) in [
            (512, Select::To(net("10.0.1.99/32")), 254),
            (512, Select::To(net("10.0.1.0/24")), 254),
            (513, Select::To(net("10.0.1.5/32")), 254),
            (512, Select::To(net("10.0.1.5/32")), 100),
            (2048, Select::From(net("10.0.1.5/32")), 254),
            (100, Select::From(net("10.0.1.5/32")), 1007),
        ] {
            side.rules.insert(Rule { priority, select, table });
        }
        assert_eq!(orphans(&side, &owners(false)), []);
    }

    #[test]
    fn a_live_pod_gets_back_what_was_taken_and_keeps_what_others_added() {
        let mut side = host();
        assert_eq!(repairs(&side, &[dual()], &facts()), Repairs::default());
        let rule = side.rules.pop_first().expect("some");
        let foreign =
            Rule { priority: 100, select: Select::To("10.9.0.0/16".parse().expect("valid")), table: 7 };
        side.rules.insert(foreign);
        let ops = repairs(&side, &[dual()], &facts()).ops;
        assert_eq!(ops[&key(&dual())], [NetOp::new(Place::Host, Change::Add(Object::Rule(rule)))]);
    }

    fn key(pod: &PodNet) -> PodIf {
        (pod.pod.clone(), pod.ifname.clone())
    }

    #[test]
    fn a_pod_whose_eni_has_left_is_told_and_the_others_are_repaired() {
        let lost = PodNet { pod: PodKey::new("default", "lost"), eni_mac: Mac([2; 6]), ..dual() };
        let mut side = host();
        side.rules.pop_first().expect("some");
        let repairs = repairs(&side, &[lost.clone(), dual()], &facts());
        assert_eq!(repairs.ops.keys().collect::<Vec<_>>(), [&key(&dual())]);
        let (who, DesiredError::NoEni { mac, .. }) = &repairs.unable[0] else { panic!("{repairs:?}") };
        assert_eq!((who, mac), (&key(&lost), &lost.eni_mac));
    }

    #[test]
    fn two_interfaces_of_one_pod_are_repaired_each() {
        let mut second = dual();
        second.ifname = "eth1".into();
        second.ips = PodIps { v4: [10, 0, 1, 77].into(), v6: None };
        let mut side = desired(&second, &facts()).expect("valid").host;
        for (name, link) in host().links {
            side.links.insert(name, link);
        }
        side.routes.clear();
        let repairs = repairs(&side, &[dual(), second.clone()], &facts());
        assert_eq!(repairs.ops.keys().collect::<Vec<_>>(), [&key(&dual()), &key(&second)]);
    }

    #[test]
    fn a_pod_whose_host_end_is_gone_or_another_sandboxs_is_not_touched() {
        let mut side = host();
        side.links.clear();
        assert_eq!(repairs(&side, &[dual()], &facts()), Repairs::default());
        let mut later = dual();
        later.container = "another".into();
        assert_eq!(repairs(&host(), &[later], &facts()), Repairs::default());
    }
}
