//! Transitions that do not end, or cannot begin.

use terway_core::cloud::{Action, EniStatus, RetryClass::Converge};
use tokio::time::sleep;

use crate::{
    Lever,
    ground::{Ground, refused, v4},
};

pub(super) async fn a_stuck_attach_ends_when_asked_again(on: Ground) {
    let eni = on.made("t", v4(1)).await;
    on.pull(Lever::Stuck(Action::AttachNetworkInterface)).await;
    on.cloud.attach_eni(&eni.id, &on.node).await.expect("room");
    sleep(on.settles() * 2).await;
    on.in_state(&eni.id, EniStatus::Attaching).await;
    on.cloud.attach_eni(&eni.id, &on.node).await.expect("it may be asked again");
    on.in_state(&eni.id, EniStatus::InUse).await;
}

pub(super) async fn a_stuck_delete_ends_when_asked_again(on: Ground) {
    let eni = on.made("t", v4(1)).await;
    on.pull(Lever::Stuck(Action::DeleteNetworkInterface)).await;
    on.cloud.delete_eni(&eni.id).await.expect("available");
    sleep(on.settles() * 2).await;
    on.in_state(&eni.id, EniStatus::Deleting).await;
    on.cloud.delete_eni(&eni.id).await.expect("it may be asked again");
    on.gone(&eni.id).await;
}

pub(super) async fn an_instance_on_its_way_down_takes_no_eni(on: Ground) {
    let eni = on.made("t", v4(1)).await;
    on.pull(Lever::Stopping(on.node.clone())).await;
    let refusal = on.cloud.attach_eni(&eni.id, &on.node).await;
    refused(refusal, "InvalidOperation.InvalidEcsState", Converge);
    on.pull(Lever::Heal).await;
    on.cloud.attach_eni(&eni.id, &on.node).await.expect("it runs again");
    on.in_state(&eni.id, EniStatus::InUse).await;
}
