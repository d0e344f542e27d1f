//! `[policy]`: network policies, and who enforces them.

use terway_chaos::InputError;

use super::section::Section;

/// Network policies of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicySpec {
    /// Nodes whose agents enforce them, evenly spread over all; none given: all.
    pub nodes: Option<u32>,
    /// Policies.
    pub policies: u32,
    /// Namespaces that pods and policies live in.
    pub namespaces: u32,
    /// Values of the label `app` that pods have.
    pub apps: u32,
    /// Policies that are edited, per second.
    pub edits: f64,
    /// Pods that get other labels, per second.
    pub relabels: f64,
    /// Flows that are asked of each pod, each time that it is looked at.
    pub flows: u32,
}

/// None: no policies, and nobody who enforces any.
pub(super) fn read(from: Option<&Section<'_>>) -> Result<Option<PolicySpec>, InputError> {
    let Some(from) = from else { return Ok(None) };
    from.only(&["nodes", "policies", "namespaces", "apps", "edits", "relabels", "flows"])?;
    Ok(Some(PolicySpec {
        nodes: from.count_u32("nodes", 1..=100_000)?,
        policies: from.count_u32("policies", 0..=100_000)?.unwrap_or(20),
        namespaces: from.count_u32("namespaces", 1..=1_000)?.unwrap_or(4),
        apps: from.count_u32("apps", 1..=100_000)?.unwrap_or(10),
        edits: from.number("edits", 1_000.0)?.unwrap_or(0.0),
        relabels: from.number("relabels", 10_000.0)?.unwrap_or(0.0),
        flows: from.count_u32("flows", 0..=1_000)?.unwrap_or(10),
    }))
}
