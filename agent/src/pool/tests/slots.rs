//! The counts and orders that the slots of one family keep.

use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::super::{Counts, Mono, Slot, Slots};

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn at(seconds: u64) -> Mono {
    Mono::from_secs(seconds)
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        (0..50_u64).prop_map(|seconds| Slot::Idle { since: at(seconds) }),
        Just(Slot::Assigned),
        (0..50_u64).prop_map(|seconds| Slot::Cooling { until: at(seconds) }),
        Just(Slot::Releasing),
        Just(Slot::Suspect),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Add(u8, Slot),
    Set(u8, Slot),
    Remove(u8),
    Expire(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..12_u8, slot()).prop_map(|(last, slot)| Change::Add(last, slot)),
        (0..12_u8, slot()).prop_map(|(last, slot)| Change::Set(last, slot)),
        (0..12_u8).prop_map(Change::Remove),
        (0..50_u64).prop_map(Change::Expire),
    ]
}

fn recount(slots: &BTreeMap<Ipv4Addr, Slot>) -> Counts {
    let mut counts = Counts::default();
    for slot in slots.values() {
        match slot {
            Slot::Idle { .. } => counts.idle += 1,
            Slot::Assigned => counts.assigned += 1,
            Slot::Cooling { .. } => counts.cooling += 1,
            Slot::Releasing => counts.releasing += 1,
            Slot::Suspect => counts.suspect += 1,
        }
    }
    counts
}

proptest! {
    #[test]
    fn counts_and_orders_agree_with_a_plain_map(changes in proptest::collection::vec(change(), 0..60)) {
        let (mut slots, mut plain) = (Slots::default(), BTreeMap::new());
        for change in changes {
            match change {
                Change::Add(last, slot) => {
                    slots.add(address(last), slot);
                    plain.entry(address(last)).or_insert(slot);
                }
                Change::Set(last, slot) => {
                    let known = plain.get_mut(&address(last)).map(|old| *old = slot).is_some();
                    prop_assert_eq!(slots.set(address(last), slot), known);
                }
                Change::Remove(last) => {
                    prop_assert_eq!(slots.remove(address(last)), plain.remove(&address(last)));
                }
                Change::Expire(now) => {
                    slots.expire_cooling(at(now));
                    for slot in plain.values_mut() {
                        if let Slot::Cooling { until } = *slot && until <= at(now) {
                            *slot = Slot::Idle { since: until };
                        }
                    }
                }
            }
            prop_assert_eq!(slots.counts(), recount(&plain));
            prop_assert_eq!(slots.len() as usize, plain.len());
            prop_assert_eq!(slots.iter().collect::<BTreeMap<_, _>>(), plain.clone());
            let mut idle: Vec<_> = plain
                .iter()
                .filter_map(|(address, slot)| match slot {
                    Slot::Idle { since } => Some((*since, *address)),
                    _ => None,
                })
                .collect();
            idle.sort_unstable();
            prop_assert_eq!(slots.idle().collect::<Vec<_>>(), idle.into_iter().map(|(_, a)| a).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_address_rests_until_its_time_and_is_then_the_last_in_line() {
    let mut slots = Slots::default();
    slots.add(address(1), Slot::Cooling { until: at(130) });
    slots.add(address(2), Slot::Idle { since: at(100) });
    assert!(slots.expire_cooling(at(129)).is_empty());
    assert_eq!(slots.next_cooled(), Some(at(130)));
    assert_eq!(slots.expire_cooling(at(130)), [address(1)]);
    assert_eq!(slots.idle().collect::<Vec<_>>(), [address(2), address(1)]);
}

#[test]
fn adding_a_known_address_does_not_free_it() {
    let mut slots = Slots::default();
    slots.add(address(1), Slot::Assigned);
    slots.add(address(1), Slot::Idle { since: at(0) });
    assert_eq!(slots.get(address(1)), Some(Slot::Assigned));
}
