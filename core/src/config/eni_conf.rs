//! The JSON document and its validation.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{AgentConfig, DEFAULT_COOLDOWN, EniSelection, PoolPolicy, Reclaim, VSwitchSelection};
use crate::{
    address::{Grain, Stack},
    duration,
    id::{SecurityGroupId, VSwitchId, ZoneId},
};

/// A value that cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a key of the wrong type.
    #[error("eni_conf is not valid: {0}")]
    Malformed(String),
    /// A key with a value outside of what is allowed.
    #[error("eni_conf key `{key}` is `{value}`; allowed: {allowed}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What would have been accepted.
        allowed: &'static str,
    },
}

/// The keys of `eni_conf` that the pool uses. All optional; see the crate's book for each.
#[derive(Clone, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the keys are the interface; `PoolPolicy` documents what they become")]
pub struct EniConf {
    pub min_pool_size: Option<i64>,
    pub max_pool_size: Option<i64>,
    pub pool_replenish_threshold: Option<i64>,
    pub min_eni: Option<i64>,
    pub max_eni: Option<i64>,
    pub eni_cap_ratio: Option<f64>,
    pub eni_cap_shift: Option<i64>,
    pub max_ips_per_eni: Option<i64>,
    pub eni_config: Option<EniSection>,
    pub ip_pool_sync_period: Option<String>,
    pub ip_reuse_cooldown: Option<String>,
    pub idle_ip_reclaim_after: Option<String>,
    pub idle_ip_reclaim_interval: Option<String>,
    pub idle_ip_reclaim_batch_size: Option<i64>,
    pub idle_ip_reclaim_jitter_factor: Option<String>,
    pub eni_selection_policy: Option<String>,
    pub vswitch_selection_policy: Option<String>,
    pub ip_stack: Option<String>,
    pub enable_ip_prefix: Option<bool>,
    #[serde(default)]
    pub vswitches: BTreeMap<String, Vec<String>>,
    pub security_group: Option<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
    #[serde(default)]
    pub security_group_ids: Vec<String>,
    #[serde(default)]
    pub eni_tags: BTreeMap<String, String>,
    pub enable_patch_pod_ips: Option<bool>,
    #[serde(default)]
    pub extra_routes: Vec<RouteSection>,
    #[serde(default)]
    pub rate_limit: BTreeMap<String, u32>,
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// `eni_config`
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EniSection {
    /// ENIs created or attached at a time.
    pub eni_allocate_batch: Option<i64>,
}

/// An entry of `extra_routes`
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RouteSection {
    /// Block that is reached through the pod's interface.
    pub dst: String,
}

impl EniConf {
    /// Reads the document.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(text).map_err(|error| ConfigError::Malformed(error.to_string()))
    }

    /// Checks every value. Unknown keys are in [`EniConf::unknown`] for the caller to warn about.
    pub fn validate(&self) -> Result<AgentConfig, ConfigError> {
        let max_pool = count("max_pool_size", self.max_pool_size, 5)?;
        let min_pool = count("min_pool_size", self.min_pool_size, 0)?;
        if min_pool > max_pool {
            return invalid("min_pool_size", min_pool, "at most `max_pool_size`");
        }
        let eni_cap_ratio = self.eni_cap_ratio.unwrap_or(1.0);
        if !(eni_cap_ratio.is_finite() && (0.0..=1.0).contains(&eni_cap_ratio)) {
            return invalid("eni_cap_ratio", eni_cap_ratio, "a number from 0 to 1");
        }
        let parallel = self.eni_config.as_ref().and_then(|section| section.eni_allocate_batch);
        let parallel_enis = count("eni_config.eni_allocate_batch", parallel, 5)?;
        if !(1..=10).contains(&parallel_enis) {
            return invalid("eni_config.eni_allocate_batch", parallel_enis, "1 to 10");
        }
        let pool = PoolPolicy {
            min_pool,
            max_pool,
            replenish_threshold: count(
                "pool_replenish_threshold",
                self.pool_replenish_threshold,
                i64::from(min_pool.div_ceil(2)),
            )?,
            min_eni: count("min_eni", self.min_eni, 0)?,
            max_eni: count("max_eni", self.max_eni, 0)?,
            eni_cap_ratio,
            eni_cap_shift: self.eni_cap_shift.unwrap_or(0),
            max_ips_per_eni: count("max_ips_per_eni", self.max_ips_per_eni, 0)?,
            parallel_enis,
            // An unparsable period falls back to the default, as in the original.
            surplus_hold: self
                .ip_pool_sync_period
                .as_deref()
                .and_then(|text| duration::parse(text).ok())
                .unwrap_or(Duration::from_secs(120)),
            cooldown: period("ip_reuse_cooldown", self.ip_reuse_cooldown.as_deref())?
                .unwrap_or(DEFAULT_COOLDOWN),
            reclaim: self.reclaim()?,
            eni_selection: match self.eni_selection_policy.as_deref() {
                None | Some("" | "most_ips") => EniSelection::MostIps,
                Some("least_ips") => EniSelection::LeastIps,
                Some(other) => return invalid("eni_selection_policy", other, "`most_ips` or `least_ips`"),
            },
            // The original takes every word but "ordered" for random.
            vswitch_selection: match self.vswitch_selection_policy.as_deref() {
                Some("ordered") => VSwitchSelection::Ordered,
                _ => VSwitchSelection::Random,
            },
            stack: match self.ip_stack.as_deref() {
                None | Some("" | "ipv4") => Stack::Ipv4,
                Some("dual") => Stack::Dual,
                Some(other) => return invalid("ip_stack", other, "`ipv4` or `dual`"),
            },
            grain: if self.enable_ip_prefix == Some(true) { Grain::Prefix } else { Grain::Address },
        };
        if pool.grain == Grain::Prefix && pool.stack == Stack::Dual {
            return invalid("ip_stack", "dual", "`ipv4` while `enable_ip_prefix` is true");
        }
        Ok(AgentConfig {
            pool,
            vswitches: self.vswitches(),
            security_groups: self.groups()?,
            eni_tags: self.eni_tags.clone(),
            patch_pod_ips: self.enable_patch_pod_ips.unwrap_or(true),
            extra_routes: self.routes()?,
            rate_limit: self.rate_limit.clone(),
        })
    }

    fn vswitches(&self) -> BTreeMap<ZoneId, Vec<VSwitchId>> {
        let typed = |ids: &Vec<String>| ids.iter().map(|id| VSwitchId::from(id.as_str())).collect();
        self.vswitches.iter().map(|(zone, ids)| (ZoneId::from(zone.as_str()), typed(ids))).collect()
    }

    fn routes(&self) -> Result<Vec<IpNet>, ConfigError> {
        let route = |route: &RouteSection| match route.dst.parse() {
            Ok(dst) => Ok(dst),
            Err(_) => invalid("extra_routes.dst", &route.dst, "a block such as `10.1.0.0/16`"),
        };
        self.extra_routes.iter().map(route).collect()
    }

    fn groups(&self) -> Result<Vec<SecurityGroupId>, ConfigError> {
        let mut groups: Vec<&String> =
            self.security_group.iter().chain(&self.security_groups).chain(&self.security_group_ids).collect();
        groups.sort();
        groups.dedup();
        if groups.len() > 10 {
            return invalid("security_groups", groups.len(), "at most 10 groups");
        }
        Ok(groups.into_iter().map(|id| SecurityGroupId::from(id.as_str())).collect())
    }

    fn reclaim(&self) -> Result<Option<Reclaim>, ConfigError> {
        let Some(after) = period("idle_ip_reclaim_after", self.idle_ip_reclaim_after.as_deref())? else {
            return Ok(None);
        };
        let jitter_text = self.idle_ip_reclaim_jitter_factor.as_deref().unwrap_or("0.1");
        let jitter: f64 = match jitter_text.parse() {
            Ok(factor) if (0.0..=10.0).contains(&factor) => factor,
            _ => return invalid("idle_ip_reclaim_jitter_factor", jitter_text, "a number from 0 to 10"),
        };
        Ok(Some(Reclaim {
            after,
            interval: period("idle_ip_reclaim_interval", self.idle_ip_reclaim_interval.as_deref())?
                .unwrap_or(Duration::from_secs(600)),
            batch: count("idle_ip_reclaim_batch_size", self.idle_ip_reclaim_batch_size, 5)?,
            jitter,
        }))
    }
}

fn invalid<T>(
    key: &'static str,
    value: impl std::fmt::Display,
    allowed: &'static str,
) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { key, value: value.to_string(), allowed })
}

fn count(key: &'static str, value: Option<i64>, default: i64) -> Result<u32, ConfigError> {
    let value = value.unwrap_or(default);
    u32::try_from(value).or_else(|_| invalid(key, value, "a whole number, 0 or more"))
}

fn period(key: &'static str, text: Option<&str>) -> Result<Option<Duration>, ConfigError> {
    text.map(|text| {
        duration::parse(text).or_else(|_| invalid(key, text, "a duration such as `300s` or `10m`"))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::InstanceLimits;

    fn config(json: &str) -> Result<AgentConfig, ConfigError> {
        EniConf::from_json(json).and_then(|conf| conf.validate())
    }

    #[test]
    fn an_empty_document_gives_the_templates_defaults() {
        let config = config("{}").expect("valid");
        assert_eq!((config.pool.min_pool, config.pool.max_pool), (0, 5));
        assert_eq!(config.pool.cooldown, DEFAULT_COOLDOWN);
        assert!(config.pool.reclaim.is_none());
    }

    #[test]
    fn capacity_follows_the_instance_type() {
        let limits = InstanceLimits::new(4, 15, 15);
        let pods = |json: &str| config(json).expect("valid").pool.capacity(&limits).pods();
        assert_eq!(pods("{}"), 45);
        assert_eq!(pods(r#"{"max_eni": 2}"#), 30);
        assert_eq!(pods(r#"{"eni_cap_ratio": 0.5}"#), 15);
        assert_eq!(pods(r#"{"eni_cap_shift": -3}"#), 0);
        assert_eq!(pods(r#"{"enable_ip_prefix": true}"#), 3 * 14 * 16);
    }

    #[test]
    fn min_eni_replaces_min_pool_and_stays_below_max_pool() {
        let pool = config(r#"{"min_eni": 1, "max_pool_size": 10, "min_pool_size": 2}"#).expect("valid").pool;
        assert_eq!(pool.bounds(&pool.capacity(&InstanceLimits::new(4, 15, 15))), (10, 10, 1));
    }

    #[test]
    fn a_bad_value_names_key_value_and_what_is_allowed() {
        let message = |json: &str| config(json).expect_err("invalid").to_string();
        assert_eq!(
            message(r#"{"max_pool_size": -3}"#),
            "eni_conf key `max_pool_size` is `-3`; allowed: a whole number, 0 or more"
        );
        for (json, key) in [
            (r#"{"ip_stack": "ipv6"}"#, "ip_stack"),
            (r#"{"min_pool_size": 9}"#, "min_pool_size"),
            (r#"{"idle_ip_reclaim_after": "soon"}"#, "idle_ip_reclaim_after"),
            (r#"{"eni_cap_ratio": 1.5}"#, "eni_cap_ratio"),
            (r#"{"eni_config": {"eni_allocate_batch": 0}}"#, "eni_allocate_batch"),
        ] {
            assert!(message(json).contains(key), "{json}");
        }
    }
}
