//! Tells the binary which commit it was built from, for reports and reproducers.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/refs/heads");
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    // Without git, or outside of a checkout, the commit stays unknown; nothing else depends on it.
    if let Ok(output) = output
        && output.status.success()
    {
        println!("cargo::rustc-env=TERWAY_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
