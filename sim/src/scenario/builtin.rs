//! The built-in scenarios: the very files under `scenarios/`, so that what is printed is what runs.

use terway_chaos::near;

use super::{Scenario, ScenarioError};

/// A built-in scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its file, as `terway-sim show` prints it.
    pub text: &'static str,
}

macro_rules! embedded {
    ($($name:literal)+) => {
        const BUILTINS: &[Builtin] = &[
            $(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) },)+
        ];
    };
}

embedded! {
    "thousand-nodes"
    "burst-150-nodes"
    "vswitch-full"
    "throttle-storm"
    "crash-loop"
    "apiserver-outage"
    "node-churn"
    "rolling-upgrade"
    "quiet-day"
    "trace"
    "swarm"
    "dual-stack"
    "prefix"
    "cloud-partition"
    "half-open"
    "slow-cloud"
    "policy"
    "policy-churn"
}

/// All of them, in the order in which they are best tried.
pub fn builtins() -> &'static [Builtin] {
    BUILTINS
}

impl Builtin {
    /// The built-in scenario of that name.
    pub fn named(name: &str) -> Result<&'static Self, ScenarioError> {
        BUILTINS.iter().find(|builtin| builtin.name == name).ok_or_else(|| ScenarioError::Unknown {
            name: name.to_owned(),
            near: near::nearest(name, BUILTINS.iter().map(|builtin| builtin.name)).map(str::to_owned),
        })
    }
}

impl Scenario {
    /// A built-in scenario, with nothing changed.
    pub fn builtin(name: &str) -> Result<Self, ScenarioError> {
        Self::from_toml(Builtin::named(name)?.text, &[])
    }
}
