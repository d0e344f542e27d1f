//! Rows of DEL: it succeeds whatever is gone, and touches nothing that is another sandbox's.

use std::{path::Path, thread, time::Duration};

use serde_json::{Value, json};
use terway_rpc::{spool, wire::ReleaseIpRequest};

use crate::bed::{Bed, Netns, Sandbox};

/// ADD, then something is done to the sandbox, then DEL: nothing is left, and the address has gone back.
fn after(change: impl FnOnce(&mut Bed, Netns, &mut Sandbox, &Value) -> Option<Netns>, with_result: bool) {
    let (mut bed, pod) = (Bed::new(), Netns::new());
    let clean = bed.residue();
    let mut sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    assert_ne!(bed.residue(), clean, "there is something to be taken down");
    let pod = change(&mut bed, pod, &mut sandbox, &result);
    let config = if with_result { bed.after(&result) } else { bed.config() };
    bed.verb("DEL", &sandbox, &config).silent().expect("deleted");
    assert_eq!(bed.residue(), clean);
    assert!(bed.agent().state().records.is_empty());
    if let Some(pod) = pod {
        assert!(!pod.run("ip -br link").contains("eth0"), "the pod's end is gone too");
    }
}

pub(crate) fn empty_netns() {
    after(
        |_, pod, sandbox, _| {
            sandbox.netns = "".into();
            Some(pod)
        },
        false,
    );
}

pub(crate) fn vanished_netns() {
    after(
        |_, pod, _, _| {
            drop(pod);
            None
        },
        true,
    );
}

pub(crate) fn no_namespace() {
    after(
        |bed, pod, sandbox, _| {
            sandbox.netns = bed.dir.path().join("file");
            std::fs::write(&sandbox.netns, "").expect("written");
            Some(pod)
        },
        true,
    );
}

pub(crate) fn no_interface() {
    after(
        |_, pod, _, _| {
            pod.run("ip link del eth0");
            Some(pod)
        },
        true,
    );
}

pub(crate) fn state_lost() {
    after(
        |bed, pod, _, _| {
            bed.agent().state().records.clear();
            Some(pod)
        },
        true,
    );
}

pub(crate) fn no_prev_result() {
    after(|_, pod, _, _| Some(pod), false);
}

pub(crate) fn again() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    bed.verb("DEL", &sandbox, &bed.config()).silent().expect("before any ADD");
    let config = bed.after(&bed.add(&sandbox));
    for _ in 0..2 {
        bed.verb("DEL", &sandbox, &config).silent().expect("and again");
    }
    assert_eq!(bed.residue(), clean);
}

pub(crate) fn stale() {
    // Another pod has the address by now: the agent knows nothing of the old sandbox.
    let (bed, old, new) = (Bed::new(), Netns::new(), Netns::new());
    let old = Sandbox::new("old", "c1", &old.path());
    let first = bed.add(&old);
    bed.agent().state().forget();
    bed.verb("DEL", &old, &bed.after(&first)).silent().expect("deleted");
    let owner = Sandbox::new("new", "c2", &new.path());
    let second = bed.add(&owner);
    assert_eq!(first["ips"], second["ips"], "the address was used again");
    for netns in [&*old.netns, Path::new(""), Path::new("/nowhere")] {
        let late = Sandbox { netns: netns.into(), ..old.clone() };
        bed.verb("DEL", &late, &bed.after(&first)).silent().expect("deleted once more");
        bed.verb("CHECK", &owner, &bed.after(&second)).silent().expect("the owner has all that it had");
    }
    assert_eq!(bed.agent().state().records.len(), 1);
}

pub(crate) fn racing() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    bed.agent().state().slow = Duration::from_millis(50);
    // Slow at the kernel as well, so that the DEL has the time to pass between address and links.
    let trace = bed.dir.path().join("trace").display().to_string();
    let options = ["-f", "-o", &trace, "-e", "inject=sendto,sendmsg:delay_enter=50000"];
    thread::scope(|scope| {
        let add = scope.spawn(|| bed.traced(&options, "ADD", &sandbox));
        while !bed.agent().state().is_allocating("c1") {
            thread::yield_now();
        }
        bed.verb("DEL", &sandbox, &bed.config()).silent().expect("deleted");
        assert_eq!(add.join().expect("ended").code, 0, "the ADD came first");
    });
    assert_eq!(bed.residue(), clean);
    assert!(!pod.run("ip -br link").contains("eth0"));
    assert!(bed.agent().state().records.is_empty());
}

pub(crate) fn spooled() {
    let (mut bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let result = bed.add(&sandbox);
    let folder = spool::folder(&bed.socket());
    let deaf = |bed: &Bed| bed.agent().state().deaf = true;
    let dead = |bed: &mut Bed| bed.kill_agent();
    dead(&mut bed);
    for _ in 0..2 {
        bed.verb("DEL", &sandbox, &bed.after(&result)).silent().expect("deleted without the agent");
    }
    assert_eq!(bed.residue(), clean, "the kernel's part does not wait");
    let held = spool::list(&folder).expect("a folder");
    assert_eq!(held.len(), 1, "the same release, once: {held:?}");
    let pending = held[0].release.as_ref().expect("whole").clone();
    let request = ReleaseIpRequest::from(pending);
    assert_eq!((&*request.container, &*request.network, &*request.ifname), ("c1", "terway", "eth0"));
    assert_eq!((&*request.pod_namespace, &*request.pod_name, &*request.pod_uid), ("default", "web", "u-1"));
    spool::done(&held[0].path).expect("removed");
    assert!(spool::list(&folder).expect("a folder").is_empty(), "replayed once");
    // An agent that hears and does not answer is as good as dead.
    bed.start_agent();
    deaf(&bed);
    bed.verb("DEL", &Sandbox::new("web", "c9", Path::new("")), &bed.config()).silent().expect("deleted");
    assert_eq!(spool::list(&folder).expect("a folder").len(), 1);
}

pub(crate) fn changed_configuration() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let mut config = bed.after(&bed.add(&sandbox));
    config["mtu"] = json!(9000);
    config["eniip_virtual_type"] = json!("IPVlan");
    config["host_stack_cidrs"] = json!("not a list");
    bed.verb("DEL", &sandbox, &config).silent().expect("deleted");
    assert_eq!(bed.residue(), clean);
    assert!(bed.agent().state().records.is_empty());
}
