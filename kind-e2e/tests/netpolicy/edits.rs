//! Two thousand edits under load, agents killed meanwhile: what all policies allow is never dropped, what none allows
//! never passes.

use std::{
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use terway_core::id::PodKey;
use terway_e2e::{cluster::Cluster, netns::Netns, target::Target};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    bed::{Served, becomes, cluster, netns, pod, policy},
    common::root,
};

const EDITS: usize = 2_000;
const KILLS: usize = 20;
/// A packet that has no answer for so long is lost. Two cores are busy; what is dropped comes never.
const LOST: Duration = Duration::from_secs(2);

/// What became of a stream of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    pub(crate) lost: u64,
}

/// Asks without pause until it is stopped.
pub(crate) struct Asking {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
}

impl Asking {
    fn start(ask: impl Fn() -> std::io::Result<()> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let mut tally = Tally::default();
            while !stopped.load(Relaxed) {
                tally.asked += 1;
                tally.lost += u64::from(ask().is_err());
                std::thread::park_timeout(Duration::from_micros(500));
            }
            tally
        };
        Self { stop, thread: Builder::new().spawn(run).expect("a thread") }
    }

    /// Datagrams of one flow.
    pub(crate) fn one_flow(from: &Netns, to: SocketAddr) -> Self {
        let socket = socket(from, to);
        Self::start(move || question(&socket))
    }

    /// Datagrams of a new flow each.
    pub(crate) fn new_flows(from: Netns, to: SocketAddr) -> Self {
        Self::start(move || question(&socket(&from, to)))
    }

    /// One connection.
    pub(crate) fn connection(from: &Netns, to: SocketAddr) -> Self {
        let stream = from.run(|| TcpStream::connect_timeout(&to, LOST)).expect("connected");
        stream.set_read_timeout(Some(LOST)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self::start(move || {
            use std::io::{Read as _, Write as _};
            let mut answer = [0; 5];
            (&stream).write_all(b"still")?;
            (&stream).read_exact(&mut answer)
        })
    }

    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn socket(from: &Netns, to: SocketAddr) -> UdpSocket {
    let made = from.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(LOST))?;
        Ok(socket)
    });
    made.expect("a socket")
}

fn question(socket: &UdpSocket) -> std::io::Result<()> {
    socket.send(b"there?")?;
    socket.recv(&mut [0; 16]).map(drop)
}

/// Forms of a policy that all say: near and far may, never may not.
fn form(number: usize, never: &str) -> Value {
    let selected = json!({"matchLabels": {"app": "server"}});
    let peers = match number % 6 {
        0 => {
            json!([{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["near", "far"]}]}}])
        }
        1 => {
            json!([{"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["never"]}]}}])
        }
        2 => {
            json!([{"podSelector": {"matchLabels": {"app": "near"}}}, {"podSelector": {"matchLabels": {"app": "far"}}}])
        }
        3 => json!([{"ipBlock": {"cidr": "10.0.0.0/16", "except": [format!("{never}/32")]}}]),
        4 => {
            json!([{"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "may", "operator": "Exists"}]}}])
        }
        _ => {
            json!([{"podSelector": {"matchLabels": {"app": "far"}}}, {"podSelector": {"matchLabels": {"app": "near"}}}])
        }
    };
    let ports = match number % 4 {
        0 => Value::Null,
        1 => json!([{"protocol": "UDP"}, {"protocol": "TCP"}]),
        2 => {
            json!([{"protocol": "UDP", "port": 1, "endPort": 65535}, {"protocol": "TCP", "port": 1024, "endPort": 65535}])
        }
        _ => {
            json!([{"protocol": "TCP"}, {"protocol": "UDP", "port": 1, "endPort": 40000}, {"protocol": "UDP", "port": 30000, "endPort": 65535}])
        }
    };
    let mut rule = json!({"from": peers});
    if !ports.is_null() {
        rule["ports"] = ports;
    }
    let mut rules = vec![rule];
    // Others before it, that match nobody here.
    rules.extend((0..number % 7).map(|other| {
        json!({"from": [{"podSelector": {"matchLabels": {"app": format!("nobody-{other}")}}}], "ports": [{"port": 80 + other}]})
    }));
    json!({"podSelector": selected, "ingress": rules})
}

/// One edit. Each leaves a cluster in which near and far may, and never may not.
fn edit(cluster: &Cluster, number: usize, never: &str) {
    match number % 10 {
        0..=4 => policy(cluster, "one", &form(number, never)),
        5 | 6 => policy(cluster, "two", &form(number + 3, never)),
        7 => match number % 20 {
            7 => policy(cluster, "deny-all", &json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
            _ => cluster.remove_policy("default", "deny-all").expect("it was made ten edits ago"),
        },
        8 => policy(
            cluster,
            "sends",
            &json!({"podSelector": {"matchLabels": {"app": "near"}}, "policyTypes": ["Egress"], "egress": [
                {"to": [{"podSelector": {"matchLabels": {"app": "server"}}}], "ports": [{"protocol": "UDP"}, {"protocol": "TCP"}]},
                {"to": [{"ipBlock": {"cidr": format!("10.{}.0.0/16", 1 + number % 100)}}]},
            ]}),
        ),
        _ => {
            let turn = json!({"turn": number.to_string()});
            cluster.label_pod(&PodKey::new("default", "far"), &turn).expect("labelled");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_edits_under_load_drop_nothing_allowed_and_pass_nothing_denied() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    for (name, node) in [("server", 1), ("never", 2)] {
        pod(&cluster, name, node).await;
    }
    for (name, node) in [("near", 1), ("far", 2)] {
        let spec =
            terway_e2e::pod::PodSpec::new("default", name, node).label("app", name).label("may", "yes");
        cluster.run_pod(&spec).await.expect("a pod");
    }
    let to = Target::pod("server");
    let never = crate::bed::ip(&cluster, &Target::pod("never"), false).to_string();
    policy(&cluster, "one", &form(0, &never));
    policy(&cluster, "two", &form(1, &never));
    let from = [Target::pod("near"), Target::pod("far"), Target::pod("never")];
    let denied = Target::pod("never").to_string();
    becomes(&cluster, (&from, &to), &[false], "before the edits", |cell| cell.from != denied).await;
    let (served, closed) = (Served::start(&cluster, &to, false), Served::start(&cluster, &to, false));
    let inside = |name: &str| netns(&cluster, &Target::pod(name));
    let mut asked = Vec::new();
    for name in ["near", "far"] {
        asked.push((name, "one flow", Asking::one_flow(&inside(name), served.echo.udp())));
        asked.push((name, "new flows", Asking::new_flows(inside(name), served.echo.udp())));
    }
    asked.push(("near", "a connection", Asking::connection(&inside("near"), served.echo.tcp())));
    let other = Served::start(&cluster, &to, false);
    asked.push(("far", "a connection", Asking::connection(&inside("far"), other.echo.tcp())));
    // What is never answered waits, so it is sent by many.
    let refused: Vec<Asking> = (0..4)
        .flat_map(|_| {
            [
                Asking::one_flow(&inside("never"), closed.echo.udp()),
                Asking::new_flows(inside("never"), closed.echo.udp()),
            ]
        })
        .collect();
    let shouting = shout(&inside("never"), closed.echo.udp());

    let begun = Instant::now();
    let editing = async {
        for number in 0..EDITS {
            edit(&cluster, number, &never);
            // Some are seen one by one, some in crowds.
            if number % 16 < 8 {
                sleep(Duration::from_millis(8)).await;
            }
        }
    };
    let killing = async {
        for number in 0..KILLS {
            sleep(Duration::from_micros(100_000 + (number as u64 * 77_919) % 300_000)).await;
            let node = 1 + number % 2;
            cluster.kill_daemon(node).await.expect("killed");
            cluster.start_daemon(node).expect("started");
        }
    };
    timeout(Duration::from_secs(180), async { tokio::join!(editing, killing) }).await.expect("in time");
    let took = begun.elapsed();
    for node in 1..=2 {
        cluster.ready(node).await.expect("it serves in the end");
    }
    // What was written last is in force on both nodes.
    sleep(Duration::from_secs(1)).await;
    let shouted = shouting.end();
    let waited: Vec<Tally> = refused.into_iter().map(Asking::end).collect();
    let mut lost = Vec::new();
    for (name, what, asking) in asked {
        let tally = asking.end();
        println!("{name}, {what}: {} asked, {} lost", tally.asked, tally.lost);
        assert!(tally.asked > 100, "{name}, {what}: {tally:?}");
        lost.extend((tally.lost > 0).then_some((name, what, tally)));
    }
    println!(
        "{EDITS} edits and {KILLS} kills in {took:.1?}; never: {} sent, {} got through",
        shouted.asked,
        closed.echo.datagrams()
    );
    assert_eq!(lost, [], "what every policy allows was dropped");
    assert_eq!(closed.echo.datagrams(), 0, "what no policy allows got through");
    assert!(waited.iter().all(|tally| tally.lost == tally.asked), "{waited:?}");
    assert!(shouted.asked > 10_000, "{shouted:?}");

    // And the end of it is what was written last.
    cluster.remove_policy("default", "two").expect("removed");
    policy(
        &cluster,
        "one",
        &json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "never"}}}]}
        ]}),
    );
    becomes(&cluster, (&from, &to), &[false], "after the edits", |cell| cell.from == denied).await;
    cluster.down().await.expect("down");
}

/// Sends without waiting for answers.
fn shout(from: &Netns, to: SocketAddr) -> Asking {
    let socket = socket(from, to);
    Asking::start(move || socket.send(b"let me in").map(drop))
}
