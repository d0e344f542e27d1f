//! Random nodes and random histories.

use std::time::Duration;

use proptest::prelude::*;
use terway_core::{
    address::{Grain, Stack},
    config::{EniSelection, PoolPolicy, Reclaim, VSwitchSelection},
    limits::NodeCapacity,
};

use super::{
    super::{Plan, plan::PoolAction},
    node::{Node, Outcome, Step},
};

/// What a node starts with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    capacity: NodeCapacity,
    policy: PoolPolicy,
    vswitches: u32,
}

impl Setup {
    pub(super) fn node(&self) -> Node {
        Node::new(self.capacity, self.policy.clone(), self.vswitches)
    }
}

/// A capacity and a policy that fits it.
pub(super) fn setup() -> impl Strategy<Value = Setup> {
    let shape = prop_oneof![
        (Just((Grain::Address, Stack::Ipv4)), 2..60_u32),
        (Just((Grain::Address, Stack::Dual)), 2..40_u32),
        (Just((Grain::Prefix, Stack::Ipv4)), 1..15_u32),
    ];
    let levels = (0..30_u32, 0..40_u32, 0..30_u32, 0..2_u32);
    let pace = (1..5_u32, 0..300_u64, prop_oneof![Just(0), Just(20), Just(130)]);
    let reclaim = proptest::option::weighted(0.3, (1..20_u32, 1..300_u64));
    let choices = (any::<bool>(), any::<bool>(), 1..4_u32);
    (shape, 1..6_u32, levels, pace, reclaim, choices).prop_map(
        |(((grain, stack), per_eni), max_enis, levels, pace, reclaim, choices)| Setup {
            capacity: NodeCapacity { max_enis, per_eni, grain, stack },
            policy: PoolPolicy {
                min_pool: levels.0,
                max_pool: levels.0 + levels.1,
                replenish_threshold: levels.2,
                min_eni: levels.3,
                max_eni: 0,
                eni_cap_ratio: 1.0,
                eni_cap_shift: 0,
                max_ips_per_eni: 0,
                parallel_enis: pace.0,
                surplus_hold: Duration::from_secs(pace.1),
                cooldown: Duration::from_secs(pace.2),
                reclaim: reclaim.map(|(batch, seconds)| Reclaim {
                    after: Duration::from_secs(seconds * 2),
                    interval: Duration::from_secs(seconds),
                    batch,
                    jitter: 0.0,
                }),
                eni_selection: if choices.0 { EniSelection::MostIps } else { EniSelection::LeastIps },
                vswitch_selection: if choices.1 {
                    VSwitchSelection::Random
                } else {
                    VSwitchSelection::Ordered
                },
                stack,
                grain,
            },
            vswitches: choices.2,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        10 => Just(Outcome::Done),
        2 => (0..10_u32).prop_map(Outcome::Partial),
        2 => Just(Outcome::Exhausted),
        1 => Just(Outcome::Quota),
        1 => Just(Outcome::Denied),
        1 => Just(Outcome::Conflict),
    ]
}

/// A history.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..40_u32).prop_map(Step::Arrive),
        5 => any::<usize>().prop_map(Step::Leave),
        1 => (1..40_u32).prop_map(Step::HangUp),
        2 => (100..1000_u64).prop_map(Step::Pass),
        4 => (1000..200_000_u64).prop_map(Step::Pass),
        12 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::End(which, outcome)),
        1 => any::<usize>().prop_map(Step::Blink),
        1 => any::<usize>().prop_map(Step::Lose),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Plays a history and shows each plan, with the node that it is made for, before it is started.
pub(super) fn play(
    setup: &Setup,
    steps: &[Step],
    mut check: impl FnMut(&Node, &Plan) -> Result<(), TestCaseError>,
) -> Result<Node, TestCaseError> {
    let mut node = setup.node();
    for step in steps {
        node.step(*step);
        node.settle();
        let plan = node.plan();
        check(&node, &plan)?;
        node.start(plan);
    }
    Ok(node)
}

/// Whether an action asks for addresses.
pub(super) fn grows(action: &PoolAction) -> bool {
    matches!(action, PoolAction::Create { .. } | PoolAction::Assign { .. })
}

/// Whether an action gives addresses back.
pub(super) fn shrinks(action: &PoolAction) -> bool {
    !grows(action)
}
