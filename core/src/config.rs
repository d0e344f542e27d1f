//! `eni_conf` as operators write it, validated into what the agent works with.
//!
//! Key names, defaults and aliases are the original's; every rejected value is named together with
//! what is allowed. Unknown keys are not an error there, so they are returned as warnings here.

mod eni_conf;

use std::{collections::BTreeMap, time::Duration};

pub use self::eni_conf::{ConfigError, EniConf};
use ipnet::IpNet;

use crate::{
    address::{Grain, Stack},
    id::{SecurityGroupId, VSwitchId, ZoneId},
    limits::{InstanceLimits, NodeCapacity},
};

/// How long peers may still hold state for a dead pod's address: the longest of ARP (60 s) and a
/// half-open TCP connection with the kernel's default of six SYN retries (127 s).
pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(130);

/// Which ENI serves the next pod (`eni_selection_policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EniSelection {
    /// The one with the most addresses: fills ENIs up, so that others can be given back.
    #[default]
    MostIps,
    /// The one with the fewest.
    LeastIps,
}

/// Which vSwitch a new ENI is made in (`vswitch_selection_policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VSwitchSelection {
    /// Any that is not set aside.
    #[default]
    Random,
    /// In the order of the list.
    Ordered,
}

/// Slow return of idle addresses below the maximum (`idle_ip_reclaim_*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reclaim {
    /// Quiet time (no allocation, no release) before it starts.
    pub after: Duration,
    /// Time between batches.
    pub interval: Duration,
    /// Addresses per batch.
    pub batch: u32,
    /// Each interval is stretched by up to this factor.
    pub jitter: f64,
}

/// Everything that operators may choose about a node's pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPolicy {
    /// Idle addresses to keep ready per node (`min_pool_size`).
    pub min_pool: u32,
    /// Idle addresses to keep at most per node (`max_pool_size`).
    pub max_pool: u32,
    /// Refill to `min_pool` only once idle falls below this (`pool_replenish_threshold`): one call
    /// for several addresses instead of one each.
    pub replenish_threshold: u32,
    /// `min_eni`; when positive it replaces `min_pool` by that many full ENIs.
    pub min_eni: u32,
    /// `max_eni`; 0 = the instance's limit.
    pub max_eni: u32,
    /// `eni_cap_ratio`
    pub eni_cap_ratio: f64,
    /// `eni_cap_shift`
    pub eni_cap_shift: i64,
    /// `max_ips_per_eni`; 0 = the instance's limit.
    pub max_ips_per_eni: u32,
    /// ENIs created or attached at a time (`eni_config.eni_allocate_batch`).
    pub parallel_enis: u32,
    /// How long idle must stay above `max_pool` before the surplus is given back
    /// (`ip_pool_sync_period`).
    pub surplus_hold: Duration,
    /// How long an address rests after a pod before another may have it (`ip_reuse_cooldown`).
    pub cooldown: Duration,
    /// Slow return below `max_pool`; off unless `idle_ip_reclaim_after` is set.
    pub reclaim: Option<Reclaim>,
    /// `eni_selection_policy`
    pub eni_selection: EniSelection,
    /// `vswitch_selection_policy`
    pub vswitch_selection: VSwitchSelection,
    /// `ip_stack`
    pub stack: Stack,
    /// `enable_ip_prefix`
    pub grain: Grain,
}

impl PoolPolicy {
    /// Capacity of a node of the given limits under this policy.
    ///
    /// `maxENI = trunc(A·ratio) + shift − 1`, capped by `max_eni`; `I4` addresses per ENI, or
    /// `I4 − 1` prefixes (the primary address takes one slot).
    pub fn capacity(&self, limits: &InstanceLimits) -> NodeCapacity {
        let scaled = (f64::from(limits.eni_quantity) * self.eni_cap_ratio).trunc() as i64;
        let mut max_enis = (scaled + self.eni_cap_shift - 1).clamp(0, i64::from(limits.eni_quantity) - 1);
        if self.max_eni > 0 {
            max_enis = max_enis.min(i64::from(self.max_eni));
        }
        let mut per_eni = limits.eni_private_ip_address_quantity;
        if self.max_ips_per_eni > 0 {
            per_eni = per_eni.min(self.max_ips_per_eni);
        }
        if self.grain == Grain::Prefix {
            per_eni = per_eni.saturating_sub(1);
        }
        NodeCapacity {
            max_enis: u32::try_from(max_enis).unwrap_or(0),
            per_eni,
            grain: self.grain,
            stack: limits.stack(self.stack),
        }
    }

    /// Bounds of the idle pool on a node of this capacity: `(min, max, replenish threshold)`.
    pub fn bounds(&self, capacity: &NodeCapacity) -> (u32, u32, u32) {
        let max = self.max_pool.min(capacity.pods());
        let min = if self.min_eni > 0 { self.min_eni * capacity.pods_per_eni() } else { self.min_pool };
        let min = min.min(max);
        (min, max, self.replenish_threshold.min(min))
    }
}

/// A validated `eni_conf`.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentConfig {
    /// The pool.
    pub pool: PoolPolicy,
    /// vSwitches by zone, in the order written.
    pub vswitches: BTreeMap<ZoneId, Vec<VSwitchId>>,
    /// Security groups of every ENI.
    pub security_groups: Vec<SecurityGroupId>,
    /// Extra tags on every ENI.
    pub eni_tags: BTreeMap<String, String>,
    /// Write `k8s.aliyun.com/pod-ips` on pods (`enable_patch_pod_ips`).
    pub patch_pod_ips: bool,
    /// Routes inside pods besides the default one (`extra_routes`).
    pub extra_routes: Vec<IpNet>,
    /// Client-side ceilings, calls per minute by action name (`rate_limit`).
    pub rate_limit: BTreeMap<String, u32>,
}
