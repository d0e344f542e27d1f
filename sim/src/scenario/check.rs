//! What each part allows and the whole does not: limits that no cluster could keep.

use ipnet::Ipv4Net;
use terway_chaos::{InputError, Target, near};
use terway_cloud::budget::{Budget, BudgetError};
use terway_core::{address::Stack, limits::NodeCapacity};

use super::{EventKind, NODE_NETWORK, ProfileKind, Scenario, VSwitchSpec, cloud};
use crate::{cloud::instance_types, wire::MOST_ZONES};

pub(super) fn whole(scenario: &Scenario) -> Result<(), InputError> {
    vswitches(scenario)?;
    hosts(scenario)?;
    rates(scenario)?;
    capacity(scenario)?;
    burst(scenario)?;
    targets(scenario)
}

fn value(field: String, value: impl std::fmt::Display, allowed: impl Into<String>) -> InputError {
    InputError::Value { field, value: value.to_string(), allowed: allowed.into(), near: None }
}

/// Every vSwitch of the run, with the name of its entry.
fn all_vswitches(scenario: &Scenario) -> Vec<(String, &VSwitchSpec)> {
    let listed = scenario.cluster.vswitches.iter().enumerate();
    let listed = listed.map(|(index, vswitch)| (format!("cluster.vswitches[{}]", index + 1), vswitch));
    let added = scenario.events.iter().filter_map(|event| match &event.kind {
        EventKind::AddVSwitch(vswitch) => Some(("event(add-vswitch)".to_owned(), vswitch)),
        _ => None,
    });
    listed.chain(added).collect()
}

fn vswitches(scenario: &Scenario) -> Result<(), InputError> {
    let nodes = Ipv4Net::new(NODE_NETWORK, 16).expect("16 is a length of an IPv4 prefix");
    let overlap = |a: Ipv4Net, b: Ipv4Net| a.contains(&b) || b.contains(&a);
    let all = all_vswitches(scenario);
    for (index, (entry, vswitch)) in all.iter().enumerate() {
        if overlap(vswitch.cidr, nodes) {
            return Err(value(
                format!("{entry}.cidr"),
                vswitch.cidr,
                format!("a block outside {nodes}, the nodes' own"),
            ));
        }
        for (_, other) in &all[..index] {
            if other.id == vswitch.id {
                return Err(value(format!("{entry}.id"), &vswitch.id, "an id that no other vSwitch has"));
            }
            if overlap(other.cidr, vswitch.cidr) {
                let allowed = format!("a block that does not overlap {} of {}", other.cidr, other.id);
                return Err(value(format!("{entry}.cidr"), vswitch.cidr, allowed));
            }
        }
        let zones = scenario.zones();
        if !zones.contains(&vswitch.zone) {
            return Err(InputError::Value {
                field: format!("{entry}.zone"),
                value: vswitch.zone.clone(),
                allowed: "a zone of cluster.vswitches, since no node is elsewhere".to_owned(),
                near: near::nearest(&vswitch.zone, zones.iter().map(String::as_str)).map(str::to_owned),
            });
        }
    }
    Ok(())
}

/// Rates are the client's to check; they name actions of the API.
fn rates(scenario: &Scenario) -> Result<(), InputError> {
    match Budget::new(&scenario.agent.rate_limit) {
        Ok(_) => Ok(()),
        Err(error) => {
            let (name, value) = match &error {
                BudgetError::UnknownAction { name, .. } => (name, name.clone()),
                BudgetError::Zero { name } => (name, "0".to_owned()),
            };
            Err(self::value(format!("agent.rate_limit.{name}"), value, error.to_string()))
        }
    }
}

/// A simulated network carries a zone each host, and not many.
fn hosts(scenario: &Scenario) -> Result<(), InputError> {
    let zones = scenario.zones();
    if scenario.profile == ProfileKind::Wire && zones.len() > MOST_ZONES {
        let allowed = format!("vSwitches in at most {MOST_ZONES} zones under the wire profile");
        return Err(value("cluster.vswitches".to_owned(), format!("in {} zones", zones.len()), allowed));
    }
    Ok(())
}

/// What each type of the mix may hold under the agent's configuration.
fn capacities(scenario: &Scenario) -> impl Iterator<Item = (&str, NodeCapacity)> {
    scenario.cluster.mix.iter().map(|(name, _)| {
        let row = instance_types::lookup(name).expect("the mix was checked against the table");
        (name.as_str(), scenario.agent.pool.capacity(&row.limits()))
    })
}

fn capacity(scenario: &Scenario) -> Result<(), InputError> {
    for (name, capacity) in capacities(scenario) {
        if capacity.pods() == 0 {
            let allowed = "types that have room for a pod under the limits of [agent]";
            return Err(value("cluster.mix".to_owned(), name, allowed));
        }
    }
    let dual = capacities(scenario).any(|(_, capacity)| capacity.stack == Stack::Dual);
    for (entry, vswitch) in all_vswitches(scenario) {
        if dual && !vswitch.ipv6 {
            return Err(value(format!("{entry}.ipv6"), false, "true while agent.ip_stack is dual"));
        }
    }
    Ok(())
}

fn burst(scenario: &Scenario) -> Result<(), InputError> {
    let Some(burst) = &scenario.workload.burst else { return Ok(()) };
    let most = capacities(scenario).map(|(_, capacity)| u64::from(capacity.pods())).max().unwrap_or(0);
    let nodes = scenario.most_nodes();
    let room = most * u64::from(nodes);
    if u64::from(burst.pods) > room {
        let allowed = format!("at most {room}, which is all that {nodes} nodes have addresses for");
        return Err(value("workload.burst.pods".to_owned(), burst.pods, allowed));
    }
    if burst.at >= scenario.duration {
        let at = terway_chaos::duration::print(burst.at);
        return Err(value("workload.burst.at".to_owned(), at, "a time before `duration`"));
    }
    Ok(())
}

/// Targets that name what the run does not have would be faults that strike nothing.
fn targets(scenario: &Scenario) -> Result<(), InputError> {
    let all = all_vswitches(scenario);
    let ids: Vec<&str> = all.iter().map(|(_, vswitch)| vswitch.id.as_str()).collect();
    let zones = scenario.zones();
    let check = |field: String, target: &Target| {
        let (value, allowed, near) = match target {
            Target::VSwitch(id) if !ids.contains(&id.as_str()) => {
                (id, ids.join(", "), near::nearest(id, ids.iter().copied()).map(str::to_owned))
            }
            Target::Zone(name) if !zones.contains(name) => {
                let near = near::nearest(name, zones.iter().map(String::as_str)).map(str::to_owned);
                (name, zones.join(", "), near)
            }
            Target::CloudAction(name) => match cloud::action(name) {
                Ok(_) => return Ok(()),
                Err(near) => (name, cloud::actions(), near),
            },
            _ => return Ok(()),
        };
        Err(InputError::Value { field, value: value.clone(), allowed, near })
    };
    for (name, rate) in &scenario.faults.kinds {
        check(format!("faults.{name}.target"), &rate.target)?;
    }
    for fault in scenario.schedule.faults() {
        check(format!("fault({}).target", fault.kind.name()), &fault.target)?;
    }
    Ok(())
}
