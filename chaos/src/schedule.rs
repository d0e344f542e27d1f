//! Schedules: all faults of a run, as data.
//!
//! Drawn up front from the seed and saved with a failure, so that what happened can be read, edited, and made
//! smaller. The order is total (time, then target, then kind), so equal schedules print equal text.

pub(crate) mod read;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

pub use read::InputError;

use crate::kind::{FaultKind, TargetKind};

/// Where a fault strikes. In text: `cluster`, `node:NAME`, `action:NAME`, `vswitch:ID`,
/// `zone:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Everything that the kind can strike.
    Cluster,
    /// One node, by name.
    Node(String),
    /// One action of the cloud's API, by name, from every node.
    CloudAction(String),
    /// One vSwitch, by id.
    VSwitch(String),
    /// One zone, by name.
    Zone(String),
}

impl Target {
    /// Whether a kind that strikes `kind` of things can be aimed at this.
    pub fn fits(&self, kind: TargetKind) -> bool {
        match self {
            Self::Cluster => true,
            Self::Node(_) => matches!(kind, TargetKind::Node | TargetKind::Cloud),
            Self::CloudAction(_) => kind == TargetKind::Cloud,
            Self::VSwitch(_) => kind == TargetKind::VSwitch,
            Self::Zone(_) => kind == TargetKind::Zone,
        }
    }

    /// The node's name, if one node is struck.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Node(name) => Some(name),
            _ => None,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::CloudAction(name) => write!(f, "action:{name}"),
            Self::VSwitch(id) => write!(f, "vswitch:{id}"),
            Self::Zone(name) => write!(f, "zone:{name}"),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Cluster time since the start of the run, in whole milliseconds.
    pub at: Duration,
    /// Where it strikes.
    pub target: Target,
    /// How long it lasts, in whole milliseconds; zero for what happens once.
    pub lasts: Duration,
    /// For kinds that act per call: how likely each call within `lasts` is struck, in `(0, 1]`. 1 otherwise.
    pub probability: f64,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault with the usual duration of its kind, striking every call.
    pub fn new(at: Duration, target: Target, kind: FaultKind) -> Self {
        Self { at, target, lasts: kind.default_duration(), probability: 1.0, kind }
    }

    /// When it is over, in cluster time.
    pub fn ends(&self) -> Duration {
        self.at.saturating_add(self.lasts)
    }

    /// Whether it holds at `now`: from `at`, until before [`Fault::ends`].
    pub fn holds_at(&self, now: Duration) -> bool {
        self.at <= now && now < self.ends()
    }

    /// One line for a person: `12m3.5s throttle(code=Throttling.User) on action:… for 30s, 20 % of calls`.
    pub fn story(&self) -> String {
        use std::fmt::Write as _;
        let args: Vec<String> = self
            .kind
            .args()
            .into_iter()
            .map(|(name, arg)| format!("{name}={}", arg.to_toml().to_string().trim_matches('"')))
            .collect();
        let mut line = format!("{} {}", crate::duration::print(self.at), self.kind.name());
        if !args.is_empty() {
            write!(line, "({})", args.join(", ")).expect("writing to a String cannot fail");
        }
        write!(line, " on {}", self.target).expect("writing to a String cannot fail");
        if !self.lasts.is_zero() {
            write!(line, " for {}", crate::duration::print(self.lasts))
                .expect("writing to a String cannot fail");
        }
        if self.probability < 1.0 {
            write!(line, ", {:.0} % of calls", self.probability * 100.0)
                .expect("writing to a String cannot fail");
        }
        line
    }
}

/// All faults of a run, in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    faults: Vec<Fault>,
}

impl Schedule {
    /// A schedule of these faults, put in order.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        // The last key tells apart faults of one kind that differ in arguments only.
        faults.sort_by_cached_key(|fault| {
            (fault.at, fault.target.clone(), fault.kind.name(), fault.lasts, format!("{:?}", fault.kind))
        });
        Self { faults }
    }

    /// The faults, in order of time.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// When the last of them is over: from here on the cluster can heal.
    pub fn healed_at(&self) -> Duration {
        self.faults.iter().map(Fault::ends).max().unwrap_or_default()
    }

    /// The faults for which `keep` holds.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&Fault) -> bool) -> Self {
        Self { faults: self.faults.iter().filter(|fault| keep(fault)).cloned().collect() }
    }
}

impl FromIterator<Fault> for Schedule {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self::new(faults.into_iter().collect())
    }
}
