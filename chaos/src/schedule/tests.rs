//! Schedules read back as written, and complaints are exact.

use proptest::prelude::*;

use super::*;
use crate::draw;

#[test]
fn a_schedule_reads_as_people_write_it() {
    let text = r#"
        [[fault]]
        at = "12m3.5s"
        kind = "throttle"
        code = "Throttling.User"
        target = "action:DescribeNetworkInterfaces"
        for = "30s"
        probability = 0.2

        [[fault]]
        at = "5s"
        kind = "crash-at-point"
        point = "store.commit.before"
        target = "node:node-0007"
    "#;
    let schedule = Schedule::from_toml(text).unwrap();
    let stories: Vec<String> = schedule.faults().iter().map(Fault::story).collect();
    assert_eq!(
        stories,
        [
            "5s crash-at-point(point=store.commit.before, nth=1) on node:node-0007",
            "12m3.5s throttle(code=Throttling.User) on action:DescribeNetworkInterfaces for 30s, 20 % of calls",
        ]
    );
    assert_eq!(Schedule::from_toml(&schedule.to_toml()), Ok(schedule));
}

#[test]
fn complaints_name_field_value_and_what_is_allowed() {
    let complaint = |body: &str| Schedule::from_toml(&format!("[[fault]]\n{body}")).unwrap_err().to_string();
    assert!(
        complaint("at = \"1s\"\nkind = \"throtle\"")
            .starts_with("`fault[1].kind` is \"throtle\", did you mean `throttle`?; allowed: crash, ")
    );
    assert_eq!(
        complaint("at = \"1\"\nkind = \"crash\""),
        "`fault[1].at` is \"1\"; allowed: a duration of whole milliseconds, such as 250ms, 30s or 12m3.5s"
    );
    assert_eq!(
        complaint("at = \"1s\"\nkind = \"crash\"\nfro = \"3s\""),
        "`fault[1].fro` is not a key here; allowed: at, kind, target"
    );
    assert_eq!(
        complaint("at = \"1s\"\nkind = \"slow\"\nfactr = 3.0"),
        "`fault[1].factr` is not a key here, did you mean `factor`?; \
         allowed: at, kind, target, factor, for, probability"
    );
    assert_eq!(
        complaint("at = \"1s\"\nkind = \"crash\"\ntarget = \"vswitch:v1\""),
        "`fault[1].target` is \"vswitch:v1\"; allowed: cluster, node:NAME"
    );
    assert_eq!(
        complaint("at = \"1s\"\nkind = \"error\"\nprobability = -0.5"),
        "`fault[1].probability` is -0.5; allowed: a number above 0, at most 1"
    );
    assert_eq!(
        complaint("at = \"1s\"\nkind = \"clock-step\""),
        "`fault[1].by` is missing; allowed: a duration other than zero, such as 1h or -30s"
    );
    assert!(Schedule::from_toml("[[fault]").unwrap_err().to_string().starts_with("not TOML: "));
}

/// A fault drawn from a number, of any kind and with any fitting target.
pub(crate) fn any_fault() -> impl Strategy<Value = Fault> {
    (any::<u64>(), 0..FaultKind::NAMES.len(), 0_u64..7_200_000, 1_u64..600_000, 0_u32..3, 1_u32..=100)
        .prop_map(|(seed, index, at, lasts, target, percent)| {
            let name = FaultKind::NAMES[index];
            let kind = FaultKind::drawn(name, &[], &mut draw::stream(seed, "test", name)).unwrap();
            let traits = kind.traits();
            let node = seed % 20;
            let target = match (traits.target, target) {
                (TargetKind::Cloud, 0) => Target::CloudAction("AssignPrivateIpAddresses".into()),
                (TargetKind::VSwitch, 0) => Target::VSwitch("vsw-\"a\"".into()),
                (TargetKind::Zone, 0) => Target::Zone("zone-a".into()),
                (TargetKind::VSwitch | TargetKind::Zone, _) | (_, 2) => Target::Cluster,
                _ => Target::Node(format!("node-{node:04}")),
            };
            let once = traits.default_for.is_zero();
            Fault {
                at: Duration::from_millis(at),
                target,
                lasts: if once { Duration::ZERO } else { Duration::from_millis(lasts) },
                probability: if traits.acting == crate::kind::Acting::PerCall {
                    f64::from(percent) / 100.0
                } else {
                    1.0
                },
                kind,
            }
        })
}

proptest! {
    #[test]
    fn every_schedule_reads_back_as_written(faults in prop::collection::vec(any_fault(), 0..12)) {
        let schedule = Schedule::new(faults);
        prop_assert_eq!(Schedule::from_toml(&schedule.to_toml()), Ok(schedule));
    }

    #[test]
    fn the_order_of_writing_does_not_matter(faults in prop::collection::vec(any_fault(), 0..8)) {
        let reversed: Vec<Fault> = faults.iter().rev().cloned().collect();
        prop_assert_eq!(Schedule::new(faults).to_toml(), Schedule::new(reversed).to_toml());
    }
}
