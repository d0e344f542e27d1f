//! From the text of a scenario to the scenario.

use std::time::Duration;

use terway_chaos::{InputError, Schedule, draw, swarm::FaultRates};

use super::{
    Scenario, ScenarioError, Swarm, Workload, agent, api, check, cloud, cluster, event, expect, overrides,
    policy, section::Section, trace_csv, wire, workload,
};
use crate::cloud::CloudModel;

const KEYS: &[&str] = &[
    "name", "about", "nodes", "duration", "settle", "cluster", "agent", "workload", "cloud", "api", "faults",
    "swarm", "fault", "event", "expect", "profile", "wire", "policy",
];

/// Nodes of one cluster: as many as the nodes' own network has room for, with a margin for those that come
/// and go.
const MOST_NODES: u32 = 50_000;
/// Five reconcile periods of the agent.
const SETTLE: Duration = Duration::from_mins(10);

impl Scenario {
    /// Reads a scenario, with overrides `path=value` applied to its text first.
    ///
    /// A recorded workload is read from its files here, so that a run has no bad input left to meet.
    pub fn from_toml(text: &str, set: &[String]) -> Result<Self, ScenarioError> {
        let mut table = parse(text)?;
        for change in set {
            overrides::apply(&mut table, change)?;
        }
        let root = Section::new("", &table);
        root.only(KEYS)?;
        let (mut workload, trace) = workload::read(root.section("workload")?.as_ref())?;
        let size = Size::read(&root, set)?;
        let mut nodes = size.nodes;
        let mut duration = root.span("duration")?;
        if let Some(source) = trace {
            let trace = trace_csv::load(&source, workload.lifetime_min, nodes)?;
            nodes = Some(trace.nodes);
            duration = duration.or(Some(trace.end));
            workload.trace = Some(trace.workload);
        }
        let duration =
            duration.ok_or_else(|| root.missing("duration", "a duration above zero, such as 1h"))?;
        let (eni_conf, agent) = agent::read(root.section("agent")?.as_ref())?;
        let faults = root.section("faults")?;
        let scenario = Self {
            name: name(&root)?,
            about: root.text("about")?.unwrap_or("a scenario of one's own").to_owned(),
            nodes: nodes
                .ok_or_else(|| root.missing("nodes", format!("a whole number from 1 to {MOST_NODES}")))?,
            duration,
            settle: root.span("settle")?.unwrap_or(SETTLE),
            profile: wire::profile(&root)?,
            wire: wire::read(root.section("wire")?.as_ref())?,
            cluster: cluster::read(root.section("cluster")?.as_ref(), &root)?,
            eni_conf,
            agent,
            workload,
            policy: policy::read(root.section("policy")?.as_ref())?,
            cloud: cloud::read(root.section("cloud")?.as_ref(), CloudModel::default())?,
            api: api::read(root.section("api")?.as_ref())?,
            faults: faults
                .map(|f| FaultRates::from_table("faults", f.table()))
                .transpose()?
                .unwrap_or_default(),
            swarm: size.swarm,
            schedule: Schedule::from_table(&table)?,
            events: event::read(&root, duration)?,
            expect: expect::read(root.section("expect")?.as_ref())?,
            config_hash: draw::hash(0, "config", &table.to_string()),
        };
        check::whole(&scenario)?;
        Ok(scenario)
    }

    /// All zones, by name. Events add vSwitches to these alone.
    pub fn zones(&self) -> Vec<String> {
        let mut zones: Vec<String> = self.cluster.vswitches.iter().map(|v| v.zone.clone()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    /// The most nodes that a run of this scenario starts with.
    pub(super) fn most_nodes(&self) -> u32 {
        self.swarm.map_or(self.nodes, |swarm| swarm.max_nodes)
    }
}

/// The text as a table; the complaint is one line, with the place.
fn parse(text: &str) -> Result<toml::Table, InputError> {
    text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        InputError::Syntax(format!("{place}{}", error.message().replace('\n', "; ")))
    })
}

fn name(root: &Section<'_>) -> Result<String, InputError> {
    const ALLOWED: &str = "lower-case words joined by hyphens, such as my-cluster";
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let read = |value: &toml::Value| {
        value.as_str().filter(|name| !name.is_empty() && name.chars().all(word)).map(str::to_owned)
    };
    root.read("name", ALLOWED, read)?.ok_or_else(|| root.missing("name", ALLOWED))
}

/// How many nodes: a number, or bounds between which the seed draws.
struct Size {
    nodes: Option<u32>,
    swarm: Option<Swarm>,
}

impl Size {
    fn read(root: &Section<'_>, set: &[String]) -> Result<Self, InputError> {
        let nodes = root.count_u32("nodes", 1..=MOST_NODES)?;
        let Some(from) = root.section("swarm")? else { return Ok(Self { nodes, swarm: None }) };
        from.only(&["min_nodes", "max_nodes"])?;
        let bound = |key: &str| {
            from.count_u32(key, 1..=MOST_NODES)?
                .ok_or_else(|| from.missing(key, format!("a whole number from 1 to {MOST_NODES}")))
        };
        let mut swarm = Swarm { min_nodes: bound("min_nodes")?, max_nodes: bound("max_nodes")? };
        if swarm.min_nodes > swarm.max_nodes {
            return Err(from.wrong("min_nodes", "at most `swarm.max_nodes`"));
        }
        // Whoever asks for a number of nodes gets it: a replay must not draw again.
        let asked =
            set.iter().any(|change| change.split('=').next().is_some_and(|path| path.trim() == "nodes"));
        if let (true, Some(nodes)) = (asked, nodes) {
            swarm = Swarm { min_nodes: nodes, max_nodes: nodes };
        }
        Ok(Self { nodes: Some(nodes.unwrap_or(swarm.max_nodes)), swarm: Some(swarm) })
    }
}

impl Workload {
    /// Rows of a recorded workload that were left out; none where pods are drawn.
    pub fn skipped(&self) -> &[super::SkippedRow] {
        self.trace.as_ref().map_or(&[], |trace| &trace.skipped)
    }
}
