//! The maps of a simulated node: the kernel's layouts in memory, read by the verdict that the programs are made of. They
//! outlive the agent, as pins do.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use terway_policy::{
    compile::Limits,
    memory::Memory,
    op::Op,
    port::{Keep, Left, MapsError, PolicyMaps},
};

/// How long packets under way take to leave the programs: a grace period of the kernel's.
const GRACE: Duration = Duration::from_millis(20);

/// Maps of one node. Clones are the same maps.
#[derive(Clone, Debug, Default)]
pub struct SimMaps {
    memory: Arc<Mutex<Memory>>,
    limits: Limits,
}

impl SimMaps {
    /// Maps with so much room.
    pub fn new(limits: Limits) -> Self {
        Self { memory: Arc::default(), limits }
    }

    /// The machine boots: nothing is pinned any more.
    pub fn clear(&self) {
        *self.memory() = Memory::default();
    }

    /// What stands in them.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PolicyMaps for SimMaps {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn left(&self) -> Result<Left, MapsError> {
        Ok(Left { endpoints: self.memory().endpoints.clone() })
    }

    fn write(&self, ops: &[Op]) -> Result<(), MapsError> {
        let mut memory = self.memory();
        for op in ops {
            // The kernel refuses what does not fit; the compiler should have said so before.
            if memory.peers.len() >= self.limits.peers
                && matches!(op, Op::Peer(key, Some(_)) if !memory.peers.contains_key(key))
            {
                return Err(MapsError::Full { map: "terway_peer" });
            }
            memory.apply(op);
        }
        Ok(())
    }

    async fn settle(&self) {
        tokio::time::sleep(GRACE).await;
    }

    fn keep_only(&self, keep: &Keep) -> Result<(), MapsError> {
        self.memory().keep_only(keep);
        Ok(())
    }
}
