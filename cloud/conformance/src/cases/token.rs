//! Idempotency: what a client token promises.

use terway_core::cloud::{
    Action, EniFilter,
    RetryClass::{Converge, Fatal, Transient},
};

use crate::{
    Lever,
    ground::{Ground, assign, create, refused, route, v4, v6},
    site,
};

pub(super) async fn a_token_gives_its_eni_again(on: Ground) {
    let first = on.made("t", v4(3)).await;
    let again = on.made("t", v4(3)).await;
    assert_eq!((again.id, again.mac, again.addresses), (first.id, first.mac, first.addresses));
    assert_eq!(on.enis(&EniFilter::Ours).await.len(), 1);
}

pub(super) async fn a_token_gives_its_addresses_again(on: Ground) {
    let eni = on.attached("t", v4(1)).await;
    let first = on.cloud.assign_ipv4(&assign("a", &eni, v4(2))).await.expect("room");
    let again = on.cloud.assign_ipv4(&assign("a", &eni, v4(2))).await.expect("the same");
    assert_eq!(first, again);
    let first = on.cloud.assign_ipv6(&assign("a", &eni, v6(2))).await.expect("room");
    let again = on.cloud.assign_ipv6(&assign("a", &eni, v6(2))).await.expect("the same");
    assert_eq!(first, again);
    let described = on
        .until("all are described", || async {
            on.eni(&eni.id).await.filter(|eni| eni.addresses.v6.len() == 2 && eni.addresses.v4.len() == 3)
        })
        .await;
    assert!(first.v6.iter().all(|ip| described.addresses.v6.contains(ip)));
}

pub(super) async fn a_token_gives_its_route_again(on: Ground) {
    let first = on.cloud.create_route_entry(&route("r", "172.16.0.0/24", site::NODE)).await.expect("room");
    let again =
        on.cloud.create_route_entry(&route("r", "172.16.0.0/24", site::NODE)).await.expect("the same");
    assert_eq!(first, again);
    assert_eq!(on.routes().await.iter().filter(|entry| entry.custom).count(), 1);
}

pub(super) async fn a_token_is_for_one_request(on: Ground) {
    let eni = on.made("t", v4(2)).await;
    let refusal = on.cloud.create_eni(&create("t", v4(3))).await;
    refused(refusal, "IdempotentParameterMismatch", Converge);
    on.cloud.assign_ipv4(&assign("t", &eni, v4(1))).await.expect("tokens of other actions are others");
    let refusal = on.cloud.assign_ipv4(&assign("t", &eni, v4(2))).await;
    refused(refusal, "IdempotentParameterMismatch", Converge);
}

pub(super) async fn a_refused_request_leaves_its_token_free(on: Ground) {
    let mut request = create("t", v4(1));
    request.vswitch = "vsw-none".into();
    refused(on.cloud.create_eni(&request).await, "InvalidVSwitchId.NotFound", Fatal);
    on.made("t", v4(2)).await;
}

pub(super) async fn what_a_lost_answer_made_is_found_by_its_token(on: Ground) {
    on.pull(Lever::LoseAnswers(Action::CreateNetworkInterface)).await;
    let lost = on.bare().create_eni(&create("t", v4(2))).await.expect_err("nobody answered");
    assert_eq!(lost.class, Transient, "{lost}");
    assert!(["Timeout", "Unreachable"].contains(&lost.code.as_str()), "{lost}");
    on.pull(Lever::Heal).await;
    let eni = on.made("t", v4(2)).await;
    let ours = on.until("it is described", || async { on.enis(&EniFilter::Ours).await.pop() }).await;
    assert_eq!(ours.id, eni.id, "one ENI, not two");
    on.pull(Lever::LoseAnswers(Action::AssignPrivateIpAddresses)).await;
    let lost = on.bare().assign_ipv4(&assign("a", &eni, v4(2))).await.expect_err("nobody answered");
    assert_eq!(lost.class, Transient, "{lost}");
    on.pull(Lever::Heal).await;
    let given = on.cloud.assign_ipv4(&assign("a", &eni, v4(2))).await.expect("the same again");
    let all = on
        .until("they are described", || async {
            on.eni(&eni.id).await.map(|eni| eni.addresses.v4).filter(|all| all.len() == 4)
        })
        .await;
    assert!(given.v4.iter().all(|ip| all.contains(ip)), "two addresses, not four");
}

pub(super) async fn what_a_failed_answer_made_is_found_by_its_token(on: Ground) {
    on.pull(Lever::FailAnswers(Action::CreateNetworkInterface)).await;
    refused(on.cloud.create_eni(&create("t", v4(2))).await, "InternalError", Transient);
    on.pull(Lever::Heal).await;
    let eni = on.made("t", v4(2)).await;
    let ours = on.until("it is described", || async { on.enis(&EniFilter::Ours).await.pop() }).await;
    assert_eq!(ours.id, eni.id, "one ENI, not two");
}
