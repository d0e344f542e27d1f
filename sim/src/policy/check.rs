//! Flows asked of a node's maps and of the reference.
//!
//! A question is about a pod, the other side, and a port. For the reference the cluster is cut down to what the question
//! can depend on: all policies and namespaces, the pod, and whoever has the other address.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod as PodObject;
use terway_chaos::draw as chance;
use terway_core::id::ContainerId;
use terway_dataplane::{name, state::Hook};
use terway_policy::{
    layout::{EGRESS, ENDPOINT_LOCKED, Endpoint, INGRESS, addr_of},
    manifest,
    maps::Maps as _,
    model::{Direction, Name, Pod, Snapshot},
    reference::{Question, judge},
    verdict::classify,
};

use super::{draw::PORTS, law::Law};
use crate::{node::SimNode, oracle::Sandbox, world::World};

/// Somebody outside of the cluster.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// Interface of a pod.
const IFNAME: &str = "eth0";

/// A flow as it is asked.
struct Asked {
    direction: Direction,
    remote: IpAddr,
    protocol: u8,
    port: u16,
}

/// What is asked about a pod: drawn, and the same for the same pod and number.
fn questions(world: &World, law: &Law, pod: &str, salt: u64) -> Vec<Asked> {
    let mut rng = chance::stream(world.seed, "flows", &format!("{pod}#{salt}"));
    let mut asked = Vec::new();
    for number in 0..law.spec.flows {
        let remote = match world.oracle.some_sandbox(&mut rng) {
            Some(peer) if number % 5 != 4 => peer.ips.first().copied().unwrap_or(OUTSIDE),
            _ => OUTSIDE,
        };
        let port = PORTS[chance::between(&mut rng, 0, PORTS.len() as u64 - 1) as usize];
        let (protocol, port) = match chance::between(&mut rng, 0, 9) {
            0 => (1, 0),
            1 => (132, port),
            2 | 3 => (17, port),
            _ => (6, port),
        };
        let direction = if chance::unit(&mut rng) < 0.5 { Direction::Ingress } else { Direction::Egress };
        asked.push(Asked { direction, remote, protocol, port });
    }
    asked
}

/// A pod as the API server has it.
fn pod(world: &World, namespace: &str, name: &str) -> Option<Pod> {
    let object = world.api.pod(namespace, name)?;
    let object: PodObject = serde_json::from_slice(&object.json).ok()?;
    manifest::pod(&object).ok()
}

/// Who has an address, with it: the API server may not show it yet where the pod's node knows it already.
fn peer(world: &World, ip: IpAddr) -> Option<Pod> {
    let sandbox = world.oracle.sandbox_at(ip)?;
    let mut pod = pod(world, &sandbox.pod.namespace, &sandbox.pod.name)?;
    if pod.uid != sandbox.uid.as_str() {
        return None;
    }
    pod.ips = sandbox.ips;
    Some(pod)
}

/// The host link of a pod: its index, and whether both programs are on it.
fn link(node: &SimNode, sandbox: &Sandbox) -> Option<(u32, bool)> {
    let dev = name::host_veth_name(&sandbox.pod, IFNAME);
    node.host.look(|kernel| {
        let host = kernel.host();
        let index = host.links.get(&dev)?.index;
        let has = |hook: Hook| host.programs.iter().any(|program| program.dev == dev && program.hook == hook);
        Some((index, Hook::POD.into_iter().all(has)))
    })
}

fn asked_of_maps(node: &SimNode, endpoint: &Endpoint, asked: &Asked) -> bool {
    let direction = if asked.direction == Direction::Ingress { INGRESS } else { EGRESS };
    let memory = node.maps.memory();
    let remote = addr_of(asked.remote);
    classify(&*memory, endpoint, direction, &remote, asked.protocol, asked.port).reason.passes()
}

fn asked_of_reference(state: &Snapshot, subject: &Name, asked: &Asked) -> bool {
    let Asked { direction, remote, protocol, port } = *asked;
    judge(state, &Question { pod: subject, direction, remote, protocol, port }).allowed()
}

fn told(asked: &Asked) -> String {
    format!("{} {} protocol {} port {}", asked.direction, asked.remote, asked.protocol, asked.port)
}

/// What is wrong with the policy of the pods of a node, once nothing happens any more: I11 and I12.
pub(crate) fn disagreements(world: &World, node: &SimNode) -> Vec<String> {
    let Some(law) = world.law.as_ref().filter(|_| node.enforces) else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut state = law.now();
    for (_, sandbox) in world.oracle.on_node(&node.name) {
        // Its object may be gone: it is on its way out.
        let Some(subject) = pod(world, &sandbox.pod.namespace, &sandbox.pod.name) else { continue };
        if subject.uid != sandbox.uid.as_str() {
            continue;
        }
        let Some((index, guarded)) = link(node, &sandbox) else { continue };
        if !guarded {
            wrong.push(format!("the link of pod {} lacks a program", sandbox.pod));
        }
        let Some(endpoint) = node.maps.memory().endpoint(index).copied() else {
            wrong.push(format!("pod {} has no endpoint for its link {index}", sandbox.pod));
            continue;
        };
        if endpoint.flags & ENDPOINT_LOCKED != 0 {
            wrong.push(format!("pod {} is locked", sandbox.pod));
            continue;
        }
        let name = subject.name.clone();
        state.pods.insert(name.clone(), subject);
        for asked in questions(world, law, &sandbox.pod.to_string(), 0) {
            let other = peer(world, asked.remote).filter(|other| other.name != name);
            let other_name = other.as_ref().map(|other| other.name.clone());
            if let Some(other) = other {
                state.pods.insert(other.name.clone(), other);
            }
            law.compared.fetch_add(1, Relaxed);
            let (maps, reference) =
                (asked_of_maps(node, &endpoint, &asked), asked_of_reference(&state, &name, &asked));
            if maps != reference && !sandbox.ips.contains(&asked.remote) {
                wrong.push(format!(
                    "pod {}: {}: the maps {}, the reference {}",
                    sandbox.pod,
                    told(&asked),
                    said(maps),
                    said(reference)
                ));
            }
            if let Some(other) = other_name {
                state.pods.remove(&other);
            }
        }
        state.pods.remove(&name);
    }
    wrong
}

fn said(allowed: bool) -> &'static str {
    if allowed { "allow it" } else { "deny it" }
}

/// Flows of a pod that has just got its network, or has had it for a while, that pass although nothing that its node can
/// have handled allows them: I13. Where it is not governed at all, that alone.
pub(crate) fn more_open(world: &World, node: &SimNode, container: &ContainerId, salt: u64) -> Vec<String> {
    let Some(law) = world.law.as_ref().filter(|_| node.enforces) else { return Vec::new() };
    let now = world.trace.now();
    let sandboxes = world.oracle.on_node(&node.name);
    let Some((_, sandbox)) = sandboxes.into_iter().find(|(id, _)| id == container) else { return Vec::new() };
    law.starts.fetch_add(1, Relaxed);
    let Some((index, guarded)) = link(node, &sandbox) else { return Vec::new() };
    if !guarded {
        return vec![format!("the link of pod {} is up and lacks a program", sandbox.pod)];
    }
    let Some(endpoint) = node.maps.memory().endpoint(index).copied() else {
        // Nothing passes a link without an endpoint.
        return Vec::new();
    };
    let Some(subject) = pod(world, &sandbox.pod.namespace, &sandbox.pod.name) else { return Vec::new() };
    if subject.uid != sandbox.uid.as_str() {
        return Vec::new();
    }
    if world.api_faulty() {
        law.note_trouble(now);
    }
    let since = law.handled_since(now);
    let mut states: Option<Vec<Snapshot>> = None;
    let mut wrong = Vec::new();
    for asked in questions(world, law, &sandbox.pod.to_string(), salt) {
        law.compared.fetch_add(1, Relaxed);
        if sandbox.ips.contains(&asked.remote) || !asked_of_maps(node, &endpoint, &asked) {
            continue;
        }
        let states = states.get_or_insert_with(|| law.states(since));
        if !was_allowed(world, law, (states, since), &subject, &asked) {
            let detail = format!("pod {}: {} passes, and nothing allows it", sandbox.pod, told(&asked));
            wrong.push(detail);
        }
    }
    wrong
}

/// Whether the reference allows it under any policies and labels of the last while.
fn was_allowed(
    world: &World,
    law: &Law,
    (states, since): (&mut [Snapshot], Duration),
    subject: &Pod,
    asked: &Asked,
) -> bool {
    let variants = |pod: &Pod| {
        let mut all = vec![pod.clone()];
        for labels in law.former_labels(&pod.name, since) {
            let mut former = pod.clone();
            former.labels.extend(labels);
            all.push(former);
        }
        all
    };
    // An address of which the node does not know yet whose it is, is somebody's outside.
    let mut others: Vec<Option<Pod>> = vec![None];
    if let Some(other) = peer(world, asked.remote).filter(|other| other.name != subject.name) {
        others.extend(variants(&other).into_iter().map(Some));
    }
    let subjects = variants(subject);
    for state in states {
        for subject in &subjects {
            state.pods.insert(subject.name.clone(), subject.clone());
            for other in &others {
                if let Some(other) = other {
                    state.pods.insert(other.name.clone(), other.clone());
                }
                let allowed = asked_of_reference(state, &subject.name, asked);
                if let Some(other) = other {
                    state.pods.remove(&other.name);
                }
                if allowed {
                    state.pods.remove(&subject.name);
                    return true;
                }
            }
            state.pods.remove(&subject.name);
        }
    }
    false
}

/// Looks at a pod's policy from the moment that its network is up.
pub(crate) fn watch_start(world: &Arc<World>, node: &Arc<SimNode>, container: &ContainerId) {
    for wrong in more_open(world, node, container, 1) {
        let (at, name) = (world.trace.now(), Some(node.name.as_str()));
        world.oracle.breach(terway_chaos::InvariantId::I13, at, name, wrong);
    }
}
