//! Figures, under the original's names and those that dashboards and alerts of operators use.
//!
//! OpenMetrics ends the name of every counter in `_total`. Counters of the original that do not end so are exposed as
//! gauges, that only rise: the name is what queries depend on. For the same reason some gauges end in `_total`.

use std::sync::{Mutex, PoisonError, atomic::AtomicU64};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use terway_agent::{Agent, policy::Phase, store::EniPhase};

/// Labels of a figure.
pub(crate) type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
type Counts = Family<Labels, Counter>;
/// A gauge that holds a count, or one that only rises.
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

fn rpc_buckets() -> Histogram {
    Histogram::new([
        50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12_800.0, 25_600.0, 26_600.0, 27_600.0,
        29_600.0, 33_600.0, 41_600.0, 57_600.0, 89_600.0, 110_000.0, 120_000.0,
    ])
}

fn cloud_buckets() -> Histogram {
    Histogram::new([
        50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12_800.0, 13_800.0, 14_800.0, 16_800.0,
        20_800.0, 28_800.0, 44_800.0,
    ])
}

fn limiter_buckets() -> Histogram {
    Histogram::new([
        200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12_800.0, 13_800.0, 14_800.0, 16_800.0, 20_800.0,
        28_800.0, 44_800.0,
    ])
}

fn attach_buckets() -> Histogram {
    Histogram::new([1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0])
}

fn policy_buckets() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    ])
}

fn pod_buckets() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

/// All figures of a daemon.
pub(crate) struct Metrics {
    registry: Registry,
    /// Milliseconds of each call of a plugin, by method and whether it failed.
    pub(crate) rpc_latency: Histograms,
    /// Milliseconds of each call of the cloud.
    pub(crate) openapi_latency: Histograms,
    /// Milliseconds of each read of instance metadata.
    pub(crate) metadata_latency: Histograms,
    /// Milliseconds that calls of the cloud waited for their turn.
    pub(crate) limiter_latency: Histograms,
    /// Seconds from the call that attaches an ENI to its interface being set up.
    pub(crate) attach_duration: Histograms,
    /// Seconds until a pod's address is answered.
    pub(crate) pod_latency: Histogram,
    /// ENIs and addresses given back to the cloud.
    pub(crate) disposed: Gauges,
    /// Addresses given to pods, at hand or waited for.
    pub(crate) allocated: Gauges,
    /// Addresses given to pods, by ENI.
    pub(crate) ip_alloc: Gauges,
    /// ENIs that could not be made or attached.
    pub(crate) eni_errors: Counts,
    /// Pods that got no address.
    pub(crate) ip_errors: Counts,
    /// Objects put back for live pods and ENIs, and objects removed that belonged to nobody.
    pub(crate) mended: Counts,
    /// Changes that the kernel refused.
    pub(crate) refused: Counter,
    /// Events that were not sent.
    pub(crate) events_dropped: Counter,
    /// Seconds from the sight of a policy to its being in force.
    pub(crate) policy_sync: Histogram,
    /// Policies, or changes around them, that could not be put in force.
    pub(crate) policy_errors: Counter,
    /// Denied packets that were counted and not told one by one.
    pub(crate) policy_untold: Counter,
    /// Lines of the audit log that could not be written.
    pub(crate) audit_errors: Counter,
    policy_ready: Gauge,
    policy_rule_sets: Gauge,
    policy_problems: Gauge,
    policy_entries: Gauges,
    policy_room: Gauges,
    pool_total: Gauges,
    pool_idle: Gauges,
    factory_enis: Gauges,
    factory_ips: Gauges,
    tasks: Gauges,
    eni_total: Gauge,
    eni_allocated: Gauge,
    ip_allocated: Gauge,
    waiting: Gauge,
    /// Series of ENIs that have left must not stay.
    fresh: Mutex<()>,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let histograms = |new: fn() -> Histogram| Histograms::new_with_constructor(new);
        let mut metrics = Self {
            registry: Registry::default(),
            rpc_latency: histograms(rpc_buckets),
            openapi_latency: histograms(cloud_buckets),
            metadata_latency: histograms(cloud_buckets),
            limiter_latency: histograms(limiter_buckets),
            attach_duration: histograms(attach_buckets),
            pod_latency: pod_buckets(),
            disposed: Gauges::default(),
            allocated: Gauges::default(),
            ip_alloc: Gauges::default(),
            eni_errors: Counts::default(),
            ip_errors: Counts::default(),
            mended: Counts::default(),
            refused: Counter::default(),
            events_dropped: Counter::default(),
            policy_sync: policy_buckets(),
            policy_errors: Counter::default(),
            policy_untold: Counter::default(),
            audit_errors: Counter::default(),
            policy_ready: Gauge::default(),
            policy_rule_sets: Gauge::default(),
            policy_problems: Gauge::default(),
            policy_entries: Gauges::default(),
            policy_room: Gauges::default(),
            pool_total: Gauges::default(),
            pool_idle: Gauges::default(),
            factory_enis: Gauges::default(),
            factory_ips: Gauges::default(),
            tasks: Gauges::default(),
            eni_total: Gauge::default(),
            eni_allocated: Gauge::default(),
            ip_allocated: Gauge::default(),
            waiting: Gauge::default(),
            fresh: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        macro_rules! register {
            ($($name:literal, $help:literal, $figure:ident;)+) => {
                $(registry.register($name, $help, self.$figure.clone());)+
            };
        }
        register! {
            "terway_rpc_latency", "Milliseconds of each call of a plugin", rpc_latency;
            "aliyun_openapi_latency", "Milliseconds of each call of the cloud", openapi_latency;
            "aliyun_metadata_latency", "Milliseconds of each read of instance metadata", metadata_latency;
            "rate_limiter_latency", "Milliseconds that calls of the cloud waited for their turn", limiter_latency;
            "terway_eni_attach_duration_seconds", "From the attach call to the interface being set up", attach_duration;
            "terway_pod_network_latency_seconds", "From the call of ADD to its answer", pod_latency;
            "terway_resource_pool_disposed_count", "ENIs and addresses given back; only rises", disposed;
            "terway_resource_pool_allocated_count", "Addresses given to pods; only rises", allocated;
            "terway_eniip_factory_ip_alloc_count", "Addresses given to pods, by ENI; only rises", ip_alloc;
            "terway_eni_allocation_errors", "ENIs that could not be made or attached, by code", eni_errors;
            "terway_ip_allocation_errors", "Pods that got no address, by cause", ip_errors;
            "terway_mended_objects", "Kernel objects put back or removed, by reason and kind", mended;
            "terway_mend_refused", "Changes that the kernel refused", refused;
            "terway_events_dropped", "Kubernetes events that were not sent", events_dropped;
            "terway_network_policy_sync_duration_seconds", "From the sight of a policy to its being in force", policy_sync;
            "terway_network_policy_sync_errors", "Changes of policy that could not be put in force", policy_errors;
            "terway_network_policy_untold_packets", "Denied packets that were counted and not told one by one", policy_untold;
            "terway_audit_errors", "Lines of the audit log that could not be written", audit_errors;
            "terway_network_policy_ready", "1 when what the API server shows is in force", policy_ready;
            "terway_network_policy_rule_sets", "Rule sets in force", policy_rule_sets;
            "terway_network_policy_problems", "Policies with parts that match nothing", policy_problems;
            "terway_network_policy_map_entries", "Entries in use, by map", policy_entries;
            "terway_network_policy_map_room", "Entries that there is room for, by map", policy_room;
            "terway_resource_pool_total_count", "Addresses of this node's ENIs", pool_total;
            "terway_resource_pool_idle_count", "Pods that could be served at once", pool_idle;
            "terway_eniip_factory_eni_count", "ENIs of this node", factory_enis;
            "terway_eniip_factory_ip_count", "Addresses of each ENI", factory_ips;
            "terway_eni_task_queue_size", "ENIs on their way, by where to", tasks;
            "terway_eni_total", "ENIs that this node may attach", eni_total;
            "terway_eni_allocated_total", "ENIs that are attached", eni_allocated;
            "terway_ip_allocated_total", "Addresses that pods have", ip_allocated;
            "terway_waiting_pods", "Pods that wait for an address", waiting;
        }
        // Nothing has failed until it has: alerts compare with zero, not with nothing.
        let _ = self.mended.get_or_create(&mended("repair", "rule"));
    }

    /// The page of figures; `agent` as it is now, if it has started.
    pub(crate) fn page(&self, agent: Option<&Agent>) -> String {
        let _one_at_a_time = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agent {
            self.look(agent);
        }
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut page, &self.registry);
        page
    }

    fn look(&self, agent: &Agent) {
        let snapshot = agent.snapshot();
        let stack = match snapshot.stack {
            terway_core::address::Stack::Ipv4 => "ipv4",
            terway_core::address::Stack::Dual => "dual",
        };
        let pool = vec![("type", "eniIp".to_owned()), ("ipStack", stack.to_owned())];
        if let Some(policy) = &snapshot.policy {
            self.policy_ready.set(i64::from(policy.phase == Phase::Serving));
            self.policy_rule_sets.set(count(policy.rule_sets));
            self.policy_problems.set(count(policy.problems.len()));
            for (map, entries, room) in &policy.usage {
                let map = vec![("map", (*map).to_owned())];
                self.policy_entries.get_or_create(&map).set(*entries as f64);
                self.policy_room.get_or_create(&map).set(*room as f64);
            }
        }
        let counts = snapshot.counts;
        self.pool_total.get_or_create(&pool).set(f64::from(counts.total()));
        self.pool_idle.get_or_create(&pool).set(f64::from(snapshot.idle));
        let in_use = snapshot.enis.iter().filter(|eni| eni.phase == EniPhase::InUse).count();
        self.eni_total.set(i64::from(snapshot.max_enis));
        self.eni_allocated.set(count(in_use));
        self.ip_allocated.set(count(snapshot.allocations.len()));
        self.waiting.set(count(snapshot.waiting));
        self.factory_enis.clear();
        let factory = vec![("name", "eniIp".to_owned()), ("max_eni", snapshot.max_enis.to_string())];
        self.factory_enis.get_or_create(&factory).set(in_use as f64);
        self.factory_ips.clear();
        for eni in &snapshot.enis {
            let labels = vec![
                ("name", "eniIp".to_owned()),
                ("eni", eni.mac.to_string()),
                ("max_ip", snapshot.per_eni.to_string()),
            ];
            let held = eni.addresses.v4.len() + 16 * eni.addresses.prefixes.len();
            self.factory_ips.get_or_create(&labels).set(held as f64);
        }
        for (status, phase) in [
            ("attaching", EniPhase::Attaching),
            ("detaching", EniPhase::Detaching),
            ("deleting", EniPhase::Deleting),
        ] {
            let enis = snapshot.enis.iter().filter(|eni| eni.phase == phase).count();
            self.tasks.get_or_create(&vec![("status", status.to_owned())]).set(enis as f64);
        }
        self.tasks.get_or_create(&vec![("status", "creating".to_owned())]).set(snapshot.creating as f64);
    }
}

/// A count as a gauge has it.
fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// Labels of what was mended.
pub(crate) fn mended(reason: &str, object: &str) -> Labels {
    vec![("reason", reason.to_owned()), ("object", object.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_queries_use() {
        let metrics = Metrics::new();
        metrics
            .rpc_latency
            .get_or_create(&vec![("rpc_api", "AllocIP".into()), ("error", "false".into())])
            .observe(7.0);
        metrics.disposed.get_or_create(&vec![("type", "eni".into()), ("ipStack", "ipv4".into())]).inc();
        metrics.ip_errors.get_or_create(&vec![("code", "node-full".into())]).inc();
        metrics.pod_latency.observe(0.02);
        let page = metrics.page(None);
        for line in [
            "terway_rpc_latency_bucket{le=\"50.0\",rpc_api=\"AllocIP\",error=\"false\"} 1",
            "terway_resource_pool_disposed_count{type=\"eni\",ipStack=\"ipv4\"} 1",
            "terway_ip_allocation_errors_total{code=\"node-full\"} 1",
            "terway_pod_network_latency_seconds_bucket{le=\"0.025\"} 1",
            "terway_mended_objects_total{reason=\"repair\",object=\"rule\"} 0",
            "terway_network_policy_sync_duration_seconds_count 0",
            "terway_network_policy_sync_errors_total 0",
            "terway_eni_total 0",
            "terway_eni_allocated_total 0",
            "terway_ip_allocated_total 0",
        ] {
            assert!(page.lines().any(|it| it.starts_with(line)), "{line}\n{page}");
        }
    }
}
