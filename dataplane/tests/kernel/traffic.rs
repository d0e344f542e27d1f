//! Two pods of one node reach each other: ICMP, TCP, UDP; IPv4 and IPv6; 1500 and 9000 bytes.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::{process::setpriority_process, thread::gettid};
use terway_dataplane::{
    op::{Change, NetOp},
    pod::{Bandwidth, PodNet},
    state::Place,
};
use terway_probe::icmp::{Echo, USUAL};
use tokio::time::Instant;

use crate::world::{Ns, World, pod, root};

/// Bytes per second that the limited pod has: a megabyte takes half a second.
const RATE: u64 = 2_000_000;

const PATIENCE: Duration = Duration::from_secs(3);

/// ADDs into which, and out of which, the first packet is sent.
const ROUNDS: u8 = 40;
/// Threads that do nothing but compute meanwhile: more than a small machine has cores.
const LOAD: usize = 8;
/// How nice the one that adds and sends is: it gets its turn before the kernel's own workers, so that whoever does
/// not wait for them loses packets.
const HASTE: i32 = -15;

/// Duplicate detection takes at least a second: who is answered sooner did not wait for it.
const AT_ONCE: Duration = Duration::from_millis(900);

/// Sends one echo request of that many bytes from inside a namespace, once; true when the answer carries them back.
fn ping(from: &Ns, to: IpAddr, bytes: usize) -> bool {
    asked(&open(from, to), bytes)
}

/// An open socket: nothing is left to do before the packet leaves.
fn open(from: &Ns, to: IpAddr) -> Echo {
    from.run(|| Echo::open(to, None)).expect("a raw socket")
}

fn asked(echo: &Echo, bytes: usize) -> bool {
    echo.ask(bytes, 1, PATIENCE).is_ok_and(|answer| answer.is_some())
}

/// Bytes over TCP from one namespace to another; how long until the last one is read.
fn stream(from: &Ns, to: &Ns, at: IpAddr, bytes: usize) -> Duration {
    let listener = to.run(|| TcpListener::bind((at, 0))).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut client = from.run(|| TcpStream::connect_timeout(&address, PATIENCE)).expect("connected");
    let (mut server, peer) = listener.accept().expect("accepted");
    assert_ne!(peer.ip(), at);
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || client.write_all(&vec![7; bytes]).expect("written"));
        let mut read = vec![0; bytes];
        server.read_exact(&mut read).expect("read");
        assert!(read.iter().all(|byte| *byte == 7));
    });
    start.elapsed()
}

fn datagram(from: &Ns, to: &Ns, at: IpAddr, source: IpAddr) {
    let server = to.run(|| UdpSocket::bind((at, 0))).expect("a socket");
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let client = from.run(|| UdpSocket::bind((source, 0))).expect("a socket");
    client.send_to(b"are you there", server.local_addr().expect("an address")).expect("sent");
    let mut buffer = [0; 64];
    let (length, peer) = server.recv_from(&mut buffer).expect("received");
    assert_eq!(
        (&buffer[..length], peer.ip()),
        (&b"are you there"[..], source),
        "the source is the pod's own"
    );
}

fn two(mtu: u32, change: impl Fn(&mut PodNet)) -> (World, [(PodNet, Ns); 2]) {
    let world = World::new(9000);
    let pods = [5, 6].map(|n| {
        let mut pod = PodNet { mtu, ..pod(n) };
        change(&mut pod);
        let netns = Ns::new();
        world.add(&pod, &netns);
        (pod, netns)
    });
    (world, pods)
}

#[test]
fn pods_of_one_node_reach_each_other_at_once_in_both_families_and_sizes() {
    if !root() {
        return;
    }
    for mtu in [1500, 9000] {
        let (_world, [(one, inside_one), (two, inside_two)]) = two(mtu, |_| ());
        for (source, at) in one.ips.iter().zip(two.ips.iter()) {
            for bytes in [56, 8192] {
                let start = Instant::now();
                assert!(ping(&inside_one, at, bytes), "{bytes} bytes to {at} at {mtu}");
                assert!(start.elapsed() < AT_ONCE, "{at} was slow: {:?}", start.elapsed());
            }
            stream(&inside_one, &inside_two, at, 1 << 20);
            stream(&inside_two, &inside_one, source, 1 << 20);
            datagram(&inside_one, &inside_two, at, source);
        }
    }
}

#[test]
fn a_pod_is_reached_from_the_node_as_a_probe_would() {
    if !root() {
        return;
    }
    let (world, [(one, inside), _]) = two(1500, |_| ());
    let node = |ip: &str| {
        let net = ip.parse().expect("valid");
        let address = terway_dataplane::state::Address { dev: "eth1".into(), net };
        NetOp::new(Place::Pod, Change::Add(terway_dataplane::op::Object::Address(address)))
    };
    // As if the node were the pod of this change: then its end is that the addresses receive.
    let addresses = [node("10.0.0.9/32"), node("2001:db8:0:1::9/128")];
    world.apply(&world.host, &addresses).expect("the node's addresses");
    for at in one.ips.iter() {
        assert!(ping(&world.host, at, 56), "{at}");
        stream(&world.host, &inside, at, 1000);
    }
}

#[test]
fn a_pod_without_its_route_on_the_host_is_not_reached() {
    if !root() {
        return;
    }
    // That the pings above can fail: without its route the answer has nowhere to go.
    let (world, [(_, inside_one), (two, inside_two)]) = two(1500, |_| ());
    let wanted = world.desired(&two);
    let routes = wanted.host.routes.iter().cloned().map(terway_dataplane::op::Object::Route);
    let ops: Vec<NetOp> = routes.map(|route| NetOp::new(Place::Host, Change::Del(route))).collect();
    world.apply(&inside_two, &ops).expect("taken");
    assert!(!ping(&inside_one, two.ips.v4.into(), 56));
}

#[test]
fn limits_hold_for_what_a_pod_sends_and_receives() {
    if !root() {
        return;
    }
    let (_world, [(unlimited, free), (limited, inside)]) = two(1500, |pod| {
        if pod.container.as_str() == "sandbox-6" {
            pod.bandwidth = Bandwidth { ingress: RATE, egress: RATE };
        }
    });
    let bytes = 1_000_000;
    let least = Duration::from_millis(400);
    let most = Duration::from_millis(1500);
    let ingress = stream(&free, &inside, limited.ips.v4.into(), bytes);
    assert!(ingress > least && ingress < most, "1 MB into a pod limited to 2 MB/s took {ingress:?}");
    let egress = stream(&inside, &free, unlimited.ips.v4.into(), bytes);
    assert!(egress > least && egress < most, "1 MB out of a pod limited to 2 MB/s took {egress:?}");
}

#[test]
fn the_first_packet_after_an_add_is_not_lost_on_a_busy_machine() {
    if !root() {
        return;
    }
    let (world, [(_, inside), _]) = two(1500, |_| ());
    let busy = AtomicBool::new(true);
    let lost = std::thread::scope(|scope| {
        for _ in 0..LOAD {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        setpriority_process(Some(gettid()), HASTE).expect("root may hurry");
        let lost: Vec<_> = (0..ROUNDS).flat_map(|round| first_packets(&world, &inside, round)).collect();
        busy.store(false, Ordering::Relaxed);
        lost
    });
    assert_eq!(lost, [], "rounds whose first packet was lost");
}

/// Four ADDs, each followed at once by one packet: of either family, into the new pod and out of it. What was lost is
/// returned.
fn first_packets(world: &World, other: &Ns, round: u8) -> Vec<(u8, &'static str, IpAddr)> {
    let mut lost = Vec::new();
    let (new, old) = (pod(100 + round), pod(5));
    for (new_ip, old_ip) in new.ips.iter().zip(old.ips.iter()) {
        for way in ["into", "out of"] {
            let netns = Ns::new();
            let echo = if way == "into" { open(other, new_ip) } else { open(&netns, old_ip) };
            world.add(&new, &netns);
            if !asked(&echo, USUAL) {
                lost.push((round, way, new_ip));
            }
            world.delete(&new, Some(&netns));
        }
    }
    lost
}
