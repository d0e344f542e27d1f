//! Flows that are known.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;
use terway_policy::{
    layout::{
        EGRESS, Endpoint, FLOW_ANSWERED, FLOW_EXEMPT, FLOW_FIN_ANSWERER, FLOW_FIN_OPENER, FLOW_PENDING,
        FLOW_RESET, Flow, FlowKey, NO_RULE,
    },
    verdict,
};

use super::{Direction, Node, ip_of, protocol_name};
use crate::error::Error;

/// Where a flow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has answered yet.
    Opening,
    /// Both sides have sent.
    Established,
    /// One side has ended.
    Closing,
    /// Both have, or one has reset it.
    Closed,
    /// It had no packet for so long that it is none any more; its entry waits to be used for another.
    Over,
}

impl State {
    fn of(key: &FlowKey, flow: &Flow, now: u64, hz: u32) -> Self {
        let ended = flow.state & (FLOW_FIN_OPENER | FLOW_FIN_ANSWERER);
        if verdict::is_over(key.protocol, &flow.booked(), now, hz) {
            Self::Over
        } else if flow.state & FLOW_RESET != 0 || ended == FLOW_FIN_OPENER | FLOW_FIN_ANSWERER {
            Self::Closed
        } else if ended != 0 {
            Self::Closing
        } else if flow.state & FLOW_ANSWERED != 0 {
            Self::Established
        } else {
            Self::Opening
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Over => "over",
        }
    }
}

/// How many flows the table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Entries, those that are over included.
    pub total: u64,
    /// Of which nobody has answered.
    pub opening: u64,
    /// Of which both sides have sent.
    pub established: u64,
    /// Of which one side has ended.
    pub closing: u64,
    /// Of which both have.
    pub closed: u64,
    /// That had no packet for too long.
    pub over: u64,
    /// Of the five: those that no policy is asked about, of the node or of a pod with itself.
    pub exempt: u64,
    /// Of the five: those to services, judged behind the translation.
    pub pending: u64,
}

/// An ICMP question and its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Icmp {
    /// The question's type.
    pub r#type: u16,
    /// Its identifier.
    pub id: u16,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownFlow {
    /// The endpoint's link.
    pub link: u32,
    /// Its name.
    pub interface: Option<String>,
    /// Direction of the packet that opened it.
    pub direction: Direction,
    /// Protocol.
    pub protocol: String,
    /// The pod's address when it was opened.
    pub local: IpAddr,
    /// The pod's port, where the protocol has ports.
    pub local_port: Option<u16>,
    /// The other side.
    pub remote: IpAddr,
    /// Its port.
    pub remote_port: Option<u16>,
    /// For ICMP.
    pub icmp: Option<Icmp>,
    /// Where it is in its life.
    pub state: State,
    /// No policy is asked: it is the node's, or the pod's with itself.
    pub exempt: bool,
    /// To a service: judged behind the translation.
    pub pending: bool,
    /// Whether it was judged under what is in force; if not, its next packet is judged once more.
    pub judged: bool,
    /// Number of the rule that allowed it; none was needed where there is none.
    pub rule: Option<u32>,
    /// Seconds since the last packet.
    pub idle_seconds: u64,
}

/// Flows, those first that had a packet last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flows {
    /// How many there are; those that are over are not counted.
    pub total: usize,
    /// As many as were asked for.
    pub flows: Vec<KnownFlow>,
}

/// The kernel's tick counter as the programs read it: it begins five minutes before it turns over 32 bits, when the
/// monotonic clock begins. Between the two is less than a second.
pub(super) fn ticks(hz: u32) -> u64 {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanoseconds) = (clock.tv_sec.cast_unsigned(), clock.tv_nsec.cast_unsigned());
    let hz = u64::from(hz);
    (1 << 32) - 300 * hz + seconds * hz + nanoseconds * hz / 1_000_000_000
}

impl Node {
    /// Counts flows.
    pub fn flow_totals(&self) -> Result<Totals, Error> {
        let (now, hz) = (ticks(self.control.hz), self.control.hz);
        let mut totals = Totals::default();
        self.tables.flows.each(|key, flows| {
            for flow in flows {
                totals.total += 1;
                *match State::of(key, flow, now, hz) {
                    State::Opening => &mut totals.opening,
                    State::Established => &mut totals.established,
                    State::Closing => &mut totals.closing,
                    State::Closed => &mut totals.closed,
                    State::Over => &mut totals.over,
                } += 1;
                totals.exempt += u64::from(flow.state & FLOW_EXEMPT != 0);
                totals.pending += u64::from(flow.state & FLOW_PENDING != 0);
            }
        })?;
        Ok(totals)
    }

    /// Flows that are not over, of one endpoint or of all.
    pub fn flows(&self, link: Option<u32>, limit: usize) -> Result<Flows, Error> {
        let (now, hz) = (ticks(self.control.hz), self.control.hz);
        let mut found = Vec::new();
        self.tables.flows.each(|key, flows| {
            for flow in flows.iter().filter(|_| link.is_none_or(|link| key.endpoint == link)) {
                let state = State::of(key, flow, now, hz);
                if state != State::Over {
                    found.push((u64::MAX - flow.seen, *key, *flow, state));
                }
            }
        })?;
        found.sort_unstable_by_key(|(unseen, key, ..)| (*unseen, *key));
        let total = found.len();
        found.truncate(limit);
        let endpoints: BTreeMap<u32, Endpoint> = self.tables.endpoints.all()?.into_iter().collect();
        let flows = found.iter().map(|(_, key, flow, state)| {
            let endpoint = endpoints.get(&key.endpoint);
            KnownFlow {
                interface: self.name(key.endpoint),
                judged: endpoint.is_some_and(|endpoint| endpoint.epoch == flow.epoch),
                idle_seconds: now.saturating_sub(flow.seen) / u64::from(hz.max(1)),
                ..known(key, flow, *state)
            }
        });
        Ok(Flows { total, flows: flows.collect() })
    }
}

/// What a flow's entry tells by itself.
fn known(key: &FlowKey, flow: &Flow, state: State) -> KnownFlow {
    // The identifier stands where the port of the one who asks would.
    let icmp = match key.asker.checked_sub(1) {
        Some(EGRESS) => Some(Icmp { r#type: key.remote_port, id: key.local_port }),
        Some(_) => Some(Icmp { r#type: key.local_port, id: key.remote_port }),
        None => None,
    };
    let ports = icmp.is_none() && key.local_port | key.remote_port != 0;
    KnownFlow {
        link: key.endpoint,
        interface: None,
        direction: Direction::of(flow.direction),
        protocol: protocol_name(key.protocol),
        local: ip_of(&flow.own),
        local_port: ports.then_some(key.local_port),
        remote: ip_of(&key.remote),
        remote_port: ports.then_some(key.remote_port),
        icmp,
        state,
        exempt: flow.state & FLOW_EXEMPT != 0,
        pending: flow.state & FLOW_PENDING != 0,
        judged: false,
        rule: (flow.rule != NO_RULE).then_some(flow.rule >> 2),
        idle_seconds: 0,
    }
}

#[cfg(test)]
mod tests {
    use terway_policy::{layout::mapped, packet::protocol};

    use super::*;

    const KEY: FlowKey = FlowKey {
        endpoint: 7,
        remote: mapped([192, 0, 2, 1]),
        local_port: 4000,
        remote_port: 443,
        protocol: protocol::TCP,
        asker: 0,
        pad: [0; 2],
    };

    #[test]
    fn a_flow_s_state_is_told_by_its_flags_and_its_age() {
        let fins = FLOW_FIN_OPENER | FLOW_FIN_ANSWERER;
        for (flags, idle, state) in [
            (0, 0, State::Opening),
            (FLOW_EXEMPT, 0, State::Opening),
            (FLOW_ANSWERED, 3600, State::Established),
            (FLOW_ANSWERED | FLOW_FIN_ANSWERER, 0, State::Closing),
            (FLOW_ANSWERED | fins, 5, State::Closed),
            (FLOW_RESET, 0, State::Closed),
            (FLOW_ANSWERED | fins, 11, State::Over),
            (0, 21, State::Over),
        ] {
            let flow = Flow { seen: 1_000_000, state: flags, ..Flow::default() };
            assert_eq!(State::of(&KEY, &flow, 1_000_000 + idle * 250, 250), state, "{flags} {idle}");
        }
    }

    #[test]
    fn a_question_of_icmp_has_type_and_identifier_and_no_ports() {
        let key =
            FlowKey { protocol: protocol::ICMP, local_port: 77, remote_port: 8, asker: 1 + EGRESS, ..KEY };
        let flow = known(&key, &Flow { direction: EGRESS, rule: 5 << 2, ..Flow::default() }, State::Opening);
        assert_eq!(flow.icmp, Some(Icmp { r#type: 8, id: 77 }));
        assert_eq!((flow.local_port, flow.remote_port, flow.rule), (None, None, Some(5)));
        let key = FlowKey { local_port: 8, remote_port: 77, asker: 1, ..key };
        assert_eq!(known(&key, &Flow::default(), State::Opening).icmp, Some(Icmp { r#type: 8, id: 77 }));
    }
}
