//! `terway-sim cloud state`: what is in a running cloud.

use std::net::SocketAddr;

use serde_json::Value;

use super::{
    CONTROL,
    client::{Asked, ask},
};
use crate::command::{Verdict, bad::Bad, print};

#[derive(Debug, clap::Args)]
pub(super) struct StateArgs {
    /// Where the control API listens
    #[arg(long, value_name = "ADDR", default_value = CONTROL)]
    control: SocketAddr,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn state(args: &StateArgs) -> Result<Verdict, Bad> {
    let state = ask(args.control, Asked::get("/_sim/state"))?;
    if args.json {
        print::out(&format!("{state:#}\n"));
    } else {
        print::out(&tell(&state));
    }
    Ok(Verdict::Held)
}

/// Tables for people. Fields are as in the state's JSON, which the control API documents.
fn tell(state: &Value) -> String {
    let mut text = print::Text::default();
    text.line(format_args!("{} in {}", cell(&state["vpc"]), cell(&state["region"])));
    for (title, list, columns) in [
        ("vSwitches", "vswitches", &["id", "zone", "cidr", "ipv6", "available"][..]),
        ("Security groups", "security_groups", &["id", "name"]),
        ("Instances", "instances", &["id", "instance_type", "zone", "state"]),
        ("ENIs", "enis", &["id", "status", "instance", "vswitch", "mac", "primary", "addresses"]),
        ("Routes", "route_entries", &["id", "table", "destination", "status", "next_hop"]),
    ] {
        let rows = state[list].as_array().map(Vec::as_slice).unwrap_or_default();
        text.line("");
        text.line(format_args!("{title} ({})", rows.len()));
        let heads = std::iter::once(columns.iter().map(|name| (*name).to_owned()).collect());
        let cells = rows.iter().map(|row| columns.iter().map(|name| cell(&row[*name])).collect());
        text.lines(&print::table(&heads.chain(cells).collect::<Vec<Vec<String>>>()));
    }
    text.into_string()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(" "),
        // Sets of addresses by family, next hops by kind: the values say it.
        Value::Object(fields) => {
            let parts: Vec<String> = fields.values().map(cell).filter(|part| !part.is_empty()).collect();
            parts.join(" ")
        }
        other => other.to_string(),
    }
}
