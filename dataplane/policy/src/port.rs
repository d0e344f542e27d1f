//! The port to the maps: the kernel's on a node, tables in memory under the simulator.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::{compile::Limits, layout::Endpoint, op::Op};

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

    /// Removes what belongs to other views, and endpoints that are none of these.
    fn keep_only(&self, view: u32, links: &BTreeSet<u32>) -> Result<(), MapsError>;
}
