//! Rows of ADD.

use std::{collections::BTreeSet, thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::{self, Bed, Netns, Sandbox, can_run};

pub(crate) fn existing() {
    let (bed, pod) = (Bed::new(), Netns::new());
    pod.run("ip link add eth0 type veth peer name other && ip address add 192.0.2.1/24 dev eth0");
    let before = pod.run("ip -o address; ip route");
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let words = bed.verb("ADD", &sandbox, &bed.config()).failed(4).expect("refused");
    assert!(words.contains("`eth0`"), "{words}");
    assert_eq!(pod.run("ip -o address; ip route"), before);
    assert_eq!(bed.residue(), clean);
    // The address that was had for it goes back, with the reason that the original gives.
    let state = bed.agent().state();
    assert!(state.records.is_empty());
    assert!(state.releases[0].1.starts_with("roll back ip for error: "), "{:?}", state.releases);
}

/// What is there, without what it says.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        _ => json!("other"),
    }
}

pub(crate) fn versions() {
    for (version, golden) in [
        ("0.3.0", include_str!("../golden/0.3.0.json")),
        ("0.3.1", include_str!("../golden/0.3.1.json")),
        ("0.4.0", include_str!("../golden/0.4.0.json")),
        ("1.0.0", include_str!("../golden/1.0.0.json")),
        ("1.1.0", include_str!("../golden/1.1.0.json")),
    ] {
        let (bed, pod) = (Bed::new(), Netns::new());
        let sandbox = Sandbox::new("web", "c1", &pod.path());
        let mut config = bed.config();
        config["cniVersion"] = json!(version);
        let result = bed.verb("ADD", &sandbox, &config).json();
        let golden: Value = serde_json::from_str(golden).expect("JSON");
        assert_eq!(shape(&result), shape(&golden), "{version}: {result}");
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["interfaces"][1]["name"], "eth0");
        assert_eq!(result["interfaces"][1]["sandbox"], json!(sandbox.netns));
        // What it says is what is there; IPv4 first, as runtimes take the first for the pod's.
        assert_eq!(result["ips"][0]["address"], "10.0.3.1/32");
        let inside = pod.run("ip -o link show eth0; ip -o address show eth0 scope global");
        assert!(inside.contains(result["interfaces"][1]["mac"].as_str().expect("text")), "{inside}");
        assert!(inside.contains("10.0.3.1/32") && inside.contains("2408::1/128"), "{inside}");
        assert!(!inside.contains("tentative"), "past duplicate address detection: {inside}");
        let host = bed.host.run("ip -o link");
        assert!(host.contains(result["interfaces"][0]["name"].as_str().expect("text")), "{host}");
        assert!(host.contains(result["interfaces"][0]["mac"].as_str().expect("text")), "{host}");
    }
}

pub(crate) fn twice() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    bed.verb("ADD", &sandbox, &bed.config()).failed(4).expect("refused");
    assert!(bed.agent().state().releases.is_empty(), "the address is in use");
    assert_eq!(bed.agent().state().records.len(), 1);
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("the first stays as it was made");
}

pub(crate) fn two_sandboxes() {
    let (bed, old, new) = (Bed::new(), Netns::new(), Netns::new());
    let clean = bed.residue();
    let (old, new) = (Sandbox::new("web", "c1", &old.path()), Sandbox::new("web", "c2", &new.path()));
    let (first, second) = (bed.add(&old), bed.add(&new));
    assert_ne!(first["ips"][0]["address"], second["ips"][0]["address"]);
    bed.verb("DEL", &old, &bed.after(&first)).silent().expect("the old one goes");
    bed.verb("CHECK", &new, &bed.after(&second)).silent().expect("the new one stays");
    bed.verb("DEL", &new, &bed.after(&second)).silent().expect("the new one goes");
    assert!(bed.agent().state().records.is_empty());
    assert_eq!(bed.residue(), clean);
}

pub(crate) fn twenty() {
    let bed = Bed::new();
    let clean = bed.residue();
    let pods: Vec<Netns> = (0..20).map(|_| Netns::new()).collect();
    let sandboxes: Vec<Sandbox> = (0..20)
        .map(|index| Sandbox::new(&format!("web-{index}"), &format!("c{index}"), &pods[index].path()))
        .collect();
    let results: Vec<Value> = thread::scope(|scope| {
        let calls: Vec<_> = sandboxes.iter().map(|sandbox| scope.spawn(|| bed.add(sandbox))).collect();
        calls.into_iter().map(|call| call.join().expect("added")).collect()
    });
    let addresses: BTreeSet<String> = results.iter().map(|it| it["ips"][0]["address"].to_string()).collect();
    assert_eq!(addresses.len(), 20);
    for (sandbox, result) in sandboxes.iter().zip(&results) {
        bed.verb("CHECK", sandbox, &bed.after(result)).silent().expect("as it was made");
    }
    thread::scope(|scope| {
        for (sandbox, result) in sandboxes.iter().zip(&results) {
            scope.spawn(|| bed.verb("DEL", sandbox, &bed.after(result)).silent().expect("deleted"));
        }
    });
    assert_eq!(bed.residue(), clean);
}

pub(crate) fn no_netns() {
    let bed = Bed::new();
    let file = bed.dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    for path in [bed.dir.path().join("nowhere"), file] {
        let words =
            bed.verb("ADD", &Sandbox::new("web", "c1", &path), &bed.config()).failed(4).expect("refused");
        assert!(words.contains("CNI_NETNS"), "{words}");
    }
    assert!(bed.agent().state().allocations.is_empty());
}

pub(crate) fn agent_down() {
    let (mut bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, socket) = (Sandbox::new("web", "c1", &pod.path()), bed.socket());
    bed.kill_agent();
    let started = Instant::now();
    let words = bed.verb("ADD", &sandbox, &bed.config()).failed(11).expect("refused");
    assert!(started.elapsed() < Duration::from_secs(2), "told at once");
    assert!(words.contains(&socket.display().to_string()) && words.contains("terway-daemon"), "{words}");
    // And where the agent answers, its cause arrives.
    bed.start_agent();
    bed.agent().state().exhausted = true;
    let words = bed.verb("ADD", &sandbox, &bed.config()).failed(101).expect("refused");
    assert!(words.contains("vsw-1") && words.contains("default/web"), "{words}");
    // An address of an ENI that the node does not have is given back.
    bed.agent().state().exhausted = false;
    bed.agent().state().wrong_eni = true;
    let words = bed.verb("ADD", &sandbox, &bed.config()).failed(11).expect("refused");
    assert!(words.contains("00:16:3e:00:00:09"), "{words}");
    assert!(bed.agent().state().records.is_empty());
}

#[test]
fn rules_that_an_earlier_owner_of_the_address_left_do_not_lead_the_pod_astray() {
    let _alone = bed::alone();
    if !can_run("ADD over what was left") {
        return;
    }
    let (bed, pod) = (Bed::new(), Netns::new());
    // Of an ENI that is gone, another priority, and the very rule that is wanted: none is the kernel's to refuse alone.
    bed.host.run(
        "ip rule add from 10.0.3.1 lookup 1999 priority 2048; ip rule add to 10.0.3.1 lookup 1998 priority 100; \
         ip -6 rule add from 2408::1 lookup 1999 priority 2048; ip rule add to 10.0.3.1 lookup main priority 512; \
         ip rule add from 10.0.3.77 lookup 1999 priority 2048",
    );
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    let rules = bed.host.run("ip rule; ip -6 rule");
    let astray: Vec<&str> = rules.lines().filter(|it| it.contains("1999") || it.contains("1998")).collect();
    assert!(
        astray.len() == 1 && astray[0].contains("10.0.3.77"),
        "another's stays, and nothing else: {astray:?}"
    );
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("as it was made");
}

#[test]
fn an_eni_is_told_from_a_bridge_that_has_its_hardware_address() {
    let _alone = bed::alone();
    if !can_run("ADD on a node whose ENI is below a bridge") {
        return;
    }
    let (bed, pod) = (Bed::new(), Netns::new());
    // The bridge has the address, as it would be used; the route of the pod must lead over the ENI.
    bed.host.run(&format!(
        "ip link add br0 address {} type bridge; ip address add 10.0.0.9/32 dev br0; ip link set br0 up",
        crate::bed::ENI_MAC
    ));
    // A veth stands in for the ENI here, which a bridge goes before as far as the kernel tells.
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("both look in the same way");
}
