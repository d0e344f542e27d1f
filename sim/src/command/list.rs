//! `list` and `show`.

use serde_json::json;
use terway_chaos::duration;
use terway_sim::scenario::{Builtin, Scenario, builtins};

use super::{Verdict, bad::Bad, print};

/// `list`
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// As a JSON document
    #[arg(long)]
    json: bool,
}

/// `show`
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// A built-in scenario
    name: String,
}

/// What `list` says of a scenario. The size of a trace is known only with its files.
struct Entry {
    name: &'static str,
    about: String,
    size: Option<(u32, std::time::Duration)>,
}

impl Entry {
    fn of(builtin: &Builtin) -> Self {
        let scenario = Scenario::from_toml(builtin.text, &[]).ok();
        let about = builtin.text.parse::<toml::Table>().ok();
        let about = about.and_then(|table| table.get("about")?.as_str().map(str::to_owned));
        Self {
            name: builtin.name,
            about: about.unwrap_or_default(),
            size: scenario.map(|scenario| (scenario.nodes, scenario.duration)),
        }
    }
}

pub(crate) fn list(args: &ListArgs) -> Verdict {
    let entries = builtins().iter().map(Entry::of);
    if args.json {
        let list: Vec<_> = entries
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "about": entry.about,
                    "nodes": entry.size.map(|(nodes, _)| nodes),
                    "duration_seconds": entry.size.map(|(_, duration)| duration.as_secs_f64()),
                })
            })
            .collect();
        print::out(&format!("{:#}\n", serde_json::Value::Array(list)));
        return Verdict::Held;
    }
    let rows: Vec<Vec<String>> = entries
        .map(|entry| {
            let (nodes, length) = entry.size.map_or_else(
                || ("as recorded".to_owned(), "–".to_owned()),
                |(nodes, length)| (format!("{nodes} nodes"), duration::print(length)),
            );
            vec![entry.name.to_owned(), nodes, length, entry.about]
        })
        .collect();
    print::out(&print::table(&rows));
    Verdict::Held
}

pub(crate) fn show(args: &ShowArgs) -> Result<Verdict, Bad> {
    print::out(Builtin::named(&args.name)?.text);
    Ok(Verdict::Held)
}
