//! Sequences of packets both ways, time, and changes of policy, against a plain model: a list of flows, each of which is
//! asked of the reference again for every packet. That they agree means that nothing is remembered for too long, and
//! nothing forgotten.

use std::{cell::RefCell, net::IpAddr, panic::AssertUnwindSafe};

use bolero::check;
use terway_policy::{
    model::Direction,
    packet::protocol,
    verdict::{Context, from_pod, to_pod},
};

use crate::{
    bed::{Bed, ENI, HZ},
    hooks::Pod,
    plain::{self, Ip, Reading, What},
    steps::{Happens, POLICIES, Sequence, Step, begin},
};

/// What makes two packets of one flow: the other side, the protocol, the pod's port and the other's; for echoes who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tuple(IpAddr, u8, u16, u16, Option<Direction>);

#[derive(Clone, Debug)]
struct Flow {
    tuple: Tuple,
    opened: Direction,
    /// Destination port of what opened it.
    port: u16,
    exempt: bool,
    last: u64,
    answered: bool,
    fins: (bool, bool),
    reset: bool,
}

impl Flow {
    fn over(&self, now: u64) -> bool {
        let closed = self.reset || self.fins == (true, true);
        let seconds = match self.tuple.1 {
            protocol::TCP if closed => 10,
            protocol::TCP if self.answered => 5 * 24 * 3600,
            protocol::SCTP if self.answered => 300,
            protocol::TCP | protocol::SCTP => 20,
            _ if self.answered => 60,
            _ => 10,
        };
        now - self.last > seconds
    }
}

fn flip(direction: Direction) -> Direction {
    if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress }
}

fn tuple(ip: &Ip, direction: Direction) -> Option<Tuple> {
    let (source, destination, asker) = match ip.what {
        What::Tcp { ports, .. } => (ports.0, ports.1, None),
        What::Ports(source, destination) => (source, destination, None),
        What::Question(_, id) => (id, id, Some(direction)),
        What::Answer(_, id) => (id, id, Some(flip(direction))),
        What::Opaque => (0, 0, None),
        What::Error(_) | What::Link | What::Lone => return None,
    };
    Some(match direction {
        Direction::Egress => Tuple(ip.destination, ip.protocol, source, destination, asker),
        Direction::Ingress => Tuple(ip.source, ip.protocol, destination, source, asker),
    })
}

#[derive(Default)]
struct Model {
    flows: Vec<Flow>,
    /// First fragments: direction, source, identification, protocol, when, and what became of them.
    firsts: Vec<(Direction, IpAddr, IpAddr, u32, u8, u64, bool)>,
    now: u64,
}

impl Model {
    fn allowed(pod: &Pod<'_>, flow: &Flow) -> bool {
        flow.exempt || pod.reference(flow.opened, flow.tuple.0, flow.tuple.1, flow.port)
    }

    /// Whether a packet passes, and what is remembered of it.
    fn judge(&mut self, pod: &Pod<'_>, isolated: bool, ip: &Ip) -> bool {
        if let What::Error(quoted) = &ip.what {
            return self.error(pod, isolated, ip, quoted);
        }
        let first = (pod.direction, ip.source, ip.destination);
        if let Some((id, units, _)) = ip.fragment
            && units > 0
        {
            let by_protocol = if ip.source.is_ipv4() { ip.protocol } else { 0 };
            let known = self.firsts.iter().rfind(|(direction, source, destination, its, protocol, ..)| {
                ((*direction, *source, *destination), *its, *protocol) == (first, id, by_protocol)
            });
            return !isolated || known.is_some_and(|known| known.6 && self.now - known.5 <= 30);
        }
        let passed = self.whole(pod, ip);
        if let Some((id, ..)) = ip.fragment
            && isolated
        {
            let by_protocol = if ip.source.is_ipv4() { ip.protocol } else { 0 };
            self.firsts.push((first.0, first.1, first.2, id, by_protocol, self.now, passed));
        }
        passed
    }

    fn whole(&mut self, pod: &Pod<'_>, ip: &Ip) -> bool {
        let remote = pod.remote(ip);
        let (port, flags) = match ip.what {
            What::Tcp { ports, flags } => (ports.1, flags),
            What::Ports(_, destination) => (destination, 0),
            _ => (0, 0),
        };
        let Some(tuple) = tuple(ip, pod.direction) else {
            return pod.exempt(remote) || pod.reference(pod.direction, remote, ip.protocol, port);
        };
        let opens = ip.protocol == protocol::TCP && flags & 0x12 == 0x02;
        let known = self.flows.iter().position(|flow| flow.tuple == tuple);
        if let Some(index) = known
            && !opens
            && !self.flows[index].over(self.now)
        {
            let now = self.now;
            let flow = &mut self.flows[index];
            if !Self::allowed(pod, flow) {
                return false;
            }
            flow.last = now;
            flow.answered |= flow.opened != pod.direction;
            flow.reset |= flags & 0x04 != 0;
            if flags & 0x01 != 0 {
                let fin = if flow.opened == pod.direction { &mut flow.fins.0 } else { &mut flow.fins.1 };
                *fin = true;
            }
            return true;
        }
        let exempt = pod.exempt(remote);
        let passed = exempt || pod.reference(pod.direction, remote, ip.protocol, port);
        if passed && !matches!(ip.what, What::Answer(..)) {
            self.flows.retain(|flow| flow.tuple != tuple);
            self.flows.push(Flow {
                tuple,
                opened: pod.direction,
                port,
                exempt,
                last: self.now,
                answered: false,
                fins: (false, false),
                reset: false,
            });
        }
        passed
    }

    fn error(&self, pod: &Pod<'_>, isolated: bool, ip: &Ip, quoted: &[u8]) -> bool {
        let own_node = pod.exempt(pod.remote(ip));
        if !isolated || own_node {
            return true;
        }
        let Some(quoted) = plain::read_quoted(quoted, ip.source.is_ipv4()) else { return false };
        let was = flip(pod.direction);
        let own = if was == Direction::Egress { quoted.source } else { quoted.destination };
        let Some(tuple) = tuple(&quoted, was).filter(|_| Pod::is_own(own)) else { return false };
        self.flows
            .iter()
            .find(|flow| flow.tuple == tuple)
            .is_some_and(|flow| !flow.over(self.now) && Self::allowed(pod, flow))
    }
}

struct Run<'a> {
    bed: &'a mut Bed,
    model: Model,
    sequence: Sequence,
}

impl Run<'_> {
    fn packet(&mut self, comes: bool, by_node: bool, frame: &[u8]) {
        let bed = &*self.bed;
        let own_link = bed.link("web");
        let direction = if comes { Direction::Ingress } else { Direction::Egress };
        let came_by = if !comes {
            Some(own_link)
        } else if by_node {
            None
        } else {
            Some(ENI)
        };
        let memory = &bed.nodes[0].memory;
        let mut context = Context { link: own_link, came_by: came_by.unwrap_or(0), mark: 0 };
        let outcome =
            if comes { to_pod(memory, frame, &mut context) } else { from_pod(memory, frame, &mut context) };
        let Reading::Ip(ip) = plain::read(frame) else { panic!("{frame:02x?} is no packet") };
        let pod = Pod { snapshot: &bed.snapshot, direction, came_by, own_link };
        let isolated = bed.snapshot.policies.values().any(|policy| match direction {
            // By the defaults that the API documents.
            Direction::Ingress => policy.types.is_empty() || policy.types.contains(&direction),
            Direction::Egress => {
                policy.types.contains(&direction) || policy.types.is_empty() && !policy.egress.is_empty()
            }
        });
        let expected = self.model.judge(&pod, isolated, &ip);
        assert_eq!(outcome.passes(), expected, "{outcome:?} for {direction:?} {ip:?}");
    }

    fn step(&mut self, step: &Step) {
        match self.sequence.happen(step) {
            Happens::Nothing => {}
            Happens::Packet { comes, by_node, frame } => self.packet(comes, by_node, &frame),
            Happens::Wait(seconds) => {
                self.bed.wait(seconds);
                self.model.now += seconds;
            }
            Happens::Change(change) => change.make(self.bed),
        }
        self.bed.nodes[0].memory.take_events();
    }
}

#[test]
fn flows_are_what_a_plain_list_of_them_is() {
    assert_eq!(HZ, 100, "the model counts in seconds, and so do waits");
    let bed = AssertUnwindSafe(RefCell::new(Bed::policies(&POLICIES)));
    check!().with_type::<Vec<Step>>().with_max_len(4096).for_each(|steps| {
        // Every run begins in the same place, so that one alone shows what it shows.
        let mut bed = bed.borrow_mut();
        bed.nodes[0].memory.forget_flows();
        begin(&mut bed);
        let mut run = Run { bed: &mut bed, model: Model::default(), sequence: Sequence::default() };
        for step in steps {
            run.step(step);
        }
    });
}
