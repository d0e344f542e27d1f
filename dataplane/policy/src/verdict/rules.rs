//! Rules, asked for one direction of one endpoint. Every step is one lookup, whatever the number of rules.

use super::{Outcome, Reason};
use crate::{
    layout::{
        Addr, Best, CidrKey, ClassKey, CrossKey, DENY, ENDPOINT_LOCKED, Endpoint, NO_RULE, PAGE_LINK, PASS,
        PeerKey, RULES_ISOLATED, RULES_PEERS, RULES_PORTS, RULES_READY, RuleSet,
    },
    maps::Maps,
    packet::protocol,
};

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// One of `NotIsolated`, `Rule`, `NoRule`, `Denied`, `Locked`, `Closed`.
    pub reason: Reason,
    /// Rule set that decided, or 0.
    pub rules: u32,
    /// Rule that decided, or [`NO_RULE`].
    pub rule: u32,
}

impl Decision {
    #[inline(always)]
    pub(super) const fn outcome(self) -> Outcome {
        Outcome { reason: self.reason, rules: self.rules, rule: self.rule }
    }

    /// In one register, which is all that a function of the kernel's program returns. Numbers of rule sets are indices
    /// of an array and far below 2^24.
    #[inline(always)]
    const fn packed(self) -> u64 {
        (self.rule as u64) << 32 | (self.rules as u64 & 0x00ff_ffff) << 8 | self.reason as u64
    }

    #[inline(always)]
    const fn unpacked(packed: u64) -> Self {
        const REASONS: [Reason; 5] =
            [Reason::NotIsolated, Reason::Rule, Reason::NoRule, Reason::Denied, Reason::Closed];
        let number = packed as u8;
        let mut reason = Reason::Closed;
        let mut at = 0;
        while at < REASONS.len() {
            if REASONS[at] as u8 == number {
                reason = REASONS[at];
            }
            at += 1;
        }
        Self { reason, rules: (packed >> 8) as u32 & 0x00ff_ffff, rule: (packed >> 32) as u32 }
    }
}

/// Asks the rule sets of an endpoint about a new flow: the current one, and while a change is under way the coming one
/// too, which must both allow. Not a loop over the two: the kernel's verifier would lose count of it.
#[inline(always)]
pub fn classify<M: Maps>(
    maps: &M,
    endpoint: &Endpoint,
    direction: u8,
    remote: &Addr,
    protocol: u8,
    port: u16,
) -> Decision {
    if endpoint.flags & ENDPOINT_LOCKED != 0 {
        return Decision { reason: Reason::Locked, rules: 0, rule: NO_RULE };
    }
    let index = (direction & 1) as usize;
    let transport = u32::from(protocol) << 16 | u32::from(port);
    let mut decision = Decision { reason: Reason::NotIsolated, rules: 0, rule: NO_RULE };
    let now = endpoint.rules[index];
    if now != 0 {
        decision = Decision::unpacked(packed(maps, now, endpoint.view, remote, transport));
        if !decision.reason.passes() {
            return decision;
        }
    }
    let next = endpoint.next[index];
    if next != 0 {
        decision = Decision::unpacked(packed(maps, next, endpoint.next_view, remote, transport));
    }
    decision
}

/// Out of line: there once, with a stack frame of its own.
#[inline(never)]
fn packed<M: Maps>(maps: &M, id: u32, view: u32, remote: &Addr, transport: u32) -> u64 {
    ask(maps, id, view, remote, (transport >> 16) as u8, transport as u16).packed()
}

#[inline(always)]
fn ask<M: Maps>(maps: &M, id: u32, view: u32, remote: &Addr, protocol: u8, port: u16) -> Decision {
    let Some(rules) = maps.rules(id) else {
        return Decision { reason: Reason::Closed, rules: id, rule: NO_RULE };
    };
    if rules.flags & RULES_READY == 0 {
        return Decision { reason: Reason::Closed, rules: id, rule: NO_RULE };
    }
    let mut best = rules.any;
    let mut peer_set = 0;
    if rules.flags & RULES_PEERS != 0
        && let Some(class) = class_of(maps, view, remote)
        && let Some(value) = maps.class(&ClassKey { rules: id, class })
    {
        best = best.better(value.best);
        peer_set = value.peer_set;
    }
    if rules.flags & RULES_PORTS != 0 {
        let group = group_of(maps, rules, protocol, port);
        if group != 0 {
            best = best.better(crossed(maps, id, peer_set, group));
        }
    }
    decide(id, rules, best)
}

#[inline(always)]
fn class_of<M: Maps>(maps: &M, view: u32, remote: &Addr) -> Option<u32> {
    let key = PeerKey { view, addr: *remote };
    match maps.peer(&key) {
        Some(class) => Some(class),
        None => maps.cidr(&CidrKey { bits: 32 + 128, key }),
    }
}

#[inline(always)]
fn group_of<M: Maps>(maps: &M, rules: &RuleSet, number: u8, port: u16) -> u32 {
    let (root, high) = match number {
        protocol::TCP => (rules.ports[0], (port >> 8) as u8),
        protocol::UDP => (rules.ports[1], (port >> 8) as u8),
        protocol::SCTP => (rules.ports[2], (port >> 8) as u8),
        other => (rules.ports[3], other),
    };
    if root == 0 {
        return 0;
    }
    let Some(page) = maps.page(root) else { return 0 };
    let group = page.groups[high as usize];
    if group & PAGE_LINK == 0 {
        return u32::from(group);
    }
    match maps.page(u32::from(group & !PAGE_LINK)) {
        Some(page) => u32::from(page.groups[(port & 0xff) as usize]),
        None => 0,
    }
}

/// Rules that name ports: those that name this peer as well, else those for any peer. What is written for a peer set
/// includes the latter.
#[inline(always)]
fn crossed<M: Maps>(maps: &M, rules: u32, peer_set: u32, group: u32) -> Best {
    if peer_set != 0
        && let Some(best) = maps.cross(&CrossKey { rules, peer_set, group })
    {
        return *best;
    }
    match maps.cross(&CrossKey { rules, peer_set: 0, group }) {
        Some(best) => *best,
        None => Best::NONE,
    }
}

/// Admin first, final unless it passes; then NetworkPolicies, final if any isolates the pod; then Baseline.
#[inline(always)]
fn decide(id: u32, rules: &RuleSet, best: Best) -> Decision {
    let said = |rule: u32| {
        let reason = if rule & 3 == DENY { Reason::Denied } else { Reason::Rule };
        Decision { reason, rules: id, rule }
    };
    if best.admin != NO_RULE && best.admin & 3 != PASS {
        return said(best.admin);
    }
    if rules.flags & RULES_ISOLATED != 0 {
        if best.policy == NO_RULE {
            return Decision { reason: Reason::NoRule, rules: id, rule: NO_RULE };
        }
        return said(best.policy);
    }
    if best.baseline != NO_RULE && best.baseline & 3 != PASS {
        return said(best.baseline);
    }
    Decision { reason: Reason::NotIsolated, rules: id, rule: NO_RULE }
}
