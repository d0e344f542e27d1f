//! The port [`HostNet`] over the model of a kernel, with the time that looks at the real one take.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rand_chacha::ChaCha8Rng;
use terway_chaos::draw;
use terway_core::{
    host::{Endpoint, HostNet, Mended, Nic, Owners, PodNet},
    id::{ContainerId, Mac},
};
use terway_dataplane::{
    op::NetOp,
    orphan::{self, Repairs},
};
use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};

use crate::kernel::Kernel;

/// Network state of one machine.
pub struct SimHost {
    inner: Mutex<Inner>,
    changed: Notify,
    drift: Notify,
}

struct Inner {
    kernel: Kernel,
    /// Whether anybody but the plugin and the agent has worked on it since the last look that found nothing.
    touched: bool,
    rng: ChaCha8Rng,
}

impl SimHost {
    /// A machine with its primary NIC.
    pub fn new(seed: u64, node: &str, primary: Mac) -> Arc<Self> {
        let rng = draw::stream(seed, "kernel", node);
        let inner = Inner { kernel: Kernel::new(primary), touched: false, rng };
        Arc::new(Self { inner: Mutex::new(inner), changed: Notify::new(), drift: Notify::new() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the kernel.
    pub fn look<T>(&self, at: impl FnOnce(&Kernel) -> T) -> T {
        at(&self.inner().kernel)
    }

    /// A NIC appears.
    pub fn plug(&self, mac: Mac) {
        self.inner().kernel.plug(mac);
        self.changed.notify_waiters();
        self.drift.notify_one();
    }

    /// A NIC vanishes.
    pub fn unplug(&self, mac: Mac) {
        let mut inner = self.inner();
        inner.kernel.unplug(mac);
        inner.touched = true;
        drop(inner);
        self.changed.notify_waiters();
        self.drift.notify_one();
    }

    /// The plugin builds the network of a sandbox.
    pub fn add_pod(&self, net: &PodNet) -> io::Result<()> {
        self.inner().kernel.add_pod(net)
    }

    /// The plugin takes a sandbox's network down, and its namespace goes.
    pub fn remove_pod(&self, container: &ContainerId) {
        self.inner().kernel.remove_pod(container);
    }

    /// A sandbox's namespace goes without the plugin.
    pub fn remove_sandbox(&self, container: &ContainerId) {
        self.inner().kernel.remove_sandbox(container);
    }

    /// Somebody works on the host by hand.
    pub fn tamper(&self, op: &NetOp) -> io::Result<()> {
        let mut inner = self.inner();
        inner.touched = true;
        let done = inner.kernel.one(op);
        drop(inner);
        self.drift.notify_one();
        done
    }

    /// The machine boots: no sandbox survives, NICs are as they were made.
    pub fn reboot(&self) {
        let mut inner = self.inner();
        inner.kernel.boot();
        inner.touched = true;
        drop(inner);
        self.changed.notify_waiters();
        self.drift.notify_one();
    }

    /// A dump of links and routes: a few milliseconds of kernel and parsing time.
    async fn dump(&self) {
        let time = draw::between(&mut self.inner().rng, 1, 4);
        sleep(Duration::from_millis(time)).await;
    }
}

impl Inner {
    fn repairs(&self, pods: &[PodNet]) -> Repairs {
        orphan::repairs(self.kernel.host(), pods, &self.kernel.facts())
    }

    /// Makes changes as far as they can be made.
    fn mend(&mut self, ops: &[NetOp], mended: &mut Mended) {
        for op in ops {
            match self.kernel.one(op) {
                Ok(()) => mended.objects.push(op.change.kind()),
                Err(error) => mended.refused.push(error.to_string()),
            }
        }
    }

    /// Makes changes, or none of them.
    fn whole(&mut self, ops: &[NetOp], mended: &mut Mended) {
        match self.kernel.apply(None, ops) {
            Ok(()) => mended.objects.extend(ops.iter().map(|op| op.change.kind())),
            Err(error) => mended.refused.push(error.to_string()),
        }
    }
}

#[async_trait]
impl HostNet for SimHost {
    async fn nics(&self) -> io::Result<Vec<Mac>> {
        Ok(self.inner().kernel.nics())
    }

    async fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        self.dump().await;
        Ok(self.inner().kernel.endpoints())
    }

    async fn nics_changed(&self, seen: &[Mac]) {
        loop {
            let changed = self.changed.notified();
            if self.inner().kernel.nics() != seen {
                return;
            }
            changed.await;
        }
    }

    async fn set_up(&self, nic: &Nic) -> io::Result<Mended> {
        self.dump().await;
        let mut inner = self.inner();
        let ops = inner.kernel.set_up(nic)?;
        let mut mended = Mended::default();
        inner.whole(&ops, &mut mended);
        Ok(mended)
    }

    async fn tear_down(&self, nic: &Nic) -> io::Result<Mended> {
        self.dump().await;
        let mut inner = self.inner();
        let ops = inner.kernel.tear_down(nic)?;
        let mut mended = Mended::default();
        inner.whole(&ops, &mut mended);
        Ok(mended)
    }

    async fn lacking(&self, pods: &[PodNet]) -> io::Result<Vec<usize>> {
        self.dump().await;
        let mut inner = self.inner();
        // A thousand agents look every minute; where nobody has worked on the host there is nothing to find.
        if !inner.touched {
            return Ok(Vec::new());
        }
        let Repairs { ops, unable } = inner.repairs(pods);
        let unable: BTreeSet<_> = unable.into_iter().map(|(pod, _)| pod).collect();
        let told = |pod: &PodNet| {
            let key = (pod.pod.clone(), pod.ifname.clone());
            ops.contains_key(&key) || unable.contains(&key)
        };
        let lacking: Vec<usize> =
            pods.iter().enumerate().filter(|(_, pod)| told(pod)).map(|(index, _)| index).collect();
        inner.touched = !lacking.is_empty();
        Ok(lacking)
    }

    async fn repair(&self, pods: &[PodNet]) -> io::Result<Mended> {
        self.dump().await;
        let mut inner = self.inner();
        let Repairs { ops, unable } = inner.repairs(pods);
        let mut mended = Mended::default();
        mended
            .refused
            .extend(unable.iter().map(|((pod, ifname), error)| format!("{ifname} of pod {pod}: {error}")));
        for ops in ops.values() {
            inner.whole(ops, &mut mended);
        }
        Ok(mended)
    }

    async fn sweep(&self, owners: &(dyn Fn() -> Owners + Send + Sync)) -> io::Result<Mended> {
        self.dump().await;
        // One instant here: nothing comes in between.
        let owners = owners();
        let mut inner = self.inner();
        let ops = orphan::orphans(inner.kernel.host(), &owners);
        let mut mended = Mended::default();
        inner.mend(&ops, &mut mended);
        Ok(mended)
    }

    async fn drifted(&self) {
        self.drift.notified().await;
    }
}
