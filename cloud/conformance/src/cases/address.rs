//! Addresses and prefixes of an ENI.

use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{
        CreateEni, EniStatus,
        RetryClass::{AlreadyDone, Converge, Fatal, VSwitchExhausted},
    },
};

use crate::{
    Lever,
    ground::{Ground, assign, create, prefixes, refused, singles, v4, v6},
    site,
};

pub(super) async fn addresses_come_and_go(on: Ground) {
    let eni = on.attached("t", v4(1)).await;
    let given = on.cloud.assign_ipv4(&assign("a", &eni, v4(10))).await.expect("room");
    assert_eq!((given.v4.len(), given.v6.len(), given.prefixes.len()), (10, 0, 0));
    let of_eni = async || {
        let mut all = on.eni(&eni.id).await.expect("it is there").addresses.v4;
        all.sort_unstable();
        all
    };
    let mut expected = [vec![eni.primary], given.v4.clone()].concat();
    expected.sort_unstable();
    on.until("they are described", || async { (of_eni().await == expected).then_some(()) }).await;
    on.cloud.unassign_ipv4(&eni.id, &singles(&given.v4[..4])).await.expect("they are there");
    expected.retain(|ip| !given.v4[..4].contains(ip));
    on.until("four are gone", || async { (of_eni().await == expected).then_some(()) }).await;
}

pub(super) async fn an_eni_takes_no_more_addresses_than_its_type(on: Ground) {
    let eni = on.attached("t", v4(6)).await;
    let refusal = on.cloud.assign_ipv4(&assign("a", &eni, v4(10))).await;
    refused(refusal, "InvalidOperation.Ipv4CountExceeded", Converge);
    let given = on.cloud.assign_ipv4(&assign("b", &eni, v4(9))).await.expect("fifteen in all");
    assert_eq!(given.v4.len(), 9);
}

pub(super) async fn prefixes_are_whole_and_take_a_slot_each(on: Ground) {
    let eni = on.attached("t", v4(1)).await;
    let given = on.cloud.assign_ipv4(&assign("a", &eni, prefixes(3))).await.expect("room");
    assert_eq!((given.v4.len(), given.prefixes.len()), (0, 3));
    assert!(given.prefixes.iter().all(|net| net.prefix_len() == 28 && net.trunc() == *net), "{given:?}");
    on.cloud.assign_ipv4(&assign("b", &eni, prefixes(10))).await.expect("fourteen slots");
    let refusal = on.cloud.assign_ipv4(&assign("c", &eni, prefixes(2))).await;
    refused(refusal, "InvalidOperation.Ipv4CountExceeded", Converge);
    let one = AddressSet { prefixes: vec![given.prefixes[1]], ..AddressSet::default() };
    on.cloud.unassign_ipv4(&eni.id, &one).await.expect("it is there");
    let left = || async {
        let prefixes = on.eni(&eni.id).await.expect("it is there").addresses.prefixes;
        (prefixes.len() == 12 && !prefixes.contains(&given.prefixes[1])).then_some(())
    };
    on.until("it is gone, and the others are not", left).await;
}

pub(super) async fn ipv6_has_a_quota_of_its_own(on: Ground) {
    let eni = on.attached("t", AddressCount { v6: 10, ..v4(10) }).await;
    let given = on.cloud.assign_ipv6(&assign("a", &eni, v6(5))).await.expect("fifteen");
    assert_eq!((given.v4.len(), given.v6.len()), (0, 5));
    let refusal = on.cloud.assign_ipv6(&assign("b", &eni, v6(1))).await;
    refused(refusal, "InvalidOperation.Ipv6CountExceeded", Converge);
    on.cloud.unassign_ipv6(&eni.id, &given).await.expect("they are there");
    refused(on.cloud.unassign_ipv6(&eni.id, &given).await, "InvalidIp.IpUnassigned", AlreadyDone);
    on.cloud.assign_ipv6(&assign("c", &eni, v6(5))).await.expect("room again");
    let far = CreateEni { vswitch: site::OTHER_VSWITCH.into(), ..create("far", v4(1)) };
    let far = on.cloud.create_eni(&far).await.expect("room");
    let refusal = on.cloud.assign_ipv6(&assign("d", &far, v6(1))).await;
    refused(refusal, "InvalidVSwitch.Ipv6NotTurnOn", Fatal);
}

pub(super) async fn malformed_address_calls_are_refused(on: Ground) {
    let eni = on.made("t", v4(1)).await;
    let give = async |count| on.cloud.assign_ipv4(&assign("a", &eni, count)).await;
    refused(give(v4(0)).await, "MissingParameter", Fatal);
    refused(give(v4(11)).await, "InvalidParameter", Fatal);
    refused(give(prefixes(11)).await, "InvalidParameter", Fatal);
    refused(give(AddressCount { prefixes: 1, ..v4(1) }).await, "InvalidParameter.Conflict", Fatal);
    refused(on.cloud.assign_ipv6(&assign("a", &eni, v6(11))).await, "InvalidParameter", Fatal);
    let mut gone = eni.clone();
    gone.id = "eni-none".into();
    refused(on.cloud.assign_ipv4(&assign("a", &gone, v4(1))).await, "InvalidEniId.NotFound", Converge);
    let refusal = on.cloud.unassign_ipv4(&gone.id, &singles(&[eni.primary])).await;
    refused(refusal, "InvalidEniId.NotFound", AlreadyDone);
    refused(on.cloud.unassign_ipv4(&eni.id, &AddressSet::default()).await, "MissingParameter", Fatal);
}

pub(super) async fn only_secondary_addresses_are_taken_away(on: Ground) {
    let eni = on.made("t", v4(3)).await;
    let take = async |set: &AddressSet| on.cloud.unassign_ipv4(&eni.id, set).await;
    refused(take(&singles(&[eni.primary])).await, "InvalidIp.IpUnassigned", AlreadyDone);
    let secondary: Vec<_> = eni.addresses.v4.iter().copied().filter(|ip| *ip != eni.primary).collect();
    refused(take(&singles(&[secondary[0], secondary[0]])).await, "InvalidIp.IpRepeated", Fatal);
    let foreign = singles(&[secondary[0], [10, 9, 9, 9].into()]);
    refused(take(&foreign).await, "InvalidIp.IpUnassigned", AlreadyDone);
    let there = on.eni(&eni.id).await.expect("it is there").addresses.v4;
    assert_eq!(there.len(), 3, "all or nothing");
    take(&singles(&secondary)).await.expect("both are there");
}

pub(super) async fn an_exhausted_vswitch_gives_nothing(on: Ground) {
    let small = CreateEni { vswitch: site::SMALL_VSWITCH.into(), ..create("t", v4(8)) };
    let eni = on.cloud.create_eni(&small).await.expect("eight of twelve");
    let refusal = on.cloud.assign_ipv4(&assign("a", &eni, v4(5))).await;
    refused(refusal, "InvalidVSwitchId.IpNotEnough", VSwitchExhausted);
    on.cloud.assign_ipv4(&assign("b", &eni, v4(4))).await.expect("four are left");
    let refusal = on.cloud.create_eni(&CreateEni { token: "u".into(), count: v4(1), ..small }).await;
    refused(refusal, "InvalidVSwitchId.IpNotEnough", VSwitchExhausted);
    on.pull(Lever::Exhaust(site::VSWITCH.into(), 0)).await;
    let refusal = on.cloud.create_eni(&create("v", v4(1))).await;
    refused(refusal, "InvalidVSwitchId.IpNotEnough", VSwitchExhausted);
    on.pull(Lever::Heal).await;
    on.made("v", v4(1)).await;
}

pub(super) async fn addresses_change_only_at_rest(on: Ground) {
    let eni = on.made("t", v4(2)).await;
    on.pull(Lever::Stuck(terway_core::cloud::Action::AttachNetworkInterface)).await;
    on.cloud.attach_eni(&eni.id, &on.node).await.expect("room");
    on.in_state(&eni.id, EniStatus::Attaching).await;
    let refusal = on.cloud.assign_ipv4(&assign("a", &eni, v4(1))).await;
    refused(refusal, "InvalidOperation.InvalidEniState", Converge);
    let secondary: Vec<_> = eni.addresses.v4.iter().copied().filter(|ip| *ip != eni.primary).collect();
    let refusal = on.cloud.unassign_ipv4(&eni.id, &singles(&secondary)).await;
    refused(refusal, "InvalidOperation.InvalidEniState", Converge);
    on.pull(Lever::Heal).await;
    on.in_state(&eni.id, EniStatus::InUse).await;
    on.cloud.assign_ipv4(&assign("a", &eni, v4(1))).await.expect("at rest");
}
