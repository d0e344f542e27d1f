//! A refusal at every position leaves nothing.

use terway_dataplane::{
    diff::diff,
    linux::direct,
    op::{Change, NetOp},
    state::{NetState, Place},
};

use crate::world::{Ns, World, rich_pod, root};

/// More than any link can carry: the kernel must refuse it.
const NO_MTU: u32 = 1 << 20;

#[test]
fn a_refusal_at_any_position_leaves_both_namespaces_as_they_were() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(9000), Ns::new());
    let ops = diff(&NetState::default(), &world.desired(&rich_pod(5)));
    let settings = || -> Vec<_> {
        let keys = world.desired(&rich_pod(5)).host.sysctls.into_keys();
        let keys: Vec<String> = keys.filter(|key| !key.contains("/cali")).collect();
        let read = |key: &String| std::fs::read_to_string(format!("/proc/sys/{key}")).expect("there");
        world.host.run(|| keys.iter().map(read).collect())
    };
    let before = (world.everything(), settings());
    assert!(ops.len() > 30, "{}", ops.len());
    for at in 0..=ops.len() {
        let mut broken = ops.clone();
        let change = Change::SetMtu { dev: "eth1".into(), from: 9000, to: NO_MTU };
        broken.insert(at, NetOp::new(Place::Host, change));
        let error = world.apply(&netns, &broken).expect_err("refused").to_string();
        assert!(error.contains("host: set mtu of eth1 to 1048576"), "{error}");
        assert!(error.contains("what was done before is undone"), "at {at}: {error}");
        assert_eq!((world.everything(), settings()), before, "refused at {at}");
        let inside = netns.run(direct::observe_all).expect("observed");
        assert!(inside.links.is_empty() && inside.objects().next().is_none(), "refused at {at}: {inside:?}");
    }
    world.apply(&netns, &ops).expect("and then it can be added");
    assert_eq!(world.observe(&rich_pod(5), &netns), world.desired(&rich_pod(5)));
}
