//! Entering network namespaces.
//!
//! `setns` changes the calling thread alone, and a thread that could not go back would do the host's work in a
//! pod. So a process that lives on enters on a thread that is used for nothing else, which ends in the namespace it
//! entered ([`within`]). For one that lives for milliseconds a thread is a tenth of its life; it enters by itself,
//! and ends where it cannot go back ([`visit`]). A netlink socket stays in the namespace it was opened in, whichever
//! thread uses it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    process, thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Enough for a netlink exchange; the default of 2 MiB would be mapped for nothing.
const STACK: usize = 256 << 10;

/// Opens a namespace by its path, `/var/run/netns/…` or `/proc/<pid>/ns/net`.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// The namespace of the calling thread.
pub fn current() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Does something inside a namespace, on a thread of its own, and waits for it.
pub fn within<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let visit = move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        let thread =
            thread::Builder::new().name("netns".into()).stack_size(STACK).spawn_scoped(scope, visit)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Does something inside a namespace, on the calling thread, and comes back. Where the kernel does not let it come
/// back, the process is aborted: whatever it did next would be done in the wrong place.
pub fn visit<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let home = current()?;
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    // Not even a panic keeps the thread there.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    if move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
        process::abort();
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}
