//! Pods: what they lack, and what nobody owns.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use terway_core::host::Owners;
use terway_dataplane::{
    name,
    op::{Change, NetOp, Object},
    state::{Place, Rule, Select, Side},
};
use tokio::time::{Duration, timeout};

use crate::{
    Machine,
    sample::{ENI, OTHER, nic, owners, pod},
};

const SOON: Duration = Duration::from_secs(5);

async fn ready(machine: &dyn Machine) {
    machine.plug(ENI);
    let done = machine.net().set_up(&nic(ENI)).await.expect("there");
    assert!(done.refused.is_empty(), "{done:?}");
}

fn del(object: Object) -> NetOp {
    NetOp::new(Place::Host, Change::Del(object))
}

pub(crate) async fn a_pods_endpoint_is_seen_with_its_sandbox_and_addresses(machine: &dyn Machine) {
    ready(machine).await;
    assert_eq!(machine.net().endpoints().await.expect("seen"), []);
    for n in [6, 5] {
        machine.add_pod(&pod(n, ENI)).expect("built");
    }
    let endpoints = machine.net().endpoints().await.expect("seen");
    assert!(endpoints.is_sorted_by_key(|endpoint| endpoint.link.clone()));
    assert_eq!(endpoints.len(), 2);
    for n in [5, 6] {
        let pod = pod(n, ENI);
        let link = name::host_veth_name(&pod.pod, &pod.ifname);
        let endpoint = endpoints.iter().find(|endpoint| endpoint.link == link).expect("by its name");
        assert_eq!(endpoint.container.as_ref(), Some(&pod.container));
        assert_eq!(endpoint.addresses, pod.ips.iter().collect::<Vec<_>>());
    }
}

pub(crate) async fn a_new_pod_lacks_nothing_and_each_loss_is_found_and_mended(machine: &dyn Machine) {
    ready(machine).await;
    let before = machine.host();
    let pods = [pod(5, ENI), pod(6, ENI)];
    for pod in &pods {
        machine.add_pod(pod).expect("built");
    }
    assert_eq!(machine.net().lacking(&pods).await.expect("seen"), [] as [usize; 0]);
    let whole = machine.host();
    let link = name::host_veth_name(&pods[1].pod, "eth0");
    let its = whole.objects().filter(|object| match object {
        Object::Rule(rule) => pods[1].ips.iter().any(|ip| rule.select.net().addr() == ip),
        object => object.dev() == Some(&link),
    });
    let mut losses: Vec<NetOp> = its.filter(|object| !before.has(object)).map(del).collect();
    assert_eq!(losses.len(), 8, "a neighbour, a route and two rules of each family: {losses:?}");
    losses.push(NetOp::new(Place::Host, Change::SetUp { dev: link, up: false }));
    for loss in losses {
        machine.tamper(&loss).expect("done");
        assert_eq!(machine.net().lacking(&pods).await.expect("seen"), [1], "after {loss}");
        let done = machine.net().repair(&pods[1..]).await.expect("seen");
        assert!(
            done.objects.contains(&loss.change.kind()) && done.refused.is_empty(),
            "after {loss}: {done:?}"
        );
        assert_eq!(machine.host(), whole, "after {loss}");
        assert_eq!(machine.net().lacking(&pods).await.expect("seen"), [] as [usize; 0], "after {loss}");
    }
}

pub(crate) async fn a_pod_whose_eni_has_left_is_told_and_the_others_are_mended(machine: &dyn Machine) {
    ready(machine).await;
    machine.plug(OTHER);
    machine.net().set_up(&nic(OTHER)).await.expect("there");
    let pods = [pod(5, OTHER), pod(6, ENI)];
    for pod in &pods {
        machine.add_pod(pod).expect("built");
    }
    machine.unplug(OTHER);
    let rule = machine.host().rules.into_iter().find(|rule| rule.select.net().addr() == pods[1].ips.v4);
    machine.tamper(&del(Object::Rule(rule.expect("there")))).expect("removed");
    assert_eq!(machine.net().lacking(&pods).await.expect("seen"), [0, 1]);
    let done = machine.net().repair(&pods).await.expect("seen");
    assert_eq!(done.objects, ["rule"]);
    assert!(done.refused.len() == 1 && done.refused[0].contains("default/pod-5"), "{done:?}");
}

pub(crate) async fn a_pod_whose_sandbox_is_gone_is_not_mended(machine: &dyn Machine) {
    ready(machine).await;
    let pods = [pod(5, ENI)];
    machine.add_pod(&pods[0]).expect("built");
    machine.remove_sandbox(&pods[0].container);
    assert_eq!(machine.net().lacking(&pods).await.expect("seen"), [] as [usize; 0]);
    let done = machine.net().repair(&pods).await.expect("seen");
    assert!(done.objects.is_empty() && done.refused.is_empty(), "{done:?}");
    assert_eq!(machine.net().endpoints().await.expect("seen"), [], "its link went with it");
}

/// Rules that are like ours and not ours.
fn foreign() -> [Rule; 3] {
    let net = |text: &str| text.parse().expect("a block");
    [
        Rule { priority: 512, select: Select::To(net("10.0.1.99/32")), table: 254 },
        Rule { priority: 512, select: Select::To(net("10.0.1.0/24")), table: 254 },
        Rule { priority: 513, select: Select::To(net("10.0.1.5/32")), table: 254 },
    ]
}

pub(crate) async fn what_belongs_to_nobody_goes_and_what_is_foreign_stays(machine: &dyn Machine) {
    ready(machine).await;
    for rule in foreign() {
        let add = NetOp::new(Place::Host, Change::Add(Object::Rule(rule)));
        machine.tamper(&add).expect("added");
    }
    let before = machine.host();
    let (dead, live) = (pod(5, ENI), pod(6, ENI));
    machine.add_pod(&live).expect("built");
    let with_live = machine.host();
    machine.add_pod(&dead).expect("built");
    let all = [&dead, &live];
    let kept = machine.net().sweep(&|| owners(&all, &all)).await.expect("seen");
    assert!(kept.objects.is_empty(), "all are owned: {kept:?}");
    let swept = machine.net().sweep(&|| owners(&[&live], &all)).await.expect("seen");
    assert!(swept.refused.is_empty(), "{swept:?}");
    // The plugin replaced the foreign rule for the dead pod's address, as rules of any priority are in its way.
    let gone = |side: Side| Side { rules: Default::default(), sysctls: Default::default(), ..side };
    assert_eq!(gone(machine.host()), gone(with_live));
    let rules: Vec<Rule> = machine.host().rules.into_iter().collect();
    for rule in foreign().into_iter().filter(|rule| rule.priority == 512) {
        assert!(rules.contains(&rule), "{rule} is foreign: {rules:?}");
    }
    assert!(
        !rules
            .iter()
            .any(|rule| rule.priority != 513 && dead.ips.iter().any(|ip| rule.select.net() == ip.into())),
        "{rules:?}"
    );
    let swept = machine.net().sweep(&|| owners(&[], &all)).await.expect("seen");
    assert!(!swept.objects.is_empty());
    assert_eq!(machine.host().links, before.links);
}

pub(crate) async fn owners_are_asked_for_after_the_look(machine: &dyn Machine) {
    ready(machine).await;
    let late = pod(5, ENI);
    let asked = AtomicBool::new(false);
    // An ADD that is begun and done while the sweep is at work: on record before anything of it is there.
    let owners = || {
        asked.store(true, Ordering::Relaxed);
        Owners::default()
    };
    machine.add_pod(&late).expect("built");
    let swept = machine.net().sweep(&owners).await.expect("seen");
    assert!(asked.load(Ordering::Relaxed));
    assert!(!swept.objects.is_empty(), "nobody owns it");
}

pub(crate) async fn a_second_interface_of_a_sandbox_is_refused_and_the_first_is_untouched(
    machine: &dyn Machine,
) {
    ready(machine).await;
    machine.add_pod(&pod(5, ENI)).expect("built");
    let before = machine.host();
    let error = machine.add_pod(&pod(5, ENI)).expect_err("there already");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
    assert_eq!(machine.host(), before);
}

pub(crate) async fn a_change_by_hand_is_noticed(machine: &dyn Machine) {
    ready(machine).await;
    machine.add_pod(&pod(5, ENI)).expect("built");
    // What we did ourselves is noticed too; until nothing more comes.
    while timeout(Duration::from_millis(300), machine.net().drifted()).await.is_ok() {}
    let rule = machine.host().rules.into_iter().find(|rule| rule.select.net().addr() == pod(5, ENI).ips.v4);
    machine.tamper(&del(Object::Rule(rule.expect("there")))).expect("removed");
    timeout(SOON, machine.net().drifted()).await.expect("noticed");
}
