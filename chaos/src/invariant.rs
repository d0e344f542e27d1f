//! The catalogue of invariants, and how a breach is reported.
//!
//! An invariant is judged by an oracle outside the agent: the fake cloud and the modelled kernel are the
//! truth, never the agent's own state. All breaches are listed, never only the first.

use serde::{Deserialize, Serialize};

/// When an invariant is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At every event, incrementally.
    Event,
    /// Each simulated minute, in full.
    Minute,
    /// After the faults have healed and the bound for recovery has passed.
    Quiescence,
    /// Once, at the end of the run.
    End,
    /// Each time an agent starts again.
    Restart,
    /// By comparing runs, not inside one.
    Meta,
}

/// What a breach does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Is reported; the run may still pass.
    Minor,
    /// Fails the run at its end.
    Major,
    /// Stops the run.
    Fatal,
}

impl Severity {
    /// The word used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Fatal => "fatal",
        }
    }
}

/// An entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariant {
    /// Its number.
    pub id: InvariantId,
    /// What must hold, in one sentence.
    pub statement: &'static str,
    /// The moments at which it is checked.
    pub when: &'static [When],
    /// What a breach does to the run, where nothing milder is said at the moment of the check.
    pub severity: Severity,
}

/// Writes the enum, its docs and the table from one list, so that they cannot disagree.
macro_rules! catalogue {
    ($($id:ident [$($when:ident)+] $severity:ident $statement:literal)+) => {
        /// The number of an invariant; its text form is `I7`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum InvariantId {
            $(#[doc = $statement] $id,)+
        }

        /// Every invariant, in order of its number.
        pub const CATALOGUE: &[Invariant] = &[
            $(Invariant {
                id: InvariantId::$id,
                statement: $statement,
                when: &[$(When::$when),+],
                severity: Severity::$severity,
            },)+
        ];

        impl InvariantId {
            /// The text form, as in reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$id => stringify!($id),)+ }
            }
        }
    };
}

catalogue! {
    I1 [Event] Fatal "An address is configured in at most one live sandbox, and owned by at most one allocation."
    I2 [Event] Fatal "An address given to a pod belongs, in the cloud, to an ENI that is InUse on that node, from before the ADD's reply until its release."
    I3 [Minute End] Major "Every ENI with our tag is attached and tracked, or has an open intent, or is deleted in bounded time."
    I4 [Minute Quiescence] Major "Nothing stays allocated for a sandbox that is gone, beyond one reconcile period."
    I5 [Event] Fatal "A live sandbox's address is never unassigned or given away; a DEL frees only its own container id."
    I6 [Event] Major "Per instance: ENIs and addresses stay within limits, addresses requested do not exceed demand and floor, one allocation is in flight per sandbox."
    I7 [Quiescence End] Fatal "Cloud state is the union of the stores and the open intents at quiescence; leaks are none. Fatal at the end, major before."
    I8 [Event] Fatal "An address is not reused before its cooldown, restarts included."
    I9 [Quiescence] Major "Idle addresses per node are between min and max at quiescence, unless the cloud cannot."
    I10 [Minute End] Major "Calls per API stay within budget in every window; calls per converged pod and per idle node-hour are bounded."
    I11 [Quiescence] Major "The kernel state of a node is the desired state of its live pods: links, addresses, routes, rules, neighbours, programs."
    I12 [Quiescence Minute] Fatal "The verdict for every sampled flow is that of the reference evaluator on the API server's current objects."
    I13 [Event] Fatal "From its first instant a pod is never more open than the reference over the policies its node had handled."
    I14 [Event] Fatal "While a policy is published, each flow's verdict is the old or the new one."
    I15 [Event Quiescence] Fatal "DEL, on any input and however often, ends in success within its deadline once faults are healed."
    I16 [Quiescence] Major "After the heal, every pending pod is ready or refused with a named cause in bounded time."
    I17 [Quiescence] Minor "What the agent tells is what the oracle sees, at quiescence."
    I18 [Restart] Fatal "A restart with the stored state gives the state before the crash, for every committed fact."
    I19 [Restart] Fatal "A corrupt or torn store is detected, and the agent rebuilds or refuses; it never guesses."
    I20 [Minute] Major "Memory and queues are bounded by the live objects, and no task is without an owner."
    I21 [Event] Minor "Every refusal names a cause from the closed list; a timeout alone is not a cause."
    I22 [Meta] Fatal "The same seed and the same version give the same trace hash."
}

impl InvariantId {
    /// The entry in the catalogue.
    pub fn entry(self) -> &'static Invariant {
        CATALOGUE
            .iter()
            .find(|entry| entry.id == self)
            .expect("the catalogue lists every id: one macro wrote both")
    }

    /// The invariant of that text form.
    pub fn from_name(name: &str) -> Option<Self> {
        CATALOGUE.iter().map(|entry| entry.id).find(|id| id.name() == name)
    }
}

impl std::fmt::Display for InvariantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A breach that an oracle saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant that did not hold.
    pub id: InvariantId,
    /// What it does to the run.
    pub severity: Severity,
    /// When it was seen, in seconds of cluster time since the start of the run.
    pub at_seconds: f64,
    /// The node it concerns; `None` for the cluster or the account.
    pub node: Option<String>,
    /// The objects and what was expected of them, for a person.
    pub detail: String,
}

impl Violation {
    /// A breach with the severity of the catalogue.
    pub fn new(
        id: InvariantId,
        at: std::time::Duration,
        node: Option<&str>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity: id.entry().severity,
            at_seconds: at.as_secs_f64(),
            node: node.map(str::to_owned),
            detail: detail.into(),
        }
    }

    /// The same breach, judged otherwise than the catalogue does by default.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_complete_and_in_order() {
        let names: Vec<String> = CATALOGUE.iter().map(|entry| entry.id.to_string()).collect();
        let expected: Vec<String> = (1..=22).map(|n| format!("I{n}")).collect();
        assert_eq!(names, expected);
        assert!(CATALOGUE.iter().all(|entry| entry.statement.ends_with('.')));
        assert_eq!(InvariantId::from_name("I7"), Some(InvariantId::I7));
        assert_eq!(InvariantId::from_name("I23"), None);
    }

    #[test]
    fn a_violation_has_the_documented_json() {
        let violation =
            Violation::new(InvariantId::I7, std::time::Duration::from_millis(1500), Some("n1"), "eni-1");
        assert_eq!(
            serde_json::to_string(&violation).unwrap(),
            r#"{"id":"I7","severity":"fatal","at_seconds":1.5,"node":"n1","detail":"eni-1"}"#
        );
    }
}
