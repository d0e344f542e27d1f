//! Ports that count what goes through them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use terway_cloud::budget::{self, CallReport};
use terway_core::{
    cloud::Action,
    host::{Endpoint, HostNet, Mended, Nic, Owners, PodNet},
    id::Mac,
    metadata::{InstanceIdentity, Metadata, MetadataError, NicMetadata},
};
use tokio::time::{Duration, Instant};

use crate::metrics::{Metrics, mended};

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Counts calls of the cloud.
pub(crate) struct CloudMeter(pub(crate) Arc<Metrics>);

impl budget::Metrics for CloudMeter {
    fn call(&self, report: &CallReport) {
        let api = || ("api", report.action.name().to_owned());
        let error = ("error", report.code.is_some().to_string());
        self.0.openapi_latency.get_or_create(&vec![api(), error]).observe(millis(report.latency));
        self.0.limiter_latency.get_or_create(&vec![api()]).observe(millis(report.waited));
        let of_eni = matches!(report.action, Action::CreateNetworkInterface | Action::AttachNetworkInterface);
        let disposed = match report.action {
            Action::DeleteNetworkInterface => Some("eni"),
            Action::UnassignPrivateIpAddresses | Action::UnassignIpv6Addresses => Some("eniIp"),
            _ => None,
        };
        match (&report.code, disposed) {
            (Some(code), _) if of_eni => {
                self.0.eni_errors.get_or_create(&vec![("code", code.clone())]).inc();
            }
            (None, Some(kind)) => {
                let stack = if report.action == Action::UnassignIpv6Addresses { "ipv6" } else { "ipv4" };
                let labels = vec![("type", kind.to_owned()), ("ipStack", stack.to_owned())];
                self.0.disposed.get_or_create(&labels).inc();
            }
            _ => {}
        }
    }
}

/// Counts reads of instance metadata.
pub(crate) struct MetadataMeter {
    pub(crate) inner: Arc<dyn Metadata>,
    pub(crate) metrics: Arc<Metrics>,
}

impl MetadataMeter {
    async fn timed<T>(
        &self,
        url: &str,
        read: impl Future<Output = Result<T, MetadataError>> + Send,
    ) -> Result<T, MetadataError> {
        let begun = Instant::now();
        let answer = read.await;
        let labels = vec![("url", url.to_owned()), ("error", answer.is_err().to_string())];
        self.metrics.metadata_latency.get_or_create(&labels).observe(millis(begun.elapsed()));
        answer
    }
}

#[async_trait]
impl Metadata for MetadataMeter {
    async fn identity(&self) -> Result<InstanceIdentity, MetadataError> {
        self.timed("instance-id", self.inner.identity()).await
    }

    async fn interfaces(&self) -> Result<Vec<NicMetadata>, MetadataError> {
        self.timed("network/interfaces/macs", self.inner.interfaces()).await
    }
}

/// Counts what is mended in the kernel, and how long ENIs take.
pub(crate) struct HostMeter {
    inner: Arc<dyn HostNet>,
    metrics: Arc<Metrics>,
    /// Interfaces that were seen, and when first.
    seen: Mutex<BTreeMap<Mac, Option<Instant>>>,
}

impl HostMeter {
    pub(crate) fn new(inner: Arc<dyn HostNet>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics, seen: Mutex::default() }
    }

    fn count(&self, reason: &str, outcome: io::Result<Mended>) -> io::Result<Mended> {
        if let Ok(done) = &outcome {
            for object in &done.objects {
                self.metrics.mended.get_or_create(&mended(reason, object)).inc();
            }
            self.metrics.refused.inc_by(done.refused.len() as u64);
        }
        outcome
    }

    /// From the interface's first sight to its being set up.
    fn attached(&self, mac: Mac) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(mac, None);
        if let Some(Some(since)) = seen {
            let labels = vec![("result", "succeed".to_owned()), ("eni_type", "Secondary".to_owned())];
            self.metrics.attach_duration.get_or_create(&labels).observe(since.elapsed().as_secs_f64());
        }
    }
}

#[async_trait]
impl HostNet for HostMeter {
    async fn nics(&self) -> io::Result<Vec<Mac>> {
        let nics = self.inner.nics().await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|mac, _| nics.contains(mac));
        for mac in &nics {
            seen.entry(*mac).or_insert_with(|| Some(Instant::now()));
        }
        drop(seen);
        Ok(nics)
    }

    async fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        self.inner.endpoints().await
    }

    async fn nics_changed(&self, seen: &[Mac]) {
        self.inner.nics_changed(seen).await;
    }

    async fn set_up(&self, nic: &Nic) -> io::Result<Mended> {
        let outcome = self.count("set-up", self.inner.set_up(nic).await);
        if outcome.as_ref().is_ok_and(|done| done.refused.is_empty()) {
            self.attached(nic.mac);
        }
        outcome
    }

    async fn tear_down(&self, nic: &Nic) -> io::Result<Mended> {
        self.count("tear-down", self.inner.tear_down(nic).await)
    }

    async fn lacking(&self, pods: &[PodNet]) -> io::Result<Vec<usize>> {
        self.inner.lacking(pods).await
    }

    async fn repair(&self, pods: &[PodNet]) -> io::Result<Mended> {
        self.count("repair", self.inner.repair(pods).await)
    }

    async fn sweep(&self, owners: &(dyn Fn() -> Owners + Send + Sync)) -> io::Result<Mended> {
        self.count("sweep", self.inner.sweep(owners).await)
    }

    async fn drifted(&self) {
        self.inner.drifted().await;
    }
}
