//! The port to the maps: the kernel's on a node, tables in memory under the simulator.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::{
    compile::Limits,
    layout::{Addr, Endpoint},
    op::Op,
};

/// The maps did not take a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapsError {
    /// No room.
    #[error("{map} is full")]
    Full {
        /// Which map.
        map: &'static str,
    },
    /// The kernel refused.
    #[error("failed to write {map}: {reason}")]
    Refused {
        /// Which map.
        map: &'static str,
        /// What it said.
        reason: String,
    },
}

/// What a predecessor left, and still enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Endpoints by link.
    pub endpoints: BTreeMap<u32, Endpoint>,
}

impl Left {
    /// A view that nothing speaks of, and whose half of the numbers is free.
    pub fn next_view(&self) -> u32 {
        self.endpoints.values().map(|endpoint| endpoint.view).max().map_or(0, |view| view.wrapping_add(1))
    }

    /// An epoch beyond all that flows may have.
    pub fn epoch(&self) -> u32 {
        self.endpoints.values().map(|endpoint| endpoint.epoch).max().unwrap_or(0)
    }
}

/// What is in force now, whatever was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Which classification.
    pub view: u32,
    /// Endpoints.
    pub links: BTreeSet<u32>,
    /// The node's own addresses.
    pub hosts: BTreeSet<Addr>,
    /// Ranges of services: length of the prefix, and its address.
    pub services: BTreeSet<(u32, Addr)>,
}

/// Maps of one node.
#[async_trait]
pub trait PolicyMaps: Send + Sync {
    /// Room in each.
    fn limits(&self) -> Limits;

    /// What is there.
    fn left(&self) -> Result<Left, MapsError>;

    /// Writes in this order; stops at the first that is refused.
    fn write(&self, ops: &[Op]) -> Result<(), MapsError>;

    /// Resolves when every packet that was under way has left the programs.
    async fn settle(&self);

    /// From now on these maps are what decides: everything that is wanted is in them. Nothing to do where they were that
    /// before.
    fn publish(&self) -> Result<(), MapsError> {
        Ok(())
    }

    /// Removes all that a predecessor left and that is none of this.
    fn keep_only(&self, keep: &Keep) -> Result<(), MapsError>;
}
