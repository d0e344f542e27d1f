//! That every waiter hears something, and that a pool left in peace comes to rest.

use proptest::prelude::*;
use terway_core::address::Grain;

use super::{
    super::{Phase, Plan, plan::WORTH_WAITING},
    draw::{grows, play, setup, steps},
    node::{Node, Outcome},
};

/// Whether something that is not stuck is under way or planned, at whose end the planner looks again.
fn in_motion(node: &Node, plan: &Plan) -> bool {
    plan.actions.iter().any(grows)
        || !node.pool.creating.is_empty()
        || node.pool.gather_until.is_some_and(|until| until > node.now)
        || node.pool.enis.values().any(|eni| match eni.phase {
            Phase::Attaching { .. } => !node.is_stuck(eni),
            Phase::InUse => !eni.ops.none(),
            Phase::Missing | Phase::Leaving(_) => false,
        })
}

/// Pods that need not be told anything: something is at hand, coming, ordered, or cooled before long.
fn covered(node: &Node, plan: &Plan) -> u32 {
    let soon = node.pool.cooled_by(node.now + WORTH_WAITING);
    node.pool.idle() + node.coming() + node.ordered(plan) + soon
}

proptest! {
    #[test]
    fn every_waiter_is_covered_or_told_why_not(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let told = plan.refuse.as_ref().map_or(0, |(count, _)| *count);
            let heard = covered(node, plan) + told >= node.waiting;
            prop_assert!(heard || in_motion(node, plan), "some of {} wait for nothing", node.waiting);
            let cooled = node.pool.next_cooled().filter(|_| node.waiting > told);
            let late = cooled.is_some_and(|at| plan.wake_at.is_none_or(|wake| wake > at));
            prop_assert!(!late, "an address is free at {:?}, woken at {:?}", cooled, plan.wake_at);
            Ok(())
        })?;
    }

    #[test]
    fn nobody_is_refused_for_whom_an_address_is_coming(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let Some((told, cause)) = &plan.refuse else { return Ok(()) };
            let covered = covered(node, plan);
            prop_assert!(told + covered <= node.waiting, "{} told `{}`, {} coming", told, cause, covered);
            Ok(())
        })?;
    }

    #[test]
    fn a_node_is_called_full_only_when_no_eni_can_take_more(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let Some((_, terway_core::cause::Cause::NodeFull { .. })) = &plan.refuse else { return Ok(()) };
            let pool = &node.pool;
            let room = pool.enis.values().any(|eni| {
                (eni.phase == Phase::InUse && eni.full_until <= node.now
                    || matches!(eni.phase, Phase::Attaching { .. }))
                    && eni.slots_used() + eni.ops.v4.unwrap_or(0).max(eni.ops.v6.unwrap_or(0))
                        < pool.capacity.per_eni
            });
            let partial = pool.creating.values().any(|creating| creating.units < pool.capacity.pods_per_eni());
            prop_assert!(!room && !partial, "an ENI has room or will have");
            Ok(())
        })?;
    }

    #[test]
    fn a_pool_left_in_peace_comes_to_rest_at_its_levels(setup in setup(), steps in steps()) {
        let mut node = play(&setup, &steps, |_, _| Ok(()))?;
        for eni in node.pool.enis.values_mut() {
            if eni.phase == Phase::Missing {
                eni.phase = Phase::InUse;
            }
        }
        let capacity = node.pool.capacity;
        // An address may cost a round to come, one to cool and one to go.
        let mut rounds = 3 * capacity.pods() + 100;
        loop {
            node.settle();
            let plan = node.plan();
            let wake_at = plan.wake_at;
            node.start(plan);
            if let Some(call) = node.calls.pop() {
                node.end(call, Outcome::Done);
            } else if let Some(at) = wake_at {
                node.now = at;
            } else {
                break;
            }
            rounds -= 1;
            prop_assert!(rounds > 0, "still busy: {:?}, {:?}", node.plan(), node.pool.counts());
        }
        let (_, max, threshold) = node.pool.policy.bounds(&capacity);
        let idle = node.pool.idle();
        let full = node.pods.len() as u32 + idle >= capacity.pods();
        prop_assert_eq!(node.waiting, 0);
        let room = node.pool.enis.values().any(|eni| eni.slots_used() < capacity.per_eni)
            || (node.pool.enis.len() as u32) < capacity.max_enis;
        prop_assert!(idle >= threshold || full || !room, "{} idle, threshold {}", idle, threshold);
        let cannot_leave = match capacity.grain {
            Grain::Address => node.pool.enis.len() as u32,
            Grain::Prefix => node
                .pool
                .enis
                .values()
                .flat_map(|eni| eni.prefixes.values())
                .map(|busy| if *busy == 0 { 0 } else { 16 - busy })
                .sum::<u32>()
                + 15,
        };
        // What still cools may not wait for an event that never comes.
        let cooling = node.pool.counts().cooling;
        prop_assert!(idle + cooling <= max + cannot_leave, "{} idle, {} cooling, maximum {}", idle, cooling, max);
    }
}
