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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers requests by their path, each on a connection of its own, for ever.
    async fn serve(listener: TcpListener, answer: impl Fn(&str) -> (u16, String)) -> ! {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let byte = stream.read_u8().await.expect("a request");
                request.push(byte);
            }
            let request = String::from_utf8(request).expect("text");
            let path = request.split(' ').nth(1).expect("a path");
            let (code, body) = answer(path);
            let head = format!(
                "HTTP/1.1 {code} .\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("written");
            stream.write_all(body.as_bytes()).await.expect("written");
        }
    }

    fn kubeconfig(port: u16) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], \
             clusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(file.path(), text).expect("written");
        file
    }

    async fn read(answer: impl Fn(&str) -> (u16, String)) -> Result<Cluster, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let file = kubeconfig(listener.local_addr().expect("an address").port());
        tokio::select! {
            cluster = cluster(Some(file.path()), None) => cluster,
            never = serve(listener, answer) => never,
        }
    }

    fn status(code: u16, message: &str) -> (u16, String) {
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code,
        });
        (code, status.to_string())
    }

    fn items(kind: &str, more: &str, items: &serde_json::Value) -> (u16, String) {
        let list = serde_json::json!({
            "kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {"continue": more}, "items": items,
        });
        (200, list.to_string())
    }

    fn pod(name: &str, ip: &str) -> serde_json::Value {
        serde_json::json!({
            "metadata": {"name": name, "namespace": "a"},
            "status": {"podIP": ip, "hostIP": "192.168.0.1", "hostIPs": [{"ip": "192.168.0.1"}, {"ip": "fd00::1"}]},
        })
    }

    fn common(path: &str) -> (u16, String) {
        if path.starts_with("/api/v1/namespaces") {
            items("Namespace", "", &serde_json::json!([{"metadata": {"name": "a"}}]))
        } else if path.starts_with("/api/v1/pods") && path.contains("continue=next") {
            items("Pod", "", &serde_json::json!([pod("two", "10.0.0.2")]))
        } else if path.starts_with("/api/v1/pods") {
            items("Pod", "next", &serde_json::json!([pod("one", "10.0.0.1"), pod("odd", "10.0.0")]))
        } else if path.starts_with("/apis/networking.k8s.io/v1/networkpolicies") {
            let policy = serde_json::json!({
                "metadata": {"name": "p", "namespace": "a"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
            });
            items("NetworkPolicy", "", &serde_json::json!([policy]))
        } else {
            status(404, "the server could not find the requested resource")
        }
    }

    #[tokio::test]
    async fn lists_are_followed_to_their_end_and_the_definition_may_be_absent() {
        let cluster = read(common).await.expect("a cluster");
        let pods: Vec<_> = cluster.snapshot.pods.keys().map(ToString::to_string).collect();
        assert_eq!(pods, ["a/one", "a/two"]);
        assert_eq!(cluster.snapshot.policies.len(), 1);
        assert_eq!(cluster.nodes[&Name::new("a", "one")].len(), 2);
        let [note] = &cluster.notes[..] else { panic!("{:?}", cluster.notes) };
        assert!(note.contains("a pod is left out") && note.contains("status.podIP"), "{note}");
    }

    #[tokio::test]
    async fn cluster_policies_are_read_where_there_are_some() {
        let cluster = read(|path| {
            if !path.contains("clusternetworkpolicies") {
                return common(path);
            }
            let policy = serde_json::json!({
                "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": {"name": "admin"},
                "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}},
            });
            items("ClusterNetworkPolicy", "", &serde_json::json!([policy]))
        });
        assert!(cluster.await.expect("a cluster").snapshot.cluster_policies.contains_key("admin"));
    }

    #[tokio::test]
    async fn a_refusal_is_told_and_is_no_verdict() {
        let refused = read(|path| {
            let pods = path.starts_with("/api/v1/pods");
            if pods { status(403, "pods is forbidden") } else { common(path) }
        });
        let failure = refused.await.expect_err("refused");
        assert_eq!(failure.code(), 2);
        let text = failure.to_string();
        assert!(
            text.starts_with("list pods at http://127.0.0.1:") && text.contains("pods is forbidden (403)"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_what_could_be_given_instead() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let file = kubeconfig(listener.local_addr().expect("an address").port());
        drop(listener);
        let failure = cluster(Some(file.path()), None).await.expect_err("nobody");
        let text = failure.text();
        assert!(text.contains("list namespaces at http://127.0.0.1:") && text.contains("give -f"), "{text}");
    }
}
