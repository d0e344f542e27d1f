//! Programs on links. By tcx where the kernel has it: a link object that is pinned, so that it outlives the agent and its
//! program is changed in one step. By a filter of clsact where not: it belongs to the network, and is replaced in place.

use std::{fmt, io};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use crate::{error::Error, pins, programs::Programs};

/// A program and the place that it has on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `from_pod`, at the ingress of a pod's host link.
    FromPod,
    /// `to_pod`, at its egress.
    ToPod,
    /// `exit`, at the egress of an ENI.
    Exit,
    /// `empty`, which is never attached: the price of a program that does nothing.
    Empty,
}

impl Hook {
    /// All programs.
    pub const ALL: [Self; 4] = [Self::FromPod, Self::ToPod, Self::Exit, Self::Empty];
    /// Those of a pod.
    pub const POD: [Self; 2] = [Self::FromPod, Self::ToPod];

    /// Name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
            Self::Exit => "exit",
            Self::Empty => "empty",
        }
    }

    fn direction(self) -> TcAttachType {
        if self == Self::FromPod { TcAttachType::Ingress } else { TcAttachType::Egress }
    }

    /// First for what comes from the pod, last for what goes: policy sees packets as they are on the wire to the pod.
    fn order(self) -> LinkOrder {
        if self == Self::FromPod { LinkOrder::first() } else { LinkOrder::last() }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// How programs come on links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By tcx, or by clsact where the kernel has none.
    Best,
    /// By clsact.
    Clsact,
}

/// How a program is on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// By tcx.
    Tcx,
    /// By a filter of clsact.
    Clsact,
}

/// Our filter among those of others: early, and at a number that nobody picks by chance.
const PRIORITY: u16 = 0x7e;
const HANDLE: TcHandle = TcHandle::new(0, 0x7e77);

impl Programs {
    /// Puts a program on a link, in the place of the one that an earlier agent put there.
    pub fn attach(&mut self, hook: Hook, link: u32) -> Result<Attachment, Error> {
        let failed = |source| Error::Link { operation: "attach", hook, link, source };
        let name = name_of(link).map_err(|error| failed(error.into()))?;
        if self.method == Method::Best {
            let pin = self.pins.path(&pin_of(hook, link));
            if self.take_over(hook, &pin)? {
                return Ok(Attachment::Tcx);
            }
            let options = TcAttachOptions::TcxOrder(hook.order());
            let program = self.program(hook)?;
            match program.attach_with_options(&name, hook.direction(), options) {
                Ok(id) => {
                    let made = program.take_link(id).map_err(|error| failed(error.into()))?;
                    let made: FdLink = made.try_into().map_err(|error| failed(Box::new(error)))?;
                    made.pin(&pin).map_err(|error| failed(Box::new(error)))?;
                    // A filter from before the kernel had tcx would judge everything twice.
                    remove_filter(hook, &name).map_err(|error| failed(error.into()))?;
                    return Ok(Attachment::Tcx);
                }
                Err(ProgramError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        let program = self.program(hook)?;
        filter(program, hook, &name).map_err(|error| failed(error.into()))?;
        Ok(Attachment::Clsact)
    }

    /// Puts both programs of a pod on its host link.
    pub fn attach_pod(&mut self, link: u32) -> Result<Attachment, Error> {
        let mut attachment = Attachment::Clsact;
        for hook in Hook::POD {
            attachment = self.attach(hook, link)?;
        }
        Ok(attachment)
    }

    /// Takes a program from a link; one that is not there, or whose link is gone, is no error.
    pub fn detach(&mut self, hook: Hook, link: u32) -> Result<(), Error> {
        pins::remove(&self.pins.path(&pin_of(hook, link)))?;
        match name_of(link) {
            Ok(name) => remove_filter(hook, &name).map_err(|error| Error::Link {
                operation: "detach",
                hook,
                link,
                source: error.into(),
            }),
            Err(_) => Ok(()),
        }
    }

    /// Links that programs are pinned on, whether or not they still exist: for whoever takes away what is left.
    pub fn pinned(&self) -> Result<Vec<(Hook, u32)>, Error> {
        let names = self.pins.names()?;
        let parsed = names.iter().filter_map(|name| {
            let (program, link) = name.strip_prefix("terway_link_")?.rsplit_once('_')?;
            let hook = Hook::ALL.into_iter().find(|hook| hook.program() == program)?;
            Some((hook, link.parse().ok()?))
        });
        Ok(parsed.collect())
    }

    /// Gives a pinned link our program. One whose network link is gone is removed: an index can come again.
    fn take_over(&mut self, hook: Hook, pin: &std::path::Path) -> Result<bool, Error> {
        let Ok(pinned) = PinnedLink::from_pin(pin) else { return Ok(false) };
        let Ok(link) = SchedClassifierLink::try_from(FdLink::from(pinned)) else {
            pins::remove(pin)?;
            return Ok(false);
        };
        let program = self.program(hook)?;
        if let Ok(id) = program.attach_to_link(link) {
            // The pin holds it; what is dropped here is a second reference.
            drop(program.take_link(id).ok().map(FdLink::try_from));
            return Ok(true);
        }
        pins::remove(pin)?;
        Ok(false)
    }
}

fn remove_filter(hook: Hook, name: &str) -> Result<(), ProgramError> {
    let filter = SchedClassifierLink::attached(name, hook.direction(), PRIORITY, HANDLE, None)
        .map_err(|error| ProgramError::TcError(TcError::IoError(error)))?;
    match aya::programs::Link::detach(filter) {
        // No such filter, or no clsact at all.
        Err(ProgramError::NetlinkError(error))
            if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP)) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Puts a program on a link by a filter, or in the place of the filter that is ours already.
fn filter(program: &mut SchedClassifier, hook: Hook, name: &str) -> Result<(), ProgramError> {
    match tc::qdisc_add_clsact(name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(TcError::AlreadyAttached) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let id = match program.attach_with_options(name, hook.direction(), TcAttachOptions::Netlink(options)) {
        Err(ProgramError::TcError(TcError::NetlinkError(error)))
            if error.raw_os_error() == Some(libc::EEXIST) =>
        {
            let present = SchedClassifierLink::attached(name, hook.direction(), PRIORITY, HANDLE, None)
                .map_err(|error| ProgramError::TcError(TcError::IoError(error)))?;
            program.attach_to_link(present)?
        }
        other => other?,
    };
    // It stays with the network, not with this process.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

fn pin_of(hook: Hook, link: u32) -> String {
    format!("terway_link_{hook}_{link}")
}

fn name_of(link: u32) -> io::Result<String> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::index_to_name(&socket, link)?)
}
