//! NICs that come and go, and addresses with them.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use terway_core::{
    address::{AddressCount, AddressSet, Stack},
    cloud::{Assign, Cloud, CreateEni, Eni, EniStatus},
    id::{EniId, Mac},
};
use terway_dataplane::{
    op::{Change, NetOp, Object},
    pod::Gateways,
    state::{Address, MAIN_TABLE, Place, Route, Rule, Select},
};
use terway_e2e::{
    cluster::Cluster,
    fabric::plan::gateways,
    netns::Netns,
    spec::ClusterSpec,
    target::Target,
    traffic::{Load, Protocol},
};
use terway_probe::echo::{self, Server};

use crate::common::{PATIENCE, name, root, until};

/// How long is waited for what must not come.
const SHORT: Duration = Duration::from_millis(600);

/// Nodes without agents.
async fn cluster(change: impl FnOnce(&mut ClusterSpec)) -> Cluster {
    let mut spec = ClusterSpec { agents: false, ..ClusterSpec::new(&name()) };
    change(&mut spec);
    Cluster::start(spec, None).await.expect("a cluster")
}

fn api(cluster: &Cluster) -> Arc<dyn Cloud> {
    cluster.vpc.cloud.operator_client("test")
}

/// An ENI of so many addresses of each family, attached to a node.
async fn attach(cluster: &Cluster, node: usize, count: AddressCount) -> Eni {
    let (cloud, node) = (api(cluster), cluster.node(node).expect("a node"));
    let vswitch = cluster.vpc.cloud.eni(&cluster.vpc.cloud.primary_nic(&node.instance).expect("one"));
    let request = CreateEni {
        token: format!("t-{}-{}", node.name, count.v4).into(),
        vswitch: vswitch.expect("it is there").vswitch.clone(),
        security_groups: vec![terway_e2e::spec::GROUP.into()],
        count: AddressCount { v6: 0, ..count },
        tags: Vec::new(),
    };
    let eni = cloud.create_eni(&request).await.expect("made");
    if count.v6 > 0 {
        let count = AddressCount { v6: count.v6, ..AddressCount::default() };
        let assign = Assign { token: format!("v6-{}", eni.id).into(), eni: eni.id.clone(), count };
        cloud.assign_ipv6(&assign).await.expect("assigned");
    }
    cloud.attach_eni(&eni.id, &node.instance).await.expect("attached");
    until("the ENI is in use", async || {
        now(cluster, &eni.id).is_some_and(|eni| eni.status == EniStatus::InUse)
    })
    .await;
    cluster.vpc.settled().await;
    now(cluster, &eni.id).expect("it is there")
}

fn now(cluster: &Cluster, eni: &EniId) -> Option<Eni> {
    cluster.vpc.cloud.eni(eni).map(|eni| Eni::clone(&eni))
}

/// Name of the link with this hardware address, and whether it is up.
async fn link(cluster: &Cluster, node: usize, mac: Mac) -> Option<(String, bool)> {
    let side = cluster.kernel(node).await.expect("seen");
    side.links.into_iter().find(|(_, link)| link.mac == mac).map(|(name, link)| (name, link.up))
}

fn gateways_of(cluster: &Cluster, eni: &Eni) -> Gateways {
    let state = cluster.vpc.cloud.state();
    let vswitch = state.vswitches.iter().find(|it| it.id == eni.vswitch).expect("it is there");
    gateways(vswitch.cidr, vswitch.ipv6)
}

/// Gives a NIC an address of its ENI, so that traffic in both directions goes over it.
async fn configure(cluster: &Cluster, node: usize, eni: &Eni, ips: &[IpAddr]) {
    let (dev, _) = link(cluster, node, eni.mac).await.expect("it is there");
    let netns = Netns::open(&cluster.names.node(node)).expect("it is there");
    let mut changes = vec![Change::SetUp { dev: dev.clone(), up: true }];
    for ip in ips {
        changes.push(Change::Add(Object::Address(Address { dev: dev.clone(), net: (*ip).into() })));
    }
    // What comes from them leaves by the same NIC, or the guard drops it.
    let table = 1000 + u32::from(eni.mac.0[5]);
    let gateways = gateways_of(cluster, eni);
    for gateway in gateways.iter().filter(|gateway| ips.iter().any(|ip| ip.is_ipv4() == gateway.is_ipv4())) {
        let all: IpAddr = if gateway.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let dst = IpNet::new(all, 0).expect("no bits are a length");
        changes.push(Change::Add(Object::Route(Route { table, dst, dev: dev.clone(), via: Some(gateway) })));
    }
    for ip in ips {
        let rule = Rule { priority: 2048, select: Select::From((*ip).into()), table };
        changes.push(Change::Add(Object::Rule(rule)));
    }
    apply(&netns, changes);
}

fn apply(netns: &Netns, changes: Vec<Change>) {
    let ops: Vec<NetOp> = changes.into_iter().map(|change| NetOp::new(Place::Host, change)).collect();
    let apply = || terway_dataplane::linux::direct::apply(netns.path(), &ops).map_err(std::io::Error::other);
    netns.run(apply).expect("applied");
}

fn ips(eni: &Eni) -> Vec<IpAddr> {
    let v4 = eni.addresses.v4.iter().copied().map(IpAddr::V4);
    v4.chain(eni.addresses.v6.iter().copied().map(IpAddr::V6)).collect()
}

async fn reaches(cluster: &Cluster, from: &Target, to: IpAddr) -> Result<Duration, String> {
    let load = Load { patience: Duration::from_millis(700), ..Load::new(Protocol::Icmp, 56) };
    let sent = cluster.send(from, &Target::Ip(to), to.is_ipv6(), load).await.expect("both are there");
    sent.map_err(|error| error.to_string())
}

/// That an address is reached, at the latest when a NIC that was just taken up has its carrier at both ends.
async fn must_reach(cluster: &Cluster, from: &Target, to: IpAddr) {
    until(&format!("{from} reaches {to}"), async || reaches(cluster, from, to).await.is_ok()).await;
}

#[tokio::test]
async fn a_nic_appears_by_its_mac_and_vanishes_with_its_eni() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| ()).await;
    let eni = attach(&cluster, 2, AddressCount { v4: 2, ..AddressCount::default() }).await;
    assert_eq!(link(&cluster, 2, eni.mac).await, Some(("eth1".to_owned(), false)), "there, and not yet up");
    assert_eq!(link(&cluster, 1, eni.mac).await, None, "in its own node alone");
    let other = attach(&cluster, 2, AddressCount { v4: 1, ..AddressCount::default() }).await;
    assert_eq!(link(&cluster, 2, other.mac).await.map(|(name, _)| name), Some("eth2".to_owned()));
    let node = cluster.node(2).expect("a node").instance.clone();
    api(&cluster).detach_eni(&eni.id, &node).await.expect("detached");
    until("the NIC is gone", async || link(&cluster, 2, eni.mac).await.is_none()).await;
    assert!(link(&cluster, 2, other.mac).await.is_some(), "the other one stays");
    let of_eni: BTreeSet<IpAddr> = ips(&eni).into_iter().collect();
    let router = Netns::open(&cluster.names.vpc()).expect("it is there");
    let seen = router.run(|| terway_dataplane::linux::direct::observe_all().map_err(std::io::Error::other));
    let routes = seen.expect("seen").routes;
    assert!(!routes.iter().any(|route| of_eni.contains(&route.dst.addr())), "{routes:?}");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn nodes_of_all_zones_reach_each_other_and_what_is_outside_at_both_sizes() {
    if !root() {
        return;
    }
    for mtu in [1500, 9000] {
        let cluster = cluster(|spec| {
            (spec.zones, spec.stack, spec.mtu) = (2, Stack::Dual, mtu);
        })
        .await;
        let ends = [Target::Node(1), Target::Node(2), Target::Node(3), Target::Outside];
        for from in &ends {
            for to in ends.iter().filter(|to| *to != from) {
                for (v6, protocol, bytes) in [false, true]
                    .into_iter()
                    .flat_map(|v6| Protocol::ALL.map(|protocol| (v6, protocol, 8192)))
                    .chain([(false, Protocol::Icmp, 56), (true, Protocol::Icmp, 56)])
                {
                    let sent =
                        cluster.send(from, to, v6, Load::new(protocol, bytes)).await.expect("they are");
                    let took = sent.unwrap_or_else(|error| {
                        panic!("{from} to {to}, {protocol:?}, IPv6 {v6}, {bytes} bytes, MTU {mtu}: {error}")
                    });
                    assert!(
                        took < Duration::from_millis(700),
                        "{from} to {to}, {protocol:?}, IPv6 {v6}, {bytes}: slow: {took:?}"
                    );
                }
            }
        }
        for from in &ends[..3] {
            let Target::Node(number) = from else { continue };
            let eni = cluster.vpc.cloud.primary_nic(&cluster.node(*number).expect("one").instance);
            let eni = now(&cluster, &eni.expect("one")).expect("it is there");
            for gateway in gateways_of(&cluster, &eni).iter() {
                must_reach(&cluster, from, gateway).await;
            }
        }
        cluster.down().await.expect("down");
    }
}

#[tokio::test]
async fn an_address_is_reached_at_the_eni_that_owns_it_and_nowhere_when_nobody_does() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.stack = Stack::Dual).await;
    let eni = attach(&cluster, 1, AddressCount { v4: 2, v6: 1, prefixes: 0 }).await;
    let all = ips(&eni);
    configure(&cluster, 1, &eni, &all).await;
    for ip in &all {
        must_reach(&cluster, &Target::Node(2), *ip).await;
    }
    let cloud = api(&cluster);
    let secondary: Vec<_> = eni.addresses.v4.iter().copied().filter(|ip| *ip != eni.primary).collect();
    let v4 = AddressSet { v4: secondary, ..AddressSet::default() };
    let v6 = AddressSet { v6: eni.addresses.v6.clone(), ..AddressSet::default() };
    cloud.unassign_ipv4(&eni.id, &v4).await.expect("unassigned");
    cloud.unassign_ipv6(&eni.id, &v6).await.expect("unassigned");
    cluster.vpc.settled().await;
    for ip in all.iter().filter(|ip| **ip != IpAddr::V4(eni.primary)) {
        let error = reaches(&cluster, &Target::Node(2), *ip).await.expect_err("nobody owns it");
        assert!(!error.is_empty());
    }
    must_reach(&cluster, &Target::Node(2), eni.primary.into()).await;
    // And back again, at once, at another ENI.
    let other = attach(&cluster, 3, AddressCount { v4: 2, ..AddressCount::default() }).await;
    let moved = ips(&other);
    configure(&cluster, 3, &other, &moved).await;
    for ip in moved {
        must_reach(&cluster, &Target::Node(2), ip).await;
    }
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_prefix_is_routed_with_all_its_addresses() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| ()).await;
    let eni = attach(&cluster, 1, AddressCount { v4: 1, ..AddressCount::default() }).await;
    let count = AddressCount { prefixes: 1, ..AddressCount::default() };
    let assign = Assign { token: "prefix".into(), eni: eni.id.clone(), count };
    let set = api(&cluster).assign_ipv4(&assign).await.expect("assigned");
    cluster.vpc.settled().await;
    let prefix = set.prefixes[0];
    let ends = [IpAddr::V4(prefix.network()), IpAddr::V4(prefix.broadcast())];
    configure(&cluster, 1, &eni, &ends).await;
    for ip in ends {
        must_reach(&cluster, &Target::Node(2), ip).await;
        let source = Target::Node(1);
        // The guard lets each of them out, too.
        let netns = cluster.netns(&source).expect("one").expect("a namespace");
        let at = cluster.node(2).expect("one").ips[0];
        let server = cluster.netns(&Target::Node(2)).expect("one").expect("a namespace");
        let server = server.run(|| Server::start(at)).expect("a server");
        netns.run(|| echo::udp(server.udp(), Some(ip), 100, PATIENCE)).expect("it comes back");
    }
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_source_that_is_not_the_enis_own_gets_nothing_through() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.stack = Stack::Dual).await;
    let eni = attach(&cluster, 1, AddressCount { v4: 2, v6: 1, prefixes: 0 }).await;
    configure(&cluster, 1, &eni, &[]).await;
    let (dev, _) = link(&cluster, 1, eni.mac).await.expect("it is there");
    let netns = cluster.netns(&Target::Node(1)).expect("one").expect("a namespace");
    let gateways = gateways_of(&cluster, &eni);
    let victim = &cluster.node(3).expect("one").ips;
    let foreign = ["203.0.113.99".parse().expect("valid"), "2001:db8:ffff::99".parse().expect("valid")];
    let primary = &cluster.node(1).expect("one").ips;
    for v6 in [false, true] {
        let of_family = |ips: &[IpAddr]| ips.iter().copied().find(|ip| ip.is_ipv6() == v6).expect("dual");
        let (own, at) = (of_family(&ips(&eni)), of_family(&cluster.node(2).expect("one").ips));
        let server = cluster.netns(&Target::Node(2)).expect("one").expect("a namespace");
        let server = server.run(|| Server::start(at)).expect("a server");
        let gateway = gateways.iter().find(|ip| ip.is_ipv6() == v6).expect("dual");
        // All that goes to the server leaves by the secondary ENI.
        let route = Route { table: MAIN_TABLE, dst: at.into(), dev: dev.clone(), via: Some(gateway) };
        apply(&netns, vec![Change::Add(Object::Route(route))]);
        let lie = |source: IpAddr, patience: Duration| {
            let address = Address { dev: "lo".into(), net: source.into() };
            apply(&netns, vec![Change::Add(Object::Address(address.clone()))]);
            let sent = netns.run(|| echo::udp(server.udp(), Some(source), 100, patience));
            apply(&netns, vec![Change::Del(Object::Address(address))]);
            sent
        };
        lie(own, PATIENCE).expect("its own address passes");
        // Sent again while its NIC had no carrier yet.
        let passed = server.datagrams();
        for (n, source) in [of_family(victim), of_family(&foreign)].into_iter().enumerate() {
            let before = cluster.status().await.expect("seen").spoofed;
            lie(source, SHORT).expect_err("nothing comes back");
            assert_eq!(server.datagrams(), passed, "{source} got something through ({n})");
            assert!(cluster.status().await.expect("seen").spoofed > before, "{source} was not counted");
        }
        // The node's own primary address belongs to another ENI of the same node.
        let sent = netns.run(|| echo::udp(server.udp(), Some(of_family(primary)), 100, SHORT));
        sent.expect_err("nothing comes back");
        assert_eq!(server.datagrams(), passed, "the primary address got through another ENI");
    }
    cluster.down().await.expect("down");
}
