//! Under what a run takes place: switches of the node, flags of the pod, a change of policy under way.

use terway_policy::{
    generate::SplitMix,
    layout::{
        CONTROL_BLOCK_METADATA, CONTROL_KEEP_ESTABLISHED, CONTROL_NODE_CLOSED, CONTROL_TRACK,
        ENDPOINT_LOCKED, ENDPOINT_METADATA, ENDPOINT_ROUTER,
    },
};

use crate::bed::{Bed, MARK};

/// Numbers of rule sets that are not written: one with a place in the map, one without.
const UNWRITTEN: [u32; 2] = [4095, 1 << 20];

/// Draws a setting for the pod `web` and its node. Half of the time it is the plain one. Says which.
pub(crate) fn draw(bed: &mut Bed, rng: &mut SplitMix) -> String {
    let plain = rng.one_in(2);
    let mut some = |flag: u32, of: usize| if !plain && rng.one_in(of) { flag } else { 0 };
    let untracked = some(CONTROL_TRACK, 4);
    let switches = some(CONTROL_KEEP_ESTABLISHED, 3)
        | some(CONTROL_NODE_CLOSED, 3)
        | some(CONTROL_BLOCK_METADATA, 2)
        | CONTROL_TRACK ^ untracked;
    let pending = some(MARK, 2);
    let flags = some(ENDPOINT_ROUTER, 4) | some(ENDPOINT_METADATA, 3) | some(ENDPOINT_LOCKED, 8);
    let changing = some(1, 2) != 0;
    bed.control(|control| {
        control.flags = switches;
        control.pending_mark = pending;
    });
    let mut sets: Vec<u32> = bed.nodes[0].memory.rules.keys().copied().collect();
    sets.push(0);
    if rng.one_in(8) {
        sets.extend(UNWRITTEN);
    }
    let endpoint = bed.endpoint_mut("web");
    endpoint.flags = flags;
    endpoint.next = if changing { [*rng.pick(&sets), *rng.pick(&sets)] } else { [0; 2] };
    endpoint.next_view = endpoint.view;
    format!("switches {switches}, pending mark {pending}, {endpoint:?}")
}
