//! What a kernel refuses, and what it drops unasked.

use std::{io::ErrorKind, net::IpAddr};

use terway_dataplane::{
    name,
    op::{Change, NetOp, Object},
    state::{Address, MAIN_TABLE, Neighbour, Place, Route, Rule, Select},
};

use crate::{
    Machine,
    sample::{ENI, nic, pod},
};

/// A machine with a pod on it; the name of the pod's host link.
async fn with_pod(machine: &dyn Machine) -> String {
    machine.plug(ENI);
    machine.net().set_up(&nic(ENI)).await.expect("there");
    machine.add_pod(&pod(5, ENI)).expect("built");
    name::host_veth_name(&pod(5, ENI).pod, "eth0")
}

fn add(object: Object) -> NetOp {
    NetOp::new(Place::Host, Change::Add(object))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) async fn what_is_there_already_is_refused(machine: &dyn Machine) {
    let link = with_pod(machine).await;
    let host = machine.host();
    let route = host.routes.iter().find(|route| route.dev == link).expect("there").clone();
    let mut others = vec![
        Object::Rule(host.rules.iter().find(|rule| rule.priority == 512).expect("there").clone()),
        Object::Address(host.addresses.iter().next().expect("the ENI's").clone()),
        Object::Route(route.clone()),
    ];
    // One route to a destination in a table, wherever it leads.
    let eni = host.addresses.iter().next().expect("the ENI's").dev.clone();
    others.push(Object::Route(Route { dev: eni, ..route }));
    for object in others {
        let op = add(object);
        let error = machine.tamper(&op).expect_err("there already");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{op}: {error}");
    }
    assert_eq!(machine.host(), host);
}

pub(crate) async fn removing_what_is_not_there_changes_nothing(machine: &dyn Machine) {
    let link = with_pod(machine).await;
    let host = machine.host();
    let absent = ip("10.0.1.77");
    for object in [
        Object::Rule(Rule { priority: 512, select: Select::To(absent.into()), table: MAIN_TABLE }),
        Object::Route(Route { table: MAIN_TABLE, dst: absent.into(), dev: link.clone(), via: None }),
        Object::Address(Address { dev: link.clone(), net: absent.into() }),
    ] {
        // Whether that is an error is for who removes to say: to be gone is what was wanted.
        let _ = machine.tamper(&NetOp::new(Place::Host, Change::Del(object)));
    }
    let op = add(Object::Route(Route {
        table: MAIN_TABLE,
        dst: absent.into(),
        dev: "cali-none".into(),
        via: None,
    }));
    assert!(machine.tamper(&op).is_err(), "{op}: no such link");
    assert_eq!(machine.host(), host);
}

pub(crate) async fn a_route_needs_a_link_that_is_up(machine: &dyn Machine) {
    let link = with_pod(machine).await;
    machine.tamper(&NetOp::new(Place::Host, Change::SetUp { dev: link.clone(), up: false })).expect("down");
    let op = add(Object::Route(Route {
        table: MAIN_TABLE,
        dst: ip("10.0.1.5").into(),
        dev: link.clone(),
        via: None,
    }));
    let error = machine.tamper(&op).expect_err("down");
    assert_eq!(error.kind(), ErrorKind::NetworkDown, "{op}: {error}");
    // Neighbours and addresses do not need it.
    let mac = terway_core::id::Mac([2, 0, 0, 0, 0, 9]);
    machine.tamper(&add(Object::Neighbour(Neighbour { dev: link, ip: ip("10.0.1.5"), mac }))).expect("taken");
}

pub(crate) async fn a_link_that_goes_down_loses_its_routes_and_neighbours(machine: &dyn Machine) {
    let link = with_pod(machine).await;
    let before = machine.host();
    let on_it = |side: &terway_dataplane::state::Side| {
        side.objects().filter(|object| object.dev() == Some(&link)).collect::<Vec<_>>()
    };
    assert_eq!(on_it(&before).len(), 4, "a neighbour and a route of each family: {:?}", on_it(&before));
    machine.tamper(&NetOp::new(Place::Host, Change::SetUp { dev: link.clone(), up: false })).expect("down");
    assert_eq!(on_it(&machine.host()), []);
    assert_eq!(machine.host().rules, before.rules, "rules are on no link");
    machine.tamper(&NetOp::new(Place::Host, Change::SetUp { dev: link.clone(), up: true })).expect("up");
    assert_eq!(on_it(&machine.host()), [], "they do not come back by themselves");
}
