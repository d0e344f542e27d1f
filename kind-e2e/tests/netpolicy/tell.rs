//! What is told of denied packets: the audit log, and lines for whoever listens; and protocols that a node blocks.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::{Value, json};
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp, Object},
    state::{Address, Place},
};
use terway_e2e::{target::Target, task::blocking};
use terway_sim::apiserver::Resource;
use tokio::time::sleep;

use crate::{
    bed::{Kind, Served, becomes, cluster, ip, netns, pod, policy},
    common::{root, until},
};

/// Datagrams sent at once: more than are told one by one.
const MANY: u64 = 5_000;
/// What every line has.
const REQUIRED: [&str; 8] =
    ["timestamp", "source_ip", "destination_ip", "action", "reason", "severity", "event_type", "description"];

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a document")).collect()
}

#[tokio::test]
async fn denied_packets_are_told_with_both_ends_and_the_policy() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("audit/audit.log");
    let cluster = cluster(|spec| {
        spec.nodes = 1;
        let access = json!({"enable_audit": true, "audit_log_path": &log, "audit_log_retention": "1d"});
        spec.eni_conf.insert("security_conf".into(), json!({"access_control": access}));
    })
    .await;
    for name in ["server", "stranger", "liar"] {
        pod(&cluster, name, 1).await;
    }
    let served = Served::start(&cluster, &Target::pod("server"), false);
    policy(&cluster, "shut", &json!({"podSelector": {"matchLabels": {"app": "server"}}}));
    becomes(&cluster, (&[Target::pod("stranger")], &Target::pod("server")), &[false], "shut", |_| false)
        .await;
    let stream = UnixStream::connect(cluster.node(1).expect("there").policy_events()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    // It is let in by a task of the agent's.
    sleep(Duration::from_millis(300)).await;

    let to = served.echo.udp();
    let inside = netns(&cluster, &Target::pod("stranger"));
    inside.run(|| UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"let me in", to)).expect("sent");
    let live = blocking(move || {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map(|_| line)
    });
    let live: Value = serde_json::from_str(&live.await.expect("a line")).expect("a document");
    let wanted = json!({
        "action": "DENY", "source_pod": "default/stranger", "destination_pod": "default/server", "protocol": "UDP",
        "policies": ["default/shut"], "reason": "no-rule", "severity": "MEDIUM", "destination_port": to.port(),
    });
    for (key, value) in wanted.as_object().expect("an object") {
        assert_eq!(&live[key], value, "{key} of {live}");
    }

    let lie: IpAddr = [10, 0, 0, 222].into();
    let liar = netns(&cluster, &Target::pod("liar"));
    let address = Address { dev: "lo".into(), net: lie.into() };
    let add = [NetOp::new(Place::Host, Change::Add(Object::Address(address)))];
    liar.run(|| direct::apply(liar.path(), &add).map_err(std::io::Error::other)).expect("a pod may do that");
    liar.run(|| UdpSocket::bind((lie, 0))?.send_to(b"a lie", to)).expect("sent");
    let spoofed = |line: &Value| {
        line["reason"] == "spoofed" && line["severity"] == "HIGH" && line["source_pod"] == "default/liar"
    };
    until("the lie is told", || async { lines(&log).iter().any(spoofed) }).await;
    let all = lines(&log);
    for line in &all {
        assert!(REQUIRED.iter().all(|key| line.get(key).is_some()), "{line}");
    }
    assert!(all.contains(&live), "what is told live is in the log");

    let told = || {
        let summed = |line: &Value| line["packets"].as_u64().unwrap_or(1);
        lines(&log).iter().map(summed).sum::<u64>()
    };
    let before = told();
    let again = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        (0..MANY).try_for_each(|_| socket.send_to(b"again", to).map(drop))
    };
    inside.run(again).expect("sent");
    until("the rest is accounted for", || async { told() >= before + MANY }).await;
    assert!((lines(&log).len() as u64) < before + MANY, "some were told together");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn what_is_not_understood_of_a_policy_is_told_on_it_once() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    let block = json!({"from": [{"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}}]});
    policy(&cluster, "mapped", &json!({"podSelector": {}, "ingress": [block]}));
    let told = || {
        let all = cluster.vpc.api.all(Resource::Events);
        let events = all.iter().map(|event| event.value());
        events.filter(|event| event["involvedObject"]["kind"] == "NetworkPolicy").collect::<Vec<_>>()
    };
    until("an event", || async { !told().is_empty() }).await;
    let event = &told()[0];
    assert_eq!(event["involvedObject"]["name"], "mapped");
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("RuleNotUnderstood")));
    let message = event["message"].as_str().expect("a text");
    assert!(message.contains("::ffff:10.0.0.0/104") && message.contains("matches nothing"), "{message}");
    // Both nodes have met it by now: each waits for ten seconds at most.
    sleep(Duration::from_secs(11)).await;
    assert_eq!(told().len(), 1, "{:?}", told());
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_blocked_protocol_passes_no_pod_of_the_node() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        let access = json!({"blocked_protocols": ["ICMP", "SCTP"]});
        spec.eni_conf.insert("security_conf".into(), json!({"access_control": access}));
    })
    .await;
    for (name, node) in [("server", 1), ("near", 1), ("far", 2)] {
        pod(&cluster, name, node).await;
    }
    let from = [Target::pod("near"), Target::pod("far")];
    let open = |kind: Kind| matches!(kind, Kind::Tcp | Kind::Udp);
    let to = Target::pod("server");
    becomes(&cluster, (&from, &to), &[false], "two protocols are blocked", |cell| open(cell.kind)).await;
    let own = [Target::Node(1)];
    becomes(&cluster, (&own, &to), &[false], "not from the pod's own node", |_| true).await;
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_privileged_port_is_reached_by_pods_and_the_own_node_alone() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        let access = json!({"privileged_ports": [22]});
        spec.eni_conf.insert("security_conf".into(), json!({"access_control": access}));
    })
    .await;
    for (name, node) in [("server", 1), ("near", 1), ("far", 2)] {
        pod(&cluster, name, node).await;
    }
    let server = ip(&cluster, &Target::pod("server"), false);
    // Nobody accepts: the kernel answers for as long as there is room.
    let _listeners = netns(&cluster, &Target::pod("server"))
        .run(|| {
            [22, 8022]
                .into_iter()
                .map(|port| TcpListener::bind((server, port)))
                .collect::<Result<Vec<_>, _>>()
        })
        .expect("they listen");
    let from = [Target::pod("near"), Target::pod("far"), Target::Node(1), Target::Node(2)];
    let reached = || async {
        let mut reached = Vec::new();
        for (source, port) in from.iter().flat_map(|source| [(source, 22), (source, 8022)]) {
            let (netns, to) = (netns(&cluster, source), SocketAddr::new(server, port));
            let connect = move || TcpStream::connect_timeout(&to, Duration::from_millis(400));
            if blocking(move || netns.run(connect)).await.is_ok() {
                reached.push((source.to_string(), port));
            }
        }
        reached
    };
    let all = from.iter().flat_map(|source| [(source.to_string(), 22), (source.to_string(), 8022)]);
    let wanted: Vec<_> = all.filter(|cell| *cell != (Target::Node(2).to_string(), 22)).collect();
    until("the port is closed to the other node", || async { reached().await == wanted }).await;
    assert_eq!(reached().await, wanted, "a moment later");
    cluster.down().await.expect("down");
}
