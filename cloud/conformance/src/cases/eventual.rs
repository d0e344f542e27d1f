//! Reads that lag, answers that are short, calls that are turned away.

use terway_core::cloud::{
    Action, EniFilter, EniStatus,
    RetryClass::{Fatal, Throttled},
};
use tokio::time::sleep;

use crate::{
    Lever,
    ground::{Ground, assign, create, refused, v4},
};

pub(super) async fn reads_may_tell_the_past(on: Ground) {
    let lag = on.settles() * 4;
    let old = on.made("old", v4(1)).await;
    on.until("it is described", || on.eni(&old.id)).await;
    // Everything before is as old as reads can be by now.
    sleep(lag * 2).await;
    on.pull(Lever::StaleReads(lag)).await;
    let young = on.made("young", v4(1)).await;
    on.cloud.delete_eni(&old.id).await.expect("available");
    assert_eq!(on.eni(&young.id).await, None, "what was just made is not told yet");
    let still = on.eni(&old.id).await.map(|eni| eni.status);
    assert_eq!(still, Some(EniStatus::Available), "what was just deleted is still told");
    sleep(lag + on.settles()).await;
    assert_eq!(on.eni(&young.id).await.map(|eni| eni.id), Some(young.id));
    on.gone(&old.id).await;
}

pub(super) async fn a_partial_answer_names_what_was_given(on: Ground) {
    let eni = on.attached("t", v4(1)).await;
    on.pull(Lever::Partial).await;
    let mut given = Vec::new();
    for index in 0..3 {
        let request = assign(&format!("a{index}"), &eni, v4(4));
        let set = on.cloud.assign_ipv4(&request).await.expect("some");
        assert!((1..=4).contains(&set.v4.len()), "{set:?}");
        given.extend(set.v4);
    }
    on.pull(Lever::Heal).await;
    let all = on
        .until("they are described", || async {
            on.eni(&eni.id).await.map(|eni| eni.addresses.v4).filter(|all| all.len() == given.len() + 1)
        })
        .await;
    assert!(given.iter().all(|ip| all.contains(ip)), "{given:?} of {all:?}");
}

pub(super) async fn throttled_calls_do_nothing(on: Ground) {
    on.pull(Lever::Throttle(Action::CreateNetworkInterface)).await;
    refused(on.cloud.create_eni(&create("t", v4(1))).await, "Throttling", Throttled);
    assert_eq!(on.enis(&EniFilter::Ours).await, [], "other actions are served, and nothing was made");
    on.pull(Lever::Heal).await;
    on.made("t", v4(1)).await;
}

pub(super) async fn denied_calls_are_fatal(on: Ground) {
    on.pull(Lever::Deny(Action::DescribeNetworkInterfaces)).await;
    let listing = on.cloud.describe_enis(&EniFilter::Ours, None).await;
    refused(listing, "Forbidden.RAM", Fatal);
}
