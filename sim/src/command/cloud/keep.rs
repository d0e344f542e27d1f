//! The account's state in a file: read at the start, written when it changes and at the end.
//!
//! The file is replaced by a rename, so that it is whole at any instant. Changes are written at most every half
//! second: after a kill, what changed since is lost, as a client must expect of calls that it got no answer to.

use std::{
    cell::RefCell,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use terway_sim::cloud::{CloudState, FakeCloud};

use crate::command::bad::Bad;

/// Changes within this time are written together.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the state of an account in a file.
pub(super) struct Keeper {
    path: PathBuf,
    /// What the file holds; empty before there is one.
    written: RefCell<Vec<u8>>,
}

impl Keeper {
    /// Reads the file into an empty account, if there is one.
    pub(super) fn open(path: &Path, cloud: &Arc<FakeCloud>) -> Result<Self, Bad> {
        let written = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Bad::file("read", path, &error)),
        };
        if !written.is_empty() {
            let bad = |why: String| {
                let message = format!("`{}` is not the state of a cloud: {why}", path.display());
                Bad::new(message).hint("remove it to begin anew")
            };
            let state: CloudState =
                serde_json::from_slice(&written).map_err(|error| bad(error.to_string()))?;
            cloud.restore(&state).map_err(|error| bad(error.to_string()))?;
        }
        Ok(Self { path: path.to_owned(), written: RefCell::new(written) })
    }

    /// Whether there was something to go on from.
    pub(super) fn found(&self) -> bool {
        !self.written.borrow().is_empty()
    }

    /// Writes what changes, for ever; returns when it cannot.
    pub(super) async fn keep(&self, cloud: &Arc<FakeCloud>) -> Result<(), Bad> {
        let mut seen = None;
        loop {
            let revision = cloud.revision();
            if seen != Some(revision) {
                self.save(cloud)?;
                seen = Some(revision);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes the state, if it is another than the file's.
    pub(super) fn save(&self, cloud: &Arc<FakeCloud>) -> Result<(), Bad> {
        let mut text = serde_json::to_vec_pretty(&cloud.state())
            .expect("a state has texts as keys and no other surprise");
        text.push(b'\n');
        if *self.written.borrow() == text {
            return Ok(());
        }
        replace(&self.path, &text).map_err(|error| Bad::file("write", &self.path, &error))?;
        *self.written.borrow_mut() = text;
        Ok(())
    }
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
