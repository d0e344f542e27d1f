//! How a list of changes is sent: in runs that go out as one batch, and back again when one fails.

use std::io;

use rustix::io::Errno;

use crate::{
    op::{Change, NetOp, Object},
    state::Place,
};

/// Most requests of a batch. Their acknowledgements wait in the socket's receive buffer until the batch is done,
/// about 800 bytes each in the kernel's accounting, of 208 KiB by default.
const BATCH: usize = 64;

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A request by netlink.
    Netlink,
    /// A file below `/proc/sys`.
    Setting,
    /// A program on a link.
    Program,
}

/// How a change is made.
pub(crate) fn way(op: &NetOp) -> Way {
    match op.change {
        Change::SetSysctl { .. } => Way::Setting,
        Change::Add(Object::Program(_)) | Change::Del(Object::Program(_)) => Way::Program,
        _ => Way::Netlink,
    }
}

/// Changes that can be sent together: in one namespace, all made in one way, and none that needs the index of a link
/// made in the same run.
pub(crate) fn runs(ops: &[NetOp]) -> Vec<&[NetOp]> {
    let mut runs = Vec::new();
    let mut rest = ops;
    while let Some(first) = rest.first() {
        let together = |op: &NetOp| op.place == first.place && way(op) == way(first);
        let mut length = rest.iter().take(BATCH).take_while(|op| together(op)).count();
        if let Some(birth) = rest[..length].iter().position(|op| matches!(op.change, Change::AddVeth { .. }))
        {
            length = birth + 1;
        }
        let (run, after) = rest.split_at(length);
        runs.push(run);
        rest = after;
    }
    runs
}

/// Links that a change's request names by index.
pub(crate) fn link_of(op: &NetOp) -> Option<&str> {
    match &op.change {
        Change::AddVeth { .. } | Change::SetSysctl { .. } => None,
        Change::DelLink { name, .. } => Some(name),
        Change::SetMtu { dev, .. }
        | Change::SetMac { dev, .. }
        | Change::SetAlias { dev, .. }
        | Change::SetUp { dev, .. } => Some(dev),
        Change::Add(object) | Change::Del(object) => object.dev(),
    }
}

/// Links of a namespace that the changes take up.
///
/// One end of a pair goes up before the other, and so without a carrier; its queue stays one that drops all until
/// the kernel's link watch has run, some time after the other end is up. Asking for the link makes the kernel do
/// that first (since 6.8), so whoever is told that the pod is ready does not lose the first packet.
pub(crate) fn taken_up(ops: &[NetOp], place: Place) -> impl Iterator<Item = &str> {
    ops.iter().filter(move |op| op.place == place).filter_map(|op| match &op.change {
        Change::SetUp { dev, up: true } => Some(dev.as_str()),
        _ => None,
    })
}

/// Whether a removal failed because there was nothing to remove.
pub(crate) fn already_gone(op: &NetOp, error: &io::Error) -> bool {
    let removal = matches!(op.change, Change::Del(_) | Change::DelLink { .. });
    let gone = [Errno::NOENT, Errno::SRCH, Errno::NODEV, Errno::ADDRNOTAVAIL, Errno::NXIO];
    removal && error.raw_os_error().is_some_and(|code| gone.iter().any(|errno| errno.raw_os_error() == code))
}

/// A change that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op}: {source}")]
pub struct Refused {
    /// The change.
    pub op: Box<NetOp>,
    /// What the kernel said.
    pub source: io::Error,
}

impl Refused {
    pub(crate) fn new(op: &NetOp, source: io::Error) -> Self {
        Self { op: Box::new(op.clone()), source }
    }

    /// A whole run that was not even sent.
    pub(crate) fn all(run: &[NetOp], error: &io::Error) -> Vec<Self> {
        let again = || match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        run.iter().map(|op| Self::new(op, again())).collect()
    }
}

/// Why changes were not made. Those made before are undone.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The namespace cannot be entered, or its socket opened.
    #[error("cannot reach the {place}'s namespace: {source}")]
    Namespace {
        /// Which one.
        place: Place,
        /// Why.
        source: io::Error,
    },
    /// A change was refused.
    #[error("{refused}{}", remains(.left))]
    Refused {
        /// It, and why.
        #[source]
        refused: Refused,
        /// What could not be undone.
        left: Vec<Refused>,
    },
}

fn remains(left: &[Refused]) -> String {
    let each = left.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if each.is_empty() {
        "; what was done before is undone".into()
    } else {
        format!("; undoing failed: {each}")
    }
}

/// Why a state was not seen.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The namespace cannot be entered, or its socket opened.
    #[error("cannot reach the {place}'s namespace: {source}")]
    Namespace {
        /// Which one.
        place: Place,
        /// Why.
        source: io::Error,
    },
    /// A dump failed.
    #[error("cannot read the network state of the {place}: {source}")]
    Dump {
        /// Of which namespace.
        place: Place,
        /// Why.
        source: io::Error,
    },
}
