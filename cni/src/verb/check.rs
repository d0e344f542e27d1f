//! CHECK: the kernel against what the agent's record says that it should be, each difference named.
//!
//! A CHECK that fails lets the runtime take the pod for broken, so what chained plugins may have added or
//! changed is tolerated.

use terway_core::rpc::NetConf;
use terway_dataplane::{desired::desired, difference::differences, linux::direct};
use terway_rpc::{
    interface::interfaces,
    wire::{self, GetInfoReply},
};

use super::{Call, INFO_DEADLINE};
use crate::{
    agent::Agent,
    config::ConfigError,
    error::{Code, Failure},
    result::CniResult,
};

/// Compares.
pub fn check(call: &Call<'_>) -> Result<(), Failure> {
    let datapath = call.config.datapath()?;
    let missing =
        || ConfigError::Missing { key: "prevResult", why: "CHECK compares with the result of the ADD" };
    let before = call.config.prev_result()?.ok_or_else(missing)?;
    call.env.require_netns()?;
    let attempt = format!("cannot check pod {}", call.pod());
    let agent = Agent::new(&call.config.socket)?;
    let reply: GetInfoReply = agent
        .call_in_turn(wire::GET_IP_INFO, &call.info_request(), INFO_DEADLINE)
        .map_err(|error| Failure::from(error).during(&attempt))?;
    let recorded = interfaces(reply.ip_type, &reply.net_confs)?;
    let Some(interface) = recorded.iter().find(|it| it.ifname == call.env.ifname) else {
        let found = format!(
            "the agent has no record of interface `{}` of sandbox {}",
            call.env.ifname, call.env.container
        );
        return Err(differs(call, &[found]));
    };
    let mut found = result_differences(call, &before, interface);
    let pod = call.pod_net(interface, &datapath);
    let cannot =
        |error: &dyn std::fmt::Display| Failure::new(Code::TryAgainLater, format!("{attempt}: {error}"));
    let facts = direct::host_facts().map_err(|error| cannot(&error))?;
    match desired(&pod, &facts) {
        Err(error) => found.push(error.to_string()),
        Ok(wanted) => {
            let actual =
                direct::observe(Some(&call.env.netns), &pod, &facts).map_err(|error| cannot(&error))?;
            found.extend(differences(&actual, &wanted).iter().map(ToString::to_string));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(differs(call, &found)) }
}

fn differs(call: &Call<'_>, found: &[String]) -> Failure {
    let msg = format!("the network of pod {} is not as it was made", call.pod());
    Failure::new(Code::Differs, msg).with(found.join("; "))
}

/// The runtime's memory against the agent's.
fn result_differences(call: &Call<'_>, before: &CniResult, interface: &NetConf) -> Vec<String> {
    let mut found = Vec::new();
    if !before.interfaces.iter().any(|it| it.name == call.env.ifname && !it.sandbox.is_empty()) {
        found.push(format!("`prevResult` does not hold interface `{}`", call.env.ifname));
    }
    for address in interface.ips.iter() {
        if !before.ips.iter().any(|ip| ip.address.addr() == address) {
            found
                .push(format!("`prevResult` does not hold address {address}, which the agent has on record"));
        }
    }
    found
}
