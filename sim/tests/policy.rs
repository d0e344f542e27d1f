//! The policy engine of the agent, with a real kube client, over the fake API server and maps in memory; judged by the
//! verdict that the kernel's programs are made of.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use terway_agent::policy::{NoMeter, Phase, Place, Policy, PolicyPorts, PolicySettings};
use terway_core::probe::NoProbe;
use terway_policy::{
    compile::Limits,
    layout::{ENDPOINT_LOCKED, INGRESS, mapped},
    maps::Maps as _,
    model::Name,
    verdict::{Reason, classify},
};
use terway_sim::{
    apiserver::{ApiModel, ApiServer, Faults, PodSpec, PodStatus, Resource, Target},
    policy::SimMaps,
    ports::SimEntropy,
    scope::{Scope, ScopeSpawner},
};
use tokio::time::{Instant, sleep, timeout};

/// A cluster with one namespace, and one node's engine on it.
struct Bed {
    api: ApiServer,
    maps: SimMaps,
    scope: Arc<Scope>,
    engine: Policy,
    incarnation: u64,
}

impl Bed {
    fn new(limits: Limits) -> Self {
        fastrand::seed(1);
        let start = Instant::now();
        let epoch = Timestamp::from_second(1_750_000_000).expect("a valid time");
        let wall = move || epoch + SignedDuration::try_from(start.elapsed()).expect("a short run");
        let api = ApiServer::new(1, ApiModel::default(), Arc::new(wall));
        api.create(Resource::Namespaces, json!({"metadata": {"name": "ns"}})).expect("a namespace");
        let maps = SimMaps::new(limits);
        let (scope, engine) = Self::start(&api, &maps, 1, Vec::new());
        Self { api, maps, scope, engine, incarnation: 1 }
    }

    fn start(api: &ApiServer, maps: &SimMaps, incarnation: u64, places: Vec<Place>) -> (Arc<Scope>, Policy) {
        let scope = Scope::new(|| Duration::from_millis(1));
        let ports = PolicyPorts {
            kube: api.client("node"),
            maps: Arc::new(maps.clone()),
            entropy: SimEntropy::new(1, "node", incarnation),
            spawner: Arc::new(ScopeSpawner(scope.clone())),
            meter: Arc::new(NoMeter),
            probe: Arc::new(NoProbe),
        };
        let settings =
            PolicySettings { node_ips: vec![[10, 0, 0, 250].into()], hz: 100, ..PolicySettings::default() };
        let engine = Policy::start(ports, settings, places);
        (scope, engine)
    }

    /// The agent dies and comes back; the maps stay.
    fn restart(&mut self, places: Vec<Place>) {
        self.scope.kill();
        self.incarnation += 1;
        (self.scope, self.engine) = Self::start(&self.api, &self.maps, self.incarnation, places);
    }

    fn pod(&self, name: &str, app: &str, ip: Option<&str>) {
        let labels = [("app".to_owned(), app.to_owned())].into();
        let spec = PodSpec { namespace: "ns".into(), name: name.into(), labels, ..PodSpec::default() };
        self.api.create_pod(&spec).expect("a pod");
        if let Some(ip) = ip {
            let status = PodStatus {
                phase: Some("Running".into()),
                pod_ips: Some(vec![ip.into()]),
                ..PodStatus::default()
            };
            self.api.update_pod_status("ns", name, &status).expect("a status");
        }
    }

    fn policy(&self, name: &str, spec: &Value) {
        let value = json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec});
        self.api.create(Resource::NetworkPolicies, value).expect("a policy");
    }

    fn asked(&self, link: u32, from: [u8; 4], port: u16) -> Reason {
        let memory = self.maps.memory();
        let endpoint = memory.endpoint(link).expect("the endpoint is written");
        classify(&*memory, endpoint, INGRESS, &mapped(from), 6, port).reason
    }

    /// Waits until the verdict is this.
    async fn until(&self, link: u32, from: [u8; 4], port: u16, wanted: Reason) {
        let waited = timeout(Duration::from_secs(120), async {
            while self.maps.memory().endpoint(link).is_none() || self.asked(link, from, port) != wanted {
                sleep(Duration::from_millis(50)).await;
            }
        });
        let reached = waited.await.is_ok();
        assert!(
            reached,
            "still {:?}, not {wanted:?}; {:?}",
            self.asked(link, from, port),
            self.engine.status()
        );
    }
}

fn place(link: u32, name: &str, ip: [u8; 4]) -> Place {
    Place { link, pod: Name::new("ns", name), uid: String::new(), ips: vec![ip.into()], flags: 0 }
}

fn only_from(app: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": [{"port": 80}]}],
    })
}

const WEB: [u8; 4] = [10, 0, 0, 1];
const DB: [u8; 4] = [10, 0, 0, 2];

#[tokio::test(start_paused = true)]
async fn what_the_api_server_shows_is_in_force() {
    let bed = Bed::new(Limits::default());
    bed.pod("web", "web", None);
    bed.pod("db", "db", Some("10.0.0.2"));
    bed.policy("p", &only_from("db"));
    bed.engine.bind(place(1, "web", WEB)).await.expect("it runs");
    bed.until(1, DB, 80, Reason::Rule).await;
    assert_eq!(bed.asked(1, DB, 81), Reason::NoRule);
    // The peer's labels change, then the policy goes.
    bed.api
        .merge(Resource::Pods, "ns", "db", json!({"metadata": {"labels": {"app": "other"}}}))
        .expect("a patch");
    bed.until(1, DB, 80, Reason::NoRule).await;
    bed.api.remove(Resource::NetworkPolicies, "ns", "p").expect("a removal");
    bed.until(1, DB, 80, Reason::NotIsolated).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.engine.status().phase, Phase::Serving);
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_never_open_before_its_policies_are_known() {
    let bed = Bed::new(Limits::default());
    bed.api.set_faults(Target::All, Faults { outage: true, ..Faults::default() });
    bed.pod("web", "web", None);
    bed.policy("p", &only_from("db"));
    // The API server cannot be reached: the endpoint is written all the same, locked.
    bed.engine.bind(place(1, "web", WEB)).await.expect("it runs");
    assert_eq!(
        bed.maps.memory().endpoint(1).expect("it is written").flags & ENDPOINT_LOCKED,
        ENDPOINT_LOCKED
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bed.asked(1, DB, 80), Reason::Locked);
    assert_eq!(bed.engine.status().phase, Phase::Loading);
    bed.api.heal();
    bed.until(1, DB, 80, Reason::NoRule).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_again_changes_no_verdict() {
    let mut bed = Bed::new(Limits::default());
    bed.pod("web", "web", None);
    bed.pod("db", "db", Some("10.0.0.2"));
    bed.policy("p", &only_from("db"));
    bed.engine.bind(place(1, "web", WEB)).await.expect("it runs");
    bed.until(1, DB, 80, Reason::Rule).await;
    let before = *bed.maps.memory().endpoint(1).expect("it is written");
    bed.restart(vec![place(1, "web", WEB)]);
    let started = Instant::now();
    while bed.maps.memory().endpoint(1).is_none_or(|endpoint| endpoint.view == before.view) {
        assert_eq!((bed.asked(1, DB, 80), bed.asked(1, DB, 81)), (Reason::Rule, Reason::NoRule));
        assert!(started.elapsed() < Duration::from_secs(60), "the new agent has not published");
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((bed.asked(1, DB, 80), bed.asked(1, DB, 81)), (Reason::Rule, Reason::NoRule));
    bed.until(1, DB, 80, Reason::Rule).await;
    sleep(Duration::from_secs(1)).await;
    let memory = bed.maps.memory();
    assert!(memory.peers.keys().all(|key| key.view != before.view), "the predecessor's entries are left");
    assert_eq!(memory.rules.len(), 1);
    assert_ne!(memory.endpoint(1).expect("it is written").epoch, before.epoch, "flows are judged again");
}

#[tokio::test(start_paused = true)]
async fn a_full_map_keeps_what_is_in_force_and_says_so() {
    let bed = Bed::new(Limits { peers: 4, ..Limits::default() });
    bed.pod("web", "web", None);
    bed.pod("db", "db", Some("10.0.0.2"));
    bed.policy("p", &only_from("db"));
    bed.engine.bind(place(1, "web", WEB)).await.expect("it runs");
    bed.until(1, DB, 80, Reason::Rule).await;
    for number in 3..9 {
        bed.pod(&format!("db-{number}"), "db", Some(&format!("10.0.0.{number}")));
    }
    sleep(Duration::from_secs(5)).await;
    let Phase::Degraded(why) = bed.engine.status().phase else { panic!("{:?}", bed.engine.status()) };
    assert!(why.contains("terway_peer"), "{why}");
    assert_eq!(bed.asked(1, DB, 80), Reason::Rule, "what was in force stays");
    // A pod that starts meanwhile is closed, not open.
    bed.pod("web-2", "web", None);
    bed.engine.bind(place(2, "web-2", [10, 0, 0, 20])).await.expect("it runs");
    assert_eq!(bed.asked(2, DB, 80), Reason::Locked);
    // Room again: everything is published without a restart.
    for number in 3..9 {
        bed.api.remove(Resource::Pods, "ns", &format!("db-{number}")).expect("a removal");
    }
    bed.until(2, DB, 80, Reason::Rule).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.engine.status().phase, Phase::Serving);
}

#[tokio::test(start_paused = true)]
async fn another_pod_of_the_same_name_does_not_lend_its_labels() {
    let bed = Bed::new(Limits::default());
    bed.pod("web", "other", None);
    bed.policy("p", &only_from("db"));
    let sandbox = Place { uid: "of-the-pod-before".into(), ..place(1, "web", WEB) };
    bed.engine.bind(sandbox).await.expect("it runs");
    bed.until(1, DB, 80, Reason::Locked).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(bed.asked(1, DB, 80), Reason::Locked);
    // Nor when the pod was seen long before the sandbox asked for its place.
    assert_eq!(bed.engine.status().phase, Phase::Serving);
    let late = Place { uid: "of-the-pod-before".into(), ..place(2, "web", [10, 0, 0, 9]) };
    bed.engine.bind(late).await.expect("it runs");
    assert_eq!(bed.asked(2, DB, 80), Reason::Locked);
}
