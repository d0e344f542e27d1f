//! The environment of a call.
//!
//! libcni passes what is not set as empty text, so empty means unset. All that is missing is told in one
//! error, not one at a time.

use std::{ffi::OsString, fs, io, os::unix::fs::MetadataExt as _, path::PathBuf};

/// What the runtime asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Is it as it was made?
    Check,
    /// Free what is not listed.
    Gc,
    /// Can an ADD be served?
    Status,
    /// Which versions are spoken?
    Version,
}

const COMMANDS: [(&str, Command); 6] = [
    ("ADD", Command::Add),
    ("DEL", Command::Del),
    ("CHECK", Command::Check),
    ("GC", Command::Gc),
    ("STATUS", Command::Status),
    ("VERSION", Command::Version),
];

/// What can be wrong with the environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// Not set at all: run by hand.
    #[error("CNI_COMMAND is not set")]
    NoCommand,
    /// None of the six.
    #[error("CNI_COMMAND is `{0}`; expected ADD, DEL, CHECK, GC, STATUS or VERSION")]
    Command(String),
    /// Variables that the verb needs.
    #[error("required variables are missing: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// Not text.
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    /// A container id of another form.
    #[error(
        "CNI_CONTAINERID is `{0}`; expected letters, digits, `_`, `.` or `-`, the first a letter or digit"
    )]
    Container(String),
    /// No interface can be called so.
    #[error("CNI_IFNAME is `{0}`; expected 1 to 15 bytes without `/`, `:` or blanks, and not `.` or `..`")]
    Interface(String),
    /// A part of the arguments is not a pair.
    #[error("CNI_ARGS holds `{0}`; expected `KEY=VALUE` pairs joined by `;`")]
    Pair(String),
    /// A key that nobody told us to ignore.
    #[error("CNI_ARGS holds the unknown key `{0}`; set IgnoreUnknown=1 to pass over it")]
    UnknownArg(String),
    /// The pod is not named.
    #[error("CNI_ARGS lacks {}; the agent knows pods by namespace and name", .0.join(" and "))]
    Pod(Vec<&'static str>),
    /// No namespace to attach to.
    #[error("CNI_NETNS is `{path}`: {reason}")]
    Netns {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// `CNI_ARGS`, as far as we use them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`.
    pub uid: String,
}

/// A checked environment. What a verb does not need is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// `CNI_NETNS`; empty on a late DEL.
    pub netns: PathBuf,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub args: Args,
    /// `CNI_NETNS_OVERRIDE`: our own namespace may be the pod's.
    pub own_netns_allowed: bool,
}

/// Looks a variable up.
pub type Lookup<'a> = dyn Fn(&'static str) -> Option<OsString> + 'a;

fn text(lookup: &Lookup<'_>, name: &'static str) -> Result<String, EnvError> {
    lookup(name).unwrap_or_default().into_string().map_err(|_| EnvError::NotText(name))
}

/// The verb.
pub fn command(lookup: &Lookup<'_>) -> Result<Command, EnvError> {
    let name = text(lookup, "CNI_COMMAND")?;
    if name.is_empty() {
        return Err(EnvError::NoCommand);
    }
    let known = COMMANDS.iter().find(|(known, _)| *known == name);
    known.map(|(_, command)| *command).ok_or(EnvError::Command(name))
}

/// What the verb needs, in the syntax that it must have.
pub fn read(lookup: &Lookup<'_>, command: Command) -> Result<Env, EnvError> {
    let required: &[&'static str] = match command {
        Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
        Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
        // The specification also asks for CNI_PATH on GC; we delegate to nobody and do without.
        Command::Gc | Command::Status | Command::Version => return Ok(Env::default()),
    };
    let unset = |name: &&'static str| lookup(name).is_none_or(|value| value.is_empty());
    let missing: Vec<&'static str> = required.iter().copied().filter(unset).collect();
    if !missing.is_empty() {
        return Err(EnvError::Missing(missing));
    }
    let container = text(lookup, "CNI_CONTAINERID")?;
    if !is_identifier(&container) {
        return Err(EnvError::Container(container));
    }
    let ifname = text(lookup, "CNI_IFNAME")?;
    if !is_interface(&ifname) {
        return Err(EnvError::Interface(ifname));
    }
    let args = args(&text(lookup, "CNI_ARGS")?)?;
    if command != Command::Del {
        let pairs = [("K8S_POD_NAMESPACE", &args.namespace), ("K8S_POD_NAME", &args.name)];
        let missing: Vec<_> =
            pairs.iter().filter(|(_, value)| value.is_empty()).map(|(key, _)| *key).collect();
        if !missing.is_empty() {
            return Err(EnvError::Pod(missing));
        }
    }
    let own_netns_allowed = is_true(&text(lookup, "CNI_NETNS_OVERRIDE")?);
    let netns = PathBuf::from(text(lookup, "CNI_NETNS")?);
    Ok(Env { container, netns, ifname, args, own_netns_allowed })
}

/// Names of containers and networks: `[A-Za-z0-9][A-Za-z0-9_.-]*`.
pub fn is_identifier(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_interface(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.chars().any(|char| char == '/' || char == ':' || char.is_whitespace())
}

fn is_true(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true")
}

/// Pairs come in random order, so whether unknown keys may be ignored is known only at the end.
pub fn args(text: &str) -> Result<Args, EnvError> {
    let mut args = Args::default();
    let (mut unknown, mut ignore) = (None, false);
    for pair in text.split(';').filter(|_| !text.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.contains('='))
            .ok_or_else(|| EnvError::Pair(pair.to_owned()))?;
        match key {
            "K8S_POD_NAMESPACE" => value.clone_into(&mut args.namespace),
            "K8S_POD_NAME" => value.clone_into(&mut args.name),
            "K8S_POD_UID" => value.clone_into(&mut args.uid),
            // The sandbox is CNI_CONTAINERID; an address is the agent's to choose.
            "K8S_POD_INFRA_CONTAINER_ID" | "IP" => {}
            "IgnoreUnknown" => ignore = is_true(value),
            _ => unknown = unknown.or(Some(key)),
        }
    }
    match unknown {
        Some(key) if !ignore => Err(EnvError::UnknownArg(key.to_owned())),
        _ => Ok(args),
    }
}

/// Magic numbers of nsfs, and of proc on kernels where a namespace file is still a link in it.
const NAMESPACE_FILESYSTEMS: [u64; 2] = [0x6e73_6673, 0x9fa0];

impl Env {
    /// That the namespace is there, is one, and is not our own: before any work, as what follows would be
    /// done to the node itself.
    pub fn require_netns(&self) -> Result<(), EnvError> {
        let refuse = |reason: String| EnvError::Netns { path: self.netns.display().to_string(), reason };
        let io = |error: io::Error| refuse(error.to_string());
        let pod = fs::metadata(&self.netns).map_err(io)?;
        let filesystem = rustix::fs::statfs(&self.netns).map_err(|error| io(error.into()))?.f_type;
        if !NAMESPACE_FILESYSTEMS.iter().any(|known| u64::try_from(filesystem) == Ok(*known)) {
            return Err(refuse("it is not a network namespace".into()));
        }
        let own = fs::metadata("/proc/self/ns/net").map_err(io)?;
        if (pod.dev(), pod.ino()) == (own.dev(), own.ino()) && !self.own_netns_allowed {
            return Err(refuse("it is this plugin's own network namespace, that of the node".into()));
        }
        Ok(())
    }

    /// Whether a DEL still has a namespace to work in.
    pub fn has_netns(&self) -> bool {
        !self.netns.as_os_str().is_empty() && self.require_netns().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &str)], command: Command) -> Result<Env, EnvError> {
        let lookup = |name: &'static str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        read(&lookup, command)
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let error = with(&[("CNI_NETNS", "")], Command::Add).expect_err("missing");
        assert_eq!(
            error.to_string(),
            "required variables are missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"
        );
        let error = with(&[], Command::Del).expect_err("missing");
        assert_eq!(error.to_string(), "required variables are missing: CNI_CONTAINERID, CNI_IFNAME");
        assert!(with(&[], Command::Status).is_ok() && with(&[], Command::Gc).is_ok());
    }

    #[test]
    fn names_that_could_leave_their_place_are_refused() {
        for bad in ["../x", "a/b", "-a", ".a", "a b", "ü", "a\n"] {
            let pairs = [("CNI_CONTAINERID", bad), ("CNI_IFNAME", "eth0")];
            assert!(matches!(with(&pairs, Command::Del), Err(EnvError::Container(_))), "{bad}");
        }
        for bad in [".", "..", "a/b", "a:b", "a b", "a\tb", "sixteencharacter"] {
            let pairs = [("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", bad)];
            assert!(matches!(with(&pairs, Command::Del), Err(EnvError::Interface(_))), "{bad}");
        }
        let pairs = [("CNI_CONTAINERID", "c_1.x-Y"), ("CNI_IFNAME", "fifteencharacte")];
        assert!(with(&pairs, Command::Del).is_ok());
    }

    #[test]
    fn arguments_come_in_any_order() {
        let wanted = Args { namespace: "default".into(), name: "a".into(), uid: "u".into() };
        for text in [
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a;K8S_POD_UID=u;Other=x",
            "Other=x;K8S_POD_UID=u;K8S_POD_NAME=a;K8S_POD_NAMESPACE=default;IgnoreUnknown=true",
        ] {
            assert_eq!(args(text).expect("valid"), wanted);
        }
        assert_eq!(args("").expect("none"), Args::default());
        assert!(matches!(args("Other=x"), Err(EnvError::UnknownArg(key)) if key == "Other"));
        for bad in ["a", "a=b=c", "=b", "K8S_POD_NAME=a;", ";"] {
            assert!(matches!(args(bad), Err(EnvError::Pair(_))), "{bad}");
        }
    }
}
