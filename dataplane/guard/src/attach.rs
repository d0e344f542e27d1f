//! Programs on links.

use std::{fs, io, path::Path};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, netdevice, socket},
};

use crate::{
    bpf::{Program, TcxLink},
    clsact,
    hook::Hook,
};

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

/// Puts a program on a link, in the place of the one that somebody put there before.
pub fn attach(
    program: &Program,
    hook: Hook,
    pins: &Path,
    link: u32,
    method: Method,
) -> io::Result<Attachment> {
    if method == Method::Best {
        let pin = hook.link_pin(pins, link);
        if take_over(program, &pin, link)? {
            return Ok(Attachment::Tcx);
        }
        match TcxLink::create(program, link, hook.is_ingress()) {
            Ok(made) => {
                made.pin(&pin)?;
                // A filter from before the kernel had tcx would judge everything twice.
                clsact::remove(hook, link)?;
                return Ok(Attachment::Tcx);
            }
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    clsact::put(program, hook, link)?;
    Ok(Attachment::Clsact)
}

/// Whether this very program is on a link.
pub fn is_attached(program: &Program, hook: Hook, pins: &Path, link: u32) -> io::Result<bool> {
    if let Ok(tcx) = TcxLink::pinned(&hook.link_pin(pins, link))
        && tcx.shows().is_ok_and(|shown| shown == (program.id(), link))
    {
        return Ok(true);
    }
    Ok(clsact::present(hook, link)? == Some(program.id()))
}

/// How programs are at a place of a link, with their numbers in the kernel: what our pin holds there, and what our filter
/// has. Looks only; both at once is possible while a kernel with tcx takes over from one without.
pub fn attached(hook: Hook, pins: &Path, link: u32) -> io::Result<Vec<(Attachment, u32)>> {
    let mut found = Vec::new();
    if let Ok(tcx) = TcxLink::pinned(&hook.link_pin(pins, link))
        && let Ok((program, on)) = tcx.shows()
        && on == link
    {
        found.push((Attachment::Tcx, program));
    }
    found.extend(clsact::present(hook, link)?.map(|program| (Attachment::Clsact, program)));
    Ok(found)
}

/// Takes a program from a link; one that is not there, or whose link is gone, is no error.
pub fn detach(hook: Hook, pins: &Path, link: u32) -> io::Result<()> {
    remove(&hook.link_pin(pins, link))?;
    clsact::remove(hook, link)
}

/// Indexes of all links in the namespace of the calling thread.
pub fn links() -> io::Result<Vec<u32>> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let table = fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    // One that goes meanwhile has nothing on it.
    Ok(names.filter_map(|name| netdevice::name_to_index(&socket, name).ok()).collect())
}

/// Links that programs are pinned on, whether or not they still exist.
pub fn pinned_links(pins: &Path) -> io::Result<Vec<(Hook, u32)>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(pins)? {
        links.extend(Hook::of_link_pin(&entry?.file_name().to_string_lossy()));
    }
    links.sort_unstable();
    Ok(links)
}

/// Removes the pins of links that are gone; returns how many. In the namespace of the calling thread.
pub fn remove_dead(pins: &Path) -> io::Result<usize> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut removed = 0;
    // A pin is never older than its link, so one whose link is not there now has no use any more.
    for (hook, link) in pinned_links(pins)? {
        if netdevice::index_to_name(&socket, link).is_err() {
            removed += usize::from(remove(&hook.link_pin(pins, link))?);
        }
    }
    Ok(removed)
}

/// Gives a pinned link our program. One whose network link is gone is removed: an index can come again.
fn take_over(program: &Program, pin: &Path, link: u32) -> io::Result<bool> {
    let Ok(pinned) = TcxLink::pinned(pin) else { return Ok(false) };
    if pinned.shows().is_ok_and(|(_, on)| on == link) && pinned.update(program).is_ok() {
        return Ok(true);
    }
    remove(pin)?;
    Ok(false)
}

fn remove(pin: &Path) -> io::Result<bool> {
    match fs::remove_file(pin) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
