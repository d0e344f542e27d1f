//! NICs and what pods need of them.

use std::io;

use terway_dataplane::{
    op::{Change, NetOp, Object},
    state::{Place, Side},
};
use tokio::time::{Duration, timeout};

use crate::{
    Machine,
    sample::{ENI, OTHER, nic, pod},
};

const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn nics_are_told_sorted_and_their_coming_and_going_too(machine: &dyn Machine) {
    let before = machine.net().nics().await.expect("seen");
    assert!(!before.is_empty());
    machine.plug(ENI);
    timeout(SOON, machine.net().nics_changed(&before)).await.expect("told of one that came");
    let with = machine.net().nics().await.expect("seen");
    assert!(with.contains(&ENI) && with.is_sorted() && with.len() == before.len() + 1, "{with:?}");
    machine.unplug(ENI);
    timeout(SOON, machine.net().nics_changed(&with)).await.expect("told of one that left");
    assert_eq!(machine.net().nics().await.expect("seen"), before);
}

pub(crate) async fn an_eni_is_set_up_once_and_torn_down_to_nothing(machine: &dyn Machine) {
    machine.plug(ENI);
    let before = machine.host();
    let first = machine.net().set_up(&nic(ENI)).await.expect("there");
    assert!(!first.objects.is_empty() && first.refused.is_empty(), "{first:?}");
    let after = machine.host();
    let again = machine.net().set_up(&nic(ENI)).await.expect("there");
    assert!(again.objects.is_empty() && again.refused.is_empty(), "{again:?}");
    let added: Vec<Object> = after.objects().filter(|object| !before.has(object)).collect();
    let defaults = added.iter().filter(|object| match object {
        Object::Route(route) => route.table > 1000 && route.dst.prefix_len() == 0,
        _ => false,
    });
    assert_eq!(defaults.count(), 2, "a default route of each family in the ENI's table: {added:?}");
    let down = machine.net().tear_down(&nic(ENI)).await.expect("there");
    assert!(down.refused.is_empty(), "{down:?}");
    assert_eq!(objects(&machine.host()), objects(&before));
}

fn objects(side: &Side) -> Vec<Object> {
    side.objects().collect()
}

pub(crate) async fn an_eni_that_is_not_there_is_not_found(machine: &dyn Machine) {
    let error = machine.net().set_up(&nic(ENI)).await.expect_err("not there");
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    let down = machine.net().tear_down(&nic(ENI)).await.expect("it took all along");
    assert!(down.objects.is_empty() && down.refused.is_empty(), "{down:?}");
}

pub(crate) async fn enis_of_one_vswitch_are_set_up_beside_each_other(machine: &dyn Machine) {
    for mac in [ENI, OTHER] {
        machine.plug(mac);
        let done = machine.net().set_up(&nic(mac)).await.expect("there");
        assert!(done.refused.is_empty(), "{done:?}");
    }
    for mac in [ENI, OTHER] {
        let again = machine.net().set_up(&nic(mac)).await.expect("there");
        assert!(again.objects.is_empty(), "one undid the other's: {again:?}");
    }
}

pub(crate) async fn what_is_taken_from_an_eni_is_put_back(machine: &dyn Machine) {
    machine.plug(ENI);
    machine.net().set_up(&nic(ENI)).await.expect("there");
    let whole = machine.host();
    let routes: Vec<_> = whole.routes.iter().filter(|route| route.table > 1000).cloned().collect();
    assert!(!routes.is_empty());
    for route in routes {
        let gone = NetOp::new(Place::Host, Change::Del(Object::Route(route)));
        machine.tamper(&gone).expect("removed");
        let done = machine.net().set_up(&nic(ENI)).await.expect("there");
        assert_eq!(done.objects, ["route"], "after {gone}: {done:?}");
        assert_eq!(machine.host(), whole, "after {gone}");
    }
}

pub(crate) async fn an_eni_takes_along_what_is_on_it(machine: &dyn Machine) {
    let before = machine.host();
    machine.plug(ENI);
    machine.net().set_up(&nic(ENI)).await.expect("there");
    machine.add_pod(&pod(5, ENI)).expect("built");
    machine.unplug(ENI);
    machine.remove_sandbox(&pod(5, ENI).container);
    let seen = machine.net().nics().await.expect("seen");
    assert!(!seen.contains(&ENI));
    let left = machine.host();
    let rules = left.rules.len() - before.rules.len();
    assert_eq!(rules, 4, "rules are on no link, and stay until they are swept: {:?}", left.rules);
    assert_eq!(Side { rules: before.rules.clone(), ..left }, before);
}
