//! Clusters of tests: each has a name of its own, so that tests can run beside each other.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use terway_e2e::{
    cluster::Cluster,
    pod::{Pod, PodSpec},
    programs::Programs,
    spec::ClusterSpec,
};
use tokio::time::{Instant, sleep};

/// How long anything may take.
#[allow(dead_code, reason = "not every program of tests waits")]
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the kernel can be worked on. Says so aloud where it cannot.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root, to make network namespaces; CI runs as root");
    }
    root
}

/// A name that no other cluster has.
pub(crate) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}x{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// Waits until something is so.
#[allow(dead_code, reason = "not every program of tests waits")]
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let start = Instant::now();
    while !is().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A cluster with agents, three nodes unless changed.
#[allow(dead_code, reason = "not every program of tests has agents")]
pub(crate) async fn cluster(change: impl FnOnce(&mut ClusterSpec)) -> Cluster {
    let own = std::env::current_exe().expect("we are a program");
    let programs =
        Programs::find(&own, |name| std::env::var_os(name).map(Into::into)).expect("they are built");
    let mut spec = ClusterSpec::new(&name());
    change(&mut spec);
    Cluster::start(spec, Some(programs)).await.expect("a cluster")
}

/// Runs a pod.
#[allow(dead_code, reason = "not every program of tests has agents")]
pub(crate) async fn pod(cluster: &Cluster, name: &str, node: usize) -> Pod {
    cluster.run_pod(&PodSpec::new("default", name, node)).await.expect("a pod")
}
