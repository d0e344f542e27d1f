//! Programs, and their places on links.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A program and the place that it has on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// `from_pod`, at the ingress of a pod's host link.
    FromPod,
    /// `to_pod`, at its egress.
    ToPod,
    /// `exit`, at the egress of an ENI.
    Exit,
    /// `empty`, which is never attached: the price of a program that does nothing.
    Empty,
}

impl Hook {
    /// All programs.
    pub const ALL: [Self; 4] = [Self::FromPod, Self::ToPod, Self::Exit, Self::Empty];
    /// Those of a pod.
    pub const POD: [Self; 2] = [Self::FromPod, Self::ToPod];
    /// Those that are attached.
    pub const ATTACHED: [Self; 3] = [Self::FromPod, Self::ToPod, Self::Exit];

    /// Name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
            Self::Exit => "exit",
            Self::Empty => "empty",
        }
    }

    /// Whether it sees what the link receives.
    pub(crate) fn is_ingress(self) -> bool {
        self == Self::FromPod
    }

    /// Where the program is pinned: who finds it there may attach it.
    pub fn pin(self, pins: &Path) -> PathBuf {
        pins.join(format!("terway_prog_{self}"))
    }

    /// Where its tcx link on a network link is pinned.
    pub(crate) fn link_pin(self, pins: &Path, link: u32) -> PathBuf {
        pins.join(format!("terway_link_{self}_{link}"))
    }

    /// What a link's pin is of.
    pub(crate) fn of_link_pin(name: &str) -> Option<(Self, u32)> {
        let (program, link) = name.strip_prefix("terway_link_")?.rsplit_once('_')?;
        let hook = Self::ALL.into_iter().find(|hook| hook.program() == program)?;
        Some((hook, link.parse().ok()?))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_pin_tells_its_hook_and_its_link() {
        for hook in Hook::ALL {
            let pin = hook.link_pin(Path::new("/pins"), 0x4000_0007);
            let name = pin.file_name().and_then(|name| name.to_str()).expect("a name");
            assert_eq!(Hook::of_link_pin(name), Some((hook, 0x4000_0007)));
        }
        for other in ["terway_prog_from_pod", "terway_link_from_pod", "terway_link_x_1", "terway_link_exit_x"]
        {
            assert_eq!(Hook::of_link_pin(other), None, "{other}");
        }
    }
}
