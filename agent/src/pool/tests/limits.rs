//! What a plan may ask for at most, whatever went before.

use std::collections::BTreeSet;

use proptest::prelude::*;
use terway_core::{
    address::Grain,
    cloud::{BATCH, CREATE_SECONDARY_MAX},
};

use super::{
    super::{Phase, plan::PoolAction},
    draw::{play, setup, steps},
};

proptest! {
    #[test]
    fn enis_stay_within_the_node_and_within_those_allowed_at_a_time(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let pool = &node.pool;
            let creates =
                plan.actions.iter().filter(|action| matches!(action, PoolAction::Create { .. })).count();
            let held = pool.enis.len() + pool.creating.len() + creates;
            prop_assert!(held <= pool.capacity.max_enis as usize, "{held} ENIs");
            let attaching =
                pool.enis.values().filter(|eni| matches!(eni.phase, Phase::Attaching { .. })).count();
            let under_way = attaching + pool.creating.len() + creates;
            prop_assert!(creates == 0 || under_way <= pool.policy.parallel_enis as usize, "{under_way} at a time");
            Ok(())
        })?;
    }

    #[test]
    fn an_eni_is_never_asked_to_hold_more_than_its_limit(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let per_eni = node.pool.capacity.per_eni;
            for action in &plan.actions {
                match action {
                    PoolAction::Create { count, .. } => {
                        let slots = match node.pool.capacity.grain {
                            Grain::Address => count.v4.max(count.v6),
                            Grain::Prefix => count.prefixes,
                        };
                        prop_assert!(slots <= per_eni, "a new ENI with {slots} of {per_eni} slots");
                    }
                    PoolAction::Assign { eni, count } => {
                        let eni = &node.pool.enis[eni];
                        let v4 = match eni.grain {
                            Grain::Address => eni.v4.len(),
                            Grain::Prefix => eni.prefixes.len() as u32,
                        };
                        let v4 = v4 + eni.ops.v4.unwrap_or(0) + count.v4 + count.prefixes;
                        let v6 = eni.v6.len() + eni.ops.v6.unwrap_or(0) + count.v6;
                        prop_assert!(v4.max(v6) <= per_eni, "{v4} and {v6} of {per_eni} slots");
                    }
                    PoolAction::Unassign { .. } | PoolAction::Remove { .. } => {}
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_call_is_larger_than_the_cloud_takes(setup in setup(), steps in steps()) {
        play(&setup, &steps, |_, plan| {
            for action in &plan.actions {
                match action {
                    PoolAction::Create { count, .. } => {
                        prop_assert!((1..=CREATE_SECONDARY_MAX + 1).contains(&count.v4));
                        prop_assert!(count.v6 <= CREATE_SECONDARY_MAX + 1 && count.prefixes <= BATCH);
                    }
                    PoolAction::Assign { count, .. } => {
                        let kinds = [count.v4, count.v6, count.prefixes];
                        prop_assert_eq!(kinds.iter().filter(|&&kind| kind > 0).count(), 1, "one kind a call");
                        prop_assert!(kinds.iter().all(|&kind| kind <= BATCH), "{:?}", count);
                    }
                    PoolAction::Unassign { set, .. } => {
                        prop_assert!(!set.is_empty());
                        let largest = set.v4.len().max(set.v6.len()).max(set.prefixes.len());
                        prop_assert!(largest <= BATCH as usize, "{} at once", largest);
                    }
                    PoolAction::Remove { .. } => {}
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_eni_has_one_order_per_family_at_a_time(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let mut asked = BTreeSet::new();
            let mut giving = BTreeSet::new();
            for action in &plan.actions {
                match action {
                    PoolAction::Assign { eni, count } => {
                        let ops = node.pool.enis[eni].ops;
                        let busy = if count.v6 > 0 { ops.v6 } else { ops.v4 };
                        prop_assert_eq!(busy, None, "the family is being asked for already");
                        prop_assert!(asked.insert((eni, count.v6 > 0)), "asked for twice in one plan");
                    }
                    PoolAction::Unassign { eni, .. } | PoolAction::Remove { eni } => {
                        prop_assert!(node.pool.enis[eni].ops.none(), "something is under way on it");
                        prop_assert!(giving.insert(eni), "given back twice in one plan");
                    }
                    PoolAction::Create { .. } => {}
                }
            }
            let both = asked.iter().find(|(eni, _)| giving.contains(eni));
            prop_assert_eq!(both, None, "asks and gives at once");
            Ok(())
        })?;
    }

    #[test]
    fn enis_that_are_not_in_use_are_left_alone(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            for action in &plan.actions {
                let (PoolAction::Assign { eni, .. }
                | PoolAction::Unassign { eni, .. }
                | PoolAction::Remove { eni }) = action
                else {
                    continue;
                };
                prop_assert_eq!(node.pool.enis[eni].phase, Phase::InUse);
            }
            Ok(())
        })?;
    }

    #[test]
    fn full_vswitches_and_refused_accounts_are_not_asked(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let blocked = node.pool.blocked.as_ref().is_some_and(|blocked| blocked.until > node.now);
            let mut calls = 0;
            for action in &plan.actions {
                let vswitch = match action {
                    PoolAction::Create { vswitch, .. } => vswitch,
                    PoolAction::Assign { eni, .. } => &node.pool.enis[eni].vswitch,
                    PoolAction::Unassign { .. } | PoolAction::Remove { .. } => continue,
                };
                prop_assert!(!blocked, "growth is blocked");
                prop_assert!(node.pool.vswitches.open(vswitch, node.now), "{} is set aside", vswitch);
                calls += 1;
            }
            // Both families of one ENI may go together.
            prop_assert!(!node.pool.vswitches.any_set_aside() || calls <= 2, "{} probes", calls);
            Ok(())
        })?;
    }

    #[test]
    fn planning_is_a_pure_function(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let before = format!("{:?}", node.pool);
            prop_assert_eq!(&node.plan(), plan);
            prop_assert_eq!(format!("{:?}", node.pool), before);
            Ok(())
        })?;
    }
}
