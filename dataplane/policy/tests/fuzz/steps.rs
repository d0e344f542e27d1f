//! What may happen to the pod `web`: packets both ways that meet each other's flows, time, changes of policy. Drawn here,
//! made of it by whoever compares.

use std::net::IpAddr;

use bolero::TypeGenerator;
use terway_policy::craft::{self, Craft};

use crate::bed::{Bed, at};

/// Some ports from some, everything from few, and the same out.
pub(crate) const POLICIES: [&str; 2] = [
    "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}, {ipBlock: {cidr: '2001:db8::/64'}}], ports: [{port: 80}, {port: 53, protocol: UDP}]}, {from: [{podSelector: {matchLabels: {app: db}}}]}]}",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: far}}}]}, {ports: [{port: 443}, {port: 80, endPort: 81, protocol: SCTP}]}]}",
];

/// Others' addresses by family: a stranger that some rules know, one that none do, pods, own and another node, the pod
/// itself, the link.
pub(crate) const OTHERS: [[&str; 8]; 2] = [
    ["192.0.2.1", "198.51.100.1", "10.0.0.11", "10.0.1.10", "10.0.0.1", "10.0.1.1", "10.0.0.10", "0.0.0.0"],
    ["2001:db8::1", "2001:db8:1::1", "fd00::11", "fd00::1:10", "fd00::1", "fe80::1", "fd00::10", "ff02::1"],
];
pub(crate) const OWN: [&str; 2] = ["10.0.0.10", "fd00::10"];

/// One thing that happens.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Step {
    /// A packet comes or goes.
    Packet { comes: bool, remote: u8, by_node: bool, carries: Carries },
    /// The last packet comes once more; TCP with other flags.
    Again(u8),
    /// What would answer the last one.
    Answer(u8),
    /// The same, so that most packets meet a flow.
    Reply(u8),
    /// An error about a packet of those ports that went the other way.
    Error { comes: bool, remote: u8, by_node: bool, about: Carries },
    /// A fragment of a packet.
    Piece { comes: bool, remote: u8, carries: Carries, id: bool, later: bool },
    /// Time passes.
    Wait(u8),
    /// A policy of a number becomes another, or goes.
    Policy { number: bool, becomes: u8 },
    /// A peer changes its label.
    Label(bool),
}

/// What a packet carries; few ports, so that flows meet.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Carries {
    Tcp { near: bool, far: bool, flags: u8 },
    Udp { near: bool, far: bool },
    Sctp { near: bool, far: bool },
    Ping(bool),
    Pong(bool),
    Raw,
    Lone,
}

/// A packet as it was told to be: whether it came, from the node, with whom, and what it carried.
type Told = (bool, bool, IpAddr, Carries);

/// A stranger that rules know, a pod, another one, the node.
const REMOTES: [&str; 5] = ["192.0.2.1", "10.0.0.11", "10.0.1.10", "10.0.0.1", "2001:db8::1"];
/// Seconds that matter to some flow, and those around them.
const WAITS: [u64; 10] = [0, 1, 9, 11, 19, 21, 59, 61, 301, 5 * 24 * 3600 + 1];
/// TCP as it is, and as it is not.
const FLAGS: [u8; 8] = [0x02, 0x12, 0x10, 0x11, 0x04, 0x14, 0x00, 0x03];
const OPEN: [&str; 5] = [
    POLICIES[0],
    POLICIES[1],
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{}]}",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], egress: [{}]}",
];

impl Carries {
    /// The same flow's next, which answers or does not.
    fn next(&self, flags: u8, answers: bool) -> Self {
        match *self {
            Self::Tcp { near, far, .. } => Self::Tcp { near, far, flags },
            Self::Ping(id) if answers => Self::Pong(id),
            Self::Pong(id) if answers => Self::Ping(id),
            ref same => same.clone(),
        }
    }

    /// The packet, with the pod's port on the near side.
    fn make(&self, comes: bool, own: IpAddr, remote: IpAddr) -> Craft {
        let (from, to) = if comes { (remote, own) } else { (own, remote) };
        let packet = craft::ip(from, to).payload(&[7; 40]);
        let ports = |near: bool, far: bool| {
            let (near, far) = (if near { 80 } else { 53 }, if far { 80 } else { 443 });
            if comes { (far, near) } else { (near, far) }
        };
        match *self {
            Self::Tcp { near, far, flags } => {
                let (source, destination) = ports(near, far);
                packet.tcp(source, destination, FLAGS[usize::from(flags % 8)])
            }
            Self::Udp { near, far } => {
                let (source, destination) = ports(near, far);
                packet.udp(source, destination)
            }
            Self::Sctp { near, far } => {
                let (source, destination) = ports(near, far);
                packet.sctp(source, destination)
            }
            Self::Ping(id) => packet.ping(u16::from(id), 1),
            Self::Pong(id) => packet.pong(u16::from(id), 1),
            Self::Raw => packet.raw(47),
            Self::Lone => packet.icmp(200, 0, [0; 4]),
        }
    }
}

fn own(remote: IpAddr) -> IpAddr {
    at(OWN[usize::from(remote.is_ipv6())])
}

/// What comes of a step.
pub(crate) enum Happens {
    /// There is no last packet to repeat or to answer.
    Nothing,
    /// A packet at the pod's link: whether it comes to the pod, and then whether the node made it.
    Packet { comes: bool, by_node: bool, frame: Vec<u8> },
    /// So many seconds pass.
    Wait(u64),
    /// What the agent is told.
    Change(Change),
}

/// One object becomes another.
pub(crate) enum Change {
    /// The policy of a number; `None` takes it away.
    Policy(usize, Option<&'static str>),
    /// The label of the pod `db`: the one that rules know, or another.
    Label(bool),
}

impl Change {
    /// Tells the agent.
    pub(crate) fn make(&self, bed: &mut Bed) {
        match *self {
            Self::Policy(number, Some(spec)) => bed.set_policy(number, spec),
            Self::Policy(number, None) => bed.remove_policy(number),
            Self::Label(known) => {
                let app = if known { "db" } else { "far" };
                bed.apply(&format!(
                    "{{apiVersion: v1, kind: Pod, metadata: {{namespace: a, name: db, labels: {{app: {app}}}}}, status: {{podIPs: [{{ip: 10.0.0.11}}, {{ip: 'fd00::11'}}]}}}}"
                ));
            }
        }
    }
}

/// Where every sequence begins, so that one alone shows what it shows.
pub(crate) fn begin(bed: &mut Bed) {
    bed.nodes[0].memory.forget_flows();
    for change in
        [Change::Policy(0, Some(POLICIES[0])), Change::Policy(1, Some(POLICIES[1])), Change::Label(true)]
    {
        change.make(bed);
    }
}

/// Steps in a row: some speak of the packet before.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    last: Option<Told>,
}

impl Sequence {
    fn tell(&mut self, told: Told) -> Happens {
        let (comes, by_node, remote, carries) = &told;
        let frame = carries.make(*comes, own(*remote), *remote).frame();
        let packet = Happens::Packet { comes: *comes, by_node: *by_node, frame };
        self.last = Some(told);
        packet
    }

    /// What a step comes to.
    pub(crate) fn happen(&mut self, step: &Step) -> Happens {
        let remote = |index: u8| at(REMOTES[usize::from(index) % REMOTES.len()]);
        match step {
            Step::Packet { comes, remote: index, by_node, carries } => {
                self.tell((*comes, *by_node, remote(*index), carries.clone()))
            }
            Step::Again(flags) => match self.last.take() {
                Some((comes, by_node, remote, carries)) => {
                    self.tell((comes, by_node, remote, carries.next(*flags, false)))
                }
                None => Happens::Nothing,
            },
            Step::Answer(flags) | Step::Reply(flags) => match self.last.take() {
                Some((comes, by_node, remote, carries)) => {
                    self.tell((!comes, by_node, remote, carries.next(*flags, true)))
                }
                None => Happens::Nothing,
            },
            Step::Error { comes, remote: index, by_node, about } => {
                let remote = remote(*index);
                let quoted = about.make(!*comes, own(remote), remote).frame();
                // Half of them from a router between.
                let router = match (*by_node, remote.is_ipv4()) {
                    (true, _) => remote,
                    (false, true) => at("198.51.100.254"),
                    (false, false) => at("2001:db8:ff::1"),
                };
                let (from, to) = if *comes { (router, own(remote)) } else { (own(remote), router) };
                let kind = if remote.is_ipv4() { 3 } else { 1 };
                let frame = craft::ip(from, to).about(kind, 0, &quoted).frame();
                Happens::Packet { comes: *comes, by_node: *by_node, frame }
            }
            Step::Piece { comes, remote: index, carries, id, later } => {
                let remote = remote(*index);
                let mut pieces = carries.make(*comes, own(remote), remote).fragments(u32::from(*id), 24);
                let frame = pieces.swap_remove(usize::from(*later));
                Happens::Packet { comes: *comes, by_node: false, frame }
            }
            Step::Wait(index) => Happens::Wait(WAITS[usize::from(*index) % WAITS.len()]),
            Step::Policy { number, becomes } => {
                let spec = OPEN.get(usize::from(*becomes) % 6).copied();
                Happens::Change(Change::Policy(usize::from(*number), spec))
            }
            Step::Label(back) => Happens::Change(Change::Label(*back)),
        }
    }
}
