//! Rows of STATUS and GC, and of agents that are not like ours.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::{Bed, Netns, Outcome, Sandbox};

fn status(bed: &Bed) -> Outcome {
    let started = Instant::now();
    let outcome = bed.plugin(&[("CNI_COMMAND", "STATUS")], &bed.config().to_string());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    outcome
}

pub(crate) fn status_bad() {
    let mut bed = Bed::new();
    bed.agent().state().exhausted = true;
    let words = status(&bed).failed(50).expect("exhausted");
    assert!(words.contains("vsw-1") && words.contains("0 idle"), "{words}");
    bed.agent().state().impaired = true;
    let words = status(&bed).failed(51).expect("running pods suffer");
    assert!(words.contains("3 pods") && words.contains("eni-1"), "{words}");
    bed.agent().state().deaf = true;
    let words = status(&bed).failed(50).expect("silent");
    assert!(words.contains("/rpc.TerwayNode/Status"), "{words}");
    bed.kill_agent();
    let words = status(&bed).failed(50).expect("down");
    assert!(words.contains("eni.socket"), "{words}");
}

pub(crate) fn status_recovers() {
    let mut bed = Bed::new();
    bed.kill_agent();
    status(&bed).failed(50).expect("down");
    bed.start_agent();
    status(&bed).silent().expect("up");
    bed.agent().state().exhausted = true;
    status(&bed).failed(50).expect("exhausted");
    bed.agent().state().exhausted = false;
    status(&bed).silent().expect("replenished");
}

pub(crate) fn status_beside_add() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    bed.agent().state().slow = Duration::from_millis(1500);
    thread::scope(|scope| {
        let add = scope.spawn(|| bed.add(&sandbox));
        while !bed.agent().state().is_allocating("c1") {
            thread::yield_now();
        }
        status(&bed).silent().expect("at once");
        assert!(bed.agent().state().is_allocating("c1"), "the ADD is still under way");
        add.join().expect("added");
    });
}

/// Collects with this list, or without one.
fn gc(bed: &Bed, list: Option<Value>) -> Outcome {
    let mut config = bed.config();
    if let Some(list) = list {
        config["cni.dev/valid-attachments"] = list;
    }
    bed.plugin(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "/opt/cni/bin")], &config.to_string())
}

/// Sandboxes `c0`, `c1`, `c2`; and `other` of another network.
fn populated() -> (Bed, Vec<Netns>) {
    let bed = Bed::new();
    let pods: Vec<Netns> = (0..4).map(|_| Netns::new()).collect();
    for (index, pod) in pods.iter().take(3).enumerate() {
        bed.add(&Sandbox::new(&format!("web-{index}"), &format!("c{index}"), &pod.path()));
    }
    let mut config = bed.config();
    config["name"] = json!("second");
    assert_eq!(bed.verb("ADD", &Sandbox::new("other", "other", &pods[3].path()), &config).code, 0);
    (bed, pods)
}

fn kept(bed: &Bed) -> Vec<String> {
    bed.agent().state().records.keys().cloned().collect()
}

fn one() -> Value {
    json!([{"containerID": "c1", "ifname": "eth0"}])
}

pub(crate) fn gc_unlisted() {
    let (bed, _pods) = populated();
    gc(&bed, Some(one())).silent().expect("collected");
    assert_eq!(kept(&bed), ["c1", "other"]);
}

pub(crate) fn gc_all() {
    let (bed, _pods) = populated();
    gc(&bed, Some(json!([]))).silent().expect("collected");
    assert_eq!(kept(&bed), ["other"]);
}

pub(crate) fn gc_nothing() {
    let (bed, _pods) = populated();
    for list in [None, Some(Value::Null)] {
        let words = gc(&bed, list).failed(7).expect("refused");
        assert!(words.contains("cni.dev/valid-attachments"), "{words}");
    }
    assert_eq!(kept(&bed).len(), 4);
}

pub(crate) fn gc_again() {
    let (bed, _pods) = populated();
    for _ in 0..2 {
        gc(&bed, Some(one())).silent().expect("collected");
        assert_eq!(kept(&bed), ["c1", "other"]);
    }
    bed.agent().state().exhausted = true;
    let words = gc(&bed, Some(json!([]))).failed(11).expect("some could not be");
    assert!(words.contains("eni-1: busy") && words.contains("eni-2: busy"), "all of them: {words}");
    assert_eq!(kept(&bed), ["other"], "what could be freed was");
}

pub(crate) fn gc_beside_add() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    // The plugin has started and waits for its list; an ADD goes by; the list does not know of it.
    let list = {
        let mut config = bed.config();
        config["cni.dev/valid-attachments"] = json!([]);
        config.to_string()
    };
    let outcome = bed.plugin_after(&[("CNI_COMMAND", "GC")], &list, || {
        bed.add(&sandbox);
    });
    outcome.silent().expect("collected");
    assert_eq!(kept(&bed), ["c1"]);
}

pub(crate) fn original_agent() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    bed.agent().state().original = true;
    let result = bed.add(&sandbox);
    bed.verb("CHECK", &sandbox, &bed.after(&result)).silent().expect("as it was made");
    status(&bed).silent().expect("it answers, so it serves");
    let words = gc(&bed, Some(json!([]))).failed(11).expect("it has no such call");
    assert!(words.contains("Collect"), "{words}");
    bed.verb("DEL", &sandbox, &bed.after(&result)).silent().expect("deleted");
    assert_eq!(bed.residue(), clean);
}
