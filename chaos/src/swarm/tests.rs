//! The draw is stable: nodes and kinds do not disturb each other.

use super::*;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_hours(1);

fn rates() -> FaultRates {
    FaultRates::default()
        .with("crash", Frequency::PerNodeHour(2.0))
        .with("crash-at-point", Frequency::PerNodeHour(1.0))
        .with("watch-lag", Frequency::PerNodeHour(1.0))
        .with("throttle", Frequency::PerHour(6.0))
        .with("exhausted", Frequency::PerHour(1.0))
        .with("clock-step", Frequency::PerNodeHour(0.5))
}

fn nodes(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("node-{i:04}")).collect()
}

proptest! {
    #[test]
    fn one_more_node_changes_nothing_for_the_others(seed: u64, count in 0_usize..12) {
        let fewer = draw_schedule(&rates(), seed, &nodes(count), HOUR);
        let new = format!("node-{count:04}");
        let more = draw_schedule(&rates(), seed, &nodes(count + 1), HOUR);
        prop_assert_eq!(fewer, more.filtered(|fault| fault.target.node() != Some(&new)));
    }

    #[test]
    fn a_dropped_kind_changes_nothing_for_the_others(seed: u64, index in 0_usize..6) {
        let all = rates();
        let dropped = all.kinds.keys().nth(index).unwrap().clone();
        let mut rest = all.clone();
        rest.kinds.remove(&dropped);
        let expected = draw_schedule(&all, seed, &nodes(5), HOUR).filtered(|fault| fault.kind.name() != dropped);
        prop_assert_eq!(draw_schedule(&rest, seed, &nodes(5), HOUR), expected);
    }

    #[test]
    fn a_longer_run_begins_like_the_shorter(seed: u64) {
        let short = draw_schedule(&rates(), seed, &nodes(5), HOUR);
        let long = draw_schedule(&rates(), seed, &nodes(5), HOUR * 2);
        prop_assert_eq!(short, long.filtered(|fault| fault.at < HOUR));
    }

    #[test]
    fn drawn_rates_stay_within_a_factor_of_four(seed: u64) {
        let mut rng = draw::stream(seed, "swarm", "");
        let base = rates();
        for (name, rate) in draw_rates(&base, &mut || rng.next_u64()).kinds {
            let of = |frequency| match frequency {
                Frequency::PerHour(rate) | Frequency::PerNodeHour(rate) => rate,
            };
            let factor = of(rate.frequency) / of(base.kinds[&name].frequency);
            prop_assert!((0.249..=4.001).contains(&factor));
        }
    }
}

#[test]
fn the_rate_is_met_on_average() {
    let rates = FaultRates::default().with("crash", Frequency::PerNodeHour(2.0));
    let drawn = draw_schedule(&rates, 7, &nodes(1000), HOUR).len();
    assert!((1850..2150).contains(&drawn), "2000 expected, {drawn} drawn");
}

#[test]
fn runs_differ_in_which_classes_exist() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut rng = draw::stream(seed, "swarm", "");
        let classes = draw_classes(&mut || rng.next_u64());
        assert!(!classes.is_empty());
        seen.insert(classes);
    }
    assert!(seen.len() > 30);
}

#[test]
fn rates_read_as_scenarios_write_them() {
    let table =
        "throttle = { per_hour = 6, for = [\"10s\", \"1m\"], probability = 0.3, code = \"Throttling.User\" }
                 crash = { per_node_hour = 0.5 }"
            .parse()
            .unwrap();
    let rates = FaultRates::from_table("faults", &table).unwrap();
    assert_eq!(rates.kinds["crash"].frequency, Frequency::PerNodeHour(0.5));
    assert_eq!(rates.kinds["throttle"].lasts, (Duration::from_secs(10), Duration::from_mins(1)));
    for fault in draw_schedule(&rates, 3, &nodes(2), HOUR).faults() {
        assert!(
            fault.kind.name() != "throttle"
                || fault.kind == FaultKind::Throttle { code: "Throttling.User".into() }
        );
    }
}

#[test]
fn complaints_about_rates_are_exact() {
    let complaint =
        |text: &str| FaultRates::from_table("faults", &text.parse().unwrap()).unwrap_err().to_string();
    assert!(
        complaint("crsh = { per_hour = 1 }").contains("`faults.crsh` is \"crsh\", did you mean `crash`?")
    );
    assert_eq!(
        complaint("crash = { per_hour = -1 }"),
        "`faults.crash.per_hour` is -1; allowed: a number from 0 to 3600"
    );
    assert_eq!(
        complaint("slow = { per_hour = 1, for = [\"1m\", \"1s\"] }"),
        "`faults.slow.for` is [\"1m\", \"1s\"]; allowed: one duration, or two such as [\"10s\", \"1m\"], \
         above zero, the shorter first"
    );
    assert_eq!(
        complaint("crash = {}"),
        "`faults.crash.per_hour` is missing; allowed: either per_hour or per_node_hour"
    );
}
