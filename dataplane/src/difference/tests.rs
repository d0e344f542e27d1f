//! What CHECK says, and what it does not mind.

use super::*;
use crate::{
    desired::{desired, tests::*},
    state::{Qdisc, QdiscKind, Route},
};

fn wanted() -> NetState {
    desired(&dual(), &facts()).expect("valid")
}

#[test]
fn what_stands_in_the_place_of_another_is_one_difference() {
    let mut actual = wanted();
    let rule = actual.host.rules.pop_last().expect("there");
    actual.host.rules.insert(crate::state::Rule { table: 1009, ..rule });
    let found = differences(&actual, &wanted());
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "host: rule from 2001:db8::5/128 with priority 2048: \
         found rule 2048: from 2001:db8::5/128 lookup 1009, wanted rule 2048: from 2001:db8::5/128 lookup 1007"
    );
}

#[test]
fn what_is_missing_and_what_is_too_much_are_said_so() {
    let mut actual = wanted();
    actual.pod.addresses.pop_first();
    actual
        .pod
        .addresses
        .insert(crate::state::Address { dev: "eth0".into(), net: "10.9.9.9/32".parse().expect("valid") });
    let texts: Vec<String> = differences(&actual, &wanted()).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "pod: address 10.0.1.5: missing, wanted address 10.0.1.5/32 dev eth0",
            "pod: address 10.9.9.9: found address 10.9.9.9/32 dev eth0, wanted none",
        ]
    );
}

#[test]
fn what_chained_plugins_do_is_neither_reported_nor_repaired() {
    let mut actual = wanted();
    let route = Route {
        table: 254,
        dst: "10.96.0.0/12".parse().expect("valid"),
        dev: "eth0".into(),
        via: Some([169, 254, 1, 1].into()),
    };
    actual.pod.routes.insert(route);
    actual.pod.links.get_mut("eth0").expect("there").mtu = 1400;
    let dev = actual.host.links.keys().next().expect("there").clone();
    actual.host.qdiscs.insert(Qdisc { dev, kind: QdiscKind::Other("tbf".into()) });
    assert_eq!(differences(&actual, &wanted()), []);
    assert_eq!(repair(&actual, &wanted()), []);
    actual.pod.routes.retain(|route| route.dst.prefix_len() != 0);
    assert_eq!(repair(&actual, &wanted()).len(), 2, "the two default routes, and nothing else");
}
