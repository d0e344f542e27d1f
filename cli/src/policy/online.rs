//! A cluster from the API server.

use std::{collections::BTreeSet, net::IpAddr, path::Path, time::Duration};

use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use terway_policy::{
    manifest::{self, FieldError, Object, v1alpha2::ClusterNetworkPolicy},
    model::Name,
};

use super::source::Cluster;
use crate::failure::Failure;

/// How long the API server may take for one page.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects in one page: a cluster of 30,000 pods is not one answer.
const PAGE: u32 = 500;

/// What could be given instead.
const INSTEAD: &str = "give -f with manifests, --kubeconfig, or run in a pod with a service account";

/// Lists all that policy looks at.
pub(super) async fn cluster(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Cluster, Failure> {
    let config = config(kubeconfig, context).await?;
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config)
        .map_err(|error| Failure::input(format!("API server {server}: no client can be made: {error}")))?;
    let mut cluster = Cluster::default();
    for namespace in list::<Namespace>(&Api::all(client.clone()), "namespaces", &server).await? {
        take(&mut cluster, "namespace", manifest::namespace(&namespace).map(Object::Namespace));
    }
    for pod in list::<Pod>(&Api::all(client.clone()), "pods", &server).await? {
        let read = manifest::pod(&pod);
        if let Ok(read) = &read {
            let node = node_of(&pod);
            if !node.is_empty() {
                cluster.nodes.insert(read.name.clone(), node);
            }
        }
        take(&mut cluster, "pod", read.map(Object::Pod));
    }
    for policy in list::<NetworkPolicy>(&Api::all(client.clone()), "networkpolicies", &server).await? {
        take(&mut cluster, "NetworkPolicy", manifest::policy(&policy).map(Object::Policy));
    }
    let kind = ApiResource {
        group: "policy.networking.k8s.io".into(),
        version: "v1alpha2".into(),
        api_version: "policy.networking.k8s.io/v1alpha2".into(),
        kind: "ClusterNetworkPolicy".into(),
        plural: "clusternetworkpolicies".into(),
    };
    match list::<DynamicObject>(&Api::all_with(client, &kind), &kind.plural, &server).await {
        Ok(policies) => {
            for policy in policies {
                let name = Name::new("", policy.metadata.name.clone().unwrap_or_default());
                let read = retype::<ClusterNetworkPolicy>(&policy, &name)?;
                take(
                    &mut cluster,
                    "ClusterNetworkPolicy",
                    manifest::cluster_policy(&read).map(Object::ClusterPolicy),
                );
            }
        }
        // The definition is not installed: there are none.
        Err(Refused { status: Some(404), .. }) => {}
        Err(refused) => return Err(refused.into()),
    }
    Ok(cluster)
}

fn retype<T: DeserializeOwned>(object: &impl Serialize, name: &Name) -> Result<T, Failure> {
    let value = serde_json::to_value(object).and_then(serde_json::from_value);
    value.map_err(|error| Failure::input(format!("ClusterNetworkPolicy {name}: {error}")))
}

/// An object that has no meaning here is left out, and told.
fn take(cluster: &mut Cluster, kind: &str, read: Result<Object, FieldError>) {
    match read {
        Ok(object) => cluster.snapshot.apply(object),
        Err(error) => cluster.notes.push(format!("a {kind} is left out: {error}")),
    }
}

fn node_of(pod: &Pod) -> BTreeSet<IpAddr> {
    let status = pod.status.as_ref();
    let one = status.and_then(|status| status.host_ip.as_deref());
    let all = status.into_iter().flat_map(|status| status.host_ips.iter().flatten()).map(|ip| ip.ip.as_str());
    one.into_iter().chain(all).filter_map(|ip| ip.parse().ok()).collect()
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    if let Some(path) = kubeconfig {
        let shown = path.display();
        let wrong = |error: kube::config::KubeconfigError| {
            Failure::input(format!("--kubeconfig: `{shown}` can not be used: {}", chain(&error)))
        };
        let file = Kubeconfig::read_from(path).map_err(wrong)?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(wrong);
    }
    if context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(|error| {
            Failure::input(format!("--context: the kubeconfig can not be used: {}; {INSTEAD}", chain(&error)))
        });
    }
    Config::infer().await.map_err(|error| {
        Failure::input(format!(
            "there is no cluster to ask: tried $KUBECONFIG or ~/.kube/config, then the service account of a pod: {}; \
             {INSTEAD}",
            chain(&error)
        ))
    })
}

/// An error with what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// A list that the API server did not give.
struct Refused {
    status: Option<u16>,
    text: String,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Cluster(refused.text)
    }
}

async fn list<T>(api: &Api<T>, plural: &str, server: &str) -> Result<Vec<T>, Refused>
where
    T: Clone + std::fmt::Debug + DeserializeOwned,
{
    let (mut objects, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let answer = tokio::time::timeout(PATIENCE, api.list(&params)).await;
        let page = match answer {
            Ok(Ok(page)) => page,
            Ok(Err(kube::Error::Api(status))) => {
                let text = format!("list {plural} at {server}: {} ({})", status.message, status.code);
                return Err(Refused { status: Some(status.code), text });
            }
            Ok(Err(error)) => {
                let text = format!("list {plural} at {server}: {}; {INSTEAD}", chain(&error));
                return Err(Refused { status: None, text });
            }
            Err(_) => {
                let text =
                    format!("list {plural} at {server}: no answer in {} s; {INSTEAD}", PATIENCE.as_secs());
                return Err(Refused { status: None, text });
            }
        };
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(objects),
            Some(token) => params = params.continue_token(&token),
        }
    }
}
