//! A node's state, as text.

use std::collections::BTreeMap;

use terway_bpf::inspect::{
    flows::Totals,
    status::{EndpointStatus, Maps, Problem, Settings, Side, Status, Usage},
};

use super::called;
use crate::print;

/// Facts, tables, and what does not fit together last, where it is seen.
pub(super) fn text(status: &Status) -> String {
    let mut parts = vec![print::facts(&facts(status))];
    if status.maps == Maps::Current {
        let programs = programs(status);
        let rows: Vec<_> = status.endpoints.iter().map(|endpoint| row(endpoint, &programs)).collect();
        let heading = ["LINK", "INTERFACE", "ADDRESSES", "INGRESS", "EGRESS", "FLAGS", "EPOCH", "PROGRAMS"];
        parts.push(print::table(heading, &rows));
        let rows: Vec<_> = status.usage.iter().map(room).collect();
        parts.push(print::table(["MAP", "USED", "ROOM", "FULL"], &rows));
        if !status.drops.is_empty() {
            let rows = status.drops.iter().map(|drop| [drop.reason.clone(), drop.packets.to_string()]);
            parts.push(print::table(["DROPPED", "PACKETS"], &rows.collect::<Vec<_>>()));
        }
    }
    parts.push(if status.problems.is_empty() {
        "problems: none\n".to_owned()
    } else {
        let lines = status.problems.iter().map(|problem| format!("- {}\n", words(problem)));
        std::iter::once("problems:\n".to_owned()).chain(lines).collect()
    });
    parts.join("\n")
}

fn room(usage: &Usage) -> [String; 4] {
    let share = usage.used.map(|used| {
        let percent = used * 100 / u64::from(usage.entries.max(1));
        if percent == 0 && used > 0 { "<1%".to_owned() } else { format!("{percent}%") }
    });
    let used = usage.used.map(|used| used.to_string());
    [usage.map.to_owned(), used.unwrap_or_default(), usage.entries.to_string(), share.unwrap_or_default()]
}

fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let maps = match (status.maps, status.layout) {
        (Maps::None, _) => "none: no policy is enforced from here".to_owned(),
        (Maps::Current, _) => format!("layout {}", status.expected_layout),
        (Maps::Other, layout) => format!(
            "{}, of another version; this program reads layout {}",
            layout.map_or("no known layout".to_owned(), |layout| format!("layout {layout}")),
            status.expected_layout
        ),
    };
    let mut facts = vec![("pins", status.pin_dir.display().to_string()), ("maps", maps)];
    if status.staged {
        facts.push(("waiting", "a set of new maps, until it is filled".to_owned()));
    }
    let programs: Vec<_> = status.programs.iter().map(|(name, id)| format!("{name} (id {id})")).collect();
    facts.push(("programs", if programs.is_empty() { "none".to_owned() } else { programs.join(", ") }));
    if let Some(settings) = &status.settings {
        facts.extend(setting(settings));
    }
    let known: Vec<u32> = status.endpoints.iter().map(|endpoint| endpoint.link).collect();
    let others: Vec<_> = status
        .attached
        .iter()
        .filter(|attached| !known.contains(&attached.link))
        .map(|it| format!("{} at {} by {}", it.program, called(it.link, it.interface.as_deref()), it.by))
        .collect();
    if !others.is_empty() {
        facts.push(("other links", others.join(", ")));
    }
    if let Some(flows) = &status.flows {
        facts.push(("flows", totals(flows)));
    }
    facts
}

fn setting(settings: &Settings) -> Vec<(&'static str, String)> {
    let or_none = |texts: Vec<String>| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let pick = |flag: bool, yes: &str, no: &str| if flag { yes.to_owned() } else { no.to_owned() };
    let sample = match settings.sample {
        0 => "allowed flows are not".to_owned(),
        every => format!("one of {every} allowed flows"),
    };
    let mut facts = vec![
        ("tracking", pick(settings.tracking, "on: flows are known", "off: the cluster has no policy")),
        (
            "established",
            pick(
                settings.keep_established,
                "flows that were allowed stay so when policies change",
                "flows are judged again when policies change",
            ),
        ),
        (
            "own node",
            pick(settings.node_closed, "what a pod sends to its node is judged", "open to its pods"),
        ),
        ("metadata", pick(settings.metadata_closed, "closed to pods", "open to pods")),
        ("told", format!("{} denied packets per second and processor, {sample}", settings.event_rate)),
        ("node addresses", or_none(settings.node_addresses.iter().map(ToString::to_string).collect())),
        ("services", or_none(settings.services.iter().map(ToString::to_string).collect())),
    ];
    if settings.pending_mark != 0 {
        facts.push(("mark", format!("{:#x} of packets to services, until judged", settings.pending_mark)));
    }
    if settings.other_flags != 0 {
        facts.push(("other flags", format!("{:#x}", settings.other_flags)));
    }
    facts
}

fn totals(flows: &Totals) -> String {
    let parts = [
        (flows.opening, "opening"),
        (flows.established, "established"),
        (flows.closing, "closing"),
        (flows.closed, "closed"),
        (flows.over, "over"),
        (flows.exempt, "exempt"),
        (flows.pending, "to services"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "0".to_owned() } else { format!("{} ({})", flows.total, parts.join(", ")) }
}

/// How each link's programs are attached.
fn programs(status: &Status) -> BTreeMap<u32, Vec<String>> {
    let mut programs: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for attached in &status.attached {
        let text = format!("{} {}", attached.program, attached.by);
        programs.entry(attached.link).or_default().push(text);
    }
    programs
}

fn row(endpoint: &EndpointStatus, programs: &BTreeMap<u32, Vec<String>>) -> [String; 8] {
    let flags = [
        (endpoint.locked, "locked"),
        (endpoint.degraded, "degraded"),
        (endpoint.router, "router"),
        (endpoint.metadata, "metadata"),
    ];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
    let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
    [
        endpoint.link.to_string(),
        endpoint.interface.clone().unwrap_or_default(),
        addresses.join(","),
        side(endpoint.ingress),
        side(endpoint.egress),
        flags.join(","),
        endpoint.epoch.to_string(),
        programs.get(&endpoint.link).map(|programs| programs.join(",")).unwrap_or_default(),
    ]
}

/// In a word, with the rule set's number.
pub(super) fn side(side: Side) -> String {
    let word = match (side.rule_set, side.closed, side.isolated) {
        (0, ..) => "open".to_owned(),
        (id, true, _) => format!("closed:{id}"),
        (id, _, true) => format!("isolated:{id}"),
        (id, ..) => format!("rules:{id}"),
    };
    if side.next_rule_set == 0 { word } else { format!("{word}+{}", side.next_rule_set) }
}

fn words(problem: &Problem) -> String {
    let at = |link: &u32, interface: &Option<String>| match interface {
        Some(name) => format!("{name} (link {link})"),
        None => format!("link {link}"),
    };
    match problem {
        Problem::NoProgram { link, interface, program } => {
            format!(
                "{} has an endpoint, but no program {program}: nothing is judged there",
                at(link, interface)
            )
        }
        Problem::NoLink { link } => {
            format!("link {link} has an endpoint, but is not here: its pod is being made, or is gone")
        }
        Problem::NoEndpoint { link, interface } => {
            format!("{} has programs, but no endpoint: everything on it is dropped", at(link, interface))
        }
        Problem::OtherProgram { link, interface, program } => {
            format!("{} has another {program} than the one that is pinned", at(link, interface))
        }
        Problem::Twice { link, interface, program } => {
            format!("{} has {program} twice, by tcx and by clsact", at(link, interface))
        }
        Problem::DeadPin { link, program } => format!("{program} is pinned at link {link}, which is gone"),
        Problem::Address { link, interface, address, told } => {
            let told = told.map_or("nobody's".to_owned(), |link| format!("that of link {link}"));
            format!("{} has the address {address}, which is told to be {told}", at(link, interface))
        }
    }
}
