//! Releases that the agent was not there to take: one file each, in a folder beside its socket.
//!
//! A DEL must succeed without the agent, and an address must not be lost by that. The plugin writes the
//! release down durably and succeeds; the agent replays the folder when it starts, and removes a file
//! only when its release is durable too. A file appears whole or not at all (written aside, synced,
//! renamed, folder synced); one that is torn nevertheless, by a disk that lied, is told and left in place,
//! and garbage collection finds the address. Releasing twice does nothing, so replaying twice is safe.
//!
//! Format: a line `terway-release 1 <length> <sum>`, then that many bytes of JSON. The sum is FNV-1a over
//! the JSON in 16 hexadecimal digits: against torn writes, not against malice — the folder is root's.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::wire;

/// Name of the folder, beside the socket.
pub const FOLDER: &str = "spool";

/// Releases that a folder holds at most. A node has a few hundred pods; more than this is a runtime
/// that asks for ever, and the disk is not its to fill.
pub const MOST: usize = 10_000;

/// No release is longer; a file that is was not written here.
const LONGEST: u64 = 64 * 1024;

const MAGIC: &str = "terway-release 1 ";
const SUFFIX: &str = ".release";

/// A release that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Name of the CNI network.
    pub network: String,
    /// Sandbox.
    pub container: String,
    /// Interface.
    pub ifname: String,
    /// Kubernetes namespace; empty when the runtime did not say.
    #[serde(default)]
    pub pod_namespace: String,
    /// Pod name; empty when the runtime did not say.
    #[serde(default)]
    pub pod_name: String,
    /// Pod UID; empty when the runtime did not say.
    #[serde(default)]
    pub pod_uid: String,
    /// Why, for the log.
    pub reason: String,
}

impl From<Pending> for wire::ReleaseIpRequest {
    fn from(pending: Pending) -> Self {
        Self {
            pod_name: pending.pod_name,
            pod_namespace: pending.pod_namespace,
            container: pending.container,
            reason: pending.reason,
            pod_uid: pending.pod_uid,
            network: pending.network,
            ifname: pending.ifname,
            ..Self::default()
        }
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder holds as many as it may.
    #[error("{path} holds {MOST} releases already; is the agent ever started on this node?")]
    Full {
        /// The folder.
        path: String,
    },
    /// A file is not what its name says.
    #[error("{path} is not a release: {why}")]
    Torn {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.display().to_string();
    move |source| SpoolError::Io { action, path, source }
}

/// The folder that belongs to a socket.
pub fn folder(socket: &Path) -> PathBuf {
    socket.parent().unwrap_or(Path::new("/")).join(FOLDER)
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One name per (network, sandbox, interface), so that a repeated DEL does not add up.
fn file_name(pending: &Pending) -> String {
    let key = [&*pending.network, &*pending.container, &*pending.ifname].join("\0");
    // The sandbox's id is for people; the sum tells apart. Ids are ASCII, but a file name trusts nobody.
    let id: String = pending.container.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    format!("{id}-{:016x}{SUFFIX}", fnv(key.as_bytes()))
}

/// Writes a release down. When it returns, the release survives a power cut.
pub fn put(folder: &Path, pending: &Pending) -> Result<PathBuf, SpoolError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(failed("create", folder))?;
    let path = folder.join(file_name(pending));
    let held = fs::read_dir(folder).map_err(failed("list", folder))?.take(MOST).count();
    if held >= MOST && !path.exists() {
        return Err(SpoolError::Full { path: folder.display().to_string() });
    }
    let json = serde_json::to_vec(pending).expect("a struct of texts is always JSON");
    let mut bytes = format!("{MAGIC}{} {:016x}\n", json.len(), fnv(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    // Two plugins may write the same release at once; each writes a file of its own.
    let aside = folder.join(format!(".{}.{}", file_name(pending), std::process::id()));
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&bytes)?;
        file.sync_all()
    })();
    written.map_err(failed("write", &aside)).inspect_err(|_| drop(fs::remove_file(&aside)))?;
    fs::rename(&aside, &path).map_err(failed("rename", &aside))?;
    sync_folder(folder)?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    Ok(path)
}

fn sync_folder(folder: &Path) -> Result<(), SpoolError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

/// A file of the folder.
#[derive(Debug)]
pub struct Held {
    /// Which: what [`done`] takes.
    pub path: PathBuf,
    /// The release in it, or why there is none.
    pub release: Result<Pending, SpoolError>,
}

/// Every release of a folder, in order of file names, with its file; the torn ones as errors beside them.
/// A folder that is not there is empty. Halves that a killed plugin left aside are not looked at.
pub fn list(folder: &Path) -> Result<Vec<Held>, SpoolError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(|path| Held { release: read(&path), path }).collect())
}

fn read(path: &Path) -> Result<Pending, SpoolError> {
    let torn = |why| SpoolError::Torn { path: path.display().to_string(), why };
    let length = fs::metadata(path).map_err(failed("read", path))?.len();
    if length > LONGEST {
        return Err(torn("it is longer than a release can be"));
    }
    let bytes = fs::read(path).map_err(failed("read", path))?;
    parse(&bytes).map_err(torn)
}

fn parse(bytes: &[u8]) -> Result<Pending, &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("its first line has no end")?;
    let (line, json) = (&bytes[..end], &bytes[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| "its first line is not text")?;
    let line = line.strip_prefix(MAGIC).ok_or("its first line is not that of version 1")?;
    let (length, sum) = line.split_once(' ').ok_or("its first line lacks the sum")?;
    if length.parse() != Ok(json.len()) {
        return Err("its length is not the one that its first line says");
    }
    if u64::from_str_radix(sum, 16) != Ok(fnv(json)) {
        return Err("its sum is not the one that its first line says");
    }
    serde_json::from_slice(json).map_err(|_| "its JSON lacks a field")
}

/// Removes a release that was carried out. Gone already is well.
pub fn done(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
