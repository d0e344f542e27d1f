//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// A program that was not found.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{program}` was not found: looked beside {beside} and in PATH; build it with `cargo build {package}`, or set {variable}"
)]
pub struct ProgramError {
    program: &'static str,
    beside: String,
    package: &'static str,
    variable: &'static str,
}

/// The agent and the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// `terway-daemon`.
    pub daemon: PathBuf,
    /// `terway`, the plugin.
    pub plugin: PathBuf,
}

impl Programs {
    /// Looks for them: as the environment says, beside our own program, then in `PATH`. `own` is our own program.
    pub fn find(own: &Path, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, ProgramError> {
        let daemon = find(own, &variable, "terway-daemon", "-p terway-daemon", "TERWAY_DAEMON")?;
        let plugin = find(own, &variable, "terway", "-p terway-cni", "TERWAY_PLUGIN")?;
        Ok(Self { daemon, plugin })
    }
}

fn find(
    own: &Path,
    variable: &impl Fn(&str) -> Option<PathBuf>,
    program: &'static str,
    package: &'static str,
    name: &'static str,
) -> Result<PathBuf, ProgramError> {
    let said = variable(name).filter(|path| !path.as_os_str().is_empty());
    let beside = own.parent().unwrap_or(Path::new("/")).to_owned();
    // Tests are in a folder below that of the programs.
    let above = beside.parent().filter(|_| beside.ends_with("deps")).map(|dir| dir.join(program));
    let path = variable("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join(program));
    let candidates = [beside.join(program)].into_iter().chain(above).chain(in_path);
    let found = said.or_else(|| candidates.into_iter().find(|path| path.is_file()));
    found.and_then(|path| std::path::absolute(path).ok()).filter(|path| path.is_file()).ok_or_else(|| {
        ProgramError { program, beside: beside.display().to_string(), package, variable: name }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_says_wins_over_what_lies_beside() {
        let dir = tempfile::tempdir().expect("a folder");
        let (own, other) = (dir.path().join("deps/test"), dir.path().join("other"));
        for path in [&dir.path().join("terway"), &dir.path().join("terway-daemon"), &other] {
            std::fs::write(path, "").expect("written");
        }
        let programs = Programs::find(&own, |_| None).expect("both lie above");
        assert_eq!(programs.plugin, dir.path().join("terway"));
        let said = |name: &str| (name == "TERWAY_PLUGIN").then(|| other.clone());
        assert_eq!(Programs::find(&own, said).expect("found").plugin, other);
        let wrong = |name: &str| (name == "TERWAY_DAEMON").then(|| "/nowhere".into());
        let says = Programs::find(&own, wrong).expect_err("it is not there").to_string();
        assert!(says.contains("`terway-daemon` was not found") && says.contains("TERWAY_DAEMON"), "{says}");
    }
}
