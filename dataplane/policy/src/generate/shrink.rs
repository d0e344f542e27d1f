//! What is left of a cluster that shows a difference.

use crate::model::{Peer, Selector, Snapshot};

/// Removes from a cluster what it can while `fails` still holds: objects, then rules and parts of them. `fails` holds
/// for the cluster as it is given.
pub fn shrink(snapshot: &Snapshot, mut fails: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut best = snapshot.clone();
    loop {
        let before = best.clone();
        for cut in CUTS {
            let mut at = 0;
            // What is cut leaves its index to the next.
            loop {
                let mut smaller = best.clone();
                match cut(&mut smaller, at) {
                    Cut::End => break,
                    Cut::Done if fails(&smaller) => best = smaller,
                    Cut::Done | Cut::Nothing => at += 1,
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

/// What became of a part by its index.
#[derive(PartialEq, Eq)]
enum Cut {
    /// It is gone.
    Done,
    /// It is there, and was as small as it can be.
    Nothing,
    /// There are no more.
    End,
}

/// Ways to make a cluster smaller, the coarse ones first.
const CUTS: [fn(&mut Snapshot, usize) -> Cut; 7] = [
    |s, at| nth_key(&mut s.policies, at),
    |s, at| nth_key(&mut s.cluster_policies, at),
    |s, at| nth_key(&mut s.pods, at),
    |s, at| unused_namespace(s, at),
    |s, at| from_lists(at, &mut s.policies.values_mut().flat_map(|p| [&mut p.ingress, &mut p.egress])),
    |s, at| {
        from_lists(at, &mut s.cluster_policies.values_mut().flat_map(|p| [&mut p.ingress, &mut p.egress]))
    },
    part,
];

fn nth_key<K: Ord + Clone, V>(map: &mut std::collections::BTreeMap<K, V>, at: usize) -> Cut {
    let Some(key) = map.keys().nth(at).cloned() else { return Cut::End };
    map.remove(&key);
    Cut::Done
}

fn unused_namespace(snapshot: &mut Snapshot, at: usize) -> Cut {
    let Some(name) = snapshot.namespaces.keys().nth(at).cloned() else { return Cut::End };
    if snapshot.pods.keys().any(|pod| pod.namespace == name) {
        return Cut::Nothing;
    }
    snapshot.namespaces.remove(&name);
    Cut::Done
}

/// Removes the item of an index, counted through all lists.
fn from_lists<'a, T: 'a>(mut at: usize, lists: &mut dyn Iterator<Item = &'a mut Vec<T>>) -> Cut {
    for list in lists {
        if at < list.len() {
            list.remove(at);
            return Cut::Done;
        }
        at -= list.len();
    }
    Cut::End
}

/// Removes a part of a rule, a selector or a pod.
fn part(snapshot: &mut Snapshot, mut at: usize) -> Cut {
    /// Takes an item out of a list, but the last where there must be one.
    fn take<T>(list: &mut Vec<T>, at: &mut usize, least: usize) -> Option<Cut> {
        if *at < list.len() {
            if list.len() <= least {
                return Some(Cut::Nothing);
            }
            list.remove(*at);
            return Some(Cut::Done);
        }
        *at -= list.len();
        None
    }
    fn narrow(selector: &mut Selector, at: &mut usize) -> Option<Cut> {
        if let Some(key) = selector.equal.keys().nth(*at).cloned() {
            selector.equal.remove(&key);
            return Some(Cut::Done);
        }
        *at -= selector.equal.len();
        take(&mut selector.expressions, at, 0)
    }
    fn try_part(snapshot: &mut Snapshot, at: &mut usize) -> Option<Cut> {
        for policy in snapshot.policies.values_mut() {
            if let Some(cut) = narrow(&mut policy.selector, at) {
                return Some(cut);
            }
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                // Without the last peer or port the rule would be a wide one: another, not a smaller.
                let lists = take(&mut rule.peers, at, 1).or_else(|| take(&mut rule.ports, at, 1));
                if lists.is_some() {
                    return lists;
                }
                for peer in &mut rule.peers {
                    let cut = match peer {
                        Peer::Pods { namespaces, pods } => {
                            let mut both = namespaces.iter_mut().chain(pods);
                            both.find_map(|selector| narrow(selector, at))
                        }
                        Peer::Block { except, .. } => take(except, at, 0),
                        Peer::Unknown => None,
                    };
                    if cut.is_some() {
                        return cut;
                    }
                }
            }
        }
        for policy in snapshot.cluster_policies.values_mut() {
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                let lists = take(&mut rule.peers, at, 1).or_else(|| take(&mut rule.protocols, at, 1));
                if lists.is_some() {
                    return lists;
                }
            }
        }
        for pod in snapshot.pods.values_mut() {
            if let Some(key) = pod.labels.keys().nth(*at).cloned() {
                pod.labels.remove(&key);
                return Some(Cut::Done);
            }
            *at -= pod.labels.len();
            let lists = take(&mut pod.ports, at, 0).or_else(|| take(&mut pod.ips, at, 1));
            if lists.is_some() {
                return lists;
            }
        }
        None
    }
    try_part(snapshot, &mut at).unwrap_or(Cut::End)
}
