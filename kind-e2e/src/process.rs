//! Processes that outlive whoever started them: who they are, whether they still run, and how they are ended.
//!
//! A number alone may be another process's by now. So a record has the start time of the process and its program,
//! and only a process that has both is ours.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// How often a process is looked at that is to end.
const LOOK: Duration = Duration::from_millis(20);

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was started, in ticks since boot.
    pub started: u64,
    /// Its program.
    pub program: PathBuf,
}

impl Process {
    /// The process of this number, if it runs.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let mut fields = after.split_ascii_whitespace();
        let (state, started) = (fields.next(), fields.nth(18));
        let started = started.and_then(|ticks| ticks.parse().ok());
        let (Some(started), false) = (started, matches!(state, Some("Z" | "X"))) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has ended")));
        };
        Ok(Self { pid, started, program: fs::read_link(format!("/proc/{pid}/exe"))? })
    }

    /// The calling process.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        let same = |program: &Path| {
            // A program that was built anew meanwhile.
            let gone = |text: &str| text.strip_suffix(" (deleted)").unwrap_or(text).to_owned();
            gone(&program.to_string_lossy()) == gone(&self.program.to_string_lossy())
        };
        Self::of(self.pid).is_ok_and(|now| now.started == self.started && same(&now.program))
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| self.runs()) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Asks it to end, and after `grace` does not ask any more. Returns when it has ended.
    pub async fn end(&self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        if self.gone(grace).await {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        if self.gone(Duration::from_secs(5)).await {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not die", self.pid)))
    }

    /// Waits for its end; false when it did not come in time.
    pub async fn gone(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.runs() {
            if start.elapsed() > patience {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Keeps a record of it; nobody ever reads half of it.
    pub fn record(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_string(self).map_err(io::Error::other)?)?;
        fs::rename(new, path)
    }

    /// The process of a record; none when there is no record, or none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_process_of_the_record_is_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let process = Process::of(child.id()).expect("it runs");
        let other = Process { started: process.started + 1, ..process.clone() };
        other.signal(Signal::KILL).expect("nobody is signalled");
        let other = Process { program: "/bin/other".into(), ..process.clone() };
        other.signal(Signal::KILL).expect("nobody is signalled");
        assert!(process.runs() && !other.runs());
        process.end(Duration::from_secs(5)).await.expect("it ends");
        assert!(!process.runs());
        child.wait().expect("ours");
    }

    #[test]
    fn a_record_is_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("pid");
        assert_eq!(Process::read(&path), None);
        let own = Process::own().expect("it runs");
        own.record(&path).expect("written");
        assert_eq!(Process::read(&path), Some(own));
    }
}
