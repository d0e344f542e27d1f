//! GC: the agent frees what belongs to this network and is not listed. It goes on past errors, and so do we:
//! they are told together, after all is done that can be.

use std::time::Duration;

use terway_rpc::wire::node::{self, CollectReply, CollectRequest};

use super::Call;
use crate::{
    agent::Agent,
    error::{Code, Failure},
};

/// Given to a collection: it commits to the disk once for each allocation that goes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Collects.
pub fn gc(call: &Call<'_>) -> Result<(), Failure> {
    let valid = call.config.valid_attachments()?;
    let attempt = format!("cannot collect what is left of network {}", call.config.name);
    let request = CollectRequest {
        network: call.config.name.clone(),
        valid,
        started_at_boot_ms: call.started_at_boot_ms,
    };
    let reply: CollectReply = Agent::new(&call.config.socket)?
        .call(node::COLLECT, &request, DEADLINE)
        .map_err(|error| Failure::from(error).during(&attempt))?;
    if reply.errors.is_empty() {
        return Ok(());
    }
    let msg = format!("{attempt}: {} freed, {} could not be", reply.freed, reply.errors.len());
    Err(Failure::new(Code::TryAgainLater, msg).with(reply.errors.join("; ")))
}
