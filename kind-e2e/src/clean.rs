//! Takes away what belongs to no running cluster.
//!
//! A cluster is running while the process that owns it is. What goes: processes of its records, namespaces of its
//! names, its folder. Nothing else is looked at.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    names::{self, Names, PINS, ROOT, cluster_of},
    netns::{Netns, NetnsError},
    process::Process,
    task::blocking,
};

/// Record of the process that owns a cluster.
pub(crate) const OWNER: &str = "owner.pid";
/// Name of the lock, which no cluster can have.
const LOCK: &str = ".lock";
/// What records of processes end with.
const RECORD: &str = "pid";
/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// What could not be taken away.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A process.
    #[error("cannot end process {pid} ({program}): {source}")]
    Process {
        /// Its number.
        pid: u32,
        /// Its program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A folder.
    #[error("cannot remove `{path}`: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cleaned {
    /// Clusters.
    pub clusters: BTreeSet<String>,
    /// Namespaces.
    pub namespaces: usize,
    /// Processes.
    pub processes: usize,
}

/// The process that owns a cluster, if it runs.
pub fn owner(names: &Names) -> Option<Process> {
    Process::read(&names.dir().join(OWNER)).filter(Process::runs)
}

/// Names of all clusters that there is something of, running or not.
pub fn clusters() -> BTreeSet<String> {
    let entries = [ROOT, PINS].map(|root| fs::read_dir(root).into_iter().flatten());
    let folders = entries.into_iter().flatten().filter_map(|it| it.ok()?.file_name().into_string().ok());
    let folders = folders.filter(|name| names::check_cluster(name).is_ok());
    let namespaces = Netns::names().into_iter().filter_map(|name| cluster_of(&name).map(str::to_owned));
    folders.chain(namespaces).collect()
}

/// Held while a folder gets its owner and while others' leftovers are looked for: what has no owner yet is none. It
/// ends with this value.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it lets go")] File);

impl Lock {
    /// Waits for whoever has it. Blocks.
    pub(crate) fn take() -> io::Result<Self> {
        fs::create_dir_all(ROOT)?;
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(Path::new(ROOT).join(LOCK))?;
        file.lock()?;
        Ok(Self(file))
    }

    async fn taken() -> Result<Self, CleanError> {
        let failed = |source| CleanError::Folder { path: Path::new(ROOT).join(LOCK), source };
        blocking(Self::take).await.map_err(failed)
    }
}

/// Takes away all that belongs to no running cluster.
pub async fn stale() -> Result<Cleaned, CleanError> {
    let _lock = Lock::taken().await?;
    let mut cleaned = Cleaned::default();
    for cluster in clusters() {
        let names = Names::new(&cluster).expect("looked at above");
        if owner(&names).is_none() {
            take_away(&names, &mut cleaned).await?;
        }
    }
    Ok(cleaned)
}

/// Takes away all of one cluster but its owner, if that is the calling process.
pub async fn remove(names: &Names) -> Result<(), CleanError> {
    let _lock = Lock::taken().await?;
    take_away(names, &mut Cleaned::default()).await
}

async fn take_away(names: &Names, cleaned: &mut Cleaned) -> Result<(), CleanError> {
    let dir = names.dir();
    let own = std::process::id();
    for process in records(&dir).into_iter().filter(|process| process.pid != own) {
        cleaned.processes += usize::from(process.runs());
        let ended = process.end(GRACE).await;
        ended.map_err(|source| CleanError::Process { pid: process.pid, program: process.program, source })?;
    }
    cleaned.clusters.insert(names.cluster().to_owned());
    let (cluster, pins) = (names.cluster().to_owned(), names.pins());
    cleaned.namespaces += blocking(move || {
        let mut count = 0;
        for name in Netns::names().iter().filter(|name| cluster_of(name) == Some(&cluster)) {
            Netns::remove(name)?;
            count += 1;
        }
        for dir in [pins, dir] {
            match fs::remove_dir_all(&dir) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CleanError::Folder { path: dir, source });
                }
                _ => {}
            }
        }
        Ok(count)
    })
    .await?;
    Ok(())
}

/// Processes of a cluster: those recorded in its folder and in those of its nodes. Its owner comes first, so that
/// nothing is started again.
fn records(dir: &Path) -> Vec<Process> {
    let mut paths = vec![dir.join(OWNER)];
    let entries = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    for path in entries(dir) {
        let inside = if path.is_dir() { entries(&path) } else { vec![path] };
        paths.extend(inside.into_iter().filter(|path| path.extension().is_some_and(|it| it == RECORD)));
    }
    let mut processes: Vec<Process> = Vec::new();
    for process in paths.iter().filter_map(|path| Process::read(path)) {
        if !processes.contains(&process) {
            processes.push(process);
        }
    }
    processes
}
