//! The pin directory. Maps are pinned by their names; a set that is not published yet stands in a folder beside.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Where a new set of maps waits until it is filled and attached.
pub(crate) const STAGE: &str = "terway_next";

pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Pin { operation, path: path.to_owned(), source }
}

/// A folder of a bpf file system.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    base: PathBuf,
}

impl Pins {
    /// Makes the folder; mounts the file system at the customary place if it is below that and there is none.
    pub(crate) fn open(base: &Path) -> Result<Self, Error> {
        let root = Path::new("/sys/fs/bpf");
        if base.starts_with(root) && !is_bpf(root)? {
            rustix::mount::mount(
                "bpf",
                root,
                "bpf",
                rustix::mount::MountFlags::empty(),
                None::<&std::ffi::CStr>,
            )
            .map_err(|error| failed("mount the bpf file system at", root)(error.into()))?;
        }
        fs::create_dir_all(base).map_err(failed("make the folder", base))?;
        if !is_bpf(base)? {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            return Err(Error::Pin {
                operation: "pin below (a bpf file system is needed)",
                path: base.into(),
                source,
            });
        }
        Ok(Self { base: base.to_owned() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    pub(crate) fn stage(&self) -> PathBuf {
        self.base.join(STAGE)
    }

    /// An empty folder for a new set, in place of one that was never published.
    pub(crate) fn fresh_stage(&self) -> Result<PathBuf, Error> {
        let stage = self.stage();
        remove_folder(&stage)?;
        fs::create_dir(&stage).map_err(failed("make the folder", &stage))?;
        Ok(stage)
    }
}

/// Removes a folder of pins that may not be there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn is_bpf(path: &Path) -> Result<bool, Error> {
    const MAGIC: i64 = 0xcafe_4a11;
    let stat = rustix::fs::statfs(path).map_err(|error| failed("look at", path)(error.into()))?;
    Ok(stat.f_type == MAGIC)
}
