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

/// Without these policy cannot be enforced.
const NEEDED_FOR_POLICY: [Use; 2] = [
    Use { bit: 39, name: "BPF", for_what: "to load programs and maps of policy" },
    Use { bit: 38, name: "PERFMON", for_what: "to load programs that read packets" },
];

/// Has all of the former two, as before Linux 5.8.
const SYS_ADMIN: u64 = 1 << 21;

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

/// Checks what this process may do; more is needed where it enforces policy.
pub(crate) fn check(policy: bool) -> Result<(), PrivilegeError> {
    let status = std::fs::read_to_string(STATUS).map_err(PrivilegeError::Unknown)?;
    let held = effective(&status)
        .ok_or_else(|| PrivilegeError::Unknown(io::Error::other("there is no line CapEff in it")))?;
    let missing: Vec<String> =
        missing(held, policy).map(|it| format!("{} ({})", it.name, it.for_what)).collect();
    if missing.is_empty() { Ok(()) } else { Err(PrivilegeError::Missing(missing.join(", "))) }
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(held: u64, policy: bool) -> impl Iterator<Item = &'static Use> {
    let more: &[Use] = if policy && held & SYS_ADMIN == 0 { &NEEDED_FOR_POLICY } else { &[] };
    NEEDED.iter().chain(more).filter(move |it| held & (1 << it.bit) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let names = |held| missing(held, false).map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(0), ["NET_ADMIN"]);
        assert_eq!(names(1 << 12), Vec::<&str>::new());
        let names = |held| missing(held, true).map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(1 << 12), ["BPF", "PERFMON"]);
        assert_eq!(names(1 << 12 | 1 << 38 | 1 << 39), Vec::<&str>::new());
        assert_eq!(names(1 << 12 | 1 << 21), Vec::<&str>::new());
        assert_eq!(
            effective("Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t0000000000001000\n"),
            Some(1 << 12)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
