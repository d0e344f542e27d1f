//! Capabilities: named ones are enough, and one that is missing is named.

use std::io;

/// A capability that the daemon uses.
struct Use {
    bit: u8,
    name: &'static str,
    for_what: &'static str,
}

/// Without these there is no network for pods.
const NEEDED: [Use; 1] =
    [Use { bit: 12, name: "NET_ADMIN", for_what: "to configure links, routes and rules" }];

/// Why the daemon cannot work with what it may do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    /// Not told.
    #[error("cannot read the capabilities of this process from {STATUS}")]
    Unknown(#[source] io::Error),
    /// Missing.
    #[error(
        "missing capabilities: {0}; give the container `securityContext.capabilities.add` of these, `privileged` is not needed"
    )]
    Missing(String),
}

const STATUS: &str = "/proc/self/status";

/// Checks what this process may do.
pub(crate) fn check() -> Result<(), PrivilegeError> {
    let status = std::fs::read_to_string(STATUS).map_err(PrivilegeError::Unknown)?;
    let held = effective(&status)
        .ok_or_else(|| PrivilegeError::Unknown(io::Error::other("there is no line CapEff in it")))?;
    let missing: Vec<String> = missing(held).map(|it| format!("{} ({})", it.name, it.for_what)).collect();
    if missing.is_empty() { Ok(()) } else { Err(PrivilegeError::Missing(missing.join(", "))) }
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(held: u64) -> impl Iterator<Item = &'static Use> {
    NEEDED.iter().filter(move |it| held & (1 << it.bit) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let names = |held| missing(held).map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(0), ["NET_ADMIN"]);
        assert_eq!(names(1 << 12), Vec::<&str>::new());
        assert_eq!(
            effective("Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t0000000000001000\n"),
            Some(1 << 12)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
