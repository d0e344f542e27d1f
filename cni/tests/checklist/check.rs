//! Rows of CHECK.

use serde_json::{Value, json};

use crate::bed::{Bed, Netns, Sandbox};

pub(crate) fn fresh() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("as it was made");
    bed.verb("CHECK", &sandbox, &bed.config()).failed(7).expect("without `prevResult`");
}

/// Where it is done (`LINK` is the host's end), what, and words that CHECK must say.
const MUTATIONS: [(bool, &str, &str); 25] = [
    (false, "ip link set eth0 down", "pod: state of link eth0: found down"),
    (false, "ip link set eth0 address 02:09:09:09:09:09", "found 02:09:09:09:09:09"),
    (false, "ip address del 10.0.3.1/32 dev eth0", "pod: address 10.0.3.1"),
    (false, "ip -6 address del 2408::1/128 dev eth0", "pod: address 2408::1"),
    (false, "ip address add 10.0.3.99/32 dev eth0", "pod: address 10.0.3.99: found"),
    (false, "ip route del default", "pod: route 0.0.0.0/0"),
    (false, "ip -6 route del default", "pod: route ::/0"),
    (false, "ip neighbour del 169.254.1.1 dev eth0", "pod: neighbour 169.254.1.1"),
    (false, "ip link del eth0", "pod: link eth0"),
    (true, "ip link set LINK down", "found down"),
    (true, "ip link set LINK alias another/eth0", "found another/eth0"),
    (true, "ip route del 10.0.3.1/32", "host: route 10.0.3.1/32"),
    (true, "ip -6 route del 2408::1/128", "host: route 2408::1/128"),
    (true, "ip rule del priority 512", "priority 512"),
    (true, "ip rule del priority 2048", "priority 2048"),
    (true, "ip -6 rule del priority 2048", "priority 2048"),
    (true, "ip neighbour del 10.0.3.1 dev LINK", "host: neighbour 10.0.3.1"),
    (true, "ip neighbour del 2408::1 dev LINK", "host: neighbour 2408::1"),
    (
        true,
        "ip rule add from 10.0.3.1 lookup 77 priority 100",
        "rule from 10.0.3.1/32 with priority 100: found",
    ),
    (true, "ip route replace 10.0.3.1/32 dev ens6", "host: route 10.0.3.1/32"),
    (true, "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding", "setting net/ipv4/conf/all/forwarding"),
    (true, "echo 1 > /proc/sys/net/ipv4/conf/LINK/rp_filter", "rp_filter: found 1, wanted 0"),
    (true, "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding", "setting net/ipv6/conf/all/forwarding"),
    (false, "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_ra", "setting net/ipv6/conf/eth0/accept_ra"),
    (false, "ip -6 neighbour del fe80::1 dev eth0", "pod: neighbour fe80::1"),
];

pub(crate) fn mutations() {
    for (on_host, line, words) in MUTATIONS {
        let (bed, pod) = (Bed::new(), Netns::new());
        let sandbox = Sandbox::new("web", "c1", &pod.path());
        let result = bed.add(&sandbox);
        let link = result["interfaces"][0]["name"].as_str().expect("text");
        let place = if on_host { &bed.host } else { &pod };
        place.run(&line.replace("LINK", link));
        let found = bed.verb("CHECK", &sandbox, &bed.after(&result)).failed(103).expect(line);
        assert!(found.contains(words), "{line}: {found}");
    }
    limits();
    // The reservation, and what the runtime remembers.
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    let mut config = bed.after(&result);
    config["prevResult"]["ips"][0]["address"] = json!("10.0.3.77/32");
    let found = bed.verb("CHECK", &sandbox, &config).failed(103).expect("another address");
    assert!(found.contains("10.0.3.1"), "{found}");
    bed.agent().state().records.clear();
    let found = bed.verb("CHECK", &sandbox, &bed.after(&result)).failed(103).expect("no record");
    assert!(found.contains("no record"), "{found}");
}

/// Limits that were asked for and are gone, or are others.
fn limits() {
    for (on_host, line, words) in [
        (false, "tc qdisc del dev eth0 root", "pod: qdisc of eth0: missing, wanted"),
        (
            true,
            "tc qdisc replace dev LINK root handle 1: tbf rate 1mbit burst 10k latency 25ms",
            "host: qdisc of ",
        ),
    ] {
        let (bed, pod) = (Bed::new(), Netns::new());
        let sandbox = Sandbox::new("web", "c1", &pod.path());
        let limited = |mut config: Value| {
            config["runtimeConfig"] =
                json!({"bandwidth": {"ingressRate": 8_000_000, "egressRate": 8_000_000}});
            config
        };
        let outcome = bed.verb("ADD", &sandbox, &limited(bed.config()));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let (result, config) = (outcome.json(), limited(bed.after(&outcome.json())));
        bed.verb("CHECK", &sandbox, &config).silent().expect("as it was made");
        let link = result["interfaces"][0]["name"].as_str().expect("text");
        let place = if on_host { &bed.host } else { &pod };
        place.run(&line.replace("LINK", link));
        let found = bed.verb("CHECK", &sandbox, &config).failed(103).expect(line);
        assert!(found.contains(words), "{line}: {found}");
    }
}

pub(crate) fn chained() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let mut result = bed.add(&sandbox);
    let link = result["interfaces"][0]["name"].as_str().expect("text").to_owned();
    pod.run("ip route add 192.0.2.0/24 via 169.254.1.1 dev eth0 onlink; ip link set eth0 mtu 1400");
    bed.host.run(&format!("ip route add 198.51.100.0/24 dev {link}; ip link set {link} mtu 1400"));
    let list = |key: &str| result[key].as_array().expect("a list").clone();
    let (mut interfaces, mut routes) = (list("interfaces"), list("routes"));
    interfaces.insert(0, json!({"name": "ifb0", "vendor": 1}));
    routes.push(json!({"dst": "192.0.2.0/24"}));
    for ip in result["ips"].as_array_mut().expect("a list") {
        ip["interface"] = json!(2);
    }
    result["interfaces"] = Value::Array(interfaces);
    result["routes"] = Value::Array(routes);
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("tolerated");
    bed.verb("DEL", &sandbox, &bed.after(&result)).silent().expect("deleted by the final result");
}
