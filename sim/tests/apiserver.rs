//! The fake API server seen through the real kube client, watcher and
//! reflector, on a paused runtime.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event as CoreEvent, Node, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::reflector::{Store, store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use terway_sim::apiserver::{
    ApiModel, ApiServer, ChangeKind, EmptyList, Faults, NodeSpec, PodSpec, PodStatus, Resource, Target, Verb,
};
use tokio::time::{Instant, sleep, timeout};

fn server_with(seed: u64, model: ApiModel) -> ApiServer {
    fastrand::seed(seed);
    let start = Instant::now();
    let epoch = Timestamp::from_second(1_750_000_000).expect("a valid time");
    let wall = move || epoch + SignedDuration::try_from(start.elapsed()).expect("a short run");
    ApiServer::new(seed, model, Arc::new(wall))
}

fn server() -> ApiServer {
    server_with(1, ApiModel::default())
}

fn pod(name: &str, node: &str) -> PodSpec {
    PodSpec {
        namespace: "ns".into(),
        name: name.into(),
        node: Some(node.into()),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        ..PodSpec::default()
    }
}

fn on_node(node: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("spec.nodeName={node}"))
}

/// Runs a task on the test's runtime; it dies with the runtime.
#[expect(clippy::disallowed_methods, reason = "a test's runtime is its only scope")]
fn run(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}

type Log = Arc<Mutex<Vec<String>>>;

/// A reflector as an agent runs it, and a log of what it saw when.
fn reflect(api: &ApiServer, node: &str, config: watcher::Config) -> (Store<Pod>, Log) {
    let (reader, writer) = store::<Pod>();
    let log = Log::default();
    let start = Instant::now();
    let events = watcher(Api::<Pod>::all(api.client(node)), config).default_backoff();
    let events = reflector(writer, events);
    let written = Arc::clone(&log);
    run(async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let text = match event {
                Ok(event) => format!("{event}"),
                Err(error) => format!("error: {error}"),
            };
            let at = start.elapsed().as_millis();
            written.lock().expect("one thread").push(format!("{at} {text}"));
        }
    });
    (reader, log)
}

fn names(store: &Store<Pod>) -> Vec<String> {
    let mut names: Vec<String> = store.state().iter().map(|pod| pod.name_any()).collect();
    names.sort();
    names
}

fn seen(log: &Log, what: &str) -> usize {
    log.lock().expect("one thread").iter().filter(|line| line.contains(what)).count()
}

async fn secs(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not a status: {other:?}"),
    }
}

// === round trips ===

#[tokio::test(start_paused = true)]
async fn objects_make_the_round_trip() {
    let api = server();
    let nodes: Api<Node> = Api::all(api.client("a"));
    let new: Node = serde_json::from_value(json!({ "metadata": { "name": "a" } })).expect("a node");
    let made = nodes.create(&PostParams::default(), &new).await.expect("created");
    assert!(made.uid().is_some_and(|uid| uid.len() == 36));
    assert_eq!(made.creation_timestamp().expect("set").0.as_second(), 1_750_000_000);
    let again = nodes.create(&PostParams::default(), &new).await.expect_err("exists");
    assert_eq!(code(again), 409);

    // Plain PATCH leaves status alone, the status PATCH leaves the rest.
    let patch = json!({ "metadata": { "labels": { "x": "1" } }, "status": { "phase": "Bad" } });
    let params = PatchParams::default();
    let patched = nodes.patch("a", &params, &Patch::Merge(&patch)).await.expect("patched");
    assert_eq!(patched.labels()["x"], "1");
    assert!(patched.status.is_none());
    let patch = json!({ "metadata": { "labels": { "x": "2" } },
        "status": { "conditions": [{ "type": "Net", "status": "True" }] } });
    let patched = nodes.patch_status("a", &params, &Patch::Strategic(&patch)).await.expect("patched");
    assert_eq!(patched.labels()["x"], "1");
    let more = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    let patched = nodes.patch_status("a", &params, &Patch::Strategic(&more)).await.expect("patched");
    assert_eq!(patched.status.expect("set").conditions.expect("set").len(), 2);

    let missing = nodes.get("b").await.expect_err("absent");
    assert_eq!(code(missing), 404);
    assert!(nodes.get_opt("b").await.expect("answered").is_none());
    nodes.delete("a", &DeleteParams::default()).await.expect("deleted");
    assert!(api.node("a").is_none());
    let calls = api.calls();
    assert_eq!(calls[&(Verb::Create, Resource::Nodes)].calls, 2);
    assert_eq!(calls[&(Verb::Create, Resource::Nodes)].refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_put_conflicts_and_a_no_op_is_no_event() {
    let api = server_with(1, ApiModel { record_writes: true, ..ApiModel::default() });
    api.create_pod(&pod("p", "a")).expect("created");
    let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
    let first = pods.get("p").await.expect("present");
    let mut changed = first.clone();
    changed.annotations_mut().insert("k".into(), "v".into());
    let changed = pods.replace("p", &PostParams::default(), &changed).await.expect("current");
    let stale = pods.replace("p", &PostParams::default(), &first).await.expect_err("stale");
    assert_eq!(code(stale), 409);
    let same = pods.replace("p", &PostParams::default(), &changed).await.expect("no-op");
    assert_eq!(same.resource_version(), changed.resource_version());
    let codes: Vec<u16> = api.drain_writes().iter().map(|write| write.code).collect();
    assert_eq!(codes, [200, 409, 200]);
    assert!(api.drain_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_deleted_gracefully_then_at_once() {
    let api = server();
    api.create_pod(&pod("p", "a")).expect("created");
    let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
    pods.delete("p", &DeleteParams::default()).await.expect("marked");
    assert!(api.pod("ns", "p").expect("still there").deleting);
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("p", &now).await.expect("removed");
    assert!(api.pod("ns", "p").is_none());
    assert!(api.pods_on_node("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let api = server();
    let held = json!({ "metadata": { "name": "n", "finalizers": ["x/y"] } });
    api.create(Resource::Nodes, held).expect("created");
    let nodes: Api<Node> = Api::all(api.client("a"));
    nodes.delete("n", &DeleteParams::default()).await.expect("marked");
    assert!(api.node("n").expect("held").deleting);
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    nodes.patch("n", &PatchParams::default(), &patch).await.expect("patched");
    assert!(api.node("n").is_none());
}

#[tokio::test(start_paused = true)]
async fn leases_and_events_are_served() {
    let api = server();
    let client = api.client("a");
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let lease = serde_json::from_value(json!({ "metadata": { "name": "l" } })).expect("a lease");
    let made = leases.create(&PostParams::default(), &lease).await.expect("created");
    let blind = leases.replace("l", &PostParams::default(), &lease).await.expect_err("no version");
    assert_eq!(code(blind), 422);
    leases.replace("l", &PostParams::default(), &made).await.expect("current");
    let events: Api<CoreEvent> = Api::namespaced(client, "ns");
    let event = json!({ "metadata": { "generateName": "e-" }, "involvedObject": {} });
    let event = serde_json::from_value(event).expect("an event");
    let made = events.create(&PostParams::default(), &event).await.expect("accepted");
    assert!(made.name_any().starts_with("e-"));
    assert_eq!(api.count(Resource::Events), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_select_and_page() {
    let api = server();
    for n in 0..7 {
        api.create_pod(&pod(&format!("p{n}"), if n < 5 { "a" } else { "b" })).expect("created");
    }
    let pods: Api<Pod> = Api::all(api.client("a"));
    let on_a = ListParams::default().fields("spec.nodeName=a").labels("app=web").limit(2);
    let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let page = ListParams { continue_token: token, ..on_a.clone() };
        let page = pods.list(&page).await.expect("a page");
        sizes.push(page.items.len());
        found.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), sizes), (5, vec![2, 2, 1]));
    let none = pods.list(&ListParams::default().labels("app!=web")).await.expect("a list");
    assert!(none.items.is_empty());
    let bad = pods.list(&ListParams::default().fields("spec.x=1")).await.expect_err("unsupported");
    assert_eq!(code(bad), 400);
}

#[tokio::test(start_paused = true)]
async fn an_expired_page_is_gone() {
    let api = server();
    for n in 0..3 {
        api.create_pod(&pod(&format!("p{n}"), "a")).expect("created");
    }
    let pods: Api<Pod> = Api::all(api.client("a"));
    let first = pods.list(&ListParams::default().limit(1)).await.expect("a page");
    api.drop_watches(Target::All);
    let next = ListParams { continue_token: first.metadata.continue_, ..ListParams::default().limit(1) };
    assert_eq!(code(pods.list(&next).await.expect_err("expired")), 410);
}

// === watches ===

#[tokio::test(start_paused = true)]
async fn a_reflector_follows_its_node_and_no_other() {
    let api = server();
    api.create_pod(&pod("old", "a")).expect("created");
    let (a, log) = reflect(&api, "a", on_node("a"));
    let (b, _) = reflect(&api, "b", on_node("b"));
    secs(1).await;
    assert_eq!((names(&a), names(&b)), (vec!["old".to_owned()], vec![]));
    api.create_pod(&PodSpec { node: None, ..pod("late", "") }).expect("created");
    api.bind_pod("ns", "late", "b").expect("bound");
    assert_eq!(api.bind_pod("ns", "late", "a").expect_err("bound already").code, 409);
    let running = PodStatus {
        phase: Some("Running".into()),
        pod_ips: Some(vec!["10.0.0.1".into()]),
        ..Default::default()
    };
    api.update_pod_status("ns", "old", &running).expect("updated");
    secs(1).await;
    assert_eq!(names(&b), ["late"]);
    let ip = a.state()[0].status.as_ref().and_then(|status| status.pod_ip.clone());
    assert_eq!(ip.as_deref(), Some("10.0.0.1"));
    api.set_deletion_timestamp("ns", "old", 30).expect("marked");
    api.remove_pod("ns", "old").expect("removed");
    secs(1).await;
    assert!(names(&a).is_empty());
    assert_eq!(seen(&log, "late"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_reaches_its_end() {
    let api = server();
    api.create_pod(&pod("p", "a")).expect("created");
    let config = watcher::Config {
        initial_list_strategy: watcher::InitialListStrategy::StreamingList,
        ..on_node("a")
    };
    let (a, log) = reflect(&api, "a", config);
    secs(1).await;
    assert_eq!(names(&a), ["p"]);
    api.remove_pod("ns", "p").expect("removed");
    secs(1).await;
    assert!(names(&a).is_empty());
    assert_eq!(seen(&log, "InitDone"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived() {
    let api = server();
    let (a, log) = reflect(&api, "a", on_node("a"));
    secs(1).await;
    api.update_faults(Target::Client("a"), |faults| faults.outage = true);
    api.create_pod(&pod("p", "a")).expect("created");
    secs(10).await;
    assert!(names(&a).is_empty());
    assert!(seen(&log, "error") > 1);
    api.heal();
    secs(60).await;
    assert_eq!(names(&a), ["p"]);
    assert_eq!(seen(&log, "InitDone"), 1, "it resumed, it did not list again");
}

#[tokio::test(start_paused = true)]
async fn compacted_history_means_a_new_list() {
    for whom in [Target::Client("a"), Target::All] {
        let api = server();
        api.create_pod(&pod("gone", "a")).expect("created");
        let (a, log) = reflect(&api, "a", on_node("a"));
        let (_b, other) = reflect(&api, "b", on_node("b"));
        secs(1).await;
        api.drop_watches(whom);
        api.remove_pod("ns", "gone").expect("removed");
        api.create_pod(&pod("new", "a")).expect("created");
        secs(10).await;
        assert_eq!(names(&a), ["new"]);
        assert_eq!((seen(&log, "too old"), seen(&log, "InitDone")), (1, 2));
        assert_eq!(seen(&other, "InitDone"), 1 + usize::from(whom == Target::All));
    }
}

#[tokio::test(start_paused = true)]
async fn bookmarks_keep_an_idle_watch_resumable() {
    let run = async |bookmark_period| {
        let model = ApiModel { bookmark_period, history_events: 10, ..ApiModel::default() };
        let api = server_with(1, model);
        let (_a, log) = reflect(&api, "a", on_node("a").timeout(3_000));
        for n in 0..100 {
            api.create_pod(&pod(&format!("p{n}"), "b")).expect("created");
            secs(10).await;
        }
        secs(60).await;
        api.cut_watches(Target::All);
        secs(60).await;
        seen(&log, "InitDone")
    };
    assert_eq!(run(Some(Duration::from_mins(1))).await, 1);
    assert_eq!(run(None).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_timeout_and_resumes() {
    let api = server();
    let (a, log) = reflect(&api, "a", on_node("a").timeout(20));
    secs(90).await;
    api.create_pod(&pod("p", "a")).expect("created");
    secs(1).await;
    assert_eq!(names(&a), ["p"]);
    assert_eq!(seen(&log, "error"), 0);
    let watches = api.calls()[&(Verb::Watch, Resource::Pods)].calls;
    assert_eq!((watches, seen(&log, "InitDone")), (5, 1));
    assert_eq!(api.open_watches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_believed_until_the_next_one() {
    let api = server();
    api.create_pod(&pod("p", "a")).expect("created");
    let (a, _) = reflect(&api, "a", on_node("a"));
    secs(1).await;
    api.update_faults(Target::Client("a"), |faults| faults.empty_list = EmptyList::Times(1));
    api.drop_watches(Target::Client("a"));
    secs(10).await;
    assert!(names(&a).is_empty(), "the lie of the list was believed");
    api.drop_watches(Target::Client("a"));
    secs(10).await;
    assert_eq!(names(&a), ["p"]);
}

#[tokio::test(start_paused = true)]
async fn lag_delays_events_and_keeps_their_order() {
    let api = server();
    let (a, log) = reflect(&api, "a", on_node("a"));
    secs(1).await;
    api.update_faults(Target::All, |faults| faults.watch_lag = Duration::from_secs(30));
    api.create_pod(&pod("p0", "a")).expect("created");
    secs(5).await;
    // Later events are not late; they still may not overtake.
    api.update_faults(Target::All, |faults| faults.watch_lag = Duration::ZERO);
    for n in 1..5 {
        api.create_pod(&pod(&format!("p{n}"), "a")).expect("created");
    }
    secs(20).await;
    assert!(names(&a).is_empty());
    secs(10).await;
    let log = log.lock().expect("one thread").clone();
    let order: Vec<&str> =
        log.iter().filter_map(|line| line.split_once("Apply(")).map(|(_, name)| name).collect();
    assert_eq!(order, ["p0)", "p1)", "p2)", "p3)", "p4)"]);
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_harmless() {
    let api = server();
    api.set_faults(Target::All, Faults { watch_duplicate: 1.0, ..Faults::default() });
    let (a, log) = reflect(&api, "a", on_node("a"));
    secs(1).await;
    api.create_pod(&pod("p", "a")).expect("created");
    secs(1).await;
    assert_eq!((names(&a).len(), seen(&log, "Apply(p)")), (1, 2));
    api.remove_pod("ns", "p").expect("removed");
    secs(1).await;
    assert_eq!((names(&a).len(), seen(&log, "Delete(p)")), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_behind_is_gone() {
    let api = server_with(1, ApiModel { watch_queue: 5, ..ApiModel::default() });
    let (a, log) = reflect(&api, "a", on_node("a"));
    secs(1).await;
    for n in 0..20 {
        api.create_pod(&pod(&format!("p{n}"), "a")).expect("created");
    }
    secs(10).await;
    assert_eq!((names(&a).len(), seen(&log, "too old")), (20, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_is_closed() {
    let api = server();
    let pods: Api<Pod> = Api::all(api.client("a"));
    let stream = pods.watch(&WatchParams::default(), "0").await.expect("opened");
    assert_eq!(api.open_watches(), 1);
    drop(stream);
    assert_eq!(api.open_watches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_one_node_object_sees_its_updates() {
    let api = server();
    api.create_node(&NodeSpec { name: "a".into(), ..NodeSpec::default() }).expect("created");
    api.create_node(&NodeSpec { name: "b".into(), ..NodeSpec::default() }).expect("created");
    let nodes: Api<Node> = Api::all(api.client("a"));
    let params = WatchParams::default().fields("metadata.name=a");
    let stream = nodes.watch(&params, "0").await.expect("opened");
    let mut stream = std::pin::pin!(stream);
    let mut next = async || match next_of(&mut stream).await {
        WatchEvent::Added(node) | WatchEvent::Modified(node) => node,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await.name_any(), "a");
    api.merge_node("b", json!({ "metadata": { "labels": { "l": "b" } } })).expect("merged");
    api.merge_node("a", json!({ "metadata": { "labels": { "l": "a" } } })).expect("merged");
    assert_eq!(next().await.labels()["l"], "a");
}

async fn next_of<T>(stream: &mut (impl Stream<Item = kube::Result<T>> + Unpin)) -> T {
    let next = timeout(Duration::from_secs(5), stream.next()).await.expect("soon");
    next.expect("open").expect("healthy")
}

// === faults of requests ===

#[tokio::test(start_paused = true)]
async fn an_outage_may_lose_the_answer_of_a_write_that_happened() {
    let api = server();
    api.create_pod(&pod("p", "a")).expect("created");
    let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
    api.update_faults(Target::Client("a"), |faults| faults.slow_add = Duration::from_secs(2));
    let out = api.clone();
    run(async move {
        sleep(Duration::from_millis(1_500)).await;
        out.update_faults(Target::Client("a"), |faults| faults.outage = true);
    });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "k": "v" } } }));
    pods.patch("p", &PatchParams::default(), &patch).await.expect_err("nobody answered");
    let annotated = api.pod("ns", "p").expect("present").value();
    assert_eq!(annotated["metadata"]["annotations"]["k"], "v");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_statuses_and_retried_as_kube_does() {
    let api = server_with(1, ApiModel { client_retries: false, ..ApiModel::default() });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "k": "v" } } }));
    api.create_pod(&pod("p", "a")).expect("created");
    let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
    for (faults, expected) in [
        (Faults { conflict: 1.0, ..Faults::default() }, 409),
        (Faults { throttle: 1.0, ..Faults::default() }, 429),
        (Faults { unavailable: 1.0, ..Faults::default() }, 503),
    ] {
        api.set_faults(Target::All, faults);
        let refused = pods.patch("p", &PatchParams::default(), &patch).await;
        assert_eq!(code(refused.expect_err("refused")), expected);
    }

    let api = server();
    api.set_faults(Target::Client("a"), Faults { throttle: 0.5, ..Faults::default() });
    let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
    for _ in 0..20 {
        pods.list(&ListParams::default()).await.expect("retried until it works");
    }
    let count = api.calls()[&(Verb::List, Resource::Pods)];
    assert_eq!(count.calls, 20 + count.refused);
    assert!(count.refused > 5);
}

#[tokio::test(start_paused = true)]
async fn slowness_multiplies_and_adds() {
    let api = server();
    let pods: Api<Pod> = Api::all(api.client("a"));
    let faults = Faults { slow_factor: 10.0, slow_add: Duration::from_secs(1), ..Faults::default() };
    api.set_faults(Target::Client("a"), faults);
    let start = Instant::now();
    pods.list(&ListParams::default()).await.expect("slow");
    assert!(start.elapsed() >= Duration::from_millis(1_060), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_can_be_refused_by_status() {
    let api = server_with(1, ApiModel { gone_as_status: true, ..ApiModel::default() });
    api.drop_watches(Target::All);
    let pods: Api<Pod> = Api::all(api.client("a"));
    let refused = pods.watch(&WatchParams::default(), "1").await;
    assert_eq!(code(refused.err().expect("expired")), 410);
}

// === the simulator's own view ===

#[tokio::test(start_paused = true)]
async fn subscribers_hear_of_their_node_at_once() {
    let api = server();
    let (mut a, mut all) = (api.subscribe_pods(Some("a")), api.subscribe_pods(None));
    api.create_pod(&PodSpec { node: None, ..pod("p", "") }).expect("created");
    api.bind_pod("ns", "p", "a").expect("bound");
    api.create_pod(&pod("q", "b")).expect("created");
    api.remove_pod("ns", "p").expect("removed");
    let drain = |receiver: &mut tokio::sync::mpsc::UnboundedReceiver<_>| {
        let notices = std::iter::from_fn(|| receiver.try_recv().ok());
        notices.map(|notice: terway_sim::apiserver::Notice| notice.kind).collect::<Vec<_>>()
    };
    assert_eq!(drain(&mut a), [ChangeKind::Added, ChangeKind::Deleted]);
    let everything = [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Added, ChangeKind::Deleted];
    assert_eq!(drain(&mut all), everything);
}

// === determinism and cost ===

/// Faults of every kind against three reflectors; all their logs.
async fn eventful(seed: u64, nodes: usize) -> Vec<Vec<String>> {
    let api = server_with(seed, ApiModel::default());
    let names: Vec<String> = (0..nodes).map(|n| format!("n{n}")).collect();
    let logs: Vec<Log> = names.iter().map(|node| reflect(&api, node, on_node(node)).1).collect();
    let faults = Faults { watch_duplicate: 0.2, throttle: 0.2, unavailable: 0.1, ..Faults::default() };
    api.set_faults(Target::All, faults);
    for round in 0..60 {
        for node in &names {
            api.create_pod(&pod(&format!("{node}-{round}"), node)).expect("created");
            if round > 3 {
                api.remove_pod("ns", &format!("{node}-{}", round - 3)).expect("removed");
            }
        }
        sleep(Duration::from_millis(700)).await;
        match round {
            10 => api.update_faults(Target::Client("n0"), |faults| faults.outage = true),
            20 => api.update_faults(Target::Client("n0"), |faults| faults.outage = false),
            30 => api.drop_watches(Target::All),
            _ => {}
        }
    }
    secs(60).await;
    logs.iter().map(|log| log.lock().expect("one thread").clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_seed_replays() {
    let first = eventful(7, 3).await;
    assert!(first.iter().all(|log| log.len() > 100), "too quiet to prove anything");
    assert_eq!(first, eventful(7, 3).await);
    assert_ne!(first, eventful(8, 3).await);
}

#[tokio::test(start_paused = true)]
async fn one_client_more_does_not_shift_the_draws_of_another() {
    let alone = async |seed: u64, busy: bool| {
        let api = server_with(seed, ApiModel::default());
        api.set_faults(Target::All, Faults { conflict: 0.5, ..Faults::default() });
        api.create_pod(&pod("p", "a")).expect("created");
        if busy {
            let other: Api<Pod> = Api::all(api.client("b"));
            for _ in 0..5 {
                other.list(&ListParams::default()).await.expect("a list");
            }
        }
        let pods: Api<Pod> = Api::namespaced(api.client("a"), "ns");
        let mut outcomes = Vec::new();
        for n in 0..20 {
            let start = Instant::now();
            let patch = Patch::Merge(json!({ "metadata": { "annotations": { "k": n.to_string() } } }));
            let result = pods.patch("p", &PatchParams::default(), &patch).await;
            outcomes.push((result.is_ok(), start.elapsed()));
        }
        outcomes
    };
    let quiet = alone(1, false).await;
    assert_eq!(quiet, alone(1, true).await);
    assert_ne!(quiet, alone(2, false).await);
}

/// Resident bytes of this process; zero where /proc is absent.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// CPU time of this process, in seconds; the virtual clock says nothing.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Prints figures; run alone with `--ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement: it asserts only that everybody saw everything"]
async fn a_thousand_reflectors() {
    let nodes = std::env::var("NODES").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(1_000);
    let api = server();
    let names: Vec<String> = (0..nodes).map(|n| format!("node-{n}")).collect();
    let before = resident();
    let mut applied = Vec::new();
    for node in &names {
        let (reader, writer) = store::<Pod>();
        let events =
            reflector(writer, watcher(Api::<Pod>::all(api.client(node)), on_node(node)).default_backoff());
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        applied.push((reader, Arc::clone(&count)));
        run(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                if matches!(event, Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_))) {
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        });
    }
    secs(10).await;
    println!("idle: {} bytes per node", (resident() - before) / nodes);
    let start = cpu();
    secs(3_600).await;
    println!("idle hour: {:.3} s", cpu() - start);
    let (start, mut writing) = (cpu(), 0.0);
    for round in 0..100 {
        let wrote = cpu();
        for node in &names {
            api.create_pod(&pod(&format!("{node}-p{round}"), node)).expect("created");
        }
        writing += cpu() - wrote;
        secs(1).await;
        let wrote = cpu();
        for node in &names {
            api.remove_pod("ns", &format!("{node}-p{round}")).expect("removed");
        }
        writing += cpu() - wrote;
        secs(1).await;
    }
    let (took, events) = (cpu() - start, nodes * 200);
    for (reader, count) in &applied {
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 200);
        assert!(reader.is_empty());
    }
    let micros = |seconds: f64| seconds * 1e6 / events as f64;
    println!(
        "{events} events in {took:.2} s: {:.0} events/s, {:.1} us each ({:.1} us in the writing call)",
        events as f64 / took,
        micros(took),
        micros(writing),
    );
    println!("after: {} bytes per node", (resident() - before) / nodes);
}
