//! The facts of the original's datapath, one by one.

use ipnet::IpNet;
use terway_core::{
    address::PodIps,
    id::{ContainerId, PodKey},
};

use super::*;
use crate::{
    pod::{Bandwidth, Gateways},
    state::{QdiscKind, Route},
};

const ENI: Mac = Mac([0, 0x16, 0x3e, 0, 0, 7]);
const PRIMARY: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);

pub(crate) fn facts() -> HostFacts {
    let mut facts = HostFacts { primary: Some(PRIMARY), ..HostFacts::default() };
    facts.enis.insert(PRIMARY, EniLink { index: 2, name: "eth0".into(), mtu: 8500 });
    facts.enis.insert(ENI, EniLink { index: 7, name: "eth1".into(), mtu: 1500 });
    facts
}

pub(crate) fn dual() -> PodNet {
    PodNet {
        pod: PodKey::new("default", "nginx"),
        container: ContainerId::from("c0ffee"),
        ifname: "eth0".into(),
        ips: PodIps { v4: [10, 0, 1, 5].into(), v6: Some("2001:db8::5".parse().expect("valid")) },
        eni_mac: ENI,
        gateway: Gateways { v4: [10, 0, 1, 253].into(), v6: Some("2001:db8::fd".parse().expect("valid")) },
        mtu: 1500,
        default_route: true,
        extra_routes: Vec::new(),
        bandwidth: Bandwidth::default(),
        guard: None,
    }
}

fn text<T: ToString>(set: impl IntoIterator<Item = T>) -> Vec<String> {
    set.into_iter().map(|it| it.to_string()).collect()
}

#[test]
fn a_dual_stack_pod_has_the_objects_of_the_original() {
    let state = desired(&dual(), &facts()).expect("valid");
    let host = name::host_veth_name(&dual().pod, "eth0");
    let mac = name::host_mac(&dual().container, "eth0");
    assert_eq!(text(state.pod.addresses), ["10.0.1.5/32 dev eth0", "2001:db8::5/128 dev eth0"]);
    assert_eq!(
        text(state.pod.routes),
        ["0.0.0.0/0 via 169.254.1.1 onlink dev eth0 table 254", "::/0 via fe80::1 onlink dev eth0 table 254"]
    );
    assert_eq!(
        text(state.pod.neighbours),
        [format!("169.254.1.1 lladdr {mac} dev eth0"), format!("fe80::1 lladdr {mac} dev eth0")]
    );
    assert!(state.pod.rules.is_empty());
    assert!(state.host.addresses.is_empty());
    assert_eq!(
        text(state.host.routes),
        [format!("10.0.1.5/32 dev {host} table 254"), format!("2001:db8::5/128 dev {host} table 254")]
    );
    assert_eq!(
        text(state.host.rules),
        [
            "512: to 10.0.1.5/32 lookup 254",
            "512: to 2001:db8::5/128 lookup 254",
            "2048: from 10.0.1.5/32 lookup 1007",
            "2048: from 2001:db8::5/128 lookup 1007"
        ]
    );
    for key in ["ipv4/conf/all/forwarding", "ipv4/conf/default/forwarding", "ipv6/conf/eth1/forwarding"] {
        assert_eq!(state.host.sysctls.get(&format!("net/{key}")), Some(&1), "{key}");
    }
    assert_eq!(state.host.sysctls.get(&format!("net/ipv4/conf/{host}/rp_filter")), Some(&0));
    assert_eq!(state.pod.sysctls.get("net/ipv6/conf/eth0/accept_ra"), Some(&0));
    assert_eq!(state.pod.sysctls.get("net/ipv6/conf/lo/disable_ipv6"), Some(&0));
}

#[test]
fn an_ipv4_pod_has_nothing_of_ipv6() {
    let mut pod = dual();
    pod.ips.v6 = None;
    pod.extra_routes = vec!["2001:db8:1::/48".parse().expect("valid")];
    let state = desired(&pod, &facts()).expect("valid");
    for side in [&state.host, &state.pod] {
        assert!(side.routes.iter().all(|route| route.dst.addr().is_ipv4()));
        assert!(side.addresses.iter().all(|address| address.net.addr().is_ipv4()));
        assert!(side.rules.iter().all(|rule| rule.select.net().addr().is_ipv4()));
        assert!(side.sysctls.keys().all(|key| key.starts_with("net/ipv4/")));
    }
}

#[test]
fn extra_routes_bring_the_gateway_as_an_address_of_the_host_end() {
    let mut pod = dual();
    pod.default_route = false;
    pod.extra_routes =
        vec!["192.168.7.1/16".parse().expect("valid"), "2001:db8:1::/48".parse().expect("valid")];
    let state = desired(&pod, &facts()).expect("valid");
    let host = name::host_veth_name(&pod.pod, "eth0");
    assert_eq!(
        text(state.pod.routes),
        [
            "169.254.1.1/32 dev eth0 table 254",
            "192.168.0.0/16 via 169.254.1.1 onlink dev eth0 table 254",
            "2001:db8:1::/48 via fe80::1 onlink dev eth0 table 254",
            "fe80::1/128 dev eth0 table 254",
        ]
    );
    assert_eq!(
        text(state.host.addresses),
        [format!("169.254.1.1/32 dev {host}"), format!("fe80::1/128 dev {host}")]
    );
}

#[test]
fn mtu_is_explicit_or_that_of_the_primary_interface() {
    let mut pod = dual();
    pod.mtu = 0;
    let state = desired(&pod, &facts()).expect("valid");
    assert!(state.pod.links.values().chain(state.host.links.values()).all(|link| link.mtu == 8500));
    assert_eq!(desired(&pod, &HostFacts { primary: None, ..facts() }), Err(DesiredError::NoPrimary));
    pod.mtu = 500;
    assert_eq!(desired(&pod, &facts()), Err(DesiredError::Mtu(500)));
}

#[test]
fn limits_are_buckets_on_the_side_that_sends() {
    let mut pod = dual();
    pod.bandwidth = Bandwidth { ingress: 10_000_000, egress: 1_000_000 };
    let state = desired(&pod, &facts()).expect("valid");
    let tbf = |rate, burst, limit| vec![QdiscKind::Tbf(Tbf { rate, burst, limit, minburst: 1500 })];
    let kinds = |side: &Side| side.qdiscs.iter().map(|qdisc| qdisc.kind.clone()).collect::<Vec<_>>();
    // 1 MB/s: a millisecond is less than two frames. 25 ms of it wait.
    assert_eq!(kinds(&state.pod), tbf(1_000_000, 3_000, 28_000));
    assert_eq!(kinds(&state.host), tbf(10_000_000, 10_000, 260_000));
    assert_eq!(Tbf::new(u64::MAX, 1500).limit, u32::MAX, "a limit beyond the kernel's is its largest");
}

#[test]
fn an_eni_answers_from_the_nodes_address_and_has_its_own_table() {
    let eni =
        EniNet { mac: ENI, gateway: dual().gateway, node_ip: [10, 0, 0, 9].into(), mtu: 1500, pins: None };
    let side = desired_eni(&eni, &facts()).expect("valid");
    assert_eq!(text(side.addresses), ["10.0.0.9/32 dev eth1"]);
    let route = |table, dst: &str, via: Option<&str>| Route {
        table,
        dst: dst.parse::<IpNet>().expect("valid"),
        dev: "eth1".into(),
        via: via.map(|via| via.parse().expect("valid")),
    };
    assert_eq!(
        side.routes.into_iter().collect::<Vec<_>>(),
        [
            route(1007, "0.0.0.0/0", Some("10.0.1.253")),
            route(1007, "::/0", Some("2001:db8::fd")),
            route(1007, "2001:db8::fd/128", None),
        ]
    );
    assert_eq!(side.sysctls.get("net/ipv6/conf/eth1/accept_ra"), Some(&0));
    assert_eq!(side.sysctls.get("net/ipv6/conf/eth1/accept_dad"), Some(&0));
}

#[test]
fn an_eni_that_is_not_there_is_named_with_those_that_are() {
    let mut pod = dual();
    pod.eni_mac = Mac([0, 0x16, 0x3e, 9, 9, 9]);
    let error = desired(&pod, &facts()).expect_err("not there").to_string();
    assert!(
        error.contains("00:16:3e:09:09:09") && error.contains("00:16:3e:00:00:01, 00:16:3e:00:00:07"),
        "{error}"
    );
}

#[test]
fn a_name_that_the_kernel_would_refuse_is_refused() {
    for bad in ["", "a/b", "a b", "..", "a:b", "sixteen-letters-"] {
        let mut pod = dual();
        pod.ifname = bad.into();
        assert_eq!(desired(&pod, &facts()), Err(DesiredError::IfName(bad.into())));
    }
}
