//! DEL: links and rules go, the address goes back. It succeeds whatever is gone already, and whoever does not
//! answer; but never with nothing done and nothing recorded.
//!
//! A late DEL of an old sandbox must leave a newer one of the same pod alone: both have the same host link
//! name, so only what was provably made for this sandbox is taken down.

use std::path::Path;

use terway_dataplane::{
    diff::diff,
    linux::direct::{self, remover::Remover},
    name,
    op::{Change, NetOp},
    pod::PodNet,
    state::{NetState, Place, Side},
};
use terway_rpc::{
    interface::interfaces,
    wire::{self, GetInfoReply, ReleaseIpReply},
};

use super::{Call, INFO_DEADLINE, RELEASE_DEADLINE, add::is_ours};
use crate::{
    agent::{Agent, AgentError},
    config::Datapath,
    error::{Code, Failure},
    lock::{Lock, LockError},
    result::CniResult,
};

/// What the agent's log says of an orderly release; the original's words.
const REASON: &str = "normal release";

/// Detaches.
pub fn del(call: &Call<'_>) -> Result<(), Failure> {
    let agent = Agent::new(&call.config.socket)?;
    // Behind an ADD of this sandbox that is still under way: see `lock`.
    let alone = call.env.has_netns().then(|| Lock::take(&call.env.netns, &agent));
    let _alone = match alone {
        Some(Err(busy @ LockError::Busy)) => return Err(busy.into()),
        // A namespace that vanishes at this moment has nothing to be locked.
        other => other,
    };
    let mut removal = Removal(Remover::start().ok());
    let remembered = call.config.prev_result().ok().flatten().map(|result| call.pod_net_of(&result));
    if remembered.as_ref().is_some_and(|pod| removal.at_once(call, pod)) {
        return release(call, &agent, false);
    }
    let record = record(call, &agent);
    let silent = record.as_ref().is_err_and(AgentError::is_silence);
    // With the agent's word the addresses are this sandbox's. Without it they are only what the runtime
    // remembers, and may be another pod's by now.
    let known = record.unwrap_or_default();
    if known.is_empty() {
        let remembered = remembered.unwrap_or_else(|| call.pod_net_of(&CniResult::default()));
        removal.of(call, &remembered, false);
    }
    for pod in known.iter().filter(|pod| pod.ifname == call.env.ifname) {
        removal.of(call, pod, true);
    }
    release(call, &agent, silent)
}

/// What the agent has on record for this sandbox.
fn record(call: &Call<'_>, agent: &Agent) -> Result<Vec<PodNet>, AgentError> {
    let reply: GetInfoReply = agent.call_in_turn(wire::GET_IP_INFO, &call.info_request(), INFO_DEADLINE)?;
    // A record that we cannot read is one that we cannot take down by; the address still goes back.
    let interfaces = interfaces(reply.ip_type, &reply.net_confs).unwrap_or_default();
    Ok(interfaces.iter().map(|it| call.pod_net(it, &Datapath::default())).collect())
}

/// Taking down, with a helper for the pair.
struct Removal(Option<Remover>);

impl Removal {
    /// Takes down what stands there whole: the host end was made for this very sandbox, and the addresses that the
    /// runtime remembers still lead to it, so they are nobody else's. The agent need not be asked whose they are.
    /// False where that is not so, or something stayed.
    fn at_once(&mut self, call: &Call<'_>, pod: &PodNet) -> bool {
        let Ok(Some(state)) = direct::seen_whole(pod) else { return false };
        self.clear(call, &state)
    }

    /// Takes down what is there, as far as it can be. What stays is the agent's reconciler's to find: the address
    /// goes back in any case, and rests until it is seen to be unused.
    fn of(&mut self, call: &Call<'_>, pod: &PodNet, trusted: bool) {
        let netns = call.env.has_netns().then_some(&*call.env.netns);
        let Ok(state) = observe(netns, pod) else { return };
        self.clear(call, &only_ours(state, pod, trusted));
    }

    fn clear(&mut self, call: &Call<'_>, state: &NetState) -> bool {
        let netns = call.env.has_netns().then_some(&*call.env.netns);
        let on_host = |op: &NetOp| op.place == Place::Host && matches!(op.change, Change::DelLink { .. });
        let (pairs, rest): (Vec<NetOp>, Vec<NetOp>) =
            diff(state, &NetState::default()).into_iter().partition(on_host);
        let all = |ops: &[NetOp]| direct::apply_all(netns, ops).is_ok_and(|refused| refused.is_empty());
        let mut clear = rest.is_empty() || all(&rest);
        for pair in &pairs {
            let Change::DelLink { name, .. } = &pair.change else { continue };
            let helped = self.0.take().is_some_and(|helper| helper.remove(name).is_ok());
            clear &= helped || all(std::slice::from_ref(pair));
        }
        clear
    }
}

fn observe(netns: Option<&Path>, pod: &PodNet) -> Result<NetState, direct::ObserveError> {
    let facts = direct::host_facts()?;
    direct::observe(netns, pod, &facts)
}

/// What of a state was made for this sandbox. Rules and routes name only an address, so they are ours where
/// the address is (`trusted`), or where the link that they belong to is.
fn only_ours(mut state: NetState, pod: &PodNet, trusted: bool) -> NetState {
    let link_is_ours = is_ours(&state, pod);
    let host_name = name::host_veth_name(&pod.pod, &pod.ifname);
    if !link_is_ours {
        state.host.remove_link(&host_name);
        // Settings of the link stay with whoever has it.
        state.host.sysctls.clear();
        if !trusted {
            state.host = Side::default();
        }
    }
    let made = name::pod_mac(&pod.container, &pod.ifname);
    let inside_is_ours =
        state.pod.links.get(&pod.ifname).is_some_and(|link| link.mac == made) || link_is_ours;
    if !inside_is_ours {
        state.pod = Side::default();
    }
    state
}

fn release(call: &Call<'_>, agent: &Agent, silent: bool) -> Result<(), Failure> {
    let spool = |why: &AgentError| {
        call.spool(REASON.into()).map_err(|error| {
            Failure::new(
                Code::TryAgainLater,
                format!("cannot release the address of {}: {why}", call.env.container),
            )
            .with(error.to_string())
        })
    };
    // Whoever did not answer a question is not waited for again: the runtime has a deadline too.
    if silent {
        let path = wire::GET_IP_INFO;
        return spool(&AgentError::Deadline { path, deadline: INFO_DEADLINE });
    }
    let request = call.release_request(REASON.into());
    match agent.call_in_turn::<_, ReleaseIpReply>(wire::RELEASE_IP, &request, RELEASE_DEADLINE) {
        Ok(_) => Ok(()),
        Err(error) if error.is_silence() => spool(&error),
        Err(error) => {
            Err(Failure::from(error).during(&format!("cannot release the address of {}", call.env.container)))
        }
    }
}
