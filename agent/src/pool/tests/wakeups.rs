//! When the planner asks to be woken: in time, and not for nothing.

use proptest::prelude::*;

use terway_core::address::{Grain, Stack};

use super::{
    draw::{play, setup, steps},
    node::{Node, Outcome, Step, empty},
};

/// A node whose only ENI slot holds an ENI in `vsw-1` with addresses for two pods, both taken.
fn full_of_two() -> Node {
    let mut node = empty(Grain::Address, Stack::Ipv4);
    node.pool.capacity.max_enis = 1;
    node.pool.vswitches.replace(vec!["vsw-1".into()]);
    node.waiting = 2;
    let plan = node.plan();
    node.start(plan);
    while let Some(call) = node.calls.pop() {
        node.end(call, Outcome::Done);
    }
    node.settle();
    assert_eq!((node.waiting, node.pods.len()), (0, 2));
    node
}

#[test]
fn a_vswitch_whose_wait_is_over_does_not_hide_that_anothers_ends_later() {
    let mut node = full_of_two();
    node.pool.vswitches.replace(vec!["vsw-0".into(), "vsw-1".into()]);
    node.pool.policy.min_pool = 1;
    node.pool.policy.replenish_threshold = 1;
    node.pool.vswitches.exhausted(&"vsw-0".into(), node.now);
    node.step(Step::Pass(15_000));
    node.pool.vswitches.exhausted(&"vsw-1".into(), node.now);
    node.settle();
    let plan = node.plan();
    assert_eq!(plan.actions, [], "the ENI's own vSwitch is set aside, and no other ENI fits");
    assert_eq!(plan.wake_at, Some(node.now + std::time::Duration::from_secs(15)));
}

#[test]
fn the_end_of_a_rest_that_makes_a_surplus_wakes_the_planner() {
    let mut node = full_of_two();
    node.pool.policy.max_pool = 0;
    node.step(Step::Leave(0));
    node.step(Step::Leave(0));
    node.settle();
    assert_eq!(node.plan().wake_at, node.pool.next_cooled());
    node.now = node.pool.next_cooled().expect("they rest");
    node.settle();
    node.now = node.plan().wake_at.expect("the surplus is held for a while");
    node.settle();
    let eni = node.pool.enis.keys().next().cloned().expect("one");
    assert_eq!(node.plan().actions, [super::super::PoolAction::Remove { eni }]);
}

proptest! {
    #[test]
    fn a_pool_that_can_do_nothing_does_not_spin(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            if !plan.actions.is_empty() || plan.refuse.is_some() {
                return Ok(());
            }
            // Nothing happens but time: one wake-up may find nothing, ten within a second are a spin.
            let begun = node.now;
            let mut at = plan.wake_at;
            for _ in 0..10 {
                let Some(now) = at else { return Ok(()) };
                prop_assert!(now > begun);
                let next = super::super::plan(&node.pool, node.waiting, now, 0);
                if !next.actions.is_empty() || next.refuse.is_some() {
                    return Ok(());
                }
                at = next.wake_at;
            }
            prop_assert!(
                at.is_none_or(|at| at >= begun + std::time::Duration::from_secs(1)),
                "woken ten times within a second"
            );
            Ok(())
        })?;
    }
}
