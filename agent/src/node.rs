//! The node object: its condition `SufficientIP`, and the limits that are annotated on it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use terway_core::{id::NodeName, limits::InstanceLimits};
use tokio::time::{sleep, timeout};

use crate::shared::Shared;

/// Annotation with the raw instance type, which saves a cloud call per node.
const TYPE_ANNOTATION: &str = "alibabacloud.com/instance-type-info";
/// How often the condition is looked at.
const LOOK: Duration = Duration::from_secs(15);
/// How often an unchanged condition is written again.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// Most that a call may take.
const CALL: Duration = Duration::from_secs(10);

/// Limits annotated on the node, if the API server tells.
pub(crate) async fn annotated_limits(kube: &kube::Client, node: &NodeName) -> Option<InstanceLimits> {
    let api: Api<Node> = Api::all(kube.clone());
    let node = timeout(CALL, api.get_opt(node.as_str())).await.ok()?.ok()??;
    serde_json::from_str(node.metadata.annotations?.get(TYPE_ANNOTATION)?).ok()
}

/// Keeps the condition true to the pool until the agent ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut written: Option<bool> = None;
    let mut age = Duration::ZERO;
    loop {
        let sufficient = shared.sufficient(&shared.state());
        if (written != Some(sufficient) || age >= HEARTBEAT) && shared.write_condition(sufficient).await {
            if written == Some(!sufficient) {
                shared.ports.probe.sometimes("condition-changed");
            }
            (written, age) = (Some(sufficient), Duration::ZERO);
        }
        let wait = shared.ports.entropy.jitter(LOOK, 0.2);
        sleep(wait).await;
        age += wait;
    }
}

impl Shared {
    async fn write_condition(&self, sufficient: bool) -> bool {
        let api: Api<Node> = Api::all(self.ports.kube.clone());
        let (status, reason) =
            if sufficient { ("True", "SufficientIP") } else { ("False", "InsufficientIP") };
        let patch = serde_json::json!({"status": {"conditions": [{
            "type": "SufficientIP",
            "status": status,
            "reason": reason,
            "message": "",
        }]}});
        let patch = Patch::Strategic(&patch);
        let params = PatchParams::default();
        let call = api.patch_status(self.settings.node.as_str(), &params, &patch);
        match timeout(CALL, call).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "condition not written");
                false
            }
            Err(_) => false,
        }
    }
}
