//! Nodes and pods: namespaces that live as long as their descriptors, so that nothing is left, whatever ends the run.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
    process::Command,
    thread,
};

use terway_core::id::Mac;
use terway_dataplane::linux::netns;

/// MAC of the veth that stands in for a node's ENI, and its name.
pub(crate) const ENI: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);
pub(crate) const ENI_NAME: &str = "ens6";

/// A network namespace.
pub(crate) struct Ns {
    file: File,
    pub(crate) path: PathBuf,
}

impl Ns {
    pub(crate) fn new() -> Self {
        let file = thread::scope(|scope| scope.spawn(fresh).join()).expect("no panic").expect("a namespace");
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        Self { file, path }
    }

    /// A node: a namespace with an ENI that is up.
    pub(crate) fn node() -> Self {
        let node = Self::new();
        for line in [
            format!("link add {ENI_NAME} address {ENI} type veth peer name vpc"),
            format!("link set {ENI_NAME} up"),
            // As the agent sets an ENI up: it answers from the node's own address.
            format!("address add 10.0.0.9/32 dev {ENI_NAME}"),
            "link set vpc up".into(),
            "link set lo up".into(),
        ] {
            let status = node.run(|| Command::new("ip").args(line.split(' ')).status()).expect("iproute2");
            assert!(status.success(), "ip {line}");
        }
        node
    }

    /// Does something inside, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::within(self.file.as_fd(), || Ok(work())).expect("the namespace can be entered")
    }
}

#[expect(deprecated, reason = "unsafe for file descriptors and file systems only; a network is unshared")]
fn fresh() -> io::Result<File> {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
    netns::current()
}
