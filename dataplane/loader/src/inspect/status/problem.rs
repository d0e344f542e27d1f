//! What does not fit together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use terway_guard::Hook;
use terway_policy::layout::addr_of;

use super::{EndpointStatus, Pinned};
use crate::{error::Error, inspect::links::Links};

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "link, its name, program: the same in all")]
pub enum Problem {
    /// A pod's link lacks a program: in this direction it is not governed.
    NoProgram { link: u32, interface: Option<String>, program: &'static str },
    /// The link of an endpoint is not there: its pod is being made or is gone.
    NoLink { link: u32 },
    /// A link with a pod's programs is no endpoint: everything on it is dropped.
    NoEndpoint { link: u32, interface: Option<String> },
    /// What is attached is not what is pinned: it reads the maps of before.
    OtherProgram { link: u32, interface: Option<String>, program: &'static str },
    /// A program is there twice, by tcx and by clsact.
    Twice { link: u32, interface: Option<String>, program: &'static str },
    /// A pin is left of a link that is gone.
    DeadPin { link: u32, program: &'static str },
    /// An address of an endpoint is told to be another's, or nobody's.
    Address { link: u32, interface: Option<String>, address: std::net::IpAddr, told: Option<u32> },
}

/// Compares endpoints with links and programs.
pub(super) fn find(
    pinned: &Pinned,
    endpoints: &[EndpointStatus],
    links: &Links,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    let mut at: BTreeMap<(u32, Hook), Vec<u32>> = BTreeMap::new();
    for (hook, attached) in &links.attached {
        at.entry((attached.link, *hook)).or_default().push(attached.program_id);
        let (interface, program) = (attached.interface.clone(), attached.program);
        if links.programs.get(hook) != Some(&attached.program_id) {
            problems.push(Problem::OtherProgram { link: attached.link, interface, program });
        }
    }
    let names: BTreeMap<u32, Option<String>> =
        links.attached.iter().map(|(_, attached)| (attached.link, attached.interface.clone())).collect();
    for ((link, hook), programs) in &at {
        if programs.len() > 1 {
            let interface = names.get(link).cloned().flatten();
            problems.push(Problem::Twice { link: *link, interface, program: hook.program() });
        }
    }
    let dead =
        links.dead.iter().map(|(hook, link)| Problem::DeadPin { link: *link, program: hook.program() });
    problems.extend(dead);
    let Pinned::Node(node) = pinned else { return Ok(problems) };
    for endpoint in endpoints {
        let (link, interface) = (endpoint.link, &endpoint.interface);
        for address in &endpoint.addresses {
            let told = node.tables.endpoint_addresses.get(&addr_of(*address))?;
            if told != Some(link) {
                let (interface, address) = (interface.clone(), *address);
                problems.push(Problem::Address { link, interface, address, told });
            }
        }
        if !links.there.contains(&link) {
            problems.push(Problem::NoLink { link });
            continue;
        }
        let missing = Hook::POD.into_iter().filter(|hook| !at.contains_key(&(link, *hook)));
        problems.extend(missing.map(|hook| Problem::NoProgram {
            link,
            interface: interface.clone(),
            program: hook.program(),
        }));
    }
    let known: BTreeSet<u32> = endpoints.iter().map(|endpoint| endpoint.link).collect();
    let governed: BTreeSet<u32> =
        at.keys().filter(|(_, hook)| Hook::POD.contains(hook)).map(|(link, _)| *link).collect();
    let strange = governed.difference(&known);
    problems.extend(
        strange
            .map(|link| Problem::NoEndpoint { link: *link, interface: names.get(link).cloned().flatten() }),
    );
    Ok(problems)
}
