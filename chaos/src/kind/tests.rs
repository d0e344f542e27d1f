//! The vocabulary is whole: every name builds, and gives back what it was built from.

use super::*;
use crate::draw;

#[test]
fn every_name_draws_builds_and_gives_back_its_arguments() {
    for (index, name) in FaultKind::NAMES.iter().enumerate() {
        let mut rng = draw::stream(index as u64, "test", name);
        let kind = FaultKind::drawn(name, &[], &mut rng).unwrap_or_else(|| panic!("{name} does not build"));
        assert_eq!(kind.name(), *name);
        let args: Vec<Arg> = kind.args().into_iter().map(|(_, arg)| arg).collect();
        assert_eq!(FaultKind::build(name, &args), Some(kind.clone()));
        for ((arg, spec, _), (given, value)) in FaultKind::arg_specs(name).into_iter().zip(kind.args()) {
            assert_eq!(arg, given);
            assert_eq!(spec.read(&value.to_toml()), Ok(value), "{name}.{arg} is not read as it is written");
        }
    }
}

#[test]
fn what_happens_once_has_no_duration_and_the_rest_has_one() {
    for name in FaultKind::NAMES {
        let traits = traits_of(name).unwrap();
        assert_eq!(traits.acting == Acting::Once, traits.default_for.is_zero(), "{name}");
    }
}

#[test]
fn names_are_unique_and_every_class_has_some() {
    let names: std::collections::BTreeSet<_> = FaultKind::NAMES.iter().collect();
    assert_eq!(names.len(), FaultKind::NAMES.len());
    for class in FaultClass::ALL {
        assert!(FaultKind::NAMES.iter().any(|name| traits_of(name).unwrap().class == class), "{class:?}");
    }
}

#[test]
fn a_given_argument_is_kept() {
    let given = [("nth", Arg::Count(7))];
    let mut rng = draw::stream(1, "test", "given");
    let kind = FaultKind::drawn("crash-at-point", &given, &mut rng).unwrap();
    assert!(matches!(kind, FaultKind::CrashAtPoint { nth: 7, .. }));
}

#[test]
fn a_wrong_code_gets_a_suggestion() {
    let wrong = toml::Value::String("Throttling.Usr".into());
    assert_eq!(ArgSpec::Code(THROTTLE_CODES).read(&wrong), Err(Some("Throttling.User".into())));
}
