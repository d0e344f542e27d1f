//! A cluster, compiled: every pod that has addresses is an endpoint of one node.

use std::collections::BTreeMap;

use terway_policy::{
    compile::{Compiler, EndpointSpec, Options, Publication, Tier},
    layout::{CONTROL_TRACK, Control, EGRESS, INGRESS, addr_of},
    manifest,
    maps::Maps as _,
    memory::Memory,
    model::{self, Direction, Name, Snapshot},
    reference::{Question, Why, judge},
    verdict::{Decision, classify},
};

/// Link of the first pod, far from those that a namespace has of its own.
pub(crate) const FIRST_LINK: u32 = 1000;

/// Tables in memory, and who is where in them.
pub(crate) struct Bed {
    pub(crate) compiler: Compiler,
    pub(crate) memory: Memory,
    pub(crate) links: BTreeMap<Name, u32>,
}

impl Bed {
    /// Compiles all of a snapshot at once.
    pub(crate) fn compile(snapshot: &Snapshot) -> Self {
        Self::compile_with(snapshot, Options::default())
    }

    /// The same, with what a node denies.
    pub(crate) fn compile_with(snapshot: &Snapshot, options: Options) -> Self {
        let mut bed =
            Self { compiler: Compiler::new(options), memory: Memory::default(), links: BTreeMap::new() };
        bed.memory.control = Control { flags: CONTROL_TRACK, hz: 100, ..Control::default() };
        bed.compiler.load(snapshot);
        for (link, pod) in (FIRST_LINK..).zip(snapshot.pods.values()) {
            bed.place(link, pod);
        }
        let publication = bed.publish();
        bed.apply(&publication);
        bed
    }

    pub(crate) fn place(&mut self, link: u32, pod: &model::Pod) {
        self.links.insert(pod.name.clone(), link);
        self.compiler
            .set_endpoint(link, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
    }

    pub(crate) fn publish(&mut self) -> Publication {
        self.compiler.publish().expect("a small cluster fits")
    }

    pub(crate) fn apply(&mut self, publication: &Publication) {
        publication.ops().for_each(|op| self.memory.apply(op));
    }

    /// What the tables say of the first packet of a flow.
    pub(crate) fn judge(&self, question: &Question<'_>) -> Decision {
        let link = self.links[question.pod];
        let endpoint = self.memory.endpoint(link).expect("every pod is an endpoint");
        let direction = if question.direction == Direction::Ingress { INGRESS } else { EGRESS };
        classify(
            &self.memory,
            endpoint,
            direction,
            &addr_of(question.remote),
            question.protocol,
            question.port,
        )
    }

    /// Whether a rule or isolating policies were named; panics when they are not those of the reference.
    pub(crate) fn names_the_same(&self, snapshot: &Snapshot, question: &Question<'_>) -> bool {
        let decision = self.judge(question);
        let expected = judge(snapshot, question);
        match expected.why() {
            Why::Policy { policy, rule } => {
                let origin = self.compiler.origin(decision.rules, decision.rule).expect("the rule is known");
                assert_eq!(
                    (origin.tier, &origin.policy, origin.index),
                    (Tier::Policy, policy, *rule),
                    "{question:?}"
                );
            }
            Why::Cluster { policy, tier, rule } => {
                let origin = self.compiler.origin(decision.rules, decision.rule).expect("the rule is known");
                let tier = if *tier == model::Tier::Admin { Tier::Admin } else { Tier::Baseline };
                let name = Name::new("", policy);
                assert_eq!((origin.tier, &origin.policy, origin.index), (tier, &name, *rule), "{question:?}");
            }
            Why::NoRule { isolated_by } => {
                assert_eq!(self.compiler.isolated_by(decision.rules), isolated_by, "{question:?}");
            }
            Why::NotIsolated | Why::NoPod => return false,
        }
        true
    }
}

/// What a person needs to see a difference for himself.
pub(crate) fn counterexample(seed: u64, snapshot: &Snapshot, question: &Question<'_>) -> String {
    let (expected, got) = (judge(snapshot, question), Bed::compile(snapshot).judge(question));
    format!(
        "seed {seed}: {question:?}\nreference: {expected:?}\nverdict:   {got:?}\nmanifests:\n{}",
        manifest::write(snapshot)
    )
}
