//! The programs, as they are shipped: static, in the plugin's profile.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The plugin: that of `TERWAY_PLUGIN`, or built by `ci/plugin`.
pub(crate) fn plugin() -> PathBuf {
    given("TERWAY_PLUGIN").unwrap_or_else(|| {
        build(Command::new(root().join("ci/plugin")));
        built("terway")
    })
}

/// The kernel's part alone: that of `TERWAY_BARE`, or built in the same way.
pub(crate) fn bare() -> PathBuf {
    given("TERWAY_BARE").unwrap_or_else(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--profile", "plugin", "-p", "terway-bare", "--target", &target()]);
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
        build(cargo);
        built("terway-bare")
    })
}

fn given(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Where cargo builds: this program is at `<folder>/<profile>/deps/<name>`.
fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(3).expect("cargo built it").into()
}

fn build(mut command: Command) {
    let status = command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", folder())
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn built(name: &str) -> PathBuf {
    folder().join(target()).join("plugin").join(name)
}
