//! An explanation for people.

use std::fmt::{self, Write as _};

use super::{
    Explanation, Flow, Port,
    side::{NearMiss, NotAsked, Side, Why},
};
use crate::{
    compile::Tier,
    model::{Direction, Name},
};

/// Near misses that are shown; programs are given all.
const SHOWN: usize = 3;

fn word(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "DENIED" }
}

fn names(all: &[Name]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Why {
    /// In words, for a direction.
    fn words(&self, direction: Direction) -> String {
        match self {
            Self::NotAsked { because } => because.to_string(),
            Self::NotIsolated => "no policy isolates the pod".into(),
            Self::Rule { tier, policy, index, name, peers, ports } => {
                let kind = match tier {
                    Tier::Policy => "NetworkPolicy",
                    Tier::Admin => "ClusterNetworkPolicy (admin)",
                    Tier::Baseline => "ClusterNetworkPolicy (baseline)",
                };
                let name = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
                format!("{kind} {policy} {direction}[{index}]{name}: {peers}; {ports}")
            }
            Self::NoRule { isolated_by } => format!("isolated by {}; no rule matches", names(isolated_by)),
            Self::Closed => "the policies about the pod cannot be compiled, so all is denied".into(),
        }
    }
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPod => "no policy is asked: this end is no pod",
            Self::HostNetwork => "no policy is asked: the pod is on its node's network",
            Self::Finished => "no policy is asked: the pod has ended and has no packets",
            Self::Itself => "no policy is asked: the pod speaks with itself",
            Self::OwnNode => "no policy is asked: the other side is the pod's own node",
        })
    }
}

impl NearMiss {
    /// What does not fit, and what does.
    fn line(&self, direction: Direction) -> String {
        let place = format!("{} {direction}[{}]", self.policy, self.index);
        match (self.peer_fits, self.port_fits) {
            (true, true) => format!("{place}: fits"),
            (true, false) => format!("{place}: the peer fits ({}), but {}", self.peer, self.port),
            (false, true) => format!("{place}: the port fits ({}), but {}", self.port, self.peer),
            (false, false) => format!("{place}: {}; {}", self.peer, self.port),
        }
    }
}

impl Side {
    /// The reason in one line.
    pub fn reason(&self) -> String {
        let mut text = self.why.words(self.direction);
        if let Some(miss) = self.near.first() {
            let _infallible = write!(text, "; nearest {}", miss.line(self.direction));
        }
        text
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.direction;
        let of = self.pod.as_ref().map(|pod| format!(" of {pod}")).unwrap_or_default();
        writeln!(f, "  {direction}{of}: {}", word(self.allowed))?;
        writeln!(f, "    {}", self.why.words(direction))?;
        let (Why::NoRule { .. } | Why::Rule { .. }) = self.why else { return Ok(()) };
        if self.allowed {
            return Ok(());
        }
        match (&self.why, self.near.is_empty()) {
            (Why::NoRule { .. }, true) => writeln!(f, "    none of them has a rule for {direction}")?,
            (_, true) => return Ok(()),
            (Why::NoRule { .. }, false) => writeln!(f, "    nearest:")?,
            (_, false) => writeln!(f, "    rules before it that do not match:")?,
        }
        for miss in self.near.iter().take(SHOWN) {
            writeln!(f, "    - {}", miss.line(direction))?;
        }
        if self.near.len() > SHOWN {
            writeln!(f, "    - and {} more rules", self.near.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl Flow {
    /// The first reason against it, in one line; or the reasons for it.
    pub fn reason(&self) -> String {
        let side = |side: &Side| format!("{}: {}", side.direction, side.reason());
        match (self.egress.allowed, self.ingress.allowed) {
            (false, true) => side(&self.egress),
            (true, false) => side(&self.ingress),
            _ => format!("{}; {}", side(&self.egress), side(&self.ingress)),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (&self.from, &self.to);
        for flow in &self.flows {
            let port = match &self.port {
                Port::Named(name, _) => format!("{} ({name})", flow.port),
                _ => flow.port.clone(),
            };
            writeln!(f, "{from} -> {to} {port}: {}", word(flow.allowed))?;
            let addresses: Vec<_> = flow
                .addresses
                .iter()
                .map(|(source, destination)| format!("{source} -> {destination}"))
                .collect();
            if from.pod.is_some() || to.pod.is_some() {
                writeln!(f, "  ({})", addresses.join(", "))?;
            }
            flow.egress.write(f)?;
            flow.ingress.write(f)?;
        }
        for problem in &self.problems {
            writeln!(f, "problem of {}: {}", problem.policy, problem.problem)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
