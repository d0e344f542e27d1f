//! Flags. Those of the original are all taken, with one dash too, as Go programs have them.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Parser, ValueEnum};
use terway_cloud::metadata::DEFAULT_BASE;

/// Node agent of terway-rs: gives pods addresses of the VPC
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Clone, Debug, Parser)]
#[command(name = "terway-daemon", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 stopped in order, 1 could not start or go on, 2 bad input.\n\
    RUST_LOG overrides --log-level by module, such as terway_agent=debug.")]
pub(crate) struct Options {
    /// Configuration, eni_conf as JSON [default: /etc/eni/eni.json, or /etc/eni/eni_conf if that is not there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Check the configuration, say what comes of it, and end
    #[arg(long)]
    pub(crate) check_config: bool,
    /// With --check-config: say it as JSON
    #[arg(long, requires = "check_config")]
    pub(crate) json: bool,
    /// How pods are attached; only ENIMultiIP is served
    #[arg(long, value_name = "MODE", default_value = "ENIMultiIP")]
    pub(crate) daemon_mode: String,
    /// Name of this node in Kubernetes
    #[arg(long, env = "NODE_NAME", value_name = "NAME", default_value = "")]
    pub(crate) node_name: String,
    /// IPv4 address of this node [default: the first one of the interface that has the default route]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) node_ip: Option<Ipv4Addr>,
    /// Socket that plugins call
    #[arg(long, value_name = "PATH", default_value = "/var/run/eni/eni.socket")]
    pub(crate) socket: PathBuf,
    /// Folder of the durable store
    #[arg(long, value_name = "DIR", default_value = "/var/lib/cni/terway")]
    pub(crate) state_dir: PathBuf,
    /// Folder that the CNI configuration is written to, once pods can be served; empty: none is written
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    pub(crate) cni_conf_dir: PathBuf,
    /// CNI configuration to write: a list, or one plugin's
    /// [default: /etc/eni/10-terway.conflist or /etc/eni/10-terway.conf, or a built-in one]
    #[arg(long, value_name = "FILE")]
    pub(crate) cni_conf_template: Option<PathBuf>,
    /// Folder of a bpf file system in which programs and maps of policy are pinned
    #[arg(long, value_name = "DIR", default_value = terway_bpf::programs::PIN_DIRECTORY)]
    pub(crate) bpf_pin_dir: PathBuf,
    /// Unix socket on which denied packets are told as they come, where policy is enforced; `off` for none
    #[arg(long, value_name = "unix://PATH", default_value = "unix:///var/run/eni/policy_events.socket")]
    pub(crate) policy_events: DebugSocket,
    /// Policy is not enforced by this agent, whatever the configuration says
    #[arg(long, env = "DISABLE_POLICY", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    pub(crate) disable_policy: bool,
    /// Address of /healthz, /readyz and /metrics; `off` for none
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9999")]
    pub(crate) listen: Listen,
    /// Unix socket with the same, as the original has it; `off` for none
    #[arg(
        long,
        visible_alias = "debug-socket",
        value_name = "unix://PATH",
        default_value = "unix:///var/run/eni/eni_debug.socket"
    )]
    pub(crate) readonly_listen: DebugSocket,
    /// URL of the API server, without authentication [default: the service account of the pod, else the kubeconfig]
    #[arg(long, value_name = "URL")]
    pub(crate) kube_url: Option<http::Uri>,
    /// kubeconfig to use [env: KUBECONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "kube_url")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// URL of the instance metadata service
    #[arg(long, value_name = "URL", default_value = DEFAULT_BASE)]
    pub(crate) metadata_endpoint: String,
    /// Use the cloud's public endpoints rather than those within a VPC
    #[arg(long)]
    pub(crate) public_endpoints: bool,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// Form of the log
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(crate) log_format: LogFormat,
    /// Switches of the original, `Name=true,…`; read, and told where they have no effect
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(crate) feature_gates: String,
    /// Print the completions of a shell, and end
    #[arg(long, value_name = "SHELL")]
    pub(crate) completions: Option<clap_complete::Shell>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    #[value(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// What follows for ours, and for the crates that talk most.
    pub(crate) fn directive(self) -> String {
        let level = match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        };
        if self == Self::Trace {
            level.into()
        } else {
            format!("{level},hyper=warn,h2=warn,tower=warn,rustls=warn")
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Json,
    Text,
}

/// A TCP address, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) Option<SocketAddr>);

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        // A port alone is on all addresses, as Go has it.
        let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        full.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| "expected ADDRESS:PORT, :PORT or `off`".into())
    }
}

/// A unix socket, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DebugSocket(pub(crate) Option<PathBuf>);

impl std::str::FromStr for DebugSocket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            Ok(Self(Some(path.into())))
        } else {
            Err("expected unix:///PATH or `off`".into())
        }
    }
}

/// Arguments with two dashes where a Go program takes one.
pub(crate) fn modern(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| match argument.to_str() {
        Some(text) if text.len() > 2 && text.starts_with('-') && text.as_bytes()[1].is_ascii_alphabetic() => {
            format!("-{text}").into()
        }
        _ => argument,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        let all = ["terway-daemon"].iter().chain(arguments).map(OsString::from);
        Options::try_parse_from(modern(all))
    }

    #[test]
    fn flags_of_the_original_are_taken_with_one_dash() {
        let options = parse(&[
            "-daemon-mode=ENIMultiIP",
            "-log-level",
            "debug",
            "-readonly-listen=unix:///var/run/eni/eni_debug.socket",
            "-config=/etc/eni/eni.json",
            "-feature-gates=AutoDataPathV2=true",
        ])
        .expect("taken");
        assert_eq!(options.log_level, LogLevel::Debug);
        assert_eq!(options.config, Some("/etc/eni/eni.json".into()));
        assert_eq!(options.readonly_listen.0, Some("/var/run/eni/eni_debug.socket".into()));
    }

    #[test]
    fn addresses_are_as_go_has_them() {
        let listen = |text: &str| parse(&["--listen", text]).map(|options| options.listen.0);
        assert_eq!(listen(":9999").expect("taken"), Some(([0, 0, 0, 0], 9999).into()));
        assert_eq!(listen("off").expect("taken"), None);
        assert!(listen("9999").is_err());
    }
}
