//! The kernel's maps as the port that the agent's engine publishes through.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytemuck::Zeroable as _;
use rustix::thread::{MembarrierCommand, membarrier};
use terway_core::spawn::Spawner;
use terway_policy::{
    compile::Limits,
    layout::{RULES_READY, RuleSet},
    op::Op,
    port::{Keep, Left, MapsError, PolicyMaps},
};

use crate::{
    error::Error,
    programs::{Programs, Tables},
    table::{Layout, ServiceKey, Table},
};

/// Maps of this node.
pub struct KernelMaps {
    /// To be published when everything that is wanted is in the maps; none where that is another's business.
    programs: Option<Mutex<Programs>>,
    tables: Tables,
    spawner: Arc<dyn Spawner>,
}

impl KernelMaps {
    /// Takes the maps of a set that is published by somebody else.
    pub fn new(tables: Tables, spawner: Arc<dyn Spawner>) -> Self {
        Self { tables, programs: None, spawner }
    }

    /// Takes a loaded set, and publishes it in time.
    pub fn of(programs: Programs, spawner: Arc<dyn Spawner>) -> Result<Self, Error> {
        Ok(Self { tables: programs.tables()?, programs: Some(Mutex::new(programs)), spawner })
    }

    /// The maps.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Packets that were dropped so far, for any reason.
    pub fn denied(&self) -> Result<u64, Error> {
        let drops = &self.tables.drops;
        let mut packets = 0;
        for reason in 0..drops.entries() {
            packets += drops.get_all(&reason)?.unwrap_or_default().iter().sum::<u64>();
        }
        Ok(packets)
    }

    fn apply(&self, op: &Op) -> Result<(), Error> {
        let tables = &self.tables;
        match op {
            Op::Control(value) => tables.control.put(&0, value),
            Op::Endpoint(link, value) => tables.set_endpoint(*link, value.as_ref()),
            Op::EndpointIp(key, value) => set(&tables.endpoint_addresses, key, value.as_ref()),
            Op::Host(addr, value) => tables.set_host(addr, *value),
            Op::Service(key, value) => {
                let key = ServiceKey { bits: key.bits - 32, addr: key.key.addr };
                set(&tables.services, &key, value.as_ref())
            }
            Op::Peer(key, value) => set(&tables.peers, key, value.as_ref()),
            Op::Cidr(key, value) => set(&tables.cidrs, key, value.as_ref()),
            // An array has no removal: what is not ready is closed.
            Op::Rules(key, value) => tables.rules.put(key, &value.unwrap_or(RuleSet::zeroed())),
            Op::Page(key, Some(value)) => tables.pages.put(key, value),
            // Nothing points at it any more.
            Op::Page(_, None) => Ok(()),
            Op::Class(key, value) => set(&tables.classes, key, value.as_ref()),
            Op::Cross(key, value) => set(&tables.crossings, key, value.as_ref()),
        }
    }

    fn prune(&self, keep: &Keep) -> Result<(), Error> {
        let Keep { view, ref links, ref hosts, ref services } = *keep;
        let tables = &self.tables;
        retain(&tables.host, |addr| hosts.contains(addr))?;
        retain(&tables.services, |range| services.contains(&(range.bits, range.addr)))?;
        let mut used = BTreeSet::new();
        for link in tables.endpoints.keys()? {
            match tables.endpoints.get(&link)? {
                Some(endpoint) if links.contains(&link) && endpoint.view == view => {
                    used.extend(endpoint.rules);
                }
                Some(_) => tables.set_endpoint(link, None)?,
                None => {}
            }
        }
        retain(&tables.peers, |key| key.view == view)?;
        retain(&tables.cidrs, |key| key.key.view == view)?;
        retain(&tables.classes, |key| used.contains(&key.rules))?;
        retain(&tables.crossings, |key| used.contains(&key.rules))?;
        for id in 0..tables.rules.entries() {
            let ready = tables.rules.get(&id)?.is_some_and(|rules| rules.flags & RULES_READY != 0);
            if ready && !used.contains(&id) {
                tables.rules.put(&id, &RuleSet::zeroed())?;
            }
        }
        for addr in tables.endpoint_addresses.keys()? {
            let link = tables.endpoint_addresses.get(&addr)?;
            if link.is_some_and(|link| !links.contains(&link)) {
                tables.endpoint_addresses.delete(&addr)?;
            }
        }
        Ok(())
    }
}

fn set<L: Layout>(table: &Table<L>, key: &L::Key, value: Option<&L::Value>) -> Result<(), Error> {
    match value {
        Some(value) => table.put(key, value),
        None => table.delete(key).map(drop),
    }
}

fn retain<L: Layout>(table: &Table<L>, keep: impl Fn(&L::Key) -> bool) -> Result<(), Error> {
    for key in table.keys()? {
        if !keep(&key) {
            table.delete(&key)?;
        }
    }
    Ok(())
}

fn refused(error: Error) -> MapsError {
    match error {
        Error::Full { map, .. } => MapsError::Full { map },
        Error::Map { map, .. } | Error::Shape { map, .. } => {
            MapsError::Refused { map, reason: chain(&error) }
        }
        error => MapsError::Refused { map: "the maps", reason: chain(&error) },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[async_trait]
impl PolicyMaps for KernelMaps {
    fn limits(&self) -> Limits {
        let tables = &self.tables;
        // Half of what moves from one view to the next, so that both fit at once.
        let half = |entries: u32| (entries / 2) as usize;
        Limits {
            peers: half(tables.peers.entries()),
            cidrs: half(tables.cidrs.entries()),
            rules: tables.rules.entries(),
            pages: tables.pages.entries(),
            classes: half(tables.classes.entries()),
            crosses: half(tables.crossings.entries()),
        }
    }

    fn left(&self) -> Result<Left, MapsError> {
        let mut left = Left::default();
        for link in self.tables.endpoints.keys().map_err(refused)? {
            if let Some(endpoint) = self.tables.endpoints.get(&link).map_err(refused)? {
                left.endpoints.insert(link, endpoint);
            }
        }
        Ok(left)
    }

    fn write(&self, ops: &[Op]) -> Result<(), MapsError> {
        ops.iter().try_for_each(|op| self.apply(op)).map_err(refused)
    }

    async fn settle(&self) {
        // Waits until every processor has left what it was in, programs included: they run as readers of RCU.
        let wait = || {
            if let Err(error) = membarrier(MembarrierCommand::Global) {
                tracing::warn!(%error, "the kernel has no membarrier; tables go without a grace period");
            }
        };
        self.spawner.block("policy-settle", Box::new(wait)).await;
    }

    fn publish(&self) -> Result<(), MapsError> {
        let Some(programs) = &self.programs else { return Ok(()) };
        programs.lock().unwrap_or_else(PoisonError::into_inner).publish().map_err(refused)
    }

    fn keep_only(&self, keep: &Keep) -> Result<(), MapsError> {
        self.prune(keep).map_err(refused)
    }
}
