//! What becomes of policies, as Kubernetes events: on a policy of which something is not understood, and on the node
//! when what is in force is older than what the API server shows.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use k8s_openapi::api::core::v1::ObjectReference;
use terway_agent::policy::{Phase, Policy, PolicyStatus};
use terway_core::entropy::Entropy;
use terway_policy::model::Name;
use tokio::time::{Duration, sleep};

use crate::events::{Event, Events, Kind};

/// Every node sees the same policies: within so long one of them tells, and the others find it told.
const SPREAD: Duration = Duration::from_secs(10);

/// Follows an engine until it ends.
pub(crate) async fn run(policy: Policy, events: Events, entropy: Arc<dyn Entropy>) {
    let mut changes = policy.changes();
    let mut told = Told::default();
    loop {
        let status = changes.borrow_and_update().clone();
        let node = events.node();
        let fresh = told.news(&status, &node);
        if fresh.iter().any(|event| event.once.is_some()) {
            sleep(SPREAD.mul_f64(entropy.unit())).await;
        }
        for event in fresh {
            events.tell(event);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What was told, and holds still.
#[derive(Default)]
struct Told {
    degraded: Option<String>,
    problems: BTreeSet<(Name, String)>,
}

impl Told {
    /// What is new since the last call.
    fn news(&mut self, status: &PolicyStatus, node: &ObjectReference) -> Vec<Event> {
        let mut news = Vec::new();
        let on_node = |kind, reason: &str, message: String| Event {
            about: node.clone(),
            kind,
            reason: reason.into(),
            message,
            once: None,
        };
        match &status.phase {
            Phase::Degraded(why) if self.degraded.as_ref() != Some(why) => {
                let message = format!("what is enforced is older than what the API server shows: {why}");
                news.push(on_node(Kind::Warning, "NetworkPolicyNotPublished", message));
                self.degraded = Some(why.clone());
            }
            Phase::Serving if self.degraded.take().is_some() => {
                let message = "what the API server shows is enforced again".into();
                news.push(on_node(Kind::Normal, "NetworkPolicyInForce", message));
            }
            _ => {}
        }
        let problems: BTreeSet<_> = status.problems.iter().cloned().collect();
        news.extend(problems.difference(&self.problems).map(|(name, text)| problem(name, text)));
        self.problems = problems;
        news
    }
}

fn problem(name: &Name, text: &str) -> Event {
    let cluster = name.namespace.is_empty();
    let (version, kind) = if cluster {
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy")
    } else {
        ("networking.k8s.io/v1", "NetworkPolicy")
    };
    let mut hasher = DefaultHasher::new();
    (kind, &name.namespace, &name.name, text).hash(&mut hasher);
    Event {
        about: ObjectReference {
            api_version: Some(version.into()),
            kind: Some(kind.into()),
            namespace: Some(name.namespace.clone()).filter(|it| !it.is_empty()),
            name: Some(name.name.clone()),
            ..ObjectReference::default()
        },
        kind: Kind::Warning,
        reason: "RuleNotUnderstood".into(),
        message: text.into(),
        once: Some(hasher.finish()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: Phase, problems: &[(&str, &str)]) -> PolicyStatus {
        let problems =
            problems.iter().map(|(name, text)| (Name::new("shop", *name), (*text).to_owned())).collect();
        PolicyStatus { phase, problems, ..PolicyStatus::default() }
    }

    fn reasons(told: &mut Told, status: &PolicyStatus) -> Vec<String> {
        let node = ObjectReference::default();
        told.news(status, &node).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn what_holds_still_is_told_once() {
        let mut told = Told::default();
        assert_eq!(reasons(&mut told, &status(Phase::Serving, &[])), [""; 0], "a start is no news");
        let full = || Phase::Degraded("terway_peer is full".into());
        assert_eq!(reasons(&mut told, &status(full(), &[])), ["NetworkPolicyNotPublished"]);
        assert_eq!(reasons(&mut told, &status(full(), &[])), [""; 0], "the same after another try");
        assert_eq!(reasons(&mut told, &status(Phase::Loading, &[])), [""; 0]);
        assert_eq!(reasons(&mut told, &status(Phase::Serving, &[])), ["NetworkPolicyInForce"]);
        assert_eq!(reasons(&mut told, &status(Phase::Serving, &[])), [""; 0]);
    }

    #[test]
    fn each_problem_of_each_policy_is_told_and_again_when_it_comes_back() {
        let mut told = Told::default();
        let one = status(Phase::Serving, &[("web", "ipBlock x: no CIDR")]);
        let two = status(Phase::Serving, &[("web", "ipBlock x: no CIDR"), ("db", "ipBlock x: no CIDR")]);
        assert_eq!(reasons(&mut told, &one).len(), 1);
        let events = told.news(&two, &ObjectReference::default());
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].about.name.as_deref(), events[0].about.namespace.as_deref()),
            (Some("db"), Some("shop"))
        );
        assert_ne!(events[0].once, problem(&Name::new("shop", "web"), "ipBlock x: no CIDR").once);
        assert_eq!(reasons(&mut told, &status(Phase::Serving, &[])), [""; 0]);
        assert_eq!(reasons(&mut told, &two).len(), 2);
    }
}
