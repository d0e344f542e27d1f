//! The socket that plugins call, and who may: root, and whoever the daemon runs as.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{Stream, stream};
use rustix::fs::{FlockOperation, flock};
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Duration, Instant, sleep},
};

/// Name of the lock that one daemon of a node holds, beside the socket.
const LOCK: &str = "terwayd.lock";
/// How long the daemon before may take to end, as in the original.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why nobody can call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// The disk, or the kernel.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another daemon.
    #[error("another terway-daemon holds {}; one may run on a node", .0.display())]
    Held(PathBuf),
    /// Not ours to replace.
    #[error("{} is there and is no socket; it is not replaced", .0.display())]
    Foreign(PathBuf),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { action, path, source }
}

/// The right to be the node's daemon, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
}

/// Makes a folder that only its owner may enter.
pub(crate) fn private_folder(folder: &Path) -> Result<(), SocketError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("create", folder))
}

/// Takes the lock, when the daemon before has gone.
pub(crate) async fn lock(folder: &Path) -> Result<Lock, SocketError> {
    let path = folder.join(LOCK);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(failed("open", &path))?;
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => sleep(LOCK_PAUSE).await,
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SocketError::Held(path)),
            Err(error) => return Err(failed("lock", &path)(error.into())),
        }
    }
}

/// Listens, in place of a socket that nobody listens on any more. The lock is held by whoever calls.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            fs::remove_file(path).map_err(failed("remove", path))?;
        }
        Ok(_) => return Err(SocketError::Foreign(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at", path)(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed("restrict", path))?;
    Ok(listener)
}

/// Connections of those who may call; others are hung up on.
pub(crate) fn callers(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    let own = rustix::process::geteuid().as_raw();
    stream::unfold(Arc::new(listener), move |listener| async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No file descriptor left, say: whoever calls waits in line meanwhile.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match stream.peer_cred() {
                Ok(peer) if may_call(peer.uid(), own) => return Some((Ok(stream), listener)),
                Ok(peer) => {
                    tracing::warn!(uid = peer.uid(), pid = ?peer.pid(), "hung up on a caller that is not root");
                }
                Err(error) => tracing::warn!(%error, "hung up on a caller that is not known"),
            }
        }
    })
}

fn may_call(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_daemon_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = lock(folder.path()).await.expect("free");
        tokio::time::pause();
        assert!(matches!(lock(folder.path()).await, Err(SocketError::Held(_))));
        drop(first);
        drop(lock(folder.path()).await.expect("free again"));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("eni.socket");
        drop(listen(&path).expect("bound"));
        let listener = listen(&path).expect("bound again");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(listen(&path), Err(SocketError::Foreign(_))));
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn root_and_the_daemons_own_user_may_call() {
        assert!(may_call(0, 7) && may_call(7, 7) && !may_call(8, 7));
    }
}
