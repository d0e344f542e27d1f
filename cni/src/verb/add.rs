//! ADD: an address from the agent, links and routes from the kernel, a result for the runtime.
//!
//! What fails is undone at once: after a failed ADD containerd calls DEL once and ignores how that ends.
//! An interface that exists already is left as it is, and its address is not let go if it is our own from
//! an earlier ADD of this sandbox: it is in use.

use serde_json::Map;
use terway_core::id::ContainerId;
use terway_dataplane::{
    desired::{GATEWAY_V4, GATEWAY_V6, desired},
    diff::{diff, diff_new},
    linux::direct::{self, Nics},
    name,
    pod::{HostFacts, PodNet},
    state::{NetState, Place},
};
use terway_rpc::{
    interface::interfaces,
    wire::{self, AllocIpReply, AllocIpRequest, ReleaseIpReply},
};

use super::{ALLOC_DEADLINE, Call, RELEASE_DEADLINE};
use crate::{
    agent::{Agent, AgentError},
    config::Datapath,
    error::{Code, Failure},
    lock::Lock,
    result::{CniResult, Dns, Interface, Ip, Route},
};

/// Attaches.
pub fn add(call: &Call<'_>) -> Result<CniResult, Failure> {
    let datapath = call.config.datapath()?;
    call.env.require_netns()?;
    let before = call.config.prev_result()?.unwrap_or_default();
    if before.interfaces.iter().any(|it| it.name == call.env.ifname && !it.sandbox.is_empty()) {
        let msg = format!(
            "`prevResult` already holds the pod's interface `{}`; terway makes it and must come first in the list",
            call.env.ifname
        );
        return Err(Failure::new(Code::InvalidConfig, msg));
    }
    let agent = Agent::new(&call.config.socket)?;
    // From before the address until after the links: a DEL in between would let the address go under us.
    let _alone = Lock::take(&call.env.netns, &agent)?;
    let request = AllocIpRequest {
        pod_name: call.env.args.name.clone(),
        pod_namespace: call.env.args.namespace.clone(),
        container: call.env.container.clone(),
        netns: call.env.netns.display().to_string(),
        ifname: call.env.ifname.clone(),
        pod_uid: call.env.args.uid.clone(),
        network: call.config.name.clone(),
    };
    let attempt = format!("cannot get an address for pod {}", call.pod());
    // The agent has to write to its disk: time to look at what does not depend on its answer.
    let mut nics = None;
    let look = || nics = direct::nics().ok();
    let reply: AllocIpReply = match agent.call_meanwhile(wire::ALLOC_IP, &request, ALLOC_DEADLINE, look) {
        Ok(reply) => reply,
        Err(error) => {
            // An answer that was lost may have allocated.
            let lost = error.is_silence() && !matches!(error, AgentError::Unreachable { .. });
            let failure = Failure::from(error).during(&attempt);
            if lost {
                release(call, &agent, &failure);
            }
            return Err(failure);
        }
    };
    let built = interfaces(reply.ip_type, &reply.net_confs).map_err(|error| Unbuilt::Free(error.into()));
    let built = built.and_then(|interfaces| {
        if !reply.success || interfaces.is_empty() {
            let msg = "the agent answered without an address";
            return Err(Unbuilt::Free(Failure::new(Code::TryAgainLater, msg)));
        }
        let pods: Vec<PodNet> = interfaces.iter().map(|it| call.pod_net(it, &datapath)).collect();
        build(call, &pods, nics)
    });
    match built {
        Ok(made) => Ok(result(call, before, &datapath, &made)),
        Err(Unbuilt::InUse(failure)) => Err(failure),
        Err(Unbuilt::Free(failure)) => {
            release(call, &agent, &failure);
            Err(failure)
        }
    }
}

/// Why nothing was built, and what that means for the address.
enum Unbuilt {
    /// Nobody uses it.
    Free(Failure),
    /// A running interface of this very sandbox does.
    InUse(Failure),
}

/// Lets an address go that could not be put to use.
fn release(call: &Call<'_>, agent: &Agent, failure: &Failure) {
    let reason = format!("roll back ip for error: {failure}");
    let request = call.release_request(reason.clone());
    let outcome: Result<ReleaseIpReply, _> = agent.call_in_turn(wire::RELEASE_IP, &request, RELEASE_DEADLINE);
    // The ADD fails in any case. What cannot even be written down is found by DEL or by the agent itself.
    if outcome.is_err() {
        let _ = call.spool(reason);
    }
}

/// Builds all interfaces of the pod, or none.
fn build(call: &Call<'_>, pods: &[PodNet], nics: Option<Nics>) -> Result<Vec<(PodNet, NetState)>, Unbuilt> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(Code::TryAgainLater, format!("cannot build the network of pod {}: {error}", call.pod()))
    };
    // The primary interface counts where its MTU is asked for.
    let facts = if pods.iter().any(|pod| pod.mtu == 0) {
        direct::host_facts()
    } else {
        let enis: Vec<_> = pods.iter().map(|pod| pod.eni_mac).collect();
        nics.map_or_else(direct::nics, Ok).and_then(|nics| nics.facts_of(&enis))
    };
    let facts = facts.map_err(|error| Unbuilt::Free(cannot(&error)))?;
    let mut made: Vec<(PodNet, NetState)> = Vec::with_capacity(pods.len());
    for pod in pods {
        match build_one(call, pod, &facts, &cannot) {
            Ok(state) => made.push((pod.clone(), state)),
            Err(failure) => {
                for (_, state) in made.iter().rev() {
                    let ops = diff(state, &NetState::default());
                    let _ = direct::apply_all(Some(&call.env.netns), &ops);
                }
                return Err(failure);
            }
        }
    }
    Ok(made)
}

fn build_one(
    call: &Call<'_>,
    pod: &PodNet,
    facts: &HostFacts,
    cannot: &dyn Fn(&dyn std::fmt::Display) -> Failure,
) -> Result<NetState, Unbuilt> {
    let free = |error: &dyn std::fmt::Display| Unbuilt::Free(cannot(error));
    let wanted = desired(pod, facts).map_err(|error| free(&error))?;
    // Mostly nothing is in the way, and what is in the way the kernel refuses. Then all is undone, and looked at.
    let clear = direct::is_clear(pod).map_err(|error| free(&error))?;
    let blind = || direct::apply(&call.env.netns, &diff(&NetState::default(), &wanted));
    if clear && blind().is_ok() {
        return Ok(wanted);
    }
    let actual = direct::observe(Some(&call.env.netns), pod, facts).map_err(|error| free(&error))?;
    let ops = diff_new(&actual, &wanted).map_err(|exists| {
        let failure = Failure { code: Code::InvalidEnvironment, ..cannot(&exists) };
        if is_ours(&actual, pod) { Unbuilt::InUse(failure) } else { Unbuilt::Free(failure) }
    })?;
    direct::apply(&call.env.netns, &ops).map_err(|error| free(&error))?;
    Ok(wanted)
}

/// Whether the host's end of what is there was made for this sandbox and interface.
pub(super) fn is_ours(state: &NetState, pod: &PodNet) -> bool {
    let name = name::host_veth_name(&pod.pod, &pod.ifname);
    let Some(link) = state.host.links.get(&name) else { return false };
    let owner = name::owner(&name, link.alias.as_deref(), link.mac);
    owner == Some((ContainerId::from(pod.container.as_str()), pod.ifname.clone()))
}

/// What was made, after what others made before.
fn result(
    call: &Call<'_>,
    mut result: CniResult,
    datapath: &Datapath,
    made: &[(PodNet, NetState)],
) -> CniResult {
    for (pod, state) in made {
        let mut index = 0;
        for place in [Place::Host, Place::Pod] {
            let name = match place {
                Place::Host => name::host_veth_name(&pod.pod, &pod.ifname),
                Place::Pod => pod.ifname.clone(),
            };
            let Some(link) = state.side(place).links.get(&name) else { continue };
            index = result.interfaces.len() as u32;
            result.interfaces.push(Interface {
                mac: link.mac.to_string(),
                mtu: Some(link.mtu),
                sandbox: match place {
                    Place::Host => String::new(),
                    Place::Pod => call.env.netns.display().to_string(),
                },
                name,
                ..Interface::default()
            });
        }
        for address in pod.ips.iter() {
            let gateway = if address.is_ipv4() { GATEWAY_V4.into() } else { GATEWAY_V6.into() };
            result.ips.push(Ip {
                version: None,
                address: address.into(),
                gateway: Some(gateway),
                interface: Some(index),
                other: Map::new(),
            });
        }
        for route in state.pod.routes.iter().filter(|route| route.via.is_some()) {
            result.routes.push(Route {
                dst: route.dst,
                gw: route.via,
                mtu: None,
                advmss: None,
                priority: None,
                table: None,
                scope: Some(0),
                other: Map::new(),
            });
        }
    }
    // Runtimes take the first address as the pod's: IPv4 first, in a stable order.
    result.ips.sort_by_key(|ip| ip.address.addr().is_ipv6());
    if result.dns == Dns::default() {
        result.dns = datapath.dns.clone();
    }
    result
}
