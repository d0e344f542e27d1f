//! What a packet costs above a program that does nothing, by `BPF_PROG_TEST_RUN`, for more and more rules and peers. Needs
//! root. An argument chooses the sizes that have it in their name: `-- 100-rules/10000-peers`.
//!
//! - `established`: a packet of a flow that is known.
//! - `denied`: a first packet that no rule allows: judged each time, since it leaves no flow.
//! - `opening`: a SYN that a rule allows: judged each time, and each time its flow is written anew.
//!
//! The programs take turns within a round, so that what else the machine does is on all of them; each figure is the
//! median over rounds of the difference to the empty program of the same round, beside the smallest.

use std::{net::Ipv4Addr, process::ExitCode};

use terway_bpf::{
    Error, Hook, Method, Sizes,
    bed::Bed,
    programs::Tables,
    run::Situation,
    table::{Flows, ServiceKey},
};
use terway_policy::{
    compile::{Compiler, EndpointSpec, Limits, Options},
    craft,
    layout::CONTROL_TRACK,
    model::{
        Direction, Labels, Name, Namespace, Peer, Pod, Policy, Port, PortRef, Protocol, Rule, Selector,
        Snapshot,
    },
    op::Op,
    packet::tcp,
};

const RULES: [u16; 3] = [1, 100, 10_000];
const PEERS: [u32; 3] = [100, 10_000, 100_000];
/// Groups that peers are spread over; each rule names one of them.
const GROUPS: u32 = 64;
const ROUNDS: usize = 15;
const REPEAT: u32 = 50_000;
/// Nanoseconds above the empty program.
const ESTABLISHED: i64 = 40;
const FIRST: i64 = 150;
/// A link that is no pod's, by which packets come from elsewhere.
const UPLINK: u32 = 1_000_000;
const POD: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// The first peer: of group 0, which the first rule names.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FIRST_PORT: u16 = 1000;
const CLOSED_PORT: u16 = 7;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for rules in RULES {
        for peers in PEERS {
            let name = format!("{rules}-rules/{peers}-peers");
            if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word)) {
                continue;
            }
            match measure(rules, peers) {
                Ok(true) => {}
                Ok(false) => return ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{rules} rules, {peers} peers: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

struct Case {
    name: &'static str,
    hook: Hook,
    frame: Vec<u8>,
    passes: bool,
    goal: i64,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for hook in Hook::POD {
        let frame = |port, flags| {
            let (source, destination) = if hook == Hook::FromPod { (POD, PEER) } else { (PEER, POD) };
            craft::ip(source.into(), destination.into()).tcp(40_000, port, flags).frame()
        };
        let case = |name, frame, passes, goal| Case { name, hook, frame, passes, goal };
        cases.push(case("opening", frame(FIRST_PORT, tcp::SYN), true, FIRST));
        cases.push(case("established", frame(FIRST_PORT, tcp::ACK), true, ESTABLISHED));
        cases.push(case("denied", frame(CLOSED_PORT, tcp::SYN), false, FIRST));
    }
    cases
}

/// Measures one size; `false` where this user may not.
fn measure(rules: u16, peers: u32) -> Result<bool, Error> {
    let Some(mut bed) = Bed::new(1, Sizes::default(), Method::Best)? else { return Ok(false) };
    fill(&bed, rules, peers)?;
    let link = bed.links[0];
    let cases = cases();
    let mut above = vec![Vec::new(); cases.len()];
    let empty = empty();
    let mut costs = Vec::new();
    for round in 0..=ROUNDS {
        let base = run(&mut bed, link, &empty)?;
        costs.push(base);
        for (case, above) in cases.iter().zip(&mut above) {
            let cost = run(&mut bed, link, case)?;
            // The first round warms up.
            if round > 0 {
                above.push(cost - base);
            }
        }
    }
    assert_eq!(bed.programs.table::<Flows>()?.keys()?.len(), 2, "one flow each way");
    println!("{rules} rules, {peers} peers; the empty program: {} ns", median(&mut costs));
    for (case, above) in cases.iter().zip(&mut above) {
        let (measured, goal) = (median(above), case.goal);
        println!(
            "goal: {}/{}/{rules}-rules/{peers}-peers {goal} ns above empty, measured {measured} ns, ratio {:.2} (smallest {} ns)",
            case.hook,
            case.name,
            measured as f64 / goal as f64,
            above[0],
        );
    }
    Ok(true)
}

/// What all others are compared with.
fn empty() -> Case {
    let frame = craft::ip(POD.into(), PEER.into()).tcp(40_000, FIRST_PORT, tcp::ACK).frame();
    Case { name: "empty", hook: Hook::Empty, frame, passes: true, goal: 0 }
}

fn run(bed: &mut Bed, link: u32, case: &Case) -> Result<i64, Error> {
    let came_by = if case.hook == Hook::FromPod { link } else { UPLINK };
    let ran = bed.programs.test_run(case.hook, &case.frame, Situation { link, came_by, mark: 0 }, REPEAT)?;
    assert_eq!(ran.passed, case.passes, "{} {}", case.hook, case.name);
    Ok(ran.nanoseconds.into())
}

/// Sorts, too.
fn median(figures: &mut [i64]) -> i64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// Compiles the policies of a pod that is isolated both ways, and writes the tables.
fn fill(bed: &Bed, rules: u16, peers: u32) -> Result<(), Error> {
    let limits = Limits { peers: 262_144, ..Limits::default() };
    let mut compiler = Compiler::new(Options { limits, ..Options::default() });
    compiler.load(&snapshot(rules, peers));
    let spec = EndpointSpec { pod: Name::new("bench", "pod"), ips: vec![POD.into()], flags: 0 };
    compiler.set_endpoint(bed.links[0], spec);
    let publication = compiler.publish().expect("room for the tables");
    let tables = bed.programs.tables()?;
    for op in publication.ops() {
        write(&tables, op)?;
    }
    let mut control = tables.control.get(&0)?.expect("an array's entry");
    control.flags = CONTROL_TRACK;
    tables.control.put(&0, &control)
}

fn write(tables: &Tables, op: &Op) -> Result<(), Error> {
    match op {
        Op::Endpoint(link, Some(endpoint)) => tables.set_endpoint(*link, Some(endpoint)),
        Op::EndpointIp(addr, Some(link)) => tables.endpoint_addresses.put(addr, link),
        Op::Host(addr, Some(value)) => tables.set_host(addr, Some(*value)),
        Op::Service(key, Some(value)) => {
            tables.services.put(&ServiceKey { bits: key.bits - 32, addr: key.key.addr }, value)
        }
        Op::Peer(key, Some(class)) => tables.peers.put(key, class),
        Op::Cidr(key, Some(class)) => tables.cidrs.put(key, class),
        Op::Rules(id, Some(rules)) => tables.rules.put(id, rules),
        Op::Page(id, Some(page)) => tables.pages.put(id, page),
        Op::Class(key, Some(value)) => tables.classes.put(key, value),
        Op::Cross(key, Some(best)) => tables.crossings.put(key, best),
        // What nothing was published for yet has nothing to remove.
        _ => Ok(()),
    }
}

fn snapshot(rules: u16, peers: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let namespace = Namespace { name: "bench".into(), labels: Labels::new() };
    snapshot.namespaces.insert(namespace.name.clone(), namespace);
    let mut add = |name: String, labels: Labels, address: Ipv4Addr| {
        let name = Name::new("bench", name);
        let pod = Pod {
            name: name.clone(),
            uid: name.name.clone(),
            labels,
            ips: vec![address.into()],
            ..Pod::default()
        };
        snapshot.pods.insert(name, pod);
    };
    add("pod".into(), Labels::from([("judged".into(), "yes".into())]), POD);
    for number in 0..peers {
        let labels = Labels::from([("group".into(), (number % GROUPS).to_string())]);
        add(format!("peer-{number}"), labels, Ipv4Addr::from(u32::from(PEER) + number));
    }
    let with =
        |key: &str, value: String| Selector { equal: [(key.into(), value)].into(), expressions: Vec::new() };
    let all: Vec<Rule> = (0..rules)
        .map(|number| Rule {
            peers: vec![Peer::Pods {
                namespaces: None,
                pods: Some(with("group", (u32::from(number) % GROUPS).to_string())),
            }],
            ports: vec![Port {
                protocol: Some(Protocol::Tcp),
                port: Some(PortRef::Number(FIRST_PORT + number)),
                end: None,
            }],
        })
        .collect();
    let policy = Policy {
        name: Name::new("bench", "policy"),
        selector: with("judged", "yes".into()),
        types: vec![Direction::Ingress, Direction::Egress],
        ingress: all.clone(),
        egress: all,
    };
    snapshot.policies.insert(policy.name.clone(), policy);
    snapshot
}
