//! The kernel of a machine as far as the agent looks at it: NICs and pod endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rand_chacha::ChaCha8Rng;
use terway_chaos::draw;
use terway_core::{
    host::{Endpoint, HostNet},
    id::{ContainerId, Mac},
};
use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};

/// Network state of one machine.
pub struct SimHost {
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    nics: BTreeSet<Mac>,
    endpoints: BTreeMap<ContainerId, Vec<IpAddr>>,
    rng: ChaCha8Rng,
}

impl SimHost {
    /// A machine with its primary NIC.
    pub fn new(seed: u64, node: &str, primary: Mac) -> Arc<Self> {
        let rng = draw::stream(seed, "kernel", node);
        let inner = Inner { nics: BTreeSet::from([primary]), endpoints: BTreeMap::new(), rng };
        Arc::new(Self { inner: Mutex::new(inner), changed: Notify::new() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A NIC appears.
    pub fn plug(&self, mac: Mac) {
        self.inner().nics.insert(mac);
        self.changed.notify_waiters();
    }

    /// A NIC vanishes.
    pub fn unplug(&self, mac: Mac) {
        self.inner().nics.remove(&mac);
        self.changed.notify_waiters();
    }

    /// A sandbox gets its addresses.
    pub fn add_endpoint(&self, container: &ContainerId, addresses: Vec<IpAddr>) {
        self.inner().endpoints.insert(container.clone(), addresses);
    }

    /// A sandbox is gone.
    pub fn remove_endpoint(&self, container: &ContainerId) {
        self.inner().endpoints.remove(container);
    }

    /// The machine boots: no sandbox survives.
    pub fn reboot(&self) {
        self.inner().endpoints.clear();
    }
}

#[async_trait]
impl HostNet for SimHost {
    async fn nics(&self) -> io::Result<Vec<Mac>> {
        Ok(self.inner().nics.iter().copied().collect())
    }

    async fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        // A dump of links and routes: a few milliseconds of kernel and parsing time.
        let dump = draw::between(&mut self.inner().rng, 1, 4);
        sleep(Duration::from_millis(dump)).await;
        let link = |container: &ContainerId| {
            format!("cali{:011x}", draw::hash(0, "veth", container.as_str()) & 0xfff_ffff_ffff)
        };
        let inner = self.inner();
        let mut endpoints: Vec<Endpoint> = inner
            .endpoints
            .iter()
            .map(|(container, addresses)| Endpoint {
                link: link(container),
                container: Some(container.clone()),
                addresses: addresses.clone(),
            })
            .collect();
        endpoints.sort_by(|a, b| a.link.cmp(&b.link));
        Ok(endpoints)
    }

    async fn nics_changed(&self) {
        self.changed.notified().await;
    }
}
