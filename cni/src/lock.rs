//! One verb at a time on a sandbox: a lock on the pod's namespace itself.
//!
//! A DEL that passes its own ADD would free the address and find nothing to take down, and the ADD would then
//! build with an address that is another pod's. The lock is the kernel's (`flock`) and on the namespace file,
//! so it needs no file of its own, is nobody else's for another sandbox, and a killed plugin leaves none
//! behind. Without a namespace nothing can be built, and nothing needs to be locked.

use std::{fs::File, io, path::Path, time::Duration};

use rustix::fs::{FlockOperation, flock};

use crate::agent::Agent;

/// How long to wait for another verb. An ADD may wait longer for its address; the runtime asks again then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts: an ADD takes a few times as long.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another verb has it.
    #[error("another verb has held this sandbox for {} s", PATIENCE.as_secs())]
    Busy,
    /// Not to be opened or locked.
    #[error("cannot lock the namespace {path}: {source}")]
    Io {
        /// Its path.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A sandbox, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _namespace: File,
}

impl Lock {
    /// Waits for the sandbox with this namespace.
    pub fn take(netns: &Path, agent: &Agent) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: netns.display().to_string(), source };
        let namespace = File::open(netns).map_err(io)?;
        let attempts = PATIENCE.as_millis() / PAUSE.as_millis();
        for _ in 0..attempts {
            match flock(&namespace, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _namespace: namespace }),
                Err(rustix::io::Errno::WOULDBLOCK) => agent.pause(PAUSE),
                Err(error) => return Err(io(error.into())),
            }
        }
        Err(LockError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_waits_until_the_first_has_gone() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let agent = Agent::new(Path::new("/nowhere")).expect("a runtime");
        let first = Lock::take(file.path(), &agent).expect("free");
        let (done, end) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let agent = Agent::new(Path::new("/nowhere")).expect("a runtime");
                let second = Lock::take(file.path(), &agent);
                done.send(()).expect("heard");
                second.map(drop).expect("free in the end");
            });
            agent.pause(Duration::from_millis(50));
            assert!(end.try_recv().is_err(), "the second did not wait");
            drop(first);
            end.recv().expect("the second got it");
        });
    }
}
