//! Named places in shipped code: crash points, rare paths, and odd-but-legal behaviour.
//!
//! Outside the simulator the probe is [`NoProbe`] and every question answers "carry on".

/// Whether code that reached a crash point may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Go on.
    Continue,
    /// The process is as good as dead: stop here and never return.
    Halt,
}

/// The simulator's eyes in shipped code.
pub trait Probe: Send + Sync {
    /// A named crash point is passed.
    fn reached(&self, point: &'static str) -> Fate;
    /// A rare path was taken; a night's seeds must take each at least once.
    fn sometimes(&self, name: &'static str);
    /// Whether to do the odd but legal thing here (a site is chosen per run, then fires 25 %).
    fn buggify(&self, site: &'static str) -> bool;
    /// The deliberate bug that this run carries, if any.
    #[cfg(feature = "deliberate-bugs")]
    fn bug(&self) -> Option<Bug> {
        None
    }
}

/// The probe of production: sees nothing, changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn reached(&self, _point: &'static str) -> Fate {
        Fate::Continue
    }
    fn sometimes(&self, _name: &'static str) {}
    fn buggify(&self, _site: &'static str) -> bool {
        false
    }
}

/// Passes a crash point: returns at once, or never if the process dies here.
pub async fn pass(probe: &dyn Probe, point: &'static str) {
    if probe.reached(point) == Fate::Halt {
        std::future::pending::<()>().await;
    }
}

/// True when this run carries the named deliberate bug. Constant false in every release build: the
/// feature `deliberate-bugs` exists for the check that the simulator's oracles have teeth.
#[macro_export]
macro_rules! bug {
    ($probe:expr, $bug:ident) => {{
        #[cfg(feature = "deliberate-bugs")]
        let on = $probe.bug() == Some($crate::probe::Bug::$bug);
        #[cfg(not(feature = "deliberate-bugs"))]
        let on = false;
        on
    }};
}

#[cfg(feature = "deliberate-bugs")]
pub use self::bugs::Bug;

#[cfg(feature = "deliberate-bugs")]
mod bugs {
    macro_rules! bugs {
        ($($name:ident $text:literal $story:literal;)+) => {
            /// Deliberate bugs: each is a mistake that some CNI really made.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Bug { $(#[doc = $story] $name,)+ }

            impl Bug {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name,)+];
                /// Kebab-case name.
                pub fn name(self) -> &'static str { match self { $(Self::$name => $text,)+ } }
                /// What it does.
                pub fn story(self) -> &'static str { match self { $(Self::$name => $story,)+ } }
                /// By name.
                pub fn parse(text: &str) -> Option<Self> {
                    Self::ALL.iter().copied().find(|bug| bug.name() == text)
                }
            }
        };
    }

    bugs! {
        ForgetCooling "forget-cooling" "a restart forgets which addresses are cooling";
        EarlyHandOut "early-hand-out" "an address is handed out before its ENI is in use";
        LeakOnAttachFailure "leak-on-attach-failure" "an ENI is dropped, not deleted, when its attach is refused";
        FreshTokenOnRetry "fresh-token-on-retry" "a retried create carries a new ClientToken";
        StaleDelFrees "stale-del-frees" "a DEL frees by pod name and ignores the container id";
        ReleaseRacesAllocation "release-races-allocation" "an address picked for release can still be handed out";
        DemandCountedTwice "demand-counted-twice" "waiting pods are counted once more as missing floor";
        WaiterNeverFailed "waiter-never-failed" "a waiting ADD is not told why it cannot be served";
        GcStopsOnExhaustion "gc-stops-on-exhaustion" "pod garbage collection stops while a vSwitch is exhausted";
        TrustLaggingDescribe "trust-lagging-describe" "what one Describe lists or lacks is believed at once";
        SkipStoreWrite "skip-store-write" "an allocation is answered but not recorded";
        SkipIntent "skip-intent" "a create is not preceded by a durable intent";
        TrustEmptyPodList "trust-empty-pod-list" "records are freed when the pod list does not show their pods";
        IgnorePartialBatch "ignore-partial-batch" "a short assign reply is booked as if it were whole";
        ThrottleIsFatal "throttle-is-fatal" "Throttling.User is taken for a refusal and fails the pod";
        CommitAfterReply "commit-after-reply" "ADD answers before its record is durable";
        NoCooling "no-cooling" "a released address is idle at once";
        OpenStart "open-start" "a pod that the policy engine has not seen yet is open until it has";
        UnguardedLink "unguarded-link" "a pod's link is made without policy programs";
        LostEdit "lost-edit" "a change of a policy that is known already is passed over";
        StaleLabels "stale-labels" "a pod keeps the labels that it was first seen with";
        OverwriteBinding "overwrite-binding" "an address listed by the cloud is booked as idle although a pod has it";
    }
}
