//! Collector of leaked ENIs: made by an agent whose instance was deleted before it could attach or
//! delete them. Nobody else would ever look for those.
//!
//! An ENI is leaked when it is `Available`, carries our tags, and its instance belongs to no node of
//! the cluster — twice in a row, because both the cloud's list and the node list may be behind.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use terway_core::{
    cloud::{Cloud, CloudError, Eni, EniFilter, EniStatus, RetryClass, TAG_INSTANCE},
    entropy::Entropy,
    id::EniId,
};
use tokio::time::sleep;

/// Time between passes.
pub const PERIOD: Duration = Duration::from_secs(120);

/// A pass that could not be finished; the next one starts over.
#[derive(Debug, thiserror::Error)]
pub enum LeakError {
    /// The cloud did not answer.
    #[error("failed to read ENIs")]
    Cloud(#[from] CloudError),
    /// The API server did not answer.
    #[error("failed to list nodes")]
    Nodes(#[source] Box<kube::Error>),
}

/// The collector.
pub struct Collector {
    cloud: Arc<dyn Cloud>,
    kube: kube::Client,
    entropy: Arc<dyn Entropy>,
    suspects: BTreeSet<EniId>,
}

impl Collector {
    /// A collector that has not looked yet.
    pub fn new(cloud: Arc<dyn Cloud>, kube: kube::Client, entropy: Arc<dyn Entropy>) -> Self {
        Self { cloud, kube, entropy, suspects: BTreeSet::new() }
    }

    /// Collects for ever.
    pub async fn run(mut self) {
        loop {
            sleep(self.entropy.jitter(PERIOD, 0.1)).await;
            match self.pass().await {
                Ok(deleted) if !deleted.is_empty() => tracing::info!(?deleted, "deleted leaked ENIs"),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "leaks not collected"),
            }
        }
    }

    /// One pass: deletes what was suspect in the last one and still is. Returns what was deleted.
    pub async fn pass(&mut self) -> Result<Vec<EniId>, LeakError> {
        let enis = self.list().await?;
        let instances = self.instances().await?;
        let leaked = leaked(&enis, &instances);
        let mut deleted = Vec::new();
        for id in leaked.intersection(&self.suspects) {
            match self.cloud.delete_eni(id).await {
                Ok(()) => deleted.push(id.clone()),
                Err(error) if error.class == RetryClass::AlreadyDone => {}
                // The others can still go; this one is tried again.
                Err(error) => tracing::warn!(%error, "a leaked ENI could not be deleted"),
            }
        }
        self.suspects = leaked;
        Ok(deleted)
    }

    async fn list(&self) -> Result<Vec<Eni>, CloudError> {
        let (mut enis, mut next) = (Vec::new(), None);
        loop {
            let page = self.cloud.describe_enis(&EniFilter::Ours, next).await?;
            enis.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(enis);
            }
        }
    }

    /// Instances of the cluster's nodes: the last part of `spec.providerID`, `region.instance`.
    async fn instances(&self) -> Result<BTreeSet<String>, LeakError> {
        let nodes: Api<Node> = Api::all(self.kube.clone());
        let list =
            nodes.list(&ListParams::default()).await.map_err(|error| LeakError::Nodes(Box::new(error)))?;
        let provider_ids = list.items.into_iter().filter_map(|node| node.spec?.provider_id);
        Ok(provider_ids.filter_map(|id| Some(id.rsplit_once('.')?.1.to_owned())).collect())
    }
}

/// ENIs that belong to no instance. An empty node list proves nothing, so nothing is leaked by it.
fn leaked(enis: &[Eni], instances: &BTreeSet<String>) -> BTreeSet<EniId> {
    if instances.is_empty() {
        return BTreeSet::new();
    }
    let of = |eni: &Eni| eni.tags.iter().find(|(key, _)| key == TAG_INSTANCE).map(|(_, value)| value.clone());
    enis.iter()
        .filter(|eni| eni.status == EniStatus::Available)
        .filter(|eni| of(eni).is_some_and(|instance| !instances.contains(&instance)))
        .map(|eni| eni.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use terway_core::{address::AddressSet, id::Mac};

    use super::*;

    fn eni(id: &str, status: EniStatus, instance: &str) -> Eni {
        Eni {
            id: id.into(),
            status,
            mac: Mac([0; 6]),
            vswitch: "vsw-1".into(),
            instance: None,
            primary: [10, 0, 0, 1].into(),
            addresses: AddressSet::default(),
            tags: vec![(TAG_INSTANCE.to_owned(), instance.to_owned())],
        }
    }

    #[test]
    fn only_available_enis_of_unknown_instances_are_leaked() {
        let enis = [
            eni("eni-1", EniStatus::Available, "i-gone"),
            eni("eni-2", EniStatus::Available, "i-here"),
            eni("eni-3", EniStatus::InUse, "i-gone"),
        ];
        let here = BTreeSet::from(["i-here".to_owned()]);
        assert_eq!(leaked(&enis, &here), BTreeSet::from([EniId::from("eni-1")]));
    }

    #[test]
    fn an_empty_node_list_condemns_nobody() {
        assert!(leaked(&[eni("eni-1", EniStatus::Available, "i-1")], &BTreeSet::new()).is_empty());
    }
}
