//! Known flows, as text.

use std::net::{IpAddr, SocketAddr};

use terway_bpf::inspect::flows::{Flows, KnownFlow};

use super::called;
use crate::print;

/// A table, and how much of all it is.
pub(super) fn text(flows: &Flows) -> String {
    let rows: Vec<_> = flows.flows.iter().map(row).collect();
    let heading = ["ENDPOINT", "DIRECTION", "PROTOCOL", "LOCAL", "REMOTE", "STATE", "RULE", "IDLE"];
    let table = print::table(heading, &rows);
    if rows.len() == flows.total {
        return table;
    }
    format!("{table}{} of {} flows; --limit shows more\n", rows.len(), flows.total)
}

fn row(flow: &KnownFlow) -> [String; 8] {
    let end = |ip: IpAddr, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    };
    let protocol = match flow.icmp {
        Some(icmp) => format!("{} type {} id {}", flow.protocol, icmp.r#type, icmp.id),
        None => flow.protocol.clone(),
    };
    let mut state = flow.state.word().to_owned();
    for (is, word) in [(flow.exempt, "exempt"), (flow.pending, "service"), (!flow.judged, "to be judged")] {
        if is {
            state = format!("{state}, {word}");
        }
    }
    [
        called(flow.link, flow.interface.as_deref()),
        flow.direction.word().to_owned(),
        protocol,
        end(flow.local, flow.local_port),
        end(flow.remote, flow.remote_port),
        state,
        flow.rule.map(|rule| rule.to_string()).unwrap_or_default(),
        format!("{}s", flow.idle_seconds),
    ]
}
