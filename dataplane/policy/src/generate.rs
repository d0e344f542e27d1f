//! Random clusters and questions about them, for tests of whoever enforces policy. All words come from small
//! vocabularies, so that selectors hit, names clash and CIDRs nest; questions aim at what could matter.
//!
//! - `object`: strategies for objects
//! - `address`: addresses and CIDRs, good and bad
//! - `aim`: questions
//! - `shrink`: what is left of a cluster that shows a difference
//! - `large`: a realistic cluster of any size, for measurements
//! - `rng`: random numbers that a seed repeats

mod address;
mod aim;
mod large;
mod object;
mod rng;
mod shrink;

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

pub use self::{
    aim::{Aim, questions},
    large::large,
    object::{cluster_policy, policy},
    rng::SplitMix,
    shrink::shrink,
};
use crate::model::{Name, Pod, Snapshot};

/// Clusters with up to so many pods and NetworkPolicies, and half as many ClusterNetworkPolicies of both tiers.
pub fn snapshot(size: usize) -> impl Strategy<Value = Snapshot> {
    let size = size.max(1);
    (
        vec(object::namespace_labels(), object::NAMESPACES.len()),
        vec((object::pod(), 0..address::SLOTS), 1..=size),
        vec(policy(), 0..=size),
        vec(cluster_policy(), 0..=size.div_ceil(2)),
    )
        .prop_map(|(labels, pods, policies, cluster_policies)| {
            let mut snapshot = Snapshot::default();
            for (name, labels) in object::NAMESPACES.iter().zip(labels) {
                let namespace = object::namespace(name, labels);
                snapshot.namespaces.insert(namespace.name.clone(), namespace);
            }
            snapshot.pods = place(pods);
            snapshot.policies = policies.into_iter().map(|p| (p.name.clone(), p)).collect();
            snapshot.cluster_policies = cluster_policies.into_iter().map(|p| (p.name.clone(), p)).collect();
            snapshot
        })
}

/// Gives pods their addresses. No two that run have the same; one that has ended may list another's.
fn place(pods: Vec<(Pod, usize)>) -> BTreeMap<Name, Pod> {
    let mut placed = BTreeMap::new();
    for (pod, slot) in pods {
        placed.entry(pod.name.clone()).or_insert((pod, slot));
    }
    let mut taken = vec![false; address::SLOTS.max(placed.len())];
    for (pod, slot) in placed.values_mut() {
        if !pod.finished && !pod.host_network {
            while taken[*slot] {
                *slot = (*slot + 1) % taken.len();
            }
            taken[*slot] = true;
        }
        let families = pod.ips.len();
        pod.ips = if pod.host_network { address::of_node(*slot) } else { address::of_pod(*slot) };
        match families {
            0 => pod.ips.truncate(1),
            1 => drop(pod.ips.remove(0)),
            _ => {}
        }
    }
    placed.into_iter().map(|(name, (pod, _))| (name, pod)).collect()
}

/// The cluster of a seed: of the same strategies as [`snapshot`], and the same wherever the seed is used.
pub fn cluster(seed: u64, size: usize) -> Snapshot {
    let mut rng = SplitMix::new(seed);
    let bytes: Vec<u8> = (0..4).flat_map(|_| rng.next().to_le_bytes()).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = snapshot(size).new_tree(&mut runner).expect("no strategy here rejects anything");
    proptest::strategy::ValueTree::current(&tree)
}
