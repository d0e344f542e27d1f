//! `terway-sim cloud fault`: something goes wrong in a running cloud.

use std::{net::SocketAddr, path::PathBuf};

use http::Method;

use super::{
    CONTROL,
    client::{Asked, ask},
};
use crate::command::{Verdict, bad::Bad, print};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  terway-sim cloud fault throttle --for 1m --probability 0.5\n  terway-sim cloud fault \
                        exhausted --target vswitch:vsw-sim-a\n  terway-sim cloud fault stale-read --set lag=5s\n  \
                        terway-sim cloud fault --heal"
)]
pub(super) struct Args {
    /// A fault of the vocabulary, see docs/simulator.md
    #[arg(value_name = "KIND", required_unless_present_any = ["file", "heal"])]
    kind: Option<String>,
    /// What it strikes: cluster, node:INSTANCE, action:NAME or vswitch:ID
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// How long it lasts, such as 30s
    #[arg(long = "for", value_name = "D")]
    lasts: Option<String>,
    /// When it strikes, from now
    #[arg(long, value_name = "D")]
    at: Option<String>,
    /// Which share of the calls it strikes
    #[arg(long, value_name = "P")]
    probability: Option<f64>,
    /// An argument of the kind: --set code=Throttling.User (repeatable)
    #[arg(long, value_name = "ARG=VALUE")]
    set: Vec<String>,
    /// Faults from a file, as schedules are written
    #[arg(long, value_name = "FILE.toml", conflicts_with = "kind")]
    file: Option<PathBuf>,
    /// End all faults, those to come too
    #[arg(long, conflicts_with_all = ["kind", "file"])]
    heal: bool,
    /// Where the control API listens
    #[arg(long, value_name = "ADDR", default_value = CONTROL)]
    control: SocketAddr,
}

pub(super) fn fault(args: &Args) -> Result<Verdict, Bad> {
    if args.heal {
        let asked = Asked { method: Method::DELETE, ..Asked::get("/_sim/faults") };
        ask(args.control, asked)?;
        print::out("healed\n");
        return Ok(Verdict::Held);
    }
    let body = match &args.file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| Bad::file("read", path, &error))?,
        None => schedule(args)?,
    };
    let asked = Asked { method: Method::POST, path: "/_sim/faults", kind: "application/toml", body };
    let answer = ask(args.control, asked)?;
    for story in answer["faults"].as_array().into_iter().flatten().filter_map(|story| story.as_str()) {
        print::out(&format!("{story}\n"));
    }
    Ok(Verdict::Held)
}

/// The arguments as a schedule of one fault. Values are judged by the control API, so that all complaints are alike.
fn schedule(args: &Args) -> Result<String, Bad> {
    let mut fault = toml::Table::new();
    let texts = [("kind", &args.kind), ("target", &args.target), ("for", &args.lasts), ("at", &args.at)];
    for (key, value) in texts {
        if let Some(value) = value {
            fault.insert(key.to_owned(), value.as_str().into());
        }
    }
    if let Some(probability) = args.probability {
        fault.insert("probability".to_owned(), probability.into());
    }
    for text in &args.set {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Bad::new(format!("`--set {text}` is not ARG=VALUE")).hint("for example --set lag=5s"));
        };
        // A value is TOML where it reads as TOML, and a text otherwise.
        let read = format!("value = {value}").parse::<toml::Table>().ok();
        let value = read.and_then(|mut table| table.remove("value")).unwrap_or_else(|| value.into());
        fault.insert(name.trim().to_owned(), value);
    }
    let mut table = toml::Table::new();
    table.insert("fault".to_owned(), toml::Value::Array(vec![toml::Value::Table(fault)]));
    Ok(table.to_string())
}
