//! The node object: its conditions, and the limits that are annotated on it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use terway_core::{id::NodeName, limits::InstanceLimits};
use tokio::time::{sleep, timeout};

use crate::{policy::Phase, shared::Shared};

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

/// A condition of the node, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

/// Keeps the conditions true until the agent ends: `SufficientIP` to the pool, `NetworkPolicyReady` to what is in force.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut written: Vec<Condition> = Vec::new();
    let mut age = Duration::ZERO;
    loop {
        let wanted = shared.conditions();
        if (written != wanted || age >= HEARTBEAT) && shared.write_conditions(&wanted).await {
            let flipped =
                |new: &Condition| written.iter().any(|old| old.kind == new.kind && old.holds != new.holds);
            if wanted.iter().any(flipped) {
                shared.ports.probe.sometimes("condition-changed");
            }
            (written, age) = (wanted, Duration::ZERO);
        }
        let wait = shared.ports.entropy.jitter(LOOK, 0.2);
        sleep(wait).await;
        age += wait;
    }
}

impl Shared {
    fn conditions(&self) -> Vec<Condition> {
        let holds = self.sufficient(&self.state());
        let reason = if holds { "SufficientIP" } else { "InsufficientIP" };
        let mut conditions = vec![Condition { kind: "SufficientIP", holds, reason, message: String::new() }];
        conditions.extend(self.policy().map(|policy| {
            let (holds, reason, message) = match policy.status().phase {
                Phase::Serving => (true, "PolicyInForce", String::new()),
                Phase::Loading => (false, "PolicyLoading", "policies have not all been seen yet".into()),
                Phase::Degraded(why) => (false, "PolicyNotPublished", why),
            };
            Condition { kind: "NetworkPolicyReady", holds, reason, message }
        }));
        conditions
    }

    async fn write_conditions(&self, conditions: &[Condition]) -> bool {
        let api: Api<Node> = Api::all(self.ports.kube.clone());
        let conditions: Vec<serde_json::Value> = conditions
            .iter()
            .map(|it| {
                serde_json::json!({
                    "type": it.kind,
                    "status": if it.holds { "True" } else { "False" },
                    "reason": it.reason,
                    "message": it.message,
                })
            })
            .collect();
        let patch = serde_json::json!({"status": {"conditions": conditions}});
        let patch = Patch::Strategic(&patch);
        let params = PatchParams::default();
        let call = api.patch_status(self.settings.node.as_str(), &params, &patch);
        match timeout(CALL, call).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "conditions not written");
                false
            }
            Err(_) => false,
        }
    }
}
