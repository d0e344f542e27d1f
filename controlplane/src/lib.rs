//! Cluster-wide reconcilers: what no node can do for itself.
//!
//! - [`leaks`]: deletes ENIs that were made for instances which no longer exist.

pub mod leaks;
