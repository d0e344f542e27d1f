//! Full vSwitches: set aside, probed one call at a time, taken back.

use terway_core::{config::VSwitchSelection, id::VSwitchId};

use super::super::{Mono, VSwitches};

fn at(seconds: u64) -> Mono {
    Mono::from_secs(seconds)
}

fn vswitches(selection: VSwitchSelection) -> VSwitches {
    VSwitches::new("zone-a".into(), vec!["vsw-a".into(), "vsw-b".into(), "vsw-c".into()], selection)
}

fn picked(vswitches: &VSwitches, now: Mono, random: u64) -> Option<&str> {
    vswitches.pick(now, random).map(VSwitchId::as_str)
}

#[test]
fn a_full_vswitch_is_passed_over_until_its_wait_is_over() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    let full = VSwitchId::from("vsw-a");
    all.exhausted(&full, at(100));
    assert_eq!(picked(&all, at(114), 0), Some("vsw-b"));
    assert_eq!(picked(&all, at(115), 0), Some("vsw-a"));
}

#[test]
fn the_wait_doubles_with_each_failed_probe_up_to_a_minute() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    let full = VSwitchId::from("vsw-a");
    let mut now = at(0);
    all.exhausted(&full, now);
    for wait in [15, 30, 60, 60] {
        assert!(!all.open(&full, now + at(wait - 1)));
        now += at(wait);
        assert!(all.open(&full, now), "after {wait} s");
        all.begin(&full);
        all.exhausted(&full, now);
    }
}

#[test]
fn calls_that_were_under_way_when_it_filled_up_count_once() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    let full = VSwitchId::from("vsw-a");
    all.exhausted(&full, at(0));
    all.exhausted(&full, at(1));
    assert!(all.open(&full, at(16)));
}

#[test]
fn one_probe_at_a_time() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    let full = VSwitchId::from("vsw-a");
    all.exhausted(&full, at(0));
    all.begin(&full);
    assert!(!all.open(&full, at(1000)), "its probe is under way");
    all.ended(&full);
    assert!(all.open(&full, at(1000)), "the probe told nothing, so another may go");
}

#[test]
fn a_vswitch_that_gives_again_is_taken_back() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    let full = VSwitchId::from("vsw-a");
    all.exhausted(&full, at(0));
    assert!(all.gave(&full));
    assert!(!all.any_set_aside() && all.open(&full, at(0)));
    assert!(!all.gave(&full), "it was not set aside any more");
}

#[test]
fn random_picks_spread_over_the_open_ones_only() {
    let mut all = vswitches(VSwitchSelection::Random);
    all.exhausted(&"vsw-b".into(), at(0));
    let picks: Vec<_> = (0..4).map(|random| picked(&all, at(1), random)).collect();
    assert_eq!(picks, [Some("vsw-a"), Some("vsw-c"), Some("vsw-a"), Some("vsw-c")]);
}

#[test]
fn nothing_is_picked_when_all_are_full() {
    for selection in [VSwitchSelection::Ordered, VSwitchSelection::Random] {
        let mut all = vswitches(selection);
        for id in all.ids().to_vec() {
            all.exhausted(&id, at(0));
        }
        assert_eq!(picked(&all, at(1), 7), None);
    }
}

#[test]
fn a_vswitch_that_is_added_is_usable_at_once_and_a_dropped_one_is_forgotten() {
    let mut all = vswitches(VSwitchSelection::Ordered);
    all.exhausted(&"vsw-a".into(), at(0));
    all.replace(vec!["vsw-d".into()]);
    assert_eq!(picked(&all, at(1), 0), Some("vsw-d"));
    assert!(!all.any_set_aside());
}
