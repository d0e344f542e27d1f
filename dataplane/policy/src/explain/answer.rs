//! Answers, and why there is none.

use std::net::IpAddr;

use serde::Serialize;

use super::{Port, Side};
use crate::{compile::Full, model::Name};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// A pod that is not there.
    #[error("pod {pod} is not there{}", similar_text(.similar))]
    NoPod {
        /// Which.
        pod: Name,
        /// Pods that could be meant.
        similar: Vec<Name>,
    },
    /// A name of a port that the destination does not declare.
    #[error("port {port}: {to} declares {}", declared_text(.declared))]
    NoPort {
        /// The port that was asked for.
        port: Port,
        /// The destination.
        to: String,
        /// What it declares, in words.
        declared: Vec<String>,
    },
    /// The ends cannot meet.
    #[error("{from} and {to} have no address family in common: {from_has} and {to_has}")]
    NoFamily {
        /// One end.
        from: String,
        /// The other.
        to: String,
        /// Its families.
        from_has: &'static str,
        /// Its families.
        to_has: &'static str,
    },
    /// The tables have no room.
    #[error("compile the policies: {0}")]
    Full(#[from] Full),
}

fn similar_text(similar: &[Name]) -> String {
    let names: Vec<_> = similar.iter().map(ToString::to_string).collect();
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}

fn declared_text(declared: &[String]) -> String {
    if declared.is_empty() { "no ports with names".into() } else { format!("only {}", declared.join(", ")) }
}

/// One end of a flow, as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The pod, if it is one.
    pub pod: Option<Name>,
    /// Its addresses, or the one that was asked for.
    pub addresses: Vec<IpAddr>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.pod, self.addresses.first()) {
            (Some(pod), _) => pod.fmt(f),
            (None, Some(address)) => address.fmt(f),
            (None, None) => f.write_str("nobody"),
        }
    }
}

/// What becomes of some flows between two ends.
#[derive(Clone, Debug, Serialize)]
pub struct Flow {
    /// The port in words, as in `80/TCP`.
    pub port: String,
    /// First and last destination port; nothing for protocols that have none.
    pub ports: Option<(u16, u16)>,
    /// Source and destination.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// Whether both sides allow it.
    pub allowed: bool,
    /// Verdict at the source.
    pub egress: Side,
    /// Verdict at the destination.
    pub ingress: Side,
}

impl Flow {
    /// Whether the same decides both.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.egress.why == other.egress.why && self.ingress.why == other.ingress.why
    }
}

/// Something of a policy that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The policy.
    pub policy: Name,
    /// What, and what becomes of it.
    pub problem: String,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Who opens the flow.
    pub from: Place,
    /// Who takes it.
    pub to: Place,
    /// What was asked for.
    pub port: Port,
    /// Whether all of the flows pass.
    pub allowed: bool,
    /// One, or one for each range of ports or family that is judged otherwise.
    pub flows: Vec<Flow>,
    /// Policies about either end that are not wholly understood.
    pub problems: Vec<Problem>,
    /// What was assumed.
    pub notes: Vec<String>,
}
