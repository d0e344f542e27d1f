//! How much is asked for: once, and never less because more are waiting.

use proptest::prelude::*;
use terway_core::address::{AddressCount, Grain};

use super::{
    super::{Plan, plan::PoolAction},
    draw::{grows, play, setup, steps},
};

/// Addresses that a plan asks for, by kind.
fn asked(plan: &Plan) -> AddressCount {
    let mut sum = AddressCount::default();
    for action in &plan.actions {
        if let PoolAction::Create { count, .. } | PoolAction::Assign { count, .. } = action {
            sum.v4 += count.v4;
            sum.v6 += count.v6;
            sum.prefixes += count.prefixes;
        }
    }
    sum
}

proptest! {
    #[test]
    fn demand_is_counted_once(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            if !plan.actions.iter().any(grows) {
                return Ok(());
            }
            let (min, _, _) = node.pool.policy.bounds(&node.pool.capacity);
            let lot = if node.pool.capacity.grain == Grain::Prefix { 16 } else { 1 };
            let wanted = node.waiting + min;
            // What is stuck may never come, so it is ordered anew.
            let have = node.pool.idle() + node.coming();
            let ordered = node.ordered(plan);
            prop_assert!(
                have + ordered < wanted + lot,
                "{} at hand or on order, {} more ordered, for {} waiting and a minimum of {}",
                have, ordered, node.waiting, min
            );
            Ok(())
        })?;
    }

    #[test]
    fn no_family_is_asked_for_beyond_demand(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let (min, _, _) = node.pool.policy.bounds(&node.pool.capacity);
            let need = (node.waiting + min).saturating_sub(node.pool.idle() + node.coming());
            let asked = asked(plan);
            if node.pool.capacity.grain == Grain::Address {
                prop_assert!(asked.v4.max(asked.v6) <= need, "{:?} for {}", asked, need);
            } else {
                prop_assert!(asked.prefixes <= need.div_ceil(16), "{:?} for {}", asked, need);
            }
            Ok(())
        })?;
    }

    #[test]
    fn more_waiters_never_mean_fewer_addresses(setup in setup(), steps in steps(), more in 1..200_u32) {
        play(&setup, &steps, |node, plan| {
            let (few, many) = (asked(plan), asked(&node.plan_for(node.waiting + more)));
            prop_assert!(few.v4 <= many.v4 && few.v6 <= many.v6 && few.prefixes <= many.prefixes,
                "{:?} for {}, {:?} for {} more", few, node.waiting, many, more);
            Ok(())
        })?;
    }

    #[test]
    fn the_first_pods_of_an_empty_node_are_ordered_at_once(setup in setup(), pods in 1..60_u32) {
        let mut node = setup.node();
        node.waiting = pods;
        let plan = node.plan();
        let capacity = node.pool.capacity;
        // One call creates an ENI with at most 50 addresses or 10 prefixes.
        let per_create = match capacity.grain {
            Grain::Address => capacity.per_eni.min(50),
            Grain::Prefix => capacity.per_eni.min(10) * 16,
        };
        let enis = capacity.max_enis.min(node.pool.policy.parallel_enis);
        prop_assert!(node.ordered(&plan) >= pods.min(enis * per_create));
        node.start(plan);
        // While that is on its way nothing more is ordered for the same pods.
        let again = node.plan();
        prop_assert!(again.actions.is_empty(), "{:?}", again.actions);
    }
}
