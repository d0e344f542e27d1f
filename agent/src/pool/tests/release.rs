//! What may be given back, and what never.

use proptest::prelude::*;
use terway_core::{address::Stack, cloud::BATCH};

use super::{
    super::{PoolEni, Slot, addresses_of, plan::PoolAction},
    draw::{play, setup, shrinks, steps},
    node::{Node, Outcome},
};

fn is_idle(slot: Option<Slot>) -> bool {
    matches!(slot, Some(Slot::Idle { .. }))
}

/// Pods that the actions leave fewer addresses for.
fn given_back(node: &Node, actions: &[PoolAction]) -> u32 {
    let units = |action: &PoolAction| match action {
        PoolAction::Unassign { set, .. } => set.v4.len() as u32 + set.prefixes.len() as u32 * 16,
        PoolAction::Remove { eni } => node.pool.enis[eni].idle_units(node.stack()),
        _ => 0,
    };
    actions.iter().map(units).sum()
}

proptest! {
    /// The cloud may give an address again that is on its way out. If the answer to its release is lost,
    /// nobody could tell the new one from the old.
    #[test]
    fn an_eni_gets_no_addresses_while_some_leave_it(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            for action in &plan.actions {
                if let PoolAction::Assign { eni, .. } = action {
                    prop_assert!(!node.pool.enis[eni].ops.release, "{} gives addresses back", eni);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn only_idle_addresses_leave_and_never_a_primary_one(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            for action in &plan.actions {
                let PoolAction::Unassign { eni, set } = action else { continue };
                let eni = &node.pool.enis[eni];
                for &address in &set.v4 {
                    prop_assert!(is_idle(eni.v4.get(address)), "{} is {:?}", address, eni.v4.get(address));
                    prop_assert_ne!(address, eni.primary);
                }
                for &address in &set.v6 {
                    prop_assert!(is_idle(eni.v6.get(address)), "{} is {:?}", address, eni.v6.get(address));
                }
                for &prefix in &set.prefixes {
                    prop_assert!(eni.prefixes.contains_key(&prefix));
                    prop_assert!(addresses_of(prefix).all(|address| is_idle(eni.v4.get(address))), "{}", prefix);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn in_dual_stack_both_families_leave_together(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            for action in &plan.actions {
                if let PoolAction::Unassign { set, .. } = action && node.stack() == Stack::Dual {
                    prop_assert_eq!(set.v4.len(), set.v6.len());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn only_vacant_enis_leave(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            for action in &plan.actions {
                let PoolAction::Remove { eni } = action else { continue };
                let PoolEni { v4, v6, .. } = &node.pool.enis[eni];
                prop_assert!(v4.iter().all(|(_, slot)| is_idle(Some(slot))));
                prop_assert!(v6.iter().all(|(_, slot)| is_idle(Some(slot))));
            }
            Ok(())
        })?;
    }

    #[test]
    fn never_gives_back_what_a_waiter_or_the_minimum_needs(setup in setup(), steps in steps()) {
        play(&setup, &steps, |node, plan| {
            let back = given_back(node, &plan.actions);
            if back == 0 {
                return Ok(());
            }
            prop_assert_eq!(node.waiting, 0);
            prop_assert!(plan.actions.iter().all(shrinks), "asks for some and gives some back");
            let (min, max, _) = node.pool.policy.bounds(&node.pool.capacity);
            let due = |at: Option<_>| at.is_some_and(|at| at <= node.now);
            let held = node.pool.over_max_since.map(|since| since + node.pool.policy.surplus_hold);
            let reclaims = node.pool.policy.reclaim.is_some() && due(node.pool.reclaim_at);
            prop_assert!(due(held) || reclaims, "nothing is due");
            let floor = if reclaims { min } else { max };
            prop_assert!(node.pool.idle() - back >= floor, "{} of {} idle", back, node.pool.idle());
            Ok(())
        })?;
    }

    #[test]
    fn full_vswitches_do_not_hold_up_releases(setup in setup(), steps in steps()) {
        let mut node = play(&setup, &steps, |_, _| Ok(()))?;
        // Everyone leaves, every call ends, and time passes: all that is left is surplus.
        node.waiting = 0;
        node.pool.gather_until = None;
        while let Some(call) = node.calls.pop() {
            node.end(call, Outcome::Done);
        }
        for (eni, ips) in std::mem::take(&mut node.pods) {
            node.pool.cool(&eni, ips, node.now, node.now);
        }
        node.settle();
        node.now += node.pool.policy.cooldown;
        node.settle();
        // A refused release adds a minute to the time that a surplus is held.
        node.now += node.pool.policy.surplus_hold + std::time::Duration::from_secs(60);
        node.settle();
        let open: Vec<_> = node.plan().actions.into_iter().filter(shrinks).collect();
        for vswitch in node.pool.vswitches.ids().to_vec() {
            node.pool.vswitches.exhausted(&vswitch, node.now);
        }
        let closed: Vec<_> = node.plan().actions.into_iter().filter(shrinks).collect();
        prop_assert_eq!(&open, &closed);
        let (min, max, _) = node.pool.policy.bounds(&node.pool.capacity);
        let floor = if node.pool.policy.reclaim.is_some() { min } else { max };
        let lot = if node.pool.capacity.grain == terway_core::address::Grain::Prefix { 16 } else { 1 };
        let enis = node.pool.enis.values().filter(|eni| eni.usable()).count() as u32;
        // Orders for a waiter or the minimum come first.
        if node.pool.idle() >= max + lot + enis && node.coming() + node.stuck() == 0 {
            let some = given_back(&node, &closed);
            prop_assert!(some > 0 && some <= node.pool.idle() - floor, "{} given back", some);
            let full_call = node.pool.idle() - max >= BATCH * lot;
            prop_assert!(!full_call || some >= lot, "{} given back", some);
        }
    }
}
