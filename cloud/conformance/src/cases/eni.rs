//! Making, attaching, detaching and deleting ENIs.

use terway_core::{
    address::AddressCount,
    cloud::{
        CreateEni, EniFilter, EniStatus,
        RetryClass::{AlreadyDone, Converge, Fatal, Quota},
        TAG_TOKEN,
    },
};

use crate::{
    ground::{Ground, create, refused, v4},
    site,
};

pub(super) async fn an_eni_is_made_as_asked(on: Ground) {
    let mut request = create("as-asked", AddressCount { v6: 2, ..v4(4) });
    request.tags.push((TAG_TOKEN.into(), "as asked, with +&=% and ü".into()));
    let eni = on.cloud.create_eni(&request).await.expect("room");
    assert_eq!((eni.status, eni.instance.clone()), (EniStatus::Available, None));
    assert_eq!(eni.vswitch.as_str(), site::VSWITCH);
    assert_eq!((eni.addresses.v4.len(), eni.addresses.v6.len()), (4, 2));
    assert!(eni.addresses.v4.contains(&eni.primary), "{eni:?}");
    let mut tags = request.tags.clone();
    tags.sort();
    assert_eq!(eni.tags, tags);
    let again = on.until("it is described", || on.eni(&eni.id)).await;
    assert_eq!(again, eni, "what is described is what was made");
    let of_prefixes = AddressCount { prefixes: 2, ..v4(1) };
    let eni = on.made("prefixes", of_prefixes).await;
    assert_eq!((eni.addresses.v4.len(), eni.addresses.prefixes.len()), (1, 2));
}

pub(super) async fn an_eni_is_not_made_of_what_is_not_there(on: Ground) {
    let without = |change: fn(&mut CreateEni)| {
        let mut request = create("x", v4(1));
        change(&mut request);
        let cloud = on.cloud.clone();
        async move { cloud.create_eni(&request).await }
    };
    refused(without(|r| r.security_groups.clear()).await, "MissingParameter", Fatal);
    let groups = without(|r| r.security_groups = vec!["sg-none".into()]).await;
    refused(groups, "InvalidSecurityGroupId.NotFound", Fatal);
    refused(without(|r| r.vswitch = "vsw-none".into()).await, "InvalidVSwitchId.NotFound", Fatal);
    let far =
        without(|r| (r.vswitch, r.count) = (site::OTHER_VSWITCH.into(), AddressCount { v6: 1, ..v4(1) }));
    refused(far.await, "InvalidVSwitch.Ipv6NotTurnOn", Fatal);
    assert_eq!(on.enis(&EniFilter::Ours).await, [], "refused means nothing was made");
}

pub(super) async fn an_eni_is_not_made_of_too_much(on: Ground) {
    let make = async |count| on.cloud.create_eni(&create("x", count)).await;
    refused(make(v4(51)).await, "InvalidParameter", Fatal);
    refused(make(AddressCount { prefixes: 11, ..v4(1) }).await, "InvalidParameter", Fatal);
    refused(make(AddressCount { prefixes: 1, ..v4(2) }).await, "InvalidParameter.Conflict", Fatal);
    let mut request = create("x", v4(1));
    request.security_groups = (0..11).map(|_| site::GROUP.into()).collect();
    refused(on.cloud.create_eni(&request).await, "InvalidParameter", Fatal);
    refused(on.cloud.create_eni(&create(&"t".repeat(65), v4(1))).await, "InvalidParameter", Fatal);
}

pub(super) async fn the_account_holds_no_more_enis_than_its_quota(on: Ground) {
    for index in 0..site::ENI_QUOTA {
        on.made(&format!("t{index}"), v4(1)).await;
    }
    let one_more = on.cloud.create_eni(&create("one-more", v4(1))).await;
    refused(one_more, "MaxEniCountExceeded", Quota);
    let victim = on.enis(&EniFilter::Ours).await.pop().expect("some");
    on.cloud.delete_eni(&victim.id).await.expect("available");
    on.gone(&victim.id).await;
    on.made("one-more", v4(1)).await;
}

pub(super) async fn an_eni_goes_through_its_states_and_is_gone(on: Ground) {
    let eni = on.made("t", v4(2)).await;
    on.cloud.attach_eni(&eni.id, &on.node).await.expect("room");
    let attached = on.in_state(&eni.id, EniStatus::InUse).await;
    assert_eq!(attached.instance.as_ref(), Some(&on.node));
    assert_eq!((attached.mac, &attached.addresses), (eni.mac, &eni.addresses));
    on.cloud.detach_eni(&eni.id, &on.node).await.expect("in use");
    let detached = on.in_state(&eni.id, EniStatus::Available).await;
    assert_eq!((detached.instance, detached.addresses), (None, eni.addresses));
    on.cloud.delete_eni(&eni.id).await.expect("available");
    on.gone(&eni.id).await;
    refused(on.cloud.attach_eni(&eni.id, &on.node).await, "InvalidEniId.NotFound", Converge);
    refused(on.cloud.detach_eni(&eni.id, &on.node).await, "InvalidEniId.NotFound", AlreadyDone);
    refused(on.cloud.delete_eni(&eni.id).await, "InvalidEniId.NotFound", AlreadyDone);
}

pub(super) async fn an_eni_is_attached_only_where_it_fits(on: Ground) {
    let attach = async |eni: &str, instance: &str| on.cloud.attach_eni(&eni.into(), &instance.into()).await;
    let eni = on.made("t", v4(1)).await;
    refused(attach(eni.id.as_str(), "i-none").await, "InvalidEcsId.NotFound", Fatal);
    refused(attach("eni-none", site::NODE).await, "InvalidEniId.NotFound", Converge);
    let zone = attach(eni.id.as_str(), site::FAR_NODE).await;
    refused(zone, "InvalidOperation.AvailabilityZoneMismatch", Fatal);
    let large = on.made("large", v4(16)).await;
    let full = attach(large.id.as_str(), site::NODE).await;
    refused(full, "InvalidOperation.Ipv4CountExceeded", Converge);
    let eni = on.attached("u", v4(1)).await;
    let twice = attach(eni.id.as_str(), site::OTHER_NODE).await;
    refused(twice, "InvalidOperation.InvalidEniState", Converge);
}

pub(super) async fn an_instance_takes_no_more_enis_than_its_type(on: Ground) {
    for index in 0..3 {
        on.attached(&format!("t{index}"), v4(1)).await;
    }
    let fourth = on.made("t3", v4(1)).await;
    let refusal = on.cloud.attach_eni(&fourth.id, &on.node).await;
    refused(refusal, "EniPerInstanceLimitExceeded", Quota);
    on.cloud.attach_eni(&fourth.id, &site::OTHER_NODE.into()).await.expect("room elsewhere");
    on.in_state(&fourth.id, EniStatus::InUse).await;
}

pub(super) async fn only_a_secondary_eni_that_is_attached_is_detached(on: Ground) {
    let primary = on.enis(&EniFilter::OnInstance(on.node.clone())).await.remove(0);
    let refusal = on.cloud.detach_eni(&primary.id, &on.node).await;
    refused(refusal, "InvalidOperation.DetachPrimaryEniNotAllowed", Fatal);
    let eni = on.made("t", v4(1)).await;
    let refusal = on.cloud.detach_eni(&eni.id, &on.node).await;
    refused(refusal, "InvalidOperation.InvalidEniState", Converge);
    let refusal = on.cloud.detach_eni(&eni.id, &"i-none".into()).await;
    refused(refusal, "InvalidEcsId.NotFound", AlreadyDone);
}

pub(super) async fn only_an_eni_that_is_available_is_deleted(on: Ground) {
    let eni = on.attached("t", v4(1)).await;
    refused(on.cloud.delete_eni(&eni.id).await, "InvalidOperation.InvalidEniState", Converge);
    let primary = on.enis(&EniFilter::OnInstance(on.node.clone())).await;
    let primary = primary.iter().find(|other| other.id != eni.id).expect("every instance has one");
    refused(on.cloud.delete_eni(&primary.id).await, "InvalidOperation.InvalidEniType", Fatal);
}
