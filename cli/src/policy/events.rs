//! `policy events`: packets as they are denied, from the node's agent.

use std::{
    io::{BufRead as _, BufReader, ErrorKind},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use serde_json::Value;

use crate::{failure::Failure, print};

/// Where the agent listens if nothing is said.
const SOCKET: &str = "/var/run/eni/policy_events.socket";

#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// Socket of the node's agent (its flag --policy-events)
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// Only packets from or to a pod: namespace/pod, or pod in the namespace `default`
    #[arg(long, value_name = "POD")]
    pod: Option<String>,
    /// Only what was denied
    #[arg(long)]
    denied: bool,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Prints lines until there are enough of them, or the agent ends.
pub(super) fn follow(args: &EventsArgs, json: bool) -> Result<(), Failure> {
    let path = args.socket.display();
    let stream = UnixStream::connect(&args.socket).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                "run this on a node whose terway-daemon enforces policy, or give --socket"
            }
            _ => "run this as root, or as the user of terway-daemon",
        };
        Failure::Cluster(format!("cannot listen at {path}: {error}; {hint}"))
    })?;
    let pod =
        args.pod.as_ref().map(|pod| if pod.contains('/') { pod.clone() } else { format!("default/{pod}") });
    let mut left = args.count;
    for line in BufReader::new(stream).lines() {
        let line =
            line.map_err(|error| Failure::Cluster(format!("the agent at {path} went away: {error}")))?;
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        if !is_wanted(&event, pod.as_deref(), args.denied) {
            continue;
        }
        print::out(&if json { format!("{line}\n") } else { text(&event) });
        if let Some(left) = &mut left {
            *left -= 1;
            if *left == 0 {
                return Ok(());
            }
        }
    }
    Err(Failure::Cluster(format!("the agent at {path} has ended")))
}

/// What is lost, or not told one by one, is everybody's.
fn is_wanted(event: &Value, pod: Option<&str>, denied: bool) -> bool {
    if event["event_type"] != "network_policy" {
        return true;
    }
    let of_pod = |pod| event["source_pod"] == pod || event["destination_pod"] == pod;
    pod.is_none_or(of_pod) && (!denied || event["action"] == "DENY")
}

/// One line for a person.
fn text(event: &Value) -> String {
    let word = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    if event["event_type"] != "network_policy" {
        return format!("{}  {}\n", word("timestamp"), word("description"));
    }
    let end = |side: &str| {
        let (ip, port) = (word(&format!("{side}_ip")), &event[format!("{side}_port")]);
        let v6 = ip.contains(':');
        let address = match port.as_u64() {
            Some(port) if port > 0 && v6 => format!("[{ip}]:{port}"),
            Some(port) if port > 0 => format!("{ip}:{port}"),
            _ => ip,
        };
        match event[format!("{side}_pod")].as_str() {
            Some(pod) => format!("{pod} ({address})"),
            None => address,
        }
    };
    format!(
        "{}  {:<5} {:<7} {} -> {} {}: {}\n",
        word("timestamp"),
        word("action"),
        word("direction"),
        end("source"),
        end("destination"),
        word("protocol"),
        word("description")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "timestamp": "2026-11-25T10:00:00Z", "event_type": "network_policy", "action": "DENY", "direction": "ingress",
            "source_ip": "10.0.1.10", "source_port": 41000, "source_pod": "shop/a", "destination_ip": "2001:db8::1",
            "destination_port": 5432, "destination_pod": null, "protocol": "TCP", "description": "no rule",
        })
    }

    #[test]
    fn a_line_has_both_ends_and_the_reason() {
        let line = text(&event());
        assert_eq!(
            line,
            "2026-11-25T10:00:00Z  DENY  ingress shop/a (10.0.1.10:41000) -> [2001:db8::1]:5432 TCP: no rule\n"
        );
    }

    #[test]
    fn only_what_is_asked_for_is_wanted() {
        assert!(is_wanted(&event(), Some("shop/a"), true));
        assert!(!is_wanted(&event(), Some("shop/b"), false));
        assert!(!is_wanted(&json!({"event_type": "network_policy", "action": "ALLOW"}), None, true));
        assert!(is_wanted(&json!({"event_type": "lost"}), Some("shop/b"), true));
    }
}
