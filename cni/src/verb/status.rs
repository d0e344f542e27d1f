//! STATUS: can an ADD be served? The agent answers from its memory; no answer in time is an answer too.

use std::time::Duration;

use terway_rpc::wire::node::{self, StatusReply, StatusRequest};

use super::Call;
use crate::{
    agent::{Agent, AgentError},
    error::{Code, Failure},
};

/// Runtimes ask every five seconds and wait: with start and end of the process it stays below one second.
const DEADLINE: Duration = Duration::from_millis(900);

/// Asks.
pub fn status(call: &Call<'_>) -> Result<(), Failure> {
    call.config.datapath()?;
    let request = StatusRequest { network: call.config.name.clone() };
    let outcome: Result<StatusReply, AgentError> =
        Agent::new(&call.config.socket)?.call(node::STATUS, &request, DEADLINE);
    let reply = match outcome {
        Ok(reply) => reply,
        // An agent that is older than this call serves ADD; that it answers at all is all it can tell.
        Err(error) if error.is_unknown() => return Ok(()),
        Err(error) => return Err(Failure { code: Code::NotAvailable, ..error.into() }),
    };
    let code = match reply.code {
        0 => return Ok(()),
        51 => Code::Impaired,
        _ => Code::NotAvailable,
    };
    Err(Failure::new(code, reply.message).with(reply.details))
}
